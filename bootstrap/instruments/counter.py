"""Counts the instructions of one CPU, and stops it before any of them: what travelling is made of.

An instruction counts once, when it begins; one with a REP prefix counts once however many rounds it
makes (Unicorn, like the hardware, begins it anew for each), and one that changed code in its own
translation, which Unicorn then begins again. Installed only where somebody travels:
a hook on every instruction takes about as long as the instruction.

`_count` and `_access` in Python are the specification of step_count and step_access in fastpath.c.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from unicorn import (
    UC_CTL_IO_WRITE,
    UC_CTL_TB_FLUSH,
    UC_HOOK_CODE,
    UC_HOOK_MEM_READ,
    UC_HOOK_MEM_WRITE,
    UC_MEM_WRITE,
)
from unicorn.unicorn_py3.unicorn import uclib

from bootstrap.core.memory import AddressSpace
from bootstrap.instruments.structures import StepState

_P = ctypes.c_void_p
CODE = ctypes.CFUNCTYPE(None, _P, ctypes.c_uint64, ctypes.c_uint32, _P)
ACCESS = ctypes.CFUNCTYPE(None, _P, ctypes.c_int, ctypes.c_uint64, ctypes.c_int, ctypes.c_int64, _P)
"""unicorn.h: uc_cb_hookcode_t, uc_cb_hookmem_t."""
_FLUSH = UC_CTL_IO_WRITE << 30 | UC_CTL_TB_FLUSH
"""uc_ctl's word for dropping all translations."""

READS, WRITES = 1, 2
NEVER = 0xFFFF_FFFF_FFFF_FFFF
TARGET, BREAKPOINT = 1, 2
WIDEST = 64
"""Bytes of one access at most."""
_STRING = frozenset((*range(0x6C, 0x70), *range(0xA4, 0xA8), *range(0xAA, 0xB0)))
_PREFIXES = frozenset((0x66, 0x67, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0xF2, 0xF3))
_REX = range(0x40, 0x50)
_JUMPS = frozenset((*range(0xE0, 0xE4), *range(0xE8, 0xEC), 0x9A, 0xC2, 0xC3, 0xCA, 0xCB, 0xCF))


@dataclass(frozen=True, slots=True)
class Travel:
    """What a CPU is made for that somebody travels with: to count, and perhaps to watch memory.

    Watching sees every load and store, and takes about three times as long. Counting by blocks is
    four times as quick as one by one, and stops between blocks only (blocks.py).
    """

    watching: bool = False
    blocks: bool = False


def is_repeat(code: bytes) -> bool:
    """Whether this one x86 instruction is a string instruction with a REP prefix (Intel SDM, REP).

    In 32-bit code 40 to 4F are no prefixes, but then they are whole instructions.
    """
    prefixes, opcode = code[:-1], code[-1:]
    if not all(byte in _PREFIXES or byte in _REX for byte in prefixes):
        return False
    return opcode[0] in _STRING and (0xF2 in prefixes or 0xF3 in prefixes)


def jumps(code: bytes) -> bool:
    """Whether this one x86 instruction may go to itself: jumps, calls, returns (Intel SDM, A.3)."""
    at = 0
    while at < len(code) and (code[at] in _PREFIXES or code[at] in _REX):
        at += 1
    first, second = (code[at:] + bytes(2))[:2]
    if first == 0x0F:
        return second & 0xF0 == 0x80
    if first == 0xFF:
        return second >> 3 & 7 in range(2, 6)
    return first & 0xF0 == 0x70 or first in _JUMPS


@dataclass(frozen=True, slots=True)
class Access:
    """An access to watched memory by an instruction."""

    executed: int
    """Instructions before the one that made it."""
    pc: int
    guest_addr: int
    size: int
    writes: bool


