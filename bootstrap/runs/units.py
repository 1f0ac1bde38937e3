"""A unit: what the build driver (kaem) starts, with all that this starts, run apart from the rest.

A unit is run on files of its own, and all that it observed is written down: whatever it looked up,
found or not, as it was at that moment (`Observation`), and where it began (`UnitStart`). So is what
it did: its system calls that others can notice, with the contents of what it wrote (`UnitStep`).
Where all that was observed is so at the place where the unit was to run, its steps may be taken in
place of running it: by the handlers of the same machine, with the same events, limits and errors.
Only the instructions between them are left out.

What a unit may not do: use a descriptor that it inherited, but for the standard streams; be ended
by a fault; make a system call that the core does not have; see a link, or a file that somebody has
open for writing. Such a unit gives no result, and is run where it stands.
"""

from __future__ import annotations

import hashlib
import posixpath
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from bootstrap.core import cpu, machine, syscalls
from bootstrap.core.abi import MAX_RW_COUNT, O_TRUNC, PATH_MAX, LinuxError
from bootstrap.core.elf import STACK_SIZE
from bootstrap.core.errors import GuestFailed, Meter
from bootstrap.core.files import Directory, Inode, OpenFile, RegularFile, Stream
from bootstrap.core.machine import RunResult
from bootstrap.core.process import Exec, Fork, Process
from bootstrap.instruments import Engine
from bootstrap.linux.events import Listener
from bootstrap.linux.filesystem import OverlayFileSystem, seen_path
from bootstrap.linux.hostfolder import Lower, LowerEntry
from bootstrap.linux.inode import LazyDirectory, LazyFile, OverlayVolume
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine, LinuxTask

DRIVER = b"kaem"
"""How the names of build drivers begin: they start units, and are none."""


class NotAUnit(Exception):
    """It did, or met, what only a run at its place can show."""


class Contradiction(Exception):
    """A result that cannot be what the unit did: what it says does not go together."""


class StoppedEarly(GuestFailed):
    """A listener ends the run: it has seen what it was asked to look for."""


# -- what is known of a unit: plain data -----------------------------------------------------------

Descriptor = Literal["in", "out", "0", "1", "2"]
"""Standard input or output; or a file that the unit must not use, by how it is open: O_RDONLY,
O_WRONLY, O_RDWR."""


@dataclass(frozen=True, slots=True)
class UnitStart:
    """Where a unit begins: all that it observes but for files."""

    path: bytes
    argv: tuple[bytes, ...]
    envp: tuple[bytes, ...]
    cwd: bytes
    pid: int
    umask: int
    fds: tuple[tuple[int, Descriptor], ...]
    """What is inherited: fd, and what kind."""

    @property
    def program(self) -> Exec:
        return Exec(self.path, self.argv, self.envp)


@dataclass(frozen=True, slots=True)
class NameState:
    """What is under a name."""

    kind: Literal["absent", "file", "directory"]
    mode: int = 0
    """Permissions."""
    sha256: str = ""
    running: bool = False
    """A process runs it, so that nobody may write to it."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was under an absolute path, which was reached without links, before the unit ran."""

    path: bytes
    state: NameState


