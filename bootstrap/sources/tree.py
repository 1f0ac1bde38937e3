"""A source tree as one value in memory, from a folder or from an archive.

A tree is about 10 MB in 800 files, so it is read whole: what was checked is then exactly what the
guest sees, whatever happens to the folder or archive meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bootstrap.core import release
from bootstrap.core.errors import BadInput
from bootstrap.core.release import (
    MAX_BYTES,
    MAX_FILES,
    SourceFile,
    Tree,
    as_bytes,
    as_text,
    leads_out,
    read_file,
)
from bootstrap.linux.hostfolder import LowerFile, LowerFolder, LowerLink, MemoryLower
from bootstrap.signals import scratch_folder
from bootstrap.sources.addresses import Progress, is_url
from bootstrap.sources.git import LINK, PROGRAM, find_commit, whole_commit
from bootstrap.sources.packed import ZIP, read_zip, unpacked
from bootstrap.sources.tar import Member, read_tar, write_tar

Kind = Literal["folder", "archive", "cache", "download", "embedded"]

MAX_ARCHIVE = 64 << 20
MAX_PATH = 4095


@dataclass(frozen=True)
class SourceTree(Tree):
    """A tree and where it came from; ``notes`` is what a user should know of how it was found."""

    kind: Kind = "folder"
    release: str | None = None
    archive_sha256: str | None = None
    notes: tuple[str, ...] = ()

    def but(self, **changes: object) -> SourceTree:
        """The same tree with other facts about where it came from."""
        return replace(self, **changes)  # type: ignore[arg-type]


def as_lower(tree: Tree) -> MemoryLower:
    """The tree as the guest's read-only lower file system, its top at ``/``."""
    rows: dict[bytes, LowerFile | LowerLink | LowerFolder] = {}
    for path in tree.folders:
        rows[as_bytes(path)] = LowerFolder()
    for path, file in tree.files.items():
        rows[as_bytes(path)] = LowerFile(0o755 if file.executable else 0o644, file.data)
    for path, target in tree.symlinks.items():
        rows[as_bytes(path)] = LowerLink(as_bytes(target))
    return MemoryLower(rows)


def lay_out(tree: Tree, folder: Path) -> None:
    """Write a tree into a folder of the host, its links last: so nothing is written through one.

    Raises BadInput.
    """
    top = os.fsencode(folder)
    try:
        for path in tree.folders:
            os.makedirs(os.path.join(top, as_bytes(path)), exist_ok=True)
        for path in (*tree.files, *tree.symlinks):
            place = os.path.join(top, as_bytes(path))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if (file := tree.files.get(path)) is None:
                os.symlink(as_bytes(tree.symlinks[path]), place)
                continue
            with open(place, "xb") as stream:
                stream.write(file.data)
            os.chmod(place, 0o755 if file.executable else 0o644)
    except OSError as error:
        raise BadInput(f"{folder}: the tree cannot be laid out: {error.strerror}") from None


def open_source(path: str | os.PathLike[str], progress: Progress | None = None) -> SourceTree:
    """The tree that is named: a folder (a checkout), an archive, its address, or a git commit.

    An archive is a tar file, plain or compressed (gzip, xz, zstd), or a zip file; a commit is
    DIR@REV, with what git keeps in DIR.  Raises BadInput, naming the file and the fault, when it
    cannot be read or is not safe.
    """
    if is_url(os.fspath(path)):
        # Until then no module of the network is loaded.
        from bootstrap.sources.download import download

        label = os.fspath(path)
        return read_archive(download(label, MAX_ARCHIVE, progress), label).but(kind="download")
    if not os.fspath(path):
        raise BadInput("'' names no source: name a folder, an archive, an address or DIR@REV")
    where = Path(path)
    try:
        mode = where.stat().st_mode
    except (OSError, ValueError) as error:
        folder, at, rev = os.fspath(path).rpartition("@")
        if at and rev and os.path.isdir(folder):
            return read_commit(Path(folder), rev)
        raise BadInput(f"{where}: cannot be read: {_why(error)}") from None
    if stat.S_ISDIR(mode):
        return read_folder(where)
    if not stat.S_ISREG(mode):
        raise BadInput(f"{where}: is neither a folder nor an archive file")
    return read_archive(read_file(where, MAX_ARCHIVE), str(where))


def read_folder(root: Path) -> SourceTree:
    """A checkout, as the core reads one."""
    tree = release.read_folder(root)
    return SourceTree(tree.label, tree.files, tree.symlinks, tree.folders, tree.special)


@contextlib.contextmanager
def folder_of(source: str) -> Iterator[Path]:
    """A folder to read a source from: itself, or laid out for as long as this. Raises BadInput."""
    if os.path.isdir(source):
        yield Path(source)
        return
    tree = open_source(source)
    with scratch_folder("source-") as place:
        lay_out(tree, place / "tree")
        yield place / "tree"


def read_commit(folder: Path, rev: str) -> SourceTree:
    """The files of a commit, with those of its submodules. Raises BadInput."""
    commit = find_commit(folder, rev)
    files: dict[str, SourceFile] = {}
    symlinks: dict[str, str] = {}
    folders: set[str] = set()
    for entry, data in whole_commit(folder, commit, MAX_BYTES):
        where = f"{folder}@{rev}: the file {entry.path!r}"
        if _plain(entry.path, where) != entry.path or entry.path in files or entry.path in symlinks:
            raise BadInput(f"{where} has no usable name, or is there twice")
        folders.update(parents(entry.path))
        _require_few(f"{folder}@{rev}", files, symlinks, folders)
        if entry.mode == LINK:
            _check_link(entry.path, as_text(data), where)
            symlinks[entry.path] = as_text(data)
        else:
            files[entry.path] = SourceFile(data, entry.mode == PROGRAM)
    if not folders.isdisjoint({*files, *symlinks}):
        raise BadInput(f"{folder}@{rev}: is damaged: a file lies below another")
    return SourceTree(f"{folder} at commit {commit}", files, symlinks, frozenset(folders))


