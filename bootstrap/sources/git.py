"""What git keeps of a checkout, read without git: its index, its commit, and that commit's files.

Starting git in a folder of somebody else's would run what that folder's configuration names.  The
formats are those of git's ``Documentation/gitformat-index.txt`` (versions 2 and 3),
``gitrepository-layout.txt`` and ``gitformat-pack.txt`` (packs and their indices of version 2).
Every object read is held against its SHA-1, so the files found are that commit's whatever the store
says.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.core.release import as_bytes, as_text, read_file

FILE, PROGRAM, LINK, GITLINK = 0o100644, 0o100755, 0o120000, 0o160000
"""Modes that an entry of an index may have; a gitlink is a submodule's commit."""

_MAX_INDEX = 64 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MAX = 16 << 20
"""Bytes of a commit or a tree, or of what it is made from."""
_MAX_PACK = 1 << 30
_CHUNK = 1 << 14
_MAX_DEPTH = 4096
_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_OFFSET, _REFERENCE = 6, 7
_FOLDER = 0o040000
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
    data = read_file(index, _MAX_INDEX)
    try:
        return tuple(_entries(data))
    except (struct.error, ValueError) as error:
        raise BadInput(f"{index}: not understood: {error}; run git read-tree HEAD there") from None


def _entries(data: bytes) -> Iterable[IndexEntry]:
    magic, version, count = struct.unpack_from(">4sII", data)
    if magic != b"DIRC" or version not in (2, 3):
        raise ValueError(f"no index of version 2 or 3 (it begins {data[:8].hex()})")
    at = 12
    for _ in range(count):
        (mode,) = struct.unpack_from(">I", data, at + 24)
        (flags,) = struct.unpack_from(">H", data, at + 60)
        name = at + (64 if flags & 0x4000 else 62)
        end = data.index(b"\0", name)
        if flags & 0x3000:
            raise ValueError(f"{data[name:end]!r} is not merged")
        path = as_text(data[name:end])
        yield IndexEntry(path, mode, data[at + 40 : at + 60].hex())
        # Entries are padded with 1 to 8 NUL bytes to a multiple of eight.
        at += (end - at) // 8 * 8 + 8


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
    if (git / name).is_file():
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
    """How git names a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def commit_files(checkout: Path, commit: str) -> tuple[IndexEntry, ...]:
    """All files, links and submodules of a commit, sorted.  Raises BadInput: not there, damaged."""
    objects = _Objects(checkout)
    data = objects.read(commit, "commit")
    found: list[IndexEntry] = []
    left = [("", data[5:45].decode("ascii", "replace"))]
    while left:
        folder, tree = left.pop()
        for mode, name, sha1 in _rows(objects.read(tree, "tree"), tree):
            path = f"{folder}{name}"
            if mode == _FOLDER:
                left.append((f"{path}/", sha1))
            else:
                found.append(IndexEntry(path, _NORMAL.get(mode, mode), sha1))
    return tuple(sorted(found, key=lambda entry: entry.path))


def _rows(data: bytes, tree: str) -> Iterator[tuple[int, str, str]]:
    """Mode, name and object of each entry of a tree."""
    at = 0
    while at < len(data):
        end = data.find(b"\0", at)
        mode, space, name = data[at:end].partition(b" ")
        if end == -1 or not space or not mode.isdigit() or len(data) < end + 21:
            raise BadInput(f"git's tree {tree}: is damaged at byte {at}")
        at = end + 21
        yield int(mode, 8), as_text(name), data[end + 1 : at].hex()


class _Objects:
    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.folders = [folder / "objects" for folder in _git_folders(checkout)]
        for folder in self.folders:
            alternates = folder / "info/alternates"
            if alternates.is_file() and len(self.folders) < 10:
                lines = as_text(read_file(alternates, _MAX)).splitlines()
                self.folders += [folder / line for line in lines if line and line[0] != "#"]
        self.packs: dict[Path, bytes] = {}
        self.indices = {
            place: read_file(place, _MAX_PACK)
            for folder in self.folders
            for place in sorted(folder.glob("pack/pack-*.idx"))
        }

    def read(self, sha1: str, kind: str) -> bytes:
        """The content of an object of that kind.  Raises BadInput."""
        try:
            found, data = self._any(sha1, 0)
        except (zlib.error, struct.error, IndexError, ValueError) as error:
            raise BadInput(f"{self.checkout}: git's object {sha1} is damaged: {error}") from None
        head = f"{found} {len(data)}\0".encode()
        if found != kind or hashlib.sha1(head + data, usedforsecurity=False).hexdigest() != sha1:
            raise BadInput(f"{self.checkout}: git's object {sha1} is damaged, or is no {kind}")
        return data

    def _any(self, sha1: str, depth: int) -> tuple[str, bytes]:
        for folder in self.folders:
            place = folder / sha1[:2] / sha1[2:]
            if place.is_file():
                head, _, data = _inflate(read_file(place, _MAX)).partition(b"\0")
                return head.split(b" ")[0].decode("ascii"), data
        name = bytes.fromhex(sha1)
        for index, data in self.indices.items():
            at = _offset(data, name)
            if at is not None:
                return self._packed(index.with_suffix(".pack"), at, depth)
        raise BadInput(
            f"{self.checkout}: git's object {sha1} is not there (a partial clone?): clone it anew"
        )

    def _packed(self, pack: Path, start: int, depth: int) -> tuple[str, bytes]:
        """The object at a place of a pack, its deltas applied."""
        if pack not in self.packs:
            self.packs[pack] = read_file(pack, _MAX_PACK)
        data = self.packs[pack]
        deltas: list[bytes] = []
        at = start
        while depth + len(deltas) < _MAX_DEPTH:
            here = at
            byte = data[at]
            kind = byte >> 4 & 7
            while byte & 0x80:
                at += 1
                byte = data[at]
            at += 1
            if kind in _KINDS:
                return _KINDS[kind], functools.reduce(_patch, reversed(deltas), _inflate(data, at))
            if kind == _REFERENCE:
                base = data[at : at + 20].hex()
                deltas.append(_inflate(data, at + 20))
                found, content = self._any(base, depth + len(deltas))
                return found, functools.reduce(_patch, reversed(deltas), content)
            if kind != _OFFSET:
                raise ValueError(f"an object of type {kind} in {pack}")
            byte = data[at]
            back = byte & 0x7F
            while byte & 0x80:
                at += 1
                byte = data[at]
                back = (back + 1 << 7) | byte & 0x7F
            deltas.append(_inflate(data, at + 1))
            at = here - back
        raise ValueError("too many deltas")


def _offset(index: bytes, name: bytes) -> int | None:
    """Where a pack has an object, by its index."""
    if index[:8] != b"\xfftOc\0\0\0\2":
        raise ValueError("an index of a pack that is not of version 2")
    (total,) = struct.unpack_from(">I", index, 8 + 255 * 4)
    names = 8 + 256 * 4
    at = bisect.bisect_left(
        range(total), name, key=lambda row: index[names + 20 * row : names + 20 * row + 20]
    )
    if at == total or index[names + 20 * at : names + 20 * at + 20] != name:
        return None
    offsets = names + 24 * total
    (offset,) = struct.unpack_from(">I", index, offsets + 4 * at)
    if offset & 0x80000000:
        place = offsets + 4 * total + 8 * (offset & 0x7FFFFFFF)
        (offset,) = struct.unpack_from(">Q", index, place)
    return int(offset)


def _inflate(data: bytes, at: int = 0) -> bytes:
    """What begins there in zlib's format; where it ends is in it (RFC 1950)."""
    stream = zlib.decompressobj()
    parts = []
    left = _MAX
    while (
        not stream.eof and left > 0 and (chunk := stream.unconsumed_tail or data[at : at + _CHUNK])
    ):
        if not stream.unconsumed_tail:
            at += len(chunk)
        parts.append(stream.decompress(chunk, left))
        left -= len(parts[-1])
    if not stream.eof:
        raise ValueError("cut off, or larger than any commit or folder")
    return b"".join(parts)


def _patch(base: bytes, delta: bytes) -> bytes:
    size, at = _number(delta, 0)
    wanted, at = _number(delta, at)
    if size != len(base) or wanted > _MAX:
        raise ValueError("a delta of something else")
    parts = []
    while at < len(delta):
        order = delta[at]
        at += 1
        if not order & 0x80:
            parts.append(delta[at : at + order])
            at += order
            continue
        offset = length = 0
        for bit in range(7):
            if order & 1 << bit:
                if bit < 4:
                    offset |= delta[at] << 8 * bit
                else:
                    length |= delta[at] << 8 * (bit - 4)
                at += 1
        parts.append(base[offset : offset + (length or 0x10000)])
    data = b"".join(parts)
    if len(data) != wanted:
        raise ValueError("a delta that does not fit")
    return data


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the least first; and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if not byte & 0x80:
            return value, at
