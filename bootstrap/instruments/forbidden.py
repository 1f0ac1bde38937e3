"""Instructions that would let the host's clock into a guest, and that no mode of the CPU refuses.

Unicorn's RISC-V answers rdcycle and rdinstret from the host's counter in user mode, whatever
mcounteren says (qemu/target/riscv/csr.c, ctr). Linux refuses them to programs since 6.6
(arch/riscv/kernel/perf: SIGILL). So does this: each translation is looked through once, when it is
made and before it runs.
"""

_CSRS = frozenset({0xC00, *range(0xC02, 0xC20), 0xC80, *range(0xC82, 0xCA0)})
"""cycle, instret, hpmcounter3 to 31, and their high halves (The RISC-V Instruction Set Manual,
volume I, Zicntr and Zihpm)."""
_SYSTEM = 0x73


def reads_counter(code: bytes) -> bool:
    """Whether the RISC-V instructions in `code`, a translation from its first byte, have one."""
    at = 0
    while at + 4 <= len(code):
        word = int.from_bytes(code[at : at + 4], "little")
        if word & 3 != 3:
            at += 2
            continue
        if word & 0x7F == _SYSTEM and word >> 12 & 3 and word >> 20 in _CSRS:
            return True
        at += 4
    return False
