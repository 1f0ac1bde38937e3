"""What a PC and UEFI firmware have in common: one x86 CPU, RAM, hooks, and how it is stopped.

There is no clock. RDTSC would give the host's counter, and in ring 0, where boot sectors and UEFI
programs run, nothing refuses it (CR4.TSD is for the others), nor has Unicorn a hook for it. So each
block is looked at once, as it is translated and before it runs, for the instructions that are
served here. The CPU model has no RDTSCP, RDRAND and RDSEED.

The TLB is filled by a hook, as in core/cpu.py, which says why: a page becomes executable in it once
code was fetched from it, and what is written from outside to such a page drops its translations.
"""

import ctypes
import mmap
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

from unicorn import Uc, UcError
from unicorn import unicorn_const as uc
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uc_tb, uc_tlb_entry, uclib

from bootstrap import signals
from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.instruments.exit_checks import leave_out
from bootstrap.linux.slices import ticking

_TICK = 0.1
_LONGEST = 15
"""Bytes of an instruction (Intel SDM volume 2, 2.3.11)."""
MEGABYTE = 1 << 20
PAGE = 4096
FILL = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int, ctypes.POINTER(uc_tlb_entry),
    ctypes.c_void_p,
)  # fmt: skip
_PREFIXES = bytes.fromhex("26 2e 36 3e 64 65 66 67 f0 f2 f3")
_REX = bytes(range(0x40, 0x50))
_NO_RESERVE = 0x4000
"""MAP_NORESERVE of Linux, which Python names from 3.13 on: what is not touched costs nothing."""
RDTSC = b"\x0f\x31"
_TRANSLATED = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.POINTER(uc_tb), ctypes.POINTER(uc_tb), ctypes.c_void_p
)


def add_hook(
    engine: Uc, kind: int, callback: object, data: object = None, at: tuple[int, int] = (1, 0)
) -> None:
    """uc_hook_add for these addresses (first above last: all), past the Python binding. The caller
    keeps `callback` alive."""
    hook, where = ctypes.c_size_t(), map(ctypes.c_uint64, at)
    status = uclib.uc_hook_add(engine._uch, ctypes.byref(hook), kind, callback, data, *where)
    if status:
        raise RuntimeError(f"Unicorn refused a hook: error {status}")


def positions(data: bytes, what: bytes) -> Iterator[int]:
    """Where `what` begins in `data`."""
    at = data.find(what)
    while at >= 0:
        yield at
        at = data.find(what, at + 1)


class Registers:
    """Some registers at once, past the Python binding, which takes many times as long."""

    def __init__(self, engine: Uc, *names: str) -> None:
        number = len(names)
        self._values = (ctypes.c_uint64 * number)()
        first, size = ctypes.addressof(self._values), ctypes.sizeof(ctypes.c_uint64)
        places = (ctypes.c_void_p * number)(*(first + size * i for i in range(number)))
        self._batch = engine._uch, (ctypes.c_int * number)(*map(_register, names)), places, number

    def read(self) -> Sequence[int]:
        """Their values."""
        uclib.uc_reg_read_batch(*self._batch)
        return self._values[:]

    def write(self, *values: int) -> None:
        """Set them."""
        self._values[:] = list(values)
        uclib.uc_reg_write_batch(*self._batch)


def _register(name: str) -> int:
    return int(getattr(x86, f"UC_X86_REG_{name.upper()}"))


