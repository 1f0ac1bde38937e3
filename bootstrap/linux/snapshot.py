"""A whole machine between two instructions as plain values, and back: what a checkpoint is.

Taken where the CPU of the last process has stopped; every other process waits behind its fork.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from bootstrap.core.arches import ARCHES, PAGE
from bootstrap.core.files import OpenFile, RegularFile, Stream
from bootstrap.core.memory import DIRTY, KEPT, Extent
from bootstrap.core.paths import PathBase
from bootstrap.core.process import Exec, FdTable
from bootstrap.linux import files_snapshot as files
from bootstrap.linux.machine import LinuxMachine
from bootstrap.linux.memory import MMAP_BASE, VirtualMemory
from bootstrap.linux.process import LinuxProcess

_ABIS = {abi.name: abi for abi in ARCHES}
_NOT_KEPT = bytes(flags & ~KEPT | (DIRTY if flags & KEPT else 0) for flags in range(256))
_WAS_WRITTEN = bytes(flags & (DIRTY | KEPT) != 0 for flags in range(256))
_IS_NEW = bytes(flags & DIRTY != 0 for flags in range(256))
_IS_KEPT = bytes(flags & KEPT != 0 for flags in range(256))


@dataclass(frozen=True, slots=True)
class ExtentState:
    """An extent: its page flags, and the pages that were written (DIRTY), in order."""

    start: int
    end: int
    flags: bytes
    pages: tuple[bytes, ...]

    def by_index(self) -> dict[int, bytes]:
        """The pages that were written, by index. Raises ValueError for more or fewer."""
        return dict(zip(_written(self.flags), self.pages, strict=True))

    def page(self, index: int) -> bytes:
        """One of them; zeros for one that was not written."""
        if not self.flags[index] & DIRTY:
            return bytes(PAGE)
        before = self.flags[:index]
        return self.pages[sum(before.count(flags) for flags in set(before) if flags & DIRTY)]


def _written(flags: bytes | bytearray) -> Iterator[int]:
    return (match.start() for match in re.finditer(b"\1", flags.translate(_WAS_WRITTEN)))


@dataclass(frozen=True, slots=True)
class MemoryState:
    """An address space."""

    extents: tuple[ExtentState, ...]
    mapped: int
    start_brk: int
    brk_now: int
    heap_end: int
    heap_flags: int
    read_implies_exec: bool


@dataclass(frozen=True, slots=True)
class TaskState:
    """A process with its CPU."""

    pid: int
    ppid: int
    abi: str
    exe_path: bytes
    argv: tuple[bytes, ...]
    umask: int
    zombies: tuple[tuple[int, int], ...]
    syscalls: int
    """Calls so far, over all its programs."""
    root: int
    cwd: int
    fds: tuple[tuple[int, int, bool], ...]
    """(fd, which of FsState.files, close-on-exec)."""
    memory: MemoryState
    registers: dict[str, bytes]
    executed: int
    """Instructions of the present program, where they were counted."""
    exe: int = 0
    """Number of the running image's file; 0 in snapshots of before it was kept."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A machine."""

    processes: int
    syscalls: int
    tasks: tuple[TaskState, ...]
    fs: files.FsState


@dataclass(slots=True)
class Sharing:
    """What successive snapshots of one machine have in common is kept once."""

    contents: files.Contents = field(default_factory=files.Contents)
    last: Snapshot | None = None

    @classmethod
    def restored(cls, state: Snapshot) -> "Sharing":
        """For a machine that `restore` has just made."""
        return cls(files.Contents.restored(state.fs), state)

    def before(self, pid: int, start: int) -> dict[int, bytes]:
        """The pages of an extent in the last snapshot."""
        for task in self.last.tasks if self.last is not None else ():
            if task.pid == pid:
                for extent in task.memory.extents:
                    if extent.start == start:
                        return extent.by_index()
        return {}


def take(machine: LinuxMachine, streams: Sequence[Stream], sharing: Sharing) -> Snapshot:
    """The machine as it is. `streams` are its standard streams."""
    opened: list[OpenFile] = []
    places: dict[OpenFile, int] = {}
    folders = []
    tasks = []
    for task in machine.tasks:
        process = task.process
        fds = []
        for fd, file in sorted(process.fds.files.items()):
            if file not in places:
                places[file] = len(opened)
                opened.append(file)
            fds.append((fd, places[file], fd in process.fds.cloexec))
        folders += [process.base.root, process.base.cwd]
        stepping = task.cpu.stepping
        tasks.append(
            TaskState(
                pid=process.pid,
                ppid=process.ppid,
                abi=process.arch.name,
                exe_path=process.exe_path,
                argv=process.program.argv,
                umask=process.umask,
                zombies=tuple(process.zombies.items()),
                syscalls=process.calls + task.cpu.served,
                root=process.base.root.ino,
                cwd=process.base.cwd.ino,
                fds=tuple(fds),
                memory=_memory(process.memory, process.pid, sharing),
                registers=task.cpu.save(),
                executed=stepping.executed if stepping is not None else 0,
                exe=process.exe.ino if process.exe is not None else 0,
            )
        )
    fs = files.save(machine.files, opened, folders, streams, sharing.contents)
    sharing.last = Snapshot(machine.processes, machine.ended_calls, tuple(tasks), fs)
    return sharing.last


