"""The CPU alone: traps and their registers, faults, and what must not happen twice."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import pytest
import unicorn

from bootstrap.core import cpu
from bootstrap.core.arches import AMD64, RISCV32, RISCV64, X86, Arch
from bootstrap.core.cpu import Cpu
from bootstrap.core.elf import load
from bootstrap.core.errors import BadInput, Limits, Meter
from bootstrap.core.memory import EXEC, FETCHED, READ
from tests.core.guest import (
    CODE,
    EACH_ARCH,
    ON_X86,
    PT_GNU_STACK,
    Load,
    Program,
    R,
    W,
    X,
    elf,
    file_at,
    laid_out,
    run,
)


def loaded(guest: Program, answers: Sequence[int | None]) -> tuple[Cpu, list[tuple[int, ...]]]:
    """A CPU at the start of the program; its calls get these results, and are kept."""
    file = file_at(laid_out({b"/guest": guest.elf()}), b"/guest")
    assert file is not None
    image = load(file, b"guest", (b"guest",), (), Meter(Limits()))
    seen: list[tuple[int, ...]] = []

    def on_trap(registers: Sequence[int]) -> int | None:
        seen.append(tuple(registers))
        return answers[len(seen) - 1]

    machine = Cpu(guest.arch, image.memory, on_trap)
    machine.start_at(image.pc, image.sp)
    return machine, seen


@EACH_ARCH
def test_each_call_comes_once_with_its_registers(arch: Arch) -> None:
    guest = Program(arch).call(1000, 1, 2, 3, 4, 5, 6).call(1001, 0x7FFFFFFF, 0x123456)
    machine, seen = loaded(guest.call(1002), [5, 6, None])
    assert machine.run() is None
    assert [registers[0] for registers in seen] == [1000, 1001, 1002]
    assert seen[0][1:] == (1, 2, 3, 4, 5, 6)
    assert seen[1][1:3] == (0x7FFFFFFF, 0x123456)
    machine.close()


@EACH_ARCH
def test_results_are_words(arch: Arch) -> None:
    guest = Program(arch)
    cell = guest.space(16)
    guest.call(1000).store(cell).call(1001).store(cell + 8).call(1002)
    machine, _ = loaded(guest, [-2, 1 << 40 | 7, None])
    machine.run()
    raw = machine.memory.read(cell, 16)
    assert int.from_bytes(raw[: arch.word], "little") == arch.word_mask - 1
    assert int.from_bytes(raw[8 : 8 + arch.word], "little") == (1 << 40 | 7) & arch.word_mask
    machine.close()


@EACH_ARCH
def test_a_stop_goes_on_where_it_was_with_another_result(arch: Arch) -> None:
    guest = Program(arch)
    cell = guest.space(8)
    guest.call(1000).store(cell).call(1001)
    machine, seen = loaded(guest, [None, None])
    assert machine.run() is None
    machine.set_result(42)
    assert machine.run() is None
    assert (len(seen), machine.memory.read(cell, 1)) == (2, b"\x2a")
    machine.close()


@EACH_ARCH
def test_a_child_has_all_registers(arch: Arch) -> None:
    guest = Program(arch).call(1000, 1, 2, 3, 4, 5, 6).call(1001)
    parent, seen = loaded(guest, [None, None, None])
    parent.run()
    child = Cpu(arch, parent.memory.fork(), lambda registers: seen.append(tuple(registers)))
    parent.copy_state_to(child)
    for machine in (child, parent):
        machine.set_result(9)
        assert machine.run() is None
        machine.close()
    assert seen[1] == seen[2]
    assert seen[1][0] == 1001


def test_syscall_overwrites_two_registers() -> None:
    """rcx is where it goes on, r11 the flags (arch/x86/entry/entry_64.S)."""
    guest = Program(AMD64).call("brk", 0)
    after = guest.here
    guest.raw("4889c8").report().raw("4c89d8").report().exit(0)  # mov rax, rcx; mov rax, r11
    where, _ = run(guest).words(8)
    assert where == after
    flags = Program(AMD64).call("brk", 0).raw("4c89d8").report().exit(0)
    assert run(flags).words(8)[0] & 0x202 == 0x202


@EACH_ARCH
def test_faults_have_a_signal_and_a_place(arch: Arch) -> None:
    for at, act in ((0x123000, "read from"), (0x7000_0000, "read from")):
        guest = Program(arch)
        guest.load(at).exit(0)
        ran = run(guest)
        fault = ran.result.fault
        assert ran.status == 128 + signal.SIGSEGV
        assert fault is not None
        assert (fault.guest_addr, fault.reason) == (at, f"cannot {act} {at:#x}")
        assert CODE <= fault.pc < CODE + 32
    fault = run(Program(arch).store(CODE).exit(0)).result.fault
    assert fault is not None
    assert fault.reason == f"cannot write to {CODE:#x}"


@EACH_ARCH
@pytest.mark.parametrize("data", [False, True], ids=["nothing", "data"])
def test_a_jump_to_where_nothing_may_run(arch: Arch, data: bool) -> None:
    out = CODE + 0x8000
    guest = Program(arch).jump("out")
    guest.labels["out"] = out - CODE
    image = guest.elf()
    if data:
        segments = [Load(CODE, bytes(guest.code), R | X), Load(out, b"data" * 4, R | W)]
        image = elf(arch, CODE, [*segments, Load(0, b"", R | W, kind=PT_GNU_STACK)])
    fault = run(image).result.fault
    assert fault is not None
    assert (fault.signal, fault.pc, fault.guest_addr) == (signal.SIGSEGV, out, out)


@EACH_ARCH
def test_nothing_is_served_after_a_fault(arch: Arch) -> None:
    """What is left of a block that faulted makes no call any more."""
    guest = Program(arch)
    if arch.elf_machines[0] == 243:
        guest.raw("732500c0")  # rdcycle, found when the block is translated
    elif arch in (X86, AMD64):
        guest.raw("ec")  # in al, dx: its hook ends the process, the block goes on
    else:
        guest.raw("00000000")
    ran = run(guest.call("write", 1, guest.text(b"too late"), 8).exit(0))
    assert (ran.output, ran.result.status & 0x7F in (4, 11)) == (b"", True)


@ON_X86
def test_a_page_is_dirty_once_written_and_fetched_once_run(arch: Arch) -> None:
    guest = Program(arch)
    cell = guest.space(2 * 4096)
    guest.store(cell + 4096).call(1000)
    machine, _ = loaded(guest, [None])
    extent = machine.memory.find(CODE)
    assert extent is not None
    before = bytes(extent.pages)
    machine.run()
    page = (CODE - extent.start) // 4096
    assert not before[page] & FETCHED
    assert extent.pages[page] & FETCHED
    assert machine.memory.reachable(cell, 4096, READ) == 4096
    machine.close()


@EACH_ARCH
def test_a_page_that_may_not_run_any_more(arch: Arch) -> None:
    """What the kernel writes over is forgotten, and is not to be run by the way."""
    guest = Program(arch).label("again").call(1000).jump("again")
    machine, seen = loaded(guest, [None, None])
    machine.run()
    extent = machine.memory.find(CODE)
    assert extent is not None
    extent.pages[(CODE - extent.start) // 4096] &= ~EXEC
    machine.pages_changed()
    machine.memory.poke(CODE + 64, b"over")
    machine.set_result(0)
    fault = machine.run()
    assert fault is not None
    assert (fault.signal, fault.reason[:17], len(seen)) == (signal.SIGSEGV, "cannot fetch from", 1)
    machine.close()


def test_another_unicorn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unicorn.__version__ == cpu.PINNED
    monkeypatch.setattr(cpu, "__version__", "2.1.3")
    with pytest.raises(BadInput, match=r"2\.1\.3 is installed.*pip install unicorn==2\.1\.4"):
        run(Program(X86).exit(0))


@pytest.mark.parametrize("arch", [RISCV64, RISCV32], ids=["riscv64", "riscv32"])
def test_an_illegal_instruction_at_the_start_of_memory(arch: Arch) -> None:
    """Unicorn also fetches the page before it, which is not there, for RISC-V."""
    ran = run(Program(arch).raw("00000000").exit(0))
    assert ran.result.fault is not None
    assert (ran.status, ran.result.fault.pc) == (128 + signal.SIGILL, CODE)
