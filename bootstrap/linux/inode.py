"""Inodes: regular files, directories, symbolic links, streams; what inode(7) describes.

Owner and group are 0, times are 0. Numbers are given out in the order in which files are first
looked up, and never twice.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping

from bootstrap.core.abi import S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Errno, LinuxError
from bootstrap.core.errors import BadInput, Limits, Meter
from bootstrap.linux.hostfolder import LARGE, Lower, LowerEntry
from bootstrap.linux.room import Room, moved, room, wipe
from bootstrap.linux.watcher import Watcher

NAME_MAX = 255
"""Bytes in a file's name (include/uapi/linux/limits.h)."""

_MIN_CAPACITY = 1024


class Inode:
    """A file of any type. Two names of one file are one Inode: compare with `is`."""

    __slots__ = ("guest_made", "ino", "links", "mode", "opens")

    def __init__(self, ino: int, mode: int, links: int = 1) -> None:
        self.ino = ino
        self.mode = mode
        """Type (S_IFMT) and permissions."""
        self.links = links
        self.opens = 0
        """Open file descriptions on this file."""
        self.guest_made = False
        """Counted in Meter.inodes."""

    @property
    def nlink(self) -> int:
        """Number of names; of a directory, with its '.' and its subdirectories' '..'."""
        return self.links

    def forget(self) -> None:
        """Nothing leads to this file any more: no name, no open file description."""


class Volume:
    """What all inodes of one file system share: the lower tree, the numbers, the counts."""

    __slots__ = ("_last_ino", "_room", "lower", "meter", "watcher")

    def __init__(self, lower: Lower, limits: Limits) -> None:
        self.lower = lower
        self.meter = Meter(limits)
        self._last_ino = 0
        self._room = 64 * LARGE
        self.watcher: Watcher | None = None
        """Who records what happens, if anybody does."""

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

    def list(self, guest_path: bytes) -> Mapping[bytes, LowerEntry]:
        """What is in a folder of the lower tree. Raises BadInput."""
        listing = self.lower.list(guest_path)
        if self.watcher is not None:
            self.watcher.listed(guest_path, listing)
        return listing

    @property
    def leaves_below(self) -> bool:
        """Whether files that are only read may be left in the lower tree.

        Not where it is itself in memory, nor where somebody records what is in it.
        """
        return self.lower.lazy and self.watcher is None

    def may_hold(self, size: int) -> bool:
        """Whether so many bytes more of the lower tree may be held in memory, uncounted."""
        if self.leaves_below:
            if size >= LARGE or size > self._room:
                return False
            self._room -= size
        return True

    def load(self, guest_path: bytes) -> bytes:
        """The content of a file in the lower tree. Raises BadInput."""
        content = self.lower.load(guest_path)
        if self.watcher is not None:
            self.watcher.loaded(guest_path, content)
        return content

    def set_mode(self, inode: Inode, mode: int) -> None:
        """Give a file these permissions."""
        inode.mode = inode.mode & S_IFMT | mode
        if self.watcher is not None:
            self.watcher.mode_set(inode)

    def from_lower(self, guest_path: bytes, entry: LowerEntry, parent: "Directory") -> Inode:
        """The inode of a file in the lower tree, which is at `guest_path` there."""
        kind = entry.mode & S_IFMT
        if kind == S_IFDIR:
            return Directory(self, entry.mode, parent, guest_path)
        if kind == S_IFLNK:
            return Symlink(self.next_ino(), entry.target)
        if kind == S_IFREG:
            file = RegularFile(self, entry.mode, guest_path, prepared=True)
            file.load_later(entry.size)
            return file
        return Special(self.next_ino(), entry.mode)


