"""Processes: forks that run on, nested ones, waits and zombies; the same natively."""

from __future__ import annotations

import signal

from tests.instruments import runs
from tests.instruments.guest import Cell, Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, emulate, native, signalled

WNOHANG = 1
ECHILD, EBADF = -10, -9


def check(guest: Program, hot_path: str, *expected: int) -> None:
    """The words it writes, emulated and, where the host can, natively; then that it exits 0."""
    image = guest.elf()
    outcome = emulate(image, hot_path)
    assert (outcome.status, outcome.words(guest.word)) == (0, list(expected))
    if runs.why_not_native(guest.abi) is None:
        there = native(image)
        assert (there.status, there.words(guest.word)) == (0, list(expected))


def show(guest: Program, cell: int) -> Program:
    return guest.call("write", 1, cell, guest.word)


def wait(guest: Program, pid: int | Cell, status: int, options: int = 0) -> Program:
    return guest.call("wait4", pid, status, options, 0)


@EACH_HOT_PATH
@EACH_ABI
def test_a_child_that_never_executes_another_program(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    shared_or_not, status = guest.words(1), guest.space(8)
    guest.call("fork").jump_if_zero("child")
    wait(guest, -1, status)
    show(show(guest, status), shared_or_not).exit(0)
    guest.label("child")
    for _ in range(5):
        guest.decrement(shared_or_not)
    show(guest, shared_or_not).exit(3)
    # The child's -4; its exit status; the parent's memory, which is still 1.
    check(guest, hot_path, -4, 3 << 8, 1)


@EACH_HOT_PATH
@EACH_ABI
def test_children_of_children(abi: str, hot_path: str) -> None:
    depth = 8
    guest = Program(abi)
    left, status, code = guest.words(depth), guest.space(8), guest.words(0)
    guest.label("next")
    guest.decrement(left).jump_if_negative("deepest")
    guest.call("fork").jump_if_zero("next")
    wait(guest, -1, status)
    show(guest, status)
    # One more than the child's status: the status byte sits in the second byte of the word.
    guest.load(status).raw("c1e808" if abi == "i386" else "48c1e808")
    guest.raw("40" if abi == "i386" else "48ffc0").store(code)
    guest.load(left).raw("83f807" if abi == "i386" else "4883f807")
    guest.raw("0f85" + "05000000").jmp("first").load(code).exit_with_result()
    guest.label("first").exit(0)
    guest.label("deepest").exit(20)
    check(guest, hot_path, *[(20 + n) << 8 for n in range(depth)])


@EACH_HOT_PATH
@EACH_ABI
def test_zombies_wait_for_whoever_asks(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    pids, status, got = [guest.space(8) for _ in range(3)], guest.space(8), guest.space(8)
    for number, pid in enumerate(pids):
        guest.call("fork").jump_if_zero(f"child{number}").store(pid)
    # The second by its pid, then any, then the last; then there is none, nor a fourth.
    for chosen in (1, 0, 2):
        wait(guest, Cell(pids[chosen]), status)
        show(guest, status)
    wait(guest, -1, status).store(got)
    show(guest, got)
    wait(guest, -1, status, WNOHANG).store(got)
    show(guest, got)
    wait(guest, Cell(pids[0]), status).store(got)
    show(guest, got).exit(0)
    for number in range(3):
        guest.label(f"child{number}").exit(11 + number)
    check(guest, hot_path, 12 << 8, 11 << 8, 13 << 8, ECHILD, ECHILD, ECHILD)


@EACH_HOT_PATH
@EACH_ABI
def test_children_are_reaped_in_the_order_in_which_they_ended(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    status = guest.space(8)
    for number in range(3):
        guest.call("fork").jump_if_zero(f"child{number}")
    for _ in range(3):
        wait(guest, -1, status)
        show(guest, status)
    guest.exit(0)
    for number in range(3):
        guest.label(f"child{number}").exit(21 + number)
    outcome = emulate(guest, hot_path)
    assert outcome.words(guest.word) == [21 << 8, 22 << 8, 23 << 8]


@EACH_HOT_PATH
@EACH_ABI
def test_a_child_may_leave_children_behind(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    status, got = guest.space(8), guest.space(8)
    guest.call("fork").jump_if_zero("child")
    wait(guest, -1, status)
    show(guest, status)
    wait(guest, -1, status).store(got)
    show(guest, got).exit(0)
    guest.label("child").call("fork").jump_if_zero("grandchild").exit(31)
    guest.label("grandchild").exit(32)
    # The grandchild is nobody's that waits here.
    check(guest, hot_path, 31 << 8, ECHILD)


@EACH_HOT_PATH
@EACH_ABI
def test_exit_statuses_are_one_byte(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    status = guest.space(8)
    codes = (0, 1, 127, 128, 255, 256, 511, -1, 0x7FFFFFFF)
    for number in range(len(codes)):
        guest.call("fork").jump_if_zero(f"child{number}")
        wait(guest, -1, status)
        show(guest, status)
    guest.exit(0)
    for number, code in enumerate(codes):
        guest.label(f"child{number}").exit(code)
    check(guest, hot_path, *[(code & 0xFF) << 8 for code in codes])


@EACH_HOT_PATH
@EACH_ABI
def test_a_parent_sees_the_signal_that_ended_a_child(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    status = guest.space(8)
    faults = {"0f0b": signal.SIGILL, "31c0f7f0": signal.SIGFPE, "f4": signal.SIGSEGV}
    for number in range(len(faults)):
        guest.call("fork").jump_if_zero(f"child{number}")
        wait(guest, -1, status)
        show(guest, status)
    guest.exit(0)
    for number, code in enumerate(faults):
        guest.label(f"child{number}").raw(code).exit(0)
    image = guest.elf()
    outcome = emulate(image, hot_path)
    # 0x80, that memory was dumped, depends on the host's settings; there are no dumps here.
    assert outcome.words(guest.word) == list(faults.values())
    if runs.why_not_native(abi) is None:
        assert native(image).words(guest.word) == list(faults.values())
    # The program itself ended well; that a child faulted is remembered all the same.
    assert outcome.status == 0
    assert outcome.fault is not None


@EACH_HOT_PATH
@EACH_ABI
def test_descriptors_are_shared_and_closed_apart(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    name, buffer, got = guest.text(b"/file"), guest.space(8), guest.space(8)
    guest.call("open", name, 0)
    guest.call("read", 3, buffer, 1)
    guest.call("fork").jump_if_zero("child")
    wait(guest, -1, 0)
    # The child moved the offset that both have, and closed a descriptor that only it had.
    guest.call("read", 3, buffer, 1)
    show(guest, buffer)
    guest.call("lseek", 3, 0, 1).store(got)
    show(guest, got).exit(0)
    guest.label("child").call("read", 3, buffer, 2).call("close", 3)
    guest.call("read", 3, buffer, 1).store(got)
    show(guest, got).exit(0)
    outcome = emulate(guest, hot_path, files={b"/file": b"abcdef"})
    assert outcome.words(guest.word) == [EBADF, ord("d"), 4]


@EACH_HOT_PATH
@EACH_ABI
def test_an_image_follows_another_in_one_process(abi: str, hot_path: str) -> None:
    other = "x86_64" if abi == "i386" else "i386"
    second = Program(other)
    said = second.text(b"second ")
    second.call("write", 1, said, 7).raw("f4").exit(0)
    guest = Program(abi)
    name, first = guest.text(b"/second"), guest.text(b"first ")
    argv = guest.words(name, 0)
    guest.call("write", 1, first, 6).call("execve", name, argv, 0).exit(9)
    outcome = emulate(guest, hot_path, files={b"/second": second.elf()})
    assert outcome.output == b"first second "
    assert outcome.status == signalled(signal.SIGSEGV)
    assert outcome.counts == (1, 3)
    assert outcome.fault is not None
    assert outcome.fault_program == "/second"


@EACH_HOT_PATH
@EACH_ABI
def test_calls_before_an_exec_are_counted(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    path = guest.text(b"/next")
    for _ in range(3):
        guest.call("brk", 0)
    guest.call("execve", path, guest.words(path, 0), guest.words(0)).exit(9)
    after = Program(abi).call("brk", 0).exit(0)
    outcome = emulate(guest, hot_path, files={b"/next": after.elf()})
    assert (outcome.status, outcome.counts) == (0, (1, 3 + 1 + 2))