class X86Machine(ABC):
    """One CPU, and RAM from the address `first` on, which is committed as it is touched. Hooks give
    what they would raise to `fail`, since no exception can cross Unicorn; the first of it is raised
    by `_emulate`. `who` is what messages call the machine. Raises BadInput where there is not so
    much memory."""

    def __init__(
        self, mode: int, who: str, program_counter: str, memory: int, first: int = 0
    ) -> None:
        if memory % mmap.PAGESIZE or memory <= MEGABYTE:
            raise BadInput(f"memory: {memory} bytes are not whole pages, over 1 MiB")
        try:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
            self.ram = mmap.mmap(-1, memory, flags)
        except (OSError, ValueError, OverflowError) as error:
            raise BadInput(f"memory: {memory} bytes cannot be had: {error}") from None
        self._host = (ctypes.c_ubyte * memory).from_buffer(self.ram)
        self.uc = Uc(uc.UC_ARCH_X86, mode)
        self.uc.ctl_set_cpu_model(x86.UC_CPU_X86_QEMU64)
        self.uc.ctl_set_tcg_buffer_size(32 << 20)
        self.uc.ctl_exits_enabled(True)
        self.uc.mem_map_ptr(first, memory, uc.UC_PROT_ALL, ctypes.addressof(self._host))
        self._who, self._program_counter = who, program_counter
        self._prefixes = _PREFIXES + (_REX if mode == uc.UC_MODE_64 else b"")
        self._error: BaseException | None = None
        self._failed_at = ""
        self._served: dict[bytes, Callable[[int], object]] = {
            RDTSC: lambda at: self.refuse(f"rdtsc at {at:#x}: there is no clock")
        }
        """What is done before an instruction that begins so, at its address."""
        self._found: set[int] = set()
        self._first = first
        self._fetched = (ctypes.c_ubyte * (memory // PAGE))()
        """Of each page, whether code was fetched from it."""
        self._bad: int | None = None
        """An address beyond the memory that was asked for."""
        self.uc.ctl_set_tlb_mode(uc.UC_TLB_VIRTUAL)
        self._filled = FILL(self._fill)
        self._translated = _TRANSLATED(self._look_at_block)
        add_hook(self.uc, uc.UC_HOOK_EDGE_GENERATED, self._translated)

    @abstractmethod
    def place(self) -> str:
        """Registers in a line, for messages."""

    def _stop_between_blocks(self) -> None:
        """No hook need end the machine within a block: it runs faster."""
        leave_out(self.uc._uch)

    # Memory.

    def _fill(
        self, _uc: int, addr: int, kind: int, out: "ctypes._Pointer[uc_tlb_entry]", _user: int
    ) -> bool:
        """unicorn.h, uc_cb_tlbevent_t: all of the memory may be read and written."""
        page = (addr - self._first) // PAGE
        if not 0 <= page < len(self._fetched):
            self._bad = addr
            return False
        if kind == uc.UC_MEM_FETCH:
            self._fetched[page] = 1
        entry = out.contents
        entry.paddr = addr // PAGE * PAGE
        entry.perms = uc.UC_PROT_ALL if self._fetched[page] else uc.UC_PROT_READ | uc.UC_PROT_WRITE
        return True

    def holds(self, at: int, size: int) -> bool:
        """Whether all of this is memory."""
        return self._first <= at <= at + size <= self._first + len(self.ram)

    def read(self, at: int, size: int) -> bytes:
        """Memory: fewer bytes at its end, none below its beginning."""
        at -= self._first
        return self.ram[at : at + size] if at >= 0 else b""

    def store(self, at: int, data: bytes) -> None:
        """Write to memory from outside. Raises GuestFailed beyond its end."""
        if not self.holds(at, len(data)):
            raise GuestFailed(f"{len(data)} bytes at {at:#x} are beyond the memory")
        begin, end = at - self._first, at - self._first + len(data)
        self.ram[begin:end] = data
        if data and any(self._fetched[begin // PAGE : (end - 1) // PAGE + 1]):
            self.uc.ctl_remove_cache(at, at + len(data))

    # Instructions that are served here.

    def _look_at_block(
        self, _uc: int, now: "ctypes._Pointer[uc_tb]", _before: object, _user: int
    ) -> None:
        """unicorn.h, uc_hook_edge_gen_t: a block was translated, and is not yet run."""
        start, size = now.contents.pc, now.contents.size
        if self._look(start, size):
            self.uc.ctl_remove_cache(start, start + size)
            self.set_register(self._program_counter, self.register(self._program_counter))

    def _look(self, start: int, size: int) -> bool:
        """Hook what may be served in so much code; whether there is more of it than before. Unicorn
        heeds the hooks when it translates; the first block of all it does not report."""
        code = self.read(start, size)
        new = {start + at for what in self._served for at in positions(code, what)} - self._found
        self._found |= new
        for at in new:  # an instruction of it, if one is there, begins with its prefixes
            first = max(at - _LONGEST + len(RDTSC), 0)
            self.uc.hook_add(uc.UC_HOOK_CODE, self._serve_instruction, None, first, at)
        return bool(new)

    def _serve_instruction(self, _uc: Uc, at: int, _size: int, _user: object) -> None:
        code = self.read(at, _LONGEST)
        for what, serve in self._served.items():
            if code.startswith(what) or code.lstrip(self._prefixes).startswith(what):
                serve(at)

    # Registers.

    def register(self, name: str) -> int:
        """A register's value."""
        value: int = self.uc.reg_read(_register(name))
        return value

    def set_register(self, name: str, value: int) -> None:
        """Set it. Raises BadInput for a value that the CPU does not take."""
        try:
            self.uc.reg_write(_register(name), value)
        except UcError as error:
            raise BadInput(f"{name} = {value:#x}: {error}") from None

    # Running.

    def fail(self, error: BaseException) -> None:
        """From a hook: end the run with this error, unless there was one before. The engine may go
        on to the end of its block."""
        if self._error is None:
            self._error, self._failed_at = error, self.place()
        self.uc.emu_stop()

    def refuse(self, why: str) -> int:
        """From a hook: the guest did what this machine does not have. 0, as a hook may want."""
        self.fail(GuestFailed(why))
        return 0

    def _emulate(self, begin: int, seconds: int) -> None:
        """Until a hook stops it, or for so many seconds of CPU; 0 is no limit.

        Raises GuestFailed, with the place; KeyboardInterrupt; and what was given to `fail`.
        """
        began, late = time.process_time(), False

        def tick() -> None:
            nonlocal late
            if seconds and time.process_time() - began > seconds:
                late = True
                self.uc.emu_stop()

        with ticking(_TICK, tick, self.uc.emu_stop):
            try:
                self.uc.emu_start(begin, 0)
            except UcError as error:
                where = "" if self._bad is None else f", at {self._bad:#x}, beyond the memory"
                if self._error is None:
                    self.fail(GuestFailed(f"the machine stopped: {error}{where}"))
        signals.check()
        if late and self._error is None:
            more = "(--limit seconds=NUMBER raises it)"
            self.fail(GuestFailed(f"limit: {self._who} ran for {seconds} seconds {more}"))
        if isinstance(self._error, GuestFailed):
            raise GuestFailed(f"{self._error} [{self._failed_at}]")
        if self._error is not None:
            raise self._error
