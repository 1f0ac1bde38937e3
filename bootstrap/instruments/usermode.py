"""Puts a fresh Unicorn CPU into user mode, where Linux runs its programs.

Unicorn starts in the most privileged mode: a guest could stop the CPU, load control registers, or
read the host's clock. User mode makes these fault, as on a real kernel. The way there is the real
one where a mere register write is not enough: a return from an exception, on a page that exists
only for it. What would still tell the time (RDTSC, the counters) is switched off too; for RISC-V's
cycle and instret see forbidden.py.
"""

import struct
from collections.abc import Callable

from unicorn import UC_CTL_IO_WRITE, UC_CTL_TLB_FLUSH, UC_TLB_VIRTUAL, Uc
from unicorn import arm64_const as arm64
from unicorn import riscv_const as riscv
from unicorn import x86_const as x86

from bootstrap.instruments.segments import CS32, CS64, DATA, FLAT

_PAGE = 0x1000
_GDT, _CODE, _LANDING, _FRAME, _STACK = 0x000, 0x300, 0x400, 0x800, 0xC00

_FLAGS = 0x202
"""Initial EFLAGS: interrupts on, and the bit that is always set."""
_MP_NE = 1 << 1 | 1 << 5
"""CR0: floating-point exceptions are exceptions, as on Linux."""
_OSFXSR_OSXMMEXCPT = 1 << 9 | 1 << 10
"""CR4: SSE, which every compiler takes for granted on x86-64, and its exceptions."""
_TSD = 1 << 2
"""CR4: RDTSC and RDTSCP fault in user mode, as after prctl(PR_SET_TSC, PR_TSC_SIGSEGV)."""

_FPU_CONTROL, _FPU_EMPTY, _MXCSR = 0x37F, 0xFFFF, 0x1F80
"""What a program finds after execve(2) (arch/x86/kernel/fpu/core.c, fpstate_init_user; Intel SDM
volume 1, 8.1.5 and 10.2.3): all exceptions masked, all registers empty."""

_MSR_ELR_X0, _MSR_SPSR_XZR, _ERET = 0xD5184020, 0xD518401F, 0xD69F03E0
_MRS_X1_SCTLR, _ORR_X1_X1_X2, _MSR_SCTLR_X1 = 0xD5381001, 0xAA020021, 0xD5181001
_UCI_UCT_DZE = 1 << 26 | 1 << 15 | 1 << 14
"""SCTLR_EL1: a program may clean its caches, ask how long their lines are, and zero a block, as on
Linux (arch/arm64/include/asm/sysreg.h, INIT_SCTLR_EL1_MMU_ON)."""
_FPEN = 3 << 20
"""CPACR_EL1: floating point does not trap."""

_FS_INITIAL = 1 << 13
"""mstatus.FS: floating point is on."""


def _x86(uc: Uc, is64: bool) -> None:
    """By IRET to ring 3 with flat segments (Intel SDM volume 3, 5.3, 5.9, 6.12.1)."""
    gdt = bytearray(0x40)
    for selector, descriptor in FLAT.items():
        gdt[selector & ~7 : (selector & ~7) + 8] = descriptor
    code_selector = CS64 if is64 else CS32
    frame = (_PAGE + _LANDING, code_selector, _FLAGS, _PAGE + _STACK, DATA)
    sp = x86.UC_X86_REG_RSP if is64 else x86.UC_X86_REG_ESP
    uc.mem_write(_PAGE + _GDT, bytes(gdt))
    uc.mem_write(_PAGE + _CODE, b"\x48\xcf" if is64 else b"\xcf")
    uc.mem_write(_PAGE + _FRAME, struct.pack("<5Q" if is64 else "<5I", *frame))
    uc.reg_write(x86.UC_X86_REG_GDTR, (0, _PAGE + _GDT, len(gdt) - 1, 0))
    uc.reg_write(x86.UC_X86_REG_CR0, uc.reg_read(x86.UC_X86_REG_CR0) | _MP_NE)
    cr4 = uc.reg_read(x86.UC_X86_REG_CR4) | _TSD | _OSFXSR_OSXMMEXCPT
    uc.reg_write(x86.UC_X86_REG_CR4, cr4)
    uc.reg_write(sp, _PAGE + _FRAME)
    uc.emu_start(_PAGE + _CODE, _PAGE + _LANDING)
    if uc.reg_read(x86.UC_X86_REG_CS) != code_selector:
        raise RuntimeError("the CPU did not enter ring 3")
    if not is64:
        for segment in (x86.UC_X86_REG_DS, x86.UC_X86_REG_ES):
            uc.reg_write(segment, DATA)
    uc.reg_write(x86.UC_X86_REG_GDTR, (0, 0, 0, 0))
    uc.reg_write(sp, 0)
    uc.reg_write(x86.UC_X86_REG_FPCW, _FPU_CONTROL)
    uc.reg_write(x86.UC_X86_REG_FPTAG, _FPU_EMPTY)
    uc.reg_write(x86.UC_X86_REG_MXCSR, _MXCSR)


