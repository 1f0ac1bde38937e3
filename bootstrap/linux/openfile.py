"""Open file descriptions: of files that may be in the tree below, of directories to be listed."""

from collections.abc import Iterator

from bootstrap.core.abi import S_IFDIR, Errno, LinuxError
from bootstrap.core.files import Directory, Inode, OpenFile
from bootstrap.linux.inode import LazyFile, OverlayVolume

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
