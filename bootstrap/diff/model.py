"""What every comparison is made of: values of two sides, and places in two contents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

TEXT_LOOKED_AT = 4096
"""Bytes in which there is no NUL where a content counts as text."""
LINE_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Both(Generic[T]):
    """What is on either side; None where that side has no such thing."""

    a: T | None
    b: T | None

    @property
    def same(self) -> bool:
        """Whether both sides have the same."""
        return self.a == self.b

    def map(self, made: Callable[[T], U]) -> Both[U]:
        """The same of what each side has."""
        return Both(
            None if self.a is None else made(self.a), None if self.b is None else made(self.b)
        )


@dataclass(frozen=True, slots=True)
class At:
    """What stands at an offset of a content."""

    byte: int | None
    """None: the content ends there."""
    line: int | None
    """Line and column, from 1, and the text of the line; None where it is no text."""
    column: int | None
    text: str | None


@dataclass(frozen=True, slots=True)
class Spot:
    """The first byte in which two contents differ."""

    offset: int
    sides: Both[At]


def first_difference(a: bytes, b: bytes) -> int | None:
    """The offset of the first byte in which two contents differ; the shorter one's size where it
    is the begin of the other; None where they are equal."""
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
    return b"\0" not in content[:TEXT_LOOKED_AT]


def at(content: bytes, offset: int) -> At:
    """What stands there."""
    byte = content[offset] if offset < len(content) else None
    if not is_text(content):
        return At(byte, None, None, None)
    begin = content.rfind(b"\n", 0, offset) + 1
    end = content.find(b"\n", offset)
    line = content[begin : end if end >= 0 else len(content)]
    return At(
        byte,
        content.count(b"\n", 0, begin) + 1,
        offset - begin + 1,
        line.decode("utf-8", "backslashreplace"),
    )


def spot(a: bytes, b: bytes) -> Spot | None:
    """The first byte in which two contents differ; None where they are equal."""
    offset = first_difference(a, b)
    if offset is None:
        return None
    return Spot(offset, Both(at(a, offset), at(b, offset)))


def short(text: str, most: int = LINE_SHOWN) -> str:
    """A line, cut where it is long."""
    text = text.strip()
    return text if len(text) <= most else f"{text[: most - 3]}..."
