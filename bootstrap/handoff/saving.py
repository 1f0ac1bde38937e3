"""Keeps a second copy of a root as it was after the last finished step, and brings it back.

A file counts as unchanged while inode, change time, size and mode are the same: the change time
cannot be set by a program.  Copies share their blocks where the file system can do that.

What a step closed to its owner, folders and files, is opened for as long as it is read.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.documents import Size, TreePath, typed_json
from bootstrap.handoff.containers.container import MOUNTED, Ids, give
from bootstrap.handoff.containers.safe_paths import copy_file, open_folder, remove

Stamp = tuple[int, int, int, int]
"""Inode, change time in ns, size, mode."""
MAX_INDEX = 256 << 20
"""Bytes; a path has some hundred of them."""
_Index = Mapping[TreePath, tuple[Size, int, Size, Size, int, Size]]
"""Of each path its stamp, modification time and links, as the index has them."""


@dataclass(frozen=True)
class SavedEntry:
    """What is at a path of the root: its stamp, its modification time in ns, its links."""

    stamp: Stamp
    mtime: int
    links: int

    @property
    def mode(self) -> int:
        return self.stamp[3]


class SavedRoot:
    """The copy in ``folder/tree``, and in ``folder/index`` the stamps that the root then had.

    ``left_out`` are paths relative to the root that are not kept, but for the folder itself.
    ``ids`` are whose the root is (`container_ids`); the copy is ours, and open to nobody else: a
    program in it that sets its user's id must not set ours.
    Methods raise BadInput when the host cannot read or write.
    """

    def __init__(
        self, root: Path, folder: Path, left_out: tuple[str, ...] = (), ids: Ids | None = None
    ) -> None:
        self.root, self.folder, self.ids = root, folder, ids
        self.tree = folder / "tree"
        self.index = folder / "index"
        self.left_out = frozenset((*MOUNTED, *left_out))

    def save(self) -> None:
        """Make the copy like the root.  A save that was cut off is made good by another."""
        with _kept(self.folder):
            self.tree.mkdir(parents=True, exist_ok=True)
            give(self.root, self.ids)
            known = self._read_index()
            with self._walked() as entries:
                _Copies(self.root, self.tree).make(entries, {p: e.stamp for p, e in known.items()})
            self._write_index()

    def restore(self) -> int:
        """Make the root like the copy; how many paths differed."""
        with _kept(self.root):
            known = self._read_index()
            now = self._walk([])
            changed = _Copies(self.tree, self.root).bring_back(known, now)
            give(self.root, self.ids)
            self._write_index()
        return changed

    def new_files(self) -> list[str]:
        """Regular files of the root that are not as they were when the copy was made."""
        with _kept(self.root), self._walked() as entries:
            known = self._read_index()
            return [
                path
                for path, entry in entries.items()
                if stat.S_ISREG(entry.mode)
                and (path not in known or known[path].stamp != entry.stamp)
            ]

    @contextlib.contextmanager
    def _walked(self) -> Iterator[dict[str, SavedEntry]]:
        """Everything in the root; its folders are open to us meanwhile."""
        opened: list[tuple[Path, int]] = []
        try:
            yield self._walk(opened)
        finally:
            for place, mode in reversed(opened):
                place.chmod(mode)

    def _walk(self, opened: list[tuple[Path, int]]) -> dict[str, SavedEntry]:
        """Everything in the root, folders before what is in them; those that had to be opened."""
        found: dict[str, SavedEntry] = {}
        open_folder(self.root)
        left = [""]
        while left:
            folder = left.pop()
            with os.scandir(self.root / folder) as rows:
                for row in sorted(rows, key=lambda row: row.name):
                    path = f"{folder}/{row.name}" if folder else row.name
                    entry = found[path] = _entry(row.stat(follow_symlinks=False))
                    if stat.S_ISDIR(entry.mode) and path not in self.left_out:
                        left.append(path)
                        if open_folder(self.root / path):
                            opened.append((self.root / path, stat.S_IMODE(entry.mode)))
        return found

    def _read_index(self) -> dict[str, SavedEntry]:
        if not self.index.exists():
            return {}
        rows = typed_json(_Index, self.index.read_bytes(), limit=MAX_INDEX)  # type: ignore[type-abstract]
        return {path: SavedEntry(row[:4], row[4], row[5]) for path, row in rows.items()}

    def _write_index(self) -> None:
        with self._walked() as entries:
            rows = {path: [*e.stamp, e.mtime, e.links] for path, e in entries.items()}
        beside = self.index.with_suffix(".new")
        # Names that are no UTF-8 are kept by surrogates, which JSON writes as escapes.
        beside.write_text(json.dumps(rows), encoding="ascii")
        os.replace(beside, self.index)


def _entry(found: os.stat_result) -> SavedEntry:
    # A folder's size and change time change with what is in it, which is compared by itself.
    folder = stat.S_ISDIR(found.st_mode)
    stamp = (
        found.st_ino,
        0 if folder else found.st_ctime_ns,
        0 if folder else found.st_size,
        found.st_mode,
    )
    return SavedEntry(stamp, found.st_mtime_ns, 1 if folder else found.st_nlink)


class _Copies:
    """Copies from one tree into another."""

    def __init__(self, source: Path, target: Path) -> None:
        self.source, self.target = source, target
        self.linked: dict[int, str] = {}

    def make(self, entries: dict[str, SavedEntry], known: dict[str, Stamp]) -> None:
        """The target becomes like the source, whose entries are given; the index has its modes."""
        for path in _below(self.target):
            if path not in entries:
                remove(self.target / path)
        for path, entry in entries.items():
            self._one(path, entry, known.get(path) == entry.stamp, stat.S_IRUSR | stat.S_IWUSR)

    def bring_back(self, known: dict[str, SavedEntry], now: dict[str, SavedEntry]) -> int:
        """The target (whose entries are ``now``) becomes as ``known`` says; how many differed."""
        changed = 0
        for path in reversed(now):
            if path not in known:
                remove(self.target / path)
                changed += 1
        # Where one of several names of a file changed, all are made anew.
        broken = {
            entry.stamp[0]
            for path, entry in known.items()
            if entry.links > 1 and (path not in now or now[path].stamp != entry.stamp)
        }
        for path, entry in known.items():
            fresh = path in now and now[path].stamp == entry.stamp
            fresh = fresh and entry.stamp[0] not in broken
            changed += not fresh
            self._one(path, entry, fresh, stat.S_IMODE(entry.mode))
        for path, entry in reversed(known.items()):
            if stat.S_ISDIR(entry.mode):
                place = self.target / path
                os.utime(place, ns=(entry.mtime, entry.mtime))
                place.chmod(stat.S_IMODE(entry.mode))
        return changed

    def _one(self, path: str, entry: SavedEntry, fresh: bool, mode: int) -> None:
        """What is at one path; ``mode`` is for a file.  A folder stays open to its owner."""
        place = self.target / path
        kind = stat.S_IFMT(entry.mode)
        if kind == stat.S_IFDIR:
            if place.is_symlink() or not place.is_dir():
                remove(place)
                place.mkdir()
            place.chmod(stat.S_IRWXU)
            return
        if kind == stat.S_IFREG and entry.links > 1:
            first = self.linked.setdefault(entry.stamp[0], path)
            if first != path:
                if not (place.exists() and place.samefile(self.target / first)):
                    remove(place)
                    os.link(self.target / first, place)
                return
        if fresh and os.path.lexists(place):
            return
        remove(place)
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(self.source / path), place)
            os.utime(place, ns=(entry.mtime, entry.mtime), follow_symlinks=False)
        elif kind == stat.S_IFREG:
            copy_file(self.source / path, place)
            os.utime(place, ns=(entry.mtime, entry.mtime))
            place.chmod(mode)
        elif kind == stat.S_IFIFO:
            os.mkfifo(place)
            place.chmod(mode)
        # Sockets and devices are not kept: without capabilities a step makes no device, and a
        # socket is of no use to the next.


def _below(folder: Path) -> list[str]:
    """Paths in a tree, what is in a folder before the folder."""
    found = []
    for at, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            found.append(os.path.relpath(os.path.join(at, name), folder))
    return found


@contextlib.contextmanager
def _kept(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        name = error.filename or folder
        raise BadInput(
            f"{os.fsdecode(name)}: cannot be kept for --resume: {error.strerror}"
        ) from None
    except ValueError as error:
        raise BadInput(f"{folder}: the copy cannot be read: {error}; start anew") from None
