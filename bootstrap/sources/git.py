"""What git keeps of a checkout, read without git: its index, its commit, and that commit's files.

Starting git in a folder of somebody else's would run what that folder's configuration names.
Objects and indices are read by dulwich, by parts of it that read no configuration; it is imported
when a checkout is read. Every object is held against its SHA-1, so the files found are that
commit's whatever the store says.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bootstrap.core.errors import BadInput
from bootstrap.core.release import MAX_FILES, as_bytes, as_text, read_file

if TYPE_CHECKING:
    from dulwich.object_store import DiskObjectStore
    from dulwich.objects import ObjectID, RawObjectID
    from dulwich.pack import Pack

_FOLDER, FILE, PROGRAM, LINK, GITLINK = 0o040000, 0o100644, 0o100755, 0o120000, 0o160000
"""Modes that an entry of an index may have; a gitlink is a submodule's commit."""

_MAX_INDEX = 64 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MAX = 64 << 20
"""Bytes of one object, and of all differences that it is kept as; no more is inflated."""
_MAX_ENTRIES = 2 * MAX_FILES
"""Files and folders of a commit: each folder may have the same folder twice, so that a few objects
ask for any number."""
MAX_SUBMODULES = 1000
_MAX_STORES = 100
"""Object stores that borrow from one another: git goes 5 deep (objects/info/alternates)."""
_REFS = ("tags", "heads", "remotes", "remotes/origin")
_T = TypeVar("_T")
_NORMAL = {0o100664: 0o100644}


@dataclass(frozen=True)
class IndexEntry:
    """A path that git keeps track of: its mode, and its object's (a gitlink's commit's) SHA-1."""

    path: str
    mode: int
    sha1: str


def _git_folder(checkout: Path) -> Path:
    """``.git``, or the folder that it names where it is a file (a worktree, a submodule)."""
    git = checkout / ".git"
    if not git.exists() and (checkout / "objects").is_dir():
        return checkout  # what a bare clone is, and what a submodule has in its parent's .git
    if git.is_file():
        return checkout / _line(git).removeprefix("gitdir:").strip()
    return git


def _git_folders(checkout: Path) -> list[Path]:
    """The same, and for a worktree that of the clone which has its branches and objects."""
    git = _git_folder(checkout)
    common = git / "commondir"
    return [git, git / _line(common)] if common.is_file() else [git]


def read_index(checkout: Path) -> tuple[IndexEntry, ...] | None:
    """All that git keeps track of; None where there is no index.  Raises BadInput."""
    index = _git_folder(checkout) / "index"
    if not index.is_file():
        return None
    from dulwich.index import ConflictedIndexEntry, read_index_dict

    try:
        found = read_index_dict(io.BytesIO(read_file(index, _MAX_INDEX)))
        rows = []
        for path, entry in found.items():
            if isinstance(entry, ConflictedIndexEntry):
                raise ValueError(f"{path!r} is not merged")
            rows.append(IndexEntry(as_text(path), entry.mode, entry.sha.decode()))
        return tuple(rows)
    except Exception as error:
        raise BadInput(f"{index}: not understood: {error}; run git read-tree HEAD there") from None


def write_index(entries: Iterable[IndexEntry]) -> bytes:
    """An index of version 2 that says nothing of times and sizes: equal entries, equal bytes."""
    rows = sorted(entries, key=lambda entry: as_bytes(entry.path))
    parts = [struct.pack(">4sII", b"DIRC", 2, len(rows))]
    for entry in rows:
        name = as_bytes(entry.path)
        head = struct.pack(">24xI12x20s", entry.mode, bytes.fromhex(entry.sha1))
        row = head + struct.pack(">H", min(len(name), 0xFFF)) + name
        parts.append(row + bytes(8 - len(row) % 8))
    data = b"".join(parts)
    return data + hashlib.sha1(data, usedforsecurity=False).digest()


def read_head(checkout: Path) -> str:
    """The commit that a checkout is at.  Raises BadInput when nothing says it."""
    git = _git_folder(checkout)
    if not git.is_dir():
        raise BadInput(f"{checkout}: is no git checkout, so nothing says which commit it is")
    text = _line(git / "HEAD")
    if text.startswith("ref: "):
        name = text.removeprefix("ref: ")
        if ".." in name.split("/") or not name.startswith("refs/"):
            raise BadInput(f"{git / 'HEAD'}: names no branch: {name[:80]!r}")
        places = _git_folders(checkout)
        text = next((found for at in places if (found := _ref(at, name))), "")
    if not _COMMIT.fullmatch(text):
        raise BadInput(f"{git / 'HEAD'}: leads to no commit: {text[:80]!r}")
    return text


