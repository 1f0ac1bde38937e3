"""Kept states of the machine at places in a trace: what a traveller goes on from.

Most are kept in memory while travelling; an index beside the trace (indexing.py) has more.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from bootstrap.linux.snapshot import Snapshot

KEPT = 128
"""States that are kept in memory at most."""
PROGRAMS = 3
"""Programs of which states are kept in memory: those of one share most of their pages, those of
two share none, and a program may have a hundred megabytes."""


@dataclass(frozen=True, slots=True, order=True)
class Checkpoint:
    """A kept state of the machine, in one program's time."""

    executed: int
    calls: int = field(compare=False)
    event: int = field(compare=False)
    stack: tuple[int, ...] = field(compare=False)
    """The programs, of the processes that wait and of the one that runs, from the first on."""
    snapshot: Snapshot = field(compare=False)


class Index(Protocol):
    """States that were kept before, in a file."""

    totals: dict[int, int]

    def executed(self, row: int) -> list[int]:
        """Where the states of a program are, in instructions, in order."""

    def calls(self, row: int) -> list[int]:
        """The same in system calls."""

    def point(self, row: int, number: int) -> Checkpoint:
        """One of them. Raises BadInput for a damaged one."""


class Checkpoints:
    """The kept states of all programs, and how many instructions programs execute in all."""

    def __init__(self, index: Index | None = None) -> None:
        self._index = index
        self._rows: dict[int, list[Checkpoint]] = {}
        self.totals: dict[int, int] = {} if index is None else dict(index.totals)
        """Instructions of the programs whose end was seen."""

    def nearest(self, row: int, executed: int) -> Checkpoint | None:
        """The last state not after that instruction."""
        mine = self._rows.get(row, [])
        number = bisect_right(mine, executed, key=lambda point: point.executed)
        found = mine[number - 1] if number else None
        if self._index is not None:
            number = bisect_right(places := self._index.executed(row), executed)
            if number and (found is None or places[number - 1] > found.executed):
                return self._take(row, number - 1)
        return found

    def nearest_call(self, row: int, calls: int) -> Checkpoint | None:
        """The last state with so many calls of the program, or fewer."""
        mine = self._rows.get(row, [])
        number = bisect_right(mine, calls, key=lambda point: point.calls)
        found = mine[number - 1] if number else None
        if self._index is not None:
            number = bisect_right(places := self._index.calls(row), calls)
            if number and (found is None or places[number - 1] > found.calls):
                return self._take(row, number - 1)
        return found

    def before(self, row: int, end: int) -> int:
        """Where the last state before an instruction is; 0 where there is none."""
        mine = self._rows.get(row, [])
        number = bisect_left(mine, end, key=lambda point: point.executed)
        found = mine[number - 1].executed if number else 0
        if self._index is not None:
            number = bisect_left(places := self._index.executed(row), end)
            found = max(found, places[number - 1] if number else 0)
        return found

    def _take(self, row: int, number: int) -> Checkpoint:
        assert self._index is not None
        point = self._index.point(row, number)
        self.add(row, point)
        return point

    def add(self, row: int, point: Checkpoint) -> None:
        """Keep one. Where there are most, every second is let go of; and all of old programs."""
        mine = self._rows.pop(row, [])
        insort(mine, point)
        self._rows[row] = mine  # the last one that something was added to
        while len(self._rows) > PROGRAMS:
            del self._rows[next(iter(self._rows))]
        while sum(map(len, self._rows.values())) > KEPT:
            most = max(self._rows, key=lambda r: len(self._rows[r]))
            del self._rows[most][1::2]

    def has(self, row: int, executed: int) -> bool:
        """Whether the state there is kept in memory."""
        mine = self._rows.get(row, [])
        number = bisect_left(mine, executed, key=lambda point: point.executed)
        return number < len(mine) and mine[number].executed == executed

    def __iter__(self) -> Iterator[tuple[int, Checkpoint]]:
        return ((row, point) for row, points in self._rows.items() for point in points)
