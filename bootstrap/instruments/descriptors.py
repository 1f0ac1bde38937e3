"""The registers of each architecture as Unicorn names them: one descriptor per ABI.

Sources: syscall(2) for the system call conventions, arch/x86/entry/entry_64.S for the registers
that `syscall` overwrites, unicorn's x86_const for the numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from unicorn import (
    UC_ARCH_ARM64,
    UC_ARCH_RISCV,
    UC_ARCH_X86,
    UC_MODE_32,
    UC_MODE_64,
    UC_MODE_ARM,
    UC_MODE_RISCV32,
    UC_MODE_RISCV64,
)
from unicorn import arm64_const as arm64
from unicorn import riscv_const as riscv
from unicorn import x86_const as x86

from bootstrap.instruments import exceptions


@dataclass(frozen=True)
class CpuDescriptor:
    """How one ABI's system calls look to the CPU."""

    arch: int
    mode: int
    model: int | None
    """Unicorn's CPU model; None: its default. On x86 that has RDRAND and RDSEED: never take it."""
    pc: int
    sp: int
    number: int
    """Register of the system call number."""
    arguments: tuple[int, ...]
    result: int
    trap_interrupt: int | None
    """Interrupt number that is a system call, or None."""
    trap_instruction: int | None
    """Unicorn's id of the instruction that is a system call, or None."""
    trap_size: int
    """Bytes of the trap instruction, for `saved`."""
    saved: tuple[tuple[int, int], ...]
    """Pairs (from, to): registers that the trap copies (pc after the trap, flags)."""
    named: tuple[tuple[str, int], ...]
    """General registers for people, in the customary order."""
    exceptions: Mapping[int, tuple[int, str]]
    """Exception number -> Linux signal and what happened."""
    pc_after_exception: int = 0
    """How far Unicorn moves pc on before it reports an exception."""
    breakpoints: tuple[bytes, ...] = ()
    """Instructions that Unicorn takes for invalid ones, and that are breakpoints."""
    page_size: int | None = None
    """Page size to set, where Unicorn's is not Linux's."""


X86 = CpuDescriptor(
    arch=UC_ARCH_X86,
    mode=UC_MODE_32,
    model=x86.UC_CPU_X86_QEMU64,
    pc=x86.UC_X86_REG_EIP,
    sp=x86.UC_X86_REG_ESP,
    number=x86.UC_X86_REG_EAX,
    arguments=(
        x86.UC_X86_REG_EBX,
        x86.UC_X86_REG_ECX,
        x86.UC_X86_REG_EDX,
        x86.UC_X86_REG_ESI,
        x86.UC_X86_REG_EDI,
        x86.UC_X86_REG_EBP,
    ),
    result=x86.UC_X86_REG_EAX,
    trap_interrupt=0x80,
    trap_instruction=None,
    trap_size=2,
    saved=(),
    named=(
        ("eax", x86.UC_X86_REG_EAX),
        ("ebx", x86.UC_X86_REG_EBX),
        ("ecx", x86.UC_X86_REG_ECX),
        ("edx", x86.UC_X86_REG_EDX),
        ("esi", x86.UC_X86_REG_ESI),
        ("edi", x86.UC_X86_REG_EDI),
        ("ebp", x86.UC_X86_REG_EBP),
        ("esp", x86.UC_X86_REG_ESP),
        ("eip", x86.UC_X86_REG_EIP),
        ("eflags", x86.UC_X86_REG_EFLAGS),
    ),
    exceptions=exceptions.X86,
)