def _memory(memory: VirtualMemory, pid: int, sharing: Sharing) -> MemoryState:
    extents = []
    for extent in memory.extents:
        known = sharing.before(pid, extent.start)
        pages = []
        for index in _written(extent.pages):
            page = extent.host[index * PAGE : (index + 1) * PAGE]
            old = known.get(index)
            pages.append(old if old == page else page)
        flags = bytes(extent.pages.translate(_NOT_KEPT))
        extents.append(ExtentState(extent.start, extent.end, flags, tuple(pages)))
    return MemoryState(
        tuple(extents),
        memory.mapped,
        memory.start_brk,
        memory.brk_now,
        memory.heap_end,
        memory.heap_flags,
        memory.read_implies_exec,
    )


def restore(
    machine: LinuxMachine,
    state: Snapshot,
    streams: Sequence[Stream],
    spaces: Mapping[int, VirtualMemory] = MappingProxyType({}),
) -> None:
    """Make a new machine, on a file system nobody has looked into, what it was.

    `spaces`: by pid, memory that was marked when the snapshot was taken, to be used again.
    Raises ValueError or KeyError for a snapshot that is none.
    """
    back = files.restore(machine.files, state.fs, streams)
    machine.processes, machine.ended_calls = state.processes, state.syscalls
    for saved in state.tasks:
        abi = _ABIS[saved.abi]
        old = spaces.get(saved.pid)
        memory = _space(machine, saved) if old is None else old
        if old is not None and not _rewind(old, machine, saved):
            old.release()
            memory = _space(machine, saved)
        fds = FdTable(machine.limits.open_files)
        for fd, place, cloexec in saved.fds:
            fds.put(fd, back.files[place], cloexec)
        process = LinuxProcess(
            saved.pid, saved.ppid, abi, memory, fds, machine.files,
            PathBase(back.folders(saved.root), back.folders(saved.cwd)), saved.umask,
            partial(machine.emit, saved.pid), saved.exe_path, Exec(saved.exe_path, saved.argv, ()),
            dict(saved.zombies), saved.syscalls,
        )  # fmt: skip
        image = back.inodes.get(saved.exe)  # no longer there: nobody can reach it to write to it
        process.run_file(image if isinstance(image, RegularFile) else None)
        task = machine.add_process(process)
        machine.running.append(task)
        task.cpu.restore(saved.registers)
        if task.cpu.stepping is not None:
            task.cpu.stepping.executed = saved.executed


def _rewind(memory: VirtualMemory, machine: LinuxMachine, saved: TaskState) -> bool:
    """Undo what was written since the memory was marked; False where that is not enough."""
    state = saved.memory
    if [(e.start, e.end) for e in memory.extents] != [(e.start, e.end) for e in state.extents]:
        return False
    for extent, row in zip(memory.extents, state.extents, strict=True):
        for index in _changed(extent.pages, row.flags):
            extent.host[index * PAGE : (index + 1) * PAGE] = row.page(index)
        extent.pages[:] = row.flags
    memory.meter, memory.watcher = machine.meter, None
    _complete(memory, machine, state)
    return True


def _changed(pages: bytearray, flags: bytes) -> Iterator[int]:
    """Which pages are not as they were when VirtualMemory.mark was called and flags were `flags`:
    those written since, and those that were there and are not, or are new."""
    new = int.from_bytes(pages.translate(_IS_NEW), "big")
    kept = int.from_bytes(pages.translate(_IS_KEPT), "big")
    written = int.from_bytes(flags.translate(_WAS_WRITTEN), "big")
    changed = (new | written & ~kept).to_bytes(len(pages), "big")
    return (match.start() for match in re.finditer(b"\1", changed))


def _complete(memory: VirtualMemory, machine: LinuxMachine, state: MemoryState) -> None:
    memory.mapped = state.mapped
    machine.meter.add_memory(state.mapped)
    memory.start_brk, memory.brk_now = state.start_brk, state.brk_now
    memory.heap_flags = state.heap_flags
    memory.read_implies_exec = state.read_implies_exec
    memory.searched = (MMAP_BASE[memory.arch.name], 0)


def _space(machine: LinuxMachine, saved: TaskState) -> VirtualMemory:
    state = saved.memory
    memory = VirtualMemory(_ABIS[saved.abi], machine.meter)
    before = 0
    for row in state.extents:
        if not before <= row.start < row.end or (row.start | row.end) % PAGE:
            raise ValueError(f"memory from 0x{row.start:x} to 0x{row.end:x}")
        before = row.end
        extent = Extent(row.start, row.end)
        if len(row.flags) != len(extent.pages):
            raise ValueError("an extent has too many pages")
        extent.pages[:] = row.flags
        for index, page in row.by_index().items():
            extent.host[index * PAGE : (index + 1) * PAGE] = page
        memory.adopt(extent)
    _complete(memory, machine, state)
    return memory
