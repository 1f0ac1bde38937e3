"""Sessions go on and back, to breakpoints and to watchpoints: as plain stepping does."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput
from bootstrap.debug import Session, StopReason
from bootstrap.linux.numbers import NUMBERS
from bootstrap.trace.coordinates import AfterInstructions
from tests.debug.material import READ, SEED, SOURCE, stack, state

# -- going on and back ----------------------------------------------------------------------------


def test_a_session_begins_before_the_first_instruction(hex0: Session) -> None:
    entry = struct.unpack_from("<I", SEED, 24)[0]  # e_entry
    assert (str(hex0.here), hex0.pid, hex0.executed, hex0.calls) == ("1@0", 1, 0, 0)
    assert hex0.pc == dict(hex0.registers())["eip"] == entry
    assert hex0.changed() == frozenset()
    assert stack(hex0)[0] == 3  # argc
    assert hex0.read(stack(hex0)[1], 12) == b"./hex0-seed\0"


def test_a_step_shows_which_registers_it_changed(hex0: Session) -> None:
    before = dict(hex0.registers())
    stop = hex0.step()
    assert (stop.reason, str(stop.place)) == ("step", "1@1")
    after = dict(hex0.registers())
    assert hex0.changed() == {name for name in after if after[name] != before[name]}
    assert hex0.changed() == {"eax", "esp", "eip"}  # pop eax


@settings(max_examples=12, deadline=None)
@given(at=st.integers(0, 201_000), count=st.integers(1, 900))
def test_so_many_on_and_back_is_here(hex0_trace: Path, at: int, count: int) -> None:
    with Session.open(str(hex0_trace)) as session:
        session.go(AfterInstructions(1, at))
        before = state(session)
        if session.step(count).reason == "step":
            assert session.executed == at + count
            session.back(count)
            assert state(session) == before


def test_the_ends_of_history_are_no_errors(hex0: Session) -> None:
    for move in (hex0.back, hex0.reverse_cont, hex0.back_over):
        stop = move()
        assert (stop.reason, str(stop.place)) == ("begin", "1@0")
    stop = hex0.cont()
    last = hex0.total - 1
    assert (stop.reason, hex0.executed, stop.detail) == ("end", last, "pid 1: exit 0")
    number = NUMBERS["i386"]["exit"]
    assert (hex0.read(hex0.pc, 2), dict(hex0.registers())["eax"]) == (b"\xcd\x80", number)
    for move in (hex0.step, hex0.cont, hex0.step_over):
        stop = move()
        assert (stop.reason, hex0.executed) == ("end", last)
    assert hex0.step(10**9).reason == "end"
    stop = hex0.back(10**9)
    assert (stop.reason, hex0.executed) == ("begin", 0)


def test_a_process_is_one_history_across_its_execs(embedded: Session) -> None:
    embedded.go("4.0@0")
    forked = embedded.total
    stop = embedded.step(forked)
    assert (stop.reason, str(stop.place)) == ("exec", "4@0")
    assert embedded.program.ordinal == 1
    stop = embedded.back()
    assert (stop.reason, str(stop.place)) == ("step", f"4.0@{forked - 1}")
    assert embedded.step(3 + 1).place == AfterInstructions(4, 3)
    assert embedded.back(3 + forked).place == AfterInstructions(4, 0, 0)
    assert embedded.cont().place.ordinal is None  # it ends as the second program


# -- breakpoints and watchpoints ------------------------------------------------------------------


def test_a_breakpoint_stops_each_time_and_backwards_too(hex0: Session) -> None:
    # Each byte of the source is read once, and the end of it once more.
    hex0.breakpoints.add(f"{READ:#x}")
    places = []
    while (stop := hex0.cont()).reason == "breakpoint":
        assert (hex0.pc, stop.breakpoint) == (READ, next(iter(hex0.breakpoints)))
        places.append(stop.place)
        if len(places) == 60:
            break
    assert len(set(places)) == 60
    for place in reversed(places[:-1]):
        assert hex0.reverse_cont().place == place
    assert hex0.reverse_cont().reason == "begin"
    hex0.breakpoints.clear()
    assert hex0.cont().reason == "end"


def test_breakpoints_are_met_as_plain_stepping_meets_them(hex0: Session) -> None:
    hex0.go("1@47900")
    addresses = {READ, READ + 8}
    met = []
    for _ in range(300):
        hex0.step()
        if hex0.pc in addresses:
            met.append(hex0.executed)
    hex0.go("1@47900")
    for guest_addr in addresses:
        hex0.breakpoints.add(f"{guest_addr:#x}")
    assert [hex0.cont().place.executed for _ in met] == met


def test_a_breakpoint_on_a_line_and_one_at_its_address_are_the_same(hex0: Session) -> None:
    line = next(n for n, t in enumerate(SOURCE.split(b"\n"), 1) if b"# 0804806e " in t)
    hex0.breakpoints.add(f"hex0.hex0:{line}")
    assert hex0.cont().reason == "breakpoint"
    assert hex0.pc == READ
    with pytest.raises(BadInput, match="no program of this run"):
        hex0.breakpoints.add("hex0.hex0:1")  # a comment
    with pytest.raises(BadInput, match="no program of this run"):
        hex0.breakpoints.add("nowhere")
    with pytest.raises(BadInput, match="no breakpoint 7"):
        hex0.breakpoints.remove(7)


def test_watchpoints_see_what_stepping_sees_change(hex0: Session) -> None:
    hex0.go("1@47950")
    cell, now = dict(hex0.registers())["ecx"], b""  # where it reads to
    changed = []
    for _ in range(300):
        before = hex0.read(cell, 4)
        hex0.step()
        now = hex0.read(cell, 4)
        if now != before:
            changed.append(hex0.executed)
    assert len(changed) > 10
    hex0.go("1@47950")
    hex0.watchpoints.add(cell, 4, "w")
    stops: list[StopReason] = []
    while not stops or stops[-1].place.executed < 47950 + 300:
        stops.append(hex0.cont())
        assert (stops[-1].reason, stops[-1].watchpoint) == (
            "watchpoint",
            next(iter(hex0.watchpoints)),
        )
    at = [stop.place.executed for stop in stops]
    assert set(changed) <= set(at)
    # Going back it is before the instruction, going on after it.
    assert [hex0.reverse_cont().place.executed + 1 for _ in at] == at[::-1]
    hex0.watchpoints.clear()
    assert hex0.cont().reason == "end"


def test_of_a_breakpoint_and_a_watchpoint_the_first_counts(hex0: Session) -> None:
    hex0.go("1@47950")
    cell = dict(hex0.registers())["esp"]
    breakpoint, watchpoint = hex0.breakpoints.add(f"{READ:#x}"), hex0.watchpoints.add(cell, 4, "a")
    both = []
    while hex0.executed < 48100:
        both.append(hex0.cont().place.executed)
    hex0.watchpoints.clear()
    hex0.go("1@47950")
    alone = []
    while hex0.executed < 48100:
        alone.append(hex0.cont().place.executed)
    hex0.breakpoints.clear()
    hex0.watchpoints.add(cell, 4, "a")
    hex0.go("1@47950")
    while hex0.executed < 48100:
        alone.append(hex0.cont().place.executed)
    assert both == sorted(set(alone))[: len(both)]
    assert breakpoint.text == f"{READ:#x}"
    assert watchpoint.kinds == "a"


def test_watchpoints_that_cannot_be(hex0: Session) -> None:
    for guest_addr, size, kinds in ((0, 0, "w"), (-1, 1, "w"), (1 << 64, 1, "w"), (0, 1, "x")):
        with pytest.raises(BadInput):
            hex0.watchpoints.add(guest_addr, size, kinds)
    with pytest.raises(BadInput, match="no watchpoint 3"):
        hex0.watchpoints.remove(3)
    hex0.watchpoints.add(0x1000, 4, "a")  # nothing is mapped there
    assert hex0.cont().reason == "end"
