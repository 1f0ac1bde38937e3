"""Calls of a recorded program that are on a file, as a `CallFilter` finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.core.errors import BadInput
from bootstrap.trace.calls import CallFilter, calls
from bootstrap.trace.store import Trace
from tests.instruments.guest import Program
from tests.trace import recorded

PARENT, CHILD = 1, 2
MADE, SOURCE = (8, 9, 18), (2, 3, 4, 5, 6, 7, 22)
"""As `recorded.busy` makes them: open, write, close; open, three that read, lseek, read, dup2."""


def on(
    opened: Trace, path: str, row: int = PARENT, name: str | None = None, backwards: bool = False
) -> tuple[int, ...]:
    program, wanted = opened.program(row), CallFilter(opened, [name] if name else (), paths=[path])
    every = calls(opened, program, program.calls if backwards else 1, backwards)
    return tuple(call.ordinal for call in every if wanted.fits(program, call))


def test_all_of_them(opened: Trace) -> None:
    assert (on(opened, "/made"), on(opened, "made"), on(opened, "source")) == (MADE, MADE, SOURCE)
    assert on(opened, "/source", backwards=True) == SOURCE[::-1]
    # A write and a close, by the descriptor that it inherited.
    assert on(opened, "/made", CHILD) == (1, 2)
    assert on(opened, "/source", CHILD) == ()
    assert on(opened, "/made", name="write") == (9,)
    assert on(opened, "/made", name="read") == ()
    with pytest.raises(BadInput, match="no program of this run opened or executed it"):
        on(opened, "/another")


def test_the_call_that_closes_it_is_one_of_them(tmp_path: Path) -> None:
    """And the next one on the same descriptor is not; it is another file's."""
    guest = Program("i386")
    one, two = guest.text(b"/one"), guest.text(b"/two")
    guest.call("open", one, 0o101, 0o644).call("write", 3, one, 4).call("close", 3)
    guest.call("open", two, 0o101, 0o644).call("close", 3).call("close", 3).exit(0)
    recorded.record(guest, tmp_path / "t")
    with trace.open(tmp_path / "t") as opened:
        assert on(opened, "/one") == (1, 2, 3)
        assert on(opened, "/two") == (4, 5)
