"""Checkpoints: states of the machine at places in a trace, which a timeline goes on from.

Most are kept in memory on the way. An index beside the trace has more, so that every place is near
one: it says nothing that the trace does not, can be deleted, and is not used where it is of another
trace. It is sealed like a trace (trace/container.py), and made by indexing.py.
"""

import contextlib
import json
import os
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from bootstrap.documents import Size, typed_json
from bootstrap.linux.snapshot import Snapshot
from bootstrap.trace.checkpoints import decode, encode
from bootstrap.trace.container import BLOBS, Format, SealedReader, SealedWriter
from bootstrap.trace.store import Count, Meta, Trace

KEPT = 128
"""States that are kept in memory at most."""
PROGRAMS = 3
"""Programs of which states are kept in memory: those of one share most of their pages, those of
two share none, and a program may have a hundred megabytes."""


@dataclass(frozen=True, slots=True, order=True)
class Checkpoint:
    """The state of the machine at a place, in one program's time."""

    executed: int
    calls: int = field(compare=False)
    event: int = field(compare=False)
    stack: tuple[int, ...] = field(compare=False)
    """The programs, of the processes that wait and of the one that runs, from the first on."""
    snapshot: Snapshot = field(compare=False)


# -- the index -------------------------------------------------------------------------------------

SUFFIX = ".index"

FORMAT = Format(
    noun="index of a trace",
    article="an index",
    making="indexing",
    again="make it again with `bootstrap trace index`, or delete it",
    application_id=0x42544978,  # "BTIx"
    schema="bootstrap-trace-index/1",
    tables={
        "meta": "name TEXT PRIMARY KEY, value TEXT NOT NULL",
        "totals": "process INTEGER PRIMARY KEY, executed INTEGER NOT NULL",
        "points": (
            "id INTEGER PRIMARY KEY, process INTEGER NOT NULL, executed INTEGER NOT NULL, "
            "calls INTEGER NOT NULL, event INTEGER NOT NULL, stack TEXT NOT NULL, "
            "state BLOB NOT NULL"
        ),
        "blobs": BLOBS,
    },
)


class IndexWriter(SealedWriter):
    """Writes one."""

    def __init__(self, name: str) -> None:
        super().__init__(name, FORMAT)

    def checkpoint(self, row: int, one: Checkpoint) -> None:
        """Keep a state of a program."""
        state = encode(one.snapshot, self.blob)
        place = one.executed, one.calls, one.event
        self.insert("points", (None, row, *place, json.dumps(one.stack), state))

    def forget(self, row: int) -> None:
        """Drop the states of a program; what only they had stays in the file, and is no harm."""
        self.execute("DELETE FROM points WHERE process = ?", (row,))

    def finish(self, trace: Trace, totals: dict[int, int]) -> None:
        """Seal it and put it into its place."""
        for total in totals.items():
            self.insert("totals", total)
        self.insert("meta", ("schema", FORMAT.schema))
        self.insert("meta", ("trace", trace.seal))
        self.put_in_place()


class _Stack(tuple[int, ...]):
    """Rows of programs, in JSON."""

    __slots__ = ()

    @classmethod
    def from_text(cls, text: str) -> "_Stack":
        """Raises Fault."""
        return cls(typed_json(tuple[Count, ...], text))


@dataclass(frozen=True, slots=True)
class _IndexRow:
    id: int
    process: Count
    executed: Size
    calls: Size
    event: Size
    stack: _Stack


@dataclass(frozen=True, slots=True)
class _Total:
    process: Count
    executed: Size


class StoredIndex(SealedReader):
    """An index that was made before."""

    def __init__(self, name: str) -> None:
        super().__init__(name, FORMAT)
        self._rows: dict[int, list[_IndexRow]] = {}
        try:
            with self.reading():
                self.meta = {row.name: row.value for row in self.rows("meta", Meta)}
                self.totals = {t.process: t.executed for t in self.rows("totals", _Total)}
                """Instructions, by program."""
                rows = self.rows("points", _IndexRow)
        except BaseException:
            self.close()
            raise
        for row in sorted(rows, key=lambda row: (row.process, row.executed)):
            self._rows.setdefault(row.process, []).append(row)
        self._executed = {row: [p.executed for p in found] for row, found in self._rows.items()}
        self._calls = {row: [p.calls for p in found] for row, found in self._rows.items()}

    def executed(self, row: int) -> list[int]:
        """Where the states of a program are, in instructions, in order."""
        return self._executed.get(row, [])

    def calls(self, row: int) -> list[int]:
        """The same in system calls."""
        return self._calls.get(row, [])

    def checkpoint(self, row: int, number: int) -> Checkpoint:
        """One of them."""
        with self.reading():
            one = self._rows[row][number]
            (state,) = self.database.execute(
                "SELECT state FROM points WHERE id = ?", (one.id,)
            ).fetchone()
            snapshot = decode(state, self.blobs)
            return Checkpoint(one.executed, one.calls, one.event, one.stack, snapshot)


