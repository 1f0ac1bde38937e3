"""The errors a user can meet, each with the exit status the command line gives it.

Exit statuses: 0 verified or done, 1 mismatch, 2 usage or bad input, 3 the guest failed,
130 interrupted.
"""


class BootstrapError(Exception):
    """A failure with a cause, a place and a way out in its message; never shown as a traceback."""

    exit_code = 2


class BadInput(BootstrapError):
    """What the user gave (a file, a tree, a cache, an address, an option) cannot be used."""

    exit_code = 2


class GuestFailed(BootstrapError):
    """The guest stopped in a way it should not: a fault, an unknown system call, a limit."""

    exit_code = 3
