"""Any walk through a trace arrives at what a straight run has there: registers, memory, files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given

from bootstrap import trace
from bootstrap.engine.stepping import READS
from tests.engine.runs import HOT_PATHS
from tests.trace import recorded
from tests.trace.travel.walking import SETTINGS, SHARE, WALK, World, explorer, pick, walk

pytestmark = pytest.mark.usefixtures("small")
KAEM, CATM, M0, HELLO, HEX1 = (3, 1), (7, 1), (9, 1), (12, 1), (5, 1)
FORKED = (4, 0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("walks") / "t"
    recorded.record_embedded(place, "native")
    with trace.open(place) as found:
        yield World(found)


@pytest.mark.parametrize("hot_path", HOT_PATHS)
@pytest.mark.parametrize("program", [KAEM, FORKED, CATM, M0, HELLO], ids=lambda p: f"{p[0]}.{p[1]}")
@SETTINGS
@given(WALK, SHARE)
def test_any_walk(
    world: World, program: tuple[int, int], hot_path: str, moves: Any, start: float
) -> None:
    row = world.row(*program)
    x = explorer(world, hot_path)
    try:
        x.at.seek(row, pick(start, len(world.way(row)) - 1))
        walk(world, x, row, moves)
    finally:
        x.close()


def test_just_after_a_call_is_no_place_behind_it(world: World) -> None:
    """Neither where we are already, nor a state that was kept between this call and the next."""
    row = world.row(*HEX1)
    x = explorer(world, "native")
    x.at.seek_call(row, 3)
    place = x.at.executed
    assert x.at.calls == 3
    x.at.step(5_000)
    assert x.at.calls == 3
    x.at.seek_call(row, 3)
    assert x.at.executed == place
    x.at.step(9_000)
    assert x.run_back_to_call()
    assert x.at.executed == place - 1
    x.close()
    x.at.seek_call(row, 3)
    assert x.at.executed == place
    x.at.seek_call(row, 0)
    assert x.at.executed == 0
    x.close()


def test_an_access_of_the_last_instruction_has_no_place_behind_it(world: World) -> None:
    """The path that execve(2) reads: the program is another one then."""
    row = world.row(*FORKED)
    known = world.way(row)
    access = known.accesses[-1][0]
    x = explorer(world, "native")
    watched = (access.guest_addr, access.guest_addr + access.size, READS)
    assert known.first_access(4, *watched) is None
    x.at.seek(row, 4)
    assert x.run_to_access(*watched) is None
    assert (x.at.row, x.at.executed) == (row, 4)
    x.close()
