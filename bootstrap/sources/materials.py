"""Is a tree what the catalogue says the release is?  And what of it may the guest see?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bootstrap.core.errors import BadInput, printable
from bootstrap.core.release import compare_materials
from bootstrap.known import Entry, StepFile, steps_of, tree_files
from bootstrap.sources.tree import SourceTree, parents
from bootstrap.words import some

_NAMED = 10


@dataclass(frozen=True)
class Change:
    """A material whose content is not the release's; ``found`` is a sha256 or says what it is."""

    path: str
    expected: str
    found: str


@dataclass(frozen=True)
class MaterialsReport:
    """What :func:`check_materials` found; every tuple is sorted by path.

    ``missing`` and ``changed`` are materials; ``stale`` are files that an earlier run of the
    bootstrap left in the tree; ``extra`` are other files that the release does not have (only
    known where the catalogue lists the release's tree).
    """

    missing: tuple[str, ...]
    changed: tuple[Change, ...]
    stale: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Every material is there, with the content that the catalogue has for it."""
        return not self.missing and not self.changed

    def lines(self) -> list[str]:
        """What a user should know, a line for each kind of finding; nothing if all is well."""
        lines = []
        if self.missing:
            lines.append(f"missing: {named(self.missing)}")
        if self.changed:
            changes = [f"{c.path} ({c.found}, not {c.expected})" for c in self.changed]
            lines.append(f"changed: {named(changes)}")
        if self.stale:
            lines.append(f"left by an earlier run of the bootstrap, not used: {named(self.stale)}")
        if self.extra:
            lines.append(f"not in the release: {named(self.extra)}")
        return lines


def named(paths: Sequence[str]) -> str:
    """The first ten of ``paths``, and how many more there are.

    A name that a terminal could take for more than a name is shown with escapes.
    """
    return some(map(printable, paths), _NAMED)


def check_materials(
    tree: SourceTree, step: StepFile, entry: Entry | None = None
) -> MaterialsReport:
    """Compare a tree with the materials of ``step``; those that ``entry`` hides do not count."""
    hidden = () if entry is None else entry.hidden
    wanted = {p: sha256 for p, sha256 in step.materials.items() if p not in hidden}
    found = compare_materials(tree, wanted)
    changed = [Change(p, step.materials[p], there) for p, there in found.items() if there]
    listed = tree_files(step)
    unlisted: set[str] = set()
    if listed is not None:
        unlisted = {*tree.files, *tree.symlinks, *tree.special} - listed - set(step.materials)
    stale = {path for path in unlisted if _is_product(path, step)}
    return MaterialsReport(
        tuple(path for path, there in found.items() if there is None),
        tuple(changed),
        tuple(sorted(stale)),
        tuple(sorted(unlisted - stale)),
    )


def _is_product(path: str, step: StepFile) -> bool:
    """Whether a run of the bootstrap, on any architecture of the release, leaves ``path``."""
    for other in steps_of(step.name, step.release):
        known = {value.path for value in other.known()}
        if path in known or any(path.startswith(f"{folder}/") for folder in other.directories):
            return True
    return False


def guest_view(
    tree: SourceTree, step: StepFile, entry: Entry, report: MaterialsReport
) -> SourceTree:
    """The part of the tree that the guest sees.

    Of an unchanged release these are the materials and nothing else, so that no other file can
    have a part in the result.  A changed tree may read other files: there the guest sees all but
    what an earlier run left.  What ``entry`` hides is never seen.  Seeds are executable, whatever
    became of their mode bit on the way.  Raises BadInput when a folder that the bootstrap needs
    is something else.
    """
    hidden = {*entry.hidden, *report.stale}

    def seen(path: str) -> bool:
        return path not in hidden and (path in step.materials or not report.whole)

    seeds = {seed.path for seed in step.seeds.values()}
    files = {
        path: replace(file, executable=True) if path in seeds else file
        for path, file in tree.files.items()
        if seen(path)
    }
    symlinks = {path: target for path, target in tree.symlinks.items() if seen(path)}
    for folder in step.directories:
        for place in (folder, *parents(folder)):
            if place in files or place in symlinks:
                raise BadInput(f"{tree.label}: {place} must be a folder for the bootstrap to run")
    folders = {*step.directories, *(() if report.whole else tree.folders)}
    return replace(tree, files=files, symlinks=symlinks, folders=frozenset(folders), special=())
