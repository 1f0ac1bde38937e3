"""A unit: what the build driver (kaem) starts, with all that this starts, run apart from the rest.

A unit is run on files of its own, and all that it observed is written down: whatever it looked up,
found or not, as it was at that moment (`Observation`), and where it began (`UnitStart`). So is what
it did: its system calls that others can notice, with the contents of what it wrote (`UnitStep`).
Where all that was observed is so at the place where the unit was to run, its steps may be taken in
place of running it: by the handlers of the same machine, with the same events, limits and errors.
Only the instructions between them are left out.

What a unit may not do: use a descriptor that it inherited, but for the standard streams; be ended
by a fault; make a system call that the core does not have; see a link, or a file that somebody has
open for writing; take more than its share of what is limited for all (`unit_limits`). Such a unit
gives no result, and is run where it stands.
"""

from __future__ import annotations

import hashlib
import posixpath
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NoReturn

from bootstrap.core import machine, syscalls
from bootstrap.core.abi import MAX_RW_COUNT, O_TRUNC, PATH_MAX, LinuxError
from bootstrap.core.elf import STACK_SIZE
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import Directory, Inode, OpenFile, RegularFile, Stream
from bootstrap.core.machine import RunResult
from bootstrap.core.process import Control, Exec, Process
from bootstrap.instruments import Engine
from bootstrap.linux.events import Event, Listener, Tick
from bootstrap.linux.filesystem import OverlayFileSystem, seen_path
from bootstrap.linux.hostfolder import LowerEntry, LowerFile, LowerFolder, LowerLink, MemoryLower
from bootstrap.linux.inode import LazyDirectory, LazyFile, OverlayVolume
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine, LinuxTask

DRIVER = b"kaem"
"""How the names of build drivers begin: they start units, and are none."""
_SECONDS = 600
"""CPU seconds that each process of a unit may take: it may never have been asked for."""


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

    name: str
    """Of a system call its handler's; `data`: what a process has written to a file since it was
    noted last; `output`: what it has written to a standard stream."""
    calls: int
    """System calls that the process has ended by then."""
    numbers: tuple[int, ...] = ()
    """The handler's arguments, but for addresses; data: fd, first byte, capacity; output: fd."""
    path: bytes | None = None
    words: tuple[bytes, ...] = ()
    """Of execve, as is the environment."""
    environment: tuple[bytes, ...] = ()
    result: int = 0
    """Of a call that the machine has nothing to do for, or an errno, negative."""
    blob: str = ""
    """SHA-256 of the bytes that were written."""


@dataclass(frozen=True, slots=True)
class UnitResult:
    """A unit that was run to its end."""

    start: UnitStart
    limits: RunLimits
    """Its own, which it did not meet."""
    observations: tuple[Observation, ...]
    """In the order of the first look."""
    steps: tuple[UnitStep, ...]
    finals: tuple[Observation, ...]
    """What is under each name that it changed, afterwards."""
    milliseconds: int
    """CPU time that it took."""


Blobs = Mapping[str, bytes]
"""Contents by their SHA-256."""
Found = tuple[UnitResult, Blobs]
"""A result, with all contents that it names."""
Content = tuple[NameState, bytes]
"""Of a file."""


def is_whole(result: UnitResult, blobs: Blobs) -> bool:
    """Whether all contents are there, and steps are of a kind that is known."""
    written = {step.blob for step in result.steps if step.name in ("data", "output")}
    written.update(seen.state.sha256 for seen in result.finals if seen.state.kind == "file")
    names = {step.name for step in result.steps}
    return written <= blobs.keys() and names <= {"data", "output", *_TAKEN}


def unit_limits(limits: RunLimits) -> RunLimits:
    """Those that a unit is run with: a part of what is for all. So where that much is left, it
    meets no limit that it has not met."""
    seconds = min(limits.seconds or _SECONDS, _SECONDS)
    return replace(limits, memory_total=limits.memory_total // 4, inodes=limits.inodes // 4,
                   files_total=limits.files_total // 8, nesting=limits.nesting // 4,
                   seconds=seconds)  # fmt: skip


# -- files -----------------------------------------------------------------------------------------


