"""The read-only tree below the overlay: in memory, or a folder of the host.

Guest paths here are absolute and plain: `/`, or `/` and names joined by `/`, without `.` and `..`.
Modes are normalised, so that a run does not depend on who unpacked the tree: directories 0755,
files 0755 when anybody may execute them, else 0644.
"""

import errno
import os
import stat
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, NoReturn, Protocol

from bootstrap import host
from bootstrap.core.abi import S_IFDIR, S_IFLNK, S_IFREG
from bootstrap.core.errors import BadInput


class LowerFile(NamedTuple):
    """A regular file for MemoryLower. Of `mode`, only whether anybody may execute counts."""

    mode: int
    data: bytes


class LowerLink(NamedTuple):
    """A symbolic link for MemoryLower."""

    target: bytes


class LowerFolder(NamedTuple):
    """A directory for MemoryLower: only for one that is empty, for others are implied."""


class LowerEntry(NamedTuple):
    """What a directory of the lower tree says of one name in it."""

    mode: int
    """Type and normalised permissions."""
    size: int = 0
    """Bytes in a regular file."""
    target: bytes = b""
    """Of a symbolic link."""
    guest_path: bytes = b""


class Lower(Protocol):
    """A read-only tree of files."""

    lazy: bool
    """Whether files are read where they are: nobody holds the content of all of them."""

    def list(self, guest_path: bytes) -> Mapping[bytes, LowerEntry]:
        """What is in the directory at `guest_path`, without '.' and '..'. Raises BadInput."""

    def load(self, guest_path: bytes) -> bytes:
        """The content of the regular file at `guest_path`. Raises BadInput."""

    def read(self, guest_path: bytes, offset: int, count: int) -> bytes:
        """A part of it, as pread(2) gives it. Raises BadInput."""


def plain_parts(guest_path: bytes) -> tuple[bytes, ...]:
    """The names in a plain guest path; a leading '/' may be missing. Raises ValueError."""
    if not guest_path.strip(b"/"):
        return ()
    parts = tuple(guest_path.removeprefix(b"/").split(b"/"))
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        raise ValueError(f"not a plain guest path: {guest_path!r}")
    return parts


def _file_mode(mode: int) -> int:
    return S_IFREG | (0o755 if mode & 0o111 else 0o644)


_FOLDER = LowerEntry(S_IFDIR | 0o755)


class MemoryLower:
    """A tree given as a mapping from guest path to file, link or folder; parents are implied.

    Raises ValueError for a path that is not plain, is there twice, or lies below a file or link.
    """

    lazy = False

    def __init__(self, files: Mapping[bytes, LowerFile | LowerLink | LowerFolder]) -> None:
        self._listing: dict[tuple[bytes, ...], dict[bytes, LowerEntry]] = {(): {}}
        self._data: dict[tuple[bytes, ...], bytes] = {}
        for guest_path, file in sorted(files.items()):
            parts = plain_parts(guest_path)
            if isinstance(file, LowerFolder):
                self._add_folder(parts)
            else:
                self._add(parts, file)

    def _add_folder(self, parts: tuple[bytes, ...]) -> None:
        for depth in range(1, len(parts) + 1):
            if parts[:depth] not in self._listing:
                self._enter(parts[:depth], _FOLDER)
                self._listing[parts[:depth]] = {}

    def _add(self, parts: tuple[bytes, ...], file: LowerFile | LowerLink) -> None:
        self._add_folder(parts[:-1])
        if isinstance(file, LowerLink):
            self._enter(parts, LowerEntry(S_IFLNK | 0o777, target=file.target))
        else:
            self._enter(parts, LowerEntry(_file_mode(file.mode), len(file.data)))
            self._data[parts] = file.data

    def _enter(self, parts: tuple[bytes, ...], entry: LowerEntry) -> None:
        folder = self._listing[parts[:-1]] if parts else {}
        if not parts or parts[-1] in folder:
            where = b"/" + b"/".join(parts)
            raise ValueError(f"{where!r} is there twice, or other files lie below it")
        folder[parts[-1]] = entry

    def list(self, guest_path: bytes) -> Mapping[bytes, LowerEntry]:
        """See Lower."""
        return self._listing[plain_parts(guest_path)]

    def load(self, guest_path: bytes) -> bytes:
        """See Lower."""
        return self._data[plain_parts(guest_path)]

    def read(self, guest_path: bytes, offset: int, count: int) -> bytes:
        """See Lower."""
        return self.load(guest_path)[offset : offset + count]


LARGE = 1 << 20
"""From so many bytes on, a file is not held in memory to be read."""
_BLOCK, _BLOCKS = 1 << 16, 64
"""Bytes that are read at once for one that is wanted, and how many such are kept."""
_NEVER_FOLLOW = (
    os.O_RDONLY | host.BINARY | host.NOFOLLOW | host.CLOEXEC | host.NONBLOCK | host.NOCTTY
)