class InstructionCounter:
    """The counter of one CPU. `run_to` before the CPU runs; `reached` says why it stopped."""

    def __init__(self, memory: AddressSpace, x86: bool, stop: Callable[[], None]) -> None:
        self._memory = memory
        self._stop = stop
        state = self.state = StepState()
        state.is_x86 = x86
        state.target = state.last_repeat = NEVER
        self._array: ctypes.Array[ctypes.c_uint64] | None = None
        self._breakpoints: frozenset[int] = frozenset()
        self.counts: ctypes.Array[ctypes.c_uint64] | None = None
        self.trail: ctypes.Array[ctypes.c_uint64] | None = None
        self._on_access: tuple[ctypes.c_void_p, ctypes.c_void_p] | None = None
        self._watched: ctypes.c_size_t | None = None
        self.hear: Callable[[int, int, bool], None] | None = None
        """Gets every access before it is made, where these methods count and not fastpath.c:
        address, size, whether it writes."""

    def install(self, hook: Callable[..., None], watching: bool) -> None:
        """Add the hooks: these methods."""
        hook(UC_HOOK_CODE, CODE(self._count))
        if watching:
            hook(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, ACCESS(self._access))

    def install_native(
        self, hook: Callable[..., None], handle: ctypes.c_void_p, watching: bool,
        functions: Mapping[str, ctypes.c_void_p], memory: int,
    ) -> None:  # fmt: skip
        """The same in C. `memory`: address of the fast path's state, which knows the extents."""
        self.state.stop = ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p)
        self.state.memory = memory
        hook(UC_HOOK_CODE, functions["step_count"], ctypes.addressof(self.state))
        if watching:
            self._on_access = handle, functions["step_access"]

    @property
    def executed(self) -> int:
        """Instructions so far, of this image."""
        return int(self.state.executed)

    @executed.setter
    def executed(self, count: int) -> None:
        self.state.executed = count
        self.state.repeating = 0
        self.state.last_repeat = NEVER

    def again(self, pc: int) -> None:
        """The instruction there, which has begun, runs once more: that does not count."""
        state = self.state
        state.repeating, state.last_pc, state.last_repeat = 1, pc, pc

    def elsewhere(self) -> None:
        """Somebody set the registers: what comes next is no instruction begun again."""
        state = self.state
        state.repeating, state.last_pc, state.last_repeat = 0, NEVER, NEVER

    @property
    def reached(self) -> int:
        """Why the CPU stopped: 0 (not for us), TARGET or BREAKPOINT."""
        return int(self.state.reached)

    def run_to(self, target: int = NEVER, began: int = NEVER) -> None:
        """From here on, until so many instructions were executed.

        `began`: the count at which no breakpoint stops, for who goes on from one.
        """
        self.state.target, self.state.began = target, began
        self.state.reached = 0

    def set_breakpoints(self, addresses: Sequence[int], passing: bool = False) -> None:
        """Stop before the instruction at any of them; `passing`: only note the last one met."""
        self._breakpoints = frozenset(addresses)
        self._array = (ctypes.c_uint64 * max(1, len(addresses)))(*addresses)
        state = self.state
        state.breakpoints, state.breakpoint_count = ctypes.addressof(self._array), len(addresses)
        state.passing, state.met = passing, 0

    @property
    def last_met(self) -> int | None:
        """Where a `passing` breakpoint was met last: instructions before it."""
        return int(self.state.hit_at) if self.state.met else None

    def watch(self, start: int, end: int, kinds: int, stops: bool) -> None:
        """Watch the addresses from `start` up to `end`; needs a CPU made for watching.

        `stops`: end the run after the instruction; otherwise only the last access is kept.
        """
        state = self.state
        state.watch_start, state.watch_end, state.watch_kinds = start, end, kinds
        state.watch_stops, state.accesses = stops, 0
        if self._on_access is not None and start < end:
            # A hook that is not called costs less: fastpath.c looks only at what begins near.
            kind = UC_HOOK_MEM_READ * bool(kinds & READS) | UC_HOOK_MEM_WRITE * bool(kinds & WRITES)
            self._watch_from(max(0, start - WIDEST + 1), end - 1, kind, *self._on_access)

    def _watch_from(
        self, first: int, last: int, kind: int, handle: ctypes.c_void_p, function: ctypes.c_void_p
    ) -> None:
        """A hook on accesses that begin at these addresses, instead of the one before.

        What was translated without a hook would not look for it, so all translations are dropped.
        """
        failed = 0
        if self._watched is not None:
            failed = uclib.uc_hook_del(handle, self._watched)
        self._watched = ctypes.c_size_t()
        bounds = ctypes.c_uint64(first), ctypes.c_uint64(last)
        failed = failed or uclib.uc_hook_add(
            handle, ctypes.byref(self._watched), kind, function, ctypes.addressof(self.state),
            *bounds,
        )  # fmt: skip
        failed = failed or uclib.uc_ctl(handle, _FLUSH)
        assert not failed, f"Unicorn refused a watchpoint: error {failed}"

    @property
    def last_access(self) -> Access | None:
        """The last access to what is watched."""
        s = self.state
        if not s.accesses:
            return None
        return Access(s.access_at, s.access_pc, s.access_addr, s.access_size, s.access_kind == 2)

    def count_each(self, start: int, size: int) -> "ctypes.Array[ctypes.c_uint64]":
        """Count how often the instruction at each address from `start` on runs; the counts."""
        self.counts = (ctypes.c_uint64 * size)()
        self.lend_counts(start, self.counts)
        return self.counts

    def lend_counts(self, start: int, counts: "ctypes.Array[ctypes.c_uint64]") -> None:
        """Go on counting into what another CPU's `count_each` gave."""
        self.counts = counts
        self.state.counts = ctypes.addressof(counts)
        self.state.counts_base, self.state.counts_size = start, len(counts)

    def lend_trail(self, base: int, trail: "ctypes.Array[ctypes.c_uint64]") -> None:
        """Note the address of instruction number `base` (from 0) and of those that follow."""
        self.trail = trail
        self.state.trail = ctypes.addressof(trail)
        self.state.trail_base, self.state.trail_size = base, len(trail)

    # In Python: the specification of fastpath.c.

    def _count(self, _uc: int, addr: int, size: int, _user: int) -> None:
        s = self.state
        if addr == s.last_pc and (s.repeating or self._begins_again(addr, size)):
            return
        if s.executed == s.target:
            s.reached = TARGET
            self._stop()
            return
        if addr in self._breakpoints:
            if s.passing:
                s.met += 1
                s.hit_at = s.executed
            elif s.executed != s.began:
                s.reached = BREAKPOINT
                self._stop()
                return
        if self.trail is not None and 0 <= s.executed - s.trail_base < s.trail_size:
            self.trail[s.executed - s.trail_base] = addr
        s.executed += 1
        s.last_pc = addr
        whole = s.is_x86 and 2 <= size <= 15
        s.repeating = whole and is_repeat(self._memory.read_upto(addr, size))
        if self.counts is not None and 0 <= addr - s.counts_base < s.counts_size:
            self.counts[addr - s.counts_base] += 1

    def _begins_again(self, addr: int, size: int) -> bool:
        """Whether an instruction that follows itself is the same one, begun again: Unicorn does so
        on x86 with one that changed code in its own translation."""
        return bool(self.state.is_x86) and not jumps(self._memory.read_upto(addr, size))

    def _access(
        self, _uc: int, kind: int, addr: int, size: int, _value: int, _user: int
    ) -> None:  # fmt: skip
        s = self.state
        which = WRITES if kind == UC_MEM_WRITE else READS
        if self.hear is not None:
            self.hear(addr, size, which == WRITES)
        if not s.watch_kinds & which or addr >= s.watch_end or addr + size <= s.watch_start:
            return
        s.accesses += 1
        s.access_at, s.access_pc = s.executed - 1, s.last_pc
        s.access_addr, s.access_size, s.access_kind = addr, size, which
        if s.watch_stops:
            s.target = s.executed
