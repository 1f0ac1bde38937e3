"""States that are kept in memory, and the index beside a trace: the same with it as without."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.core.errors import BadInput
from bootstrap.linux.files_snapshot import FsState
from bootstrap.linux.snapshot import Snapshot
from bootstrap.timeline import checkpoints, indexing
from bootstrap.timeline.checkpoints import KEPT, PROGRAMS, Checkpoint, Checkpoints, StoredIndex
from bootstrap.timeline.timeline import Timeline, Unsure
from bootstrap.trace.store import Trace
from tests.cli.command import bootstrap
from tests.instruments.guest import Program
from tests.instruments.runs import EACH_HOT_PATH, engine_for
from tests.timeline.walking import state
from tests.trace import recorded

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


# The index.


@pytest.fixture(scope="module")
def indexed(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trace]:
    """With states 40,000 instructions apart."""
    here = shutil.copy(place, tmp_path_factory.mktemp("indexed") / "embedded.trace")
    with pytest.MonkeyPatch.context() as patch, trace.open(here) as found:
        patch.setattr(indexing, "SPACING", 40_000)
        total = indexing.build(found, engine_for("native"), checkpoints.beside(found))
        assert total == 2_667_272
        yield found


def index_of(opened: Trace) -> StoredIndex:
    index = checkpoints.open_index(opened)
    assert index is not None
    return index


def built(opened: Trace, hot_path: str = "native") -> StoredIndex:
    indexing.build(opened, engine_for(hot_path), checkpoints.beside(opened))
    return index_of(opened)


@EACH_HOT_PATH
def test_every_place_is_the_same_from_a_stored_state(indexed: Trace, hot_path: str) -> None:
    engine, choose, index = engine_for(hot_path), random.Random(5), index_of(indexed)
    # Where instructions are counted in Python, one short program.
    rows, times = ((1, 5, 7, 13), 3) if hot_path == "native" else ((1,), 2)
    for row in rows:
        assert len(index.executed(row)) == index.totals[row] // 40_000
        for _ in range(times):
            executed = choose.randrange(40_000, index.totals[row])
            near = Checkpoints(checkpoints.open_index(indexed))
            with_index = Timeline(indexed, engine, checkpoints=near)
            without = Timeline(indexed, engine)
            try:
                with_index.seek(row, executed)
                without.seek(row, executed)
                assert state(with_index) == state(without)
                # It was gone on from what the index has, not from the program's start.
                assert min(point.executed for _, point in near) >= executed - 80_000
                with_index.seek_call(row, without.calls)
            finally:
                with_index.close()
                without.close()


def test_totals_are_those_of_running_to_the_end(indexed: Trace, traveller: Timeline) -> None:
    totals = {p.id: traveller.total(p.id) for p in indexed.programs}
    assert index_of(indexed).totals == totals


def test_a_program_that_a_fault_ends_is_counted_one_by_one(tmp_path: Path) -> None:
    guest = Program("i386").raw("b9e8030000").raw("83e90175fb").raw("90a100000000").exit(0)
    recorded.record(guest, tmp_path / "t.trace")
    with trace.open(tmp_path / "t.trace") as opened:
        assert built(opened).totals == {1: 1 + 2 * 1000 + 2}


@EACH_HOT_PATH
def test_segments_that_a_program_loads_are_there_at_every_place(
    tmp_path: Path, hot_path: str
) -> None:
    guest = Program("i386")
    cell = guest.space(8)
    guest.thread_pointer(guest.words(0, 22)).raw("1e07" * 3)  # push ds; pop es
    guest.call("fork").jump_if_zero("child").call("wait4", -1, 0, 0, 0).exit(0)
    guest.label("child").load_from_thread(4).store(cell).call("write", 1, cell, 4).exit(0)
    recorded.record(guest, tmp_path / "t.trace", hot_path)
    with trace.open(tmp_path / "t.trace") as opened:
        index = built(opened, hot_path)
        assert index.totals == {1: 3 + 2 + 6 + 2 + 2 + 6 + 3, 2: 2 + 2 + 5 + 3}
        at = Timeline(opened, engine_for(hot_path))
        for row, total in index.totals.items():
            for executed in range(total):
                at.seek(row, executed)
        at.close()


def test_an_index_of_another_trace_is_said_and_not_used(place: Path, tmp_path: Path) -> None:
    here = Path(shutil.copy(place, tmp_path / "t.trace"))
    other = tmp_path / "other.trace"
    recorded.record(Program("i386").exit(0), other)
    assert bootstrap("trace", "index", other).status == 0
    shutil.move(f"{other}.index", f"{here}.index")
    done = bootstrap("trace", "show", here, "5#3")
    assert done.status == 0
    assert done.one_line().startswith(
        f"bootstrap: {here}.index: is not of this trace, and is not used"
    )
    done = bootstrap("trace", "index", here)
    assert (done.status, done.stderr) == (0, "")
    assert "2,667,272 instructions in 21 programs" in done.stdout
    done = bootstrap("trace", "show", here, "5#3")
    assert (done.status, done.stderr) == (0, "")


@pytest.mark.parametrize("byte", [0, 100, 5_000, 20_000, -1])
def test_any_changed_byte_of_an_index_is_found(indexed: Trace, tmp_path: Path, byte: int) -> None:
    here = Path(shutil.copy(indexed.name, tmp_path / "t.trace"))
    index = Path(shutil.copy(checkpoints.beside(indexed), f"{here}.index"))
    raw = bytearray(index.read_bytes())
    raw[byte] ^= 1
    for content in (raw, index.read_bytes()[:-4096]):
        index.write_bytes(content)
        with trace.open(here) as opened, pytest.raises(BadInput, match=r"t\.trace\.index: "):
            checkpoints.checkpoints_of(opened)
    done = bootstrap("trace", "show", here, "1@0")
    assert done.status == 2
    assert "make it again with `bootstrap trace index`, or delete it" in done.one_line()


def test_a_damaged_index_is_made_again(tmp_path: Path) -> None:
    here = tmp_path / "t.trace"
    recorded.record(Program("i386").exit(0), here)
    Path(f"{here}.index").write_bytes(b"x")
    for words in (("index", here), ("show", here, "1@0")):
        assert bootstrap("trace", *words).status == 0


def test_what_was_not_counted_right_is_not_kept(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks cannot count a program: its states so far are dropped, and it is counted again."""
    monkeypatch.setattr(indexing, "SPACING", 100_000)
    given_up: list[int] = []
    run_out = Timeline.run_out

    def unsure_once(self: Timeline, row: int) -> int:
        total = run_out(self, row)
        if row == 1 and not given_up:
            given_up.append(total)
            del self.checkpoints.totals[row]
            raise Unsure
        return total

    monkeypatch.setattr(Timeline, "run_out", unsure_once)
    with trace.open(shutil.copy(place, tmp_path / "t.trace")) as opened:
        index = built(opened)
    assert given_up == [index.totals[1]]
    assert [at // 100_000 for at in index.executed(1)] == [1, 2]
    assert len(set(index.executed(1))) == 2


def test_who_interrupts_leaves_nothing(opened: Trace, tmp_path: Path) -> None:
    def stop(_row: int, _executed: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        indexing.build(opened, engine_for("native"), str(tmp_path / "index"), stop)
    assert list(tmp_path.iterdir()) == []
