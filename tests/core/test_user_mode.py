"""What user mode refuses ends a program as on the host's own kernel, and never runs on.

RAN_ON is what a program exits with whose instruction was not refused.
"""

from __future__ import annotations

import functools
import signal
import struct

import pytest

from bootstrap.core.arches import AARCH64, AMD64, RISCV32, RISCV64, X86, Arch
from tests.core.guest import CODE, ON_X86, Program, native, need_native, run, why_not_native

RAN_ON = 77

REFUSED = {
    "hlt": "f4", "cli": "fa", "sti": "fb",
    "in al, dx": "ec", "in eax, 0x60": "e560", "in ax, dx": "66ed",
    "out dx, al": "ee", "out dx, eax": "ef",
    "insb": "6c", "outsb": "6e", "rep insb": "b901000000f36c",
    "rdmsr": "0f32", "wrmsr": "0f30",
    "mov cr0, eax": "0f22c0", "mov eax, cr0": "0f20c0", "mov eax, cr2": "0f20d0",
    "mov cr3, eax": "0f22d8", "mov cr4, eax": "0f22e0",
    "mov dr7, eax": "0f23f8", "mov eax, dr7": "0f21f8",
    "lgdt": "0f0110", "lidt": "0f0118", "lldt ax": "0f00d0", "ltr ax": "0f00d8",
    "lmsw ax": "0f01f0", "clts": "0f06", "invd": "0f08", "wbinvd": "0f09", "invlpg": "0f0138",
    "int 0x81": "cd81", "int 0x20": "cd20", "int 4": "cd04", "int 14": "cd0e",
    "int 3, the long form": "cd03", "int3": "cc",
    "ud0": "0fffc0", "ud1": "0fb9c0", "ud2": "0f0b", "no instruction": "0f04",
    "lock nop": "f090", "16 bytes of prefixes": "66" * 15 + "90",
    "monitor": "0f01c8", "mwait": "0f01c9",
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
}  # fmt: skip
REFUSED_32 = {
    "into": "b07f0401ce",
    "bound": "680000000068000000006a05620424",
    "aam 0": "d400",
    "far jump to a kernel selector": "ea000000000800",
    "the table of segments is out of reach": "a160f0ffff",
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
    *((X86, name, code) for name, code in {**REFUSED, **REFUSED_32}.items()),
    *((AMD64, name, code) for name, code in {**REFUSED, **REFUSED_64}.items()),
]


def program(arch: Arch, code: str) -> Program:
    return Program(arch).raw(code).exit(RAN_ON)


@functools.cache
def on_the_host(arch: Arch, code: str) -> int:
    return native(program(arch, code)).status


@pytest.mark.parametrize(
    ("arch", "code"), [pytest.param(a, c, id=f"{a.name}-{name}") for a, name, c in CASES]
)
def test_refused_as_on_the_host(arch: Arch, code: str) -> None:
    need_native(arch)
    expected = on_the_host(arch, code)
    assert expected > 128
    ran = run(program(arch, code))
    assert ran.status == expected
    assert ran.result.fault is not None


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
    # Linux allows its own selectors; the core has its table of segments out of reach.
    "mov ds, 0x2b": ("b82b0000008ed8", signal.SIGSEGV),
}
ELSE_64 = {
    # Linux takes this for a 32-bit system call where it was built with them. Not here: there is
    # one ABI per program.
    "int 0x80": ("b801000000bb4d000000cd80", signal.SIGSEGV),
    "sysenter": ("0f34", signal.SIGILL),
    "sysexit": ("0f35", signal.SIGILL),
}
ELSE_CASES = [
    *((X86, name, *row) for name, row in {**ELSE, **ELSE_32}.items()),
    *((AMD64, name, *row) for name, row in {**ELSE, **ELSE_64}.items()),
]


@pytest.mark.parametrize(
    ("arch", "code", "number"),
    [pytest.param(a, c, s, id=f"{a.name}-{name}") for a, name, c, s in ELSE_CASES],
)
def test_refused_everywhere(arch: Arch, code: str, number: signal.Signals) -> None:
    assert run(program(arch, code)).status == 128 + number


ALLOWED = {
    "cpuid": "0fa2",
    "x87": "dbe3d9e8",
    "sse": "0f28c1",
    "sse2": "660ffec1",
    "ldmxcsr": "68801f00000fae1424",
    "pause": "f390",
    "interrupts off by popf, which changes nothing": "9c812424fffdffff9d",
}


@ON_X86
@pytest.mark.parametrize("code", [pytest.param(c, id=name) for name, c in ALLOWED.items()])
def test_what_is_allowed_runs_on(arch: Arch, code: str) -> None:
    assert run(program(arch, code)).status == RAN_ON


@ON_X86
def test_the_processor_is_the_same_on_every_host(arch: Arch) -> None:
    guest = Program(arch)
    for leaf in (0, 1, 7, 0x80000001):
        for register in ("c3", "c1", "c2"):
            guest.raw(b"\xb8" + leaf.to_bytes(4, "little") + b"\x31\xc9\x0f\xa2")
            cell = guest.space()
            # mov eax, ebx / ecx / edx
            guest.raw(b"\x8b" + bytes.fromhex(register)).store(cell).call("write", 1, cell, 4)
    words = [word & 0xFFFFFFFF for word in run(guest.exit(0)).words(4)]
    maker = b"".join(words[index].to_bytes(4, "little") for index in (0, 2, 1))
    assert maker == b"AuthenticAMD"
    rdrand, rdseed, rdtscp = 1 << 30, 1 << 18, 1 << 27
    assert not words[4] & rdrand
    assert not words[6] & rdseed
    assert not words[11] & rdtscp


