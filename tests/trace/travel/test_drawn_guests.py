"""Walks in traces of guests that hypothesis draws: processes, shared files, heaps, mappings."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap import trace
from bootstrap.trace.replay import check
from tests.engine.guest import Program
from tests.engine.runs import EACH_ABI, HOT_PATHS, engine_for
from tests.kernel.test_snapshot import GUEST, program
from tests.trace import recorded
from tests.trace.travel.walking import SETTINGS, SHARE, WALK, World, explorer, walk

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
                x = explorer(world, HOT_PATHS[number % 2])
                try:
                    x.at.seek(row, int(start * (len(world.way(row)) - 1)))
                    walk(world, x, row, moves)
                finally:
                    x.close()
