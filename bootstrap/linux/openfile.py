"""Open file descriptions: open(2) makes one, fork(2) and dup(2) share it.

read and write of one byte run tens of millions of times in one bootstrap: they go straight to the
file's bytes, with no call between.
"""

from collections.abc import Iterator

from bootstrap.core.abi import (
    O_APPEND,
    O_LARGEFILE,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    S_IFDIR,
    SEEK_CUR,
    SEEK_DATA,
    SEEK_END,
    SEEK_HOLE,
    SEEK_SET,
    Errno,
    LinuxError,
)
from bootstrap.linux.inode import Directory, Inode, RegularFile, Stream, Volume

MAX_OFFSET = (1 << 63) - 1
"""Largest file offset (MAX_LFS_FILESIZE, include/linux/fs.h)."""
MAX_NON_LFS = (1 << 31) - 1
"""Largest offset to write at without O_LARGEFILE (include/linux/fs.h)."""

_BYTES = tuple(bytes((value,)) for value in range(256))

Entry = tuple[int, int, bytes, int]
"""Of a directory: ino, cookie of what follows, name, d_type."""


class OpenFile:
    """An open file description. It begins with one reference, the caller's."""

    __slots__ = ("_file", "_names", "_volume", "append", "flags", "inode", "offset", "readable",
                 "refs", "writable")  # fmt: skip

    def __init__(self, inode: Inode, flags: int, volume: Volume | None = None) -> None:
        """`flags` as F_GETFL tells them. A regular file's content is loaded, unless it is large:
        BadInput."""
        access = flags & 3
        self.inode = inode
        self.flags = flags
        self.offset = 0
        self.refs = 1
        self.readable = access in (O_RDONLY, O_RDWR)
        self.writable = access in (O_WRONLY, O_RDWR)
        self.append = bool(flags & O_APPEND)
        self._volume = volume
        self._file = inode if isinstance(inode, RegularFile) else None
        self._names: list[bytes] | None = None
        if self._file is not None:
            self._file.prepare()
            self._file.writers += self.writable
        inode.opens += 1
        if volume is not None and volume.watcher is not None:
            volume.watcher.opened(self)

    def read(self, n: int) -> bytes:
        """read(2): up to n bytes, b"" at the end. Raises LinuxError: EBADF, EISDIR, EIO."""
        if not self.readable:
            raise LinuxError(Errno.EBADF)
        file = self._file
        if file is None:
            return self._read_other(n)
        start = self.offset
        if n == 1:
            if start < file.size:
                self.offset = start + 1
                return file.read_at(start, 1) if file.pending else _BYTES[file.data[start]]
            return b""
        end = start + n
        if end > file.size:
            end = file.size
            if end <= start:
                return b""
        self.offset = end
        return file.read_at(start, n)

    def write(self, data: bytes) -> int:
        """write(2): how many bytes were written.

        Raises LinuxError: EBADF, EFBIG, EIO; GuestFailed over a limit.
        """
        file = self._file
        if file is None or self.append or not self.writable:
            return self._write_other(data)
        start = self.offset
        count = len(data)
        end = start + count
        if end > len(file.data):
            count = self._make_room(file, start, count)
            data = data[:count]
            end = start + count
        if count == 1:
            file.data[start] = data[0]
        elif count:
            file.data[start:end] = data
        else:
            return 0
        if end > file.size:
            file.size = end
        file.version += 1
        self.offset = end
        return count

    def room(self, count: int) -> int:
        """How many of `count` bytes the next write takes; raises what it raises before the first.

        So a limit is looked at before the bytes are gathered.
        """
        file = self._file
        if file is None:
            return count
        start = file.size if self.append else self.offset
        return self._make_room(file, start, count) if start + count > len(file.data) else count

    def _make_room(self, file: RegularFile, start: int, count: int) -> int:
        """How much of `count` bytes can be written at `start` (mm/filemap.c,
        generic_write_checks)."""
        if not count:
            return count
        if not self.flags & O_LARGEFILE and start + count > MAX_NON_LFS:
            count = max(0, MAX_NON_LFS - start)
            if not count:
                raise LinuxError(Errno.EFBIG)
        file.reserve(start + count)
        return count

    def _read_other(self, n: int) -> bytes:
        inode = self.inode
        if isinstance(inode, Stream):
            return inode.read(n)
        raise LinuxError(Errno.EISDIR)

    def _write_other(self, data: bytes) -> int:
        if not self.writable:
            raise LinuxError(Errno.EBADF)
        inode = self.inode
        if isinstance(inode, Stream):
            return inode.write(data)
        file = self._file
        assert file is not None, "no directory is ever open for writing"
        if not data:
            return 0
        if file.size + len(data) > len(file.data):
            data = data[: self._make_room(file, file.size, len(data))]
        written = file.write_at(file.size, data)
        self.offset = file.size
        return written

    def seek(self, offset: int, whence: int) -> int:
        """lseek(2): the new offset. Raises LinuxError: EINVAL, ENXIO, ESPIPE.

        The whole tree is taken to be data: the only hole is at the end of a file. A directory's
        offsets are cookies (fs/libfs.c, dcache_dir_lseek).
        """
        inode = self.inode
        if isinstance(inode, Stream):
            raise LinuxError(Errno.ESPIPE)
        if whence == SEEK_SET:
            new = offset
        elif whence == SEEK_CUR:
            new = self.offset + offset
        elif self._file is None:
            raise LinuxError(Errno.EINVAL)
        elif whence == SEEK_END:
            new = self._file.size + offset
        elif whence in (SEEK_DATA, SEEK_HOLE):
            if not 0 <= offset < self._file.size:
                raise LinuxError(Errno.ENXIO)
            new = offset if whence == SEEK_DATA else self._file.size
        else:
            raise LinuxError(Errno.EINVAL)
        if not 0 <= new <= MAX_OFFSET:
            raise LinuxError(Errno.EINVAL)
        self.offset = new
        return new

    def entries(self) -> Iterator[Entry]:
        """What getdents(2) tells from the present offset on, which the caller moves to a cookie.

        '.', '..', then names in order of their bytes, as they were when the list was begun; those
        removed since are left out, so that reading and removing in turn misses none.
        Raises LinuxError: ENOTDIR; ENOENT in a removed directory.
        """
        folder = self.inode
        if not isinstance(folder, Directory):
            raise LinuxError(Errno.ENOTDIR)
        if folder.removed:
            raise LinuxError(Errno.ENOENT)
        if self._names is None or self.offset == 0:
            self._names = folder.names()
        return self._entries(folder, self._names, self.offset)

    @staticmethod
    def _entries(folder: Directory, names: list[bytes], start: int) -> Iterator[Entry]:
        if start < 1:
            yield folder.ino, 1, b".", S_IFDIR >> 12
        if start < 2:
            yield folder.parent.ino, 2, b"..", S_IFDIR >> 12
        for index in range(max(0, start - 2), len(names)):
            child = folder.lookup(names[index])
            if child is not None:
                yield child.ino, index + 3, names[index], child.mode >> 12

    def incref(self) -> None:
        """One more descriptor refers to this (dup(2), fork(2))."""
        self.refs += 1

    def close(self) -> None:
        """One descriptor fewer; the last one closes."""
        self.refs -= 1
        if self.refs == 0:
            self.inode.opens -= 1
            if self._file is not None:
                self._file.writers -= self.writable
            if self._volume is not None:
                if self._volume.watcher is not None:
                    self._volume.watcher.closed(self)
                self._volume.drop(self.inode)