class UnitFiles(MemoryLower):
    """The files that a unit sees: state and content of each by its path, with all permissions.
    `hidden` is what it must not see: whatever that is, here it is a link."""

    def __init__(self, files: Mapping[bytes, Content], folders: Iterable[bytes] = (),
                 hidden: Iterable[bytes] = ()) -> None:  # fmt: skip
        """Raises ValueError, as MemoryLower."""
        rows = {path: LowerFile(state.mode, data) for path, (state, data) in files.items()}
        links = dict.fromkeys(hidden, LowerLink(b"/"))
        super().__init__({**dict.fromkeys(folders, LowerFolder()), **links, **rows})
        self.states = {path: state for path, (state, _) in files.items()}

    def list(self, guest_path: bytes) -> Mapping[bytes, LowerEntry]:
        """See Lower."""
        found = {}
        for name, entry in super().list(guest_path).items():
            state = self.states.get(posixpath.join(guest_path, name))
            mode = entry.mode if state is None else stat.S_IFREG | state.mode
            found[name] = entry._replace(mode=mode)
        return found


class Present:
    """The files of a run as they are now. Looking at them changes nothing there."""

    def __init__(self, fs: OverlayFileSystem) -> None:
        self._fs = fs
        self._hashes: dict[bytes, str] = {}
        """Of files below the run's own, which never change."""

    def find(self, guest_path: bytes) -> Inode | LowerEntry | None:
        """What is at an absolute path without links, `.` and `..`."""
        here: Inode | LowerEntry | None = self._fs.root
        for name in filter(None, guest_path.split(b"/")):
            here = self._inside(here).get(name)
        return here

    def state(self, guest_path: bytes) -> NameState | None:
        """What is under a path; None where that is more than a unit may see."""
        return self._state(self.find(guest_path))

    def content(self, guest_path: bytes) -> Content | None:
        """State and content of a file; None where there is none that a unit may see."""
        found = self.find(guest_path)
        state = self._state(found)
        return (state, self._data(found)) if state and state.kind == "file" else None

    def everything(self) -> UnitFiles:
        """All that a unit may see."""
        files: dict[bytes, Content] = {}
        folders: list[bytes] = []
        hidden: list[bytes] = []
        todo: list[tuple[bytes, Inode | LowerEntry | None]] = [(b"/", self._fs.root)]
        while todo:
            path, here = todo.pop()
            state = self._state(here)
            if state is None:
                hidden.append(path)
            elif state.kind == "directory":
                folders.append(path)
                todo += [(posixpath.join(path, n), i) for n, i in self._inside(here).items()]
            else:
                files[path] = state, self._data(here)
        return UnitFiles(files, folders, hidden)

    def _inside(self, here: Inode | LowerEntry | None) -> Mapping[bytes, Inode | LowerEntry | None]:
        if isinstance(here, LazyDirectory):
            return {name: here.peek(name) for name in here.names()}
        if isinstance(here, LowerEntry) and stat.S_ISDIR(here.mode):
            listing, above = self._fs.volume.lower.list(here.guest_path), here.guest_path
            return {n: e._replace(guest_path=posixpath.join(above, n)) for n, e in listing.items()}
        return {}

    def _state(self, found: Inode | LowerEntry | None) -> NameState | None:
        if not isinstance(found, LowerEntry):
            return state_of(found)
        mode = stat.S_IMODE(found.mode)
        if stat.S_ISDIR(found.mode):
            return NameState("directory", mode)
        if not stat.S_ISREG(found.mode):
            return None
        sha256 = self._hashes.get(found.guest_path)
        if sha256 is None:
            sha256 = hashlib.sha256(self._data(found)).hexdigest()
            self._hashes[found.guest_path] = sha256
        return NameState("file", mode, sha256)

    def _data(self, found: Inode | LowerEntry | None) -> bytes:
        if isinstance(found, LowerEntry):
            return self._fs.volume.lower.load(found.guest_path)
        assert isinstance(found, RegularFile)
        return found.contents()


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


class _UnitVolume(OverlayVolume):
    """The files of one unit, with what is seen and done."""

    __slots__ = ("_bases", "blobs", "observations", "steps", "task")

    lower: UnitFiles

    def __init__(self, lower: UnitFiles, limits: RunLimits, task: Callable[[], LinuxTask]) -> None:
        super().__init__(lower, limits)
        self.task = task
        """The process that runs."""
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
            inode.runners += self.lower.states[guest_path].running
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

    def note(self, name: str, *numbers: int, **more: object) -> None:
        """The running process has done this."""
        task = self.task()
        calls = task.process.calls + task.cpu.served
        self.steps.append(UnitStep(name, calls, numbers, **more))  # type: ignore[arg-type]

    def opened(self, file: OpenFile, flags: int) -> None:
        """A file may be written to from here on."""
        inode = file.inode
        if isinstance(inode, RegularFile) and (file.writable or flags & O_TRUNC):
            self._bases[inode] = inode.version, inode.contents()

    def flush(self, process: Process) -> None:
        """Note what the running process has written: somebody may look at it next."""
        files = process.fds.files
        for fd in sorted(files):
            file, inode = files[fd], files[fd].inode
            if not file.writable or not isinstance(inode, RegularFile):
                continue
            version, base = self._bases[inode]
            if version == inode.version:
                continue
            content = inode.contents()
            start = len(base) if content.startswith(base) else 0
            self.note("data", fd, start, len(inode.data), blob=self.keep(content[start:]))
            self._bases[inode] = inode.version, content


