"""What can go wrong, and how much a guest may use.

Claims: a failure of a guest or of its limits is an exception that ends the run, and never a number
that the guest could take for an answer of Linux. So a run either is what it would be without
limits, or it fails.
Relies on: nothing. Importing this module loads nothing else of ours, and not Unicorn.
Tests that would fail if it lied: tests/core/test_limits.py, tests/core/test_contract.py.
"""

import signal
from dataclasses import dataclass
from enum import IntEnum


class ExitStatus(IntEnum):
    """The exit status of every command: EXIT_STATUS_HELP says what each means."""

    DONE = 0
    DIFFERS = 1
    BAD_INPUT = 2
    GUEST_FAILED = 3
    LESS_THAN_ASKED = 4
    INTERRUPTED = 128 + signal.SIGINT
    CLOSED_PIPE = 141
    """128 + SIGPIPE, which Windows has no name for."""
    TERMINATED = 128 + signal.SIGTERM


EXIT_STATUS_HELP = """\
exit status:
    0  as asked: verified, equal, written
    1  something differs from its known-good value, or is missing
    2  usage or bad input; or what was asked for cannot be had
    3  the guest failed: a fault, an unknown system call, a limit
    4  nothing differed, but less than asked was shown: the embedded sources in place of a release,
       an answers file alone, a step file that is not shipped, a memo
  130  interrupted (SIGINT)
  141  the reader of the output went away
  143  ended by SIGTERM (SIGHUP: 129)
"""


class BootstrapError(Exception):
    """A failure with a cause, a place and a way out in its message; never shown as a traceback."""

    exit_code: int = ExitStatus.BAD_INPUT


class BadInput(BootstrapError):
    """What the user gave (a file, a tree, a cache, an address, an option) cannot be used."""


class GuestFailed(BootstrapError):
    """The guest stopped in a way it should not: a fault, an unknown system call, a limit."""

    exit_code = ExitStatus.GUEST_FAILED


@dataclass(frozen=True, slots=True)
class Limits:
    """Most that a guest may use: several times what the largest release needs. The core's command
    line knows no others; --limit, which messages name, is an option of the commands above it."""

    memory: int = 1 << 30
    """Bytes one process may map."""
    memory_total: int = 2 << 30
    """Bytes all live processes together may map."""
    file: int = 1 << 30
    """Bytes in one file that the guest makes larger."""
    files_total: int = 2 << 30
    """Bytes of memory that all files which the guest made larger take together."""
    inodes: int = 100_000
    """Files, directories and links that the guest made and that still exist."""
    open_files: int = 1024
    """Open descriptors per process: EMFILE beyond, as Linux has it under RLIMIT_NOFILE."""
    processes: int = 100_000
    """Processes over the whole run."""
    nesting: int = 64
    """Processes alive at once: the deepest chain of children."""


class Meter:
    """Counts what guests use, against the limits. Each count over one is a GuestFailed."""

    __slots__ = ("files", "inodes", "limits", "memory")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.memory = 0
        """Bytes mapped by all live processes."""
        self.files = 0
        """Bytes of memory of all files that the guest made larger."""
        self.inodes = 0
        """Files, directories and links that the guest made."""

    def add_memory(self, size: int) -> None:
        """Count `size` more bytes (fewer, when negative)."""
        if size > 0 and self.memory + size > self.limits.memory_total:
            raise GuestFailed(
                f"limit: all processes together asked for {self.memory + size} bytes of memory, "
                f"over the limit of {self.limits.memory_total} "
                "(--limit memory_total=BYTES raises it)"
            )
        self.memory += size

    def file_capacity(self, path: bytes, needed: int, capacity: int, wanted: int) -> int:
        """Let a file whose counted capacity is `capacity` hold `needed` bytes, better `wanted`.

        Returns its new capacity, which is counted.
        """
        limits = self.limits
        if needed > limits.file:
            raise GuestFailed(
                f"limit: the guest's file {printable(path)} would grow to {needed} bytes, "
                f"over the limit of {limits.file} (--limit file=BYTES raises it)"
            )
        granted = min(wanted, limits.file, limits.files_total - self.files + capacity)
        if granted < needed:
            raise GuestFailed(
                f"limit: with {needed} bytes in {printable(path)}, the guest's files would need "
                f"more than {limits.files_total} bytes in all "
                "(--limit files_total=BYTES raises it)"
            )
        self.files += granted - capacity
        return granted

    def add_inode(self, path: bytes) -> None:
        """Count one more file, directory or link."""
        if self.inodes >= self.limits.inodes:
            raise GuestFailed(
                f"limit: {printable(path)} would be one more than the {self.limits.inodes} files "
                "and directories that a guest may make (--limit inodes=NUMBER raises it)"
            )
        self.inodes += 1


def printable(text: str | bytes) -> str:
    r"""Foreign text as one line that does nothing to a terminal and that any stream can print.

    Control characters, line ends, bidirectional controls, lone surrogates and bytes that are no
    UTF-8 become escapes (`\n`, `\x1b`, `\u202e`, `\ud800`, `\xff`). A backslash stays as it is,
    so printing twice is printing once, and no caller can escape too much.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        # A byte that is no UTF-8, as os.fsdecode has it (PEP 383).
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
