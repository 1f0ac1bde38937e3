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

import functools
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from time import process_time
from typing import Any, Literal, NoReturn

from bootstrap.core import machine, syscalls
from bootstrap.core.abi import MAX_RW_COUNT, PATH_MAX, LinuxError
from bootstrap.core.elf import STACK_SIZE
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import Directory, Inode, OpenFile, RegularFile, Stream
from bootstrap.core.machine import RunResult
from bootstrap.core.process import Control, Exec, Process
from bootstrap.core.release import EntryPoint
from bootstrap.documents import Size
from bootstrap.instruments import Engine
from bootstrap.linux.events import Event, Listener, Tick
from bootstrap.linux.filesystem import OverlayFileSystem, seen_path
from bootstrap.linux.hostfolder import LowerEntry, MemoryLower
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
    calls: Size
    """System calls that the process has ended by then."""
    numbers: tuple[int, ...] = ()
    """The handler's arguments, but for addresses; data: fd, first byte, capacity; output: fd."""
    path: bytes | None = None
    words: tuple[bytes, ...] = ()
    """Of execve, as is the environment."""
    environment: tuple[bytes, ...] = ()
    result: int = 0
    """Of a call that the machine has nothing to do for, or an errno, negative."""
    content: Size = 0
    """Which of the contents was written."""


@dataclass(frozen=True, slots=True)
class UnitResult:
    """A unit that was run to its end."""

    start: UnitStart
    limits: RunLimits
    """Its own, which it did not meet."""
    observations: tuple[Observation, ...]
    """In the order of the first look."""
    steps: tuple[UnitStep, ...]
    changes: tuple[tuple[Observation, Size], ...]
    """What is under each name that it changed, afterwards; and which of the contents a file has."""
    contents: tuple[bytes, ...]
    """All that it wrote, each once."""
    milliseconds: int
    """CPU time that it took."""

    def outputs(self) -> dict[bytes, Content | None]:
        """The files that it left under the names that it changed."""
        return {
            seen.path: (seen.state.mode, self.contents[at]) if seen.state.kind == "file" else None
            for seen, at in self.changes
        }


Content = tuple[int, bytes]
"""Permissions and bytes of a file."""


def unit_limits(limits: RunLimits) -> RunLimits:
    """Those that a unit is run with: a part of what is for all. So where that much is left, it
    meets no limit that it has not met."""
    seconds = min(limits.seconds or _SECONDS, _SECONDS)
    return replace(limits, memory_total=limits.memory_total // 4, inodes=limits.inodes // 4,
                   files_total=limits.files_total // 8, nesting=limits.nesting // 4,
                   seconds=seconds)  # fmt: skip


# -- files -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """A file that a unit is to find."""

    path: bytes
    mode: int
    data: bytes
    running: bool


def laid_out(files: Iterable[ExpectedFile], folders: Iterable[bytes]) -> Present:
    """These files, and the folders above them. Raises ValueError: no file can have such a path."""
    fs = OverlayFileSystem(MemoryLower({}))
    for path in folders:
        fs.add_directory(path)
    for one in files:
        fs.add_file(one.path, one.data, one.mode).runners += one.running
    return Present(fs)


class Present:
    """Files as they are now, as a unit may see them: with all permissions, and more than that as a
    link. Looking at them changes nothing. A Lower."""

    lazy = False

    def __init__(self, fs: OverlayFileSystem) -> None:
        self._fs = fs
        self._hash = functools.cache(lambda path: sha256(fs.volume.lower.load(path)).hexdigest())
        """Of a file below the run's own, which never changes."""

    def state(self, guest_path: bytes) -> NameState | None:
        """What is under an absolute path; None where that is more than a unit may see."""
        found = self._find(guest_path)
        if isinstance(found, LowerEntry) and stat.S_ISREG(found.mode):
            return state_of(found, self._hash(found.guest_path))
        return state_of(found)

    def content(self, guest_path: bytes) -> Content | None:
        """Of a file; None where there is none that a unit may see."""
        state = self.state(guest_path)
        return (state.mode, self.load(guest_path)) if state and state.kind == "file" else None

    def list(self, guest_path: bytes) -> Mapping[bytes, LowerEntry]:
        """See Lower."""
        found = self._inside(self._find(guest_path))
        return {name: _seen(here) or _HIDDEN for name, here in found.items()}

    def load(self, guest_path: bytes) -> bytes:
        """See Lower."""
        return self._data(self._find(guest_path))

    def read(self, guest_path: bytes, offset: int, count: int) -> bytes:
        """See Lower."""
        return self.load(guest_path)[offset : offset + count]

    def is_running(self, guest_path: bytes) -> bool:
        """Whether a process runs this file."""
        found = self._find(guest_path)
        return isinstance(found, RegularFile) and found.runners > 0

    def _find(self, guest_path: bytes) -> Inode | LowerEntry | None:
        """What is at an absolute path without links, `.` and `..`."""
        here: Inode | LowerEntry | None = self._fs.root
        for name in filter(None, guest_path.split(b"/")):
            here = self._inside(here).get(name)
        return here

    def _inside(self, here: Inode | LowerEntry | None) -> Mapping[bytes, Inode | LowerEntry | None]:
        if isinstance(here, LazyDirectory):
            return {name: here.peek(name) for name in here.names()}
        if isinstance(here, LowerEntry) and stat.S_ISDIR(here.mode):
            listing, above = self._fs.volume.lower.list(here.guest_path), here.guest_path
            return {n: e._replace(guest_path=posixpath.join(above, n)) for n, e in listing.items()}
        return {}

    def _data(self, found: Inode | LowerEntry | None) -> bytes:
        if isinstance(found, LowerEntry):
            return self._fs.volume.lower.load(found.guest_path)
        assert isinstance(found, RegularFile)
        return found.contents()


