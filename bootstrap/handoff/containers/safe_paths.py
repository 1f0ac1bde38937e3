"""Files in a root that programs wrote: no link leads us to the host's own, no mode stops us."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import stat
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file
from bootstrap.documents import decoded
from bootstrap.handoff.checks import MAX_TEXT

_FICLONE = 0x40049409
"""linux/fs.h: let a file share another's blocks."""


def inside(root: Path, path: str) -> Path | None:
    """The regular file that a program in the root would find at ``path``; None if there is none."""
    left = [part for part in path.split("/") if part not in ("", ".")][::-1]
    at: list[str] = []
    for _ in range(1000):
        if not left:
            place = root.joinpath(*at)
            return place if place.is_file() else None
        part = left.pop()
        if part == "..":
            at = at[:-1]
            continue
        place = root.joinpath(*at, part)
        try:
            mode = os.lstat(place).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISLNK(mode):
            at.append(part)
            continue
        target = os.readlink(place)
        if target.startswith("/"):
            at = []
        left += [part for part in target.split("/") if part not in ("", ".")][::-1]
    return None


def read_inside(root: Path, path: str) -> bytes:
    """The content of a file of the root, of at most 4 MiB.  Raises BadInput."""
    place = inside(root, path)
    if place is None:
        raise BadInput(f"/{path} in the root: there is no such file")
    return read_file(place, MAX_TEXT)


def text_inside(root: Path, path: str) -> str:
    """The same as text, UTF-8.  Raises BadInput."""
    return decoded(read_inside(root, path), f"/{path} in the root")


def require_folder(root: Path, path: str) -> Path:
    """A folder to read or to write in, reached without any link.  Raises BadInput."""
    place = root
    for part in path.split("/"):
        place = place / part
        if place.is_symlink() or not place.is_dir():
            raise BadInput(f"/{path} in the root: a step made something else of this folder")
    return place


def copy_file(source: Path, target: Path) -> None:
    """The content only, sharing blocks where the file system can.  Raises OSError."""
    with open_anyway(source) as reading, target.open("xb") as writing:
        try:
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
        except OSError:
            shutil.copyfileobj(reading, writing, 1 << 20)


def open_anyway(place: Path) -> io.BufferedReader:
    """To read, also where a step closed a file to its owner, who we are.  Raises OSError."""
    try:
        return place.open("rb")
    except PermissionError:
        mode = stat.S_IMODE(os.lstat(place).st_mode)
        place.chmod(mode | stat.S_IRUSR)
        try:
            return place.open("rb")
        finally:
            place.chmod(mode)


def remove(place: Path) -> None:
    """Whatever is there, folders that a step closed too.  Raises OSError."""
    if place.is_dir() and not place.is_symlink():
        open_folder(place)
        for at, folders, _ in os.walk(place):
            for name in folders:
                if not Path(at, name).is_symlink():
                    open_folder(Path(at, name))
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def open_folder(place: Path) -> bool:
    """Let us, whose it is, into a folder; whether it was closed."""
    closed = not os.access(place, os.R_OK | os.W_OK | os.X_OK)
    if closed:
        place.chmod(stat.S_IMODE(place.stat().st_mode) | stat.S_IRWXU)
    return closed
