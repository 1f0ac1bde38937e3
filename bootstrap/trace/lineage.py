"""What is known of the processes of a run: who read what, who wrote what.

Plain data, JSON-able by `dataclasses.asdict`. Guest paths and arguments are text here: UTF-8, with
bytes that are not valid UTF-8 written as `\\xNN` (`guest_text`).
"""

import posixpath
from dataclasses import dataclass, field


def guest_text(raw: bytes) -> str:
    """A guest path or argument as text; bytes that are not UTF-8 become `\\xNN`."""
    return raw.decode("utf-8", "backslashreplace")


def normal_path(raw: bytes) -> str:
    """An absolute guest path as text, without `.`, `..` and doubled slashes (lexically)."""
    return posixpath.normpath("/" + guest_text(raw).lstrip("/"))


def tree_path(path: str) -> str:
    """A guest path as the catalogue names it: `/x86/bin/M1` -> `x86/bin/M1`."""
    return path.lstrip("/")


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One content that a file had: absolute guest path, SHA-256 in hex, size in bytes."""

    path: str
    sha256: str
    size: int
    order: int = 0
    """When it was read or came to be: one scale for the whole run, good for comparisons only."""


@dataclass(slots=True)
class ProcessRecord:
    """One program run by one process. A process that calls execve(2) again gets a new record."""

    pid: int
    ppid: int
    """0 for a process that nobody forked."""
    ordinal: int
    """Numbers the programs of one pid: 0 for what fork(2) made, 1 for its first exec, ..."""
    exe: FileVersion
    """The image: path and content at the time of the exec (or of the parent's exec, after fork)."""
    argv: tuple[str, ...]
    cwd: str = "/"
    """Working directory at the exec: what relative names in argv start from."""
    started_by: int | None = None
    """Index, in the run's list of records, of the program that forked or exec'd this one."""
    reads: list[FileVersion] = field(default_factory=list)
    """Files opened for reading, content at the time of the open; own writes are not inputs."""
    writes: list[FileVersion] = field(default_factory=list)
    """Files opened for writing, content when this process gave way (fork, exec, exit)."""
    status: int | None = None
    """Wait status of wait(2): exit code * 256, or the signal; None: still running, or exec'd."""
    replaced: bool = False
    """True when the process went on as another program (execve)."""
    syscalls: int = 0
    """System calls of the pid, known at its exit."""

    @property
    def exe_path(self) -> str:
        """Absolute guest path of the image."""
        return self.exe.path

    @property
    def inputs(self) -> tuple[FileVersion, ...]:
        """All that the program was made from: the image, then what it read."""
        return (self.exe, *self.reads)

    @property
    def ended(self) -> bool:
        """Whether the program came to an end of its own: exit, signal or exec of another."""
        return self.replaced or self.status is not None