_HIDDEN = LowerEntry(stat.S_IFLNK | 0o777, target=b"/")


def _seen(found: Inode | LowerEntry | None) -> LowerEntry | None:
    """What a unit may see of a file; None where that is not all of it."""
    if isinstance(found, LowerEntry):
        return found if stat.S_ISREG(found.mode) or stat.S_ISDIR(found.mode) else None
    if isinstance(found, Directory):
        return LowerEntry(found.mode)
    if isinstance(found, RegularFile) and not found.writers and found.links == 1:
        return LowerEntry(found.mode, found.size)
    return None


def state_of(found: Inode | LowerEntry | None, below: str = "") -> NameState | None:
    """The state of a file; None where it is more than a unit may see. `below` is the SHA-256 of one
    that nobody has looked up yet."""
    if found is None:
        return NameState("absent")
    seen = _seen(found)
    if seen is None:
        return None
    mode = stat.S_IMODE(seen.mode)
    if stat.S_ISDIR(seen.mode):
        return NameState("directory", mode)
    if isinstance(found, RegularFile):
        return NameState("file", mode, found.sha256(), found.runners > 0)
    return NameState("file", mode, below)


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

    __slots__ = ("_bases", "contents", "observations", "steps", "task")

    lower: Present

    def __init__(self, lower: Present, limits: RunLimits, task: Callable[[], LinuxTask]) -> None:
        super().__init__(lower, limits)
        self.task = task
        """The process that runs."""
        self.observations: dict[tuple[_ObservedDirectory, bytes], Observation] = {}
        self.steps: list[UnitStep] = []
        self.contents: dict[bytes, int] = {}
        self._bases: dict[RegularFile, tuple[int, bytes]] = {}
        """Of files that were written to, version and content when they were last noted."""

    def new_directory(
        self, mode: int, parent: Directory | None, lower_path: bytes | None = None
    ) -> LazyDirectory:
        """See OverlayVolume."""
        return _ObservedDirectory(self, mode, parent, lower_path)

    def from_lower(self, guest_path: bytes, entry: LowerEntry, parent: Directory) -> Inode:
        """See OverlayVolume."""
        inode = super().from_lower(guest_path, entry, parent)
        if isinstance(inode, RegularFile):
            inode.runners += self.lower.is_running(guest_path)
        return inode

    def observe(self, directory: _ObservedDirectory, name: bytes, child: Inode | None) -> None:
        """A name was looked up. What was there before the unit did anything is an observation."""
        if (directory, name) not in self.observations:
            state = state_of(child)
            if state is None:
                raise NotAUnit(f"{name!r} is a link, or open elsewhere")
            path = posixpath.join(seen_path(directory), name)
            self.observations[directory, name] = Observation(path, state)

    def changes(self) -> Iterator[tuple[Observation, int]]:
        """As UnitResult has them."""
        for (directory, name), seen in self.observations.items():
            child = directory.peek(name)
            state = state_of(child)
            assert state is not None
            if state != seen.state:
                content = self.keep(child.contents()) if isinstance(child, RegularFile) else 0
                yield Observation(seen.path, state), content

    def keep(self, data: bytes) -> int:
        """Have these bytes among the contents."""
        return self.contents.setdefault(data, len(self.contents))

    def note(self, name: str, *numbers: int, **more: object) -> None:
        """The running process has done this."""
        task = self.task()
        calls = task.process.calls + task.cpu.served
        self.steps.append(UnitStep(name, calls, numbers, **more))  # type: ignore[arg-type]

    def flush(self, process: Process) -> None:
        """Note what the running process has written: somebody may look at it next."""
        files = process.fds.files
        for fd in sorted(files):
            file, inode = files[fd], files[fd].inode
            if not file.writable or not isinstance(inode, RegularFile):
                continue
            version, base = self._bases.get(inode, (0, b""))
            if version == inode.version:
                continue
            content = inode.contents()
            start = len(base) if content.startswith(base) else 0
            self.note("data", fd, start, len(inode.data), content=self.keep(content[start:]))
            self._bases[inode] = inode.version, content


class _Inherited(OpenFile):
    """An inherited file that a unit may do nothing with but close it. Where it began to read or
    write is nothing that a call asks for before it does either (`_kind`)."""

    __slots__ = ()

    def _refuse(self, *_: Any, **_more: Any) -> NoReturn:
        raise NotAUnit("it uses an inherited file")

    read = write = seek = room = _refuse


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
        return result

    return call