class FolderLower:
    """A folder of the host, read when needed and only read.

    No symbolic link in it is ever followed by the host: the guest sees the link itself, and its
    own root. Fifos, sockets and devices go by their type and are never opened. Hard links are files
    of their own. Raises BadInput when `host_root` is no folder that can be read; and for a file
    that is read more than once, or in parts, and changed meanwhile.
    """

    lazy = True

    def __init__(self, host_root: str | os.PathLike[str]) -> None:
        self.label = os.fspath(host_root)
        # Absolute, so that the host process may change its directory; the folder itself may be
        # reached through a link.
        self._host_root = os.path.realpath(os.fsencode(host_root))
        self._stamps: dict[bytes, tuple[int, ...]] = {}
        """What says whether a file is still the one that was read before or, if large, listed."""
        self._block = lru_cache(_BLOCKS)(self._read_block)
        self.list(b"/")

    def _open(self, guest_path: bytes, flags: int) -> int:
        """A host descriptor for a guest path: the one place where one becomes the other.

        Goes down name by name and refuses links at each, so that even a folder that changes
        meanwhile cannot lead outside. Raises OSError.
        """
        parts = plain_parts(guest_path)
        here = os.open(self._host_root, _NEVER_FOLLOW | (host.DIRECTORY if parts else flags))
        for depth, name in enumerate(parts, 1):
            try:
                last = depth == len(parts)
                there = os.open(
                    name, _NEVER_FOLLOW | (flags if last else host.DIRECTORY), dir_fd=here
                )
            finally:
                os.close(here)
            here = there
        return here

    def _host_path(self, guest_path: bytes) -> bytes:
        """The same for a host without openat(2), by paths; for folders that do not change.

        Raises OSError when a name on the way is a link, or means something else to the host.
        """
        here: bytes = self._host_root
        for name in plain_parts(guest_path):
            if os.sep.encode() in name or (b":" in name and os.name == "nt"):
                raise FileNotFoundError(errno.ENOENT, "no such name on this host")
            here = os.path.join(here, name)
            if os.path.islink(here):
                raise OSError(errno.ELOOP, "is a link")
        return here

    def list(self, guest_path: bytes) -> Mapping[bytes, LowerEntry]:
        """See Lower."""
        entries: dict[bytes, LowerEntry] = {}
        base = guest_path.rstrip(b"/") + b"/"
        try:
            if not host.HAS_DIR_FD:
                folder_path = self._host_path(guest_path)
                for name in os.listdir(folder_path):
                    entries[name] = self._entry(base + name, os.path.join(folder_path, name))
                return entries
            folder = self._open(guest_path, host.DIRECTORY)
            try:
                for text in os.listdir(folder):
                    name = os.fsencode(text)
                    entries[name] = self._entry(base + name, name, folder)
            finally:
                os.close(folder)
        except OSError as error:
            self._fail("the folder", guest_path, error)
        return entries

    def load(self, guest_path: bytes) -> bytes:
        """See Lower."""
        return self._read(guest_path, 0, -1)

    def read(self, guest_path: bytes, offset: int, count: int) -> bytes:
        """See Lower."""
        first, last = offset // _BLOCK, (offset + count - 1) // _BLOCK
        if last - first > 1:
            return self._read(guest_path, offset, count)
        content = b"".join(self._block(guest_path, index) for index in range(first, last + 1))
        return content[offset - first * _BLOCK :][:count]

    def _read_block(self, guest_path: bytes, index: int) -> bytes:
        return self._read(guest_path, index * _BLOCK, _BLOCK)

    def _read(self, guest_path: bytes, offset: int, count: int) -> bytes:
        try:
            if host.HAS_DIR_FD:
                fd = self._open(guest_path, 0)
            else:
                fd = os.open(self._host_path(guest_path), _NEVER_FOLLOW)
            with os.fdopen(fd, "rb") as file:
                there = os.fstat(file.fileno())
                if not stat.S_ISREG(there.st_mode):
                    raise OSError("is no regular file any more")
                file.seek(offset)
                content = file.read(count)
        except OSError as error:
            self._fail("the file", guest_path, error)
        if self._stamps.setdefault(guest_path, _stamp(there)) != _stamp(there):
            inside = guest_path.decode("utf-8", "backslashreplace").lstrip("/")
            raise BadInput(
                f"{self.label}: {inside}: the source changed during the run; start again"
            )
        return content

    def _entry(self, guest_path: bytes, name: bytes, folder: int | None = None) -> LowerEntry:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        kind = stat.S_IFMT(found.st_mode)
        if kind == S_IFDIR:
            return _FOLDER
        if kind == S_IFLNK:
            return LowerEntry(S_IFLNK | 0o777, target=os.readlink(name, dir_fd=folder))
        if kind == S_IFREG:
            if found.st_size >= LARGE:
                self._stamps[guest_path] = _stamp(found)
            return LowerEntry(_file_mode(found.st_mode), found.st_size)
        return LowerEntry(kind | 0o644)

    def _fail(self, what: str, guest_path: bytes, error: OSError) -> NoReturn:
        inside = guest_path.decode("utf-8", "backslashreplace").lstrip("/") or "."
        raise BadInput(
            f"{self.label}: {what} {inside} cannot be read: {error.strerror or error}; "
            "make it readable, or give another folder"
        ) from None


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
