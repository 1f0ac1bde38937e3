"""What happens in a run, as one stream of events for whoever listens.

Claims: events come in the order in which things happen, after they were done, and a listener
changes nothing. A machine without listeners makes no event at all. Nothing that a verdict needs
comes from here: progress, recording, comparing and explaining do.
Relies on: nothing; the machine and the handlers make the events.
Test that would fail if it lied: tests/core/test_events.py.

Thirty million calls are no objects: only who asks for EACH_CALL gets one per call, and pays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Flag, auto
from typing import ClassVar

from bootstrap.core.cpu import Fault
from bootstrap.core.files import Inode, OpenFile, RegularFile, Stream


class Interest(Flag):
    """What a listener wants to know of."""

    LIFE = auto()
    """Processes: start, fork, execve, fault, end."""
    FILES = auto()
    """Files: opened, closed, named, changed."""
    STREAMS = auto()
    """What goes through the standard streams."""
    EACH_CALL = auto()
    """Every system call, before and after. Never of a run that has to be quick."""
    LOOKUPS = auto()
    TICKS = auto()
    """These two are for events that rooms above make; the core makes none of them."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. Subclasses outside the core are events too."""

    interest: ClassVar[Interest] = Interest.LIFE
    time: int
    """System calls that the run has ended so far: rr's time."""
    pid: int


Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run begins, with what Machine.run was given; its first process is made next."""

    path: bytes
    argv: Sequence[bytes]
    envp: Sequence[bytes]
    cwd: bytes


@dataclass(frozen=True, slots=True)
class Forked(Event):
    """A process (`pid`) forked; the child runs next."""

    child: int


@dataclass(frozen=True, slots=True)
class Executed(Event):
    """A successful execve(2), or the start of a run's first process."""

    ppid: int
    path: bytes
    """Absolute guest path of the image."""
    argv: tuple[bytes, ...]
    envp: tuple[bytes, ...]
    cwd: bytes
    image: RegularFile
    arch: str
    """Arch.name."""


@dataclass(frozen=True, slots=True)
class Faulted(Event):
    """The CPU faulted; the process ends with the fault's signal."""

    fault: Fault
    program: str


@dataclass(frozen=True, slots=True)
class Exited(Event):
    """A process ended with this wait status, after so many system calls."""

    status: int
    calls: int


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """The process that runs next has a new image, or (`came_back`) its child has ended."""

    came_back: bool


@dataclass(frozen=True, slots=True)
class Opened(Event):
    """A file was opened; `path` is absolute, `flags` are open(2)'s."""

    interest: ClassVar[Interest] = Interest.FILES
    path: bytes
    file: OpenFile
    flags: int
    fd: int


@dataclass(frozen=True, slots=True)
class Closed(Event):
    """The last descriptor of an open file was closed."""

    interest: ClassVar[Interest] = Interest.FILES
    file: OpenFile


@dataclass(frozen=True, slots=True)
class Named(Event):
    """A name came to be: of a new file, or one more or another of an old one."""

    interest: ClassVar[Interest] = Interest.FILES
    path: bytes
    inode: Inode


@dataclass(frozen=True, slots=True)
class Unnamed(Event):
    """A name was taken away."""

    interest: ClassVar[Interest] = Interest.FILES
    path: bytes
    inode: Inode


@dataclass(frozen=True, slots=True)
class ModeSet(Event):
    """The permissions of a file were set."""

    interest: ClassVar[Interest] = Interest.FILES
    inode: Inode


@dataclass(frozen=True, slots=True)
class Truncated(Event):
    """A file was given the size that it now has."""

    interest: ClassVar[Interest] = Interest.FILES
    inode: RegularFile


@dataclass(frozen=True, slots=True)
class Transferred(Event):
    """A read (or, with `out`, a write) of a standard stream: the bytes, and its result."""

    interest: ClassVar[Interest] = Interest.STREAMS
    stream: Stream
    result: int
    """Bytes moved, or -errno."""
    data: bytes
    out: bool


@dataclass(frozen=True, slots=True)
class CallBegan(Event):
    """A system call begins, with its arguments as its handler gets them."""

    interest: ClassVar[Interest] = Interest.EACH_CALL
    name: str
    args: Sequence[int]


@dataclass(frozen=True, slots=True)
class CallEnded(Event):
    """It ended: a result, -errno, or None when it does not return."""

    interest: ClassVar[Interest] = Interest.EACH_CALL
    name: str
    args: Sequence[int]
    result: int | None
