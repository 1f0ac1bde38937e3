"""What a user gave to compare: a trace, a report or a source tree, known by its content."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bootstrap.core.errors import BadInput
from bootstrap.documents import MAX_DOCUMENT, json_value, named
from bootstrap.sources.tree import read_file

Kind = Literal["trace", "report", "tree"]
NAMES: dict[Kind, str] = {"trace": "a trace", "report": "a report", "tree": "a source tree"}
_SQLITE = b"SQLite format 3\0"
_GZIP = b"\x1f\x8b"
_HEAD = 512
_KNOWN = "name two traces, two JSON reports of `bootstrap verify`, or two source trees"


@dataclass(frozen=True, slots=True)
class Given:
    """One of the two."""

    name: str
    kind: Kind


def recognise(name: str) -> Given:
    """Of what kind it is. Raises BadInput where it is none of them, or cannot be read."""
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{name}: cannot be read: {cause}") from None
    if stat.S_ISDIR(mode):
        return Given(name, "tree")
    if not stat.S_ISREG(mode):
        raise BadInput(f"{name}: is neither a folder nor a regular file; {_KNOWN}")
    try:
        with open(name, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise BadInput(f"{name}: cannot be read: {error.strerror}") from None
    if head.startswith(_SQLITE):
        return Given(name, "trace")
    if head.startswith(_GZIP) or head[257:262] == b"ustar":
        return Given(name, "tree")
    if head.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"{"):
        return Given(name, "report")
    raise BadInput(f"{name}: is no trace, no report and no source tree; {_KNOWN}")


def same_kind(a: str, b: str) -> tuple[Given, Given]:
    """Both, which have to be of one kind. Raises BadInput."""
    one, other = recognise(a), recognise(b)
    if one.kind != other.kind:
        raise BadInput(f"{a} is {NAMES[one.kind]} and {b} is {NAMES[other.kind]}: {_KNOWN}")
    return one, other


def read_json(name: str) -> dict[str, Any]:
    """A report's JSON. Raises BadInput."""
    with named(name):
        found = json_value(read_file(Path(name), MAX_DOCUMENT))
    if not isinstance(found, dict):
        raise BadInput(f"{name}: is JSON, but no report of `bootstrap verify`")
    return found