class _Inherited(OpenFile):
    """An inherited file that a unit may do nothing with but close it. Where it began to read or
    write is nothing that a call asks for before it does either (`_kind`)."""

    __slots__ = ()

    def read(self, count: int) -> NoReturn:
        """Raises NotAUnit, as the others do."""
        raise NotAUnit("it uses an inherited file")

    def seek(self, offset: int, whence: int) -> NoReturn:
        """See `read`."""
        self.read(offset)

    def write(self, data: bytes) -> NoReturn:
        """See `read`."""
        self.read(0)

    def room(self, count: int) -> NoReturn:
        """See `read`."""
        self.read(count)


# -- running one -----------------------------------------------------------------------------------

_PATH_AT: Mapping[syscalls.Handler, int] = {
    syscalls.openat: 1,
    syscalls.faccessat: 1,
    syscalls.chdir: 0,
    syscalls.fchmodat: 1,
    syscalls.unlinkat: 1,
}
"""Calls that take a path, and which argument it is."""
_STORED_AT: Mapping[syscalls.Handler, int] = {syscalls.wait4: 1, syscalls.waitid: 2}
"""Calls that store something in the process's memory, and at which argument."""
_TAKEN: Mapping[str, syscalls.Handler] = {
    handler.__name__: handler
    for handler in (*_PATH_AT, *_STORED_AT, syscalls.close, syscalls.fork, syscalls.clone,
                    syscalls.execve, syscalls.exit_process)
}  # fmt: skip
"""By name, what is called again in place of a unit's own call."""


def _noting(handler: syscalls.Handler) -> syscalls.Handler:
    """The handler of a call that others could notice, with a note of it."""
    name, path_at = handler.__name__, _PATH_AT.get(handler)
    address_at = _STORED_AT.get(handler, path_at)

    def call(process: Process, *arguments: int) -> int | Control:
        volume, numbers = process.files.volume, [*arguments]
        assert isinstance(volume, _UnitVolume)
        volume.flush(process)
        more: dict[str, object] = {}
        if path_at is not None:
            if path_at and isinstance(process.fds.files.get(numbers[0]), _Inherited):
                raise NotAUnit("it looks a path up from an inherited file")
            try:
                more["path"] = process.memory.read_cstring(arguments[path_at], PATH_MAX)
            except LinuxError:
                return handler(process, *arguments)  # it fails, and looks nothing up
        if address_at is not None:
            numbers[address_at] = 0
        try:
            result = handler(process, *arguments)
        except LinuxError as error:
            if handler is not syscalls.execve:  # it fails for its arguments, and does nothing
                volume.note(name, *numbers, result=-error.errno, **more)
            raise
        if isinstance(result, Exec):
            numbers, more = [], {"path": result.path, "words": result.argv,
                                 "environment": result.envp}  # fmt: skip
        elif isinstance(result, int):
            more["result"] = result
        volume.note(name, *numbers, **more)
        if handler is syscalls.openat and isinstance(result, int):
            volume.opened(process.fds.get(result), arguments[2])
        return result

    return call


_CALLS = syscalls.tables(
    replace(row, handler=_noting(row.handler)) if row.handler in _TAKEN.values() else row
    for row in syscalls.ROWS
)


