"""The five architectures: one value of `Arch` for each, and nothing else asks which one it is on.

Claims: each value describes a Linux process on that architecture as a 64-bit kernel makes it with
address space randomisation off (`setarch -R`), and the CPU that runs it. A CPU that left
`in_user_mode` is in user mode: it cannot stop, load control registers or talk to devices, and
nothing that it can execute tells it the time. What no mode of the CPU refuses (port instructions
and system call instructions of other ABIs on x86, cycle counters on RISC-V), `refusals` do.
Relies on: Unicorn 2.1.4, whose numbers and start-up state these are.
Tests that would fail if it lied: tests/core/test_user_mode.py, test_arches.py, test_elf.py.

Sources: arch/x86/include/asm/processor.h (TASK_SIZE, STACK_TOP), arch/x86/mm/mmap.c (mmap_base),
arch/arm64/include/asm/processor.h with 48-bit addresses, arch/riscv/include/asm/pgtable.h with Sv39
and Sv32; syscall(2) for the system call conventions, arch/x86/entry/entry_64.S for the registers
that `syscall` overwrites.
"""

import ctypes
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType

from unicorn import Uc
from unicorn import arm64_const as arm64
from unicorn import riscv_const as riscv
from unicorn import unicorn_const as uc
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uc_tb

from bootstrap.core import abi
from bootstrap.core.abi import SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP

PAGE = 4096
PAGE_MASK = PAGE - 1

EndProcess = Callable[[int, str], None]
"""Ends the process that runs: signal and reason."""
ReadCode = Callable[[int, int], bytes]
"""Readable bytes of the guest: address and size."""
AddHook = Callable[..., None]
"""Adds one Unicorn hook: kind, callback, user data, and what else uc_hook_add takes."""
Refusal = Callable[[AddHook, EndProcess, ReadCode], None]
"""Adds a hook that ends the process at what Linux refuses to programs and Unicorn does not."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Arch:
    """One architecture: what Linux says of a process on it, and how Unicorn names its registers."""

    name: str
    """The ABI's own name: i386, x86_64, aarch64, riscv64, riscv32."""
    upstream: str
    """What stage0-posix calls it: x86, AMD64, AArch64, riscv64, riscv32."""

    # What Linux says.

    word: int
    """Bytes in a pointer, a register and an auxv entry."""
    elf_machines: tuple[int, ...]
    """Values of e_machine (include/uapi/linux/elf-em.h)."""
    elf_class: int
    """1 where ELF's structures are those of 32 bits, 2 of 64 bits."""
    task_size: int
    """First address that no mapping may reach; the initial stack ends there (STACK_TOP)."""
    access_end: int
    """First address that system calls refuse unseen (access_ok): the kernel's own task size, which
    is that of 64 bits for a 32-bit process on a 64-bit kernel too."""
    platform: str = ""
    """AT_PLATFORM; empty where Linux gives none."""
    read_implies_exec: bool = False
    """Whether a binary without PT_GNU_STACK gets executable data (arch/x86/include/asm/elf.h)."""
    call_tables: tuple[str, ...]
    """Keys of Syscall.numbers that hold here."""
    implied_open_flags: int
    """What open(2) adds (Linux, force_o_largefile)."""
    swapped_open_flags: tuple[tuple[int, int], ...] = ()
    """Pairs of open flags that have each other's values here."""

    # How Unicorn sees it.

    unicorn_arch: int
    unicorn_mode: int
    model: int | None = None
    """Unicorn's CPU model; None: its default. On x86 that has RDRAND and RDSEED: never take it."""
    page_size: int | None = None
    """Page size to set, where Unicorn's is not Linux's."""
    pc: int
    sp: int
    number: int
    """Register of the system call number."""
    arguments: tuple[int, ...]
    """Registers of the six arguments."""
    result: int
    trap_interrupt: int | None = None
    """Interrupt number that is a system call, or None."""
    trap_instruction: int | None = None
    """Unicorn's id of the instruction that is a system call, or None."""
    trap_size: int
    """Bytes of the trap instruction, for `saved`."""
    saved: tuple[tuple[int, int], ...] = ()
    """Pairs (from, to): registers that the trap copies (pc after the trap, flags)."""
    exceptions: Mapping[int, tuple[int, str]]
    """Exception number -> Linux signal and what happened."""
    pc_after_exception: int = 0
    """How far Unicorn moves pc on before it reports an exception."""
    breakpoints: tuple[bytes, ...] = ()
    """Instructions that Unicorn takes for invalid ones, and that are breakpoints."""
    leave_privileged: Callable[[Uc, int], None]
    """See `in_user_mode`."""
    refusals: tuple[Refusal, ...] = ()

    @property
    def word_mask(self) -> int:
        """All ones in a register."""
        return (1 << (8 * self.word)) - 1

    def open_flags(self, flags: int) -> int:
        """This architecture's open flags as the ones of bootstrap.core.abi, and back."""
        for one, other in self.swapped_open_flags:
            if bool(flags & one) != bool(flags & other):
                flags ^= one | other
        return flags


