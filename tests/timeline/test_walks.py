"""Any walk through a trace arrives at what a straight run has there: registers, memory, files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap import trace
from bootstrap.core.arches import PAGE
from bootstrap.core.memory import DIRTY, KEPT
from bootstrap.instruments.counter import READS, WRITES
from bootstrap.timeline import search
from bootstrap.timeline.stores import store_before
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.compare import check
from bootstrap.trace.store import Trace
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, HOT_PATHS, engine_for
from tests.linux.test_snapshot import GUEST, program
from tests.timeline.conftest import ARCHES
from tests.timeline.walking import SETTINGS, SHARE, WALK, World, timeline_of, walk
from tests.trace import recorded

pytestmark = pytest.mark.usefixtures("small")
KAEM, CATM, M0, HELLO, HEX1 = (3, 1), (7, 1), (9, 1), (12, 1), (5, 1)
FORKED = (4, 0)
PROGRAMS = [
    *(("embedded", program) for program in (KAEM, FORKED, CATM, M0, HELLO)),
    *(("code that changes", abi) for abi in ("i386", "x86_64")),
    *(("hex0-seed", arch) for arch in ARCHES),
]


@pytest.fixture(scope="module")
def world(opened: Trace) -> World:
    """The embedded path."""
    return World(opened)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], World]]:
    """By architecture, a guest whose code changes."""
    worlds: dict[str, World] = {}

    def of(abi: str) -> World:
        if abi not in worlds:
            place = tmp_path_factory.mktemp("changing") / "t"
            recorded.record(recorded.changing(abi), place)
            worlds[abi] = World(trace.open(place))
            assert worlds[abi].trace.programs[0].status == 3 << 8
        return worlds[abi]

    yield of
    for one in worlds.values():
        one.trace.close()


@EACH_HOT_PATH
@pytest.mark.parametrize(("kind", "which"), PROGRAMS, ids=str)
@settings(SETTINGS, max_examples=8)
@given(WALK, SHARE)
def test_any_walk(
    request: pytest.FixtureRequest, kind: str, which: Any, hot_path: str, moves: Any, start: float
) -> None:
    if kind == "embedded":
        world: World = request.getfixturevalue("world")
        walk(world, world.row(*which), hot_path, start, moves)
    else:
        name = "changed" if kind == "code that changes" else "seeds"
        walk(request.getfixturevalue(name)(which), 1, hot_path, start, moves)


@EACH_ABI
@settings(SETTINGS, max_examples=8)
@given(GUEST, st.lists(st.tuples(SHARE, SHARE, WALK), min_size=1, max_size=3))
def test_any_walk_in_any_guest(abi: str, ops: Any, walks: Any) -> None:
    """Processes, shared files, heaps, mappings."""
    guest = program(abi, ops)
    with tempfile.TemporaryDirectory() as folder:
        digests = {recorded.record(guest, Path(folder, name), name) for name in HOT_PATHS}
        assert len(digests) == 1
        with trace.open(Path(folder, "native")) as opened:
            assert check(opened, engine_for("python")) is None
            world = World(opened)
            for number, (which, start, moves) in enumerate(walks):
                row = 1 + int(which * (len(opened.programs) - 1))
                walk(world, row, HOT_PATHS[number % 2], start, moves)


def test_just_after_a_call_is_no_place_after_it(world: World) -> None:
    """Neither where we are already, nor a state that was kept between this call and the next."""
    row = world.row(*HEX1)
    x = timeline_of(world, "native")
    x.seek_call(row, 3)
    place = x.executed
    assert x.calls == 3
    x.step(5_000)
    assert x.calls == 3
    x.seek_call(row, 3)
    assert x.executed == place
    x.step(9_000)
    x.close()
    x.seek_call(row, 3)
    assert x.executed == place
    x.seek_call(row, 0)
    assert x.executed == 0
    x.close()


def test_an_access_of_the_last_instruction(world: World) -> None:
    """The path that execve(2) reads: the program is another one then."""
    row = world.row(*FORKED)
    known = world.way(row)
    access = known.accesses[-1][0]
    x = timeline_of(world, "native")
    watched = (access.guest_addr, access.guest_addr + access.size, READS)
    assert known.first_access(4, *watched) is None
    x.seek(row, 4)
    found = search.first_access(x, *watched, row, 4)
    assert found is not None and found.executed == len(known) - 1
    assert (x.row, x.executed) == (row, 4)
    x.close()


def test_no_access_before_the_place_to_begin_at(world: World) -> None:
    """What was accessed between the checkpoint that the search starts from and that place."""
    row = world.row(*M0)
    known = world.way(row)
    for access in (a for some in known.accesses for a in some):
        watched = access.guest_addr, access.guest_addr + access.size, READS | WRITES
        if known.last_access(access.executed + 5, *watched) == access.executed:
            break
    x = timeline_of(world, "native")
    here = row, access.executed + 5
    x.seek(*here)
    found = search.last_access(x, *watched, *here, since=access.executed)
    assert found is not None and found.executed == access.executed
    assert search.last_access(x, *watched, *here, since=access.executed + 1) is None
    x.close()


def test_what_was_not_written_is_zero(world: World) -> None:
    """A kept state has the pages that are marked as written, and no other."""
    for one in (KAEM, HEX1, M0):
        row = world.row(*one)
        at = Timeline(world.trace, engine_for("native"))
        at.seek(row, at.total(row) - 1)
        for extent in at.process.memory.extents:
            for index, flags in enumerate(extent.pages):
                if not flags & (DIRTY | KEPT):
                    page = extent.host[index * PAGE : (index + 1) * PAGE]
                    assert page == bytes(PAGE), hex(extent.start + index * PAGE)
        at.close()


def test_the_last_store_before_a_call(world: World) -> None:
    """What `why` asks for, against the way as it was walked."""
    row = world.row(*M0)
    known = world.way(row)
    stores = [a for some in known.accesses for a in some if a.writes]
    ordinals = {at: ordinal for ordinal, (at, _, _) in enumerate(known.calls, 1)}
    for at, ordinal in [*ordinals.items()][:-1]:  # but for the exit, which does not come back
        before = [a for a in stores if a.executed < at]
        some = {a.guest_addr + n for a in before[:: len(before) // 4 + 1] for n in (0, a.size - 1)}
        for address in (*sorted(some), 0x8048000):
            found = store_before(world.trace, engine_for("native"), row, ordinal, address)
            last = [a for a in before if a.guest_addr <= address < a.guest_addr + a.size]
            assert (found is None) == (not last)
            if found is not None:
                began = [0, *(n + 1 for n in ordinals)][found.calls]
                assert (began + found.after, found.pc) == (last[-1].executed, last[-1].pc)
                assert found.by_call == (last[-1].executed in ordinals)
