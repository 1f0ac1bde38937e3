"""Calls of a recorded program that are on a file, as `Explorer` finds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.core.errors import BadInput
from bootstrap.timeline.search import Explorer, Wanted
from tests.instruments.guest import Program
from tests.instruments.runs import engine_for
from tests.trace import recorded

PARENT, CHILD = 1, 2
MADE, SOURCE = (8, 9, 18), (2, 3, 4, 5, 6, 7, 22)
"""As `recorded.busy` makes them: open, write, close; open, three that read, lseek, read, dup2."""


@pytest.fixture
def explorer(tmp_path: Path) -> Iterator[Explorer]:
    files = recorded.busy_files("i386")
    recorded.record(recorded.busy("i386"), tmp_path / "t", files=files, stdin=[b"12345678"])
    with trace.open(tmp_path / "t") as opened:
        found = Explorer(opened, engine_for("native"))
        yield found
        found.close()


def test_all_of_them(explorer: Explorer) -> None:
    def on(path: str, row: int = PARENT, name: str = "") -> tuple[int, ...]:
        return tuple(explorer.calls(row, Wanted(path=path, name=name)))

    assert (on("/made"), on("made"), on("source")) == (MADE, MADE, SOURCE)
    assert tuple(explorer.calls(PARENT, Wanted(path="/source"), backwards=True)) == SOURCE[::-1]
    # A write and a close, by the descriptor that it inherited.
    assert on("/made", CHILD) == (1, 2)
    assert on("/source", CHILD) == ()
    assert on("/made", name="write") == (9,)
    assert on("/made", name="read") == ()
    with pytest.raises(BadInput, match="no program of this run opened it"):
        on("/another")


def test_going_to_them(explorer: Explorer) -> None:
    at = explorer.at
    at.seek(PARENT, 0)
    there = []
    while explorer.run_to_call(Wanted(path="/made")):
        there.append(at.calls)
    assert tuple(there) == MADE
    back = []
    while explorer.run_back_to_call(Wanted(path="/made")):
        back.append(at.calls + 1)  # its instruction comes next
    assert tuple(back) == MADE[::-1]
    here = at.executed
    assert not explorer.run_to_call(Wanted(path="/made", name="read"))
    assert (at.row, at.executed) == (PARENT, here)


def test_the_call_that_closes_it_is_one_of_them(tmp_path: Path) -> None:
    """And the next one on the same descriptor is not; it is another file's."""
    guest = Program("i386")
    one, two = guest.text(b"/one"), guest.text(b"/two")
    guest.call("open", one, 0o101, 0o644).call("write", 3, one, 4).call("close", 3)
    guest.call("open", two, 0o101, 0o644).call("close", 3).call("close", 3).exit(0)
    recorded.record(guest, tmp_path / "t")
    with trace.open(tmp_path / "t") as opened:
        explorer = Explorer(opened, engine_for("native"))
        for path, wanted in (("/one", (1, 2, 3)), ("/two", (4, 5))):
            assert tuple(explorer.calls(PARENT, Wanted(path=path))) == wanted
        explorer.close()
