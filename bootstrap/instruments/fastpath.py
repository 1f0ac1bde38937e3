"""Lends memory, files and registers to fastpath.c, and takes them back before Python looks.

The C side and the Python side never work at the same time: `sync_out` copies offsets, sizes and
the break to C before the guest runs on, `sync_in` copies them back. See fastpath.c.
"""

import ctypes
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from unicorn.unicorn_py3.unicorn import uclib

from bootstrap.core.arches import PAGE, Arch, page_up
from bootstrap.core.cpu import REMOVE_CACHE, OnTrap, RegisterBatch
from bootstrap.core.errors import BadInput
from bootstrap.core.files import Buffer, OpenFile, RegularFile
from bootstrap.core.memory import Extent
from bootstrap.instruments.callbuffer import CallBuffer
from bootstrap.instruments.counter import InstructionCounter, Travel
from bootstrap.instruments.instrumented import InstrumentedCpu
from bootstrap.instruments.structures import (
    SLOW,
    STRUCTURES,
    ExtentRow,
    FileState,
    HotState,
    NativeInode,
)
from bootstrap.linux.memory import VirtualMemory
from bootstrap.linux.numbers import NUMBERS

_READ, _WRITE, _APPEND = 1, 2, 4
_MAX_FD = 64
"""Descriptors from here on are served by Python."""

_NO_SUCH_CALL = 0xFFFF_FFFF_FFFF_FFFF


class FastPath:
    """The loaded library. Raises BadInput when `library` cannot be loaded or does not fit."""

    def __init__(self, library: Path) -> None:
        try:
            self._library = ctypes.CDLL(os.fspath(library))
        except OSError as error:
            raise BadInput(
                f"the native fast path {library.name} cannot be loaded: {error}"
            ) from None
        if not all(_fits(self._library, structure) for structure in STRUCTURES):
            raise BadInput(
                f"the native fast path {library.name} was built from another version; "
                "build it again with: make clean && make"
            )
        self.functions = {
            name: ctypes.cast(self._library[name], ctypes.c_void_p)
            for name in (
                "hot_tlb_fill",
                "hot_interrupt",
                "hot_syscall",
                "step_count",
                "step_access",
                "step_block_count",
                "step_translated",
            )
        }


class LayoutRow(ctypes.Structure):
    """layout_row: a field of a structure; without a name, the structure itself."""

    _fields_ = (("name", ctypes.c_char_p), ("offset", ctypes.c_uint32), ("size", ctypes.c_uint32))


def _fits(library: ctypes.CDLL, structure: type[ctypes.Structure]) -> bool:
    """Whether the library has each field of it where we have it, and no other."""
    fields = [(name, getattr(structure, name)) for name, *_ in structure._fields_]
    ours = [(name.encode(), field.offset, field.size) for name, field in fields]
    ours.append((b"", 0, ctypes.sizeof(structure)))
    try:
        rows = (LayoutRow * len(ours)).in_dll(library, f"{STRUCTURES[structure]}_fields")
    except ValueError:
        return False
    # One after the other: nothing is read after a row that differs, which may be the last.
    return all(
        (row.name, row.offset, row.size) == wanted for row, wanted in zip(rows, ours, strict=True)
    )


class _LentFile:
    """One open file description in C's hands."""

    __slots__ = ("address", "file", "inode", "inode_state", "state")

    def __init__(self, file: OpenFile, inode: RegularFile, inode_state: NativeInode) -> None:
        self.file = file
        self.inode = inode
        self.inode_state = inode_state
        self.state = FileState(ctypes.pointer(inode_state), 0, 0)
        self.address = ctypes.addressof(self.state)

    def sync_out(self) -> None:
        """What Python may have changed: fcntl(F_SETFL) changes O_APPEND."""
        file = self.file
        self.state.offset = file.offset
        self.state.flags = (
            (_READ if file.readable else 0)
            | (_WRITE if file.writable else 0)
            | (_APPEND if file.append else 0)
        )


class _LentExtent:
    """An extent's row in the table that fastpath.c searches, and what keeps its addresses good."""

    __slots__ = ("_host", "_pages", "row")

    def __init__(self, extent: Extent) -> None:
        self._host = (ctypes.c_char * (extent.end - extent.start)).from_buffer(extent.host)
        self._pages = (ctypes.c_char * len(extent.pages)).from_buffer(extent.pages)
        host, pages = ctypes.addressof(self._host), ctypes.addressof(self._pages)
        self.row = bytes(ExtentRow(extent.start, extent.end, host, pages))


