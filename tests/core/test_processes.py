"""Processes: forks that run on, nested ones, waits and zombies; the same natively."""

from __future__ import annotations

import signal

import pytest

from bootstrap.core.abi import Errno
from bootstrap.core.arches import AMD64, RISCV32, X86, Arch
from bootstrap.core.errors import GuestFailed
from tests.core.guest import (
    EACH_ARCH,
    ON_X86,
    Cell,
    Program,
    alike,
    native,
    run,
    why_not_native,
)


@EACH_ARCH
def test_a_child_has_memory_of_its_own(arch: Arch) -> None:
    guest = Program(arch)
    cell, status = guest.words(1), guest.space()
    guest.fork().jump("child", "zero").wait(-1, status)
    if arch is not RISCV32:
        guest.load(status).report()
    guest.load(cell).report().exit(0)
    # The child: stores its result, 0, in what is only its own.
    guest.label("child").store(cell).load(cell).report().exit(3)
    alike(guest, *((0, 1) if arch is RISCV32 else (0, 3 << 8, 1)))


@EACH_ARCH
def test_a_child_has_what_the_guest_wrote_where_nothing_was(arch: Arch) -> None:
    guest = Program(arch)
    guest.data(b"data")
    heap = 0x80_1000
    guest.call("brk", heap + 4096).store(heap + 64).fork().jump("child", "zero").wait()
    guest.load(heap + 64).report().exit(0)
    guest.label("child").load(heap + 64).report().store(heap + 64).exit(0)
    alike(guest, heap + 4096, heap + 4096)


@EACH_ARCH
def test_results_of_fork(arch: Arch) -> None:
    guest = Program(arch)
    for number in range(3):
        guest.fork().jump(f"child {number}", "zero").report()
    guest.exit(0)
    for number in range(3):
        guest.label(f"child {number}").exit(0)
    ran = run(guest)
    assert (ran.status, ran.words(arch.word), ran.machine.processes) == (0, [2, 3, 4], 4)


@EACH_ARCH
def test_children_of_children(arch: Arch) -> None:
    guest = Program(arch)
    for depth in range(6):
        guest.fork().jump(f"down {depth}", "zero").wait().exit(depth)
        guest.label(f"down {depth}")
    ran = run(guest.exit(99))
    assert (ran.status, ran.machine.processes) == (0, 7)


@ON_X86
def test_zombies_wait_for_whoever_asks(arch: Arch) -> None:
    guest = Program(arch)
    pids, status = [guest.space() for _ in range(3)], guest.space()
    for number, pid in enumerate(pids):
        guest.fork().jump(f"child {number}", "zero").store(pid)
    # The second by its pid, then any, then the last; then there is none, nor a fourth.
    for chosen in (1, 0, 2):
        guest.wait(Cell(pids[chosen]), status).load(status).report()
    guest.wait(-1, status).report().wait(Cell(pids[0]), status).report()
    guest.exit(0)
    for number in range(3):
        guest.label(f"child {number}").exit(11 + number)
    alike(guest, 12 << 8, 11 << 8, 13 << 8, -Errno.ECHILD, -Errno.ECHILD)


@EACH_ARCH
def test_children_are_reaped_in_the_order_in_which_they_ended(arch: Arch) -> None:
    if arch is RISCV32:
        pytest.skip("riscv32 has no wait4")
    guest = Program(arch)
    status = guest.space()
    for number in range(3):
        guest.fork().jump(f"child {number}", "zero")
    for _ in range(3):
        guest.wait(-1, status).load(status).report()
    guest.exit(0)
    for number in range(3):
        guest.label(f"child {number}").exit(21 + number)
    assert run(guest).words(arch.word) == [21 << 8, 22 << 8, 23 << 8]


@ON_X86
def test_a_child_may_leave_children_behind(arch: Arch) -> None:
    guest = Program(arch)
    status = guest.space()
    guest.fork().jump("child", "zero").wait(-1, status).load(status).report()
    guest.wait(-1, status).report().exit(0)
    guest.label("child").fork().jump("grandchild", "zero").exit(31)
    guest.label("grandchild").exit(32)
    # The grandchild is nobody's that waits here.
    alike(guest, 31 << 8, -Errno.ECHILD)


@ON_X86
def test_exit_statuses_are_one_byte(arch: Arch) -> None:
    codes = (0, 1, 127, 128, 255, 256, 511, -1, 0x7FFFFFFF)
    guest = Program(arch)
    status = guest.space()
    for code in codes:
        guest.fork().jump(f"child {code}", "zero").wait(-1, status).load(status).report()
    guest.exit(0)
    for code in codes:
        guest.label(f"child {code}").exit(code)
    alike(guest, *[(code & 0xFF) << 8 for code in codes])