@dataclass(frozen=True, slots=True)
class UnitStep:
    """One thing that a unit did."""

    what: Literal["call", "data", "output", "fork", "exec", "exit", "reaped"]
    calls: int
    """System calls that the process has ended by then."""
    name: str = ""
    """Of a call: its handler's."""
    numbers: tuple[int, ...] = ()
    """call: the handler's arguments; data: fd, first byte, capacity; output: fd; fork: the child's
    stack; exit: the wait status; reaped: a pid."""
    path: bytes | None = None
    words: tuple[bytes, ...] = ()
    environment: tuple[bytes, ...] = ()
    result: int = 0
    """Of a call, or an errno, negative; of fork the pid; of execve 0, or -1."""
    blob: str = ""
    """SHA-256 of the bytes that were written."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """The most that a unit took, of what is limited for all processes together."""

    memory: int = 0
    files: int = 0
    inodes: int = 0
    processes: int = 0
    """How many it started, itself not counted."""
    nesting: int = 0


@dataclass(frozen=True, slots=True)
class UnitResult:
    """A unit that was run to its end."""

    start: UnitStart
    observations: tuple[Observation, ...]
    """In the order of the first look."""
    steps: tuple[UnitStep, ...]
    finals: tuple[Observation, ...]
    """What is under each name that it changed, afterwards."""
    peaks: Peaks
    milliseconds: int
    """CPU time that it took."""


_NUMBERS = {"data": 3, "output": 1, "fork": 1, "exec": 0, "exit": 1, "reaped": 1}
"""How many numbers a step has."""
Blobs = Mapping[str, bytes]
"""Contents by their SHA-256."""


# -- files of a unit's own -------------------------------------------------------------------------


class UnitLower(Lower, Protocol):
    """The files that a unit sees."""

    def runs(self, guest_path: bytes) -> bool:
        """Whether a process runs this file."""


class GivenLower:
    """Files that are given: state and content of each by its path; parents are implied."""

    lazy = False

    def __init__(
        self, files: Mapping[bytes, tuple[NameState, bytes]], folders: Sequence[bytes] = ()
    ) -> None:
        self._files = files
        self._listings: dict[bytes, dict[bytes, LowerEntry]] = {b"/": {}}
        for path in folders:
            self._folder(path)
        for path, (state, data) in files.items():
            above, name = posixpath.split(path)
            self._folder(above)[name] = LowerEntry(stat.S_IFREG | state.mode, len(data))

    def _folder(self, path: bytes) -> dict[bytes, LowerEntry]:
        if path not in self._listings:
            above, name = posixpath.split(path)
            if above == path:
                raise ValueError(f"{path!r} is not absolute")
            self._folder(above)[name] = LowerEntry(stat.S_IFDIR | 0o755)
            self._listings[path] = {}
        return self._listings[path]

    def list(self, guest_path: bytes) -> Mapping[bytes, LowerEntry]:
        """See Lower."""
        return self._listings[guest_path]

    def load(self, guest_path: bytes) -> bytes:
        """See Lower."""
        return self._files[guest_path][1]

    def read(self, guest_path: bytes, offset: int, count: int) -> bytes:
        """See Lower."""
        return self.load(guest_path)[offset : offset + count]

    def runs(self, guest_path: bytes) -> bool:
        """See UnitLower."""
        return self._files[guest_path][0].running


class PresentLower:
    """The files of a run as they are now. Looking at them changes nothing there."""

    lazy = False

    def __init__(self, fs: OverlayFileSystem) -> None:
        self._fs = fs
        self._hashes: dict[bytes, str] = {}
        """Of files below the run's own, which never change."""

    def find(self, guest_path: bytes) -> Inode | LowerEntry | None:
        """What is at an absolute path without links, `.` and `..`."""
        here: Inode | LowerEntry | None = self._fs.root
        for name in filter(None, guest_path.split(b"/")):
            if isinstance(here, LazyDirectory):
                here.names()  # looks into it
                here = here.peek(name)
            elif isinstance(here, LowerEntry) and stat.S_ISDIR(here.mode):
                path = posixpath.join(here.guest_path, name)
                entry = self._fs.volume.lower.list(here.guest_path).get(name)
                here = entry and entry._replace(guest_path=path)
            else:
                return None
        return here

    def state(self, guest_path: bytes) -> NameState | None:
        """What is under a path; None where that is more than a unit may see."""
        found = self.find(guest_path)
        if not isinstance(found, LowerEntry):
            return state_of(found)
        mode = stat.S_IMODE(found.mode)
        if stat.S_ISDIR(found.mode):
            return NameState("directory", mode)
        if not stat.S_ISREG(found.mode):
            return None
        sha256 = self._hashes.get(found.guest_path)
        if sha256 is None:
            sha256 = hashlib.sha256(self.load(guest_path)).hexdigest()
            self._hashes[found.guest_path] = sha256
        return NameState("file", mode, sha256)

    def list(self, guest_path: bytes) -> Mapping[bytes, LowerEntry]:
        """See Lower."""
        here = self.find(guest_path)
        if isinstance(here, LowerEntry):
            return self._fs.volume.lower.list(here.guest_path)
        assert isinstance(here, LazyDirectory)
        return {name: _entry(here.peek(name)) for name in here.names()}

    def load(self, guest_path: bytes) -> bytes:
        """See Lower."""
        found = self.find(guest_path)
        if isinstance(found, RegularFile):
            return found.contents()
        assert isinstance(found, LowerEntry)
        return self._fs.volume.lower.load(found.guest_path)

    def read(self, guest_path: bytes, offset: int, count: int) -> bytes:
        """See Lower."""
        return self.load(guest_path)[offset : offset + count]

    def runs(self, guest_path: bytes) -> bool:
        """See UnitLower."""
        found = self.find(guest_path)
        return isinstance(found, RegularFile) and found.runners > 0