@ON_X86
def test_floating_point_is_as_linux_starts_it(arch: Arch) -> None:
    guest = Program(arch)
    cell = guest.space(32)
    # fnstenv [cell]; stmxcsr [cell + 28]
    modrm = ("d935", "0fae1d") if arch is X86 else ("d93425", "0fae1c25")
    for code, at in zip(modrm, (cell, cell + 28), strict=True):
        guest.raw(bytes.fromhex(code) + struct.pack("<I", at))
    image = guest.call("write", 1, cell, 32).exit(0).elf()
    found = run(image).output
    control, status, tag = (found[at] | found[at + 1] << 8 for at in (0, 4, 8))
    assert (control, status, tag) == (0x37F, 0, 0xFFFF)
    assert found[28:] == bytes.fromhex("801f0000")
    if why_not_native(arch) is None:
        # The upper halves of the words are reserved, and the addresses that follow those of the
        # last instruction, which not every CPU keeps.
        theirs = native(image).output
        assert [theirs[at : at + 2] for at in (0, 4, 8)] == [found[at : at + 2] for at in (0, 4, 8)]
        assert theirs[28:] == found[28:]


AARCH64_REFUSED = {
    "udf #0": 0x00000000,
    "mrs x0, sctlr_el1": 0xD5381000,
    "msr vbar_el1, x0": 0xD518C000,
    "msr ttbr0_el1, x0": 0xD5182000,
    "msr daifset, #2": 0xD50342DF,
    "msr spsel, #1": 0xD50041BF,
    "eret": 0xD69F03E0,
    "hvc #0": 0xD4000002,
    "smc #0": 0xD4000003,
    "tlbi vmalle1": 0xD508871F,
    "ic iallu": 0xD508751F,
    "dc isw, x0": 0xD5087640,
    "mrs x0, cntvct_el0": 0xD53BE040,
    "mrs x0, cntpct_el0": 0xD53BE020,
    "mrs x0, cntfrq_el0": 0xD53BE000,
    "mrs x0, pmccntr_el0": 0xD53B9D00,
    "msr pmcr_el0, x0": 0xD51B9C00,
}
RISCV_REFUSED = {
    "no instruction": 0x00000000,
    "unimp": 0xC0001073,
    "csrr a0, mstatus": 0x30002573,
    "csrr a0, mhartid": 0xF1402573,
    "csrr a0, sstatus": 0x10002573,
    "csrw satp, zero": 0x18001073,
    "csrw stvec, zero": 0x10501073,
    "mret": 0x30200073,
    "sret": 0x10200073,
    "sfence.vma": 0x12000073,
    "rdcycle a0": 0xC0002573,
    "rdtime a0": 0xC0102573,
    "rdinstret a0": 0xC0202573,
    "csrr a0, hpmcounter3": 0xC0302573,
}
OTHERS = [pytest.param(AARCH64, word, id=f"aarch64-{n}") for n, word in AARCH64_REFUSED.items()] + [
    pytest.param(arch, word, id=f"{arch.name}-{name}")
    for arch in (RISCV64, RISCV32)
    for name, word in RISCV_REFUSED.items()
]


@pytest.mark.parametrize(("arch", "word"), OTHERS)
def test_other_architectures_refuse_by_sigill(arch: Arch, word: int) -> None:
    ran = run(Program(arch).raw(struct.pack("<I", word)).exit(RAN_ON))
    assert ran.status == 128 + signal.SIGILL
    assert ran.result.fault is not None
    assert ran.result.fault.pc == CODE


@pytest.mark.parametrize(
    ("arch", "code"),
    [
        (AARCH64, "000020d4"),  # brk #0
        (RISCV64, "73001000"),  # ebreak
        (RISCV32, "73001000"),
        (RISCV64, "0290"),  # c.ebreak
        (RISCV32, "0290"),
    ],
)
def test_breakpoints_end_by_sigtrap(arch: Arch, code: str) -> None:
    ran = run(Program(arch).raw(code).exit(RAN_ON))
    assert ran.status == 128 + signal.SIGTRAP
    assert ran.result.fault is not None
    assert ran.result.fault.pc == CODE


AARCH64_ALLOWED = {
    "mrs x0, ctr_el0": 0xD53B0020,
    "mrs x0, dczid_el0": 0xD53B00E0,
    "ic ivau, x1": 0xD50B7521,
    "dc cvau, x1": 0xD50B7B21,
    "dc zva, x1": 0xD50B7421,
    "mrs x0, tpidr_el0": 0xD53BD040,
    "mrs x0, fpcr": 0xD53B4400,
    "fmov d0, #1.0": 0x1E6E1000,
}


@pytest.mark.parametrize("name", AARCH64_ALLOWED)
def test_what_linux_lets_an_arm_program_do(name: str) -> None:
    guest = Program(AARCH64)
    cell = guest.space(4096)
    guest.raw(struct.pack("<I", 0xD2800001 | (cell & 0xFFFF) << 5))  # mov x1, #low
    guest.raw(struct.pack("<I", 0xF2A00001 | (cell >> 16) << 5))  # movk x1, #high, lsl #16
    assert run(guest.raw(struct.pack("<I", AARCH64_ALLOWED[name])).exit(RAN_ON)).status == RAN_ON