def page_down(guest_addr: int) -> int:
    """The start of the page that holds `guest_addr`."""
    return guest_addr & ~PAGE_MASK


def page_up(guest_addr: int) -> int:
    """The first page boundary at or after `guest_addr`."""
    return (guest_addr + PAGE_MASK) & ~PAGE_MASK


# User mode. Unicorn starts in the most privileged mode, where a guest could stop the CPU, load
# control registers, or read the host's clock. The way out is the real one where a mere register
# write is not enough: a return from an exception, on a page that exists only for it.

TRANSLATED = 32 << 20
"""Bytes for translated code; when they are full, Unicorn drops all translations and begins anew.

By default it takes 1 GiB for each CPU. The code of a process that is nested three deep is then more
than 2 GiB away from libunicorn, out of reach of a direct call, and every block begins with one.
"""
_GDT, _CODE, _LANDING, _FRAME, _STACK = 0x000, 0x300, 0x400, 0x800, 0xC00
"""Where things lie in that page."""


def in_user_mode(arch: Arch) -> Uc:
    """A Unicorn in user mode, its general registers 0, nothing to reach, in virtual TLB mode.

    With 64-bit addresses the page stays, above all that a process may map, where no TLB hook lets
    a guest. Once a region was taken away, Unicorn compares all pairs of regions for each new one
    (qemu/exec.c, find_ram_offset): 2,000 took 20 s. 32 bits have no room for so many.
    """
    cpu = Uc(arch.unicorn_arch, arch.unicorn_mode)
    if arch.model is not None:
        cpu.ctl_set_cpu_model(arch.model)
    if arch.page_size is not None:
        cpu.ctl_set_page_size(arch.page_size)
    cpu.ctl_set_tcg_buffer_size(TRANSLATED)
    stays = arch.word == 8
    page = arch.task_size if stays else PAGE
    cpu.ctl_set_tlb_mode(uc.UC_TLB_VIRTUAL)
    cpu.mem_map(page, PAGE)
    arch.leave_privileged(cpu, page)
    if not stays:
        cpu.mem_unmap(page, PAGE)
    cpu.ctl(uc.UC_CTL_TLB_FLUSH, uc.UC_CTL_IO_WRITE)
    return cpu


def _flat_segment(access: int, flags: int) -> bytes:
    """A segment descriptor over all memory (Intel SDM volume 3, figure 3-8)."""
    return struct.pack("<HHBBBB", 0xFFFF, 0, 0, access, 0xF | flags << 4, 0)


CS32, DATA, CS64 = 0x23, 0x2B, 0x33
"""Linux's user selectors (arch/x86/include/asm/segment.h)."""
SEGMENTS = {
    CS32: _flat_segment(0xFB, 0xC),
    DATA: _flat_segment(0xF3, 0xC),
    CS64: _flat_segment(0xFB, 0xA),
}
"""Selector -> descriptor."""
_INITIAL_FLAGS = 0x202
"""EFLAGS: interrupts on, and the bit that is always set."""
_MP_NE = 1 << 1 | 1 << 5
"""CR0: floating-point exceptions are exceptions, as on Linux."""
_OSFXSR_OSXMMEXCPT = 1 << 9 | 1 << 10
"""CR4: SSE, which every compiler takes for granted on x86-64, and its exceptions."""
_TSD = 1 << 2
"""CR4: RDTSC and RDTSCP fault in user mode, as after prctl(PR_SET_TSC, PR_TSC_SIGSEGV)."""
_FPU_CONTROL, _FPU_EMPTY, _MXCSR = 0x37F, 0xFFFF, 0x1F80
"""What a program finds after execve(2) (arch/x86/kernel/fpu/core.c, fpstate_init_user; Intel SDM
volume 1, 8.1.5 and 10.2.3): all exceptions masked, all registers empty."""


