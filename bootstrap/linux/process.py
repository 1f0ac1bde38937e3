"""A process: its memory, its descriptors, its place in the file system; and what handlers return.

Linux's task_struct, cut down to what a single-threaded world without signals needs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.arches import Arch
from bootstrap.core.files import OpenFile, RegularFile
from bootstrap.core.paths import PathBase
from bootstrap.linux.events import Observer
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.limits import Limits
from bootstrap.linux.memory import AddressSpace


@dataclass(frozen=True, slots=True)
class Exit:
    """Returned by a handler: the process ends with this exit code (0..255)."""

    code: int


@dataclass(frozen=True, slots=True)
class Fork:
    """Returned by a handler: a child is made and runs first, until it ends."""

    child_stack: int = 0
    """clone(2)'s new stack pointer for the child; 0 keeps the parent's."""


@dataclass(frozen=True, slots=True)
class Exec:
    """Returned by a handler: the process goes on as another program, or gets an errno."""

    path: bytes
    argv: tuple[bytes, ...]
    envp: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class OnRegisters:
    """Returned by a handler: something that is done where the CPU stands still."""

    change: Callable[[dict[str, bytes]], int]
    """Receives all registers as Cpu.save names them, and may set some; returns the call's result,
    or raises LinuxError."""


Control = Exit | Fork | Exec | OnRegisters


class FdTable:
    """The descriptors of one process: fd -> open file description, with close-on-exec flags."""

    __slots__ = ("_files", "_full", "cloexec", "limit")

    def __init__(self, limit: int) -> None:
        self._files: dict[int, OpenFile] = {}
        self._full = 0
        """Every descriptor below is in use (files_struct.next_fd, fs/file.c)."""
        self.cloexec: set[int] = set()
        self.limit = limit
        """Most descriptors; EMFILE beyond (RLIMIT_NOFILE)."""

    def get(self, fd: int) -> OpenFile:
        """The open file description behind `fd`. Raises LinuxError(EBADF)."""
        file = self._files.get(fd)
        if file is None:
            raise LinuxError(Errno.EBADF)
        return file

    def items(self) -> list[tuple[int, OpenFile]]:
        """All (fd, open file description), lowest first."""
        return sorted(self._files.items())

    def below(self, end: int) -> list[tuple[int, OpenFile]]:
        """Those with an fd below `end`, lowest first."""
        files = self._files
        return [(fd, files[fd]) for fd in range(min(end, self.limit)) if fd in files]

    def __len__(self) -> int:
        return len(self._files)

    def lowest_free(self, lowest: int = 0) -> int:
        """The smallest unused fd not below `lowest`. Raises LinuxError(EMFILE)."""
        fd = max(lowest, self._full)
        while fd in self._files:
            fd += 1
        if lowest <= self._full:
            self._full = fd
        if fd >= self.limit:
            raise LinuxError(Errno.EMFILE)
        return fd

    def install(self, file: OpenFile, lowest: int = 0, cloexec: bool = False) -> int:
        """Give `file` (whose reference is handed over) the lowest free fd. LinuxError(EMFILE)."""
        fd = self.lowest_free(lowest)
        self._files[fd] = file
        if cloexec:
            self.cloexec.add(fd)
        return fd

    def put(self, fd: int, file: OpenFile, cloexec: bool) -> None:
        """Give `file` this very fd, which is free; its references count it already."""
        self._files[fd] = file
        if cloexec:
            self.cloexec.add(fd)

    def close(self, fd: int) -> None:
        """close(2). Raises LinuxError(EBADF)."""
        self.get(fd).close()
        del self._files[fd]
        self._full = min(self._full, fd)
        self.cloexec.discard(fd)

    def dup_to(self, old: int, new: int, cloexec: bool = False) -> int:
        """dup2(2) for old != new: closes `new` first. Raises LinuxError(EBADF)."""
        file = self.get(old)
        if not 0 <= new < self.limit:
            raise LinuxError(Errno.EBADF)
        file.refs += 1
        if new in self._files:
            self.close(new)
        self._files[new] = file
        if cloexec:
            self.cloexec.add(new)
        return new

    def copy(self) -> "FdTable":
        """What fork(2) gives the child: the same open file descriptions."""
        child = FdTable(self.limit)
        child._files = dict(self._files)
        child._full = self._full
        child.cloexec = set(self.cloexec)
        for file in self._files.values():
            file.refs += 1
        return child

    def close_on_exec(self) -> None:
        """execve(2) closes what was marked."""
        for fd in sorted(self.cloexec):
            self.close(fd)

    def close_all(self) -> None:
        """What exit does."""
        for fd in sorted(self._files):
            self.close(fd)


@dataclass(slots=True)
class Process:
    """One process. Handlers receive it, and nothing wider."""

    pid: int
    ppid: int
    abi: Arch
    memory: AddressSpace
    fds: FdTable
    fs: OverlayFileSystem
    at: PathBase
    umask: int
    limits: Limits
    observers: Sequence[Observer] = ()
    exe_path: bytes = b""
    argv: tuple[bytes, ...] = ()
    zombies: dict[int, int] = field(default_factory=dict)
    """Ended children nobody waited for: pid -> wait status, in the order in which they ended."""
    syscalls: int = 0
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
    def program(self) -> str:
        """Path of the running image, for messages."""
        return self.exe_path.decode("utf-8", "backslashreplace")