class _Lent:
    """The state that fastpath.c works on, for one process image."""

    def __init__(
        self, memory: VirtualMemory, files: Mapping[int, OpenFile],
        slow: Callable[[int], None], log: CallBuffer | None,
    ) -> None:  # fmt: skip
        self._memory = memory
        self._opened = files
        self._files: dict[OpenFile, _LentFile] = {}
        self._inodes: dict[RegularFile, tuple[NativeInode, Buffer, object]] = {}
        self.extents_changed = True
        """What was lent of memory is no longer all, or too much."""
        self._extents: dict[Extent, _LentExtent] = {}
        self._table = (ctypes.c_void_p * _MAX_FD)()

        state = self.state = HotState()
        self.user_data = ctypes.addressof(state)
        arch = memory.arch
        state.reg_read_batch = ctypes.cast(uclib.uc_reg_read_batch, ctypes.c_void_p)
        state.reg_write_batch = ctypes.cast(uclib.uc_reg_write_batch, ctypes.c_void_p)
        state.ctl = ctypes.cast(uclib.uc_ctl, ctypes.c_void_p)
        state.remove_cache = REMOVE_CACHE
        self._slow = SLOW(lambda: slow(state.interrupt))
        state.slow = self._slow
        state.trap_size = arch.trap_size
        state.word_mask = arch.word_mask
        state.access_end = arch.access_end
        state.trap_number = -1 if arch.trap_interrupt is None else arch.trap_interrupt
        numbers = NUMBERS[arch.name]
        state.nr_read, state.nr_write = numbers["read"], numbers["write"]
        state.nr_brk, state.nr_lseek = numbers["brk"], numbers.get("lseek", _NO_SUCH_CALL)
        state.files = ctypes.addressof(self._table)
        state.file_count = _MAX_FD
        state.fault_type = -1
        if log is not None:
            self._lend_log(log)

    def lend_registers(self, call: RegisterBatch, result: RegisterBatch) -> None:
        """Those that a system call needs, and those that it changes."""
        state, address = self.state, ctypes.addressof
        state.arg_regs, state.result_regs = address(call.numbers), address(result.numbers)
        state.arg_values, state.result_values = address(call.places), address(result.places)
        state.args, state.results = address(call.values), address(result.values)
        state.arg_count, state.result_count = len(call.values), len(result.values)

    def _lend_log(self, log: CallBuffer) -> None:
        state = self.state
        self._log = [
            (ctypes.c_char * len(buffer)).from_buffer(buffer)
            for buffer in (log.header, *log.buffers)
        ]
        state.log_count, state.log_numbers, *columns = map(ctypes.addressof, self._log)
        state.log_columns[:] = columns

    def sync_out(self) -> None:
        """Lend everything: the guest is about to run."""
        memory, state = self._memory, self.state
        if self.extents_changed:
            self._lend_extents()
        state.brk_start = memory.start_brk
        state.brk_now = memory.brk_now
        state.heap_flags = memory.heap_flags
        meter, limits = memory.meter, memory.meter.limits
        room = min(limits.memory - memory.mapped, limits.memory_total - meter.memory)
        state.brk_limit = min(memory.heap_end, page_up(memory.brk_now) + room // PAGE * PAGE)
        state.fault_type = -1
        self._lend_files()

    def _lend_extents(self) -> None:
        memory, state = self._memory, self.state
        # Those that were lent before are not looked at again: a guest may have thousands.
        before = self._extents
        self._extents = {e: before.get(e) or _LentExtent(e) for e in memory.extents}
        self._rows = ctypes.create_string_buffer(
            b"".join([lent.row for lent in self._extents.values()])
        )
        state.extents = ctypes.addressof(self._rows)
        state.extent_count = len(memory.extents)
        state.last_extent = 0
        self.extents_changed = False

    def _lend_files(self) -> None:
        table = self._table
        ctypes.memset(table, 0, ctypes.sizeof(table))
        lent: dict[OpenFile, _LentFile] = {}
        seen: set[RegularFile] = set()
        opened = self._opened
        # A guest may have opened thousands, and this is done at each call that Python serves.
        below = opened if len(opened) < _MAX_FD else (fd for fd in range(_MAX_FD) if fd in opened)
        for fd in below:
            if fd >= _MAX_FD:
                continue
            file = opened[fd]
            # Two descriptors of one description (dup, fork) are lent as one.
            entry = lent.get(file)
            if entry is None:
                inode = file.inode
                if not isinstance(inode, RegularFile) or getattr(inode, "pending", False):
                    continue
                if inode not in seen:
                    seen.add(inode)
                    self._lend_inode(inode)
                entry = self._files.get(file) or _LentFile(file, inode, self._inodes[inode][0])
                entry.sync_out()
                lent[file] = entry
            table[fd] = entry.address
        self._files = lent
        if len(self._inodes) > len(seen):
            self._inodes = {i: state for i, state in self._inodes.items() if i in seen}

    def _lend_inode(self, inode: RegularFile) -> None:
        data = inode.data
        known = self._inodes.get(inode)
        if known is None or known[1] is not data:
            state = known[0] if known is not None else NativeInode()
            keep = (ctypes.c_char * len(data)).from_buffer(data)
            state.data = ctypes.addressof(keep)
            state.capacity = len(data)
            self._inodes[inode] = (state, data, keep)
        else:
            state = known[0]
        state.size = inode.size
        state.written = 0

    def sync_in(self) -> None:
        """Take everything back: Python is about to look."""
        memory, state = self._memory, self.state
        if state.brk_now != memory.brk_now:
            grown = page_up(state.brk_now) - page_up(memory.brk_now)
            memory.mapped += grown
            memory.meter.add_memory(grown)
            memory.brk_now = state.brk_now
        for file, entry in self._files.items():
            file.offset = entry.state.offset
        for inode, (inode_state, _, _) in self._inodes.items():
            if inode_state.written:
                inode.size = inode_state.size
                inode.version += 1
                inode_state.written = 0

    def detach(self) -> None:
        """Give everything back for good."""
        self._files.clear()
        self._inodes.clear()
        self._extents.clear()
        self._slow = self.state.slow = SLOW()


class FastCpu(InstrumentedCpu):
    """An InstrumentedCpu whose plain system calls, and whose TLB, are served in C.

    `files`: the descriptors of the process, as they are at any time.
    """

    def __init__(
        self,
        path: FastPath,
        files: Mapping[int, OpenFile],
        log: CallBuffer | None,
        arch: Arch,
        memory: VirtualMemory,
        on_trap: OnTrap,
        instruction_limit: int = 0,
        travel: Travel | None = None,
    ) -> None:
        self._functions = path.functions
        self._lent = _Lent(memory, files, self._slow, log)
        super().__init__(arch, memory, on_trap, instruction_limit, travel)

    def _callbacks(self) -> tuple[object, object, object, int | None]:
        self._lent.lend_registers(self._call, self._result)
        names = "hot_tlb_fill", "hot_interrupt", "hot_syscall"
        fill, interrupt, trap = (self._functions[name] for name in names)
        return fill, interrupt, trap, self._lent.user_data

    def _add_counter(self, counter: InstructionCounter, watching: bool) -> None:
        counter.install_native(
            self._hook, self._handle, watching, self._functions, self._lent.user_data
        )

    def extent_added(self, extent: Extent) -> None:
        """See the core's."""
        super().extent_added(extent)
        self._lent.extents_changed = True

    def extent_removed(self, extent: Extent) -> None:
        """See InstrumentedCpu's."""
        super().extent_removed(extent)
        self._lent.extents_changed = True

    def _send_bad_pages_to(self, guest_addr: int | None) -> None:
        super()._send_bad_pages_to(guest_addr)
        state = self._lent.state
        state.nowhere, state.nowhere_is_set = guest_addr or 0, guest_addr is not None

    def _slow(self, interrupt: int) -> None:
        """fastpath.c declined: a system call that it leaves to Python, or an exception. -1: the
        trap instruction."""
        if interrupt in (-1, self.arch.trap_interrupt):
            self._lent.sync_in()
            self._serve()
            self._lent.sync_out()
        else:
            self._exception(interrupt)

    def _emulate(self) -> int:
        lent = self._lent
        lent.state.pause = False
        lent.sync_out()
        status = super()._emulate()
        lent.sync_in()
        if lent.state.fault_type >= 0:
            self._bad_page = lent.state.fault_addr, lent.state.fault_type
        return status

    # Whatever ends the process or its time slice leaves the next system call to Python.

    def pause(self) -> None:
        """See InstrumentedCpu's."""
        super().pause()
        self._lent.state.pause = True

    def end(self, signal: int, reason: str) -> None:
        """See the core's."""
        super().end(signal, reason)
        self._lent.state.pause = True

    def _exact(self, page_addr: int) -> int:
        self._lent.state.pause = True
        return super()._exact(page_addr)

    @property
    def served(self) -> int:
        """System calls that were served without `on_trap`."""
        return int(self._lent.state.served)

    def close(self) -> None:
        """See the core's."""
        super().close()
        self._lent.detach()


def find_library() -> Path | None:
    """The built library beside this file, if the install could build one."""
    for pattern in ("_fastpath*.so", "_fastpath*.pyd", "_fastpath*.dll", "_fastpath*.dylib"):
        for path in sorted(Path(__file__).parent.glob(pattern)):
            return path
    return None


def load() -> tuple[FastPath | None, str]:
    """The hot path to use and why: (None, reason) is the Python one.

    BOOTSTRAP_HOT_PATH chooses: auto (the default), native, python. Raises BadInput when native is
    asked for and there is none.
    """
    wanted = os.environ.get("BOOTSTRAP_HOT_PATH", "auto") or "auto"
    if wanted not in ("auto", "native", "python"):
        raise BadInput(f"BOOTSTRAP_HOT_PATH={wanted}: choose auto, native or python")
    if wanted == "python":
        return None, "chosen by BOOTSTRAP_HOT_PATH"
    library = find_library()
    if library is None:
        reason = "no native library was built (no C compiler at install time)"
        if wanted == "native":
            raise BadInput(f"BOOTSTRAP_HOT_PATH=native, but {reason}; install one and run make")
        return None, reason
    return FastPath(library), f"built from fastpath.c as {library.name}"