class RegularFile(Inode):
    """A regular file, its content in memory, or still in the lower tree.

    `data` has room for more than `size` bytes, zero beyond it. It is never resized, only replaced
    by a larger one: native code may hold a pointer into it.
    """

    __slots__ = ("_charged", "_hash", "_volume", "data", "origin", "pending", "prepared",
                 "runners", "size", "version", "writers")  # fmt: skip

    def __init__(
        self,
        volume: Volume,
        mode: int,
        origin: bytes,
        content: bytes = b"",
        prepared: bool = False,
    ) -> None:
        super().__init__(volume.next_ino(), mode)
        self.data: Room = bytearray(content)
        self.size = len(content)
        self.version = 0
        """Grows with each change of the content."""
        self.origin = origin
        """The guest path at which the file was found or made."""
        self.prepared = prepared
        """Found in the lower tree or laid out before the guest ran, rather than made by it."""
        self.writers = 0
        """Open file descriptions for writing."""
        self.runners = 0
        """Processes whose image is of this file: Linux counts both in i_writecount."""
        self._volume = volume
        self.pending = False
        """The content is in the lower tree, and `data` empty."""
        self._charged = 0
        self._hash: tuple[int, str] | None = None

    def check_not_running(self) -> None:
        """What writing and emptying ask first. Raises LinuxError(ETXTBSY): open(2), truncate(2)."""
        if self.runners:
            raise LinuxError(Errno.ETXTBSY)

    def load_later(self, size: int) -> None:
        """The content, of `size` bytes, stays in the lower tree until it is needed."""
        self.pending = True
        self.size = size

    def prepare(self) -> None:
        """The file is opened: bring the content into `data`, unless it is better left below."""
        if self.pending and self._volume.may_hold(self.size):
            self._bring(0)

    def load(self) -> None:
        """Bring the content into `data`, if it is not there yet. What was left below counts.

        Raises BadInput when the lower tree cannot give it, or changed since it was looked at;
        GuestFailed over a limit.
        """
        if self.pending:
            self._bring(self._count(self.size) if self._volume.leaves_below else 0)

    def _count(self, size: int) -> int:
        return self._volume.meter.file_capacity(self.origin, size, 0, size)

    def _bring(self, charged: int) -> None:
        if self._is_left_below:
            self._bring_parts(charged)
            return
        self.data = bytearray(self._whole(self._volume.load(self.origin), self.size))
        self.pending, self._charged = False, charged

    @property
    def _is_left_below(self) -> bool:
        return self.pending and self.size >= LARGE and self._volume.leaves_below

    def _bring_parts(self, charged: int) -> None:
        data = room(self.size)
        for at in range(0, self.size, LARGE):
            piece = self.read_at(at, LARGE)
            data[at : at + len(piece)] = piece
        self.data, self.pending, self._charged = data, False, charged

    def _whole(self, part: bytes, size: int) -> bytes:
        if len(part) != size:
            raise BadInput(
                f"{self.origin.decode('utf-8', 'backslashreplace')}: had {size} bytes and now has "
                f"{len(part)}: the source changed during the run; start again"
            )
        return part

    def read_at(self, offset: int, count: int) -> bytes:
        """What pread(2) gives: up to `count` bytes from `offset`, less at the end of the file.

        Raises BadInput, as `load`.
        """
        count = max(0, min(count, self.size - offset))
        if self.pending:
            return self._whole(self._volume.lower.read(self.origin, offset, count), count)
        return bytes(memoryview(self.data)[offset : offset + count])

    def pieces(self) -> Iterator[bytes]:
        """The whole content, LARGE bytes at a time. Raises BadInput, as `load`."""
        for at in range(0, self.size, LARGE):
            yield self.read_at(at, LARGE)

    def write_at(self, offset: int, content: bytes) -> int:
        """What pwrite(2) does; answers how many bytes were written: all. Raises GuestFailed."""
        if not content:
            return 0
        end = offset + len(content)
        if end > len(self.data):
            self.reserve(end)
        self.data[offset:end] = content
        if end > self.size:
            self.size = end
        self.version += 1
        return len(content)

    def native_write(self, size: int) -> None:
        """Native code changed bytes of `data`; the file now has `size` bytes."""
        self.size = size
        self.version += 1

    def reserve(self, needed: int) -> None:
        """Have room for `needed` bytes in `data`. Raises GuestFailed over a limit, BadInput."""
        self.load()
        if needed <= len(self.data):
            return
        wanted = max(needed, 2 * len(self.data), _MIN_CAPACITY)
        meter = self._volume.meter
        self._charged = meter.file_capacity(self.origin, needed, self._charged, wanted)
        self.data = moved(self.data, self.size, self._charged)

    def truncate(self, size: int) -> None:
        """What ftruncate(2) does with a length that is not negative. Raises GuestFailed."""
        if size == 0:
            self._drop_data()
        elif size < self.size and self._is_left_below:
            charged = self._count(size)
            self.size = size  # no more than that is brought up
            self._bring_parts(charged)
        else:
            self.reserve(size)
        if size < self.size:
            wipe(self.data, size, self.size)
        self.size = size
        self.version += 1
        if self._volume.watcher is not None:
            self._volume.watcher.truncated(self)

    def _drop_data(self) -> None:
        self.pending = False
        self.data = bytearray()
        self.size = 0
        self._volume.meter.files -= self._charged
        self._charged = 0

    def contents(self) -> bytes:
        """The whole content. Raises BadInput when the lower tree cannot give it."""
        return self.read_at(0, self.size)

    def sha256(self) -> str:
        """SHA-256 of the content, lower-case hexadecimal; computed once for each version."""
        known = self._hash
        if known is None or known[0] != self.version:
            digest = hashlib.sha256()
            for piece in self.pieces():
                digest.update(piece)
            self._hash = known = (self.version, digest.hexdigest())
        return known[1]

    @property
    def is_changed(self) -> bool:
        """Whether the guest made it, or changed its content."""
        return not self.prepared or self.version != 0

    def forget(self) -> None:
        """Free the content. The size and the hash stay, for who records the run."""
        if not self.pending:
            self.sha256()
            size = self.size
            self._drop_data()
            self.size = size

    def __repr__(self) -> str:
        return f"RegularFile({self.ino}, {self.origin!r}, {self.size} bytes)"


