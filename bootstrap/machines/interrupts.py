"""The C form of `Pc._through_gate`, where it was built; and what was counted."""

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from unicorn import Uc
from unicorn import unicorn_const as uc
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uclib

from bootstrap.core.errors import BadInput
from bootstrap.machines.emulation import add_hook

FRAME = struct.Struct("<III")
"""EIP, CS and EFLAGS, as an interrupt pushes them in protected mode."""
_SLOW = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
_REGISTERS = (
    x86.UC_X86_REG_CR0, x86.UC_X86_REG_IDTR, x86.UC_X86_REG_EFLAGS, x86.UC_X86_REG_ESP,
    x86.UC_X86_REG_EIP, x86.UC_X86_REG_CS, x86.UC_X86_REG_EAX, 0,
)  # fmt: skip
_FUNCTIONS = ("uc_reg_read", "uc_reg_read_batch", "uc_reg_write_batch", "uc_ctl")
_REMOVE_CACHE = uc.UC_CTL_IO_WRITE << 30 | 2 << 26 | uc.UC_CTL_TB_REMOVE_CACHE
"""uc_ctl's word for dropping the translations of [start, end)."""


class _InterruptState(ctypes.Structure):
    """`pc` of interrupts.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in _FUNCTIONS),
        ("slow", _SLOW),
        ("remove_cache", ctypes.c_int64),
        ("ram", ctypes.c_void_p),
        ("fetched", ctypes.c_void_p),
        ("ram_size", ctypes.c_uint64),
        ("taken", ctypes.c_uint64),
        ("most", ctypes.c_uint64),
        ("regs", ctypes.c_int32 * 8),
        ("counts", ctypes.c_uint64 * 65536),
    )


def find_library() -> Path | None:
    """The library that setup.py built, if it did."""
    folder = Path(__file__).parent
    return next(iter(sorted(folder.glob("_interrupts*.so")) + sorted(folder.glob("*.pyd"))), None)


def load() -> ctypes.CDLL | None:
    """The library, unless BOOTSTRAP_HOT_PATH says python. Raises BadInput where it says native,
    and there is none; and for one that was built from another interrupts.c."""
    wanted = os.environ.get("BOOTSTRAP_HOT_PATH", "auto") or "auto"
    path = find_library()
    if wanted == "python" or (path is None and wanted == "auto"):
        return None
    try:
        library = ctypes.CDLL(os.fspath(path)) if path is not None else None
    except OSError:
        library = None
    if library is None:
        raise BadInput("BOOTSTRAP_HOT_PATH=native, but interrupts.c was not built; run make")
    library.pc_size.restype = ctypes.c_uint64
    if library.pc_size() != ctypes.sizeof(_InterruptState):
        raise BadInput(f"{path}: was built from another version of interrupts.c; run make")
    return library


class NativeInterrupts:
    """The hook in C for one machine. Keep it as long as the machine runs."""

    def __init__(
        self,
        library: ctypes.CDLL,
        ram: "ctypes.Array[ctypes.c_ubyte]",
        fetched: "ctypes.Array[ctypes.c_ubyte]",
        most: int,
    ) -> None:
        self._library = library
        self._state = state = _InterruptState()
        for name in _FUNCTIONS:
            setattr(state, name, ctypes.cast(uclib[name], ctypes.c_void_p).value)
        state.ram, state.ram_size = ctypes.addressof(ram), len(ram)
        state.fetched, state.remove_cache = ctypes.addressof(fetched), _REMOVE_CACHE
        state.most = most
        state.regs[:] = _REGISTERS

    def hook(self, engine: Uc, slow: Callable[[int], None]) -> None:
        """Serve the interrupts of `engine`; `slow` serves what is not plain."""
        self._state.slow = _SLOW(lambda _uc, vector, _state: slow(vector))
        function = ctypes.cast(self._library.pc_interrupt, ctypes.c_void_p)
        add_hook(engine, uc.UC_HOOK_INTR, function, ctypes.byref(self._state))

    @property
    def taken(self) -> int:
        """Interrupts that were served here."""
        return int(self._state.taken)

    def counted(self, vector: int) -> Iterator[tuple[int, int]]:
        """AL and how often, of those of a vector."""
        for al, number in enumerate(self._state.counts[vector << 8 : (vector + 1) << 8]):
            if number:
                yield al, number
