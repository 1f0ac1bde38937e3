"""Lends memory, files and registers to fastpath.c, and takes them back before Python looks.

The C side and the Python side never work at the same time: `sync_out` copies offsets, sizes and
the break to C before the guest runs on, `sync_in` copies them back. See fastpath.c.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

from unicorn.unicorn_py3.unicorn import uclib

from bootstrap.core.arches import PAGE, Arch, page_up
from bootstrap.core.errors import BadInput
from bootstrap.core.files import Buffer, OpenFile
from bootstrap.core.memory import Extent
from bootstrap.instruments.callbuffer import CallLog
from bootstrap.instruments.libunicorn import REMOVE_CACHE
from bootstrap.instruments.structures import (
    SLOW,
    ExtentRow,
    FileState,
    HotState,
    InodeState,
    StepState,
)
from bootstrap.linux.inode import LazyFile
from bootstrap.linux.memory import AddressSpace
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.process import FdTable

_READ, _WRITE, _APPEND = 1, 2, 4
_MAX_FD = 64
"""Descriptors from here on are served by Python."""

_NO_SUCH_CALL = 0xFFFF_FFFF_FFFF_FFFF


class HotPath:
    """The loaded library. Raises BadInput when `library` cannot be loaded or does not fit."""

    def __init__(self, library: Path) -> None:
        try:
            self._library = ctypes.CDLL(os.fspath(library))
            sizes = [
                ctypes.c_int64.in_dll(self._library, f"{name}_state_size").value
                for name in ("hot", "step")
            ]
        except (OSError, ValueError) as error:
            raise BadInput(
                f"the native hot path {library.name} cannot be loaded: {error}"
            ) from None
        if sizes != [ctypes.sizeof(HotState), ctypes.sizeof(StepState)]:
            raise BadInput(
                f"the native hot path {library.name} was built from another version; "
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

    def attach(
        self,
        abi: Arch,
        memory: AddressSpace,
        fds: FdTable,
        slow: Callable[[int], None],
        log: CallLog | None,
    ) -> "HotCpu":
        """Serve one CPU. `slow` gets the interrupt number (-1: the trap instruction)."""
        return HotCpu(self, abi, memory, fds, slow, log)


class _Lent:
    """One open file description in C's hands."""

    __slots__ = ("address", "file", "inode", "inode_state", "state")

    def __init__(self, file: OpenFile, inode: LazyFile, inode_state: InodeState) -> None:
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


