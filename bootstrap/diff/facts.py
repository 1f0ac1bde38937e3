"""What a trace has of a run, in the order in which it happened: where two runs diverge.

Until they diverge the two runs have the same events, so the first fact that is not the same on both
sides is the first divergence. What came out is no fact here: the calls that wrote it are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from bootstrap.trace.columns import shown, unpacked
from bootstrap.trace.store import MAX_INPUT, Trace

CALL, INPUT, OPENED, CHANGED, CLOSED, RUN, BEGAN, ENDED = range(8)
"""The order of what has the same event: it happened in that call, or after it. A program that was
killed before its first call ends at the event at which it began."""
NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened."""

    event: int
    order: int
    process: int | None
    """The program that it happened to, by its row; None for the start of a run."""
    what: tuple[object, ...]
    path: str = ""
    version: int | None = None

    @property
    def key(self) -> tuple[int, int]:
        """What comes first."""
        return self.event, self.order


def facts(trace: Trace) -> list[Fact]:
    """All but calls and what came out, in order."""
    return sorted(_facts(trace), key=lambda fact: fact.key)


def _facts(trace: Trace) -> Iterator[Fact]:
    sha256 = {number: sha256 for number, (sha256, _) in trace.hashes().items()}
    for run in trace.runs:
        started = (run.path, run.argv, run.environment, run.cwd)
        yield Fact(run.first_event, RUN, None, started, shown(run.path))
    for program in trace.programs:
        p = program
        begun = (p.run, p.pid, p.ordinal, p.parent, p.abi, p.path, p.argv, p.environment, p.cwd)
        image = sha256[program.image]
        yield Fact(p.first_event, BEGAN, p.id, (*begun, image), shown(program.path), program.image)
        ended = (p.run, p.pid, p.ordinal, p.status, p.replaced)
        unfinished = p.status is None and not p.replaced
        yield Fact(NEVER if unfinished else p.last_event or NEVER, ENDED, p.id, ended)
    for row in trace.opens():
        version = None if row.version is None else sha256[row.version]
        there = (row.process, row.fd, row.path, row.flags, row.file, version)
        yield Fact(row.event, OPENED, row.process, there, shown(row.path), row.version)
        last = None if row.last_version is None else sha256[row.last_version]
        event = NEVER if row.last_event is None else row.last_event
        closed = (row.process, row.path, row.file, last)
        yield Fact(event, CLOSED, row.process, closed, shown(row.path), row.last_version)
    with trace.reading():
        changes = "SELECT process, event, kind, path, file, value, target FROM changes ORDER BY id"
        for process, event, *cells in trace.database.execute(changes):
            path = "" if cells[1] is None else shown(cells[1])
            yield Fact(event, CHANGED, process, (process, *cells), path)
        given = "SELECT event, result, content FROM input ORDER BY id"
        for event, result, content in trace.database.execute(given):
            data = b"" if content is None else unpacked(content, MAX_INPUT)
            yield Fact(event, INPUT, None, (result, hashlib.sha256(data).hexdigest()))


def divergence(a: list[Fact], b: list[Fact]) -> tuple[Fact | None, Fact | None] | None:
    """The first facts that are not the same; None on the side where there is no more, or where the
    other's comes first. None where all are."""
    for one, other in zip(a, b, strict=False):
        if (one.key, one.what) != (other.key, other.what):
            if one.key == other.key:
                return one, other
            return (one, None) if one.key < other.key else (None, other)
    rest = a[len(b) :] or b[len(a) :]
    if not rest:
        return None
    return (rest[0], None) if len(a) > len(b) else (None, rest[0])
