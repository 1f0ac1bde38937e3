"""Commits and trees out of git's store of objects, read without git: what a commit's files are.

Formats: git's ``gitrepository-layout.txt`` and ``gitformat-pack.txt`` (packs and their indices of
version 2).  Every object read is held against its SHA-1, so the files found are that commit's
whatever the store says.
"""

from __future__ import annotations

import bisect
import hashlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.sources.gitfiles import IndexEntry, git_folders
from bootstrap.sources.tree import read_file

_MAX = 16 << 20
"""Bytes of a commit or a tree, or of what it is made from."""
_MAX_PACK = 1 << 30
_CHUNK = 1 << 14
_MAX_DEPTH = 4096
_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_OFFSET, _REFERENCE = 6, 7
_FOLDER = 0o040000
_NORMAL = {0o100664: 0o100644}


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
        yield int(mode, 8), name.decode("utf-8", "surrogateescape"), data[end + 1 : at].hex()


class _Objects:
    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.folders = [folder / "objects" for folder in git_folders(checkout)]
        for folder in self.folders:
            alternates = folder / "info/alternates"
            if alternates.is_file() and len(self.folders) < 10:
                lines = read_file(alternates, _MAX).decode("utf-8", "surrogateescape").splitlines()
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
                return _KINDS[kind], _patched(_inflate(data, at), deltas)
            if kind == _REFERENCE:
                base = data[at : at + 20].hex()
                deltas.append(_inflate(data, at + 20))
                found, content = self._any(base, depth + len(deltas))
                return found, _patched(content, deltas)
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


def _patched(data: bytes, deltas: list[bytes]) -> bytes:
    """With the deltas applied, the last one first."""
    for delta in reversed(deltas):
        data = _patch(data, delta)
    return data


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