def _leave_ring_0(cpu: Uc, page: int, is64: bool) -> None:
    """By IRET to ring 3 with flat segments (Intel SDM volume 3, 5.3, 5.9, 6.12.1).

    The descriptor table is then put out of reach: a guest must not see it. So an instruction that
    loads a segment register faults here, which Linux would allow for its own selectors.
    """
    gdt = bytearray(0x40)
    for selector, descriptor in SEGMENTS.items():
        gdt[selector & ~7 : (selector & ~7) + 8] = descriptor
    code_selector = CS64 if is64 else CS32
    frame = (page + _LANDING, code_selector, _INITIAL_FLAGS, page + _STACK, DATA)
    sp = x86.UC_X86_REG_RSP if is64 else x86.UC_X86_REG_ESP
    cpu.mem_write(page + _GDT, bytes(gdt))
    cpu.mem_write(page + _CODE, b"\x48\xcf" if is64 else b"\xcf")
    cpu.mem_write(page + _FRAME, struct.pack("<5Q" if is64 else "<5I", *frame))
    cpu.reg_write(x86.UC_X86_REG_GDTR, (0, page + _GDT, len(gdt) - 1, 0))
    cpu.reg_write(x86.UC_X86_REG_CR0, cpu.reg_read(x86.UC_X86_REG_CR0) | _MP_NE)
    cr4 = cpu.reg_read(x86.UC_X86_REG_CR4) | _TSD | _OSFXSR_OSXMMEXCPT
    cpu.reg_write(x86.UC_X86_REG_CR4, cr4)
    cpu.reg_write(sp, page + _FRAME)
    cpu.emu_start(page + _CODE, page + _LANDING)
    if cpu.reg_read(x86.UC_X86_REG_CS) != code_selector:
        raise RuntimeError("the CPU did not enter ring 3")
    if not is64:
        for segment in (x86.UC_X86_REG_DS, x86.UC_X86_REG_ES):
            cpu.reg_write(segment, DATA)
    cpu.reg_write(x86.UC_X86_REG_GDTR, (0, 0, 0, 0))
    cpu.reg_write(sp, 0)
    cpu.reg_write(x86.UC_X86_REG_FPCW, _FPU_CONTROL)
    cpu.reg_write(x86.UC_X86_REG_FPTAG, _FPU_EMPTY)
    cpu.reg_write(x86.UC_X86_REG_MXCSR, _MXCSR)


_MSR_ELR_X0, _MSR_SPSR_XZR, _ERET = 0xD5184020, 0xD518401F, 0xD69F03E0
_MRS_X1_SCTLR, _ORR_X1_X1_X2, _MSR_SCTLR_X1 = 0xD5381001, 0xAA020021, 0xD5181001
_UCI_UCT_DZE = 1 << 26 | 1 << 15 | 1 << 14
"""SCTLR_EL1: a program may clean its caches, ask how long their lines are, and zero a block, as on
Linux (arch/arm64/include/asm/sysreg.h, INIT_SCTLR_EL1_MMU_ON)."""
_FPEN = 3 << 20
"""CPACR_EL1: floating point does not trap."""