def beside(trace: Trace) -> str:
    """Where the index of a trace is, or would be."""
    return trace.name + SUFFIX


def open_index(trace: Trace) -> StoredIndex | None:
    """The index beside a trace; None where there is none, or one of another recording.

    It is closed with the trace. Raises BadInput for a damaged one.
    """
    name = beside(trace)
    if not Path(name).exists():
        return None
    with contextlib.ExitStack() as unused:
        index = unused.enter_context(StoredIndex(name))
        if index.meta.get("trace") != trace.seal:
            return None
        trace.closing.push(unused.pop_all())
        return index


def is_stale(trace: Trace) -> bool:
    """Whether there is an index beside the trace that is not of it."""
    return os.path.exists(beside(trace)) and open_index(trace) is None


# -- all of them -----------------------------------------------------------------------------------


class Checkpoints:
    """The checkpoints of all programs, and how many instructions programs execute in all."""

    def __init__(self, index: StoredIndex | None = None) -> None:
        self._index = index
        self._rows: dict[int, list[Checkpoint]] = {}
        self.totals: dict[int, int] = {} if index is None else dict(index.totals)
        """Instructions of the programs whose end was seen."""

    def nearest(self, row: int, executed: int) -> Checkpoint | None:
        """The last one of a program that is not after that instruction."""
        return self._nearest(row, executed, attrgetter("executed"), StoredIndex.executed)

    def nearest_call(self, row: int, calls: int) -> Checkpoint | None:
        """The last one with so many calls of the program, or fewer."""
        return self._nearest(row, calls, attrgetter("calls"), StoredIndex.calls)

    def _nearest(
        self,
        row: int,
        most: int,
        place: Callable[[Checkpoint], int],
        stored: Callable[[StoredIndex, int], list[int]],
    ) -> Checkpoint | None:
        mine = self._rows.get(row, [])
        number = bisect_right(mine, most, key=place)
        found = mine[number - 1] if number else None
        if self._index is not None:
            number = bisect_right(places := stored(self._index, row), most)
            if number and (found is None or places[number - 1] > place(found)):
                found = self._index.checkpoint(row, number - 1)
                self.add(row, found)
        return found

    def before(self, row: int, end: int) -> int:
        """Where the last state before an instruction is; 0 where there is none."""
        mine = self._rows.get(row, [])
        number = bisect_left(mine, end, key=lambda kept: kept.executed)
        found = mine[number - 1].executed if number else 0
        if self._index is not None:
            number = bisect_left(places := self._index.executed(row), end)
            found = max(found, places[number - 1] if number else 0)
        return found

    def add(self, row: int, checkpoint: Checkpoint) -> None:
        """Keep one. Where there are most, every second is let go of; and all of old programs."""
        mine = self._rows.pop(row, [])
        insort(mine, checkpoint)
        self._rows[row] = mine  # the last one that something was added to
        while len(self._rows) > PROGRAMS:
            del self._rows[next(iter(self._rows))]
        while sum(map(len, self._rows.values())) > KEPT:
            most = max(self._rows, key=lambda r: len(self._rows[r]))
            del self._rows[most][1::2]

    def has(self, row: int, executed: int) -> bool:
        """Whether the state there is kept in memory."""
        mine = self._rows.get(row, [])
        number = bisect_left(mine, executed, key=lambda kept: kept.executed)
        return number < len(mine) and mine[number].executed == executed

    def __iter__(self) -> Iterator[tuple[int, Checkpoint]]:
        return ((row, one) for row, mine in self._rows.items() for one in mine)


def checkpoints_of(trace: Trace) -> Checkpoints:
    """For a new timeline: none in memory, but those of the index where there is one.

    Raises BadInput for a damaged one.
    """
    return Checkpoints(open_index(trace))
