"""CPU exceptions as Linux turns them into signals."""

SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV = 4, 5, 7, 8, 11
X86_EXCEPTIONS = {
    0: (SIGFPE, "divide error"),
    1: (SIGTRAP, "debug exception"),
    3: (SIGTRAP, "breakpoint"),
    4: (SIGSEGV, "overflow"),
    5: (SIGSEGV, "bound range exceeded"),
    6: (SIGILL, "invalid instruction"),
    12: (SIGBUS, "stack segment fault"),
    13: (SIGSEGV, "general protection: privileged or refused instruction"),
    16: (SIGFPE, "floating point exception"),
    17: (SIGBUS, "alignment check"),
    19: (SIGFPE, "SIMD floating point exception"),
}
"""x86 exceptions as Linux turns them into signals (arch/x86/kernel/traps.c)."""
