"""An index beside a trace: kept states throughout it, so that every place is near one.

It tells nothing that the trace does not: it is made by running the trace again (`build`), can be
deleted, and is not looked at when it is of another trace. Sealed like a trace (sealed.py).
"""

import contextlib
import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bootstrap import signals
from bootstrap.core.errors import BadInput
from bootstrap.documents import Size, typed_json
from bootstrap.instruments import Engine
from bootstrap.timeline.checkpoints import Checkpoint, Checkpoints
from bootstrap.timeline.travel import Counting, Timeline, Unsure
from bootstrap.trace.blobs import Blobs
from bootstrap.trace.checkpoints import decode, encode
from bootstrap.trace.columns import LEVEL
from bootstrap.trace.reader import Trace
from bootstrap.trace.rows import Count, Meta, check_tables, read
from bootstrap.trace.sealed import Format, SealedWriter, open_sealed

SUFFIX = ".index"
SPACING = 50_000_000
"""Instructions between two states; a tenth to a third of a second of running."""

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
        "blobs": "id INTEGER PRIMARY KEY, content BLOB NOT NULL",
    },
)


def beside(trace: Trace) -> str:
    """Where the index of a trace is, or would be."""
    return trace.name + SUFFIX


class IndexWriter(SealedWriter):
    """Writes one."""

    def __init__(self, name: str) -> None:
        super().__init__(name, FORMAT)
        self._blobs: dict[bytes, int] = {}
        """By SHA-256: the contents together are more than a gigabyte for a whole architecture."""

    def _insert(self, table: str, *cells: object) -> None:
        assert self._database is not None
        marks = ", ".join("?" * len(cells))
        with self.told():
            self._database.execute(f"INSERT INTO {table} VALUES ({marks})", cells)

    def _blob(self, content: bytes) -> int:
        digest = hashlib.sha256(content).digest()
        known = self._blobs.get(digest)
        if known is None:
            known = self._blobs[digest] = len(self._blobs) + 1
            self._insert("blobs", known, zlib.compress(content, LEVEL))
        return known

    def point(self, row: int, point: Checkpoint) -> None:
        """Keep a state."""
        state = encode(point.snapshot, self._blob)
        stack = json.dumps(point.stack)
        self._insert(
            "points", None, row, point.executed, point.calls, point.event, stack, state
        )  # fmt: skip

    def forget(self, row: int) -> None:
        """Drop the states of a program; what only they had stays in the file, and is no harm."""
        assert self._database is not None
        with self.told():
            self._database.execute("DELETE FROM points WHERE process = ?", (row,))

    def finish(self, trace: Trace, totals: dict[int, int]) -> None:
        """Seal it and put it into its place."""
        for row, executed in totals.items():
            self._insert("totals", row, executed)
        self._insert("meta", "schema", FORMAT.schema)
        self._insert("meta", "trace", trace.seal)
        self.put_in_place()


class _Writing(Checkpoints):
    """Keeps states in the file, not in memory."""

    def __init__(self, writer: IndexWriter) -> None:
        super().__init__()
        self._writer = writer
        self._last = 0, 0

    def add(self, row: int, point: Checkpoint) -> None:
        """Where a program begins, the trace has the state itself."""
        if point.executed:
            self._writer.point(row, point)
            self._last = row, point.executed

    def has(self, row: int, executed: int) -> bool:
        """Whether it is the last one."""
        return self._last == (row, executed)

    def forget(self, row: int) -> None:
        """Those of the program were not counted right."""
        self._writer.forget(row)
        self._last = 0, 0


