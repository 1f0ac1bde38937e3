"""How many states are kept in memory, and which are let go of."""

from __future__ import annotations

from bootstrap.linux.files_snapshot import FsState
from bootstrap.linux.snapshot import Snapshot
from bootstrap.timeline.checkpoints import KEPT, PROGRAMS, Checkpoint, Checkpoints

NOTHING = Snapshot(0, 0, (), FsState(0, 0, 0, (), ()))


def point(executed: int) -> Checkpoint:
    return Checkpoint(executed, executed // 10, 0, (), NOTHING)


def test_the_nearest_is_not_after_the_place() -> None:
    points = Checkpoints()
    for executed in (300, 0, 100):
        points.add(1, point(executed))
    assert points.nearest(2, 50) is None
    assert points.nearest(1, 99) == point(0)
    assert points.nearest(1, 100) == point(100)
    assert points.nearest_call(1, 29) == point(100)
    assert points.before(1, 100) == 0
    assert points.before(1, 101) == 100
    assert points.has(1, 300) and not points.has(1, 299)


def test_most_states_are_thinned_out_and_old_programs_go() -> None:
    points = Checkpoints()
    for executed in range(KEPT + 1):
        points.add(1, point(executed))
    assert len(list(points)) == (KEPT + 2) // 2
    for row in range(2, PROGRAMS + 2):
        points.add(row, point(7))
        points.add(2, point(100 + row))
    rows = {row for row, _ in points}
    assert 2 in rows
    assert 1 not in rows
    assert len(rows) == PROGRAMS
