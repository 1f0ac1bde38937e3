"""What came in over a standard stream comes in again, at the same call."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.instruments import default_engine
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.compare import check
from tests.instruments.guest import Program
from tests.trace import recorded


@pytest.mark.parametrize("abi", ["i386", "x86_64"])
def test_each_buffer_of_one_call_gets_its_part(tmp_path: Path, abi: str) -> None:
    guest = Program(abi)
    first, second = guest.space(4), guest.space(4)
    guest.call("read", 0, first, 1)
    guest.call("readv", 0, guest.words(first, 4, second, 4), 2).call("write", 1, first, 4).exit(0)
    recorded.record(guest, tmp_path / "t", stdin=[b"x", b"abcd", b"efgh"])
    with trace.open(tmp_path / "t") as opened:
        assert check(opened, default_engine()) is None
        at = Timeline(opened, default_engine())
        at.seek_call(1, 2)
        assert at.process.memory.read(first, 4) == b"abcd"
        assert at.process.memory.read(second, 4) == b"efgh"
        at.close()