def _entry(found: Inode | LowerEntry | None) -> LowerEntry:
    if isinstance(found, LowerEntry):
        return found
    assert found is not None
    if isinstance(found, Directory) or state_of(found) is not None:
        return LowerEntry(found.mode, found.size if isinstance(found, RegularFile) else 0)
    return LowerEntry(stat.S_IFLNK)  # whatever a unit may not see


def state_of(inode: Inode | None) -> NameState | None:
    """The state of a file; None where it is more than a unit may see."""
    if inode is None:
        return NameState("absent")
    mode = stat.S_IMODE(inode.mode)
    if isinstance(inode, Directory):
        return NameState("directory", mode)
    if not isinstance(inode, RegularFile) or inode.writers or inode.links != 1:
        return None
    return NameState("file", mode, inode.sha256(), inode.runners > 0)


class _ObservedDirectory(LazyDirectory):
    """A directory whose look-ups are observed. All that a path leads to goes through them."""

    __slots__ = ()

    _volume: _UnitVolume

    def lookup(self, name: bytes) -> Inode | None:
        """See the core's."""
        child = super().lookup(name)
        self._volume.observe(self, name, child)
        return child


class _PeakMeter(Meter):
    """Remembers the most that was counted."""

    __slots__ = ("peak_files", "peak_inodes", "peak_memory")

    def __init__(self, limits: RunLimits) -> None:
        super().__init__(limits)
        self.peak_files = self.peak_inodes = self.peak_memory = 0

    def add_memory(self, size: int) -> None:
        """See the core's."""
        super().add_memory(size)
        self.peak_memory = max(self.peak_memory, self.memory)

    def file_capacity(self, path: bytes, needed: int, capacity: int, wanted: int) -> int:
        """See the core's."""
        granted = super().file_capacity(path, needed, capacity, wanted)
        self.peak_files = max(self.peak_files, self.files)
        return granted

    def add_inode(self, path: bytes) -> None:
        """See the core's."""
        super().add_inode(path)
        self.peak_inodes = max(self.peak_inodes, self.inodes)


