"""Two of a kind, known by their content, compared: a claim, a page for people, JSON; and what every
comparison is made of: values of two sides, and where two contents differ first."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file
from bootstrap.documents import MAX_DOCUMENT, json_value, named
from bootstrap.report.page import Page

T = TypeVar("T", covariant=True)
U = TypeVar("U")
V = TypeVar("V")

TEXT_SEARCHED = 4096
"""Bytes in which there is no NUL where a content counts as text."""
LINE_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Both(Generic[T]):
    """What is on either side; a side that may have no such thing has None there."""

    a: T
    b: T

    @property
    def same(self) -> bool:
        """Whether both sides have the same."""
        return self.a == self.b

    @property
    def sides(self) -> tuple[tuple[str, T], tuple[str, T]]:
        """With what the sides are called."""
        return ("A", self.a), ("B", self.b)

    def map(self, made: Callable[[T], U]) -> Both[U]:
        """The same of each side."""
        return Both(made(self.a), made(self.b))

    def where_there(self: Both[V | None], made: Callable[[V], U]) -> Both[U | None]:
        """The same of each side that has it."""
        return Both(
            None if self.a is None else made(self.a), None if self.b is None else made(self.b)
        )

    def whole(self: Both[V | None]) -> Both[V] | None:
        """Itself, where both sides have it."""
        return None if self.a is None or self.b is None else Both(self.a, self.b)

    def either(self: Both[V | None]) -> V:
        """What A has, or else B; one of them does."""
        found = self.b if self.a is None else self.a
        assert found is not None
        return found


@dataclass(frozen=True, slots=True)
class ByteInContext:
    """What stands at an offset of a content."""

    byte: int | None
    """None: the content ends there."""
    line: int | None
    """Line and column, from 1, and the text of the line; None where it is no text."""
    column: int | None
    text: str | None

    def __str__(self) -> str:
        where = "it ends there" if self.byte is None else f"byte {self.byte:02x}"
        if self.text is None:
            return where
        line = f"in line {self.line}" if self.byte is None else f"line {self.line}:{self.column}"
        return f"{where}, {line}: {short(self.text)}"


@dataclass(frozen=True, slots=True)
class FirstByte:
    """The first byte in which two contents differ."""

    offset: int
    a: ByteInContext
    b: ByteInContext

    def __str__(self) -> str:
        return f"the first byte that differs is at {self.offset:#x}"


def first_difference(a: bytes, b: bytes) -> int | None:
    """The offset of the first byte in which two contents differ; the shorter one's size where it
    is the start of the other; None where they are equal."""
    if a == b:
        return None
    one, other = memoryview(a), memoryview(b)
    low, high = 0, min(len(a), len(b))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:  # equal up to `low`, and not up to `high`
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def is_text(content: bytes) -> bool:
    """Whether lines of it can be shown."""
    return b"\0" not in content[:TEXT_SEARCHED]


def byte_at(content: bytes, offset: int) -> ByteInContext:
    """What stands there."""
    byte = content[offset] if offset < len(content) else None
    if not is_text(content):
        return ByteInContext(byte, None, None, None)
    start = content.rfind(b"\n", 0, offset) + 1
    end = content.find(b"\n", offset)
    line = content[start : end if end >= 0 else len(content)]
    return ByteInContext(
        byte,
        content.count(b"\n", 0, start) + 1,
        offset - start + 1,
        line.decode("utf-8", "backslashreplace"),
    )


def first_byte(a: bytes, b: bytes) -> FirstByte | None:
    """The first byte in which two contents differ; None where they are equal."""
    offset = first_difference(a, b)
    if offset is None:
        return None
    return FirstByte(offset, byte_at(a, offset), byte_at(b, offset))


def short(text: str, most: int = LINE_SHOWN) -> str:
    """A line, cut where it is long."""
    text = text.strip()
    return text if len(text) <= most else f"{text[: most - 3]}..."


SCHEMA = "bootstrap-diff/1"
Kind = Literal["trace", "report", "tree", "effects"]
NAMES: dict[Kind, str] = {
    "trace": "a trace", "report": "a report", "tree": "a source tree",
    "effects": "what a run did",
}  # fmt: skip
MOST = 20
"""Rows of a list that are shown, unless all are asked for."""
Row = TypeVar("Row")
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
    page: Page, rows: Sequence[Row], every: bool, write: Callable[[Row], object], indent: int = 2
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
    raise BadInput(f"{name}: is not a trace, a report or a source tree; {KNOWN}")


def read_json(name: str) -> dict[str, Any]:
    """A report's JSON. Raises BadInput."""
    with named(name):
        found = json_value(read_file(Path(name), MAX_DOCUMENT))
    if not isinstance(found, dict):
        raise BadInput(f"{name}: is JSON, but no report of `bootstrap verify`")
    return found
