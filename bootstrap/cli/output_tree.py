"""Writes what a guest made below a folder, as Linux would have made it there: `run --output`.

A folder is entered from the one above it and never by its whole path, which may be longer than a
system call takes; no link in it is followed. Where the host has no openat(2), whole paths are used.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap import host, signals
from bootstrap.cli.output import write_file
from bootstrap.core.errors import BadInput
from bootstrap.linux.inode import LazyFile

if TYPE_CHECKING:
    from bootstrap.core.files import Directory, Inode
    from bootstrap.linux.filesystem import OverlayFileSystem

_SHOWN = 200
"""Bytes of a path in a message, about: a guest can make one of megabytes."""
_FOLDER = os.O_RDONLY | host.DIRECTORY | host.NOFOLLOW | host.CLOEXEC


def write_tree(folder: Path, fs: OverlayFileSystem) -> list[str]:
    """Write all files, links and directories that the guest made or changed below `folder`.

    Gives back a line for each that cannot be written: it does not keep the others from it.
    Raises BadInput when the folder itself cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if host.HAS_DIR_FD:
            return list(_TreeWriter(fs).write(os.open(folder, _FOLDER & ~host.NOFOLLOW)))
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written: {error.strerror}") from error
    lines = []
    for path, file in fs.changed():
        try:
            write_file(folder, os.fsdecode(path[1:]), file.contents(), file.mode & 0o777)
        except BadInput as error:
            lines.append(str(error))
    return lines


class _TreeWriter:
    """The way through it. One folder of the host is open at a time."""

    def __init__(self, fs: OverlayFileSystem) -> None:
        self._root = fs.root
        self._changes = fs.changes()

    def write(self, here: int) -> Iterator[str]:
        """Below the folder that is open as `here`, which is closed in the end."""
        ways: list[tuple[Directory, Iterator[tuple[bytes, Inode]], os.stat_result]]
        ways = [(self._root, iter(self._changes[self._root]), os.fstat(here))]
        try:
            while ways:
                directory, rest, _ = ways[-1]
                name, inode = next(rest, (b"", None))
                if inode is None:
                    ways.pop()
                    if ways:
                        here = _up(here, directory, ways[-1][2])
                    continue
                try:
                    below = self._write(here, name, inode)
                except OSError as error:
                    what = ", nor what is in it" if inode in self._changes else ""
                    place = self._place(directory, name)
                    yield f"{place}: cannot be written{what}: {error.strerror}"
                    continue
                if below is not None:
                    os.close(here)
                    here, entered = below
                    ways.append((entered, iter(self._changes[entered]), os.fstat(here)))
        finally:
            os.close(here)

    @staticmethod
    def _write(here: int, name: bytes, inode: Inode) -> tuple[int, Directory] | None:
        """Write one name; of a directory, the descriptor, too. Raises OSError."""
        from bootstrap.core.files import Directory, Symlink
        from bootstrap.linux.inode import LazyFile

        if isinstance(inode, Directory):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=here)
            return os.open(name, _FOLDER, dir_fd=here), inode
        beside = b".%s.new" % secrets.token_hex(8).encode()
        try:
            if isinstance(inode, LazyFile):
                _write_file(here, beside, inode)
            elif isinstance(inode, Symlink):
                os.symlink(inode.target, beside, dir_fd=here)
            os.rename(beside, name, src_dir_fd=here, dst_dir_fd=here)
        except BaseException:
            with signals.held, contextlib.suppress(OSError):
                os.unlink(beside, dir_fd=here)
            raise
        return None

    def _place(self, directory: Directory, name: bytes) -> str:
        names = [name]
        while directory is not self._root and sum(map(len, names)) < _SHOWN:
            names.append(directory.name)
            directory = directory.parent
        above = b"" if directory is self._root else b".../"
        return os.fsdecode(above + b"/".join(reversed(names)))


def _write_file(here: int, name: bytes, file: LazyFile) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | host.NOFOLLOW | host.CLOEXEC
    with open(os.open(name, flags, 0o600, dir_fd=here), "wb") as stream:
        for piece in file.pieces():
            # A hole stays one.
            stream.write(piece) if piece.strip(b"\0") else stream.seek(len(piece), os.SEEK_CUR)
        stream.truncate()
        os.fchmod(stream.fileno(), file.mode & 0o777)


def _up(here: int, directory: Directory, above: os.stat_result) -> int:
    """Leave a directory for the one above it. One that the guest made gets the mode it gave it,
    and stays open to its owner. Raises OSError."""
    try:
        upper = os.open("..", _FOLDER, dir_fd=here)
        if directory.guest_made:
            os.fchmod(here, directory.mode & 0o777 | 0o700)
    finally:
        os.close(here)
    there = os.fstat(upper)
    if (there.st_dev, there.st_ino) != (above.st_dev, above.st_ino):
        os.close(upper)
        raise BadInput("the folder of --output was moved while it was written")
    return upper
