"""What the CPUs of instruments do beyond the core's: segments, faults with registers, mprotect(2).

All else of user mode, changing code and processes is in test_corpus.py.
"""

from __future__ import annotations

import functools
import signal

import pytest
import unicorn

from bootstrap.core.abi import PROT_EXEC, PROT_READ, PROT_WRITE
from bootstrap.core.arches import ARCHES, PAGE, Arch, in_user_mode
from bootstrap.linux.flags import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE
from tests.instruments import runs
from tests.instruments.guest import Cell, Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, emulate, native, signalled

RAN_ON = 77

REFUSED = {
    "far call without a stack": "bc000000009a000040002300",
    "a selector from beyond all memory": "8e2d60f0ffff",
    "an entry that is empty": "b8630000008ee8",
    "a load after loads, and of nothing": "1e071e07b8730000008ee8",
}


def program(abi: str, code: str) -> Program:
    return Program(abi).raw(code).exit(RAN_ON)


@functools.cache
def on_the_host(abi: str, code: str) -> int:
    return native(program(abi, code)).status


@EACH_HOT_PATH
@pytest.mark.parametrize("code", [pytest.param(c, id=name) for name, c in REFUSED.items()])
def test_segments_are_refused_as_on_the_host(code: str, hot_path: str) -> None:
    runs.need_native("i386")
    expected = on_the_host("i386", code)
    assert expected > 128
    outcome = emulate(program("i386", code), hot_path)
    assert outcome.status == expected
    assert outcome.fault is not None


GUEST_MAKER = "AuthenticAMD"
"""What the guest's CPU says that it is (docs/guest.md); the hosts' are of several makers."""
BY_MAKER = {
    # AMD's processors have it in 32-bit code only; Intel's take it, and Linux gives them no entry.
    "sysenter": ("0f34", {"AuthenticAMD": signal.SIGILL, "GenuineIntel": signal.SIGSEGV}),
}


@EACH_HOT_PATH
@pytest.mark.parametrize(("code", "ends"), BY_MAKER.values(), ids=BY_MAKER)
def test_refused_as_by_the_maker_of_the_guests_cpu(
    code: str, ends: dict[str, signal.Signals], hot_path: str
) -> None:
    outcome = emulate(program("x86_64", code), hot_path)
    assert outcome.status == runs.signalled(ends[GUEST_MAKER])
    assert outcome.fault is not None
    maker = runs.cpu_maker()
    if maker in ends and runs.why_not_native("x86_64") is None:
        assert on_the_host("x86_64", code) == runs.signalled(ends[maker])


ALLOWED = {
    "push ds, pop es": "1e07",
    "push ss, pop ss": "1617",
    "mov fs, 0x2b": "b82b0000008ee0",
    "far jump to the next instruction": "ea0700400023 00".replace(" ", ""),
    "thirty loads": "1e07" * 30,
}


@EACH_HOT_PATH
@pytest.mark.parametrize("code", [pytest.param(c, id=name) for name, c in ALLOWED.items()])
def test_segments_that_every_program_has_can_be_loaded(code: str, hot_path: str) -> None:
    runs.need_native("i386")
    assert on_the_host("i386", code) == RAN_ON
    assert emulate(program("i386", code), hot_path).status == RAN_ON


@EACH_ABI
@EACH_HOT_PATH
def test_a_fault_is_told_with_address_instruction_and_registers(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    guest.raw("b878563412")  # mov eax, 0x12345678
    at = guest.here
    guest.raw("8b00").exit(RAN_ON)  # mov eax, [eax or rax]
    outcome = emulate(guest, hot_path)
    fault = outcome.fault
    assert fault is not None
    assert (fault.signal, fault.pc, fault.guest_addr) == (signal.SIGSEGV, at, 0x12345678)
    assert fault.code[:2] == b"\x8b\x00"
    assert dict(fault.registers)["eax" if abi == "i386" else "rax"] == 0x12345678
    assert outcome.fault_program == "/guest"


@pytest.mark.parametrize("arch", [a for a in ARCHES if a.word == 8], ids=lambda a: a.name)
def test_no_region_is_taken_away_where_there_is_room_for_many(
    arch: Arch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After that Unicorn's time for a region grows with the square of how many there are."""
    taken = []
    monkeypatch.setattr(unicorn.Uc, "mem_unmap", lambda *args: taken.append(args))
    cpu = in_user_mode(arch)
    assert not taken
    assert list(cpu.mem_regions()) == [(arch.task_size, arch.task_size + PAGE - 1, 7)]


@EACH_ABI
@EACH_HOT_PATH
def test_the_page_by_which_user_mode_was_entered_is_out_of_reach(abi: str, hot_path: str) -> None:
    page = next(a for a in ARCHES if a.name == abi).task_size
    outcome = emulate(Program(abi).load(page).exit(0), hot_path)
    assert outcome.status == runs.signalled(signal.SIGSEGV)


RETURN_1 = bytes.fromhex("b801000000c3")
RETURN_2 = bytes.fromhex("b802000000c3")
NEW = MAP_PRIVATE | MAP_ANONYMOUS


def answer(value: int) -> bytes:
    return value.to_bytes(4, "little")


@EACH_HOT_PATH
@EACH_ABI
def test_written_where_it_may_not_run_and_then_may(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    size, cell, place = 4096, guest.space(8), guest.space(8)
    files = [guest.text(b"/one"), guest.text(b"/new")]
    mmap = "mmap2" if abi == "i386" else "mmap"
    guest.call(mmap, 0, size, PROT_READ | PROT_WRITE, NEW, -1, 0).store(place)
    for name in files:
        guest.call("open", name, 0).call("read", 3, Cell(place), 6).call("close", 3)
        guest.call("mprotect", Cell(place), size, PROT_READ | PROT_EXEC)
        guest.load(place).raw("ffd0").store(cell).call("write", 1, cell, 4)
        guest.call("mprotect", Cell(place), size, PROT_READ | PROT_WRITE)
    # Unmapped, mapped anew at the same place, and filled again.
    guest.call("munmap", Cell(place), size)
    guest.call(mmap, Cell(place), size, PROT_READ | PROT_WRITE | PROT_EXEC, NEW | MAP_FIXED, -1, 0)
    guest.call("open", files[0], 0).call("read", 3, Cell(place), 6).call("close", 3)
    guest.load(place).raw("ffd0").store(cell).call("write", 1, cell, 4)
    guest.call("mprotect", Cell(place), size, PROT_READ | PROT_WRITE)
    guest.load(place).raw("ffd0").exit(0)
    outcome = emulate(guest, hot_path, files={b"/one": RETURN_1, b"/new": RETURN_2})
    assert outcome.output == answer(1) + answer(2) + answer(1)
    assert outcome.status == signalled(signal.SIGSEGV)


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
