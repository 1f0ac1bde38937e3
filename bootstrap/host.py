"""The few things that hosts do differently: Linux and macOS here, Windows there."""

import os
import sys
from pathlib import Path

CLOEXEC = getattr(os, "O_CLOEXEC", 0)
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
NONBLOCK = getattr(os, "O_NONBLOCK", 0)
NOCTTY = getattr(os, "O_NOCTTY", 0)
DIRECTORY = getattr(os, "O_DIRECTORY", 0)
BINARY = getattr(os, "O_BINARY", 0)
"""open(2) flags; 0 where the host has none such."""

HAS_DIR_FD = os.open in os.supports_dir_fd and os.listdir in os.supports_fd
"""Whether a folder can be walked by descriptors, so that nobody can swap it meanwhile."""


def lock(fd: int, shared: bool) -> None:
    """Wait for a lock on an open file; the host lets go of it when the file is closed.

    Windows knows no shared locks: readers hold each other off there. Raises OSError.
    """
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(fd, msvcrt.LK_LOCK, 1)
    else:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def try_lock(fd: int) -> bool:
    """Lock an open file for oneself, if nobody else has; as `lock`. Raises OSError."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` last, where the host needs to be told. Raises OSError."""
    if sys.platform == "win32":
        return
    fd = os.open(folder, os.O_RDONLY | DIRECTORY | CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
