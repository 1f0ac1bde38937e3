"""The guest's files: inodes, open file descriptions, and the volume that they are on.

Claims: a file holds what was laid out or what guests wrote to it, and nothing else changes it; the
host's files are out of reach. read, write and lseek do what Linux's do (fs/read_write.c,
mm/filemap.c, fs/libfs.c), in its order of errors. Owner, group and times are 0. All that a guest
adds is counted against the limits, and no longer once nothing leads to it.
Relies on: `memory`, for memory of the host.
Tests that would fail if it lied: tests/core/test_files.py, test_limits.py, test_native.py.
"""

import hashlib
import mmap
from collections.abc import Callable
from typing import NoReturn

from bootstrap.core import abi
from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.errors import Limits, Meter
from bootstrap.core.memory import host_memory

Buffer = bytearray | mmap.mmap

_MAPPED = 1 << 20
"""From so many bytes on, a buffer is pages of the host: those not written to cost nothing."""
MIN_CAPACITY = 1024
_BYTES = tuple(bytes((value,)) for value in range(256))


def new_buffer(size: int) -> Buffer:
    """`size` zero bytes."""
    return bytearray(size) if size < _MAPPED else host_memory(size)


class Inode:
    """A file of any type. Two names of one file are one Inode: compare with `is`."""

    __slots__ = ("guest_made", "ino", "links", "mode", "opens")

    def __init__(self, ino: int, mode: int) -> None:
        self.ino = ino
        self.mode = mode
        """Type (S_IFMT) and permissions."""
        self.links = 1
        self.opens = 0
        """Open file descriptions on this file."""
        self.guest_made = False
        """Counted in Meter.inodes."""

    def forget(self) -> None:
        """Nothing leads to this file any more: no name, no open file description."""


class Volume:
    """What all inodes of one file system share: their numbers, and what they are counted by."""

    __slots__ = ("_last_ino", "meter")

    def __init__(self, limits: Limits) -> None:
        self.meter = Meter(limits)
        self._last_ino = 0

    def next_ino(self) -> int:
        """A number no file had before."""
        self._last_ino += 1
        return self._last_ino

    def drop(self, inode: Inode) -> None:
        """A name or an open file description is gone: let the file go with the last of both."""
        if inode.links == 0 and inode.opens == 0:
            if inode.guest_made:
                inode.guest_made = False
                self.meter.inodes -= 1
            inode.forget()


class RegularFile(Inode):
    """A regular file, its content in memory.

    `data` has room for more than `size` bytes, zero beyond it. It is never resized, only replaced
    by a larger one: what stands outside the core may hold a pointer into it.
    """

    __slots__ = ("_charged", "_volume", "data", "origin", "runners", "size", "version", "writers")

    def __init__(self, volume: Volume, mode: int, origin: bytes, content: bytes = b"") -> None:
        super().__init__(volume.next_ino(), mode)
        self.data: Buffer = bytearray(content)
        self.size = len(content)
        self.version = 0
        """Grows with each change of the content, for who stands outside the core."""
        self.origin = origin
        """The guest path at which the file was laid out or made."""
        self.writers = 0
        """Open file descriptions for writing."""
        self.runners = 0
        """Processes whose image is of this file: Linux counts both in i_writecount."""
        self._volume = volume
        self._charged = 0
        """Capacity that is counted in the meter."""

    def read_at(self, offset: int, count: int) -> bytes:
        """What pread(2) gives: up to `count` bytes from `offset`, less at the end of the file."""
        count = max(0, min(count, self.size - offset))
        return bytes(memoryview(self.data)[offset : offset + count])

    def reserve(self, needed: int) -> None:
        """Have room for `needed` bytes in `data`. Raises GuestFailed over a limit."""
        if needed <= len(self.data):
            return
        wanted = max(needed, 2 * len(self.data), MIN_CAPACITY)
        meter = self._volume.meter
        self._charged = meter.file_capacity(self.origin, needed, self._charged, wanted)
        larger = new_buffer(self._charged)
        with memoryview(larger) as target, memoryview(self.data) as source:
            target[: self.size] = source[: self.size]
        self.data = larger

    def empty(self) -> None:
        """What O_TRUNC does."""
        self.forget()
        self.version += 1

    def forget(self) -> None:
        """Free the content."""
        self.data = bytearray()
        self.size = 0
        self._volume.meter.files -= self._charged
        self._charged = 0

    def contents(self) -> bytes:
        """The whole content."""
        return self.read_at(0, self.size)

    def sha256(self) -> str:
        """SHA-256 of the content, lower-case hexadecimal."""
        return hashlib.sha256(memoryview(self.data)[: self.size]).hexdigest()


class Symlink(Inode):
    """A symbolic link, of mode 0777 as on Linux. Nothing in the core makes one: its calls cannot,
    and those of a tree are not laid out."""

    __slots__ = ("target",)

    def __init__(self, ino: int, target: bytes) -> None:
        super().__init__(ino, abi.S_IFLNK | 0o777)
        self.target = target


class Stream(Inode):
    """A byte stream of the harness, seen as a character device: a standard stream.

    `read(n)` gives up to n bytes, b"" at the end; `write(data)` returns how many it took. One that
    is not given fails with EIO.
    """

    __slots__ = ("read", "write")

    def __init__(
        self,
        read: Callable[[int], bytes] | None = None,
        write: Callable[[bytes], int] | None = None,
        ino: int = 0,
    ) -> None:
        super().__init__(ino, abi.S_IFCHR | 0o666)
        self.read = read or _not_given
        self.write = write or _not_given