class Symlink(Inode):
    """A symbolic link. Linux gives it mode 0777."""

    __slots__ = ("target",)

    def __init__(self, ino: int, target: bytes) -> None:
        super().__init__(ino, S_IFLNK | 0o777)
        self.target = target


class Special(Inode):
    """A fifo, socket or device of the host's folder: seen by its type, never opened (ENXIO)."""

    __slots__ = ()


class Stream(Inode):
    """A byte stream of the harness, seen as a character device: a standard stream.

    `read(n)` gives up to n bytes, b"" at the end; `write(data)` answers how many it took. One that
    is not given fails with EIO.
    """

    __slots__ = ("read", "write")

    def __init__(
        self,
        read: Callable[[int], bytes] | None = None,
        write: Callable[[bytes], int] | None = None,
        ino: int = 0,
    ) -> None:
        super().__init__(ino, S_IFCHR | 0o666)
        self.read = read or _no_read
        self.write = write or _no_write


def _no_read(count: int) -> bytes:
    raise LinuxError(Errno.EIO)


def _no_write(data: bytes) -> int:
    raise LinuxError(Errno.EIO)


class Directory(Inode):
    """A directory, filled from the lower tree when it is first looked into."""

    __slots__ = ("_children", "_lower_path", "_pending", "_volume", "name", "parent", "removed",
                 "subdirs")  # fmt: skip

    def __init__(
        self,
        volume: Volume,
        mode: int,
        parent: "Directory | None",
        lower_path: bytes | None = None,
    ) -> None:
        super().__init__(volume.next_ino(), mode)
        self.parent: Directory = self if parent is None else parent
        """The directory above; the root's is the root."""
        self.name = b""
        """Its name there."""
        self.removed = False
        """rmdir(2) has taken its name away; nothing can be made in it any more."""
        self.subdirs = 0
        self._volume = volume
        self._lower_path = lower_path
        self._children: dict[bytes, Inode] = {}
        self._pending: dict[bytes, LowerEntry] = {}

    @property
    def nlink(self) -> int:
        """2, and one for each subdirectory; 0 when removed."""
        if self.removed:
            return 0
        self._fill()
        return 2 + self.subdirs

    @property
    def lower_path(self) -> bytes | None:
        """Guest path in the lower tree, while nobody has looked into the directory."""
        return self._lower_path

    def _fill(self) -> None:
        if self._lower_path is not None:
            listing = self._volume.list(self._lower_path)
            base = self._lower_path.rstrip(b"/") + b"/"
            for name, entry in sorted(listing.items()):
                self._pending[name] = entry._replace(guest_path=base + name)
                self.subdirs += entry.mode & S_IFMT == S_IFDIR
            self._lower_path = None

    def lookup(self, name: bytes) -> Inode | None:
        """The file of that name, '.' and '..' apart. Raises LinuxError: ENOENT, ENAMETOOLONG."""
        if self.removed:
            raise LinuxError(Errno.ENOENT)
        if len(name) > NAME_MAX:
            raise LinuxError(Errno.ENAMETOOLONG)
        child = self._children.get(name)
        if child is None:
            self._fill()
            entry = self._pending.pop(name, None)
            if entry is not None:
                child = self._volume.from_lower(entry.guest_path, entry, self)
                if isinstance(child, Directory):
                    child.name = name
                self._children[name] = child
        return child

    def peek(self, name: bytes) -> "Inode | LowerEntry | None":
        """What `lookup` would find, without a number for a file that nobody has looked up yet."""
        return self._children.get(name) or self._pending.get(name)

    def names(self) -> list[bytes]:
        """All names, sorted by their bytes, without '.' and '..'."""
        self._fill()
        return sorted([*self._children, *self._pending])

    def is_empty(self) -> bool:
        """Whether rmdir(2) would take it."""
        self._fill()
        return not self._children and not self._pending

    def children(self) -> Iterator[tuple[bytes, Inode]]:
        """All (name, file), sorted by name."""
        for name in self.names():
            child = self.lookup(name)
            if child is not None:
                yield name, child

    def put(self, name: bytes, inode: Inode) -> None:
        """Enter a name that is not there yet. Counting links is the caller's."""
        self._fill()
        self._children[name] = inode
        if isinstance(inode, Directory):
            inode.parent, inode.name = self, name
            self.subdirs += 1
        if self._volume.watcher is not None:
            self._volume.watcher.named(self, name, inode)

    def take(self, name: bytes) -> Inode:
        """Take out a name that is there. Counting links is the caller's."""
        inode = self.lookup(name)
        if inode is None:
            raise KeyError(name)
        del self._children[name]
        if isinstance(inode, Directory):
            self.subdirs -= 1
        if self._volume.watcher is not None:
            self._volume.watcher.unnamed(self, name, inode)
        return inode

    def is_within(self, ancestor: "Directory") -> bool:
        """Whether this is `ancestor` or lies below it."""
        here = self
        while here is not ancestor:
            if here.parent is here:
                return False
            here = here.parent
        return True
