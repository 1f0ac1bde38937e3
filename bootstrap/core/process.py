"""A process: its memory, its descriptors, where it is in the files; and what handlers return.

Claims: Linux's task_struct, cut down to what a single-threaded world without signals needs. A
descriptor is the lowest free one (fs/file.c), a forked child shares the open file descriptions and
nothing else, execve(2) closes what was marked.
Relies on: `memory`, `files`, `paths`.
Tests that would fail if it lied: tests/core/test_process.py, test_calls.py, test_native.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.arches import Arch
from bootstrap.core.errors import printable
from bootstrap.core.files import OpenFile, RegularFile
from bootstrap.core.memory import AddressSpace
from bootstrap.core.paths import FileSystem, PathBase


class Control:
    """Returned by a handler: what the machine has to do, where the CPU stands still."""


@dataclass(frozen=True, slots=True)
class Exit(Control):
    """The process ends with this exit code (0..255)."""

    code: int


@dataclass(frozen=True, slots=True)
class Fork(Control):
    """A child is made and runs first, until it ends."""

    child_stack: int = 0
    """clone(2)'s new stack pointer for the child; 0 keeps the parent's."""


@dataclass(frozen=True, slots=True)
class Exec(Control):
    """The process goes on as another program, or gets an errno."""

    path: bytes
    argv: tuple[bytes, ...]
    envp: tuple[bytes, ...]


class FdTable:
    """The descriptors of one process: fd -> open file description, with close-on-exec flags."""

    __slots__ = ("_used_below", "cloexec", "files", "limit")

    def __init__(self, limit: int) -> None:
        self.files: dict[int, OpenFile] = {}
        self.cloexec: set[int] = set()
        self.limit = limit  # most descriptors; EMFILE beyond (RLIMIT_NOFILE)
        self._used_below = 0  # no fd below is free: ten thousand are not counted at each open

    def get(self, fd: int) -> OpenFile:
        """The open file description of `fd`. Raises LinuxError(EBADF)."""
        file = self.files.get(fd)
        if file is None:
            raise LinuxError(Errno.EBADF)
        return file

    def lowest_free(self, lowest: int = 0) -> int:
        """The smallest unused fd not below `lowest`. Raises LinuxError(EMFILE)."""
        fd = max(lowest, self._used_below)
        while fd in self.files:
            fd += 1
        if lowest <= self._used_below:
            self._used_below = fd
        if fd >= self.limit:
            raise LinuxError(Errno.EMFILE)
        return fd

    def put(self, fd: int, file: OpenFile, close_on_exec: bool = False) -> None:
        """Give `file` this very fd, which is free. Its references count that already."""
        self.files[fd] = file
        if close_on_exec:
            self.cloexec.add(fd)

    def close(self, fd: int) -> None:
        """close(2). Raises LinuxError(EBADF)."""
        self.get(fd).close()
        del self.files[fd]
        self.cloexec.discard(fd)
        self._used_below = min(self._used_below, fd)

    def copy(self) -> "FdTable":
        """What fork(2) gives the child: the same open file descriptions."""
        child = FdTable(self.limit)
        child.files, child.cloexec = dict(self.files), set(self.cloexec)
        for file in self.files.values():
            file.refs += 1
        return child


@dataclass(slots=True)
class Process:
    """One process. Handlers receive it, and nothing wider."""

    pid: int
    ppid: int
    arch: Arch
    memory: AddressSpace
    fds: FdTable
    files: FileSystem
    base: PathBase
    """Its root and current directory."""
    umask: int
    emit: Callable[..., None]
    """Machine.emit for this process: says what happened, a name and details."""
    exe_path: bytes = b""
    """Path of the running image, for messages: no link in it is resolved."""
    program: Exec = Exec(b"", (), ())
    """What execve(2) was asked for; the path may be an interpreter's."""
    zombies: dict[int, int] = field(default_factory=dict)
    """Ended children nobody waited for: pid -> wait status, in the order in which they ended."""
    calls: int = 0
    """System calls that it has ended."""
    exe: RegularFile | None = None
    """The running image, which nobody may write to (fs/exec.c, exe_file_deny_write_access)."""

    def run_file(self, inode: RegularFile | None) -> None:
        """From here on the image is of this file; None: the process is gone."""
        if inode is not None:
            inode.runners += 1
        if self.exe is not None:
            self.exe.runners -= 1
        self.exe = inode

    @property
    def name(self) -> str:
        """What messages call it."""
        return printable(self.exe_path)
