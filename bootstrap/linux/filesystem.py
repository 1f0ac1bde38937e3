"""The guest's file system: a read-only tree below, an overlay in memory above.

What the core does not have of paths, in the order in which errors win on Linux: fs/namei.c,
fs/open.c, and the manual pages named at each.
"""

import posixpath
from collections.abc import Iterator

from bootstrap.core import paths
from bootstrap.core.abi import PERMISSIONS, S_IFDIR, S_IFMT, S_IFREG, Errno, LinuxError
from bootstrap.core.errors import Limits
from bootstrap.core.files import Directory, Inode, OpenFile, RegularFile, Symlink
from bootstrap.core.paths import (
    MAXSYMLINKS,
    Lookup,
    ParentAndName,
    PathBase,
    check_path,
    plain_parts,
)
from bootstrap.linux.flags import S_ISGID
from bootstrap.linux.hostfolder import Lower
from bootstrap.linux.inode import (
    LazyDirectory,
    LazyFile,
    OpenInode,
    OverlayVolume,
    Special,
    children,
    is_within,
)


class OverlayFileSystem(paths.FileSystem):
    """Raises BadInput when the lower tree cannot be read."""

    volume: OverlayVolume

    def __init__(self, lower: Lower, limits: Limits | None = None,
                 volume: OverlayVolume | None = None) -> None:  # fmt: skip
        volume = volume or OverlayVolume(lower, limits or Limits())
        super().__init__(volume=volume, root=volume.new_directory(S_IFDIR | 0o755, None, b"/"))

    def new_file(self, mode: int, origin: bytes, content: bytes = b"") -> LazyFile:
        """A file without a name."""
        return LazyFile(self.volume, S_IFREG | mode & PERMISSIONS, origin, content)

    def new_directory(self, mode: int, parent: Directory | None) -> Directory:
        """A directory without a name."""
        return self.volume.new_directory(S_IFDIR | mode, parent)

    def new_open_file(self, inode: Inode, flags: int) -> OpenFile:
        """An open file description, with the one reference of the caller."""
        if isinstance(inode, Special):
            raise LinuxError(Errno.ENXIO)  # a socket or a pipe with a name
        return OpenInode(inode, flags, self.volume)

    # -- looking -------------------------------------------------------------------------------

    def readlink(self, base: PathBase, path: bytes) -> bytes:
        """readlink(2)."""
        inode = self.resolve(base, path, follow=False)
        if not isinstance(inode, Symlink):
            raise LinuxError(Errno.EINVAL)
        return inode.target

    def getcwd(self, base: PathBase) -> bytes:
        """The path of the current directory, as the system call gives it.

        ENOENT when it was removed; prefixed by "(unreachable)" when it lies outside the root.
        """
        if base.cwd.removed:
            raise LinuxError(Errno.ENOENT)
        return seen_path(base.cwd, base.root)

    # -- making --------------------------------------------------------------------------------

    def _place(self, base: PathBase, path: bytes, folder: bool = False) -> ParentAndName:
        """Where something new may be made (fs/namei.c, filename_create)."""
        last = self.parent(base, path)
        if not last.is_name or last.directory.lookup(last.name) is not None:
            raise LinuxError(Errno.EEXIST)
        if last.slash and not folder:
            raise LinuxError(Errno.ENOENT)
        return last

    def mkdir(self, base: PathBase, path: bytes, mode: int) -> tuple[Directory, ParentAndName]:
        """mkdir(2); `mode` has the umask taken off. The set-group-ID bit is inherited."""
        last = self._place(base, path, folder=True)
        self.volume.meter.add_inode(self.path_of(last.directory, last.name))
        bits = mode & 0o1777 | last.directory.mode & S_ISGID
        made = self.new_directory(bits, last.directory)
        self.enter(last, made)
        return made, last

    def mknod(self, base: PathBase, path: bytes, mode: int) -> tuple[RegularFile, ParentAndName]:
        """mknod(2), for regular files only: EPERM for all else."""
        if mode & S_IFMT not in (0, S_IFREG):
            raise LinuxError(Errno.EPERM)
        last = self._place(base, path)
        return self.make_file(last, mode), last

    def symlink(self, base: PathBase, path: bytes, target: bytes) -> tuple[Symlink, ParentAndName]:
        """symlink(2): makes `path` a link to `target`."""
        check_path(target)
        last = self._place(base, path)
        self.volume.meter.add_inode(self.path_of(last.directory, last.name))
        made = Symlink(self.volume.next_ino(), target)
        self.enter(last, made)
        return made, last

    def link(self, inode: Inode, base: PathBase, path: bytes) -> ParentAndName:
        """linkat(2): `path` becomes another name of `inode`."""
        last = self._place(base, path)
        if isinstance(inode, Directory):
            raise LinuxError(Errno.EPERM)
        inode.links += 1
        last.directory.put(last.name, inode)
        return last

    # -- renaming and changing -----------------------------------------------------------------

    def rmdir(self, base: PathBase, path: bytes) -> tuple[Directory, ParentAndName]:
        """rmdir(2). Returns what was removed, and where it was."""
        last = self.parent(base, path)
        if not last.is_name:
            raise LinuxError(
                {b"..": Errno.ENOTEMPTY, b".": Errno.EINVAL, b"": Errno.EBUSY}[last.name]
            )
        inode = self.existing(last)
        if not isinstance(inode, Directory):
            raise LinuxError(Errno.ENOTDIR)
        if inode.names():
            raise LinuxError(Errno.ENOTEMPTY)
        self.take(last)
        return inode, last

    def rename(self, source: ParentAndName, target: ParentAndName) -> tuple[Inode, Inode | None]:
        """renameat(2), of what `parent` found (fs/namei.c, do_renameat2 and vfs_rename).

        Returns the file, and what it replaced: itself, where nothing is done.
        """
        if not source.is_name or not target.is_name:
            raise LinuxError(Errno.EBUSY)
        inode = self.existing(source)
        replaced = target.directory.lookup(target.name)
        if not isinstance(inode, Directory) and (source.slash or target.slash):
            raise LinuxError(Errno.ENOTDIR)
        if isinstance(inode, Directory) and is_within(target.directory, inode):
            raise LinuxError(Errno.EINVAL)
        if isinstance(replaced, Directory) and is_within(source.directory, replaced):
            raise LinuxError(Errno.ENOTEMPTY)
        if replaced is inode:
            return inode, inode
        if replaced is not None:
            if isinstance(inode, Directory):
                if not isinstance(replaced, Directory):
                    raise LinuxError(Errno.ENOTDIR)
                if replaced.names():
                    raise LinuxError(Errno.ENOTEMPTY)
            elif isinstance(replaced, Directory):
                raise LinuxError(Errno.EISDIR)
            self.take(target)
        source.directory.take(source.name)
        target.directory.put(target.name, inode)
        return inode, replaced

    def take(self, last: ParentAndName) -> None:
        """Take a name away, and the file with it when that was its last hold."""
        inode = self.existing(last)
        super().take(last)
        if isinstance(inode, Directory):
            inode.removed = True

    def truncate(self, base: PathBase, path: bytes, length: int) -> RegularFile:
        """truncate(2), to a length that is not negative. Returns the file."""
        inode = self.resolve(base, path)
        if isinstance(inode, Directory):
            raise LinuxError(Errno.EISDIR)
        if not isinstance(inode, LazyFile):
            raise LinuxError(Errno.EINVAL)
        if inode.runners:
            raise LinuxError(Errno.ETXTBSY)
        inode.truncate(length)
        return inode

    # -- for the harness -----------------------------------------------------------------------

    def add_file(self, path: bytes, data: bytes, mode: int = 0o644) -> RegularFile:
        """Lay out a file, and its parents, before the guest runs; replaces a file or link.

        It does not count as changed. Raises ValueError, as add_directory.
        """
        *parents, name = plain_parts(path) or (b"",)
        directory = self.add_directory(b"/" + b"/".join(parents))
        there = directory.lookup(name) if name else directory
        if isinstance(there, Directory):
            raise ValueError(f"{path!r} is a directory")
        if there is not None:
            self.take(ParentAndName(directory, name, False))
        file = super().add_file(path, data, mode)
        assert isinstance(file, LazyFile)
        file.prepared = True
        return file

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
            below = directory.lower_path if isinstance(directory, LazyDirectory) else None
            if below and self._is_path(below, length, directory):
                continue  # nobody ever looked into it
            for name, inode in children(directory):
                if isinstance(inode, Directory):
                    todo.append((length + 1 + len(name), inode))
                    is_new = inode.guest_made
                elif isinstance(inode, LazyFile):
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
        return path == posixpath.join(seen_path(directory), *name)


