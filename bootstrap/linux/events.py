"""What the kernel tells observers: progress, provenance, strace, recorders. It does not know them.

Events come in the order in which things happen, which is the same on every host. An observer must
not change anything it is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bootstrap.core import cpu as core
from bootstrap.core.files import Inode
from bootstrap.instruments.callbuffer import CallLog
from bootstrap.linux.inode import LazyFile
from bootstrap.linux.row import Row

if TYPE_CHECKING:
    from bootstrap.linux.machine import Machine


@dataclass(frozen=True, slots=True)
class ExecEvent:
    """A successful execve(2), or the start of a run's first process."""

    pid: int
    ppid: int
    path: bytes
    """Absolute guest path of the image."""
    argv: tuple[bytes, ...]
    envp: tuple[bytes, ...]
    cwd: bytes
    image: LazyFile
    abi: str = ""
    """Abi.name."""


class Observer(Protocol):
    """Receives the events of one run; BaseObserver ignores them all."""

    wants_syscalls: bool
    """True makes every system call visible, which turns the native hot path off."""

    call_log: CallLog | None
    """Gets every system call once it has ended, on either hot path; for one observer of a run."""

    def on_start(
        self, path: bytes, argv: Sequence[bytes], envp: Sequence[bytes], cwd: bytes
    ) -> None:
        """A run begins, with what Machine.run was given; its first process is made next."""

    def on_fork(self, parent_pid: int, child_pid: int) -> None:
        """A process forked; the child runs next."""

    def on_exec(self, event: ExecEvent) -> None:
        """A process now runs the image."""

    def on_open(self, pid: int, guest_path: bytes, inode: Inode, flags: int, fd: int) -> None:
        """A file was opened; `guest_path` is absolute, `flags` are open(2)'s."""

    def on_exit(self, pid: int, status: int, syscalls: int) -> None:
        """A process ended with this wait status, after so many system calls."""

    def on_unlink(self, pid: int, guest_path: bytes) -> None:
        """A name was removed."""

    def on_rename(self, pid: int, old: bytes, new: bytes) -> None:
        """A name was changed."""

    def on_syscall_enter(self, pid: int, row: Row, args: list[int]) -> str:
        """A system call begins; the text returned is given to on_syscall_exit."""

    def on_syscall_exit(self, pid: int, row: Row, entered: str, result: int | None) -> None:
        """It ended: a result, -errno, or None when it does not return."""

    def on_fault(self, pid: int, fault: "Fault") -> None:
        """The CPU faulted; the process ends with the fault's signal."""

    def on_ready(self, machine: "Machine", came_back: bool) -> None:
        """The process that runs next has a new image, or (`came_back`) its child has ended."""

    def on_tick(self) -> None:
        """About five times a second of host time; changes nothing in the guest."""


@dataclass(frozen=True, slots=True)
class Fault(core.Fault):
    """The core's, with what a report says of it."""

    registers: tuple[tuple[str, int], ...] = ()
    code: bytes = b""
    """Up to 16 bytes at pc, as far as they are readable."""
    abi: str = ""
    """Arch.name, for whoever disassembles `code`."""
    program: str = ""


class BaseObserver:
    """An Observer that ignores everything."""

    wants_syscalls: bool = False
    call_log: CallLog | None = None

    def on_start(
        self, path: bytes, argv: Sequence[bytes], envp: Sequence[bytes], cwd: bytes
    ) -> None: ...
    def on_fork(self, parent_pid: int, child_pid: int) -> None: ...
    def on_exec(self, event: ExecEvent) -> None: ...
    def on_open(self, pid: int, guest_path: bytes, inode: Inode, flags: int, fd: int) -> None: ...
    def on_exit(self, pid: int, status: int, syscalls: int) -> None: ...
    def on_unlink(self, pid: int, guest_path: bytes) -> None: ...
    def on_rename(self, pid: int, old: bytes, new: bytes) -> None: ...

    def on_syscall_enter(self, pid: int, row: Row, args: list[int]) -> str:
        return ""

    def on_syscall_exit(self, pid: int, row: Row, entered: str, result: int | None) -> None: ...
    def on_fault(self, pid: int, fault: Fault) -> None: ...
    def on_ready(self, machine: "Machine", came_back: bool) -> None: ...
    def on_tick(self) -> None: ...
