"""From a guest path to a file: path_resolution(7); Linux, fs/namei.c."""

from typing import NamedTuple

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.linux.inode import Directory, Inode, Symlink

PATH_MAX = 4096
"""Bytes in a path, with its NUL (include/uapi/linux/limits.h)."""
MAXSYMLINKS = 40
"""Links followed in one look-up (include/linux/namei.h)."""


class At(NamedTuple):
    """Where a process looks paths up from: chroot(2) and chdir(2) change it."""

    root: Directory
    cwd: Directory


class Last(NamedTuple):
    """A path but for its last component."""

    directory: Directory
    name: bytes
    """The last component; b"" when the path is the root itself."""
    slash: bool
    """Whether slashes follow the last component."""

    @property
    def is_name(self) -> bool:
        """Whether it is a name: not '.', not '..', not the root (LAST_NORM)."""
        return self.name not in (b"", b".", b"..")


def _components(path: bytes) -> list[bytes]:
    """Last first. Slashes at the end ask for a directory, as '/.' does."""
    parts = [part for part in path.split(b"/") if part]
    if path.endswith(b"/"):
        parts.append(b".")
    parts.reverse()
    return parts


def check_path(path: bytes) -> None:
    """What getname checks. Raises LinuxError: ENOENT when empty, ENAMETOOLONG."""
    if not path:
        raise LinuxError(Errno.ENOENT)
    if len(path) >= PATH_MAX:
        raise LinuxError(Errno.ENAMETOOLONG)


class Walk:
    """One look-up, which may take several steps; it counts the links it follows."""

    __slots__ = ("_links", "at")

    def __init__(self, at: At) -> None:
        self.at = at
        self._links = 0

    def count_link(self) -> None:
        """Follow one more link. Raises LinuxError(ELOOP) after MAXSYMLINKS."""
        self._links += 1
        if self._links > MAXSYMLINKS:
            raise LinuxError(Errno.ELOOP)

    def start(self, path: bytes, base: Directory) -> Directory:
        """Where `path` begins."""
        return self.at.root if path.startswith(b"/") else base

    def find(self, base: Directory, path: bytes, follow: bool) -> Inode:
        """The file at `path` from `base`; `follow` a link at its end.

        Raises LinuxError: ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG.
        """
        here: Inode = self.start(path, base)
        todo = _components(path)
        while todo:
            if not isinstance(here, Directory):
                raise LinuxError(Errno.ENOTDIR)
            name = todo.pop()
            if name == b".":
                continue
            if name == b"..":
                here = self.above(here)
                continue
            there = here.lookup(name)
            if there is None:
                raise LinuxError(Errno.ENOENT)
            if isinstance(there, Symlink) and (todo or follow):
                self.count_link()
                here = self.start(there.target, here)
                todo += _components(there.target)
            else:
                here = there
        return here

    def above(self, here: Directory) -> Directory:
        """'..' of `here`: nothing is above the root."""
        return here if here is self.at.root else here.parent

    def last(self, base: Directory, path: bytes) -> Last:
        """The directory that the last component of `path` is in. Raises LinuxError, as `find`."""
        stripped = path.rstrip(b"/")
        slash = len(stripped) < len(path)
        if not stripped:
            return Last(self.at.root, b"", slash)
        head, sep, name = stripped.rpartition(b"/")
        directory = self.find(base, head + sep, follow=True)
        if not isinstance(directory, Directory):
            raise LinuxError(Errno.ENOTDIR)
        return Last(directory, name, slash)

    def dots(self, last: Last) -> Directory:
        """The directory that a last component which is no name stands for."""
        return self.above(last.directory) if last.name == b".." else last.directory
