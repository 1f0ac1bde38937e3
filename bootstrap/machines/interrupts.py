"""The C part of a machine: `Pc._through_gate`, what was counted; and a debugger's steps."""

import ctypes
import os
import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unicorn import Uc
from unicorn import unicorn_const as uc
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uclib

from bootstrap.core.errors import BadInput
from bootstrap.machines.emulation import FILL, add_hook

FRAME = struct.Struct("<III")
"""EIP, CS and EFLAGS, as an interrupt pushes them in protected mode."""
_NOTED = struct.Struct("<III8s")
"""`noted` of interrupts.c: descriptor, count, result, bytes."""
_SLOW = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
_ASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64)
_MOST_POINTS, _LOOK = 64, 1 << 16
_REGISTERS = (
    x86.UC_X86_REG_CR0, x86.UC_X86_REG_IDTR, x86.UC_X86_REG_EFLAGS, x86.UC_X86_REG_ESP,
    x86.UC_X86_REG_EIP, x86.UC_X86_REG_CS, x86.UC_X86_REG_EAX, x86.UC_X86_REG_ECX,
    x86.UC_X86_REG_EDX,
)  # fmt: skip
_COUNTED, _WRITTEN = 1, 2
_MOST_NOTED, _MOST_SITES = 4096, 256
_FUNCTIONS = ("uc_reg_read", "uc_reg_read_batch", "uc_reg_write_batch", "uc_ctl")
_REMOVE_CACHE = uc.UC_CTL_IO_WRITE << 30 | 2 << 26 | uc.UC_CTL_TB_REMOVE_CACHE
"""uc_ctl's word for dropping the translations of [start, end)."""


@dataclass(frozen=True)
class PlainCalls:
    """System calls that need no look at each: those `counted` by number, and writes of few bytes.

    `done` gets, before any other call, how often each of the counted was made since, and the
    writes: descriptor, bytes and result.
    """

    vector: int
    counted: tuple[int, ...]
    write: int
    user: int
    """The lowest address of programs; nobody need hear of calls from below."""
    begun: Callable[[], bool]
    """Whether a program runs, whose calls may be plain."""
    done: Callable[[Mapping[int, int], Sequence[tuple[int, bytes, int]]], object]


class _Noted(ctypes.Structure):
    _fields_ = (
        ("fd", ctypes.c_uint32), ("count", ctypes.c_uint32), ("result", ctypes.c_uint32),
        ("data", ctypes.c_char * 8),
    )  # fmt: skip