class _UnitVolume(OverlayVolume):
    """The files of one unit, with what is seen and done."""

    __slots__ = ("_bases", "blobs", "observations", "steps")

    lower: UnitLower
    meter: _PeakMeter

    def __init__(self, lower: UnitLower, limits: RunLimits) -> None:
        super().__init__(lower, limits)
        self.meter = _PeakMeter(limits)
        self.observations: dict[tuple[_ObservedDirectory, bytes], Observation] = {}
        self.steps: list[UnitStep] = []
        self.blobs: dict[str, bytes] = {}
        self._bases: dict[RegularFile, tuple[int, bytes]] = {}
        """Of files that are written to, version and content when they were last noted."""

    def new_directory(
        self, mode: int, parent: Directory | None, lower_path: bytes | None = None
    ) -> LazyDirectory:
        """See OverlayVolume."""
        return _ObservedDirectory(self, mode, parent, lower_path)

    def from_lower(self, guest_path: bytes, entry: LowerEntry, parent: Directory) -> Inode:
        """See OverlayVolume."""
        inode = super().from_lower(guest_path, entry, parent)
        if isinstance(inode, RegularFile):
            inode.runners += self.lower.runs(guest_path)
        return inode

    def observe(self, directory: _ObservedDirectory, name: bytes, child: Inode | None) -> None:
        """A name was looked up. What was there before the unit did anything is an observation."""
        if (directory, name) not in self.observations:
            state = state_of(child)
            if state is None:
                raise NotAUnit(f"{name!r} is a link, or open elsewhere")
            path = posixpath.join(seen_path(directory), name)
            self.observations[directory, name] = Observation(path, state)

    def finals(self) -> Iterator[Observation]:
        """What has changed under each name that was looked up."""
        for (directory, name), seen in self.observations.items():
            child = directory.peek(name)
            assert not isinstance(child, LowerEntry)
            state = state_of(child)
            assert state is not None
            if state != seen.state:
                yield Observation(seen.path, state)
                if isinstance(child, RegularFile):
                    self.keep(child.contents())

    def keep(self, data: bytes) -> str:
        """Have these bytes among the blobs."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.blobs[sha256] = data
        return sha256

    def add(self, task: machine.RunningProcess, what: str, *numbers: int, **more: object) -> None:
        assert isinstance(task, LinuxTask)
        calls = task.process.calls + task.cpu.served
        self.steps.append(UnitStep(what, calls, numbers=numbers, **more))  # type: ignore[arg-type]

    def opened(self, file: OpenFile, flags: int) -> None:
        """A file may be written to from here on."""
        inode = file.inode
        if isinstance(inode, RegularFile) and (file.writable or flags & O_TRUNC):
            self._bases[inode] = inode.version, inode.contents()

    def flush(self, task: machine.RunningProcess) -> None:
        """Note what the running process has written: somebody may look at it next."""
        files = task.process.fds.files
        for fd in sorted(files):
            file, inode = files[fd], files[fd].inode
            if not file.writable or not isinstance(inode, RegularFile):
                continue
            version, base = self._bases[inode]
            if version == inode.version:
                continue
            content = inode.contents()
            start = len(base) if content.startswith(base) else 0
            blob = self.keep(content[start:])
            self.add(task, "data", fd, start, len(inode.data), blob=blob)
            self._bases[inode] = inode.version, content


class _UnitFiles(OverlayFileSystem):
    """The file system of one unit. `task` is the process that runs."""

    volume: _UnitVolume
    task: Callable[[], LinuxTask]


class _Inherited(OpenFile):
    """An inherited file that a unit may do nothing with but close it. Where it began to read or
    write is nothing that a call asks for before it does either (`_kind`)."""

    __slots__ = ()

    def read(self, count: int) -> bytes:
        """Raises NotAUnit, as the others do."""
        raise NotAUnit("it reads from an inherited file")

    def write(self, data: bytes) -> int:
        """See `read`."""
        raise NotAUnit("it writes to an inherited file")

    def room(self, count: int) -> int:
        """See `read`."""
        raise NotAUnit("it writes to an inherited file")

    def seek(self, offset: int, whence: int) -> int:
        """See `read`."""
        raise NotAUnit("it moves in an inherited file")


# -- running one -----------------------------------------------------------------------------------

_PATH_AT: Mapping[syscalls.Handler, int] = {
    syscalls.openat: 1,
    syscalls.faccessat: 1,
    syscalls.chdir: 0,
    syscalls.fchmodat: 1,
    syscalls.unlinkat: 1,
}
"""Calls that take a path, and which argument it is."""
_TAKEN: Mapping[str, syscalls.Handler] = {
    handler.__name__: handler for handler in (*_PATH_AT, syscalls.close)
}
"""By name, what is called again in place of a unit's own call."""


def _recording(row: syscalls.Syscall) -> syscalls.Syscall:
    """The row of a call with a handler that notes what others could notice."""
    handler = row.handler
    if handler in (syscalls.wait4, syscalls.waitid):
        return replace(row, handler=_reaping(handler))
    return replace(row, handler=_noting(handler)) if handler in _TAKEN.values() else row


def _files_of(process: Process) -> _UnitFiles:
    assert isinstance(process.files, _UnitFiles)
    return process.files


