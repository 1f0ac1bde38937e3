"""Leaves out Unicorn's look for a request to stop after each load and store.

Unicorn calls a function at the start of each block, and once more after each load and store
(qemu/include/exec/gen-icount.h, gen_tb_start; qemu/tcg/tcg-op.c, check_exit_request). The second
kind is for hooks on instructions and memory that end a run within a block. A CPU without such hooks
has no use for it: a page that may not be reached leaves the block by itself (qemu/softmmu/
unicorn_vtlb.c, raise_mmu_exception), and every other stop may wait for the next block. It costs a
third of the time of a program that computes (docs/speed.md), since no register of the guest stays
in one of the host beyond the call.

`uc_struct.no_exit_request` (include/uc_priv.h) leaves it out of what is translated from then on.
Unicorn sets it itself within an IT block of Thumb, and has no call for it. Where it lies depends on
the host's structures, so it is looked for once, by what it does: in Thumb code whose last
instruction is in an IT block it is 1 afterwards, else 0. Where that does not point to exactly one
byte, nothing is left out, the results are the same, and `bootstrap doctor` says so.
"""

import ctypes
import functools

from unicorn import UC_ARCH_ARM, UC_MODE_THUMB, Uc, UcError
from unicorn.arm_const import UC_ARM_REG_LR

_READ = 4096
"""Bytes of uc_struct that are looked at. More than 8 KiB of jump buffers (jmp_bufs, 64 of them)
come after the byte in question, so this much of it is there."""
_CODE, _END = 0x1000, 0x2000
_PLAIN = bytes.fromhex("8042 00bf 7047")
"""cmp r0, r0; nop; bx lr (Arm Architecture Reference Manual, DDI 0406, A8.8)."""
_CONDITIONAL = bytes.fromhex("8042 08bf 7047")
"""cmp r0, r0; it eq; bxeq lr."""
_PATTERN = (0, 1, 0, 1, 1, 0, 0, 1)
"""Which of the two is run, one after the other."""


@functools.cache
def offset() -> int | None:
    """Of `no_exit_request` in uc_struct, in bytes; None where it was not found."""
    try:
        uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB)
        uc.ctl_set_tcg_buffer_size(1 << 20)
        uc.mem_map(_CODE, _END - _CODE)
        states: list[bytes] = []
        for index, conditional in enumerate(_PATTERN):
            at = _CODE + 64 * index
            uc.mem_write(at, _CONDITIONAL if conditional else _PLAIN)
            uc.reg_write(UC_ARM_REG_LR, _END | 1)
            uc.emu_start(at | 1, _END)
            states.append(ctypes.string_at(uc._uch.value, _READ))
    except UcError:
        return None
    found = [
        at for at in range(_READ) if tuple(state[at] for state in states) == _PATTERN
    ]  # fmt: skip
    return found[0] if len(found) == 1 else None


def leave_out(handle: ctypes.c_void_p, wanted: bool = True) -> None:
    """In what this CPU translates from now on; or, with `wanted` False, put it in again."""
    at, base = offset(), handle.value
    if at is not None and base is not None:
        ctypes.c_uint8.from_address(base + at).value = wanted


def describe() -> str:
    """What CPUs do for which nobody counts instructions one by one."""
    return "at the start of each block" if offset() is not None else "after each access too"
