"""One process image on one Unicorn CPU.

Claims: the guest's instructions run in user mode on the memory of its AddressSpace and on nothing
else; an access that the page flags do not allow ends the process, as does every exception; each
system call comes to `on_trap` exactly once, with the registers of the guest; instructions that were
overwritten, by the guest or by the kernel, are never run as they were before.
Relies on: Unicorn 2.1.4, by its public functions alone. Some are called through ctypes, past the
Python binding, whose own ways cost 3 to 30 us each where a bootstrap makes 33 million calls.
Tests that would fail if it lied: tests/core/test_cpu.py, test_changing_code.py, test_user_mode.py.

The TLB: Unicorn is asked to call `_fill` for each page that it does not yet know (UC_TLB_VIRTUAL,
UC_HOOK_TLB_FILL). A page becomes executable there only once code was fetched from it: Unicorn
takes its slow store path, which notices modified code, for executable pages only, and most stores
then take the fast one. Never use that mode without the hook: stale code would run.
"""

import ctypes
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from unicorn import __version__
from unicorn import unicorn_const as uc
from unicorn.unicorn_py3.unicorn import uc_tlb_entry, uclib

from bootstrap.core.abi import SIGBUS, SIGILL, SIGSEGV, SIGTRAP
from bootstrap.core.arches import PAGE, Arch, in_user_mode, page_down
from bootstrap.core.errors import BadInput
from bootstrap.core.memory import BEYOND, DIRTY, EXEC, FETCHED, READ, WRITE, AddressSpace, Extent

PINNED = "2.1.4"
"""The version of Unicorn that all of this was tested with; pyproject.toml pins the same."""
OnTrap = Callable[[Sequence[int]], int | None]
"""Receives the system call number and six arguments; returns the result, or None to stop.

Must not raise: it is called from inside Unicorn, which no exception can cross.
"""

_P = ctypes.c_void_p
_INTERRUPT = ctypes.CFUNCTYPE(None, _P, ctypes.c_uint32, _P)
_INSTRUCTION = ctypes.CFUNCTYPE(None, _P, _P)
_FILL = ctypes.CFUNCTYPE(
    ctypes.c_bool, _P, ctypes.c_uint64, ctypes.c_int, ctypes.POINTER(uc_tlb_entry), _P
)
"""Prototypes after unicorn.h."""
_READ_BATCH, _WRITE_BATCH = uclib["uc_reg_read_batch"], uclib["uc_reg_write_batch"]
"""Without the prototypes that the binding gives them: those cost more than the functions do."""
_CALL = struct.Struct("7Q")
REMOVE_CACHE = uc.UC_CTL_IO_WRITE << 30 | 2 << 26 | uc.UC_CTL_TB_REMOVE_CACHE
"""uc_ctl's word for dropping the translations of [start, end): UC_CTL_WRITE(type, 2 arguments)."""
_NEEDED = {uc.UC_MEM_WRITE: WRITE, uc.UC_MEM_FETCH: EXEC}
"""The right that an access needs; a load needs READ."""
_VERBS = {uc.UC_MEM_WRITE: "write to", uc.UC_MEM_FETCH: "fetch from"}


@dataclass(frozen=True, slots=True)
class Fault:
    """A CPU exception that ends a process, as Linux would by a signal."""

    signal: int
    """Linux signal number (signal(7))."""
    reason: str
    pc: int
    guest_addr: int | None = None
    """The address that could not be read, written or fetched from; of a read or write, its page."""


def _check(status: int, what: str) -> None:
    """Nothing here can fail but by a mistake of ours."""
    if status:
        raise RuntimeError(f"Unicorn refused {what}: error {status}")


def require_pinned() -> None:
    """Raises BadInput for another Unicorn than the pinned one."""
    if __version__ != PINNED:
        raise BadInput(
            f"Unicorn {__version__} is installed; this version works with {PINNED} only: "
            f"pip install unicorn=={PINNED}"
        )


class RegisterBatch:
    """Registers that are read and written together."""

    def __init__(self, handle: _P, registers: Sequence[int]) -> None:
        count = len(registers)
        self.numbers = (ctypes.c_int * count)(*registers)
        self.values = (ctypes.c_uint64 * count)()
        base = ctypes.addressof(self.values)
        self.places = (_P * count)(*(base + 8 * index for index in range(count)))
        arguments = handle, ctypes.byref(self.numbers), ctypes.byref(self.places), count
        self.read = partial(_READ_BATCH, *arguments)
        self.write = partial(_WRITE_BATCH, *arguments)


