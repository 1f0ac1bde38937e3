"""What every comparison is made of: values of two sides, and where two contents differ first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

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
