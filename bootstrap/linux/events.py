"""What happens in a run, as one stream of events for whoever listens.

Events come in the order in which things happen, after they were done (Closed: before, for the
content may go with it). A machine without listeners makes no event at all. System calls are events
only where a machine was asked for each call, for there are thirty million.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bootstrap.core import cpu as core
from bootstrap.core.files import Inode, OpenFile, RegularFile
from bootstrap.core.paths import ParentAndName, PathBase
from bootstrap.core.process import Exec
from bootstrap.core.syscalls import BoundCall
from bootstrap.linux.hostfolder import LowerEntry
from bootstrap.linux.memory import VirtualMemory


@dataclass(frozen=True, slots=True)
class Faulted(core.Fault):
    """The core's, with what a report says of it."""

    registers: tuple[tuple[str, int], ...] = ()
    code: bytes = b""
    """Up to 16 bytes at pc, as far as they are readable."""
    abi: str = ""
    """Arch.name, for whoever disassembles `code`."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    time: int
    """System calls that the run has ended so far: rr's time."""
    pid: int


Listener = Callable[[Event], None]
"""Gets every event of a run, and must not change anything it is shown."""


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run begins, with what Machine.run was given; its first process is made next."""

    program: Exec
    cwd: bytes


@dataclass(frozen=True, slots=True)
class Forked(Event):
    """A process (`pid`) forked; the child runs next."""

    child: int


@dataclass(frozen=True, slots=True)
class Executed(Event):
    """A successful execve(2), or the start of a run's first process."""

    ppid: int
    base: PathBase
    """Where it looks paths up from, also the program's."""
    program: Exec
    image: RegularFile
    arch: str
    """Arch.name."""


@dataclass(frozen=True, slots=True)
class Exited(Event):
    """A process ended with this wait status, after so many system calls."""

    status: int
    calls: int
    fault: core.Fault | None
    """Of the CPU, if that ended it."""


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """The process that runs next has a new image, or (`came_back`) its child has ended."""

    came_back: bool


@dataclass(frozen=True, slots=True)
class Opened(Event):
    """A file was opened."""

    base: PathBase
    path: bytes
    """As the guest wrote it; it was looked up from `base`."""
    file: OpenFile
    flags: int
    """open(2)'s."""
    fd: int


@dataclass(frozen=True, slots=True)
class Closed(Event):
    """The last descriptor of an open file is closed next."""

    file: OpenFile


@dataclass(frozen=True, slots=True)
class Changed(Event):
    """A file got a name, lost one, got permissions, or was given the size that it has now."""

    what: Literal["name", "unname", "mode", "truncate"]
    inode: Inode
    place: ParentAndName | None = None
    """Of a name: the directory that it is or was in, and the name."""


CORE_EVENTS: Mapping[str, Callable[..., Event]] = {
    kind.__name__: kind
    for kind in (RunStarted, Forked, Executed, Exited, Resumed, Opened, Closed, Changed)
}
"""By the names that the core's machine and handlers give them."""


@dataclass(frozen=True, slots=True)
class Listed(Event):
    """A folder of the lower tree was looked into: this is all that is in it."""

    path: bytes
    listing: Mapping[bytes, LowerEntry]


@dataclass(frozen=True, slots=True)
class Read(Event):
    """A file of the lower tree was read whole."""

    path: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Renamed(Event):
    """rename(2) has succeeded; each name that changed is an event of its own, after this one."""

    old_base: PathBase
    old: bytes
    """As the guest wrote it, as of the new path."""
    new_base: PathBase
    new: bytes


@dataclass(frozen=True, slots=True)
class CallBegan(Event):
    """A system call begins; only where a machine was asked for each call."""

    call: BoundCall
    args: Sequence[int]
    memory: VirtualMemory


@dataclass(frozen=True, slots=True)
class CallEnded(CallBegan):
    """It has ended: with a result, -errno, or None when it does not return."""

    result: int | None


@dataclass(frozen=True, slots=True)
class Tick(Event):
    """About five times a second of host time; changes nothing in the guest."""
