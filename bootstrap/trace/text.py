"""Guest bytes as text in a database and back: paths, arguments, environment."""

import json
from collections.abc import Sequence

from bootstrap.documents import typed_json

Value = int | str | bytes | None
"""What a cell of the trace holds."""


def as_text(raw: bytes) -> str | bytes:
    """A guest path as a cell: text where it is UTF-8, else a blob."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def as_raw(cell: object) -> bytes:
    """The reverse. Raises ValueError for any other cell."""
    if isinstance(cell, str):
        return cell.encode("utf-8", "surrogatepass")
    if isinstance(cell, bytes):
        return cell
    raise ValueError("a path is neither text nor a blob")


def list_text(strings: Sequence[bytes]) -> str:
    """Arguments as a JSON array; a byte that is not UTF-8 becomes one of \\udc80 to \\udcff."""
    return json.dumps([s.decode("utf-8", "surrogateescape") for s in strings])


def list_raw(text: str) -> tuple[bytes, ...]:
    """The reverse. Raises Fault."""
    found = typed_json(tuple[str, ...], text)
    return tuple(s.encode("utf-8", "surrogateescape") for s in found)


def shown(cell: object) -> str:
    """A path for people."""
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "backslashreplace")
    return str(cell).encode("utf-8", "backslashreplace").decode()