def _reaping(handler: syscalls.Handler) -> syscalls.Handler:
    def wait(process: Process, *arguments: int) -> object:
        files, before = _files_of(process), list(process.zombies)
        try:
            return handler(process, *arguments)
        finally:
            for pid in before:
                if pid not in process.zombies:
                    files.volume.add(files.task(), "reaped", pid)

    return wait  # type: ignore[return-value]


def _noting(handler: syscalls.Handler) -> syscalls.Handler:
    at = _PATH_AT.get(handler)

    def call(process: Process, *arguments: int) -> object:
        files, path = _files_of(process), None
        volume, task = files.volume, files.task()
        volume.flush(task)
        numbers = [*arguments]
        if at is not None:
            numbers[at] = 0
            if at and isinstance(process.fds.files.get(numbers[0]), _Inherited):
                raise NotAUnit("it looks a path up from an inherited file")
            try:
                path = process.memory.read_cstring(arguments[at], PATH_MAX)
            except LinuxError:
                return handler(process, *arguments)  # it fails, and looks nothing up
        name = handler.__name__
        try:
            result = handler(process, *arguments)
        except LinuxError as error:
            volume.add(task, "call", *numbers, name=name, path=path, result=-error.errno)
            raise
        assert isinstance(result, int)
        volume.add(task, "call", *numbers, name=name, path=path, result=result)
        if handler is syscalls.openat:
            volume.opened(process.fds.get(result), arguments[2])
        return result

    return call  # type: ignore[return-value]


_CALLS = syscalls.tables(map(_recording, syscalls.ROWS))


class UnitMachine(LinuxMachine):
    """Runs one unit, and notes what it sees and does."""

    files: _UnitFiles

    def __init__(
        self,
        lower: UnitLower,
        engine: Engine,
        limits: RunLimits,
        start: UnitStart,
        listeners: Sequence[Listener] = (),
    ) -> None:
        volume = _UnitVolume(lower, limits)
        super().__init__(_UnitFiles(lower, limits, volume), engine, limits, listeners)
        self.files.task = lambda: self.tasks[-1]
        self.calls = _CALLS
        self.meter = self._most = _PeakMeter(limits)
        self.processes = start.pid - 1
        self._nesting = 0
        self._start = start

    def result(self) -> tuple[UnitResult, Blobs]:
        """Run it. Raises NotAUnit, GuestFailed, LinuxError, KeyboardInterrupt."""
        start, volume = self._start, self.files.volume
        used = time.process_time()
        if self.run(start.path, start.argv, start.envp, start.cwd).fault is not None:
            raise NotAUnit("a fault ended it")  # its image cannot be made
        milliseconds = round((time.process_time() - used) * 1000)
        finals = tuple(volume.finals())
        peaks = Peaks(self._most.peak_memory, volume.meter.peak_files, volume.meter.peak_inodes,
                      self.processes - start.pid, self._nesting)  # fmt: skip
        observations = tuple(volume.observations.values())
        return UnitResult(
            start, observations, tuple(volume.steps), finals, peaks, milliseconds
        ), volume.blobs

    def _execute(self, process: Process, control: Exec) -> LinuxTask:
        if not self.running:
            process.umask = self._start.umask
            for fd, kind in self._start.fds:
                process.fds.put(fd, self._inherited(fd, kind))
        return super()._execute(process, control)

    def _inherited(self, fd: int, kind: str) -> OpenFile:
        if kind == "in":  # nothing is ever on it
            return OpenFile(Stream(lambda _count: b""), 0)
        if kind == "out":
            return OpenFile(Stream(None, lambda data: self._printed(fd, data)), 1)
        return _Inherited(Inode(0, 0), int(kind))

    def _printed(self, fd: int, data: bytes) -> int:
        volume = self.files.volume
        volume.add(self.tasks[-1], "output", fd, blob=volume.keep(data))
        return len(data)

    def _fork(self, task: machine.RunningProcess, control: Fork) -> None:
        self.files.volume.flush(task)
        self.files.volume.add(task, "fork", control.child_stack, result=self.processes + 1)
        super()._fork(task, control)
        self._nesting = max(self._nesting, len(self.running) - 1)

    def _replace(self, task: machine.RunningProcess, control: Exec) -> RunResult | None:
        self.files.volume.flush(task)
        steps = self.files.volume.steps
        self.files.volume.add(task, "exec", path=control.path, words=control.argv,
                              environment=control.envp)  # fmt: skip
        ended = super()._replace(task, control)
        if self.running[-1] is task:
            steps[-1] = replace(steps[-1], result=-1)
        return ended

    def _end(
        self, task: machine.RunningProcess, status: int, fault: cpu.Fault | None = None
    ) -> RunResult | None:
        if fault is not None:
            raise NotAUnit("a fault ended it")
        self.files.volume.flush(task)
        self.files.volume.add(task, "exit", status)
        return super()._end(task, status)


