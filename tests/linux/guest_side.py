"""The same operations as host_side.py, on the file system under test."""

from collections.abc import Callable
from typing import Any

from bootstrap.core.abi import O_LARGEFILE, S_IFMT, S_IFREG, Errno, LinuxError
from bootstrap.core.files import Directory, Inode, OpenFile, Symlink
from bootstrap.core.paths import PathBase
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, LowerFolder, LowerLink, MemoryLower
from bootstrap.linux.inode import LazyFile, children, nlink
from tests.linux.expect import entries

Tree = dict[bytes, tuple[str, bytes]]


def lower_of(tree: Tree) -> MemoryLower:
    files: dict[bytes, LowerFile | LowerLink | LowerFolder] = {}
    for path, (kind, content) in tree.items():
        if kind == "folder":
            files[path] = LowerFolder()
        elif kind == "link":
            files[path] = LowerLink(content)
        else:
            files[path] = LowerFile(0o755 if kind == "program" else 0o644, content)
    return MemoryLower(files)


def describe(inode: Inode, dir_links: bool) -> tuple[int, int, int]:
    if isinstance(inode, Directory):
        return inode.mode, nlink(inode) if dir_links else 0, 0
    if isinstance(inode, Symlink):
        return inode.mode, nlink(inode), len(inode.target)
    assert isinstance(inode, LazyFile)
    return inode.mode, nlink(inode), inode.size


class Guest:
    def __init__(self, fs: OverlayFileSystem, dir_links: bool) -> None:
        self.fs = fs
        self.at = PathBase(fs.root, fs.root)
        self.dir_links = dir_links
        self.files: dict[int, OpenFile] = {}

    def open(self, slot: int, path: bytes, flags: int, mode: int) -> None:
        self.close(slot)
        self.files[slot] = self.fs.open(self.at, path, flags | O_LARGEFILE, mode)[0]

    def close(self, slot: int) -> None:
        file = self.files.pop(slot, None)
        if file is not None:
            file.close()

    def file(self, slot: int) -> OpenFile:
        if slot not in self.files:
            raise LinuxError(Errno.EBADF)
        return self.files[slot]

    def read(self, slot: int, count: int) -> bytes:
        return self.file(slot).read(count)

    def write(self, slot: int, data: bytes) -> int:
        return self.file(slot).write(data)

    def seek(self, slot: int, offset: int, whence: int) -> int:
        if isinstance(self.file(slot).inode, Directory):
            return 0
        return self.file(slot).seek(offset, whence)

    def ftruncate(self, slot: int, size: int) -> None:
        file = self.file(slot)
        if not isinstance(file.inode, LazyFile) or not file.writable:
            raise LinuxError(Errno.EINVAL)  # the system call's own check, not the file system's
        file.inode.truncate(size)

    def fstat(self, slot: int) -> Any:
        return describe(self.file(slot).inode, self.dir_links)

    def stat(self, path: bytes, follow: bool) -> Any:
        return describe(self.fs.resolve(self.at, path, follow), self.dir_links)

    def mkdir(self, path: bytes, mode: int) -> None:
        self.fs.mkdir(self.at, path, mode)

    def mknod(self, path: bytes, mode: int) -> None:
        self.fs.mknod(self.at, path, S_IFREG | mode)

    def rmdir(self, path: bytes) -> None:
        self.fs.rmdir(self.at, path)

    def unlink(self, path: bytes) -> None:
        self.fs.unlink(self.at, path)

    def rename(self, old: bytes, new: bytes) -> None:
        self.fs.rename(self.fs.parent(self.at, old), self.fs.parent(self.at, new))

    def link(self, old: bytes, new: bytes, follow: bool) -> None:
        self.fs.link(self.fs.resolve(self.at, old, follow), self.at, new)

    def symlink(self, target: bytes, path: bytes) -> None:
        self.fs.symlink(self.at, path, target)

    def readlink(self, path: bytes) -> bytes:
        return self.fs.readlink(self.at, path)

    def chmod(self, path: bytes, mode: int) -> None:
        inode = self.fs.resolve(self.at, path)
        inode.mode = inode.mode & S_IFMT | mode

    def truncate(self, path: bytes, size: int) -> None:
        if size < 0:
            raise LinuxError(Errno.EINVAL)
        self.fs.truncate(self.at, path, size)

    def access(self, path: bytes, mode: int) -> None:
        inode = self.fs.resolve(self.at, path)
        if mode & 1 and not isinstance(inode, Directory) and not inode.mode & 0o111:
            raise LinuxError(Errno.EACCES)

    def listdir(self, path: bytes) -> list[bytes]:
        file = self.fs.open(self.at, path, 0o200000)[0]
        assert isinstance(file.inode, Directory)
        if file.inode.removed:
            return []  # readdir(3) hides the system call's ENOENT
        try:
            return [name for _, _, name, _ in entries(file) if name not in (b".", b"..")]
        finally:
            file.close()

    def _directory(self, path: bytes) -> Directory:
        inode = self.fs.resolve(self.at, path)
        if not isinstance(inode, Directory):
            raise LinuxError(Errno.ENOTDIR)
        return inode

    def chdir(self, path: bytes) -> None:
        self.at = PathBase(self.at.root, self._directory(path))

    def chroot(self, path: bytes) -> None:
        self.chdir(path)
        self.at = PathBase(self.at.cwd, self.at.cwd)

    def getcwd(self) -> bytes:
        return self.fs.getcwd(self.at)


def snapshot(fs: OverlayFileSystem, dir_links: bool) -> list[Any]:
    first: dict[int, bytes] = {}
    rows: list[Any] = []

    def visit(folder: Directory, at: bytes) -> None:
        for name, inode in children(folder):
            path = at + b"/" + name
            content = b""
            if isinstance(inode, Symlink):
                content = inode.target
            elif isinstance(inode, LazyFile):
                content = inode.contents()
            same = first.setdefault(inode.ino, path)
            rows.append((path, describe(inode, dir_links), content, same))
            if isinstance(inode, Directory):
                visit(inode, path)

    visit(fs.root, b".")
    return rows


def attempt(act: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return act(*arguments)
    except LinuxError as error:
        return ("errno", int(error.errno))


def run(tree: Tree, operations: list[Any], dir_links: bool) -> Any:
    fs = OverlayFileSystem(lower_of(tree))
    guest = Guest(fs, dir_links)
    results = [attempt(getattr(guest, name), tuple(rest)) for name, *rest in operations]
    for slot in list(guest.files):
        guest.close(slot)
    return results, snapshot(fs, dir_links), dir_links