def _i386(uc: Uc) -> None:
    _x86(uc, is64=False)


def _x86_64(uc: Uc) -> None:
    _x86(uc, is64=True)


def _aarch64(uc: Uc) -> None:
    """By ERET to EL0 (Arm ARM, D1.10). CNTKCTL_EL1 and PMUSERENR_EL0 are 0: no clock in EL0."""
    allow = (_MRS_X1_SCTLR, _ORR_X1_X1_X2, _MSR_SCTLR_X1)
    leave = (_MSR_ELR_X0, _MSR_SPSR_XZR, _ERET)
    uc.mem_write(_PAGE + _CODE, struct.pack("<6I", *allow, *leave))
    uc.reg_write(arm64.UC_ARM64_REG_X2, _UCI_UCT_DZE)
    uc.reg_write(arm64.UC_ARM64_REG_CPACR_EL1, _FPEN)
    uc.reg_write(arm64.UC_ARM64_REG_X0, _PAGE + _LANDING)
    uc.emu_start(_PAGE + _CODE, _PAGE + _LANDING)
    if uc.reg_read(arm64.UC_ARM64_REG_PSTATE) & 0xF:
        raise RuntimeError("the CPU did not enter EL0")
    for register in (arm64.UC_ARM64_REG_X0, arm64.UC_ARM64_REG_X1, arm64.UC_ARM64_REG_X2):
        uc.reg_write(register, 0)


def _riscv(uc: Uc) -> None:
    """By Unicorn's own register for the privilege; after one instruction, which `forbidden` needs.

    Unicorn reports new translations only once another one has run.
    """
    uc.mem_write(_PAGE + _CODE, struct.pack("<2I", 0x13, 0x0FC0006F))  # nop; j _LANDING
    uc.emu_start(_PAGE + _CODE, _PAGE + _LANDING)
    uc.reg_write(riscv.UC_RISCV_REG_MSTATUS, uc.reg_read(riscv.UC_RISCV_REG_MSTATUS) | _FS_INITIAL)
    uc.reg_write(riscv.UC_RISCV_REG_PRIV, 0)
    if uc.reg_read(riscv.UC_RISCV_REG_PRIV):
        raise RuntimeError("the CPU did not enter user mode")


_WAYS: dict[str, Callable[[Uc], None]] = {
    "i386": _i386,
    "x86_64": _x86_64,
    "aarch64": _aarch64,
    "riscv64": _riscv,
    "riscv32": _riscv,
}


def enter_user_mode(uc: Uc, abi_name: str) -> None:
    """Leave `uc` in user mode, all general registers 0, nothing mapped, in the virtual TLB mode."""
    uc.ctl_set_tlb_mode(UC_TLB_VIRTUAL)
    uc.mem_map(_PAGE, _PAGE)
    _WAYS[abi_name](uc)
    uc.mem_unmap(_PAGE, _PAGE)
    uc.ctl(UC_CTL_TLB_FLUSH, UC_CTL_IO_WRITE)
