"""Writing into a live program: what follows is what a program would do that was made so; and runs
that failed, which are there up to their failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.debug import Session
from bootstrap.linux.limits import RunLimits
from bootstrap.timeline import timeline as travel
from bootstrap.timeline.edits import Edit, Edits, edits_of
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.profile import count
from bootstrap.timeline.timeline import BEYOND, Timeline
from tests.debug.material import state
from tests.instruments.guest import DATA, Program
from tests.instruments.runs import EACH_HOT_PATH, engine_for

FOREVER = b"\xeb\xfe"
"""jmp to itself."""


def countdown(start: int) -> bytes:
    """Writes a byte that counts down from `start`, until it is 0."""
    guest = Program("i386")
    cell = guest.data(bytes([start, 0, 0, 0]))
    assert cell == DATA
    guest.label("again").call("write", 1, cell, 1)
    guest.decrement(cell).jump_if_not_zero("again")
    return guest.exit(3).elf()


def family() -> bytes:
    """Forks; the child exits with the first byte of data, the parent with the second."""
    guest = Program("i386")
    guest.data(bytes([1, 0, 0, 0, 2, 0, 0, 0]))
    guest.call("fork").jump_if_zero("child").call("waitpid", -1, 0, 0)
    guest.load(DATA + 4).exit_with_result()
    guest.label("child").call("getpid").load(DATA).exit_with_result()
    return guest.elf()


def live(tmp_path: Path, image: bytes, hot_path: str = "native", limits: RunLimits | None = None
         ) -> Session:  # fmt: skip
    root = tmp_path / str(len(list(tmp_path.iterdir())))
    root.mkdir()
    (root / "guest").write_bytes(image)
    (root / "guest").chmod(0o755)
    return Session.record(
        ["./guest"], root=str(root), engine=engine_for(hot_path), limits=limits
    )  # fmt: skip


def states(session: Session) -> list[tuple[object, ...]]:
    """At every instruction from here on."""
    found = [state(session)]
    while session.step().reason != "end":
        found.append(state(session))
    return found


@EACH_HOT_PATH
def test_it_goes_on_as_one_that_was_made_so(tmp_path: Path, hot_path: str) -> None:
    with live(tmp_path, countdown(9), hot_path) as here, live(tmp_path, countdown(3)) as made:
        assert here.live
        before = here.total
        here.write(DATA, b"\3")
        assert here.read(DATA, 1) == b"\3"
        known = states(made)
        assert states(here) == known
        assert (here.total, here.trace.digest != made.trace.digest) == (made.total, True)
        assert here.total < before
        # And all the way back.
        for place in reversed(known[:-1]):
            here.back()
            assert state(here) == place
        assert here.back().reason == "begin"


def test_in_the_middle_and_before_it_nothing_is_otherwise(tmp_path: Path) -> None:
    with live(tmp_path, countdown(9)) as session:
        known = states(session)
        session.next_call()
        session.go("1#3")
        place = session.executed
        assert session.read(DATA, 1) == b"\7"
        session.write(DATA, b"\2")
        session.set_register("esi", 0xABCD)
        assert session.undo().reason == "nowhere"  # those moves were in another run
        session.go("1#3")
        assert session.next_call().reason == "call"
        assert session.undo().reason == "jump"
        assert (session.executed, session.read(DATA, 1)) == (place, b"\2")
        assert dict(session.registers())["esi"] == 0xABCD
        assert session.cont().reason == "end"
        assert (session.calls, session.program.status) == (3 + 1, 3 << 8)
        assert dict(session.registers())["esi"] == 0xABCD
        session.go("1@0")
        assert [(state(session), session.step())[0] for _ in range(place)] == known[:place]
        # A watchpoint sees what the program writes, not what we did.
        session.watchpoints.add(DATA, 1, "w")
        session.go("1#3")
        assert session.cont().reason == "watchpoint"
        assert session.read(DATA, 1) == b"\1"
        assert session.reverse_cont().place.executed == session.executed
        assert session.read(DATA, 1) == b"\2"


def test_what_is_written_earlier_undoes_what_was_written_later(tmp_path: Path) -> None:
    with live(tmp_path, countdown(9)) as session:
        session.go("1#3")
        session.write(DATA, b"\1")
        session.cont()
        assert session.calls == 3
        session.go("1#1")
        session.write(DATA, b"\5")
        session.write(DATA, b"\4")  # the last one counts
        session.cont()
        assert (session.calls, session.versions) == (1 + 3, 2)
        session.go("1#2")
        session.write(DATA, b"\1")  # this is later: both are there
        session.cont()
        assert (session.calls, session.versions) == (2, 3)
        session.go("1#1")
        assert session.read(DATA, 1) == b"\4"


@EACH_HOT_PATH
def test_in_parents_and_children(tmp_path: Path, hot_path: str) -> None:
    with live(tmp_path, family(), hot_path) as session:

        def exits() -> list[int]:
            return [program.status >> 8 for program in session.trace.programs
                    if program.status is not None]  # fmt: skip

        assert exits() == [2, 1]
        session.write(DATA, b"\x0b")  # before the fork: the child inherits it
        assert exits() == [2, 11]
        session.go("2#1")
        session.write(DATA, b"\x0c")
        session.write(DATA + 4, b"\x63")  # not its parent's
        assert exits() == [2, 12]
        session.go("1#1")  # just after the fork, when the child has ended
        session.write(DATA + 4, b"\x0d")
        assert exits() == [13, 12]
        # Each place is reached from everywhere.
        for place, at, byte in (("1@0", DATA, 11), ("2@0", DATA, 11), ("2#1", DATA, 12),
                                ("1#1", DATA + 4, 13), ("1@1", DATA + 4, 2)):  # fmt: skip
            for start in ("1@0", "2@1", "1#2"):
                session.go(start)
                session.go(place)
                assert session.read(at, 1)[0] == byte, (place, start)
        session.go("1@0")
        assert session.cont().reason == "end"
        assert str(session.here) == f"1@{session.total - 1}"


def test_long_ways_come_by_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(travel, "FAR", 20)
    monkeypatch.setattr(travel, "FINE", (8, 4))
    with live(tmp_path, countdown(60)) as session:
        blocks = Timeline(session.trace, engine_for("native"))
        assert blocks.by_blocks() is not None
        blocks.close()
        session.go("1#30")
        session.write(DATA, b"\5")
        session.settle()
        session.go("1@0")
        (counted,) = count(
            Timeline(session.trace, engine_for("native")), ProgramImages(session.trace),
            session.trace.programs,
        ).values()  # fmt: skip
        assert counted.programs[0][1] == session.total == sum(n for _, n in counted.ran())
        assert session.cont().reason == "end"
        assert session.calls == 30 + 4
        assert session.seek(1, session.total - 1).place == session.here


def test_a_repeated_instruction_counts_again_when_it_is_gone_back_to(tmp_path: Path) -> None:
    guest = Program("i386").raw("40" + "43").exit(0)  # inc eax; inc ebx
    with live(tmp_path, guest.elf()) as session:
        session.step()
        session.set_register("eip", session.pc - 1)
        session.step()
        assert dict(session.registers())["eax"] == 2
        assert session.executed == 2
        session.back(2)
        session.step(2)
        assert dict(session.registers())["eax"] == 2


def test_a_loop_without_an_end_is_ended_and_inspected(tmp_path: Path) -> None:
    with live(tmp_path, countdown(3)) as session:
        session.go("1#1")
        place, executed = session.pc, session.executed

        def progress(_row: int, _executed: int) -> None:
            raise KeyboardInterrupt

        was = session.read(place, 2)
        session.write(place, FOREVER)
        session.progress = progress
        with pytest.raises(KeyboardInterrupt):
            session.step()
        session.progress = lambda _row, _executed: None
        assert (session.pc, session.executed) == (place, executed)
        assert session.failure == "interrupted while it ran"
        assert session.step(5).reason == "step"
        assert (session.pc, session.executed) == (place, executed + 5)
        stop = session.cont()
        assert (stop.reason, session.executed) == ("end", executed + BEYOND - 1)
        assert "interrupted while it ran" in stop.detail
        session.go("1#1")
        session.write(place, was)
        assert session.cont().reason == "end"


def test_a_recording_and_what_is_not_there(tmp_path: Path, hex0: Session) -> None:
    assert not hex0.live
    refused = "this is a recording: nothing can be written to it"
    with pytest.raises(BadInput, match=refused):
        hex0.write(hex0.pc, b"\0")
    with pytest.raises(BadInput, match=refused):
        hex0.set_register("eax", 1)
    with live(tmp_path, countdown(3)) as session:
        with pytest.raises(BadInput, match="no memory for 8 bytes at 0x10"):
            session.write(0x10, bytes(8))
        with pytest.raises(BadInput, match="no register rip"):
            session.set_register("rip", 0)
        assert session.versions == 0
        for byte, where in ((3, "1@0"), (8, "1#1")):  # the same up to there, or not
            (tmp_path / "0" / "guest").write_bytes(countdown(byte) + bytes(byte == 3))
            session.go(where)
            session.write(DATA, b"\1")
            with pytest.raises(BadInput, match=r"has something in .* changed since"):
                session.settle()
            assert (session.versions, session.read(DATA, 1)) == (0, b"\3")
        with pytest.raises(BadInput, match="cannot be run again"):
            (tmp_path / "0" / "guest").unlink()
            session.write(DATA, b"\1")
            session.settle()
        with pytest.raises(BadInput, match="is not a folder"):
            session.make_live(str(tmp_path / "none"))


def test_a_bootstrap_is_no_program_to_run_again(embedded: Session, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no recording of one program"):
        embedded.make_live(str(tmp_path))


def test_what_stands_in_a_trace() -> None:
    one = Edit(1, 5, 2).with_memory(0x10, b"ab").with_register("eax", b"\7")
    other = Edit(2, 0, 3, ((1, b""),))
    found = edits_of({"edits": Edits([other, one]).text})
    assert found.all == (one, other)
    assert not edits_of({})
    for bad in ("[1]", '[{"row": 1}]', "{", '[{"row": 1, "executed": 1, "event": 1, "memory": 1}]'):
        with pytest.raises(ValueError):
            edits_of({"edits": bad})


# -- runs that failed -----------------------------------------------------------------------------


def test_an_unknown_call_is_where_it_ends(tmp_path: Path) -> None:
    guest = Program("i386").call("getpid").raw("40").call(399).raw("4040").exit(0)
    with live(tmp_path, guest.elf()) as session:
        stop = session.cont()
        assert (stop.reason, session.read(session.pc, 2)) == ("end", b"\xcd\x80")
        assert "the run failed: system call 399 (msgget) is not supported" in stop.detail
        assert session.step().reason == "end"
        assert session.total == session.executed + 1
        session.back(2)
        assert session.step(2).reason == "step"


@pytest.mark.parametrize("limits", [RunLimits(instructions=2000), RunLimits(seconds=1)])
def test_a_limit_ends_it_a_little_later(tmp_path: Path, limits: RunLimits) -> None:
    guest = Program("i386").call("getpid").label("again").raw("40").jmp("again")
    with live(tmp_path, guest.elf(), limits=limits) as session:
        assert "limit: " in session.failure
        session.go("1#1")
        last = session.executed
        assert session.total == last + BEYOND
        assert session.step(1000).reason == "step"
        stop = session.cont()
        assert (stop.reason, session.executed) == ("end", last + BEYOND - 1)
        assert "the run failed: limit" in stop.detail


def test_a_parent_whose_child_failed(tmp_path: Path) -> None:
    guest = Program("i386").call("fork").jump_if_zero("child").call("waitpid", -1, 0, 0).exit(0)
    guest.label("child").call(399)
    with live(tmp_path, guest.elf()) as session:
        stop = session.next_call()
        assert stop.reason == "end"
        assert session.read(session.pc, 2) == b"\xcd\x80"
        assert session.into_child().reason == "child"
        assert session.cont().reason == "end"
