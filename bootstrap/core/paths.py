"""From a path to a file, and what system calls do with paths.

Claims: a path leads where path_resolution(7) says, never above the root, and the order in which
errors win is Linux's (fs/namei.c, fs/open.c; the manual pages named at each). A path of the guest
never becomes a path of the host: there is no function here that could make one.
The guest is root: permissions deny nothing but execution.
Relies on: `files`.
Tests that would fail if it lied: tests/core/test_paths.py, test_native.py.
"""

from typing import NamedTuple

from bootstrap.core import abi
from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.errors import Limits
from bootstrap.core.files import Directory, Inode, OpenFile, RegularFile, Symlink, Volume

MAXSYMLINKS = 40
"""Links followed in one look-up (include/linux/namei.h)."""
_NOT_KEPT = abi.O_CREAT | abi.O_EXCL | abi.O_NOCTTY | abi.O_TRUNC | abi.O_CLOEXEC
"""Flags that only matter while opening (fs/open.c, do_dentry_open)."""
_DEEP = 32


class PathBase(NamedTuple):
    """Where a process looks paths up from: chdir(2) and chroot(2) change it."""

    root: Directory
    cwd: Directory


class ParentAndName(NamedTuple):
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
    if len(path) >= abi.PATH_MAX:
        raise LinuxError(Errno.ENAMETOOLONG)


class Lookup:
    """One look-up, which may take several steps; it counts the links it follows."""

    __slots__ = ("_links", "base")

    def __init__(self, base: PathBase) -> None:
        self.base = base
        self._links = 0

    def count_link(self) -> None:
        """Follow one more link. Raises LinuxError(ELOOP) after MAXSYMLINKS."""
        self._links += 1
        if self._links > MAXSYMLINKS:
            raise LinuxError(Errno.ELOOP)

    def start(self, path: bytes, here: Directory) -> Directory:
        """Where `path` begins."""
        return self.base.root if path.startswith(b"/") else here

    def find(self, directory: Directory, path: bytes, follow: bool) -> Inode:
        """The file at `path` from `directory`; `follow` a link at its end.

        Raises LinuxError: ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG.
        """
        here: Inode = self.start(path, directory)
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
        return here if here is self.base.root else here.parent

    def parent(self, directory: Directory, path: bytes) -> ParentAndName:
        """The directory that the last component of `path` is in. Raises LinuxError, as `find`."""
        stripped = path.rstrip(b"/")
        slash = len(stripped) < len(path)
        if not stripped:
            return ParentAndName(self.base.root, b"", slash)
        head, separator, name = stripped.rpartition(b"/")
        found = self.find(directory, head + separator, follow=True)
        if not isinstance(found, Directory):
            raise LinuxError(Errno.ENOTDIR)
        return ParentAndName(found, name, slash)

    def dots(self, last: ParentAndName) -> Directory:
        """The directory that a last component which is no name stands for."""
        return self.above(last.directory) if last.name == b".." else last.directory