class Cpu:
    """Runs one process image. `close` it when the process is gone or runs another program.

    What stands outside the core may subclass it: to serve by other `_callbacks`, and to do more.
    """

    def __init__(self, arch: Arch, memory: AddressSpace, on_trap: OnTrap) -> None:
        require_pinned()
        self.arch = arch
        self.memory = memory
        self._on_trap = on_trap
        self._over = False
        """The process has ended, whatever of its code still runs: nothing is served any more."""
        self._fault: Fault | None = None
        self._bad_page: tuple[int, int] | None = None
        """The page refused last, and the kind of access (uc_mem_type)."""
        self._hooks: list[object] = []
        self._hosts: dict[int, object] = {}

        self._uc = in_user_mode(arch)
        # No address ends the run: not even the one that emu_start wants to be given.
        self._uc.ctl_exits_enabled(True)
        self._handle = self._uc._uch
        self._call = RegisterBatch(
            self._handle, (arch.number, *arch.arguments, *(source for source, _ in arch.saved))
        )
        self._result = RegisterBatch(
            self._handle, (arch.result, *(target for _, target in arch.saved))
        )
        self._mask = arch.word_mask
        memory.listener = self
        for extent in memory.extents:
            self.extent_added(extent)
        self._add_hooks()

    def _callbacks(self) -> tuple[object, object, object, int | None]:
        """For TLB fills, interrupts and trap instructions, and the user data of all three."""
        trap = _INSTRUCTION(lambda *_: self._serve())
        return _FILL(self._fill), _INTERRUPT(self._interrupt), trap, None

    def _add_hooks(self) -> None:
        fill, interrupt, trap, user_data = self._callbacks()
        self._hook(uc.UC_HOOK_TLB_FILL, fill, user_data)
        self._hook(uc.UC_HOOK_INTR, interrupt, user_data)
        # The trap comes first among the instruction hooks: once a stop is asked for, Unicorn calls
        # the first of them only (qemu/target/i386/seg_helper.c, helper_syscall).
        if self.arch.trap_instruction is not None:
            self._hook(uc.UC_HOOK_INSN, trap, user_data, self.arch.trap_instruction)
        for refuse in self.arch.refusals:
            refuse(self._hook, self.end, self.memory.read_upto)

    def _hook(self, kind: int, callback: object, user_data: int | None = None, *more: int) -> None:
        """uc_hook_add for all addresses.

        The callback goes as it is: what ctypes.cast gives would refer to itself, and keep it alive.
        """
        hook = ctypes.c_size_t()
        arguments = (ctypes.c_int(number) for number in more)
        status = uclib.uc_hook_add(
            self._handle, ctypes.byref(hook), kind, callback, user_data, 1, 0, *arguments
        )
        _check(status, "a hook")
        self._hooks.append(callback)

    # Memory: MemoryListener, and the hook that says which pages may be reached.

    def extent_added(self, extent: Extent) -> None:
        """Let the CPU reach the host memory of `extent`; `_fill` says which pages, and how."""
        size = ctypes.c_size_t(extent.size)
        host = (ctypes.c_char * extent.size).from_buffer(extent.host)
        self._hosts[extent.start] = host
        status = uclib.uc_mem_map_ptr(
            self._handle, ctypes.c_uint64(extent.start), size, uc.UC_PROT_ALL, host
        )
        _check(status, f"a mapping at {extent.start:#x}")

    def pages_changed(self) -> None:
        """Some page lost a right: forget what the TLB remembers."""
        self._uc.ctl(uc.UC_CTL_TLB_FLUSH, uc.UC_CTL_IO_WRITE)

    def code_written(self, guest_addr: int, size: int) -> None:
        """Drop translations of bytes that the kernel overwrote."""
        # Unicorn finds them by asking `_fill` to fetch, and takes a refusal for a fault of the
        # guest: grant it for the moment, also where the page may not be executed any more.
        extent = self.memory.find(guest_addr)
        assert extent is not None
        index = (guest_addr - extent.start) // PAGE
        flags = extent.pages[index]
        extent.pages[index] = flags | READ | EXEC | FETCHED
        start, end = ctypes.c_uint64(guest_addr), ctypes.c_uint64(guest_addr + size)
        uclib.uc_ctl(self._handle, REMOVE_CACHE, start, end)
        extent.pages[index] = flags
        if not flags & EXEC:
            self.pages_changed()

    def _fill(
        self, _uc: int, addr: int, kind: int, out: "ctypes._Pointer[uc_tlb_entry]", _user: int
    ) -> bool:
        """unicorn.h, uc_cb_tlbevent_t: whether the page at `addr` may be reached so, and how else.

        Guest-physical is guest-virtual. A page becomes writable in the TLB once it was written, so
        that DIRTY is set in time.
        """
        extent = self.memory.find(addr)
        if extent is not None:
            index = (addr - extent.start) // PAGE
            flags = extent.pages[index]
            need = _NEEDED.get(kind, READ)
            if flags & (need | BEYOND) == need:
                if kind == uc.UC_MEM_WRITE:
                    flags |= DIRTY
                elif kind == uc.UC_MEM_FETCH:
                    flags |= FETCHED
                extent.pages[index] = flags
                entry = out.contents
                entry.paddr = addr
                entry.perms = (
                    (1 if flags & READ else 0)
                    | (2 if flags & WRITE and flags & DIRTY else 0)
                    | (4 if flags & EXEC and flags & FETCHED else 0)
                )
                return True
        self._bad_page = (addr, kind)
        return False

    # Traps and exceptions.

    def _interrupt(self, _uc: int, number: int, _user: int) -> None:
        if number == self.arch.trap_interrupt:
            self._serve()
        else:
            self._exception(number)

    def _serve(self) -> None:
        """One system call."""
        if self._over:
            self.stop()
            return
        self._call.read()
        result = self._on_trap(_CALL.unpack_from(self._call.values))
        if result is None:
            self.stop()
        else:
            self.set_result(result)

    def _exception(self, number: int) -> None:
        signal, reason = self.arch.exceptions.get(number, (SIGSEGV, f"interrupt {number:#x}"))
        if self.arch.pc_after_exception:
            self._write(self.arch.pc, self.pc - self.arch.pc_after_exception)
        self.end(signal, reason)

    def end(self, signal: int, reason: str) -> None:
        """From inside a hook: a fault of the present instruction.

        What is left of its block may still run, but changes nothing that outlives the process.
        """
        self._fault = self._describe(signal, reason)
        self._over = True
        self.stop()

    def stop(self) -> None:
        """From inside a hook: end `run` after this instruction."""
        uclib.uc_emu_stop(self._handle)

    # Running.

    def run(self) -> Fault | None:
        """Go on until a fault, or until `on_trap` stops it."""
        self._fault = self._bad_page = None
        status = self._emulate()
        if self._fault is not None or not status:
            return self._fault
        if self._bad_page is not None:
            return self._bad_access(*self._bad_page)
        if status == uc.UC_ERR_INSN_INVALID:
            if self.memory.read_upto(self.pc, 4).startswith(self.arch.breakpoints):
                return self._describe(SIGTRAP, "breakpoint")
            return self._describe(SIGILL, "invalid instruction")
        return self._describe(SIGSEGV, f"CPU exception (Unicorn error {status})")

    def _emulate(self) -> int:
        """Until Unicorn stops; its status."""
        status: int = uclib.uc_emu_start(self._handle, self.pc, 0, 0, 0)
        return status

    def _bad_access(self, page_addr: int, kind: int) -> Fault:
        """The fault of an access to a page that it may not reach."""
        addr = self.pc if kind == uc.UC_MEM_FETCH else page_addr
        if page_addr < page_down(addr):
            # For an illegal instruction of RISC-V, Unicorn also fetches what is before it.
            return self._describe(SIGILL, "invalid instruction")
        reason = f"cannot {_VERBS.get(kind, 'read from')} {addr:#x}"
        if self.memory.is_beyond(addr, _NEEDED.get(kind, READ)):
            reason += ", which is beyond the end of the file that is mapped there"
            return self._describe(SIGBUS, reason, addr)
        return self._describe(SIGSEGV, reason, addr)

    def _describe(self, signal: int, reason: str, guest_addr: int | None = None) -> Fault:
        return Fault(signal, reason, self.pc, guest_addr)

    # Registers.

    def set_result(self, result: int) -> None:
        """Give the trap's result to the guest, and overwrite what the trap overwrites."""
        results = self._result.values
        results[0] = result & self._mask
        if len(results) > 1:  # arch.saved, which _call has after the number and six arguments
            results[1] = self._call.values[7] + self.arch.trap_size
            results[2] = self._call.values[8]
        self._result.write()

    def _read(self, register: int) -> int:
        value = ctypes.c_uint64(0)
        uclib.uc_reg_read(self._handle, register, ctypes.byref(value))
        return value.value & self._mask

    def _write(self, register: int, value: int) -> None:
        cell = ctypes.c_uint64(value & self._mask)
        uclib.uc_reg_write(self._handle, register, ctypes.byref(cell))

    @property
    def pc(self) -> int:
        """Address of the next instruction."""
        return self._read(self.arch.pc)

    def start_at(self, pc: int, sp: int) -> None:
        """Registers as execve(2) leaves them: all zero but these two."""
        self._write(self.arch.pc, pc)
        self._write(self.arch.sp, sp)

    def set_sp(self, sp: int) -> None:
        """The stack pointer, for clone(2)."""
        self._write(self.arch.sp, sp)

    def copy_state_to(self, child: "Cpu") -> None:
        """Give a forked child all registers."""
        child._uc.context_restore(self._uc.context_save())
        ctypes.memmove(child._call.values, self._call.values, ctypes.sizeof(self._call.values))

    def close(self) -> None:
        """Let go of the CPU and of the memory it points to."""
        self.memory.listener = None
        # No cycles stay: Python looks for them seldom, and each holds a whole CPU.
        self._hooks.clear()
        del self._on_trap, self._uc, self._call, self._result
        self._hosts.clear()