@ON_X86
def test_a_parent_sees_the_signal_that_ended_a_child(arch: Arch) -> None:
    guest = Program(arch)
    status = guest.space()
    faults = {"0f0b": signal.SIGILL, "31c0f7f0": signal.SIGFPE, "f4": signal.SIGSEGV}
    for code in faults:
        guest.fork().jump(code, "zero").wait(-1, status).load(status).report()
    guest.exit(0)
    for code in faults:
        guest.label(code).raw(code).exit(0)
    # 0x80, that memory was dumped, depends on the host's settings; there are no dumps here.
    ran = alike(guest, *faults.values())
    # The program itself ended well; that a child faulted is remembered all the same.
    assert ran.result.fault is not None
    assert (ran.result.fault.signal, ran.result.fault_pid) == (signal.SIGSEGV, 4)
    assert ran.result.fault_program == "/guest"


@EACH_ARCH
def test_descriptors_are_shared_and_closed_apart(arch: Arch) -> None:
    guest = Program(arch)
    buffer = guest.space()
    guest.at("open", guest.text(b"file"), 0, 0).call("read", 3, buffer, 1)
    guest.fork().jump("child", "zero").wait()
    # The child moved the offset that both have, and closed a descriptor that only it had.
    guest.call("read", 3, buffer, 1).load(buffer).report().exit(0)
    guest.label("child").call("read", 3, buffer, 2).call("close", 3)
    guest.call("read", 3, buffer, 1).report().exit(0)
    ran = run(guest, files={b"/file": b"abcdef"})
    assert [word & 0xFF for word in ran.words(arch.word)] == [-Errno.EBADF & 0xFF, ord("d")]


@EACH_ARCH
def test_a_child_on_another_stack(arch: Arch) -> None:
    """clone(2) with a stack: the child's stack pointer, and everything else as it was."""
    guest = Program(arch)
    stack = guest.space(64) + 64
    guest.call("clone", 17, stack, 0, 0, 0).jump("child", "zero").wait().exit(0)
    store_sp = {
        "i386": "89e0", "x86_64": "4889e0", "aarch64": "e0030091", "riscv64": "13050100",
        "riscv32": "13050100",
    }  # mov eax, esp and its like  # fmt: skip
    guest.label("child").raw(store_sp[arch.name]).report().exit(0)
    assert run(guest).words(arch.word) == [stack]
    if why_not_native(arch) is None:
        assert native(guest).words(arch.word) == [stack]


@ON_X86
def test_an_image_of_the_other_kind_follows_in_one_process(arch: Arch) -> None:
    second = Program(AMD64 if arch is X86 else X86)
    second.call("write", 1, second.text(b"second "), 7).raw("f4").exit(0)
    guest = Program(arch)
    name = guest.text(b"/second")
    guest.call("write", 1, guest.text(b"first "), 6)
    guest.call("execve", name, guest.words(name, 0), 0).exit(9)
    ran = run(guest, files={b"/second": second.elf()})
    assert ran.output == b"first second "
    assert ran.status == 128 + signal.SIGSEGV
    assert (ran.machine.processes, ran.machine.ended_calls) == (1, 3)
    assert ran.result.fault_program == "/second"


@EACH_ARCH
def test_two_runs_are_the_same_and_one_machine_may_run_several(arch: Arch) -> None:
    guest = Program(arch)
    guest.at("open", guest.text(b"out"), 0o1101, 0o644).fork().report().exit(0)
    first, second = run(guest), run(guest)
    assert first.output == second.output
    assert first.result == second.result
    again = first.machine.run(b"/guest", [b"guest"])
    assert (again.status, first.machine.processes) == (0, 4)


@EACH_ARCH
def test_an_unknown_call_stops_the_run_and_is_named(arch: Arch) -> None:
    guest = Program(arch).fork().jump("child", "zero").wait().exit(0)
    guest.label("child").call(999, 1, 2).exit(0)
    with pytest.raises(
        GuestFailed, match=r"system call 999 is not supported; arguments \(0x1, 0x2"
    ) as e:
        run(guest)
    assert "[/guest, pid 2, system call 1, pc 0x4" in str(e.value)


def test_only_the_low_half_of_rax_is_the_number() -> None:
    """arch/x86/entry/common.c: a number with other high bits is the same call."""
    guest = Program(AMD64)
    guest.call(0xFFFF_0000_0000_003C, 5)
    alike(guest, status=5)