class HotCpu:
    """The state that fastpath.c works on, for one process image."""

    def __init__(
        self,
        path: HotPath,
        abi: Arch,
        memory: AddressSpace,
        fds: FdTable,
        slow: Callable[[int], None],
        log: CallLog | None,
    ) -> None:
        self._memory = memory
        self._fds = fds
        self._lent: dict[OpenFile, _Lent] = {}
        self._inodes: dict[LazyFile, tuple[InodeState, Buffer, object]] = {}
        self.extents_changed = True
        """What was lent of memory is no longer all, or too much."""
        self._extents: dict[Extent, _LentExtent] = {}
        self._table = (ctypes.c_void_p * _MAX_FD)()
        self.tlb_fill = path.functions["hot_tlb_fill"]
        self.interrupt = path.functions["hot_interrupt"]
        self.syscall = path.functions["hot_syscall"]

        state = self.state = HotState()
        self.user_data = ctypes.addressof(state)
        self.args = state.args
        d = abi
        read = (d.number, *d.arguments, *(source for source, _ in d.saved))
        wrote = (d.result, *(target for _, target in d.saved))
        self._registers = (
            (ctypes.c_int * len(read))(*read),
            (ctypes.c_int * len(wrote))(*wrote),
        )
        state.reg_read_batch = ctypes.cast(uclib.uc_reg_read_batch, ctypes.c_void_p)
        state.reg_write_batch = ctypes.cast(uclib.uc_reg_write_batch, ctypes.c_void_p)
        state.ctl = ctypes.cast(uclib.uc_ctl, ctypes.c_void_p)
        state.remove_cache = REMOVE_CACHE
        self._slow = SLOW(lambda: slow(state.interrupt))
        state.slow = self._slow
        state.arg_regs = ctypes.addressof(self._registers[0])
        state.result_regs = ctypes.addressof(self._registers[1])
        for index in range(len(read)):
            state.arg_values[index] = ctypes.addressof(state.args) + 8 * index
        for index in range(len(wrote)):
            state.result_values[index] = ctypes.addressof(state.results) + 8 * index
        state.arg_count, state.result_count = len(read), len(wrote)
        state.trap_size = d.trap_size
        state.word_mask = abi.word_mask
        state.access_end = abi.access_end
        state.trap_number = -1 if d.trap_interrupt is None else d.trap_interrupt
        numbers = NUMBERS[abi.name]
        state.nr_read, state.nr_write = numbers["read"], numbers["write"]
        state.nr_brk, state.nr_lseek = numbers["brk"], numbers.get("lseek", _NO_SUCH_CALL)
        state.files = ctypes.addressof(self._table)
        state.file_count = _MAX_FD
        state.fault_type = -1
        if log is not None:
            self._lend_log(log)

    def _lend_log(self, log: CallLog) -> None:
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
        room = min(
            memory.limits.memory - memory.mapped, memory.limits.memory_total - memory.meter.memory
        )
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
        lent: dict[OpenFile, _Lent] = {}
        seen: set[LazyFile] = set()
        for fd, file in self._fds.below(_MAX_FD):
            # Two descriptors of one description (dup, fork) are lent as one.
            entry = lent.get(file)
            if entry is None:
                inode = file.inode
                if not isinstance(inode, LazyFile) or inode.pending:
                    continue
                if inode not in seen:
                    seen.add(inode)
                    self._lend_inode(inode)
                entry = self._lent.get(file) or _Lent(file, inode, self._inodes[inode][0])
                entry.sync_out()
                lent[file] = entry
            table[fd] = entry.address
        self._lent = lent
        if len(self._inodes) > len(seen):
            self._inodes = {i: state for i, state in self._inodes.items() if i in seen}

    def _lend_inode(self, inode: LazyFile) -> None:
        data = inode.data
        known = self._inodes.get(inode)
        if known is None or known[1] is not data:
            state = known[0] if known is not None else InodeState()
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
        for file, entry in self._lent.items():
            file.offset = entry.state.offset
        for inode, (inode_state, _, _) in self._inodes.items():
            if inode_state.written:
                inode.size = inode_state.size
                inode.version += 1
                inode_state.written = 0

    def bad_page(self) -> tuple[int, int] | None:
        """The address and kind of the access that the TLB hook refused, if one was."""
        if self.state.fault_type < 0:
            return None
        return self.state.fault_addr, self.state.fault_type

    def send_bad_pages_to(self, guest_addr: int | None) -> None:
        """From now on an access that is refused goes to this page; None: it is refused."""
        self.state.nowhere, self.state.nowhere_is_set = guest_addr or 0, guest_addr is not None

    def pause(self, wanted: bool) -> None:
        """Whether the next system call is left to Python, whatever it is. From any thread."""
        self.state.pause = wanted

    def detach(self) -> None:
        """Give everything back for good."""
        self._lent.clear()
        self._inodes.clear()
        self._extents.clear()
        self._slow = self.state.slow = SLOW()


def find_library() -> Path | None:
    """The built library beside this file, if the install could build one."""
    for pattern in ("_fastpath*.so", "_fastpath*.pyd", "_fastpath*.dll", "_fastpath*.dylib"):
        for path in sorted(Path(__file__).parent.glob(pattern)):
            return path
    return None


def load() -> tuple[HotPath | None, str]:
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
    return HotPath(library), f"built from fastpath.c as {library.name}"


__all__ = ["HotCpu", "HotPath", "find_library", "load"]
