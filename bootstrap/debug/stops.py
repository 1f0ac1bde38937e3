"""Where and why a session stopped, and what it stops at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

from bootstrap.core.errors import BadInput
from bootstrap.instruments.counter import READS, WRITES
from bootstrap.trace.coordinates import AfterInstructions

REASONS = {
    "step": "it went where it was to go",
    "jump": "the same, from anywhere to anywhere",
    "breakpoint": "an instruction with a breakpoint comes next",
    "watchpoint": "watched memory was accessed; going back, that instruction comes next",
    "call": "a system call was made; going back, it comes next",
    "output": "a byte was written to a file",
    "fork": "the system call just before this place made a child",
    "exec": "the process executed another program",
    "interrupted": "`progress` ended the move here",
    "child": "in a child, at its start",
    "parent": "in the parent, before it forks",
    "begin": "there is nothing before this place",
    "end": "the instruction that comes next ends the process",
    "nowhere": "there is no such place: it did not move",
    "unknown": "it is not known: it did not move",
}
"""Every reason of a StopReason."""

KINDS = {"r": READS, "w": WRITES, "a": READS | WRITES}
"""Of watchpoints: reads, writes, all accesses."""


class Interrupted(Exception):
    """For a session's `progress` to raise: end this move."""


@dataclass(frozen=True, slots=True)
class Watchpoint:
    """Memory to stop at: `size` bytes from `guest_addr` on."""

    number: int
    guest_addr: int
    size: int
    kinds: str
    """A key of KINDS."""

    def __str__(self) -> str:
        return f"{self.guest_addr:#x}:{self.size} {self.kinds}"


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """A place in programs to stop at: an address, a label, or FILE:LINE."""

    number: int
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class StopReason:
    """Where a move came to its end, and why."""

    reason: str
    """A key of REASONS."""
    place: AfterInstructions
    detail: str = ""
    """More of it, for people: how the program ended, which call, who wrote the byte."""
    breakpoint: Breakpoint | None = None
    watchpoint: Watchpoint | None = None
    guest_addr: int | None = None
    """Of the access, at a watchpoint."""

    def __str__(self) -> str:
        return f"{self.reason} at {self.place}{': ' if self.detail else ''}{self.detail}"


Point = TypeVar("Point", Breakpoint, Watchpoint)


@dataclass
class _Points(Generic[Point]):
    """Breakpoints or watchpoints, by their numbers."""

    what: ClassVar[str]
    _found: dict[int, Point] = field(default_factory=dict)
    _last: int = 0

    def __iter__(self) -> Iterator[Point]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def _put(self, make: Callable[[int], Point]) -> Point:
        self._last += 1
        return self._found.setdefault(self._last, make(self._last))

    def remove(self, which: int | str) -> Point:
        """By number, or as it is written. Raises BadInput where there is none."""
        for one in self:
            if which in (one.number, str(one)):
                return self._found.pop(one.number)
        raise BadInput(f"there is no {self.what} {which}")

    def clear(self) -> None:
        """Remove all."""
        self._found.clear()


@dataclass
class Breakpoints(_Points[Breakpoint]):
    """Breakpoints; `resolve` gives the addresses of one in an image, by the image's version."""

    what = "breakpoint"
    resolve: Callable[[str, int], tuple[int, ...]] = field(kw_only=True)
    known: Callable[[str], bool] = field(kw_only=True)
    """Whether any program has such a place."""

    def add(self, text: str) -> Breakpoint:
        """`0x8048054`, a label or FILE:LINE. Raises BadInput where no program has it."""
        for one in self:
            if one.text == text:
                return one
        if not self.known(text):
            raise BadInput(f"{text}: no program of this run has such an address, label or line")
        return self._put(lambda number: Breakpoint(number, text))

    def addresses(self, version: int) -> dict[int, Breakpoint]:
        """Where programs of that image stop."""
        return {addr: one for one in self for addr in self.resolve(one.text, version)}


class Watchpoints(_Points[Watchpoint]):
    """Watchpoints; they are at the same addresses in every program."""

    what = "watchpoint"

    def add(self, guest_addr: int, size: int = 1, kinds: str = "w") -> Watchpoint:
        """`kinds`: r, w or a (both). Raises BadInput."""
        if kinds not in KINDS:
            raise BadInput(f"a watchpoint is of kind r, w or a (all), not {kinds}")
        if size < 1 or guest_addr < 0 or guest_addr + size > 1 << 64:
            raise BadInput(f"{guest_addr:#x}:{size}: there is no such memory")
        return self._put(lambda number: Watchpoint(number, guest_addr, size, kinds))