def _ref(git: Path, name: str) -> str:
    if os.path.isfile(git / name):  # a name may be too long for a file
        return _line(git / name)
    packed = git / "packed-refs"
    if packed.is_file():
        for line in as_text(read_file(packed, _MAX_INDEX)).splitlines():
            commit, _, ref = line.partition(" ")
            if ref == name:
                return commit
    return ""


def _line(file: Path) -> str:
    return as_text(read_file(file, 4096)).strip()


def blob_sha1(data: bytes) -> str:
    """Git's name of a file's content."""
    return _object_sha1(b"blob", data)


def _object_sha1(kind: bytes, data: bytes) -> str:
    return hashlib.sha1(b"%s %d\0" % (kind, len(data)) + data, usedforsecurity=False).hexdigest()


def commit_files(checkout: Path, commit: str) -> tuple[IndexEntry, ...]:
    """All files, links and submodules of a commit, sorted. Raises BadInput: not there, damaged."""
    from dulwich.objects import ObjectID

    def rows(store: DiskObjectStore) -> Iterator[tuple[str, int, str]]:
        found = store[ObjectID(commit.encode())]
        if found.type_name != b"commit":
            raise ValueError(f"{commit} is no commit")
        tree = found.tree  # type: ignore[attr-defined]
        for number, entry in enumerate(store.iter_tree_contents(tree, include_trees=True)):
            if number > _MAX_ENTRIES:
                raise ValueError(f"{commit} has more than {_MAX_ENTRIES} files and folders")
            if entry.mode != _FOLDER:
                mode = _NORMAL.get(entry.mode, entry.mode)
                yield as_text(entry.path), mode, entry.sha.decode()

    return tuple(IndexEntry(*row) for row in sorted(_stored(checkout, rows)))


def find_commit(checkout: Path, rev: str) -> str:
    """The commit that a branch, a tag, HEAD or the beginning of a commit's SHA-1 names.

    Raises BadInput.
    """
    from dulwich.objects import ObjectID, Tag

    if not _git_folder(checkout).is_dir():
        raise BadInput(f"{checkout}: is no git checkout, so it has no {rev}")
    if rev == "HEAD":
        return read_head(checkout)
    names = [] if ".." in rev else [rev, *(f"refs/{kind}/{rev}" for kind in _REFS)]
    names = [name for name in names if name.startswith("refs/")]
    refs = {ref for name in names for at in _git_folders(checkout) if (ref := _ref(at, name))}

    def commits(store: DiskObjectStore) -> Iterator[str]:
        found = {ref.encode() for ref in refs}
        if not found and re.fullmatch("[0-9a-f]{4,40}", rev):
            found = set(store.iter_prefix(rev.encode()))
        for name in found:
            named = store[ObjectID(name)]
            while isinstance(named, Tag):
                named = store[named.object[1]]
            if named.type_name == b"commit":
                yield named.id.decode()

    there = set(_stored(checkout, commits))
    if len(there) != 1:
        what = f"is any of {', '.join(sorted(there))}" if there else "is none there"
        raise BadInput(f"{checkout}@{rev}: {rev} {what}: name a commit, a branch or a tag")
    return there.pop()


def whole_commit(checkout: Path, commit: str, limit: int) -> Iterator[tuple[IndexEntry, bytes]]:
    """All files and links of a commit and of its submodules', each with its content.

    Raises BadInput: a submodule whose objects are not there; more than ``limit`` bytes in all; more
    submodules than `MAX_SUBMODULES`.
    """
    from dulwich.objects import ObjectID

    left = limit

    def contents(store: DiskObjectStore) -> Iterator[bytes]:
        nonlocal left
        for entry in files:
            _, data = store.get_raw(ObjectID(entry.sha1.encode()))
            left -= len(data)
            if left < 0 or blob_sha1(data) != entry.sha1:
                raise ValueError(f"{entry.path!r} is not what it should be, or is too large")
            yield data

    waiting = [(checkout, commit, "")]
    for folder, sha1, prefix in waiting:
        entries = commit_files(folder, sha1)
        files = [entry for entry in entries if entry.mode != GITLINK]
        for entry, data in zip(files, _stored(folder, contents), strict=True):
            yield replace(entry, path=prefix + entry.path), data
        for entry in entries:
            if entry.mode == GITLINK:
                inside = _submodule(folder, entry.path)
                waiting.append((inside, entry.sha1, f"{prefix}{entry.path}/"))
        # Each may have the next one twice, like folders.
        if len(waiting) > MAX_SUBMODULES:
            raise BadInput(f"{checkout}: {commit} has more than {MAX_SUBMODULES} submodules")