class FileSystem:
    """A tree of files in memory. `root` may be given, of a class that knows more than Directory.

    All path calls take `base`, the root and current directory of the process, and raise LinuxError
    as the manual page says; GuestFailed over a limit.
    """

    def __init__(self, limits: Limits | None = None, volume: Volume | None = None,
                 root: Directory | None = None) -> None:  # fmt: skip
        self.volume = volume or Volume(limits or Limits())
        self.root = root or self.new_directory(0o755, None)

    # What it consists of; a subclass may have classes of its own.

    def new_file(self, mode: int, origin: bytes, content: bytes = b"") -> RegularFile:
        """A file without a name."""
        return RegularFile(self.volume, abi.S_IFREG | mode & abi.PERMISSIONS, origin, content)

    def new_directory(self, mode: int, parent: Directory | None) -> Directory:
        """A directory without a name."""
        return Directory(self.volume, abi.S_IFDIR | mode, parent)

    def new_open_file(self, inode: Inode, flags: int) -> OpenFile:
        """An open file description, with the one reference of the caller."""
        return OpenFile(inode, flags, self.volume)

    # Finding.

    def resolve(self, base: PathBase, path: bytes, follow: bool = True) -> Inode:
        """The file at `path`: path_resolution(7). `follow` a symbolic link at its end."""
        check_path(path)
        return Lookup(base).find(base.cwd, path, follow)

    def parent(self, base: PathBase, path: bytes) -> ParentAndName:
        """The directory of `path`, and its name there (filename_parentat)."""
        check_path(path)
        return Lookup(base).parent(base.cwd, path)

    def path_of(self, directory: Directory, *names: bytes) -> bytes:
        """For messages: the path of a directory, or of a name in it. Long ones are cut short."""
        found = [*reversed(names)]
        here = directory
        while here.parent is not here and len(found) < _DEEP:
            found.append(here.name)
            here = here.parent
        return (b"/" if here.parent is here else b".../") + b"/".join(reversed(found))

    # Opening.

    def open(
        self, base: PathBase, path: bytes, flags: int, mode: int = 0
    ) -> tuple[OpenFile, ParentAndName | None]:
        """open(2), and where it made the file if it did; `mode` has the umask taken off.

        The caller owns the one reference.
        """
        check_path(path)
        inode, made = self._open_last(base, path, flags, mode)
        if made is None:
            self._check_open(inode, flags)
            if isinstance(inode, RegularFile):
                changes = flags & abi.O_TRUNC or flags & abi.O_ACCMODE in (abi.O_WRONLY, abi.O_RDWR)
                if changes and inode.runners:
                    raise LinuxError(Errno.ETXTBSY)
                # fs/open.c, generic_file_open
                if inode.size > abi.MAX_NON_LFS and not flags & abi.O_LARGEFILE:
                    raise LinuxError(Errno.EOVERFLOW)
                if flags & abi.O_TRUNC:
                    inode.empty()
        return self.new_open_file(inode, flags & ~_NOT_KEPT), made

    def _open_last(
        self, base: PathBase, path: bytes, flags: int, mode: int
    ) -> tuple[Inode, ParentAndName | None]:
        """The file to open, and where it was made (fs/namei.c, open_last_lookups)."""
        lookup = Lookup(base)
        start = base.cwd
        directory_only = bool(flags & abi.O_DIRECTORY)
        follow = not flags & abi.O_NOFOLLOW and not (flags & abi.O_CREAT and flags & abi.O_EXCL)
        while True:
            last = lookup.parent(start, path)
            if not last.is_name:
                return lookup.dots(last), None
            if last.slash:
                if flags & abi.O_CREAT:
                    raise LinuxError(Errno.EISDIR)
                directory_only = follow = True
            inode = last.directory.lookup(last.name)
            if inode is None:
                if not flags & abi.O_CREAT:
                    raise LinuxError(Errno.ENOENT)
                return self.make_file(last, mode), last
            if not isinstance(inode, Symlink) or not follow:
                break
            lookup.count_link()
            start, path = last.directory, inode.target
        if directory_only and not flags & abi.O_CREAT and not isinstance(inode, Directory):
            raise LinuxError(Errno.ENOTDIR)
        return inode, None

    @staticmethod
    def _check_open(inode: Inode, flags: int) -> None:
        """Whether what is there may be opened so (fs/namei.c, do_open and may_open)."""
        if flags & abi.O_CREAT:
            if flags & abi.O_EXCL:
                raise LinuxError(Errno.EEXIST)
            if isinstance(inode, Directory):
                raise LinuxError(Errno.EISDIR)
        if isinstance(inode, Symlink):
            raise LinuxError(Errno.ELOOP)
        if isinstance(inode, Directory) and (
            flags & abi.O_ACCMODE != abi.O_RDONLY or flags & abi.O_TRUNC
        ):
            raise LinuxError(Errno.EISDIR)

    # Making and removing.

    def make_file(self, last: ParentAndName, mode: int) -> RegularFile:
        """A new file, where nothing is. Raises GuestFailed over a limit."""
        origin = self.path_of(last.directory, last.name)
        self.volume.meter.add_inode(origin)
        file = self.new_file(mode, origin)
        self.enter(last, file)
        return file

    def enter(self, last: ParentAndName, inode: Inode) -> None:
        """Give a file that the guest made its name; the meter has counted it."""
        inode.guest_made = True
        last.directory.put(last.name, inode)

    def existing(self, last: ParentAndName) -> Inode:
        """What is at a path whose parent was found. Raises LinuxError(ENOENT)."""
        inode = last.directory.lookup(last.name)
        if inode is None:
            raise LinuxError(Errno.ENOENT)
        return inode

    def unlink(self, base: PathBase, path: bytes) -> tuple[Inode, ParentAndName]:
        """unlink(2): EISDIR for a directory. What is open stays usable. Returns file and name."""
        last = self.parent(base, path)
        if not last.is_name:
            raise LinuxError(Errno.EISDIR)
        inode = self.existing(last)
        if isinstance(inode, Directory):
            raise LinuxError(Errno.EISDIR)
        if last.slash:
            raise LinuxError(Errno.ENOTDIR)
        self.take(last)
        return inode, last

    def take(self, last: ParentAndName) -> None:
        """Take a name away, and the file with it when that was its last hold."""
        inode = self.existing(last)
        last.directory.take(last.name)
        inode.links -= 1
        self.volume.drop(inode)

    # Laying out a tree before the guest runs.

    def add_directory(self, path: bytes) -> Directory:
        """Lay out a directory and its parents; what is there stays.

        Plain absolute paths only, and links are not followed: ValueError.
        """
        here = self.root
        for name in plain_parts(path):
            child = here.lookup(name)
            if child is None:
                child = self.new_directory(0o755, here)
                here.put(name, child)
            if not isinstance(child, Directory):
                raise ValueError(f"{path!r}: {name!r} is there, and is no directory")
            here = child
        return here

    def add_file(self, path: bytes, data: bytes, mode: int = 0o644) -> RegularFile:
        """Lay out a file, and its parents, where nothing is yet: ValueError, as add_directory.

        It does not count against a limit.
        """
        *parents, name = plain_parts(path) or (b"",)
        directory = self.add_directory(b"/" + b"/".join(parents))
        if not name or directory.lookup(name) is not None:
            raise ValueError(f"{path!r} is there already")
        origin = b"/" + b"/".join((*parents, name))
        file = self.new_file(mode, origin, data)
        directory.put(name, file)
        return file


def plain_parts(path: bytes) -> tuple[bytes, ...]:
    """The names in a plain absolute path.

    Raises ValueError for a relative one, and for names that no file can have.
    """
    parts = tuple(path[1:].split(b"/")) if path != b"/" else ()
    for name in parts:
        if name in (b"", b".", b"..") or b"\0" in name or len(name) > abi.NAME_MAX:
            raise ValueError(f"{path!r}: {name!r} is no name for a file")
    if not path.startswith(b"/"):
        raise ValueError(f"{path!r} is not an absolute path")
    return parts