# -- taking its steps ------------------------------------------------------------------------------


def is_whole(result: UnitResult, blobs: Blobs) -> bool:
    """Whether steps and contents are all there, and can be those of a process and its children."""
    wanted = {step.blob for step in result.steps if step.what in ("data", "output")}
    wanted.update(seen.state.sha256 for seen in result.finals if seen.state.kind == "file")
    depth = 1
    for step in result.steps:
        if depth < 1 or len(step.numbers) != _NUMBERS.get(step.what, len(step.numbers)):
            return False
        path_wanted = step.what == "exec" or (step.what == "call" and step.name != "close")
        if (step.path is not None) != path_wanted or (step.what == "call") != (step.name in _TAKEN):
            return False
        depth += (step.what == "fork") - (step.what == "exit")
    return depth == 0 and wanted <= blobs.keys()


class UnitSource(Protocol):
    """Where results of units come from."""

    def results(
        self, start: UnitStart, machine: DrivenMachine
    ) -> Iterator[tuple[UnitResult, Blobs]]:
        """Those that may be this unit's, the likeliest first: the first one that holds is taken."""

    def taken(self, result: UnitResult, blobs: Blobs) -> None:
        """This one was."""


class DrivenMachine(LinuxMachine):
    """Runs the build driver itself, and takes each unit's result where it holds."""

    def __init__(
        self,
        files: OverlayFileSystem,
        engine: Engine,
        limits: RunLimits,
        listeners: Sequence[Listener],
        units: UnitSource,
    ) -> None:
        super().__init__(files, engine, limits, listeners)
        self.engine = engine
        self.units = units
        self.present = PresentLower(files)

    @property
    def interrupted(self) -> bool:
        """Whether a signal asks the run to end."""
        return self._interrupted

    def _replace(self, task: machine.RunningProcess, control: Exec) -> RunResult | None:
        start = self._start_of(task.process, control)
        if start is None:
            return super()._replace(task, control)
        for result, blobs in self.units.results(start, self):
            if self.holds(start, result):
                self._take(task, control, result, blobs)
                self.units.taken(result, blobs)
                return None
        return super()._replace(task, control)

    def _start_of(self, process: Process, control: Exec) -> UnitStart | None:
        """Where a unit begins, if one does."""
        base = process.base
        is_unit = (
            len(self.running) > 1
            # Another program than the driver's is running now, and is not when the unit runs.
            and process.exe is self.running[-2].process.exe
            and posixpath.basename(self.running[-2].process.exe_path).startswith(DRIVER)
            and not posixpath.basename(control.path).startswith(DRIVER)
            and process.pid == self.processes
            and base.root is self.files.root
            and not base.cwd.removed
        )
        if not is_unit:
            return None
        fds = []
        for fd in sorted(set(process.fds.files) - process.fds.cloexec):
            kind = _kind(process.fds.files[fd])
            if kind is None:
                return None
            fds.append((fd, kind))
        return UnitStart(control.path, control.argv, control.envp, seen_path(base.cwd),
                         process.pid, process.umask, tuple(fds))  # fmt: skip

    def holds(self, start: UnitStart, result: UnitResult) -> bool:
        """Whether all that was observed is so, and no limit that is for all would be met."""
        limits, peaks, files = self.limits, result.peaks, self.files.volume.meter
        return (
            result.start == start
            and self.meter.memory + peaks.memory <= limits.memory_total
            and files.files + 2 * peaks.files <= limits.files_total
            and files.inodes + peaks.inodes <= limits.inodes
            and self.processes + peaks.processes <= limits.processes
            and len(self.running) + peaks.nesting <= limits.nesting
            and all(self.present.state(seen.path) == seen.state for seen in result.observations)
        )

    def _take(
        self, task: machine.RunningProcess, control: Exec, result: UnitResult, blobs: Blobs
    ) -> None:
        """Do what the unit did. Raises Contradiction where that cannot be."""
        depth = len(self.running)
        try:
            super()._replace(task, control)
            _same(len(self.running), depth)
            first, before = self.running[-1].process, self.running[-1].process.calls
            for step in result.steps:
                here = self.running[-1]
                here.process.calls = step.calls + (before if here.process is first else 0)
                self._step(here, step, blobs)
                _same(len(self.running) >= depth - (step is result.steps[-1]), True)
            _same(len(self.running), depth - 1)
        except (Contradiction, StoppedEarly):
            raise
        except Exception as error:  # whatever it is: the steps are not those of a unit
            raise Contradiction(f"{type(error).__name__}: {error}") from error

    def _step(self, task: machine.RunningProcess, step: UnitStep, blobs: Blobs) -> None:
        process, numbers = task.process, [*step.numbers]
        if step.what == "call":
            handler = _TAKEN[step.name]
            at = _PATH_AT.get(handler)
            if at is not None and step.path is not None:
                numbers[at] = _poked(process, step.path)
            try:
                result = handler(process, *numbers)
            except LinuxError as error:
                result = -error.errno
            _same(result, step.result)
        elif step.what == "data":
            fd, first, capacity = numbers
            self._write(process, fd, first, capacity, blobs[step.blob])
        elif step.what == "output":
            file = process.fds.get(numbers[0])
            _same(isinstance(file.inode, Stream) and file.writable, True)
            file.write(blobs[step.blob])
        elif step.what == "fork":
            self._fork(task, Fork(numbers[0]))
            _same(self.processes, step.result)
        elif step.what == "exec":
            assert step.path is not None
            super()._replace(task, Exec(step.path, step.words, step.environment))
            _same(0 if self.running[-1] is not task else -1, step.result)
        elif step.what == "reaped":
            del process.zombies[numbers[0]]
        else:
            _same(numbers[0] & ~0xFF00, 0)
            self._end(task, numbers[0])

    @staticmethod
    def _write(process: Process, fd: int, start: int, capacity: int, data: bytes) -> None:
        """The content of an open file from `start` on."""
        file = process.fds.get(fd)
        inode = file.inode
        assert isinstance(inode, LazyFile) and file.writable
        end = start + len(data)
        _same(0 <= start <= inode.size <= end <= capacity, True)
        inode.reserve(capacity)
        inode.data[start:end] = data
        inode.size = end
        inode.version += 1


def _kind(file: OpenFile) -> Descriptor | None:
    """None: a unit cannot have it."""
    if file.offset > MAX_RW_COUNT or not (file.readable or file.writable):
        return None
    if file.readable and file.writable:
        return "2"
    if isinstance(file.inode, Stream):
        return "in" if file.readable else "out"
    return "0" if file.readable else "1"


def _same(found: object, said: object) -> None:
    if found != said:
        raise Contradiction(f"{found!r}, not {said!r}")


def _poked(process: Process, path: bytes) -> int:
    """Where a path is in the memory of a process whose instructions are not run."""
    addr = process.arch.task_size - STACK_SIZE
    process.memory.poke(addr, path + b"\0")
    return addr


def run_unit(
    lower: UnitLower,
    engine: Engine,
    limits: RunLimits,
    start: UnitStart,
    listeners: Sequence[Listener] = (),
) -> tuple[UnitResult, Blobs] | str:
    """The result of a unit on these files, or why there is none. Raises KeyboardInterrupt."""
    try:
        return UnitMachine(lower, engine, limits, start, listeners).result()
    except (NotAUnit, GuestFailed, LinuxError) as error:
        return str(error)