def _submodule(checkout: Path, path: str) -> Path:
    """Where a submodule's objects are: its checkout, or what its parent keeps of it."""
    inside = checkout / path
    if not (inside / ".git").exists():
        inside = _git_folders(checkout)[-1] / "modules" / path
    if not inside.exists():
        raise BadInput(
            f"{checkout}: the submodule {path} is not there: git submodule update --init"
        )
    return inside


def _stored(checkout: Path, read: Callable[[DiskObjectStore], Iterable[_T]]) -> list[_T]:
    """All that ``read`` finds among a checkout's objects.  Raises BadInput."""
    from dulwich.object_store import DiskObjectStore
    from dulwich.objects import object_class

    class BoundedObjectStore(DiskObjectStore):
        """Dulwich itself bounds only the size of an object that lies in a file of its own, and up
        to 1.2.5 holds none against its SHA-1."""

        def get_raw(self, name: RawObjectID | ObjectID) -> tuple[int, bytes]:
            for pack in (pack for one in stores for pack in one.packs):
                _bound(pack, name)
            kind, data = super().get_raw(name)
            of = object_class(kind)
            assert of is not None, "dulwich knows the kinds that it reads"
            sha1 = _object_sha1(of.type_name, data)
            if name not in (sha1.encode(), bytes.fromhex(sha1)):
                raise ValueError(f"{as_text(name)} has the SHA-1 {sha1}")
            return kind, data

    folder = _git_folders(checkout)[-1] / "objects"
    store = BoundedObjectStore(folder)
    stores: list[Any] = [store]
    found: list[_T] = []
    fault = ""
    try:
        for one in stores:
            _require_files(Path(one.path))
            one.loose_object_size_limit = _MAX
            stores += one.alternates
            if len(stores) > _MAX_STORES:
                raise ValueError("its alternates lead to one another, or are too many")
        found = list(read(store))
    except KeyError as error:
        sha1 = as_text(error.args[0])
        fault = f"git's object {sha1} is not there (a partial clone?): clone it anew"
    except Exception as error:  # of a library that reads what anybody may have written
        fault = f"git's objects are damaged: {error}"
    # Not before the error is gone: its traceback keeps what is mapped of a pack.
    store.close()
    if fault:
        raise BadInput(f"{checkout}: {fault}")
    return found


def _require_files(objects: Path) -> None:
    """Raises ValueError for what is neither file nor folder: dulwich would wait for a pipe."""
    for name in ("pack", "info", *(f"{first:02x}" for first in range(256))):
        if not (folder := objects / name).is_dir():
            continue
        with os.scandir(folder) as scan:
            for entry in scan:
                if not entry.is_file() and not entry.is_dir():
                    raise ValueError(f"{entry.path} is no file")


def _bound(pack: Pack, name: RawObjectID | ObjectID) -> None:
    """Raises ValueError where the pack has an object and says that it is larger than `_MAX`.

    What it says is all that is inflated (gitformat-pack(5)): dulwich goes no further, be it for an
    object, for a delta, or for what a delta makes of its base, which is followed to the last.
    """
    from dulwich.objects import RawObjectID
    from dulwich.pack import take_msb_bytes

    def number(head: io.BytesIO, low: int = 7) -> tuple[int, int]:
        (first, *more), _ = take_msb_bytes(head.read)
        size = first & (1 << low) - 1 | sum((b & 0x7F) << low + 7 * n for n, b in enumerate(more))
        return first >> 4 & 7, size

    try:
        at = pack.index.object_offset(name)
    except KeyError:
        return
    seen: set[int] = set()
    deltas = 0
    with open(pack.data.path, "rb") as file:
        while at not in seen:  # a ring dulwich refuses
            seen.add(at)
            file.seek(at)
            head = io.BytesIO(file.read(4096))
            kind, size = number(head, 4)
            if kind in (6, 7):
                deltas += size
                if kind == 7:
                    at = pack.index.object_offset(RawObjectID(head.read(20)))
                else:
                    back = -1
                    for byte in take_msb_bytes(head.read)[0]:
                        back = back + 1 << 7 | byte & 0x7F
                    at -= back
                start = io.BytesIO(zlib.decompressobj().decompress(head.read(), 32))
                (_, _), (_, size) = number(start), number(start)
            if max(size, deltas) > _MAX:
                raise ValueError(f"an object is of {max(size, deltas)} bytes, more than {_MAX}")
