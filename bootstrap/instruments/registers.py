"""All registers that a guest can change, saved and given back as plain bytes.

Not Unicorn's own context: that is a structure of one version on one host, and a trace outlives
both. What is left out no guest can change here (the code segment), or makes no difference: the
segments of x86-64 that have no base, and an exclusive monitor (a checkpoint between a
load-exclusive and its store makes the store fail, as an interrupt may).
"""

import ctypes
from collections.abc import Mapping

from unicorn import arm64_const as arm64
from unicorn import riscv_const as riscv
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uclib

_WIDEST = 64
"""Bytes: more than any register has."""

_RISCV_NAMES = (
    "ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6"
).split()


def _x86(names: str) -> tuple[tuple[str, int], ...]:
    return tuple((name, getattr(x86, f"UC_X86_REG_{name.upper()}")) for name in names.split())


_ARM64 = (*(f"x{n}" for n in range(31)), "sp", "pc", "nzcv")
_RISCV = (
    *((name, riscv.UC_RISCV_REG_X0 + n) for n, name in enumerate(_RISCV_NAMES, 1)),
    ("pc", riscv.UC_RISCV_REG_PC),
)
GENERAL: Mapping[str, tuple[tuple[str, int], ...]] = {
    "i386": _x86("eax ebx ecx edx esi edi ebp esp eip eflags"),
    "x86_64": _x86("rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip eflags"),
    "aarch64": tuple((name, getattr(arm64, f"UC_ARM64_REG_{name.upper()}")) for name in _ARM64),
    "riscv64": _RISCV,
    "riscv32": _RISCV,
}
"""The general registers for people, in the customary order: by Arch.name, name and Unicorn's
number."""


def _range(module: object, prefix: str, count: int) -> tuple[tuple[str, int], ...]:
    return tuple(
        (f"{prefix.rsplit('_', 1)[1].lower()}{n}", getattr(module, f"{prefix}{n}"))
        for n in range(count)
    )


_X87 = (
    *_range(x86, "UC_X86_REG_FP", 8),
    ("fpcw", x86.UC_X86_REG_FPCW),
    ("fpsw", x86.UC_X86_REG_FPSW),
    ("fptag", x86.UC_X86_REG_FPTAG),
    ("mxcsr", x86.UC_X86_REG_MXCSR),
)
_SEGMENTS = tuple(
    (name, getattr(x86, f"UC_X86_REG_{name.upper()}")) for name in ("ds", "es", "ss", "fs", "gs")
)
_RISCV_F = (*_range(riscv, "UC_RISCV_REG_F", 32), ("fcsr", riscv.UC_RISCV_REG_FCSR))
_MORE = {
    "i386": (*_X87, *_range(x86, "UC_X86_REG_XMM", 8), *_SEGMENTS),
    "x86_64": (
        *_X87,
        *_range(x86, "UC_X86_REG_XMM", 16),
        ("fs_base", x86.UC_X86_REG_FS_BASE),
        ("gs_base", x86.UC_X86_REG_GS_BASE),
    ),
    "aarch64": (
        *_range(arm64, "UC_ARM64_REG_V", 32),
        ("fpcr", arm64.UC_ARM64_REG_FPCR),
        ("fpsr", arm64.UC_ARM64_REG_FPSR),
        ("tpidr_el0", arm64.UC_ARM64_REG_TPIDR_EL0),
    ),
    "riscv64": _RISCV_F,
    "riscv32": _RISCV_F,
}
_SINCE = frozenset({*dict(_SEGMENTS), "fs_base", "gs_base"})
"""Not in traces of before there were calls that set them: they are as execve leaves them there."""


def save(handle: ctypes.c_void_p, abi: str) -> dict[str, bytes]:
    """Every register, by name, little-endian, without the zeros at its end."""
    found = {}
    buffer = ctypes.create_string_buffer(_WIDEST)
    for name, number in (*GENERAL[abi], *_MORE[abi]):
        ctypes.memset(buffer, 0, _WIDEST)
        uclib.uc_reg_read(handle, number, buffer)
        found[name] = buffer.raw.rstrip(b"\0")
    return found


def restore(handle: ctypes.c_void_p, abi: str, saved: dict[str, bytes]) -> None:
    """Give them back. Raises ValueError where the names are not this architecture's."""
    numbers = dict((*GENERAL[abi], *_MORE[abi]))
    if not set(numbers) - _SINCE <= set(saved) <= set(numbers):
        raise ValueError("the registers are another architecture's")
    for name, raw in saved.items():
        if len(raw) > 16:
            raise ValueError(f"register {name} is too wide")
        cell = ctypes.create_string_buffer(raw, _WIDEST)
        if uclib.uc_reg_write(handle, numbers[name], cell):
            # A selector of what is no longer a segment: 0, as Linux does (arch/x86/kernel/tls.c).
            uclib.uc_reg_write(handle, numbers[name], bytes(_WIDEST))
