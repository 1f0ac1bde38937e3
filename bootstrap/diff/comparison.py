"""Two of a kind, known by their content, compared: a claim, a page for people, JSON."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file
from bootstrap.documents import MAX_DOCUMENT, json_value, named
from bootstrap.report.page import Page

SCHEMA = "bootstrap-diff/1"
Kind = Literal["trace", "report", "tree", "effects"]
NAMES: dict[Kind, str] = {
    "trace": "a trace", "report": "a report", "tree": "a source tree",
    "effects": "what a run did",
}  # fmt: skip
MOST = 20
"""Rows of a list that are shown, unless all are asked for."""
T = TypeVar("T")
_SQLITE = b"SQLite format 3\0"
_HEAD = 512
KNOWN = (
    "name two traces, two JSON reports of `bootstrap verify`, two source trees, or what a run did "
    "(--effects) and a trace"
)


Progress = Callable[[int, int], None]
Replaying = Callable[[], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Comparison:
    """What two of a kind differ in."""

    kind: str
    equal: bool
    claim: str
    page: Callable[[Page, bool], None]
    """Writes all but the last word; the second: lists whole."""
    details: dict[str, Any]

    def text(self, every: bool, *, colour: bool, width: int | None, unicode: bool) -> str:
        """For people."""
        page = Page(colour, width, unicode)
        self.page(page, every)
        page.blank()
        page.last_word(*(("EQUAL", "1;32") if self.equal else ("DIFFERENT", "1;31")), self.claim)
        return page.text()

    def value(self) -> dict[str, Any]:
        """For machines: docs/diff.md."""
        return {
            "schema": SCHEMA, "kind": self.kind, "equal": self.equal, "claim": self.claim,
            **self.details,
        }  # fmt: skip


def write_some(
    page: Page, rows: Sequence[T], every: bool, write: Callable[[T], object], indent: int = 2
) -> None:
    """The first rows of a list, and how many more there are; `every`: all of it."""
    for row in rows if every else rows[:MOST]:
        write(row)
    if len(rows) > MOST and not every:
        page.line(f"{'':{indent}}and {len(rows) - MOST:,} more (--all shows them)")


def recognise(name: str) -> Kind:
    """Of what kind it is. Raises BadInput where it is none of them, or cannot be read."""
    from bootstrap.sources.addresses import is_url
    from bootstrap.sources.packed import GZIP, XZ, ZIP, ZSTD

    if is_url(name) or (not os.path.exists(name) and os.path.isdir(name.rpartition("@")[0])):
        return "tree"  # an address, or DIR@REV
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{name}: cannot be read: {cause}") from None
    if stat.S_ISDIR(mode):
        return "tree"
    if not stat.S_ISREG(mode):
        raise BadInput(f"{name}: is neither a folder nor a regular file; {KNOWN}")
    try:
        with open(name, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise BadInput(f"{name}: cannot be read: {error.strerror}") from None
    if head.startswith(_SQLITE):
        return "trace"
    if head.startswith((GZIP, XZ, ZSTD, ZIP)) or head[257:262] == b"ustar":
        return "tree"
    if head.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"{"):
        return "effects" if b'"schema": "bootstrap-effects/' in head else "report"
    raise BadInput(f"{name}: is no trace, no report and no source tree; {KNOWN}")


def read_json(name: str) -> dict[str, Any]:
    """A report's JSON. Raises BadInput."""
    with named(name):
        found = json_value(read_file(Path(name), MAX_DOCUMENT))
    if not isinstance(found, dict):
        raise BadInput(f"{name}: is JSON, but no report of `bootstrap verify`")
    return found
