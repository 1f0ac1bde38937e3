"""The exit statuses of all commands, and the errors a user can meet, each with its own."""

import signal
from enum import IntEnum


class ExitStatus(IntEnum):
    """What the exit status of every command means. The one table: help and docs print it."""

    DONE = 0
    """As asked: verified, equal, written."""
    DIFFERS = 1
    """Something differs from what it should be, or is missing."""
    BAD_INPUT = 2
    """Usage, or something that was given (or could not be had) cannot be used."""
    GUEST_FAILED = 3
    """The guest failed: a fault, an unknown system call, a limit."""
    LESS_THAN_ASKED = 4
    """Nothing differed, but less than asked was shown."""
    INTERRUPTED = 128 + signal.SIGINT
    """Ctrl-C (SIGINT)."""
    CLOSED_PIPE = 141
    """The reader of standard output went away (128 + SIGPIPE, which Windows has no name for)."""
    TERMINATED = 128 + signal.SIGTERM
    """SIGTERM."""


EXIT_STATUS_HELP = """\
exit status:
    0  as asked: verified, equal, written
    1  something differs from its known-good value, or is missing
    2  usage or bad input; or what was asked for cannot be had
    3  the guest failed: a fault, an unknown system call, a limit
    4  nothing differed, but less than asked was shown: the embedded path in place of a release,
       an answers file alone, a step file that is not shipped, a memo
  130  interrupted (SIGINT)
  141  the reader of the output went away
  143  ended by SIGTERM (SIGHUP: 129)
"""
"""`ExitStatus` in words, for --help."""


class BootstrapError(Exception):
    """A failure with a cause, a place and a way out in its message; never shown as a traceback."""

    exit_code: int = ExitStatus.BAD_INPUT


class BadInput(BootstrapError):
    """What the user gave (a file, a tree, a cache, an address, an option) cannot be used."""

    exit_code = ExitStatus.BAD_INPUT


class GuestFailed(BootstrapError):
    """The guest stopped in a way it should not: a fault, an unknown system call, a limit."""

    exit_code = ExitStatus.GUEST_FAILED


class Terminated(KeyboardInterrupt):
    """A polite signal other than SIGINT asked us to end.

    A KeyboardInterrupt, so that whatever is undone on Ctrl-C is undone on these too.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


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
