"""What user mode refuses ends a program as on the host's own kernel, and never runs on."""

from __future__ import annotations

import functools
import signal

import pytest
import unicorn

from bootstrap.core.arches import ARCHES, PAGE, Arch, enter_user_mode
from tests.instruments import runs
from tests.instruments.guest import Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, emulate, native

RAN_ON = 77

REFUSED = {
    "hlt": "f4",
    "cli": "fa",
    "sti": "fb",
    "in al, dx": "ec",
    "in eax, 0x60": "e560",
    "in ax, dx": "66ed",
    "out dx, al": "ee",
    "out dx, eax": "ef",
    "insb": "6c",
    "outsb": "6e",
    "rep insb": "b901000000f36c",
    "rdmsr": "0f32",
    "wrmsr": "0f30",
    "mov cr0, eax": "0f22c0",
    "mov eax, cr0": "0f20c0",
    "mov eax, cr2": "0f20d0",
    "mov cr3, eax": "0f22d8",
    "mov cr4, eax": "0f22e0",
    "mov dr7, eax": "0f23f8",
    "mov eax, dr7": "0f21f8",
    "lgdt": "0f0110",
    "lidt": "0f0118",
    "lldt ax": "0f00d0",
    "ltr ax": "0f00d8",
    "lmsw ax": "0f01f0",
    "clts": "0f06",
    "invd": "0f08",
    "wbinvd": "0f09",
    "invlpg": "0f0138",
    "int 0x81": "cd81",
    "int 0x20": "cd20",
    "int 4": "cd04",
    "int 14": "cd0e",
    "int 3, the long form": "cd03",
    "int3": "cc",
    "ud0": "0fffc0",
    "ud1": "0fb9c0",
    "ud2": "0f0b",
    "no instruction": "0f04",
    "lock nop": "f090",
    "16 bytes of prefixes": "66" * 15 + "90",
    "monitor": "0f01c8",
    "mwait": "0f01c9",
    "division by 0": "31c031d2f7f0",
    "division that overflows": "b800000080ba00000080b901000000f7f9",
    "recursion without end": "e8fbffffff",
    "code selector of the kernel": "6a086a00cb",
    "data selector of the kernel": "b8080000008ed8",
    "stack selector of the kernel": "b8080000008ed0",
    "selector beyond the table": "b8ffff00008ec0",
    "iret to nowhere": "6a006a006a006a006a00cf",
    "single step": "9c810c24000100009d9090",
    "unmasked x87 exception": "6a00d93c2483242400d92c24d9e8d9eedef99b",
}
REFUSED_32 = {
    "into": "b07f0401ce",
    "bound": "680000000068000000006a056204 24".replace(" ", ""),
    "aam 0": "d400",
    "far jump to a kernel selector": "ea000000000800",
    "far call without a stack": "bc000000009a000040002300",
    "the table of segments is out of reach": "a160f0ffff",
    "a selector from beyond all memory": "8e2d60f0ffff",
    "an entry that is empty": "b8630000008ee8",
    "a load after loads, and of nothing": "1e071e07b8730000008ee8",
    "sysexit": "0f35",
}
REFUSED_64 = {
    "swapgs": "0f01f8",
    "push es": "06",
    "daa": "27",
    "read from no address at all": "48b80000000000000080488b00",
    "jump to no address at all": "48b80000000000000080ffe0",
}
CASES = [
    *(("i386", name, code) for name, code in {**REFUSED, **REFUSED_32}.items()),
    *(("x86_64", name, code) for name, code in {**REFUSED, **REFUSED_64}.items()),
]


def program(abi: str, code: str) -> Program:
    return Program(abi).raw(code).exit(RAN_ON)


@functools.cache
def on_the_host(abi: str, code: str) -> int:
    return native(program(abi, code)).status


@EACH_HOT_PATH
@pytest.mark.parametrize(
    ("abi", "code"), [pytest.param(a, c, id=f"{a}-{name}") for a, name, c in CASES]
)
def test_refused_as_on_the_host(abi: str, code: str, hot_path: str) -> None:
    runs.need_native(abi)
    expected = on_the_host(abi, code)
    assert expected > 128
    outcome = emulate(program(abi, code), hot_path)
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


ELSE = {
    # Linux lets programs read the clock and ask for random numbers; this guest has neither.
    "rdtsc": ("0f31", signal.SIGSEGV),
    "rdtscp": ("0f01f9", signal.SIGILL),
    "rdrand": ("0fc7f0", signal.SIGILL),
    "rdseed": ("0fc7f8", signal.SIGILL),
    "rdpid": ("f30fc7f8", signal.SIGILL),
    # What these do depends on the processor: its maker, its virtual machine, its options.
    "rdpmc": ("31c90f33", signal.SIGILL),
    "sysret": ("0f07", signal.SIGILL),
    "vmcall": ("0f01c1", signal.SIGILL),
    "vmrun": ("0f01d8", signal.SIGILL),
    "xsetbv": ("31c90f01d1", signal.SIGILL),
    # Linux: SIGSEGV and SIGTRAP; Unicorn does not tell these from the exceptions themselves.
    "int 0": ("cd00", signal.SIGFPE),
    "int1": ("f1", signal.SIGILL),
}
ELSE_32 = {
    # Linux's system calls from 32-bit code are int 0x80, or these in its vDSO only.
    "syscall": ("0f05", signal.SIGILL),
    "sysenter": ("0f34", signal.SIGILL),
}
ELSE_64 = {
    # Linux takes these for 32-bit system calls where it was built with them. Not here: there is
    # one ABI per program.
    "int 0x80": ("b801000000bb4d000000cd80", signal.SIGSEGV),
    "sysexit": ("0f35", signal.SIGILL),
}
ELSE_CASES = [
    *(("i386", name, *row) for name, row in {**ELSE, **ELSE_32}.items()),
    *(("x86_64", name, *row) for name, row in {**ELSE, **ELSE_64}.items()),
]


