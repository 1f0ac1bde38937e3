"""Source files, and several of them read as one text."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from bootstrap.languages.assembly import Position
from bootstrap.languages.fault import Kind, LanguageError

LARGEST = 2**24
"""Bytes that the x86 tools have room for, in their input and in M0's output."""


@dataclass(frozen=True, slots=True)
class SourceText:
    """One file of source: its name, for errors and maps, and its bytes."""

    name: str
    text: bytes


class Text:
    """The bytes of several sources, one after the other, which still knows each one's lines.

    ``content`` is what the language sees: a comment, a name or a pair of digits may begin in one
    file and end in the next.
    """

    def __init__(
        self, sources: Sequence[SourceText], largest: int | None = LARGEST, between: bytes = b""
    ) -> None:
        """Join ``sources``, with ``between`` between them; above ``largest`` bytes is TOO_LARGE."""
        self.content = between.join(source.text for source in sources)
        # Where each line of each file begins, ascending, and which file and line that is.
        self._begins: list[int] = []
        self._lines: list[tuple[str, int]] = []
        base = 0
        for source in sources:
            begin = 0
            number = 1
            while True:
                self._begins.append(base + begin)
                self._lines.append((source.name, number))
                begin = source.text.find(b"\n", begin) + 1
                if begin == 0:
                    break
                number += 1
            base += len(source.text) + len(between)
        self._ends = [item.start() for item in re.finditer(rb"\n", self.content)]
        self._comments: dict[int, str] = {}
        if largest is not None and len(self.content) > largest:
            raise self.fault(largest, Kind.TOO_LARGE, f"the input is above {largest} bytes")

    def place(self, offset: int) -> tuple[str, Position]:
        """The file and the position in it of ``content[offset]``, or of the end."""
        if not self._begins:
            return "", Position(1, 1)
        index = bisect_right(self._begins, offset) - 1
        file, line = self._lines[index]
        return file, Position(line, offset - self._begins[index] + 1)

    def fault(self, offset: int, kind: Kind, reason: str) -> LanguageError:
        """The error to raise for what stands at ``offset``."""
        file, position = self.place(offset)
        return LanguageError(file, position, kind, reason)

    def remember_comment(self, start: int, end: int) -> None:
        """Take note that ``content[start:end]`` is a comment, beginning with its sign."""
        text = self.content[start + 1 : end].decode("utf-8", errors="backslashreplace")
        self._comments[bisect_left(self._ends, start)] = text.strip()

    def comment(self, offset: int) -> str:
        """The comment remembered for the line of ``offset``; empty where there is none."""
        return self._comments.get(bisect_left(self._ends, offset), "")
