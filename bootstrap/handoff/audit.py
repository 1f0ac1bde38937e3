"""Is a folder of distfiles what the plan needs?  Every file is read whole and hashed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bootstrap import host
from bootstrap.core.errors import BadInput
from bootstrap.handoff.sourcelist import Distfile

State = Literal["present", "missing", "wrong"]
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Found:
    """What the folder has under a distfile's name; ``detail`` says what is wrong with it."""

    file: Distfile
    state: State
    size: int = 0
    detail: str = ""


@dataclass(frozen=True)
class Audit:
    """The rows in the plan's order, and names in the folder that no row is about.

    Names that begin with a dot do not count: no distfile has such, and our own parts do.
    """

    rows: tuple[Found, ...]
    others: tuple[str, ...]

    def having(self, state: State) -> tuple[Found, ...]:
        """The rows with that state."""
        return tuple(row for row in self.rows if row.state == state)

    @property
    def whole(self) -> bool:
        """Every file is there with its sha256."""
        return all(row.state == "present" for row in self.rows)


def audit(
    files: Iterable[Distfile], folder: Path, tell: Callable[[Found], None] | None = None
) -> Audit:
    """Look at each file in turn; ``tell`` hears of each.  Raises BadInput without the folder."""
    names = _names(folder)
    rows = []
    for file in files:
        row = look(file, folder)
        rows.append(row)
        if tell is not None:
            tell(row)
    wanted = {row.file.name for row in rows}
    return Audit(tuple(rows), tuple(sorted(n for n in names - wanted if not n.startswith("."))))


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError as error:
        raise BadInput(f"{folder}: cannot be read as a folder: {error.strerror}") from None


def look(file: Distfile, folder: Path) -> Found:
    """One file of the folder: there or not, with the right sha256 or not."""
    try:
        # O_NONBLOCK: a fifo must not hang the audit.
        flags = os.O_RDONLY | host.BINARY | host.NONBLOCK | host.CLOEXEC
        with os.fdopen(os.open(folder / file.name, flags), "rb", buffering=0) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if not stat.S_ISREG(mode):
                return Found(file, "wrong", detail="is no regular file")
            size, sha256 = _hash(stream.fileno())
    except FileNotFoundError:
        return Found(file, "missing")
    except IsADirectoryError:
        return Found(file, "wrong", detail="is a folder")
    except OSError as error:
        return Found(file, "wrong", detail=f"cannot be read: {error.strerror}")
    if sha256 == file.sha256:
        return Found(file, "present", size)
    if size == 0:
        return Found(file, "wrong", size, "is empty")
    return Found(file, "wrong", size, f"has the sha256 {sha256}")


def _hash(fd: int) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    while chunk := os.read(fd, _CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()
