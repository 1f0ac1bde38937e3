"""Which stage0-posix a live-bootstrap checkout pins, and whether the catalogue knows it.

The commit is read from git's index, as the format is given in git's
``Documentation/gitformat-index.txt`` (versions 2 and 3): starting git in a folder of somebody
else's would run what that folder's configuration names.  The files below ``seed/stage0-posix`` are
compared, where the submodule is there, with what the catalogue has of each release.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from bootstrap.catalogue import RELEASES, StepFile, all_steps, default_release
from bootstrap.errors import BadInput
from bootstrap.sources.materials import check_materials, identify
from bootstrap.sources.tree import read_file, read_folder

PLACE = "seed/stage0-posix"
_MAX_INDEX = 64 << 20
_GITLINK = 0o160000


@dataclass(frozen=True)
class Pin:
    """What is pinned.  ``commit`` is git's, None where there is no index that has it.

    ``commit_release`` is the catalogue's release with that commit; ``files_release`` the one whose
    materials are all below seed/stage0-posix, unchanged.  ``ours`` is the release that
    ``bootstrap verify`` takes by default.  ``text`` says it in a sentence.
    """

    commit: str | None
    commit_release: str | None
    files_release: str | None
    files: str
    ours: str

    @property
    def same(self) -> bool | None:
        """Whether it is ours; None when nothing can be said."""
        found = {self.commit_release, self.files_release} - {None}
        if self.files and self.files_release is None:
            return False
        if not found:
            return None if self.commit is None else False
        return found == {self.ours}


def read_pin(checkout: Path, arch: str) -> Pin:
    """Look at index and files.  Raises BadInput when either is there and cannot be read."""
    steps = [step for step in all_steps() if step.name == RELEASES and step.release]
    commit = _gitlink(checkout)
    by_commit = {step.source.commit: step.release for step in steps if step.source.commit}
    files_release, files = _files(checkout / PLACE, [s for s in steps if s.arch == arch])
    known = by_commit.get(commit) if commit else None
    return Pin(commit, known, files_release, files, default_release(RELEASES))


def _files(folder: Path, steps: list[StepFile]) -> tuple[str | None, str]:
    if not folder.is_dir() or not any(folder.iterdir()):
        return None, ""
    tree = read_folder(folder)
    if not steps:
        return None, "the catalogue knows no release for this architecture"
    step = identify(tree, steps)
    report = check_materials(tree, step)
    total = len(step.materials)
    if report.whole:
        return step.release, f"all {total} files that the bootstrap reads are {step.title}'s"
    wrong = len(report.missing) + len(report.changed)
    return None, f"nearest is {step.title}, from which {wrong} of {total} files differ"


def _gitlink(checkout: Path) -> str | None:
    index = _git_folder(checkout) / "index"
    if not index.is_file():
        return None
    data = read_file(index, _MAX_INDEX)
    try:
        return _entry(data, PLACE.encode())
    except (struct.error, ValueError) as error:
        raise BadInput(f"{index}: not understood: {error}; run git read-tree HEAD there") from None


def _git_folder(checkout: Path) -> Path:
    """``.git``, or the folder that it names where it is a file (a worktree, a submodule)."""
    git = checkout / ".git"
    if git.is_file():
        text = read_file(git, 4096).decode("utf-8", "surrogateescape")
        return checkout / text.removeprefix("gitdir:").strip()
    return git


def _entry(data: bytes, path: bytes) -> str | None:
    """The commit of a gitlink in an index.  Raises ValueError or struct.error."""
    magic, version, count = struct.unpack_from(">4sII", data)
    if magic != b"DIRC" or version not in (2, 3):
        raise ValueError(f"no index of version 2 or 3 (it begins {data[:8].hex()})")
    at = 12
    for _ in range(count):
        (mode,) = struct.unpack_from(">I", data, at + 24)
        (flags,) = struct.unpack_from(">H", data, at + 60)
        name = at + (64 if flags & 0x4000 else 62)
        end = data.index(b"\0", name)
        if data[name:end] == path:
            return data[at + 40 : at + 60].hex() if mode == _GITLINK else None
        # Entries are padded with 1 to 8 NUL bytes to a multiple of eight.
        at += (end - at) // 8 * 8 + 8
    return None
