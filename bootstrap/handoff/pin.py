"""Which stage0-posix a live-bootstrap checkout pins, and whether the catalogue knows it.

The commit is read from git's index.  The files below ``seed/stage0-posix`` are compared, where the
submodule is there, with what the catalogue has of each release.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bootstrap.known import RELEASES, StepFile, all_steps, default_release
from bootstrap.sources.gitfiles import GITLINK, read_index
from bootstrap.sources.identity import Likeness, Release, nearest, no_release
from bootstrap.sources.materials import check_materials
from bootstrap.sources.tree import read_folder

PLACE = "seed/stage0-posix"


@dataclass(frozen=True)
class Stage0Pin:
    """What is pinned.  ``commit`` is git's, None where there is no index that has it.

    ``release_of_commit`` is the catalogue's release with that commit; ``release_of_files`` the one
    whose materials are all below seed/stage0-posix, unchanged; ``files`` says so in words, and
    ``files_digest`` is their tree digest; both are None where there are none.  ``ours`` is the
    release that ``bootstrap verify`` takes by default.
    """

    commit: str | None
    release_of_commit: str | None
    release_of_files: str | None
    files: str | None
    files_digest: str | None
    ours: str

    @property
    def same(self) -> bool | None:
        """Whether it is ours; None when nothing can be said."""
        found = {self.release_of_commit, self.release_of_files} - {None}
        if self.files and self.release_of_files is None:
            return False
        if not found:
            return None if self.commit is None else False
        return found == {self.ours}


def read_pin(checkout: Path, arch: str) -> Stage0Pin:
    """Look at index and files.  Raises BadInput when either is there and cannot be read."""
    steps = [step for step in all_steps() if step.name == RELEASES and step.release]
    commit = _gitlink(checkout)
    by_commit = {step.source.commit: step.release for step in steps if step.source.commit}
    release_of_files, files, digest = _files(checkout / PLACE, [s for s in steps if s.arch == arch])
    known = by_commit.get(commit) if commit else None
    return Stage0Pin(commit, known, release_of_files, files, digest, default_release(RELEASES))


def _files(folder: Path, steps: list[StepFile]) -> tuple[str | None, str | None, str | None]:
    if not folder.is_dir() or not any(folder.iterdir()):
        return None, None, None
    tree = read_folder(folder)
    if not steps:
        return None, "the catalogue knows no release for this architecture", tree.digest
    among = [Release.of([step]) for step in steps]
    found = nearest([tree], among)
    if found is None:
        return None, f"{PLACE} {no_release(Likeness(tree, among))}", tree.digest
    step = found.steps[0]
    report = check_materials(tree, step)
    total = len(step.materials)
    if report.whole:
        text = f"all {total} files that the bootstrap reads are {step.title}'s"
        return step.release, text, tree.digest
    wrong = len(report.missing) + len(report.changed)
    text = f"nearest is {step.title}, from which {wrong} of {total} files differ"
    return None, text, tree.digest


def _gitlink(checkout: Path) -> str | None:
    for entry in read_index(checkout) or ():
        if entry.path == PLACE:
            return entry.sha1 if entry.mode == GITLINK else None
    return None