def _leave_el1(cpu: Uc, page: int) -> None:
    """By ERET to EL0 (Arm ARM, D1.10). CNTKCTL_EL1 and PMUSERENR_EL0 are 0: no clock in EL0."""
    allow = (_MRS_X1_SCTLR, _ORR_X1_X1_X2, _MSR_SCTLR_X1)
    leave = (_MSR_ELR_X0, _MSR_SPSR_XZR, _ERET)
    cpu.mem_write(page + _CODE, struct.pack("<6I", *allow, *leave))
    cpu.reg_write(arm64.UC_ARM64_REG_X2, _UCI_UCT_DZE)
    cpu.reg_write(arm64.UC_ARM64_REG_CPACR_EL1, _FPEN)
    cpu.reg_write(arm64.UC_ARM64_REG_X0, page + _LANDING)
    cpu.emu_start(page + _CODE, page + _LANDING)
    if cpu.reg_read(arm64.UC_ARM64_REG_PSTATE) & 0xF:
        raise RuntimeError("the CPU did not enter EL0")
    for register in (arm64.UC_ARM64_REG_X0, arm64.UC_ARM64_REG_X1, arm64.UC_ARM64_REG_X2):
        cpu.reg_write(register, 0)


_FS_INITIAL = 1 << 13
"""mstatus.FS: floating point is on."""


def _leave_machine_mode(cpu: Uc, page: int) -> None:
    """By Unicorn's own register for the privilege.

    One instruction runs first: Unicorn reports new translations, which `_refuse_counters` needs,
    only once another one has run.
    """
    cpu.mem_write(page + _CODE, struct.pack("<2I", 0x13, 0x0FC0006F))  # nop; j _LANDING
    cpu.emu_start(page + _CODE, page + _LANDING)
    cpu.reg_write(
        riscv.UC_RISCV_REG_MSTATUS, cpu.reg_read(riscv.UC_RISCV_REG_MSTATUS) | _FS_INITIAL
    )
    cpu.reg_write(riscv.UC_RISCV_REG_PRIV, 0)
    if cpu.reg_read(riscv.UC_RISCV_REG_PRIV):
        raise RuntimeError("the CPU did not enter user mode")


# Instructions that Linux refuses to programs and that Unicorn's user mode does not.

_P = ctypes.c_void_p
_NO_OPERANDS = ctypes.CFUNCTYPE(None, _P, _P)
_PORT_IN = ctypes.CFUNCTYPE(ctypes.c_uint32, _P, ctypes.c_uint32, ctypes.c_int, _P)
_PORT_OUT = ctypes.CFUNCTYPE(None, _P, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32, _P)
TRANSLATION = ctypes.CFUNCTYPE(None, _P, ctypes.POINTER(uc_tb), ctypes.POINTER(uc_tb), _P)


def _refuse(kind: Callable[..., object], instruction: int, signal: int, reason: str) -> Refusal:
    """End the process at one of Unicorn's hooks for an instruction (UC_HOOK_INSN)."""

    def add(add_hook: AddHook, end: EndProcess, _read_code: ReadCode) -> None:
        def refused(*_: int) -> int:
            end(signal, reason)
            return 0

        add_hook(uc.UC_HOOK_INSN, kind(refused), None, instruction)

    return add


_REFUSE_PORTS = (
    _refuse(_PORT_IN, x86.UC_X86_INS_IN, SIGSEGV, "port input in user mode"),
    _refuse(_PORT_OUT, x86.UC_X86_INS_OUT, SIGSEGV, "port output in user mode"),
)
_REFUSE_OTHER_TRAPS = (
    _refuse(_NO_OPERANDS, x86.UC_X86_INS_SYSCALL, SIGILL,
            "the `syscall` instruction in a 32-bit program"),
    _refuse(_NO_OPERANDS, x86.UC_X86_INS_SYSENTER, SIGILL,
            "the `sysenter` instruction outside the vDSO"),
)  # fmt: skip
"""Some CPUs have `syscall` in 32-bit code too; Linux's vDSO hides it from programs."""

_COUNTERS = frozenset({0xC00, *range(0xC02, 0xC20), 0xC80, *range(0xC82, 0xCA0)})
"""cycle, instret, hpmcounter3 to 31, and their high halves (The RISC-V Instruction Set Manual,
volume I, Zicntr and Zihpm)."""
_SYSTEM = 0x73


def reads_counter(code: bytes) -> bool:
    """Whether the RISC-V instructions in `code`, a translation from its first byte, have one.

    Unicorn's RISC-V answers rdcycle and rdinstret from the host's counter in user mode, whatever
    mcounteren says (qemu/target/riscv/csr.c, ctr). Linux refuses them to programs since 6.6.
    """
    at = 0
    while at + 4 <= len(code):
        word = int.from_bytes(code[at : at + 4], "little")
        if word & 0x7F == _SYSTEM and word >> 12 & 3 and word >> 20 in _COUNTERS:
            return True
        at += 4 if word & 3 == 3 else 2
    return False


