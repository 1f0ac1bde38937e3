"""`bootstrap diff` of two traces: one thing is changed, and has to be found exactly."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.diff.lockstep import Machines, NotFound, SearchRange
from bootstrap.diff.render_traces import trace_document, trace_text
from bootstrap.diff.traces import TraceDiff
from bootstrap.linux.limits import RunLimits
from bootstrap.report.page import Page
from tests.diff.pairs import (
    Run,
    compared,
    executed_of,
    first_byte_of,
    first_of,
    flipped,
    one_by_one,
    recorded_pair,
)
from tests.instruments.guest import Program
from tests.instruments.runs import engine_for
from tests.trace import recorded

O_RDONLY = 0
O_NEW = 0o1101  # O_WRONLY | O_CREAT | O_TRUNC
Pairs = Callable[[Run, Run], AbstractContextManager[TraceDiff]]
SOURCE = b"the source of it all\n" * 2


def copier(last: int = 3) -> Program:
    """Copies /source to /out byte by byte, and adds three to each; writes `last` bytes besides.

    /source must be there."""
    guest = Program("i386")
    name, out, space = guest.text(b"/source"), guest.text(b"/out"), guest.space(16)
    guest.call("open", name, O_RDONLY, 0).call("open", out, O_NEW, 0o644)
    guest.label("again").call("read", 3, space, 1).jump_if_zero("done")
    guest.raw(b"\xa0" + space.to_bytes(4, "little"))  # mov al, [space]
    guest.raw("0403").raw(b"\xa2" + space.to_bytes(4, "little"))  # add al, 3; mov [space], al
    guest.call("write", 4, space, 1).jmp("again")
    guest.label("done").call("write", 1, space, last).exit(0)
    return guest


def at(found: TraceDiff) -> int:
    assert found.instruction is not None
    return executed_of(found.instruction.a.coordinate)


def oracle(found: TraceDiff) -> int | None:
    return one_by_one(found.traces.a, found.traces.b, 1, 1)


@pytest.fixture
def both(tmp_path: Path) -> Pairs:
    """Records two runs, and compares them."""
    return functools.partial(recorded_pair, tmp_path)


# Files.


def test_one_byte_of_a_source_file(both: Pairs) -> None:
    with both(
        Run(copier(), {b"/source": SOURCE}), Run(copier(), {b"/source": flipped(SOURCE, 25)})
    ) as found:
        assert not found.equal
        assert first_of(found) == "source"
        first, sides = found.first, first_byte_of(found)
        assert first is not None
        assert (first.what, first.event) == ("source is opened, and is not the same file", 1)
        assert sides.offset == 25
        assert (sides.a.line, sides.a.column, sides.a.text) == (2, 5, "the source of it all")
        assert sides.b.text == "the rource of it all"
        # The same calls were made, only with other bytes.
        assert found.call is None
        # The byte comes in by the 25th read, and is loaded into al after it.
        one = found.instruction
        assert one is not None
        assert one.a.instruction == "mov al, byte ptr [0x800020]"
        assert [(name, r.a, r.b) for name, r in one.registers.items()] == [
            ("eax", ord("s"), ord("r"))
        ]
        assert one.reads is not None and one.reads.a == b"s" and one.reads.b == b"r"
        assert at(found) == oracle(found)
        # And what followed.
        assert [(left.path, left.because, offset) for left, offset in found.left] == [
            ("out", ("source",), 25)
        ]
        assert found.at_end == (1, 1)


def test_a_source_file_that_is_longer(both: Pairs) -> None:
    with both(
        Run(copier(), {b"/source": SOURCE}), Run(copier(), {b"/source": SOURCE + b"x"})
    ) as found:
        call, sides = found.call, first_byte_of(found)
        assert (sides.a.byte, sides.b.byte) == (None, ord("x"))
        assert call is not None
        # open, open, 42 times read and write, and the read with another result.
        assert call.calls.a.call == call.calls.b.call == 2 + 2 * len(SOURCE) + 1
        assert call.calls.a.text == "read(3</source>, 0x800020, 1) = 0"
        assert call.calls.b.text == "read(3</source>, 0x800020, 1) = 1"
        one = found.instruction
        assert one is not None
        assert one.a.instruction == "int 0x80"
        assert list(one.registers) == ["eax"]
        assert at(found) == oracle(found)


def test_a_file_in_one_only(both: Pairs) -> None:
    guest = Program("i386")
    guest.call("getpid").call("open", guest.text(b"/source"), O_RDONLY, 0).exit(0)
    with both(Run(guest, {b"/source": SOURCE}), Run(guest)) as found:
        assert found.first is not None and found.call is not None
        assert found.first.event == 2
        calls = found.call.calls
        assert calls.a.text == 'open("/source", O_RDONLY) = 3</source>'
        assert "ENOENT" in calls.b.text
        assert at(found) == oracle(found)


def test_a_call_that_reads_the_same_is_shown_by_its_registers(tmp_path: Path) -> None:
    """The same file, at another address of the same name: in words there would be no difference."""

    def record(name: str, before: bytes) -> Path:
        guest = Program("i386")
        guest.data(before)
        guest.call("open", guest.text(b"/source"), O_RDONLY, 0).exit(0)
        return Run(guest, {b"/source": SOURCE}).record(tmp_path / name)

    with compared(record("a", b""), record("b", b"before it")) as found:
        assert found.call is not None
        calls = found.call.calls
        assert calls.a.text == "open(0x800000, 0, 0) = 3"
        assert calls.b.text == "open(0x800010, 0, 0) = 3"


# Programs.


def test_a_program_that_makes_one_different_system_call(both: Pairs) -> None:
    files = {b"/source": SOURCE}
    with both(Run(copier(3), files), Run(copier(4), files)) as found:
        assert first_of(found) == "guest"
        assert found.first is not None
        assert found.first.what == "a program is started, and the program itself differs"
        assert found.call is not None
        assert found.call.calls.a.text.startswith("write(1, 0x800020, 3)")
        one = found.instruction
        assert one is not None
        assert (one.a.instruction, one.b.instruction) == ("mov edx, 3", "mov edx, 4")
        assert at(found) == oracle(found)
        assert found.left == []
        assert [(stream, spot.offset) for stream, spot in found.printed] == [(1, 3)]


def test_another_encoding_of_the_same_instruction(tmp_path: Path) -> None:
    """No register ever differs; nothing followed."""
    one, other = Program("i386"), Program("i386")
    one.raw("89c1").exit(0)
    other.raw("8bc8").exit(0)
    a, b = Run(one).record(tmp_path / "a"), Run(other).record(tmp_path / "b")
    with compared(a, b) as found:
        assert first_of(found) == "guest"
        assert found.call is None and found.instruction is None
        assert "no instruction" in found.searched[0][1]
        assert oracle(found) is None


def test_other_arguments_and_another_environment(tmp_path: Path) -> None:
    guest = Program("i386")
    # The second argument's first byte, then the environment's: pop argc, argv0, argv1, 0, env0.
    guest.raw("5858588a1858588a18").exit(0)
    same = Run(guest, argv=(b"/guest", b"one")).record(tmp_path / "a")
    other = Run(guest, argv=(b"/guest", b"two")).record(tmp_path / "b")
    with compared(same, other) as found:
        assert found.first is not None
        assert found.first.what == "a program is started, and its arguments differ"
        assert at(found) == oracle(found) == 3
    other = Run(guest, argv=(b"/guest", b"one"), environment=(b"MANE=value",)).record(
        tmp_path / "c"
    )
    with compared(same, other) as found:
        assert found.first is not None
        assert found.first.what == "a program is started, and its environment differs"
        assert at(found) == oracle(found) == 6
        one = found.instruction
        assert one is not None and one.reads is not None
        assert (one.reads.a, one.reads.b) == (b"N", b"M")
    other = Run(guest, argv=(b"/guest", b"a longer one of them")).record(tmp_path / "d")
    with compared(same, other) as found:
        assert found.instruction is not None and found.instruction.before_the_first
        assert set(found.instruction.registers) == {"esp"}
    other = Run(guest, argv=(b"/guest", b"one"), cwd=b"/folder").record(tmp_path / "e")
    with compared(same, other) as found:
        assert found.first is not None
        assert found.first.what == "a program is started, and its folder differs"
        assert found.instruction is None  # the program cannot see it but by system calls


def test_something_else_on_standard_input(both: Pairs) -> None:
    guest = Program("i386")
    space = guest.space(8)
    guest.call("getpid").call("read", 0, space, 8).raw(
        b"\x8a\x1d" + (space + 2).to_bytes(4, "little")
    )
    guest.exit(0)
    with both(Run(guest, stdin=(b"12345678",)), Run(guest, stdin=(b"12x45678",))) as found:
        assert found.first is not None
        assert (found.first.what, found.first.event) == (
            "something else comes in on standard input", 2,
        )  # fmt: skip
        assert at(found) == oracle(found)


def test_a_run_that_was_stopped(both: Pairs) -> None:
    files = {b"/source": SOURCE}
    with both(
        Run(copier(), files), Run(copier(), files, limits=RunLimits(instructions=100))
    ) as found:
        assert found.first is not None and found.call is not None
        assert found.call.calls.b.missing
        assert "the run had ended" in found.call.calls.b.text
        assert found.call.calls.b.call == found.first.event
        assert found.instruction is None
        ((_pair, how),) = found.ends
        assert (how.a, how.b) == ("exit 0", "did not end")


# What is handed on.


def test_what_a_child_inherits(both: Pairs) -> None:
    """The byte comes in by the parent; the child writes what it has from it."""
    guest = Program("i386")
    name, out, space = guest.text(b"/source"), guest.text(b"/out"), guest.space(16)
    status = guest.space(4)
    guest.call("open", name, O_RDONLY, 0).call("read", 3, space, 4)
    guest.call("fork").jump_if_zero("child")
    guest.call("wait4", -1, status, 0, 0).exit(0)
    guest.label("child").call("open", out, O_NEW, 0o644).call("write", 4, space, 4).exit(0)
    with both(Run(guest, {b"/source": b"1234"}), Run(guest, {b"/source": b"1294"})) as found:
        assert [(left.path, left.because) for left, _ in found.left] == [
            ("out", ("what its parent handed on",))
        ]
        assert found.instruction is None
        reasons = [why for _, why in found.searched]
        assert "system call 2#2 takes it from memory" in reasons[-1]


def test_a_program_in_one_trace_only(both: Pairs) -> None:
    def forks(children: int) -> Program:
        guest = Program("i386")
        status = guest.space(8)
        for number in range(children):
            guest.call("fork").jump_if_zero(f"child{number}")
            guest.call("wait4", -1, status, 0, 0)
        guest.exit(0)
        for number in range(children):
            guest.label(f"child{number}")
            path = guest.text(b"/second%d" % number)
            guest.call("execve", path, guest.words(path, 0), guest.words(0)).exit(9)
        return guest

    files = {b"/second%d" % n: recorded.second("i386").elf() for n in range(3)}
    with both(Run(forks(2), files), Run(forks(3), files)) as found:
        lonely = [pair.b.path for pair in found.flow.lonely if pair.b is not None]
        assert lonely == ["/guest", "/second2"]
        assert all(pair.a is None for pair in found.flow.lonely)


# Equal.


@pytest.mark.parametrize("hot_path", ["native", "python"])
def test_the_same_by_both_hot_paths(hot_path: str, both: Pairs) -> None:
    files = recorded.busy_files("i386")
    busy = recorded.busy("i386")
    with both(
        Run(busy, files, stdin=(b"12345678",)),
        Run(busy, files, stdin=(b"12345678",), hot_path=hot_path),
    ) as found:
        assert found.equal
        assert {name for name, _ in found.header} <= {"hot_path"}


def test_two_architectures(both: Pairs) -> None:
    with both(
        Run(Program("i386").call("getpid").exit(0)), Run(Program("x86_64").call("getpid").exit(0))
    ) as found:
        assert found.first is not None and found.call is not None
        assert "its architecture and the program itself differ" in found.first.what
        assert found.instruction is None
        assert found.searched[0][1] == "they are of two architectures"


def test_names_that_are_no_text_renames_and_children(both: Pairs) -> None:
    """All that a trace has, with another byte in what is read first."""
    files = recorded.busy_files("i386")
    other = {**files, b"/source": flipped(files[b"/source"], 1)}
    argv = (b"/guest", b"\xff")
    with both(
        Run(recorded.busy("i386"), files, argv), Run(recorded.busy("i386"), other, argv)
    ) as found:
        assert first_of(found) == "source"
        assert {left.path for left, _ in found.left} == {"made"}
        assert found.given[0].path == "source"
        # Its bytes go from file to file through the kernel: no instruction ever looks at one.
        assert found.instruction is None
        assert "takes it from memory as it is" in found.searched[0][1]
        page = Page(False, 80, False)
        trace_text(found, page, True)
        assert "made" in page.text()
        json.dumps(trace_document(found))


def test_what_no_other_answer_explains(tmp_path: Path) -> None:
    """Where neither registers nor memory differ, that is said; nothing is made up."""
    guest = Program("i386").call("getpid").exit(0)
    a, b = Run(guest).record(tmp_path / "a"), Run(guest).record(tmp_path / "b")
    with trace.open(a) as one, trace.open(b) as other:
        machines = Machines(one, other, engine_for("native"))
        try:
            with pytest.raises(NotFound, match="no register and no byte of memory differs"):
                machines.first(SearchRange((1, 1), 0, None))
            with pytest.raises(NotFound, match="are the same after the system call that differs"):
                machines.first(SearchRange((1, 1), 0, 1))
        finally:
            machines.close()


def test_a_trace_that_does_not_happen_again(tmp_path: Path) -> None:
    """A result was changed in the record of one: the replay finds that out, and says so."""
    files = {b"/source": SOURCE}
    a = Run(copier(), files).record(tmp_path / "a")
    b = Run(copier(), files).record(tmp_path / "b")
    with trace.open(b) as opened:
        (chunk,) = opened.chunks()
        calls = opened.calls(chunk)
    results = calls.values(4)
    results[6] = 0  # a read: it had 1
    import zlib

    blob = zlib.compress(results.tobytes()).hex()
    recorded.change(b, f"UPDATE calls SET result = x'{blob}'", digest=False)
    recorded.change(
        b, f"UPDATE processes SET calls_sha256 = '{'0' * 64}'",
    )  # fmt: skip
    with compared(a, b) as found:
        assert found.call is not None
        assert (found.call.calls.b.call, found.call.calls.b.text[-3:]) == (7, "= 0")
        assert found.instruction is None
        assert "does not happen again" in found.searched[0][1]


def test_names_of_the_source_tree_that_differ(tmp_path: Path) -> None:
    """A program sees a mode and an entry of a folder in its memory only: the tree is compared."""
    guest = Program("i386")
    space = guest.space(512)
    guest.call("open", guest.text(b"/d"), 0o200000, 0).call("getdents64", 3, space, 512)
    guest.call("open", guest.text(b"/out"), O_NEW, 0o644).call("write", 4, space, 100).exit(0)
    files = {b"/d/one": b"1", b"/d/same": b"2", b"/d/size": b"3"}
    other = {b"/d/two": b"1", b"/d/same": b"2", b"/d/size": b"34"}
    with recorded_pair(tmp_path, Run(guest, files), Run(guest, other)) as found:
        assert [(path, both.a, both.b) for path, both in found.names] == [
            ("d/one", "a file, mode 0755, 1 byte", None),
            ("d/size", "a file, mode 0755, 1 byte", "a file, mode 0755, 2 bytes"),
            ("d/two", None, "a file, mode 0755, 1 byte"),
        ]
        page = Page(False, 80, False)
        trace_text(found, page, True)
        text = page.text()
        assert "d/one: a file, mode 0755, 1 byte / not there" in text
        assert "though nothing that it was given" not in text
        assert "no register and no byte of memory differs in it" not in text
        assert [one["path"] for one in trace_document(found)["names"]] == [
            "d/one", "d/size", "d/two"
        ]  # fmt: skip
