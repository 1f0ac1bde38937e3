"""The guest's file system: a read-only tree below, an overlay in memory above.

What the system calls do with paths, and the order in which errors win, is Linux's: fs/namei.c,
fs/open.c, and the manual pages named at each. The guest is root: permissions deny nothing but
execution.
"""

import posixpath
from collections.abc import Iterator

from bootstrap.core.abi import (
    O_ACCMODE,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_LARGEFILE,
    O_NOCTTY,
    O_NOFOLLOW,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    S_IFDIR,
    S_IFMT,
    S_IFREG,
    X_OK,
    Errno,
    LinuxError,
)
from bootstrap.core.errors import Limits
from bootstrap.linux.flags import S_ISGID
from bootstrap.linux.hostfolder import Lower, plain_parts
from bootstrap.linux.inode import Directory, Inode, RegularFile, Special, Symlink, Volume
from bootstrap.linux.openfile import MAX_NON_LFS, OpenFile
from bootstrap.linux.paths import At, Last, Walk, check_path

_PERMISSIONS = 0o7777
_NOT_KEPT = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC
"""Flags that only matter while opening (fs/open.c, do_dentry_open)."""
_DEEP = 32


class FileSystem:
    """All path calls take `at`, the root and current directory of the process.

    They raise LinuxError as the manual page says; GuestFailed over a limit; BadInput when the
    lower tree cannot be read.
    """

    def __init__(self, lower: Lower, limits: Limits | None = None) -> None:
        self.volume = Volume(lower, limits or Limits())
        self.root = Directory(self.volume, S_IFDIR | 0o755, None, b"/")

    # -- looking -------------------------------------------------------------------------------

    def resolve(self, at: At, path: bytes, follow: bool = True) -> Inode:
        """The file at `path`: path_resolution(7). `follow` a symbolic link at its end."""
        check_path(path)
        return Walk(at).find(at.cwd, path, follow)

    def access(self, at: At, path: bytes, mode: int) -> None:
        """access(2), for root: EACCES only for executing what nobody may execute."""
        inode = self.resolve(at, path)
        if mode & X_OK and not isinstance(inode, Directory) and not inode.mode & 0o111:
            raise LinuxError(Errno.EACCES)

    def readlink(self, at: At, path: bytes) -> bytes:
        """readlink(2)."""
        inode = self.resolve(at, path, follow=False)
        if not isinstance(inode, Symlink):
            raise LinuxError(Errno.EINVAL)
        return inode.target

    def getcwd(self, at: At) -> bytes:
        """The path of the current directory, as the system call gives it.

        ENOENT when it was removed; prefixed by "(unreachable)" when it lies outside the root.
        """
        if at.cwd.removed:
            raise LinuxError(Errno.ENOENT)
        return self.path_of(at.cwd, at.root)

    def path_of(self, directory: Directory, root: Directory | None = None) -> bytes:
        """The path of a directory, seen from `root`; a removed one has none: b"/(deleted)"."""
        if directory.removed:
            return b"/(deleted)"
        top = root or self.root
        names: list[bytes] = []
        here = directory
        while here is not top and here.parent is not here:
            names.append(here.name)
            here = here.parent
        path = b"/" + b"/".join(reversed(names))
        return path if here is top else b"(unreachable)" + path

    def absolute(self, at: At, path: bytes) -> bytes:
        """For messages and records: where `path` leads, links in its directories resolved.

        A link at its end is not followed. Falls back to the text where nothing is there.
        """
        try:
            check_path(path)
            walk = Walk(at)
            last = walk.last(at.cwd, path)
            if not last.is_name:
                return self.path_of(walk.dots(last), at.root)
            return posixpath.join(self.path_of(last.directory, at.root), last.name)
        except LinuxError:
            return posixpath.normpath(posixpath.join(self.path_of(at.cwd, at.root), path))

    # -- opening -------------------------------------------------------------------------------

    def open(self, at: At, path: bytes, flags: int, mode: int = 0) -> OpenFile:
        """open(2); `mode` has the umask taken off. The caller owns the one reference.

        Special files give ENXIO.
        """
        if flags & O_CREAT and flags & O_DIRECTORY:
            raise LinuxError(Errno.EINVAL)
        check_path(path)
        inode, created = self._open_last(at, path, flags, mode)
        if not created:
            self._check_open(inode, flags)
            if isinstance(inode, RegularFile):
                if flags & O_TRUNC or flags & O_ACCMODE in (O_WRONLY, O_RDWR):
                    inode.check_not_running()
                # fs/open.c, generic_file_open
                if inode.size > MAX_NON_LFS and not flags & O_LARGEFILE:
                    raise LinuxError(Errno.EOVERFLOW)
                if flags & O_TRUNC:
                    inode.truncate(0)
        return OpenFile(inode, flags & ~_NOT_KEPT, self.volume)

    def _open_last(self, at: At, path: bytes, flags: int, mode: int) -> tuple[Inode, bool]:
        """The file to open, and whether it was made (fs/namei.c, open_last_lookups)."""
        walk = Walk(at)
        base = at.cwd
        directory_only = bool(flags & O_DIRECTORY)
        follow = not flags & O_NOFOLLOW and not (flags & O_CREAT and flags & O_EXCL)
        while True:
            last = walk.last(base, path)
            if not last.is_name:
                return walk.dots(last), False
            if last.slash:
                if flags & O_CREAT:
                    raise LinuxError(Errno.EISDIR)
                directory_only = follow = True
            inode = last.directory.lookup(last.name)
            if inode is None:
                if not flags & O_CREAT:
                    raise LinuxError(Errno.ENOENT)
                return self._make_file(last, S_IFREG | mode & _PERMISSIONS), True
            if not isinstance(inode, Symlink) or not follow:
                break
            walk.count_link()
            base, path = last.directory, inode.target
        if directory_only and not flags & O_CREAT and not isinstance(inode, Directory):
            raise LinuxError(Errno.ENOTDIR)
        return inode, False

    @staticmethod
    def _check_open(inode: Inode, flags: int) -> None:
        """Whether what is there may be opened so (fs/namei.c, do_open and may_open)."""
        if flags & O_CREAT:
            if flags & O_EXCL:
                raise LinuxError(Errno.EEXIST)
            if isinstance(inode, Directory):
                raise LinuxError(Errno.EISDIR)
        if isinstance(inode, Symlink):
            raise LinuxError(Errno.ELOOP)
        if isinstance(inode, Directory) and (flags & O_ACCMODE != O_RDONLY or flags & O_TRUNC):
            raise LinuxError(Errno.EISDIR)
        if isinstance(inode, Special):
            raise LinuxError(Errno.ENXIO)

    # -- making --------------------------------------------------------------------------------

    def _place(self, at: At, path: bytes, folder: bool = False) -> Last:
        """Where something new may be made (fs/namei.c, filename_create)."""
        last = self.parent(at, path)
        if not last.is_name or last.directory.lookup(last.name) is not None:
            raise LinuxError(Errno.EEXIST)
        if last.slash and not folder:
            raise LinuxError(Errno.ENOENT)
        return last

    def _origin(self, last: Last) -> bytes:
        """A path for messages; cut short, for a hostile guest can make it very deep."""
        names = [last.name]
        here = last.directory
        while here.parent is not here and len(names) < _DEEP:
            names.append(here.name)
            here = here.parent
        return (b"/" if here.parent is here else b".../") + b"/".join(reversed(names))

    def _enter(self, last: Last, inode: Inode) -> None:
        inode.guest_made = True
        last.directory.put(last.name, inode)

    def _make_file(self, last: Last, mode: int) -> RegularFile:
        origin = self._origin(last)
        self.volume.meter.add_inode(origin)
        file = RegularFile(self.volume, mode, origin)
        self._enter(last, file)
        return file

    def mkdir(self, at: At, path: bytes, mode: int) -> None:
        """mkdir(2); `mode` has the umask taken off. The set-group-ID bit is inherited."""
        last = self._place(at, path, folder=True)
        self.volume.meter.add_inode(self._origin(last))
        bits = mode & 0o1777 | last.directory.mode & S_ISGID
        self._enter(last, Directory(self.volume, S_IFDIR | bits, last.directory))

    def mknod(self, at: At, path: bytes, mode: int) -> None:
        """mknod(2), for regular files only: EPERM for all else."""
        if mode & S_IFMT not in (0, S_IFREG):
            raise LinuxError(Errno.EPERM)
        self._make_file(self._place(at, path), S_IFREG | mode & _PERMISSIONS)

    def symlink(self, at: At, path: bytes, target: bytes) -> None:
        """symlink(2): makes `path` a link to `target`."""
        check_path(target)
        last = self._place(at, path)
        self.volume.meter.add_inode(self._origin(last))
        self._enter(last, Symlink(self.volume.next_ino(), target))

    def link(self, inode: Inode, at: At, path: bytes) -> None:
        """linkat(2): `path` becomes another name of `inode`."""
        last = self._place(at, path)
        if isinstance(inode, Directory):
            raise LinuxError(Errno.EPERM)
        inode.links += 1
        last.directory.put(last.name, inode)

    # -- removing and renaming -----------------------------------------------------------------

    def parent(self, at: At, path: bytes) -> Last:
        """The directory of `path`, and its name there (filename_parentat); raises as `resolve`."""
        check_path(path)
        return Walk(at).last(at.cwd, path)

    def _existing(self, last: Last) -> Inode:
        inode = last.directory.lookup(last.name)
        if inode is None:
            raise LinuxError(Errno.ENOENT)
        return inode

    def unlink(self, at: At, path: bytes) -> None:
        """unlink(2): EISDIR for a directory. What is open stays usable."""
        last = self.parent(at, path)
        if not last.is_name:
            raise LinuxError(Errno.EISDIR)
        inode = self._existing(last)
        if isinstance(inode, Directory):
            raise LinuxError(Errno.EISDIR)
        if last.slash:
            raise LinuxError(Errno.ENOTDIR)
        self._take(last)

    def rmdir(self, at: At, path: bytes) -> None:
        """rmdir(2)."""
        last = self.parent(at, path)
        if not last.is_name:
            raise LinuxError(
                {b"..": Errno.ENOTEMPTY, b".": Errno.EINVAL, b"": Errno.EBUSY}[last.name]
            )
        inode = self._existing(last)
        if not isinstance(inode, Directory):
            raise LinuxError(Errno.ENOTDIR)
        if not inode.is_empty():
            raise LinuxError(Errno.ENOTEMPTY)
        self._take(last)

    def _take(self, last: Last) -> None:
        """Take a name away, and the file with it when that was its last hold."""
        inode = last.directory.take(last.name)
        if isinstance(inode, Directory):
            inode.removed = True
        inode.links -= 1
        self.volume.drop(inode)

    def rename(self, source: Last, target: Last) -> None:
        """renameat(2), of what `parent` found (fs/namei.c, do_renameat2 and vfs_rename)."""
        if not source.is_name or not target.is_name:
            raise LinuxError(Errno.EBUSY)
        inode = self._existing(source)
        replaced = target.directory.lookup(target.name)
        if not isinstance(inode, Directory) and (source.slash or target.slash):
            raise LinuxError(Errno.ENOTDIR)
        if isinstance(inode, Directory) and target.directory.is_within(inode):
            raise LinuxError(Errno.EINVAL)
        if isinstance(replaced, Directory) and source.directory.is_within(replaced):
            raise LinuxError(Errno.ENOTEMPTY)
        if replaced is inode:
            return
        if replaced is not None:
            if isinstance(inode, Directory):
                if not isinstance(replaced, Directory):
                    raise LinuxError(Errno.ENOTDIR)
                if not replaced.is_empty():
                    raise LinuxError(Errno.ENOTEMPTY)
            elif isinstance(replaced, Directory):
                raise LinuxError(Errno.EISDIR)
            self._take(target)
        source.directory.take(source.name)
        target.directory.put(target.name, inode)

    # -- changing ------------------------------------------------------------------------------

    def chmod(self, at: At, path: bytes, mode: int) -> None:
        """chmod(2)."""
        self.volume.set_mode(self.resolve(at, path), mode & _PERMISSIONS)

    def truncate(self, at: At, path: bytes, length: int) -> None:
        """truncate(2)."""
        if length < 0:
            raise LinuxError(Errno.EINVAL)
        inode = self.resolve(at, path)
        if isinstance(inode, Directory):
            raise LinuxError(Errno.EISDIR)
        if not isinstance(inode, RegularFile):
            raise LinuxError(Errno.EINVAL)
        inode.check_not_running()
        inode.truncate(length)

    # -- for the harness -----------------------------------------------------------------------

    def add_directory(self, guest_path: bytes) -> Directory:
        """Lay out a directory and its parents before the guest runs; what is there stays.

        Plain absolute paths only, and links are not followed: ValueError.
        """
        here = self.root
        for name in plain_parts(guest_path):
            child = here.lookup(name)
            if child is None:
                child = Directory(self.volume, S_IFDIR | 0o755, here)
                here.put(name, child)
            if not isinstance(child, Directory):
                raise ValueError(f"{guest_path!r}: {name!r} is there, and is no directory")
            here = child
        return here

    def add_file(self, guest_path: bytes, data: bytes, mode: int = 0o644) -> RegularFile:
        """Lay out a file, and its parents, before the guest runs; replaces a file or link.

        It does not count as changed. Raises ValueError, as add_directory.
        """
        *parents, name = plain_parts(guest_path) or (b"",)
        directory = self.add_directory(b"/" + b"/".join(parents))
        there = directory.lookup(name) if name else directory
        if isinstance(there, Directory):
            raise ValueError(f"{guest_path!r} is a directory")
        if there is not None:
            self._take(Last(directory, name, False))
        origin = b"/" + b"/".join((*parents, name))
        file = RegularFile(self.volume, S_IFREG | mode & _PERMISSIONS, origin, data, prepared=True)
        directory.put(name, file)
        return file

    def remove(self, guest_path: bytes) -> bool:
        """Hide a file, or a directory with all in it, from the guest. False if nothing is there."""
        *parents, name = plain_parts(guest_path) or (b"",)
        here: Inode | None = self.root
        for part in parents:
            here = here.lookup(part) if isinstance(here, Directory) else None
        if not isinstance(here, Directory) or not name or here.lookup(name) is None:
            return False
        self._remove(Last(here, name, False))
        return True

    def _remove(self, top: Last) -> None:
        found = [top]
        for last in found:  # which grows meanwhile
            inode = last.directory.lookup(last.name)
            if isinstance(inode, Directory):
                found += [Last(inode, name, False) for name in inode.names()]
        for last in reversed(found):
            self._take(last)

    def changed(self) -> Iterator[tuple[bytes, RegularFile]]:
        """The products: (absolute guest path, file), sorted by path.

        Every name of a regular file that the guest made, wrote to, emptied, or put there.
        """
        tree = self.changes()
        todo = [(b"/", self.root)]
        found: list[tuple[bytes, RegularFile]] = []
        while todo:
            path, directory = todo.pop()
            for name, inode in tree[directory]:
                where = posixpath.join(path, name)
                if isinstance(inode, Directory):
                    todo.append((where, inode))
                elif isinstance(inode, RegularFile):
                    found.append((where, inode))
        return iter(sorted(found, key=lambda item: item[0]))

    def changes(self) -> dict[Directory, list[tuple[bytes, Inode]]]:
        """The products as a tree, from the root down: of each directory, what to make in it.

        Beside those of `changed`, the links and directories that the guest made. No paths, which
        would take the square of the depth.
        """
        tree: dict[Directory, list[tuple[bytes, Inode]]] = {self.root: []}
        # No recursion: a hostile guest's directories may be deeper than Python's stack.
        todo = [(0, self.root)]
        while todo:
            length, directory = todo.pop()
            if directory.lower_path and self._is_path(directory.lower_path, length, directory):
                continue  # nobody ever looked into it
            for name, inode in directory.children():
                if isinstance(inode, Directory):
                    todo.append((length + 1 + len(name), inode))
                    is_new = inode.guest_made
                elif isinstance(inode, RegularFile):
                    is_new = inode.is_changed or not self._is_path(
                        inode.origin, length + 1 + len(name), directory, name
                    )
                else:
                    is_new = inode.guest_made
                if is_new:
                    self._enter_change(tree, directory)
                    if isinstance(inode, Directory):
                        self._enter_change(tree, inode)
                    else:
                        tree[directory].append((name, inode))
        return tree

    @staticmethod
    def _enter_change(tree: dict[Directory, list[tuple[bytes, Inode]]], new: Directory) -> None:
        """Have a list for a directory, and its name in its parent's."""
        missing = []
        while new not in tree:
            tree[new] = []
            missing.append(new)
            new = new.parent
        for directory in missing:
            tree[directory.parent].append((directory.name, directory))

    def _is_path(self, path: bytes, length: int, directory: Directory, *name: bytes) -> bool:
        """Whether `path` is the one, of `length` bytes, of a directory or of a name in it."""
        if len(path) != max(1, length):
            return False
        return path == posixpath.join(self.path_of(directory), *name)
