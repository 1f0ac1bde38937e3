"""Files of a tree below: read-only, and brought into memory where they are used or changed; and
open file descriptions of them.

Numbers are given out in the order in which files are first looked up, and never twice.
"""

import hashlib
import mmap
import sys
from collections.abc import Callable, Iterator, Mapping

from bootstrap.core import files
from bootstrap.core.abi import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Errno, LinuxError
from bootstrap.core.errors import BadInput, Limits
from bootstrap.core.files import Buffer, Directory, Inode, OpenFile, Symlink, new_buffer
from bootstrap.linux.events import Listed, Read
from bootstrap.linux.hostfolder import LARGE, Lower, LowerEntry

# Only Linux promises that the pages are zero after it (madvise(2)).
_GIVE_BACK = mmap.MADV_DONTNEED if sys.platform == "linux" else None


def wipe(data: Buffer, start: int, end: int) -> None:
    """Make these bytes zero; whole pages of them go back to the host, where it takes them."""
    if isinstance(data, mmap.mmap) and _GIVE_BACK is not None:
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        last = end // mmap.PAGESIZE * mmap.PAGESIZE
        if first < last:
            data.madvise(_GIVE_BACK, first, last - first)
            data[start:first] = bytes(first - start)
            start = last
    data[start:end] = bytes(end - start)


def moved(old: Buffer, used: int, size: int) -> Buffer:
    """The first `used` bytes of `old`, whose memory is given back, in a buffer of `size` bytes."""
    new = new_buffer(size)
    with memoryview(old) as source:
        for at in range(0, used, LARGE):
            end = min(at + LARGE, used)
            new[at:end] = source[at:end]
            if isinstance(old, mmap.mmap):
                wipe(old, at, end)
    return new


class OverlayVolume(files.Volume):
    """A volume with a tree below."""

    __slots__ = ("_room", "emit", "lower", "recorded")

    def __init__(self, lower: Lower, limits: Limits) -> None:
        super().__init__(limits)
        self.lower = lower
        self._room = 64 * LARGE
        self.emit: Callable[..., None] | None = None
        """Makes an event of the machine, if there is one and somebody listens."""
        self.recorded = False
        """Somebody records what is in the lower tree."""

    def list(self, guest_path: bytes) -> Mapping[bytes, LowerEntry]:
        """What is in a folder of the lower tree. Raises BadInput."""
        listing = self.lower.list(guest_path)
        if self.emit is not None:
            self.emit(Listed, path=guest_path, listing=listing)
        return listing

    @property
    def leaves_below(self) -> bool:
        """Whether files that are only read may be left in the lower tree.

        Not where it is itself in memory, nor where somebody records what is in it.
        """
        return self.lower.lazy and not self.recorded

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
        if self.emit is not None:
            self.emit(Read, path=guest_path, content=content)
        return content

    def new_directory(
        self, mode: int, parent: Directory | None, lower_path: bytes | None = None
    ) -> "LazyDirectory":
        """A directory without a name; a subclass may have a class of its own."""
        return LazyDirectory(self, mode, parent, lower_path)

    def from_lower(self, guest_path: bytes, entry: LowerEntry, parent: Directory) -> Inode:
        """The inode of a file in the lower tree, which is at `guest_path` there."""
        kind = entry.mode & S_IFMT
        if kind == S_IFDIR:
            return self.new_directory(entry.mode, parent, guest_path)
        if kind == S_IFLNK:
            return Symlink(self.next_ino(), entry.target)
        if kind == S_IFREG:
            file = LazyFile(self, entry.mode, guest_path, prepared=True)
            file.load_later(entry.size)
            return file
        return Special(self.next_ino(), entry.mode)


