"""Reads files that users say are seeds: never more than a seed can have, and never waiting."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from bootstrap import host
from bootstrap.core.errors import BadInput, printable

STDIN = "-"
MAX_FILES = 100_000
LARGEST = 2 << 20
"""Bytes of a file that is a seed; the largest known one has 1.4 MiB."""

_KINDS = (
    (stat.S_ISDIR, "is a folder"),
    (stat.S_ISFIFO, "is a pipe"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


def read_file(name: str, limit: int, why: str) -> bytes:
    """The content of a regular file of 1 to ``limit`` bytes, or of standard input for ``-``.

    ``why`` says what the limit is.  Raises BadInput, in one line, for anything else; no more
    than ``limit`` bytes are ever read, and a pipe or a device is not opened.
    """
    if name == STDIN:
        return _whole(sys.stdin.buffer.read(limit + 1), "standard input", limit, why)
    path = printable(name)
    try:
        # First without opening: to open a device or a pipe can do things, or wait.
        _refuse(os.stat(name), path, limit, why)
        handle = os.open(name, os.O_RDONLY | host.BINARY | host.NONBLOCK | host.CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            _refuse(os.fstat(handle), path, limit, why)
            data = file.read(limit + 1)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadInput(f"{path}: is no file name: it holds a NUL") from None
    return _whole(data, path, limit, why)


def _refuse(status: os.stat_result, path: str, limit: int, why: str) -> None:
    for test, words in _KINDS:
        if test(status.st_mode):
            hint = "; give its content on standard input, as -" if words == "is a pipe" else ""
            raise BadInput(f"{path}: {words}, not a file{hint}")
    if status.st_size > limit:
        raise BadInput(f"{path}: has {status.st_size} bytes; {why} ({limit})")


def _whole(data: bytes, path: str, limit: int, why: str) -> bytes:
    if not data:
        raise BadInput(f"{path}: is empty")
    if len(data) > limit:
        raise BadInput(f"{path}: has more than {limit} bytes; {why} ({limit})")
    return data


def files_below(folder: str) -> Iterator[str]:
    """Every entry below a folder that is no folder, sorted; links and .git are not followed.

    Raises BadInput when the folder cannot be read or has more than MAX_FILES entries.
    """
    count = 0

    def refuse(error: OSError) -> None:
        raise BadInput(f"{printable(str(error.filename))}: cannot be read: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(names):
            count += 1
            if count > MAX_FILES:
                raise BadInput(f"{printable(folder)}: has more than {MAX_FILES} files")
            path = Path(place, name)
            if not path.is_symlink():
                yield str(path)
