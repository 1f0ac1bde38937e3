"""Moves in a trace, drawn by hypothesis; each knows where it should arrive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from bootstrap.instruments.counter import READS, WRITES
from bootstrap.linux.numbers import NUMBERS
from bootstrap.timeline.search import Explorer, Wanted
from bootstrap.timeline.travel import PastEnd
from bootstrap.trace.reader import Trace
from tests.instruments.runs import engine_for
from tests.timeline.straight import Oracle, Way, state, way

SETTINGS = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
FORKS = {NUMBERS[abi]["fork"] for abi in ("i386", "x86_64")}
"""It has no argument: what is in ebx is of no interest to the record."""


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

Move = Callable[[Explorer, World, Way, int, float, float, float], int | None]
"""Goes, and answers where it should have got: None for nowhere."""


def pick(share: float, most: int) -> int:
    return min(int(share * (most + 1)), most)


def seek(x: Explorer, _w: World, way: Way, _at: int, a: float, _b: float, _c: float) -> int:
    to = pick(a, len(way) - 1)
    x.at.seek(x.at.row, to)
    return to


def seek_past(x: Explorer, _w: World, way: Way, _at: int, a: float, _b: float, _c: float) -> None:
    row, back = x.at.row, x.at.executed
    with pytest.raises(PastEnd) as end:
        x.at.seek(row, len(way) + pick(a, 9))
    assert end.value.total == len(way)
    x.at.seek(row, back)


def seek_call(x: Explorer, _w: World, way: Way, _at: int, a: float, _b: float, _c: float) -> int:
    behind = [0, *(i + 1 for i, _, _ in way.calls if i + 1 < len(way))]
    ordinal = pick(a, len(behind) - 1)
    x.at.seek_call(x.at.row, ordinal)
    assert x.at.calls == ordinal
    return behind[ordinal]


def step(x: Explorer, _w: World, way: Way, at: int, a: float, _b: float, _c: float) -> int:
    count = pick(a * a, len(way) - 1 - at)
    x.at.step(count)
    return at + count


def back(x: Explorer, _w: World, _way: Way, at: int, a: float, _b: float, _c: float) -> int:
    count = pick(a * a, at)
    x.at.back(count)
    return at - count


def step_over(
    x: Explorer, _w: World, way: Way, at: int, _a: float, _b: float, _c: float
) -> int | None:
    expected = way.over(at)
    assert x.step_over() == (expected is not None)
    return expected


def step_out(
    x: Explorer, _w: World, way: Way, at: int, _a: float, _b: float, _c: float
) -> int | None:
    expected = way.out(at)
    assert x.step_out() == (expected is not None)
    return expected


def back_over(
    x: Explorer, _w: World, way: Way, at: int, _a: float, _b: float, _c: float
) -> int | None:
    expected = way.back_over(at)
    assert x.step_back_over() == (expected is not None)
    return expected


def back_out(
    x: Explorer, _w: World, way: Way, at: int, _a: float, _b: float, _c: float
) -> int | None:
    expected = way.back_out(at)
    assert x.step_back_out() == (expected is not None)
    return expected


def _addresses(way: Way, a: float, b: float) -> list[int]:
    pcs = sorted(set(way.pcs))
    return [pcs[pick(a, len(pcs) - 1)], pcs[pick(b, len(pcs) - 1)]]


def run_to(x: Explorer, _w: World, way: Way, at: int, a: float, b: float, _c: float) -> int | None:
    addresses = _addresses(way, a, b)
    expected = way.first(at, addresses)
    assert x.run_to(addresses) == (expected is not None)
    return expected


def run_back(
    x: Explorer, _w: World, way: Way, at: int, a: float, b: float, _c: float
) -> int | None:
    addresses = _addresses(way, a, b)
    expected = way.last(at, addresses)
    assert x.run_back_to(addresses) == (expected is not None)
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
    x: Explorer, _w: World, way: Way, at: int, a: float, b: float, c: float
) -> int | None:
    watched = _watched(way, a, b, c)
    expected = way.first_access(at, *watched)
    found = x.run_to_access(*watched)
    assert (found is not None) == (expected is not None)
    if found is None or expected is None:
        return None
    assert found in way.touching(expected, *watched)
    return expected + 1


def back_to_access(
    x: Explorer, _w: World, way: Way, at: int, a: float, b: float, c: float
) -> int | None:
    watched = _watched(way, a, b, c)
    expected = way.last_access(at, *watched)
    found = x.run_back_to_access(*watched)
    assert (found is not None) == (expected is not None)
    if found is not None and expected is not None:
        assert found in way.touching(expected, *watched)
    return expected


def _wanted(way: Way, a: float, b: float) -> tuple[Wanted, int | None, int | None]:
    _, number, fd = way.calls[pick(a, len(way.calls) - 1)]
    if b < 0.2:
        return Wanted(), None, None
    if b < 0.6 or number in FORKS:
        return Wanted(number=number), number, None
    return Wanted(number=number, fd=fd), number, fd


def to_call(x: Explorer, _w: World, way: Way, at: int, a: float, b: float, _c: float) -> int | None:
    wanted, number, fd = _wanted(way, a, b)
    expected = way.call_after(at, number, fd)
    assert x.run_to_call(wanted) == (expected is not None)
    return expected


def back_to_call(
    x: Explorer, _w: World, way: Way, at: int, a: float, b: float, _c: float
) -> int | None:
    wanted, number, fd = _wanted(way, a, b)
    expected = way.call_before(at, number, fd)
    assert x.run_back_to_call(wanted) == (expected is not None)
    return expected


MOVES: dict[str, Move] = {
    move.__name__: move
    for move in (
        seek, seek_past, seek_call, step, back, step_over, step_out, back_over, back_out,
        run_to, run_back, to_access, back_to_access, to_call, back_to_call,
    )
}  # fmt: skip
SHARE = st.floats(0, 1, allow_nan=False)
WALK = st.lists(
    st.tuples(st.sampled_from(sorted(MOVES)), SHARE, SHARE, SHARE), min_size=1, max_size=14
)


def explorer(world: World, hot_path: str) -> Explorer:
    found = Explorer(world.trace, engine_for(hot_path))
    found.at._spacing = found._watcher._spacing = 2_000
    return found


def walk(world: World, x: Explorer, row: int, moves: Any) -> None:
    """Make the moves, and compare after each."""
    known = world.way(row)
    for name, *shares in moves:
        before = x.at.executed
        expected = MOVES[name](x, world, known, before, *shares)
        # What was not found leaves us where we were.
        place = before if expected is None else expected
        assert (x.at.row, x.at.executed) == (row, place), name
        assert state(x.at) == world.oracle.at(row, place), name