class LazyFile(files.RegularFile):
    """A regular file whose content may still be in the tree below: then `data` is empty."""

    __slots__ = ("_hash", "pending", "prepared")

    _volume: OverlayVolume

    def __init__(
        self,
        volume: OverlayVolume,
        mode: int,
        origin: bytes,
        content: bytes = b"",
        prepared: bool = False,
    ) -> None:
        super().__init__(volume, mode, origin, content)
        self.prepared = prepared
        """Laid out before the guest ran, rather than made by it."""
        self.pending = False
        """The content is in the tree below."""
        self._hash: tuple[int, str] | None = None

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
        data = new_buffer(self.size)
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
        if self.pending:
            count = max(0, min(count, self.size - offset))
            return self._whole(self._volume.lower.read(self.origin, offset, count), count)
        return super().read_at(offset, count)

    def pieces(self) -> Iterator[bytes]:
        """The whole content, LARGE bytes at a time. Raises BadInput, as `load`."""
        for at in range(0, self.size, LARGE):
            yield self.read_at(at, LARGE)

    def reserve(self, needed: int) -> None:
        """Have room for `needed` bytes in `data`. Raises GuestFailed over a limit, BadInput."""
        self.load()
        if needed > len(self.data):
            wanted = max(needed, 2 * len(self.data), files.MIN_CAPACITY)
            meter = self._volume.meter
            self._charged = meter.file_capacity(self.origin, needed, self._charged, wanted)
            self.data = moved(self.data, self.size, self._charged)

    def truncate(self, size: int) -> None:
        """What ftruncate(2) does with a length that is not negative. Raises GuestFailed."""
        if size == 0:
            self.empty()
            return
        if size < self.size and self._is_left_below:
            charged = self._count(size)
            self.size = size  # no more than that is brought up
            self._bring_parts(charged)
        else:
            self.reserve(size)
        if size < self.size:
            wipe(self.data, size, self.size)
        self.size = size
        self.version += 1

    def empty(self) -> None:
        """What O_TRUNC does."""
        self._drop_data()
        self.version += 1

    def _drop_data(self) -> None:
        self.pending = False
        super().forget()

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


class Special(Inode):
    """A fifo, socket or device of the host's folder: seen by its type, never opened (ENXIO)."""

    __slots__ = ()


class LazyDirectory(Directory):
    """A directory, filled from the lower tree when it is first looked into."""

    __slots__ = ("_lower_path", "_pending", "_volume", "subdirs")

    def __init__(
        self,
        volume: OverlayVolume,
        mode: int,
        parent: Directory | None,
        lower_path: bytes | None = None,
    ) -> None:
        super().__init__(volume, mode, parent)
        self._volume = volume
        self.subdirs = 0
        self._lower_path = lower_path
        self._pending: dict[bytes, LowerEntry] = {}

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
        child = super().lookup(name)
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

    def put(self, name: bytes, inode: Inode) -> None:
        """Enter a name that is not there yet. Counting links is the caller's."""
        self._fill()
        super().put(name, inode)
        self.subdirs += isinstance(inode, Directory)

    def take(self, name: bytes) -> None:
        """Take out a name that is there. Counting links is the caller's."""
        inode = self.lookup(name)
        if inode is None:
            raise KeyError(name)
        super().take(name)
        self.subdirs -= isinstance(inode, Directory)


def nlink(inode: Inode) -> int:
    """Number of names; of a directory 2, and one for each subdirectory, and 0 when removed."""
    if not isinstance(inode, LazyDirectory):
        return inode.links
    if inode.removed:
        return 0
    inode._fill()
    return 2 + inode.subdirs


def children(directory: Directory) -> Iterator[tuple[bytes, Inode]]:
    """All (name, file) in a directory, sorted by name."""
    for name in directory.names():
        child = directory.lookup(name)
        if child is not None:
            yield name, child


def is_within(directory: Directory, ancestor: Directory) -> bool:
    """Whether a directory is `ancestor` or lies below it."""
    here = directory
    while here is not ancestor:
        if here.parent is here:
            return False
        here = here.parent
    return True


def file_of(content: bytes) -> files.RegularFile:
    """A file that is in no file system, for what reads one."""
    return files.RegularFile(files.Volume(Limits()), S_IFREG | 0o755, b"", content)


# -- open files -----------------------------------------------------------------------------------


Entry = tuple[int, int, bytes, int]
"""Of a directory: ino, cookie of what follows, name, d_type."""


class OpenInode(OpenFile):
    """An open file description. It begins with one reference, the caller's."""

    __slots__ = ("_names",)

    _volume: OverlayVolume

    def __init__(self, inode: Inode, flags: int, volume: OverlayVolume) -> None:
        """A regular file's content is loaded, unless it is large. Raises BadInput."""
        if isinstance(inode, LazyFile):
            inode.prepare()
        super().__init__(inode, flags, volume)
        self._names: list[bytes] | None = None

    def read(self, count: int) -> bytes:
        """read(2): see the core's. Raises BadInput where the tree below changed."""
        file = self._file
        if isinstance(file, LazyFile) and file.pending and self.readable:
            data = file.read_at(self.offset, count)
            self.offset += len(data)
            return data
        return super().read(count)

    def entries(self) -> Iterator[Entry]:
        """What getdents(2) gives from the present offset on, which the caller moves to a cookie.

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
