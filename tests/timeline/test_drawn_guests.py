"""Walks in traces of guests that hypothesis draws: processes, shared files, heaps, mappings."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap import trace
from bootstrap.trace.compare import check
from tests.instruments.guest import ABIS, Program, R, W, X
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, HOT_PATHS, engine_for
from tests.linux.test_snapshot import GUEST, program
from tests.timeline.walking import SETTINGS, SHARE, WALK, World, timeline_of, walk
from tests.trace import recorded

pytestmark = pytest.mark.usefixtures("small")


@dataclass
class Drawn(Program):
    """A guest, as it is recorded."""

    image: bytes = b""

    def elf(self, code_flags: int = 0, stack: int | None = None) -> bytes:
        return self.image


@EACH_ABI
@settings(SETTINGS, max_examples=8)
@given(GUEST, st.lists(st.tuples(SHARE, SHARE, WALK), min_size=1, max_size=3))
def test_any_walk_in_any_guest(abi: str, ops: Any, walks: Any) -> None:
    guest = Drawn(abi, image=program(abi, ops))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "t")
        digests = {
            recorded.record(guest, Path(folder, hot_path), hot_path) for hot_path in HOT_PATHS
        }
        assert len(digests) == 1
        recorded.record(guest, place)
        with trace.open(place) as opened:
            assert check(opened, engine_for("python")) is None
            world = World(opened)
            for number, (which, start, moves) in enumerate(walks):
                row = 1 + int(which * (len(opened.programs) - 1))
                x = timeline_of(world, HOT_PATHS[number % 2])
                try:
                    x.seek(row, int(start * (len(world.way(row)) - 1)))
                    walk(world, x, row, moves)
                finally:
                    x.close()


def changing(abi: str) -> bytes:
    """A loop whose code changes: far off, just ahead in the same block, and by a REP."""
    guest = Program(abi)
    counter, source = guest.words(150), guest.data(b"\x01\x02\x03\x04")
    guest.label("again")
    guest.raw("bf" + "00000000").raw("be" + source.to_bytes(4, "little").hex())  # edi, esi
    edi = len(guest.code) - 9
    guest.raw("b904000000f3a4")  # mov ecx, 4; rep movsb: into the mov of f
    size = 7 if abi == "i386" else 8
    guest.poke(guest.here + size + 1, 0x33)  # the byte that comes next
    guest.raw("b011").raw("00c3")  # mov al, 0x11; add bl, al
    guest.call_near("f")
    guest.decrement(counter).jump_if_not_zero("again")
    guest.call("write", 1, source, 4).exit(3)
    guest.label("f")
    guest.code[edi : edi + 4] = (guest.here + 1).to_bytes(4, "little")
    guest.raw("b800000000" + "01c2" + "c3")  # mov eax, ...; add edx, eax; ret
    return guest.elf(code_flags=R | W | X)


@pytest.fixture(scope="module", params=ABIS)
def changed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    abi = str(request.param)
    place = tmp_path_factory.mktemp("changing") / "t"
    recorded.record(Drawn(abi, image=changing(abi)), place)
    with trace.open(place) as opened:
        assert opened.programs[0].status == 3 << 8
        yield World(opened)


@EACH_HOT_PATH
@settings(SETTINGS, max_examples=6)
@given(st.lists(st.tuples(SHARE, WALK), min_size=1, max_size=2))
def test_any_walk_where_code_changes(changed: World, hot_path: str, walks: Any) -> None:
    for start, moves in walks:
        x = timeline_of(changed, hot_path)
        try:
            x.seek(1, int(start * (len(changed.way(1)) - 1)))
            walk(changed, x, 1, moves)
        finally:
            x.close()
