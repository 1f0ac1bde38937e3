"""The registers of each architecture as Unicorn names them: one descriptor per ABI.

Sources: syscall(2) for the system call conventions, arch/x86/entry/entry_64.S for the registers
that `syscall` overwrites, unicorn's x86_const for the numbers.
"""

from dataclasses import dataclass

from unicorn import UC_ARCH_X86, UC_MODE_32, UC_MODE_64
from unicorn import x86_const as x86


@dataclass(frozen=True)
class CpuDescriptor:
    """How one ABI's system calls look to the CPU."""

    arch: int
    mode: int
    model: int
    """Unicorn's CPU model. Not the default one: it has RDRAND and RDSEED, which ask the host."""
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
)

DESCRIPTORS: dict[str, CpuDescriptor] = {"i386": X86, "x86_64": AMD64}
"""By Abi.name."""
