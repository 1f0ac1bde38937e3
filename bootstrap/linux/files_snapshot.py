"""A file system with its open files as plain values, and back: what a checkpoint holds of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bootstrap.core.files import (
    Directory,
    Inode,
    OpenFile,
    Stream,
    Symlink,
    new_buffer,
)
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerEntry
from bootstrap.linux.inode import LazyDirectory, LazyFile, OpenInode, Special

_RESTORED = 1
"""LazyFile.version of a file that was made from its content."""


@dataclass(frozen=True, slots=True)
class InodeState:
    """One inode. Which fields mean something depends on `kind`."""

    kind: str
    """directory, file, link or special."""
    ino: int
    mode: int
    links: int
    guest_made: bool
    # file
    origin: bytes = b""
    prepared: bool = False
    size: int = 0
    capacity: int = 0
    charged: int = 0
    content: bytes | None = None
    """None: as it is in the lower tree."""
    # link
    target: bytes = b""
    # directory
    parent: int = 0
    removed: bool = False
    subdirs: int = 0
    lower_path: bytes | None = None
    children: tuple[tuple[bytes, int], ...] = ()
    pending: tuple[tuple[bytes, LowerEntry], ...] = ()


@dataclass(frozen=True, slots=True)
class OpenState:
    """One open file description."""

    ino: int
    """Of the file; or the number of a stream, from -1 down."""
    flags: int
    append: bool
    offset: int
    refs: int
    names: tuple[bytes, ...] | None


@dataclass(frozen=True, slots=True)
class FsState:
    """All of it."""

    last_ino: int
    total: int
    made: int
    inodes: tuple[InodeState, ...]
    files: tuple[OpenState, ...]


@dataclass(slots=True)
class Contents:
    """Remembers the content of files that did not change since; for one machine."""

    known: dict[int, tuple[int, bytes]] = field(default_factory=dict)

    @classmethod
    def restored(cls, state: FsState) -> "Contents":
        """For a machine whose files `restore` has just made."""
        return cls({i.ino: (_RESTORED, i.content) for i in state.inodes if i.content is not None})

    def of(self, file: LazyFile) -> bytes:
        """The content of a file, the same object as long as it does not change."""
        known = self.known.get(file.ino)
        if known is None or known[0] != file.version:
            known = self.known[file.ino] = (file.version, bytes(file.data[: file.size]))
        return known[1]


def save(
    fs: OverlayFileSystem,
    files: Sequence[OpenFile],
    folders: Iterable[Directory],
    streams: Sequence[Stream],
    contents: Contents,
) -> FsState:
    """The file system, with these open files, and these directories even where they are removed."""
    found: dict[int, InodeState] = {}
    waiting: list[Inode] = [fs.root, *folders]
    opened = []
    for file in files:
        inode = file.inode
        if isinstance(inode, Stream):
            ino = -1 - streams.index(inode)
        else:
            ino = inode.ino
            waiting.append(inode)
        listed = file._names if isinstance(file, OpenInode) else None
        names = None if listed is None else tuple(listed)
        opened.append(OpenState(ino, file.flags, file.append, file.offset, file.refs, names))
    while waiting:
        inode = waiting.pop()
        if inode.ino not in found:
            found[inode.ino] = _saved(inode, contents)
            if isinstance(inode, LazyDirectory):
                waiting.append(inode.parent)
                waiting.extend(inode._children.values())
    inodes = tuple(found[ino] for ino in sorted(found))
    volume = fs.volume
    return FsState(
        volume._last_ino, fs.volume.meter.files, fs.volume.meter.inodes, inodes, tuple(opened)
    )


def _saved(inode: Inode, contents: Contents) -> InodeState:
    common = (inode.ino, inode.mode, inode.links, inode.guest_made)
    if isinstance(inode, LazyDirectory):
        return InodeState(
            "directory",
            *common,
            parent=inode.parent.ino,
            removed=inode.removed,
            subdirs=inode.subdirs,
            lower_path=inode._lower_path,
            children=tuple((name, child.ino) for name, child in inode._children.items()),
            pending=tuple(inode._pending.items()),
        )
    if isinstance(inode, LazyFile):
        as_below = inode.pending or (inode.prepared and inode.version == 0)
        return InodeState(
            "file",
            *common,
            origin=inode.origin,
            prepared=inode.prepared,
            size=inode.size,
            capacity=0 if as_below else len(inode.data),
            charged=inode._charged,
            content=None if as_below else contents.of(inode),
        )
    if isinstance(inode, Symlink):
        return InodeState("link", *common, target=inode.target)
    return InodeState("special", *common)


@dataclass(slots=True)
class Restored:
    """A file system come back: its directories by number, its open files in their order."""

    inodes: Mapping[int, Inode]
    folders: Callable[[int], LazyDirectory]
    files: list[OpenFile]


def restore(fs: OverlayFileSystem, state: FsState, streams: Sequence[Stream]) -> Restored:
    """Make `fs`, which nobody has looked into, what it was. Raises ValueError, KeyError."""
    volume = fs.volume
    inodes: dict[int, Inode] = {}
    for saved in state.inodes:
        inode: Inode
        if saved.kind == "directory":
            inode = fs.root if saved.ino == fs.root.ino else LazyDirectory(volume, saved.mode, None)
        elif saved.kind == "file":
            inode = _file(fs, saved)
        elif saved.kind == "link":
            inode = Symlink(saved.ino, saved.target)
        elif saved.kind == "special":
            inode = Special(saved.ino, saved.mode)
        else:
            raise ValueError(f"an inode is a {saved.kind}")
        inode.ino, inode.mode, inode.links = saved.ino, saved.mode, saved.links
        inode.guest_made = saved.guest_made
        inodes[saved.ino] = inode
    for saved in state.inodes:
        folder = inodes[saved.ino]
        if isinstance(folder, LazyDirectory):
            parent = inodes[saved.parent]
            if not isinstance(parent, LazyDirectory):
                raise ValueError("a directory lies in a file")
            folder.parent, folder.removed, folder.subdirs = parent, saved.removed, saved.subdirs
            folder._lower_path = saved.lower_path
            folder._children = {name: inodes[ino] for name, ino in saved.children}
            for name, child in folder._children.items():
                if isinstance(child, LazyDirectory):
                    child.name = name
            folder._pending = dict(saved.pending)
    files = []
    for opened in state.files:
        target = streams[-1 - opened.ino] if opened.ino < 0 else inodes[opened.ino]
        if opened.ino < 0:
            file = OpenFile(target, opened.flags)
        else:
            file = OpenInode(target, opened.flags, volume)
            file._names = None if opened.names is None else list(opened.names)
        file.append, file.offset, file.refs = opened.append, opened.offset, opened.refs
        files.append(file)
    volume._last_ino = state.last_ino
    fs.volume.meter.files, fs.volume.meter.inodes = state.total, state.made

    def folder_of(ino: int) -> LazyDirectory:
        found = inodes[ino]
        if not isinstance(found, LazyDirectory):
            raise ValueError("a process is in a file")
        return found

    return Restored(inodes, folder_of, files)


def _file(fs: OverlayFileSystem, saved: InodeState) -> LazyFile:
    file = LazyFile(fs.volume, saved.mode, saved.origin, b"", saved.prepared)
    if saved.content is None:
        file.load_later(saved.size)
    else:
        file.data = new_buffer(max(saved.capacity, len(saved.content)))
        file.data[: len(saved.content)] = saved.content
        file.size, file.version, file._charged = saved.size, _RESTORED, saved.charged
    return file


__all__ = ["Contents", "FsState", "InodeState", "OpenState", "Restored", "restore", "save"]
