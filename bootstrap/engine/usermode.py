"""Puts a fresh Unicorn x86 CPU into ring 3, where Linux runs its programs.

Unicorn starts in ring 0: a guest could stop the CPU with HLT, load control registers, or read the
host's clock with RDTSC. Ring 3 makes all of these fault, as on a real kernel. The way there is the
real one: an IRET from a page that exists only for it (Intel SDM volume 3, 6.12.1, 5.3, 5.9).
CR4.TSD makes RDTSC and RDTSCP fault too, as prctl(PR_SET_TSC, PR_TSC_SIGSEGV) does.
"""

import struct

from unicorn import UC_CTL_IO_WRITE, UC_CTL_TLB_FLUSH, UC_TLB_VIRTUAL, Uc
from unicorn import x86_const as x86

_PAGE = 0x1000
_GDT, _CODE, _LANDING, _FRAME, _STACK = 0x000, 0x300, 0x400, 0x800, 0xC00
_CS32, _DATA, _CS64 = 0x23, 0x2B, 0x33
"""Linux's user selectors (arch/x86/include/asm/segment.h)."""
_FLAGS = 0x202
"""Initial EFLAGS: interrupts on, and the bit that is always set."""
_TSD = 1 << 2


def _flat_segment(access: int, flags: int) -> bytes:
    """A segment descriptor over all memory (Intel SDM volume 3, figure 3-8)."""
    return struct.pack("<HHBBBB", 0xFFFF, 0, 0, access, 0xF | flags << 4, 0)


def enter_ring3(uc: Uc, is64: bool) -> None:
    """Leave `uc` in ring 3 with flat segments, all general registers 0. Nothing stays mapped."""
    gdt = bytearray(0x40)
    gdt[0x20:0x28] = _flat_segment(0xFB, 0xC)
    gdt[0x28:0x30] = _flat_segment(0xF3, 0xC)
    gdt[0x30:0x38] = _flat_segment(0xFB, 0xA)
    code_selector = _CS64 if is64 else _CS32
    frame = (_PAGE + _LANDING, code_selector, _FLAGS, _PAGE + _STACK, _DATA)
    sp = x86.UC_X86_REG_RSP if is64 else x86.UC_X86_REG_ESP

    uc.ctl_set_tlb_mode(UC_TLB_VIRTUAL)
    uc.mem_map(_PAGE, _PAGE)
    uc.mem_write(_PAGE + _GDT, bytes(gdt))
    uc.mem_write(_PAGE + _CODE, b"\x48\xcf" if is64 else b"\xcf")
    uc.mem_write(_PAGE + _FRAME, struct.pack("<5Q" if is64 else "<5I", *frame))
    uc.reg_write(x86.UC_X86_REG_GDTR, (0, _PAGE + _GDT, len(gdt) - 1, 0))
    uc.reg_write(x86.UC_X86_REG_CR4, uc.reg_read(x86.UC_X86_REG_CR4) | _TSD)
    uc.reg_write(sp, _PAGE + _FRAME)
    uc.emu_start(_PAGE + _CODE, _PAGE + _LANDING)
    if uc.reg_read(x86.UC_X86_REG_CS) != code_selector:
        raise RuntimeError("the CPU did not enter ring 3")
    if not is64:
        for segment in (x86.UC_X86_REG_DS, x86.UC_X86_REG_ES):
            uc.reg_write(segment, _DATA)
    uc.reg_write(x86.UC_X86_REG_GDTR, (0, 0, 0, 0))
    uc.reg_write(sp, 0)
    uc.mem_unmap(_PAGE, _PAGE)
    uc.ctl(UC_CTL_TLB_FLUSH, UC_CTL_IO_WRITE)