AMD64 = CpuDescriptor(
    arch=UC_ARCH_X86,
    mode=UC_MODE_64,
    model=x86.UC_CPU_X86_QEMU64,
    pc=x86.UC_X86_REG_RIP,
    sp=x86.UC_X86_REG_RSP,
    number=x86.UC_X86_REG_RAX,
    arguments=(
        x86.UC_X86_REG_RDI,
        x86.UC_X86_REG_RSI,
        x86.UC_X86_REG_RDX,
        x86.UC_X86_REG_R10,
        x86.UC_X86_REG_R8,
        x86.UC_X86_REG_R9,
    ),
    result=x86.UC_X86_REG_RAX,
    trap_interrupt=None,
    trap_instruction=x86.UC_X86_INS_SYSCALL,
    trap_size=2,
    saved=(
        (x86.UC_X86_REG_RIP, x86.UC_X86_REG_RCX),
        (x86.UC_X86_REG_EFLAGS, x86.UC_X86_REG_R11),
    ),
    named=(
        ("rax", x86.UC_X86_REG_RAX),
        ("rbx", x86.UC_X86_REG_RBX),
        ("rcx", x86.UC_X86_REG_RCX),
        ("rdx", x86.UC_X86_REG_RDX),
        ("rsi", x86.UC_X86_REG_RSI),
        ("rdi", x86.UC_X86_REG_RDI),
        ("rbp", x86.UC_X86_REG_RBP),
        ("rsp", x86.UC_X86_REG_RSP),
        ("r8", x86.UC_X86_REG_R8),
        ("r9", x86.UC_X86_REG_R9),
        ("r10", x86.UC_X86_REG_R10),
        ("r11", x86.UC_X86_REG_R11),
        ("r12", x86.UC_X86_REG_R12),
        ("r13", x86.UC_X86_REG_R13),
        ("r14", x86.UC_X86_REG_R14),
        ("r15", x86.UC_X86_REG_R15),
        ("rip", x86.UC_X86_REG_RIP),
        ("eflags", x86.UC_X86_REG_EFLAGS),
    ),
    exceptions=exceptions.X86,
)

_ARM64_X = tuple(
    getattr(arm64, f"UC_ARM64_REG_X{n}")  # the numbers are not consecutive
    for n in range(31)
)

AARCH64 = CpuDescriptor(
    arch=UC_ARCH_ARM64,
    mode=UC_MODE_ARM,
    model=arm64.UC_CPU_ARM64_A72,
    pc=arm64.UC_ARM64_REG_PC,
    sp=arm64.UC_ARM64_REG_SP,
    number=_ARM64_X[8],
    arguments=_ARM64_X[:6],
    result=_ARM64_X[0],
    trap_interrupt=2,
    trap_instruction=None,
    trap_size=4,
    saved=(),
    named=(
        *((f"x{n}", register) for n, register in enumerate(_ARM64_X)),
        ("sp", arm64.UC_ARM64_REG_SP),
        ("pc", arm64.UC_ARM64_REG_PC),
        ("nzcv", arm64.UC_ARM64_REG_NZCV),
    ),
    exceptions=exceptions.ARM64,
    page_size=4096,
)

_RISCV_NAMES = tuple(
    name
    for names in ("zero ra sp gp tp t0 t1 t2 s0 s1", "a0 a1 a2 a3 a4 a5 a6 a7",
                  "s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6")
    for name in names.split(" ")
)  # fmt: skip
_RISCV_X = tuple(riscv.UC_RISCV_REG_X0 + n for n in range(32))

RISCV64 = CpuDescriptor(
    arch=UC_ARCH_RISCV,
    mode=UC_MODE_RISCV64,
    model=None,
    pc=riscv.UC_RISCV_REG_PC,
    sp=_RISCV_X[2],
    number=_RISCV_X[17],
    arguments=_RISCV_X[10:16],
    result=_RISCV_X[10],
    trap_interrupt=8,
    trap_instruction=None,
    trap_size=4,
    saved=(),
    named=(
        *zip(_RISCV_NAMES[1:], _RISCV_X[1:], strict=True),
        ("pc", riscv.UC_RISCV_REG_PC),
    ),
    exceptions=exceptions.RISCV,
    pc_after_exception=4,
    breakpoints=(b"\x73\x00\x10\x00", b"\x02\x90"),  # ebreak, c.ebreak
)

RISCV32 = replace(RISCV64, mode=UC_MODE_RISCV32)

DESCRIPTORS: dict[str, CpuDescriptor] = {
    "i386": X86,
    "x86_64": AMD64,
    "aarch64": AARCH64,
    "riscv64": RISCV64,
    "riscv32": RISCV32,
}
"""By Abi.name."""
