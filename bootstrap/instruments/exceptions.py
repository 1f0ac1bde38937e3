"""CPU exceptions as Linux turns them into signals."""

from collections.abc import Mapping

SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV = 4, 5, 7, 8, 11
REFUSED = 13
"""x86: general protection."""

X86: Mapping[int, tuple[int, str]] = {
    0: (SIGFPE, "divide error"),
    1: (SIGTRAP, "debug exception"),
    3: (SIGTRAP, "breakpoint"),
    4: (SIGSEGV, "overflow"),
    5: (SIGSEGV, "bound range exceeded"),
    6: (SIGILL, "invalid instruction"),
    11: (SIGBUS, "segment not present"),
    12: (SIGBUS, "stack segment fault"),
    REFUSED: (SIGSEGV, "general protection: privileged or refused instruction"),
    16: (SIGFPE, "floating point exception"),
    17: (SIGBUS, "alignment check"),
    19: (SIGFPE, "SIMD floating point exception"),
}
"""x86 exceptions as Linux turns them into signals (arch/x86/kernel/traps.c)."""

ARM64: Mapping[int, tuple[int, str]] = {
    1: (SIGILL, "undefined or refused instruction"),
    3: (SIGSEGV, "prefetch abort"),
    4: (SIGBUS, "data abort"),
    7: (SIGTRAP, "breakpoint"),
}
"""QEMU's numbers (target/arm/cpu.h, EXCP_*); signals after arch/arm64/kernel/traps.c."""

RISCV: Mapping[int, tuple[int, str]] = {
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