def _not_given(_: object) -> NoReturn:
    raise LinuxError(Errno.EIO)


class Directory(Inode):
    """A directory. Subclasses may find out what is in it when it is first asked."""

    __slots__ = ("_children", "name", "parent", "removed")

    def __init__(self, volume: Volume, mode: int, parent: "Directory | None") -> None:
        super().__init__(volume.next_ino(), mode)
        self.parent: Directory = self if parent is None else parent
        """The directory above; the root's is the root."""
        self.name = b""
        """Its name there."""
        self.removed = False
        """rmdir(2), which the core has not, has taken its name away: nothing can be made in it."""
        self._children: dict[bytes, Inode] = {}

    def lookup(self, name: bytes) -> Inode | None:
        """The file of that name, '.' and '..' apart. Raises LinuxError: ENOENT, ENAMETOOLONG."""
        if self.removed:
            raise LinuxError(Errno.ENOENT)
        if len(name) > abi.NAME_MAX:
            raise LinuxError(Errno.ENAMETOOLONG)
        return self._children.get(name)

    def names(self) -> list[bytes]:
        """All names, sorted by their bytes, without '.' and '..'."""
        return sorted(self._children)

    def put(self, name: bytes, inode: Inode) -> None:
        """Enter a name that is not there yet. Counting links is the caller's."""
        self._children[name] = inode
        if isinstance(inode, Directory):
            inode.parent, inode.name = self, name

    def take(self, name: bytes) -> None:
        """Take out a name that is there. Counting links is the caller's."""
        del self._children[name]


class OpenFile:
    """An open file description: open(2) makes one, fork(2) and dup(2) share it.

    It begins with one reference, the caller's. read and write of one byte run tens of millions of
    times in one bootstrap: they go straight to the file's bytes, with no call between.
    """

    __slots__ = ("_file", "_volume", "append", "flags", "inode", "offset", "readable", "refs",
                 "writable")  # fmt: skip

    def __init__(self, inode: Inode, flags: int, volume: Volume | None = None) -> None:
        """`flags` as F_GETFL gives them; `volume` is where the inode is, of a Stream None."""
        access = flags & abi.O_ACCMODE
        self.inode = inode
        self.flags = flags
        self.offset = 0
        self.refs = 1
        self.readable = access in (abi.O_RDONLY, abi.O_RDWR)
        self.writable = access in (abi.O_WRONLY, abi.O_RDWR)
        self.append = bool(flags & abi.O_APPEND)
        self._volume = volume
        self._file = inode if isinstance(inode, RegularFile) else None
        if self._file is not None:
            self._file.writers += self.writable
        inode.opens += 1

    def read(self, count: int) -> bytes:
        """read(2): up to `count` bytes, b"" at the end. Raises LinuxError: EBADF, EISDIR, EIO."""
        if not self.readable:
            raise LinuxError(Errno.EBADF)
        file = self._file
        if file is None:
            if isinstance(self.inode, Stream):
                return self.inode.read(count)
            raise LinuxError(Errno.EISDIR)
        start = self.offset
        if count == 1:
            if start < file.size:
                self.offset = start + 1
                return _BYTES[file.data[start]]
            return b""
        data = file.read_at(start, count)
        self.offset = start + len(data)
        return data

    def write(self, data: bytes) -> int:
        """write(2): how many bytes were written.

        Raises LinuxError: EBADF, EFBIG, EIO; GuestFailed over a limit.
        """
        if not self.writable:
            raise LinuxError(Errno.EBADF)
        file = self._file
        if file is None:
            assert isinstance(self.inode, Stream), "no directory is ever open for writing"
            return self.inode.write(data)
        start = file.size if self.append and data else self.offset
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

        So a limit is checked before the bytes are gathered.
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
        if not self.flags & abi.O_LARGEFILE and start + count > abi.MAX_NON_LFS:
            count = max(0, abi.MAX_NON_LFS - start)
            if not count:
                raise LinuxError(Errno.EFBIG)
        file.reserve(start + count)
        return count

    def seek(self, offset: int, whence: int) -> int:
        """lseek(2): the new offset. Raises LinuxError: EINVAL, ENXIO, ESPIPE.

        Every file is taken to be data: the only hole is at its end. A directory's offsets are
        cookies (fs/libfs.c, dcache_dir_lseek).
        """
        if whence > abi.SEEK_HOLE:
            raise LinuxError(Errno.EINVAL)
        if isinstance(self.inode, Stream):
            raise LinuxError(Errno.ESPIPE)
        if whence == abi.SEEK_SET:
            new = offset
        elif whence == abi.SEEK_CUR:
            new = self.offset + offset
        elif self._file is None:
            raise LinuxError(Errno.EINVAL)
        elif whence == abi.SEEK_END:
            new = self._file.size + offset
        elif not 0 <= offset < self._file.size:
            raise LinuxError(Errno.ENXIO)
        else:
            new = offset if whence == abi.SEEK_DATA else self._file.size
        if not 0 <= new <= abi.MAX_OFFSET:
            raise LinuxError(Errno.EINVAL)
        self.offset = new
        return new

    def close(self) -> None:
        """One descriptor fewer; the last one closes."""
        self.refs -= 1
        if self.refs:
            return
        self.inode.opens -= 1
        if self._file is not None:
            self._file.writers -= self.writable
        if self._volume is not None:
            self._volume.drop(self.inode)