class UnitMachine(LinuxMachine):
    """Runs one unit, and notes what it sees and does."""

    def __init__(self, lower: UnitFiles, engine: Engine, limits: RunLimits, start: UnitStart,
                 listeners: Sequence[Listener] = ()) -> None:  # fmt: skip
        self._volume = _UnitVolume(lower, limits, lambda: self.tasks[-1])
        super().__init__(OverlayFileSystem(lower, limits, self._volume), engine, limits, listeners)
        self.calls = _CALLS
        self.processes = start.pid - 1
        self._start = start

    def result(self) -> Found:
        """Run it. Raises NotAUnit, GuestFailed, LinuxError, KeyboardInterrupt."""
        start, volume = self._start, self._volume
        used = time.process_time()
        if self.run(start.path, start.argv, start.envp, start.cwd).fault is not None:
            raise NotAUnit("a fault ended a process")  # the steps do not have what it has shown
        milliseconds = round((time.process_time() - used) * 1000)
        finals, observations = tuple(volume.finals()), tuple(volume.observations.values())
        steps = tuple(volume.steps)
        return UnitResult(
            start, self.limits, observations, steps, finals, milliseconds
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
        self._volume.note("output", fd, blob=self._volume.keep(data))
        return len(data)


def run_unit(
    lower: UnitFiles,
    engine: Engine,
    limits: RunLimits,
    start: UnitStart,
    listeners: Sequence[Listener] = (),
) -> Found | str:
    """The result of a unit on these files, or why there is none; `limits` are those of the run
    that it is a part of. Raises KeyboardInterrupt."""
    try:
        return UnitMachine(lower, engine, unit_limits(limits), start, listeners).result()
    except (NotAUnit, GuestFailed, LinuxError) as error:
        return str(error)


def run_in_turn(start: UnitStart, machine: DrivenMachine) -> Found | str:
    """The same on the files that are there now."""

    def listen(event: Event) -> None:
        if isinstance(event, Tick):
            machine.emit(start.pid, Tick)

    return run_unit(machine.present.everything(), machine.engine, machine.limits, start, [listen])


# -- taking its steps ------------------------------------------------------------------------------


class DrivenMachine(LinuxMachine):
    """Runs the build driver itself. `units` gives each unit's result, which holds, if it has one:
    that is taken in place of running it."""

    def __init__(
        self,
        files: OverlayFileSystem,
        engine: Engine,
        limits: RunLimits,
        listeners: Sequence[Listener],
        units: Callable[[UnitStart, DrivenMachine], Found | None],
    ) -> None:
        super().__init__(files, engine, limits, listeners)
        self.engine = engine
        self.units = units
        self.present = Present(files)
        self._taking = False
        """The steps of a unit: what it starts is no unit."""

    @property
    def interrupted(self) -> bool:
        """Whether a signal asks the run to end."""
        return self._interrupted

    def _replace(self, task: machine.RunningProcess, control: Exec) -> RunResult | None:
        start = None if self._taking else self._start_of(task.process, control)
        found = None if start is None else self.units(start, self)
        if found is None:
            return super()._replace(task, control)
        self._take(task, control, *found)
        return None

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
        """Whether all that was observed is so, and as much is left as the unit had of what is
        limited for all. Its files may take twice the memory here: they may have had some."""
        limits, own, files = self.limits, unit_limits(self.limits), self.files.volume.meter
        return (
            result.start == start
            and result.limits == own
            and self.meter.memory + own.memory_total <= limits.memory_total
            and files.files + 2 * own.files_total <= limits.files_total
            and files.inodes + own.inodes <= limits.inodes
            and len(self.running) + own.nesting <= limits.nesting
            and all(self.present.state(seen.path) == seen.state for seen in result.observations)
        )

    def _take(
        self, task: machine.RunningProcess, control: Exec, result: UnitResult, blobs: Blobs
    ) -> None:
        """Do what the unit did. Raises Contradiction where that cannot be."""
        depth, self._taking = len(self.running), True
        try:
            super()._replace(task, control)
            first, before = self.running[-1].process, self.running[-1].process.calls
            for step in result.steps:
                _same(len(self.running) >= depth, True)
                here = self.running[-1]
                here.process.calls = step.calls + (before if here.process is first else 0)
                self._step(here, step, blobs)
            _same(len(self.running), depth - 1)
        except (Contradiction, StoppedEarly):
            raise
        except Exception as error:  # whatever it is: the steps are not those of a unit
            raise Contradiction(f"{type(error).__name__}: {error}") from error
        finally:
            self._taking = False

    def _step(self, task: machine.RunningProcess, step: UnitStep, blobs: Blobs) -> None:
        process, numbers = task.process, [*step.numbers]
        if step.name == "data":
            fd, first, capacity = numbers
            self._write(process, fd, first, capacity, blobs[step.blob])
            return
        if step.name == "output":
            file = process.fds.get(numbers[0])
            _same(isinstance(file.inode, Stream) and file.writable, True)
            file.write(blobs[step.blob])
            return
        handler = _TAKEN[step.name]
        done: int | Control
        if handler is syscalls.execve:
            assert step.path is not None
            done = Exec(step.path, step.words, step.environment)
        else:
            if step.path is not None:
                numbers[_PATH_AT[handler]] = _poked(process, step.path)
            try:
                done = handler(process, *numbers)
            except LinuxError as error:
                done = -error.errno
        if isinstance(done, Control):
            task.pending = done
            self.turn(None)
        elif handler not in _STORED_AT:  # which may have failed to store
            _same(done, step.result)

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