def build(
    trace: Trace,
    engine: Engine,
    name: str,
    progress: Callable[[int, int], None] = lambda _row, _executed: None,
) -> int:
    """Run every program of the trace, and write the index; how many instructions there are.

    Raises BadInput, Diverged (trace/replay.py), and what `progress` raises; then nothing is left.
    """
    writer = None
    try:
        with signals.held:
            writer = IndexWriter(name)
        points = _Writing(writer)
        for counting in (Counting.BLOCKS, Counting.EACH):
            traveller = Timeline(
                trace, engine, progress, counting=counting, points=points, spacing=SPACING
            )
            try:
                _run(traveller, points, counting is Counting.BLOCKS)
            finally:
                traveller.close()
        writer.finish(trace, points.totals)
        return sum(points.totals.values())
    finally:
        if writer is not None:
            writer.abandon()


def _run(traveller: Timeline, points: _Writing, by_blocks: bool) -> None:
    """Every program whose end is not known yet, and that can be counted so."""
    for program in traveller.trace.programs:
        row = program.id
        if row in points.totals or (by_blocks and traveller.faulted(row)):
            continue
        traveller.close()
        traveller.seek(row, 0)
        try:
            traveller.run_out(row)
        except Unsure:
            points.forget(row)


class _Stack(tuple[int, ...]):
    """Rows of programs, in JSON."""

    __slots__ = ()

    @classmethod
    def from_text(cls, text: str) -> "_Stack":
        """Raises Fault."""
        return cls(typed_json(tuple[Count, ...], text))


@dataclass(frozen=True, slots=True)
class _PointRow:
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


class StoredIndex:
    """An index that was made before: see Index in points.py."""

    def __init__(self, name: str, database: sqlite3.Connection) -> None:
        self.name = name
        self._database = database
        self._blobs = Blobs(database)
        self._points: dict[int, list[_PointRow]] = {}
        with self._reading():
            check_tables(database, FORMAT)
            self.meta = {row.name: row.value for row in read(database, "meta", Meta)}
            self.totals = {t.process: t.executed for t in read(database, "totals", _Total)}
            points = read(database, "points", _PointRow)
            for row in sorted(points, key=lambda row: (row.process, row.executed)):
                self._points.setdefault(row.process, []).append(row)
        self._executed = {row: [p.executed for p in found] for row, found in self._points.items()}
        self._calls = {row: [p.calls for p in found] for row, found in self._points.items()}

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (
            sqlite3.Error, ValueError, TypeError, LookupError, OverflowError, AttributeError,
        ) as error:  # fmt: skip
            raise BadInput(
                f"{self.name}: is no index that this program wrote: {error}; {FORMAT.again}"
            ) from None

    def executed(self, row: int) -> list[int]:
        """See Index."""
        return self._executed.get(row, [])

    def calls(self, row: int) -> list[int]:
        """See Index."""
        return self._calls.get(row, [])

    def point(self, row: int, number: int) -> Checkpoint:
        """See Index."""
        with self._reading():
            told = self._points[row][number]
            (state,) = self._database.execute(
                "SELECT state FROM points WHERE id = ?", (told.id,)
            ).fetchone()
            snapshot = decode(state, self._blobs.get)
            return Checkpoint(told.executed, told.calls, told.event, told.stack, snapshot)


def open_index(trace: Trace) -> StoredIndex | None:
    """The index beside a trace; None where there is none, or one of another recording.

    It is closed with the trace.

    Raises BadInput for a damaged one.
    """
    name = beside(trace)
    if not Path(name).exists():
        return None
    with contextlib.ExitStack() as unused:
        database = unused.enter_context(contextlib.closing(open_sealed(name, FORMAT)))
        index = StoredIndex(name, database)
        if index.meta.get("trace") != trace.seal:
            return None
        trace.closing.push(unused.pop_all())
        return index


def points_of(trace: Trace) -> Checkpoints:
    """For a new traveller: no states, but those of the index where there is one.

    Raises BadInput for a damaged one.
    """
    return Checkpoints(open_index(trace))


def is_stale(trace: Trace) -> bool:
    """Whether there is an index beside the trace that is not of it."""
    return os.path.exists(beside(trace)) and open_index(trace) is None