def _refuse_counters(add_hook: AddHook, end: EndProcess, read_code: ReadCode) -> None:
    """Each translation is searched once, when it is made and before it runs."""

    def translated(_uc: int, tb: "ctypes._Pointer[uc_tb]", *_: object) -> None:
        if reads_counter(read_code(tb.contents.pc, tb.contents.size)):
            end(SIGILL, "reads a cycle or instruction counter: the guest has no clock")

    add_hook(uc.UC_HOOK_EDGE_GENERATED, TRANSLATION(translated))


# CPU exceptions as Linux turns them into signals.

_X86_EXCEPTIONS: Mapping[int, tuple[int, str]] = {
    0: (SIGFPE, "divide error"),
    1: (SIGTRAP, "debug exception"),
    3: (SIGTRAP, "breakpoint"),
    4: (SIGSEGV, "overflow"),
    5: (SIGSEGV, "bound range exceeded"),
    6: (SIGILL, "invalid instruction"),
    11: (SIGBUS, "segment not present"),
    12: (SIGBUS, "stack segment fault"),
    13: (SIGSEGV, "general protection: privileged or refused instruction"),
    16: (SIGFPE, "floating point exception"),
    17: (SIGBUS, "alignment check"),
    19: (SIGFPE, "SIMD floating point exception"),
}
"""arch/x86/kernel/traps.c."""
_ARM64_EXCEPTIONS: Mapping[int, tuple[int, str]] = {
    1: (SIGILL, "undefined or refused instruction"),
    3: (SIGSEGV, "prefetch abort"),
    4: (SIGBUS, "data abort"),
    7: (SIGTRAP, "breakpoint"),
}
"""QEMU's numbers (target/arm/cpu.h, EXCP_*); signals after arch/arm64/kernel/traps.c."""
_RISCV_EXCEPTIONS: Mapping[int, tuple[int, str]] = {
    0: (SIGBUS, "misaligned instruction address"),
    1: (SIGSEGV, "instruction access fault"),
    2: (SIGILL, "illegal or refused instruction"),
    3: (SIGTRAP, "breakpoint"),
    4: (SIGBUS, "misaligned load"),
    5: (SIGSEGV, "load access fault"),
    6: (SIGBUS, "misaligned store"),
    7: (SIGSEGV, "store access fault"),
}
"""mcause (RISC-V Instruction Set Manual, volume II); signals after arch/riscv/kernel/traps.c."""

# The architectures.


def _registers(constants: ModuleType, prefix: str, names: str) -> tuple[int, ...]:
    return tuple(getattr(constants, prefix + name) for name in names.split())


X86 = Arch(
    name="i386",
    upstream="x86",
    word=4,
    elf_machines=(3, 6),  # EM_486 is as good as EM_386 (arch/x86/include/asm/elf.h)
    elf_class=1,
    task_size=0xFFFFE000,
    access_end=0x7FFFFFFFF000,
    platform="i686",
    read_implies_exec=True,
    call_tables=("i386",),
    implied_open_flags=0,
    unicorn_arch=uc.UC_ARCH_X86,
    unicorn_mode=uc.UC_MODE_32,
    model=x86.UC_CPU_X86_QEMU64,
    pc=x86.UC_X86_REG_EIP,
    sp=x86.UC_X86_REG_ESP,
    number=x86.UC_X86_REG_EAX,
    arguments=_registers(x86, "UC_X86_REG_", "EBX ECX EDX ESI EDI EBP"),
    result=x86.UC_X86_REG_EAX,
    trap_interrupt=0x80,
    trap_size=2,
    exceptions=_X86_EXCEPTIONS,
    leave_privileged=partial(_leave_ring_0, is64=False),
    refusals=(*_REFUSE_PORTS, *_REFUSE_OTHER_TRAPS),
)

