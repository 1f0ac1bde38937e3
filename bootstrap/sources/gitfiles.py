"""What git keeps of a checkout, read without git: its index, and the commit that it is at.

Starting git in a folder of somebody else's would run what that folder's configuration names.  The
formats are those of git's ``Documentation/gitformat-index.txt`` (versions 2 and 3) and
``gitrepository-layout.txt``.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.sources.tree import read_file

FILE, PROGRAM, LINK, GITLINK = 0o100644, 0o100755, 0o120000, 0o160000
"""Modes that an entry of an index may have; a gitlink is a submodule's commit."""

_MAX_INDEX = 64 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class IndexEntry:
    """A path that git keeps track of: its mode, and its object's (a gitlink's commit's) SHA-1."""

    path: str
    mode: int
    sha1: str


def git_folder(checkout: Path) -> Path:
    """``.git``, or the folder that it names where it is a file (a worktree, a submodule)."""
    git = checkout / ".git"
    if git.is_file():
        text = read_file(git, 4096).decode("utf-8", "surrogateescape")
        return checkout / text.removeprefix("gitdir:").strip()
    return git


def git_folders(checkout: Path) -> list[Path]:
    """The same, and for a worktree that of the clone which has its branches and objects."""
    git = git_folder(checkout)
    common = git / "commondir"
    return [git, git / _line(common)] if common.is_file() else [git]


def read_index(checkout: Path) -> tuple[IndexEntry, ...] | None:
    """All that git keeps track of; None where there is no index.  Raises BadInput."""
    index = git_folder(checkout) / "index"
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
        path = data[name:end].decode("utf-8", "surrogateescape")
        yield IndexEntry(path, mode, data[at + 40 : at + 60].hex())
        # Entries are padded with 1 to 8 NUL bytes to a multiple of eight.
        at += (end - at) // 8 * 8 + 8


def write_index(entries: Iterable[IndexEntry]) -> bytes:
    """An index of version 2 that says nothing of times and sizes: equal entries, equal bytes."""
    rows = sorted(entries, key=lambda entry: entry.path.encode("utf-8", "surrogateescape"))
    parts = [struct.pack(">4sII", b"DIRC", 2, len(rows))]
    for entry in rows:
        name = entry.path.encode("utf-8", "surrogateescape")
        head = struct.pack(">24xI12x20s", entry.mode, bytes.fromhex(entry.sha1))
        row = head + struct.pack(">H", min(len(name), 0xFFF)) + name
        parts.append(row + bytes(8 - len(row) % 8))
    data = b"".join(parts)
    return data + hashlib.sha1(data, usedforsecurity=False).digest()


def read_head(checkout: Path) -> str:
    """The commit that a checkout is at.  Raises BadInput when nothing says it."""
    git = git_folder(checkout)
    if not git.is_dir():
        raise BadInput(f"{checkout}: is no git checkout, so nothing says which commit it is")
    text = _line(git / "HEAD")
    if text.startswith("ref: "):
        name = text.removeprefix("ref: ")
        if ".." in name.split("/") or not name.startswith("refs/"):
            raise BadInput(f"{git / 'HEAD'}: names no branch: {name[:80]!r}")
        places = git_folders(checkout)
        text = next((found for at in places if (found := _ref(at, name))), "")
    if not _COMMIT.fullmatch(text):
        raise BadInput(f"{git / 'HEAD'}: leads to no commit: {text[:80]!r}")
    return text


def _ref(git: Path, name: str) -> str:
    if (git / name).is_file():
        return _line(git / name)
    packed = git / "packed-refs"
    if packed.is_file():
        for line in read_file(packed, _MAX_INDEX).decode("utf-8", "surrogateescape").splitlines():
            commit, _, ref = line.partition(" ")
            if ref == name:
                return commit
    return ""


def _line(file: Path) -> str:
    return read_file(file, 4096).decode("utf-8", "surrogateescape").strip()


def blob_sha1(data: bytes) -> str:
    """How git names a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
