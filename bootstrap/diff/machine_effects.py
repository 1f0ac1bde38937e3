"""What the processes of a run did that has an effect: a document to hold against another run's.

A program's record begins where it is forked (with its parent's name) or executed. A machine's are
made of its calls (`Watch`), a recorded run's of its trace (effects.py).
"""

import hashlib
import itertools
import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from bootstrap.core.abi import O_ACCMODE, O_RDONLY
from bootstrap.documents import Sha256, Size, one_of
from bootstrap.machines import call_log
from bootstrap.machines.call_log import PcCall
from bootstrap.machines.interrupts import PlainCalls
from bootstrap.machines.pc import Pc

SCHEMA: Literal["bootstrap-effects/1"] = "bootstrap-effects/1"
STREAMS = {0: "standard input", 1: "standard output", 2: "standard error"}
"""What descriptors 0 to 2 are called, unless a file is opened as one."""
PATH_CALLS = ("unlink", "chdir", "chmod", "mkdir")
"""Calls that change a name, a mode or the working directory."""
_PROGRAM, _ARGUMENT = 0x04D00000, 0x04D00400
"""Where builder-hex0's shell has the words of its last command."""


@dataclass(frozen=True)
class OpenedPath:
    """A file that was opened, and not in vain."""

    path: str
    writing: bool
    fd: int


@dataclass(frozen=True)
class WrittenBytes:
    """All that one program wrote to a file, one write after the other."""

    size: Size
    sha256: Sha256 | None
    """None where it is not known: a trace has what a file became, not what was written over."""


@dataclass(frozen=True)
class PathCall:
    """One of PATH_CALLS."""

    call: Annotated[str, one_of(*PATH_CALLS)]
    path: str | None
    """None where it is not known: a trace has no path of chdir, or of what failed."""
    mode: int | None
    done: bool
    """Whether it said that it was done."""


@dataclass
class ProgramEffects:
    """One program of one process."""

    pid: int
    ordinal: int
    """Which program of the process it is; 0 as forked."""
    program: str
    argv: tuple[str, ...]
    cwd: str | None
    """Where it began. None where it is not known: a trace has none of what was forked."""
    opened: list[OpenedPath] = field(default_factory=list)
    written: Mapping[str, WrittenBytes] = field(default_factory=dict)
    """By path."""
    changes: list[PathCall] = field(default_factory=list)
    calls: Mapping[str, Size] = field(default_factory=dict)
    """How often each call was made, by name."""
    status: int | None = None
    """What it exited with, 128 and the signal that ended it, or None: it executed another, or the
    run was over before it."""


@dataclass(frozen=True)
class Effects:
    """The document; its programs in the order in which they began."""

    schema: Literal["bootstrap-effects/1"]
    tool: Mapping[str, str]
    kernel: str
    """Whose served the calls."""
    programs: tuple[ProgramEffects, ...]


def absolute(path: str, cwd: str) -> str:
    """From the working directory, without `.`, `..` and doubled slashes."""
    return posixpath.normpath("/" + posixpath.join(cwd, path).lstrip("/"))


class _WatchedProgram:
    """A program on its way."""

    def __init__(self, effects: ProgramEffects, files: dict[int, str]) -> None:
        self.effects, self.files, self.cwd = effects, files, effects.cwd or "/"
        self.sums: dict[str, hashlib._Hash] = {}
        self.sizes, self.calls = Counter[str](), Counter[str]()

    def wrote(self, fd: int, data: bytes) -> None:
        """Bytes to a descriptor."""
        if data:
            path = self.files.get(fd) or STREAMS.get(fd, f"descriptor {fd}")
            self.sums.setdefault(path, hashlib.sha256()).update(data)
            self.sizes[path] += len(data)


class Watch:
    """Hears of each call of a machine with builder-hex0's kernel: `CallLog(watch.ended)`."""

    def __init__(self) -> None:
        self._all: list[_WatchedProgram] = []
        self._now: list[_WatchedProgram] = []
        """The process that runs, last, and those that wait for it."""
        self._pids = 1

    def programs(self) -> tuple[ProgramEffects, ...]:
        """All that there were."""
        for one in self._all:
            one.effects.calls = dict(sorted(one.calls.items()))
            one.effects.written = {
                path: WrittenBytes(one.sizes[path], digest.hexdigest())
                for path, digest in one.sums.items()
            }
        return tuple(one.effects for one in self._all)

    def plain(self, user: int) -> PlainCalls:
        """What need not be given to `ended`."""
        counted = (call_log.READ, call_log.LSEEK, call_log.BRK)
        return PlainCalls(0x80, counted, call_log.WRITE, user, lambda: bool(self._now), self._done)

    def _done(self, counted: Mapping[int, int], writes: Sequence[tuple[int, bytes, int]]) -> None:
        now = self._now[-1]
        for number, times in counted.items():
            now.calls[call_log.name(number)] += times
        now.calls["write"] += len(writes)
        for fd, some in itertools.groupby(writes, key=lambda write: write[0]):
            now.wrote(fd, b"".join(data[:done] for _, data, done in some if done <= len(data)))

    def _begin(self, effects: ProgramEffects, files: dict[int, str]) -> None:
        self._all.append(_WatchedProgram(effects, files))
        self._now.append(self._all[-1])

    def ended(self, pc: Pc, call: PcCall, result: int | None) -> None:
        """A call is over."""
        if not call.pid:
            return  # the kernel's own shell

        def text(at: int) -> str:
            return call_log.string(pc, at).decode("utf-8", "backslashreplace")

        if not self._now:
            argv = text(_PROGRAM), text(_ARGUMENT)
            self._begin(ProgramEffects(1, 1, absolute(argv[0], "/"), argv, "/"), {})
        now, (first, second, *_) = self._now[-1], call.arguments
        effects, value = now.effects, -1 if result is None else result
        if call.number == call_log.FORK and value:
            return  # the parent goes on: it was counted when the child began
        name = call_log.name(call.number)
        now.calls[name] += 1
        if name in PATH_CALLS:
            path = absolute(text(first), now.cwd)
            mode = second & 0o7777 if name in ("chmod", "mkdir") else None
            effects.changes.append(PathCall(name, path, mode, not value))
            now.cwd = path if name == "chdir" and not value else now.cwd
        elif name == "write" and value > 0:
            now.wrote(first, pc.ram[second : second + value])
        elif name == "open" and value >= 0:
            now.files[value] = absolute(text(first), now.cwd)
            writing = second & O_ACCMODE != O_RDONLY
            effects.opened.append(OpenedPath(now.files[value], writing, value))
        elif name == "close":
            now.files.pop(first, None)
        elif name == "fork":
            self._pids += 1
            made = ProgramEffects(self._pids, 0, effects.program, effects.argv, now.cwd)
            self._begin(made, dict(now.files))
        elif name == "execve":
            words = (word.decode("utf-8", "backslashreplace") for word in call_log.argv(pc, second))
            path = absolute(text(first), now.cwd)
            self._now.pop()
            made = ProgramEffects(effects.pid, effects.ordinal + 1, path, tuple(words), now.cwd)
            self._begin(made, {})
        elif name == "exit":
            effects.status = first & 0xFF
            self._now.pop()