def seen_path(directory: Directory, root: Directory | None = None) -> bytes:
    """The path of a directory, seen from `root` or from the top of its file system.

    A removed one has none: b"/(deleted)".
    """
    if directory.removed:
        return b"/(deleted)"
    names: list[bytes] = []
    here = directory
    while here is not root and here.parent is not here:
        names.append(here.name)
        here = here.parent
    path = b"/" + b"/".join(reversed(names))
    return path if root in (None, here) else b"(unreachable)" + path


def absolute(base: PathBase, path: bytes) -> bytes:
    """For messages and records: where `path` leads, links in its directories resolved.

    A link at its end is not followed. Falls back to the text where nothing is there.
    """
    try:
        check_path(path)
        lookup = Lookup(base)
        last = lookup.parent(base.cwd, path)
        if not last.is_name:
            return seen_path(lookup.dots(last), base.root)
        return posixpath.join(seen_path(last.directory, base.root), last.name)
    except LinuxError:
        return posixpath.normpath(posixpath.join(seen_path(base.cwd, base.root), path))


def path_from_top(base: PathBase, path: bytes) -> bytes:
    """The same, from the top of the file system where a process has another root."""
    if base.root.parent is base.root:
        return absolute(base, path)
    return posixpath.join(seen_path(base.root), absolute(base, path).lstrip(b"/"))


def opened_path(base: PathBase, path: bytes, inode: Inode) -> bytes:
    """The path of the file that was opened: links at the end of `path` followed."""
    for _ in range(MAXSYMLINKS):
        if isinstance(inode, Directory) and not inode.removed:
            return seen_path(inode)
        check_path(path)
        here = Lookup(base).find(base.cwd, path, follow=False)
        if not isinstance(here, Symlink):
            break
        path = posixpath.join(posixpath.dirname(path), here.target)
    return path_from_top(base, path)
