"""What is known of a register or a word of memory: a number, some of its bits, or a symbol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

Place = str | tuple[str, int]
"""A register, or a word of memory: ("sp", offset from the first stack pointer) or ("", address)."""
WORLDS = 3
"""So many runs are made of each step, in which all that has no value differs."""
REACH = 256
"""Bytes on either side of the first stack pointer that a seed may use."""
_DESCRIPTORS = ("in", "out", "-out")
"""Symbols that 32 bits hold whole."""


class Value(NamedTuple):
    """``base`` + ``number``, or, with no base, those bits of ``number`` that ``known`` has."""

    base: str
    number: int
    known: int

    def text(self, full: int) -> str:
        """As certificates and reports have it; ``full``: all bits of a register."""
        if self.base:
            return f"{self.base}{self.number:+d}" if self.number else self.base
        known = "" if self.known == full else f"/{self.known:#x}"
        return f"{self.number:#x}{known}"


def place_text(place: Place) -> str:
    """`eax`, `[sp+8]`, `[0x60020c]`."""
    if isinstance(place, str):
        return place
    base, offset = place
    return f"[sp{offset:+d}]" if base else f"[{offset:#x}]"


def runs(numbers: Iterable[int]) -> list[list[int]]:
    """[first, last] of each run of neighbours."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


class WorldSymbols:
    """What each symbol is in each world."""

    def __init__(self, full: int, stack: int, opens: Sequence[tuple[int, int]]) -> None:
        """``stack``: an address with room around it; ``opens``: what the two opens give."""
        self.full = full
        self.sp = tuple(stack + 0x12340 * world for world in range(WORLDS))
        self.named = {"sp": self.sp}
        for index in range(4):
            self.named[f"word {index}"] = tuple(
                (0x51F15EED * (9 * world + index + 1) ^ 0x3C3C00 >> world) & full | 1
                for world in range(WORLDS)
            )
        for name, row in zip(("in", "out"), zip(*opens, strict=True), strict=True):
            self.named[name] = tuple(value & full for value in row)
        self.named["-out"] = tuple(-value & min(full, 0xFFFFFFFF) for value in self.named["out"])
        if full > 0xFFFFFFFF:
            self.named["-out64"] = tuple(-value & full for value in self.named["out"])

    def explain(self, values: Sequence[int], has: int) -> Value:
        """What the worlds have in common in the bits ``has``; known 0 is nothing."""
        first, whole, differ = values[0], has == self.full, 0
        for value in values:
            differ |= value ^ first
        if not differ:
            return Value("", first & has, has)
        offset = first - self.sp[0]
        if whole and abs(offset) <= REACH and list(values) == [at + offset for at in self.sp]:
            return Value("sp", offset, self.full)
        for name, row in self.named.items():
            fits = whole or (has & 0xFFFFFFFF == 0xFFFFFFFF and name in _DESCRIPTORS)
            if fits and all((v ^ symbol) & has == 0 for v, symbol in zip(values, row, strict=True)):
                return Value(name, 0, self.full)
        known = has & ~differ
        return Value("", first & known, known)

    def inside(self, value: Value, has: int, world: int, fill: int) -> int:
        """``value`` in a world; ``has``: its bits that have a value. The others are ``fill``'s."""
        number, known = value.number, value.known & has
        if value.base:
            number += self.named[value.base][world]
        return (fill & ~known | number & known) & self.full