_CALLS = syscalls.tables(
    replace(row, handler=_noting(row.handler)) if row.handler in _TAKEN.values() else row
    for row in syscalls.ROWS
)


class UnitMachine(LinuxMachine):
    """Runs one unit, and notes what it sees and does."""

    def __init__(self, lower: Present, engine: Engine, limits: RunLimits, start: UnitStart,
                 listeners: Sequence[Listener] = ()) -> None:  # fmt: skip
        self.volume = _UnitVolume(lower, limits, lambda: self.tasks[-1])
        super().__init__(OverlayFileSystem(lower, limits, self.volume), engine, limits, listeners)
        self.calls = _CALLS
        self.processes = start.pid - 1
        self._start = start

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
        self.volume.note("output", fd, content=self.volume.keep(data))
        return len(data)


def run_unit(
    lower: Present,
    engine: Engine,
    limits: RunLimits,
    start: UnitStart,
    listeners: Sequence[Listener] = (),
) -> UnitResult | str:
    """The result of a unit on these files, or why there is none; `limits` are those of the run
    that it is a part of. Raises KeyboardInterrupt."""
    machine = UnitMachine(lower, engine, unit_limits(limits), start, listeners)
    used = process_time()
    try:
        ended = machine.run(start.path, start.argv, start.envp, start.cwd)
    except (NotAUnit, GuestFailed, LinuxError) as error:
        return str(error)
    if ended.fault is not None:
        return "a fault ended a process"  # the steps do not have what it has shown
    volume, milliseconds = machine.volume, round((process_time() - used) * 1000)
    changes, observations = tuple(volume.changes()), tuple(volume.observations.values())
    return UnitResult(start, machine.limits, observations, tuple(volume.steps), changes,
                      tuple(volume.contents), milliseconds)  # fmt: skip


def run_all(
    lower: Present,
    engine: Engine,
    limits: RunLimits,
    entry: EntryPoint,
    give: Callable[[UnitResult], None],
) -> None:
    """Run a whole bootstrap in order, for the results of its units. Raises KeyboardInterrupt."""

    def unit(start: UnitStart, machine: DrivenMachine) -> UnitResult | None:
        result = machine.run_apart(start)
        if isinstance(result, str) or not machine.holds(start, result):
            return None
        give(result)
        return result

    machine = DrivenMachine(OverlayFileSystem(lower, limits), engine, limits, (), unit)
    output = Stream(None, len)
    with suppress(GuestFailed, LinuxError):
        for command in entry.commands:
            argv, envp, cwd = started(entry, command)
            streams = Stream(lambda _count: b""), output, output
            if machine.run(argv[0], argv, envp, cwd, streams).status:
                return


def started(entry: EntryPoint, command: Sequence[str]) -> tuple[list[bytes], list[bytes], bytes]:
    """Arguments, environment and folder that a command of an entry is started with."""
    environment = [f"{name}={value}".encode() for name, value in entry.environment.items()]
    return [word.encode() for word in command], environment, b"/" + entry.cwd.encode()


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
        units: Callable[[UnitStart, DrivenMachine], UnitResult | None],
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
        result = None if start is None else self.units(start, self)
        if result is None:
            return super()._replace(task, control)
        self._take(task, control, result)
        return None

    def run_apart(self, start: UnitStart) -> UnitResult | str:
        """As `run_unit`: a unit on the files that are there now."""
        return run_unit(self.present, self.engine, self.limits, start, [self.ticked])

    def ticked(self, event: Event) -> None:
        """Time passes here too. A listener of what is run apart."""
        if isinstance(event, Tick):
            self.emit(event.pid, Tick)

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

    def _take(self, task: machine.RunningProcess, control: Exec, result: UnitResult) -> None:
        """Do what the unit did. Raises Contradiction where that cannot be."""
        depth, self._taking = len(self.running), True
        try:
            super()._replace(task, control)
            first, before = self.running[-1].process, self.running[-1].process.calls
            for step in result.steps:
                _same(len(self.running) >= depth, True)
                here = self.running[-1]
                here.process.calls = step.calls + (before if here.process is first else 0)
                self._step(here, step, result.contents)
            _same(len(self.running), depth - 1)
        except (Contradiction, StoppedEarly):
            raise
        except Exception as error:  # whatever it is: the steps are not those of a unit
            raise Contradiction(f"{type(error).__name__}: {error}") from error
        finally:
            self._taking = False

    def _step(
        self, task: machine.RunningProcess, step: UnitStep, contents: Sequence[bytes]
    ) -> None:
        process, numbers = task.process, [*step.numbers]
        if step.name == "data":
            fd, first, capacity = numbers
            file, data = process.fds.get(fd), contents[step.content]
            inode, end = file.inode, first + len(data)
            assert isinstance(inode, LazyFile) and file.writable
            _same(0 <= first <= inode.size <= end <= capacity, True)
            inode.reserve(capacity)
            inode.data[first:end] = data
            inode.size = end
            inode.version += 1
            return
        if step.name == "output":
            file = process.fds.get(numbers[0])
            _same(isinstance(file.inode, Stream) and file.writable, True)
            file.write(contents[step.content])
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