@EACH_HOT_PATH
@pytest.mark.parametrize(
    ("abi", "code", "number"), [pytest.param(a, c, s, id=f"{a}-{n}") for a, n, c, s in ELSE_CASES]
)
def test_refused_everywhere(abi: str, code: str, number: signal.Signals, hot_path: str) -> None:
    outcome = emulate(program(abi, code), hot_path)
    assert outcome.status == runs.signalled(number)


ALLOWED = {
    "cpuid": "0fa2",
    "x87": "dbe3d9e8",
    "sse": "0f28c1",
    "sse2": "660ffec1",
    "ldmxcsr": "68801f00000fae1424",
    "pause": "f390",
    "interrupts off by popf, which changes nothing": "9c812424fffdffff9d",
}


ALLOWED_32 = {
    "push ds, pop es": "1e07",
    "push ss, pop ss": "1617",
    "mov fs, 0x2b": "b82b0000008ee0",
    "far jump to the next instruction": "ea0700400023 00".replace(" ", ""),
    "thirty loads": "1e07" * 30,
}


@EACH_HOT_PATH
@pytest.mark.parametrize("code", [pytest.param(c, id=name) for name, c in ALLOWED_32.items()])
def test_segments_that_every_program_has_can_be_loaded(code: str, hot_path: str) -> None:
    runs.need_native("i386")
    assert on_the_host("i386", code) == RAN_ON
    assert emulate(program("i386", code), hot_path).status == RAN_ON


@EACH_ABI
@EACH_HOT_PATH
@pytest.mark.parametrize("code", [pytest.param(c, id=name) for name, c in ALLOWED.items()])
def test_what_is_allowed_runs_on(abi: str, code: str, hot_path: str) -> None:
    assert emulate(program(abi, code), hot_path).status == RAN_ON


@EACH_ABI
def test_the_processor_is_the_same_on_every_host(abi: str) -> None:
    guest = Program(abi)
    for leaf in (0, 1, 7, 0x80000001):
        for register in ("c3", "c1", "c2"):
            guest.raw(b"\xb8" + leaf.to_bytes(4, "little") + b"\x31\xc9\x0f\xa2")
            cell = guest.space(8)
            # mov eax, ebx / ecx / edx
            guest.raw(b"\x8b" + bytes.fromhex(register)).store(cell).call("write", 1, cell, 4)
    guest.exit(0)
    words = [word & 0xFFFFFFFF for word in emulate(guest).words(4)]
    assert b"".join(w.to_bytes(4, "little") for w in (words[0], words[2], words[1])) == (
        GUEST_MAKER.encode()
    )
    rdrand, rdseed, rdtscp = 1 << 30, 1 << 18, 1 << 27
    assert not words[4] & rdrand
    assert not words[6] & rdseed
    assert not words[11] & rdtscp


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


@EACH_HOT_PATH
@EACH_ABI
def test_floating_point_is_as_linux_starts_it(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    cell = guest.space(32)
    at = cell.to_bytes(4, "little")
    # fnstenv [cell]; stmxcsr [cell + 28]
    if abi == "i386":
        guest.raw(b"\xd9\x35" + at).raw(b"\x0f\xae\x1d" + (cell + 28).to_bytes(4, "little"))
    else:
        guest.raw(b"\xd9\x34\x25" + at)
        guest.raw(b"\x0f\xae\x1c\x25" + (cell + 28).to_bytes(4, "little"))
    image = guest.call("write", 1, cell, 32).exit(0).elf()
    found = emulate(image, hot_path).output
    control, status, tag = (found[at] | found[at + 1] << 8 for at in (0, 4, 8))
    assert (control, status, tag) == (0x37F, 0, 0xFFFF)
    assert found[28:] == bytes.fromhex("801f0000")
    if runs.why_not_native(abi) is None:
        # The upper halves of the words are reserved, and the addresses that follow those of the
        # last instruction, which not every CPU tells.
        theirs = native(image).output
        assert [theirs[at : at + 2] for at in (0, 4, 8)] == [found[at : at + 2] for at in (0, 4, 8)]
        assert theirs[28:] == found[28:]


@pytest.mark.parametrize("arch", [a for a in ARCHES if a.word == 8], ids=lambda a: a.name)
def test_no_region_is_taken_away_where_there_is_room_for_many(
    arch: Arch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After that Unicorn's time for a region grows with the square of how many there are."""
    taken = []
    monkeypatch.setattr(unicorn.Uc, "mem_unmap", lambda *args: taken.append(args))
    cpu = unicorn.Uc(arch.unicorn_arch, arch.unicorn_mode)
    if arch.model is not None:
        cpu.ctl_set_cpu_model(arch.model)
    enter_user_mode(cpu, arch)
    assert not taken
    assert list(cpu.mem_regions()) == [(arch.task_size, arch.task_size + PAGE - 1, 7)]


@EACH_ABI
@EACH_HOT_PATH
def test_the_page_by_which_user_mode_was_entered_is_out_of_reach(abi: str, hot_path: str) -> None:
    page = next(a for a in ARCHES if a.name == abi).task_size
    outcome = emulate(Program(abi).load(page).exit(0), hot_path)
    assert outcome.status == runs.signalled(signal.SIGSEGV)
