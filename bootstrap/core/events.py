"""What happens in a run, as one stream of events for whoever listens.

Claims: events come in the order in which things happen, after they were done (Closed: before, for
the content may go with it). Nothing that a verdict needs comes from here: recording, comparing and
explaining do. A machine without listeners makes no event at all.
Relies on: nothing; the machine and the handlers make the events.
Test that would fail if it lied: tests/core/test_events.py.

System calls are no events, for there are thirty million: a `new_cpu` (see `machine`) sees each of
them. What goes through the standard streams is known to who gave the streams.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bootstrap.core.cpu import Fault
from bootstrap.core.files import Inode, OpenFile, RegularFile
from bootstrap.core.paths import ParentAndName, PathBase
from bootstrap.core.process import Exec


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. Subclasses outside the core are events too."""

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
    fault: Fault | None
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