class _InterruptState(ctypes.Structure):
    """`pc` of interrupts.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in _FUNCTIONS),
        ("slow", _SLOW),
        ("fill", FILL),
        ("remove_cache", ctypes.c_int64),
        ("ram", ctypes.c_void_p),
        ("fetched", ctypes.c_void_p),
        ("ram_size", ctypes.c_uint64),
        ("taken", ctypes.c_uint64),
        ("most", ctypes.c_uint64),
        ("regs", ctypes.c_int32 * 9),
        ("counts", ctypes.c_uint64 * 65536),
        ("ebx", ctypes.c_int32),
        ("watched", ctypes.c_uint32),
        ("user", ctypes.c_uint32),
        ("begun", ctypes.c_uint32),
        ("kinds", ctypes.c_uint8 * 256),
        ("since", ctypes.c_uint64 * 256),
        ("sites", ctypes.c_uint32 * _MOST_SITES),
        *((name, ctypes.c_uint32) for name in ("sites_known", "open", "back", "esp", "notes_made")),
        ("notes", _Noted * _MOST_NOTED),
    )


class _StepState(ctypes.Structure):
    """`steps` of interrupts.c."""

    _fields_ = (
        ("ask", _ASK), ("passed", ctypes.c_uint64), ("look", ctypes.c_uint64),
        ("each", ctypes.c_uint32), ("number", ctypes.c_uint32),
        ("at", ctypes.c_uint32 * _MOST_POINTS),
    )  # fmt: skip


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
    library.pc_steps_size.restype = ctypes.c_uint64
    sizes = ctypes.sizeof(_InterruptState), ctypes.sizeof(_StepState)
    if (library.pc_size(), library.pc_steps_size()) != sizes:
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
        plain: PlainCalls | None,
    ) -> None:
        self._library = library
        self._plain = plain
        self._state = state = _InterruptState()
        for name in _FUNCTIONS:
            setattr(state, name, ctypes.cast(uclib[name], ctypes.c_void_p).value)
        state.ram, state.ram_size = ctypes.addressof(ram), len(ram)
        state.fetched, state.remove_cache = ctypes.addressof(fetched), _REMOVE_CACHE
        state.most = min(most, (1 << 64) - 1)
        state.regs[:] = _REGISTERS
        if plain is not None:
            state.watched, state.user, state.ebx = plain.vector, plain.user, x86.UC_X86_REG_EBX
            state.kinds[plain.write] = _WRITTEN
            for number in plain.counted:
                state.kinds[number] = _COUNTED

    def hook(self, engine: Uc, slow: Callable[[int], None], fill: object) -> None:
        """Serve `engine`; `slow` and `fill`, of Python, serve what is not plain."""
        state = self._state
        state.slow = _SLOW(lambda _uc, vector, _state: slow(vector))
        state.fill = fill
        for kind, name in ((uc.UC_HOOK_INTR, "pc_interrupt"), (uc.UC_HOOK_TLB_FILL, "pc_fill")):
            function = ctypes.cast(self._library[name], ctypes.c_void_p)
            add_hook(engine, kind, function, ctypes.byref(state))

    def report(self) -> None:
        """Of the plain calls since the last time."""
        state, plain = self._state, self._plain
        if plain is None:
            return
        since = {n: times for n in plain.counted if (times := state.since[n])}
        for number in since:
            state.since[number] = 0
        notes = memoryview(state.notes).cast("B")[: state.notes_made * _NOTED.size]
        writes = [(fd, data[:count], result) for fd, count, result, data in
                  _NOTED.iter_unpack(notes)]  # fmt: skip
        state.notes_made = 0
        if since or writes:
            plain.done(since, writes)

    def watch(self, engine: Uc, number: int, back: int) -> None:
        """Let what comes now be plain, if it can; a call of this number returns there."""
        state, plain = self._state, self._plain
        if plain is None:
            return
        state.begun = plain.begun()
        there = state.sites[: state.sites_known]
        if number != plain.write or back < plain.user or back in there or len(there) == _MOST_SITES:
            return
        state.sites[state.sites_known] = back
        state.sites_known += 1
        function = ctypes.cast(self._library.pc_returned, ctypes.c_void_p)
        add_hook(engine, uc.UC_HOOK_CODE, function, ctypes.byref(state), (back, back))
        engine.ctl_remove_cache(back, back + 1)

    @property
    def taken(self) -> int:
        """Interrupts that were served here."""
        return int(self._state.taken)

    def counted(self, vector: int) -> Iterator[tuple[int, int]]:
        """AL and how often, of those of a vector."""
        for al, number in enumerate(self._state.counts[vector << 8 : (vector + 1) << 8]):
            if number:
                yield al, number


class Steps:
    """Calls `ask` before instructions, with their linear address: each, or those at some addresses
    and now and then another. Where the C part is not there it is each, whatever was chosen."""

    def __init__(self, ask: Callable[[int], object]) -> None:
        self._ask = ask
        self.in_c = False
        self._state = _StepState(_ASK(lambda _uc, address: ask(address)), 0, _LOOK, 1)

    def choose(self, each: bool, points: Collection[int]) -> None:
        """Each, or those at these addresses."""
        self._state.each = each or len(points) > _MOST_POINTS
        self._state.number = 0 if self._state.each else len(points)
        for number, address in enumerate(points if self._state.number else ()):
            self._state.at[number] = address

    def hook(self, engine: Uc, library: ctypes.CDLL | None) -> None:
        """Hear of the instructions of `engine`."""
        if library is None:
            ask = self._ask
            engine.hook_add(uc.UC_HOOK_CODE, lambda _uc, at, _size, _: ask(at))
            return
        self.in_c = True
        function = ctypes.cast(library.pc_step, ctypes.c_void_p)
        add_hook(engine, uc.UC_HOOK_CODE, function, ctypes.byref(self._state))