def _require_few(label: str, *parts: Collection[str]) -> None:
    """Raise BadInput where one more would be too many. A path of 4 KB alone has 2000 folders."""
    if sum(map(len, parts)) >= MAX_FILES:
        raise BadInput(f"{label}: has more than {MAX_FILES} files and folders; no release has")


def read_archive(data: bytes, label: str) -> SourceTree:
    """A tar archive, plain or compressed, or a zip file, unpacked in memory.

    One leading folder that all members share is taken off, as release archives have it.  Raises
    BadInput for anything that :func:`bootstrap.sources.tar.read_tar` refuses, and for an absolute
    name, a name or link that leaves the tree, a name that is there twice or lies below a file or
    link, and a hard link to anything but an earlier file.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    if not data:
        raise BadInput(f"{label}: is empty")
    if data.startswith(ZIP):
        found = read_zip(data, label, MAX_BYTES)
    else:
        raw = unpacked(data, label, MAX_BYTES)
        if len(raw) < 512 or (data is raw and raw[257:262] != b"ustar"):
            raise BadInput(
                f"{label}: is not an archive of a known kind: tar, plain or compressed by gzip, xz"
                " or zstd, or zip"
            )
        found = read_tar(raw, label)
    members: list[tuple[str, Member]] = []
    for member in found:
        if len(members) == MAX_FILES:
            raise BadInput(f"{label}: has more than {MAX_FILES} members, which no release has")
        where = f"{label}: the member {member.path!r} at byte {member.offset}"
        members.append((_plain(member.path, where), member))
    top = _leading_folder(members)
    files: dict[str, SourceFile] = {}
    symlinks: dict[str, str] = {}
    folders: set[str] = set()
    for whole, member in members:
        path = whole if top is None else whole[len(top) + 1 :]
        if not path:
            continue
        where = f"{label}: the member {member.path!r}"
        if path in files or path in symlinks or (path in folders and member.kind != "folder"):
            raise BadInput(f"{where} is there twice")
        for parent in parents(path):
            if parent in files or parent in symlinks:
                raise BadInput(f"{where} lies below {parent!r}, which is no folder")
            folders.add(parent)
        _require_few(label, files, symlinks, folders)
        if member.kind == "folder":
            folders.add(path)
        elif member.kind == "link":
            _check_link(path, member.target, where)
            symlinks[path] = member.target
        elif member.kind == "hard":
            files[path] = _hard_link(member, top, files, where)
        else:
            files[path] = SourceFile(member.data, member.executable)
    return SourceTree(
        label, files, symlinks, frozenset(folders), kind="archive", archive_sha256=sha256
    )


def _plain(path: str, where: str) -> str:
    """A member's name as a plain path; '' for the top itself.  Raises BadInput if it is unsafe."""
    if not path or "\0" in path:
        raise BadInput(f"{where} has no usable name")
    if path.startswith("/"):
        raise BadInput(f"{where} has an absolute name")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadInput(f"{where} would leave the tree by '..'")
    if any(len(as_bytes(part)) > 255 for part in parts) or len(as_bytes(path)) > MAX_PATH:
        raise BadInput(f"{where} has a name that is too long")
    return "/".join(parts)


def _leading_folder(members: Iterable[tuple[str, Member]]) -> str | None:
    tops = {path.split("/", 1)[0] for path, _ in members if path}
    if len(tops) != 1:
        return None
    top = tops.pop()
    # A single file at the top is no leading folder.
    return top if all(m.kind == "folder" for path, m in members if path == top) else None


def parents(path: str) -> list[str]:
    """The folders that a path is in, the top first."""
    return [path[:at] for at, char in enumerate(path) if char == "/"]


def _check_link(path: str, target: str, where: str) -> None:
    if not target or "\0" in target or len(as_bytes(target)) > MAX_PATH:
        raise BadInput(f"{where} is a link without a usable target")
    if leads_out(path, target):
        raise BadInput(f"{where} is a link out of the tree, to {target!r}")


def _hard_link(
    member: Member, top: str | None, files: Mapping[str, SourceFile], where: str
) -> SourceFile:
    target = _plain(member.target, f"{where}, as a hard link,")
    if top is not None:
        target = target[len(top) + 1 :] if target.startswith(f"{top}/") else ""
    if target not in files:
        raise BadInput(f"{where} is a hard link to {member.target!r}, which is no earlier file")
    return files[target]


def to_tar(tree: SourceTree, top: str) -> bytes:
    """The tree as a tar archive below the folder ``top``; equal trees give equal bytes."""
    rows = [Member("folder", f"{top}/", False, b"", "", 0)]
    rows += [Member("folder", f"{top}/{path}/", False, b"", "", 0) for path in tree.folders]
    for path, file in tree.files.items():
        rows.append(Member("file", f"{top}/{path}", file.executable, file.data, "", 0))
    for path, target in tree.symlinks.items():
        rows.append(Member("link", f"{top}/{path}", False, b"", target, 0))
    return write_tar(iter(sorted(rows, key=lambda member: as_bytes(member.path))))


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