AMD64 = Arch(
    name="x86_64",
    upstream="AMD64",
    word=8,
    elf_machines=(62,),
    elf_class=2,
    task_size=0x7FFFFFFFF000,
    access_end=0x7FFFFFFFF000,
    platform="x86_64",
    call_tables=("x86_64",),
    implied_open_flags=abi.O_LARGEFILE,
    unicorn_arch=uc.UC_ARCH_X86,
    unicorn_mode=uc.UC_MODE_64,
    model=x86.UC_CPU_X86_QEMU64,
    pc=x86.UC_X86_REG_RIP,
    sp=x86.UC_X86_REG_RSP,
    number=x86.UC_X86_REG_RAX,
    arguments=_registers(x86, "UC_X86_REG_", "RDI RSI RDX R10 R8 R9"),
    result=x86.UC_X86_REG_RAX,
    trap_instruction=x86.UC_X86_INS_SYSCALL,
    trap_size=2,
    saved=(
        (x86.UC_X86_REG_RIP, x86.UC_X86_REG_RCX),
        (x86.UC_X86_REG_EFLAGS, x86.UC_X86_REG_R11),
    ),
    exceptions=_X86_EXCEPTIONS,
    leave_privileged=partial(_leave_ring_0, is64=True),
    refusals=_REFUSE_PORTS,
)

AARCH64 = Arch(
    name="aarch64",
    upstream="AArch64",
    word=8,
    elf_machines=(183,),
    elf_class=2,
    task_size=1 << 48,
    access_end=1 << 48,
    platform="aarch64",
    call_tables=("generic", "generic-64", "aarch64"),
    implied_open_flags=abi.O_LARGEFILE,
    # arch/arm64/include/uapi/asm/fcntl.h
    swapped_open_flags=((abi.O_DIRECTORY, abi.O_DIRECT), (abi.O_NOFOLLOW, abi.O_LARGEFILE)),
    unicorn_arch=uc.UC_ARCH_ARM64,
    unicorn_mode=uc.UC_MODE_ARM,
    model=arm64.UC_CPU_ARM64_A72,
    page_size=4096,
    pc=arm64.UC_ARM64_REG_PC,
    sp=arm64.UC_ARM64_REG_SP,
    number=arm64.UC_ARM64_REG_X8,
    arguments=_registers(arm64, "UC_ARM64_REG_", "X0 X1 X2 X3 X4 X5"),
    result=arm64.UC_ARM64_REG_X0,
    trap_interrupt=2,
    trap_size=4,
    exceptions=_ARM64_EXCEPTIONS,
    leave_privileged=_leave_el1,
)

RISCV64 = Arch(
    name="riscv64",
    upstream="riscv64",
    word=8,
    elf_machines=(243,),
    elf_class=2,
    task_size=1 << 38,
    access_end=1 << 38,
    call_tables=("generic", "generic-64", "riscv64"),
    implied_open_flags=abi.O_LARGEFILE,
    unicorn_arch=uc.UC_ARCH_RISCV,
    unicorn_mode=uc.UC_MODE_RISCV64,
    pc=riscv.UC_RISCV_REG_PC,
    sp=riscv.UC_RISCV_REG_X2,
    number=riscv.UC_RISCV_REG_X17,
    arguments=_registers(riscv, "UC_RISCV_REG_", "X10 X11 X12 X13 X14 X15"),
    result=riscv.UC_RISCV_REG_X10,
    trap_interrupt=8,
    trap_size=4,
    exceptions=_RISCV_EXCEPTIONS,
    pc_after_exception=4,
    breakpoints=(b"\x73\x00\x10\x00", b"\x02\x90"),  # ebreak, c.ebreak
    leave_privileged=_leave_machine_mode,
    refusals=(_refuse_counters,),
)

RISCV32 = replace(
    RISCV64,
    name="riscv32",
    upstream="riscv32",
    word=4,
    elf_class=1,
    task_size=0x9DC00000,
    access_end=0x9DC00000,
    # No generic ABI ever had a 32-bit off_t, so O_LARGEFILE is implied here too.
    call_tables=("generic", "generic-32", "riscv32"),
    unicorn_mode=uc.UC_MODE_RISCV32,
)

ARCHES: tuple[Arch, ...] = (X86, AMD64, AARCH64, RISCV64, RISCV32)
