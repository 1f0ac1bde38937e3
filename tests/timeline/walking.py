"""Moves in a trace, drawn by hypothesis; each knows where it should arrive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from bootstrap.instruments.counter import READS, WRITES
from bootstrap.timeline import search
from bootstrap.timeline.timeline import PastEnd, Timeline
from bootstrap.trace.store import Trace
from tests.instruments.runs import engine_for
from tests.timeline.straight import Oracle, Way, state, way

SETTINGS = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class World:
    """A trace, with what is true of it."""

    def __init__(self, opened: Trace) -> None:
        self.trace = opened
        self.oracle = Oracle(opened, engine_for("native"))
        self.ways: dict[int, Way] = {}

    def row(self, pid: int, ordinal: int) -> int:
        return next(p.id for p in self.trace.programs if (p.pid, p.ordinal) == (pid, ordinal))

    def way(self, row: int) -> Way:
        if row not in self.ways:
            self.ways[row] = way(self.trace, engine_for("native"), row)
        return self.ways[row]


# A move is drawn as its name with three numbers from 0 to 1, whatever they are used for.

Move = Callable[[Timeline, World, Way, int, float, float, float], int | None]
"""Goes, and answers where it should have got: None for nowhere."""


def pick(share: float, most: int) -> int:
    return min(int(share * (most + 1)), most)


def seek(x: Timeline, _w: World, way: Way, _at: int, a: float, _b: float, _c: float) -> int:
    to = pick(a, len(way) - 1)
    x.seek(x.row, to)
    return to


def seek_past(x: Timeline, _w: World, way: Way, _at: int, a: float, _b: float, _c: float) -> None:
    row, back = x.row, x.executed
    with pytest.raises(PastEnd) as end:
        x.seek(row, len(way) + pick(a, 9))
    assert end.value.total == len(way)
    x.seek(row, back)


def seek_call(x: Timeline, _w: World, way: Way, _at: int, a: float, _b: float, _c: float) -> int:
    behind = [0, *(i + 1 for i, _, _ in way.calls if i + 1 < len(way))]
    ordinal = pick(a, len(behind) - 1)
    x.seek_call(x.row, ordinal)
    assert x.calls == ordinal
    return behind[ordinal]


def step(x: Timeline, _w: World, way: Way, at: int, a: float, _b: float, _c: float) -> int:
    count = pick(a * a, len(way) - 1 - at)
    x.step(count)
    return at + count


def back(x: Timeline, _w: World, _way: Way, at: int, a: float, _b: float, _c: float) -> int:
    count = pick(a * a, at)
    x.back(count)
    return at - count


def step_over(
    x: Timeline, _w: World, way: Way, at: int, _a: float, _b: float, _c: float
) -> int | None:
    expected = way.over(at)
    assert search.step_over(x) == (expected is not None)
    return expected


def step_out(
    x: Timeline, _w: World, way: Way, at: int, _a: float, _b: float, _c: float
) -> int | None:
    expected = way.out(at)
    assert search.step_out(x) == (expected is not None)
    return expected


def back_over(
    x: Timeline, _w: World, way: Way, at: int, _a: float, _b: float, _c: float
) -> int | None:
    expected = way.back_over(at)
    assert search.step_back_over(x) == (expected is not None)
    return expected


def back_out(
    x: Timeline, _w: World, way: Way, at: int, _a: float, _b: float, _c: float
) -> int | None:
    expected = way.back_out(at)
    assert search.step_back_out(x) == (expected is not None)
    return expected


def _addresses(way: Way, a: float, b: float) -> list[int]:
    pcs = sorted(set(way.pcs))
    return [pcs[pick(a, len(pcs) - 1)], pcs[pick(b, len(pcs) - 1)]]


def run_to(x: Timeline, _w: World, way: Way, at: int, a: float, b: float, _c: float) -> int | None:
    addresses = _addresses(way, a, b)
    expected = way.first(at, addresses)
    assert search.run_to(x, addresses) == (expected is not None)
    return expected


def run_back(
    x: Timeline, _w: World, way: Way, at: int, a: float, b: float, _c: float
) -> int | None:
    addresses = _addresses(way, a, b)
    expected = way.last(at, addresses)
    assert search.run_back_to(x, addresses) == (expected is not None)
    return expected


def _watched(way: Way, a: float, b: float, c: float) -> tuple[int, int, int]:
    every = [access for some in way.accesses for access in some]
    kinds = (READS, WRITES, READS | WRITES)[pick(c, 2)]
    if not every:
        return 0x8048000, 0x8048004, kinds
    one = every[pick(a, len(every) - 1)]
    size = 1 + pick(b, 6)
    start = max(0, one.guest_addr - 2 + pick(c * 10 % 1, 4))
    return start, start + size, kinds


def to_access(
    x: Timeline, _w: World, way: Way, at: int, a: float, b: float, c: float
) -> int | None:
    watched = _watched(way, a, b, c)
    expected = way.first_access(at, *watched)
    found = search.first_access(x, *watched, x.row, at)
    if expected is None:
        # The program's last instruction, an execve(2), may be one: nothing is after it.
        assert found is None or found.executed == len(way) - 1
        return None
    assert found in way.touching(expected, *watched)
    x.seek(x.row, expected + 1)
    return expected + 1


def back_to_access(
    x: Timeline, _w: World, way: Way, at: int, a: float, b: float, c: float
) -> int | None:
    watched = _watched(way, a, b, c)
    expected = way.last_access(at, *watched)
    found = search.run_back_to_access(x, *watched)
    assert (found is not None) == (expected is not None)
    if found is not None and expected is not None:
        assert found in way.touching(expected, *watched)
    return expected


MOVES: dict[str, Move] = {
    move.__name__: move
    for move in (
        seek, seek_past, seek_call, step, back, step_over, step_out, back_over, back_out,
        run_to, run_back, to_access, back_to_access,
    )
}  # fmt: skip
SHARE = st.floats(0, 1, allow_nan=False)
WALK = st.lists(
    st.tuples(st.sampled_from(sorted(MOVES)), SHARE, SHARE, SHARE), min_size=1, max_size=14
)


def timeline_of(world: World, hot_path: str) -> Timeline:
    found = Timeline(world.trace, engine_for(hot_path), spacing=2_000)
    found.watcher()._spacing = 2_000
    return found


def walk(world: World, x: Timeline, row: int, moves: Any) -> None:
    """Make the moves, and compare after each."""
    known = world.way(row)
    for name, *shares in moves:
        before = x.executed
        expected = MOVES[name](x, world, known, before, *shares)
        # What was not found leaves us where we were.
        place = before if expected is None else expected
        assert (x.row, x.executed) == (row, place), name
        assert state(x) == world.oracle.at(row, place), name
