"""Which release a tree is, and why it is not quite that release.

Trees are compared by the files whose content the catalogue knows: those that a bootstrap reads. A
release is not nearer because it has fewer of them: what counts is what the tree has, and which
share of that is the release's. A cause is only named when it was found.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bootstrap.core.errors import BadInput
from bootstrap.core.release import leads_out
from bootstrap.known import RELEASES, StepFile, releases, steps_of, tree_files
from bootstrap.known.lookup import known_files, ranges
from bootstrap.sources.materials import MaterialsReport, check_materials, named
from bootstrap.sources.tree import SourceTree
from bootstrap.words import count

UPDATE = "git submodule update --init --recursive"
# Submodules do not inherit what a clone is configured with (git clone -c).
LINE_ENDS = "git config --global core.autocrlf false, and clone it again"
COPY = "cp -rL FOLDER COPY, and give COPY"
_BELOW = 10
"""Folders of a tree that are looked at for a release: all of their files are hashed again."""


@dataclass(frozen=True)
class KnownRelease:
    """A release as trees are compared with it: the files that the bootstraps of ``steps`` read."""

    steps: tuple[StepFile, ...]
    known: Mapping[str, str]

    @classmethod
    def of(cls, steps: Sequence[StepFile]) -> KnownRelease:
        """The release that ``steps`` are about, one or more architectures of it."""
        known = {path: sha256 for step in steps for path, sha256 in step.materials.items()}
        return cls(tuple(steps), MappingProxyType(known))

    @property
    def name(self) -> str:
        """``1.9.1``; of sources that have no release what they are called."""
        return self.steps[0].release or self.steps[0].name

    @property
    def title(self) -> str:
        """``stage0-posix 1.9.1``."""
        return " ".join(part for part in (self.steps[0].name, self.steps[0].release) if part)

    def part(self, path: str) -> str:
        """The submodule that a path is in; ``""`` for what is the repository's own."""
        top = path.partition("/")[0]
        return top if top in self.steps[0].source.submodules else ""

    def parts(self) -> Mapping[str, Sequence[str]]:
        """Submodule -> those of its files that are known; ``""`` -> the repository's own."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.known):
            found.setdefault(self.part(path), []).append(path)
        return found


def candidates(arch: str | None = None) -> tuple[KnownRelease, ...]:
    """The releases of stage0-posix that a tree can be, numbered ones first, newest first.

    With ``arch``, only what that architecture's bootstrap reads counts.
    """
    newest = releases()[::-1]
    found = []
    for release in sorted(newest, key=lambda release: not release[0].isdigit()):
        steps = [step for step in steps_of(RELEASES, release) if arch in (None, step.arch)]
        if steps:
            found.append(KnownRelease.of(steps))
    return tuple(found)


class Likeness:
    """A tree beside the releases that it may be."""

    def __init__(self, tree: SourceTree, among: Sequence[KnownRelease]) -> None:
        self.tree = tree
        self.among = among
        self._hashes: dict[str, str] = {}
        self._unixed: dict[str, str] = {}
        self.names = sorted({path for release in among for path in release.known})
        """Paths of all releases."""
        self.present = [p for p in self.names if p in tree.files and tree.files[p].data]
        """Those at which the tree has a file that is not empty."""

    def has(self, path: str, sha256: str | None) -> bool:
        """Whether the tree has this content there, line ends aside."""
        return path in self.tree.files and sha256 in (self._hash(path), self.unixed(path))

    def _hash(self, path: str) -> str:
        if path not in self._hashes:
            self._hashes[path] = self.tree.files[path].sha256
        return self._hashes[path]

    def unixed(self, path: str) -> str:
        """The SHA-256 that the file has with LF in place of CR LF (git's core.autocrlf)."""
        if path not in self._unixed:
            data = self.tree.files[path].data
            if b"\r" in data:
                data = data.replace(b"\r\n", b"\n").removesuffix(b"\r")
            self._unixed[path] = hashlib.sha256(data).hexdigest()
        return self._unixed[path]

    def equal(self, release: KnownRelease) -> list[str]:
        """The release's files that the tree has, line ends aside."""
        return [path for path, sha256 in release.known.items() if self.has(path, sha256)]

    def differing(self, release: KnownRelease) -> list[str]:
        """The release's files that the tree does not have byte for byte, sorted."""
        return [
            path
            for path, sha256 in sorted(release.known.items())
            if path not in self.tree.files or self._hash(path) != sha256
        ]

    def fits(self, release: KnownRelease) -> bool:
        """Whether the tree can be called this release at all.

        At least half of what it has under names of known files must be the release's; and it must
        have a quarter of the release's files, or half of those that are the repository's own.
        """
        equal = set(self.equal(release))
        own = release.parts().get("", ())
        enough = 4 * len(equal) >= len(release.known) or (
            bool(own) and 2 * len(equal.intersection(own)) >= len(own)
        )
        return enough and 2 * len(equal) >= len(self.present)


def nearest(trees: Sequence[SourceTree], among: Sequence[KnownRelease]) -> KnownRelease | None:
    """The release of which ``trees`` together have most files; None where none fits any.

    Of releases that are even, the one of which least is missing, then the one that lists more of
    the trees' files, then the first.
    """
    sides = [Likeness(tree, among) for tree in trees]

    def rank(release: KnownRelease) -> tuple[int, int, int]:
        equal = sum(len(side.equal(release)) for side in sides)
        listed = tree_files(release.steps[0]) or frozenset()
        strange = sum(len(tree.files.keys() - listed) for tree in trees) if listed else 0
        return -equal, len(release.known), strange

    best = min(among, key=rank, default=None)
    if best is None or not any(side.fits(best) for side in sides):
        return None
    return best


def require_nearest(tree: SourceTree, arch: str) -> StepFile:
    """The step file for ``arch`` of the release that the tree is nearest to.

    Raises BadInput, saying what there is instead, when the tree is none.
    """
    among = candidates(arch)
    found = nearest([tree], among)
    if found is None:
        raise BadInput(f"{tree.label}: {no_release(Likeness(tree, among))}")
    return found.steps[0]


def no_release(side: Likeness) -> str:
    """What a tree is that no release fits."""
    tree, best = side.tree, max(side.among, key=lambda one: len(side.equal(one)), default=None)
    title = f"is no {RELEASES} that is known"
    if not tree.files and not tree.symlinks and not tree.special:
        return f"{title}: there is no file in it"
    if best is None:
        return f"{title}: the catalogue knows no release to compare it with"
    causes, _ = _unusable(side, side.names)
    if not side.present and causes:
        return f"cannot be compared with a release: {'; '.join(causes)}"
    if not side.present:
        none = "it has none of the files that a bootstrap reads"
        return f"{title}: {'; '.join([none, *_below(side)])}"
    equal = side.equal(best)
    return "; ".join(
        [
            f"{title}: of its {count(len(side.present), 'file')} with the name of a known one"
            f" {len(equal)} {'is' if len(equal) == 1 else 'are'} as in {best.name}, the nearest",
            *causes,
            *_below(side),
            f"--release {best.name} compares it all the same",
        ]
    )


def _below(side: Likeness) -> list[str]:
    """The folder in a tree that is one, as in a checkout of live-bootstrap."""
    marks = {path for one in side.among for path in one.parts().get("", ()) if "/" not in path}
    places = (path.rpartition("/") for path in sorted(side.tree.files))
    folders = dict.fromkeys(folder for folder, _, name in places if name in marks)
    for folder in itertools.islice(folders, _BELOW):
        top = f"{folder}/"
        files = {p[len(top) :]: f for p, f in side.tree.files.items() if p.startswith(top)}
        found = nearest([SourceTree(folder, files)], side.among)
        if found is not None:
            return [f"{folder} in it is near to {found.title}: give that folder"]
    return []


def why(tree: SourceTree, release: KnownRelease, among: Sequence[KnownRelease]) -> tuple[str, ...]:
    """Why a tree is not quite ``release``: a sentence for each cause, with what helps.

    Nothing when every known file is as in the release. ``among`` are the releases that files can
    be from; files that the release does not have are no cause, and are not read.
    """
    side = Likeness(tree, among)
    differing = side.differing(release)
    if not differing:
        return ()
    whole = [other.title for other in among if not side.differing(other)]
    if whole:
        return (f"it is {whole[0]}, whole",)
    ends = _crlf(side, release, differing)
    causes, accounted = _unusable(side, differing)
    rest = [path for path in differing if path not in accounted and path not in ends]
    if ends:
        causes.append(
            f"{count(len(ends), 'file', 'differs', 'differ')} by line ends only, CR LF in place of"
            f" LF ({_some(ends)}): {LINE_ENDS}"
        )
    # Submodules of which no known file is there.
    gone = {path for path in rest if path not in tree.files}
    absent = [part for part, paths in release.parts().items() if part and gone.issuperset(paths)]
    left = [path for path in rest if release.part(path) not in absent]
    if absent:
        causes.append(
            f"{_submodules(absent)} {'is' if len(absent) == 1 else 'are'} not there: {UPDATE}"
            + ' (GitHub\'s "Source code" archives have none)'
        )
    mixed, left = _mixed(side, release, left, alone=not causes)
    return (*causes, *mixed, *_others(side, release, left))


def _crlf(side: Likeness, release: KnownRelease, differing: Sequence[str]) -> list[str]:
    there = [path for path in differing if path in side.tree.files]
    return [path for path in there if side.unixed(path) == release.known[path]]


def _unusable(side: Likeness, paths: Sequence[str]) -> tuple[list[str], set[str]]:
    """A sentence for links, which are not followed, and one for empty files; and their paths."""
    tree = side.tree
    below = tuple(f"{link}/" for link in tree.symlinks)
    linked = [path for path in paths if path in tree.symlinks or path.startswith(below)]
    empty = [path for path in paths if path in tree.files and not tree.files[path].data]
    says = []
    if linked:
        says.append(
            f"{count(len(linked), 'file', 'is', 'are')} symbolic links or below one"
            f" ({_some(linked)}), and links are not followed: {COPY}"
        )
    if empty:
        files = count(len(empty), "file", "is", "are")
        says.append(f"{files} empty ({_some(empty)}): get the tree again")
    return says, {*linked, *empty}


def _some(paths: Sequence[str]) -> str:
    return named(paths) if len(paths) <= 4 else f"{named(paths[:3])} and {len(paths) - 3} more"


def _submodules(names: Sequence[str]) -> str:
    return f"the submodule{'' if len(names) == 1 else 's'} {', '.join(names)}"


def _those(what: str, names: Sequence[str], of: str) -> str:
    return f"{what} {'is that' if len(names) == 1 else 'are those'} of {of}"


def _mixed(
    side: Likeness, release: KnownRelease, differing: Sequence[str], alone: bool
) -> tuple[list[str], list[str]]:
    """Parts that are wholly those of another release, said in a sentence; and what is left.

    ``alone`` says that nothing else differs than ``differing``.
    """
    parts = dict.fromkeys(release.part(path) for path in differing)
    of = {part: found for part in parts if (found := _whole_part_of(side, release, part))}
    if not of:
        return [], list(differing)
    votes = Counter(name for found in of.values() for name in found)
    # Of releases that have the same part, those that have most of the other parts too.
    best = {
        part: [name for name in found if votes[name] == max(votes[other] for other in found)]
        for part, found in of.items()
    }
    says = []
    for theirs in dict.fromkeys(ranges(names, releases()) for names in best.values()):
        some = [part for part, names in best.items() if ranges(names, releases()) == theirs]
        files = [path for path in differing if not release.part(path)] if "" in some else []
        modules = [part for part in some if part]
        if files:
            says.append(_those(named(files), files, theirs))
        if modules:
            says.append(_those(_submodules(modules), modules, theirs))
    left = [path for path in differing if release.part(path) not in of]
    if not left and alone:
        says.append(f"the rest is {release.name}")
    # The repository's own files are all of one release: its submodules can follow.
    own = best.get("", [] if any(not release.part(path) for path in differing) else [release.name])
    modules = [part for part in best if part] or [part for part in release.parts() if part]
    order = releases(release.steps[0].name)
    at = [best.get(part, [release.name])[0] for part in modules]
    if own and modules and {*own, *at} <= set(order):
        older = all(order.index(name) < order.index(own[0]) for name in at)
        one = len(modules) == 1
        state = f"{'was' if one else 'were'} left behind"
        if not older:
            state = f"{'does' if one else 'do'} not fit it"
        says[-1] += f": the submodule{'' if one else 's'} {state}; {UPDATE}"
    return ["; ".join(says)], left


def _whole_part_of(side: Likeness, release: KnownRelease, part: str) -> list[str]:
    """The other releases whose files in a part are all there, and none that only this one has."""
    ours = [path for path in release.parts().get(part, ()) if path in side.tree.files]
    return [
        other.name
        for other in side.among
        if other.name != release.name
        and (paths := other.parts().get(part, ()))
        and all(side.has(path, other.known[path]) for path in paths)
        and {*other.known, *(tree_files(other.steps[0]) or ())}.issuperset(ours)
    ]


def _others(side: Likeness, release: KnownRelease, differing: Sequence[str]) -> list[str]:
    """Files for which nothing but their own content, or absence, says what they are."""
    files = known_files()
    theirs: dict[str, list[str]] = {}
    says, unknown = [], []
    gone: list[str] = []
    other: list[str] = []
    for path in differing:
        if path not in side.tree.files:
            is_other = path in side.tree.special or path in side.tree.folders
            (other if is_other else gone).append(path)
            continue
        has = [other.name for other in side.among if side.has(path, other.known.get(path))]
        if names := ranges(has, releases()):
            theirs.setdefault(names, []).append(path)
        elif text := files.text(side.tree.files[path].sha256):
            says.append(f"{path} is {text}")
        else:
            unknown.append(f"{path} ({side.tree.files[path].sha256}, not {release.known[path]})")
    for names, paths in theirs.items():
        says.append(_those(named(paths), paths, names))
    if unknown:
        files_have = count(len(unknown), "file", "has a content", "have contents")
        says.append(f"{files_have} that no release has: {named(unknown)}")
    if other:
        says.append(f"no regular file{'' if len(other) == 1 else 's'}: {named(other)}")
    if gone:
        says.append(f"missing: {named(gone)}")
    return says


def require_materials(tree: SourceTree, step: StepFile, report: MaterialsReport) -> None:
    """Raise BadInput, with the cause, when the bootstrap could not run on this tree.

    A material is not there, or is a link out of the tree, or at least half of them have other line
    ends.
    """
    among = candidates(step.arch)
    side, release = Likeness(tree, among), KnownRelease.of([step])
    out = [c.path for c in report.changed if leads_out(c.path, tree.symlinks.get(c.path, ""))]
    ends = _crlf(side, release, [change.path for change in report.changed])
    if not report.missing and not out and 2 * len(ends) < len(step.materials):
        return
    wrong = {*report.missing, *out, *ends}
    of = f"{len(wrong)} of {len(step.materials)} files that the bootstrap reads"
    what = "are not there as they are in the release" if out or ends else "are missing"
    causes = "; ".join(why(tree, release, among))
    raise BadInput(f"{tree.label}: not a whole {step.title} tree: {of} {what}; {causes}")


def require_release(tree: SourceTree, steps: Sequence[StepFile]) -> None:
    """Raise BadInput, with the cause, unless each material of ``steps`` is as in the release."""
    wrong: set[str] = set()
    for step in steps:
        report = check_materials(tree, step)
        wrong.update(report.missing, (change.path for change in report.changed))
    if not wrong:
        return
    release, among = KnownRelease.of(steps), candidates()
    side = Likeness(tree, among)
    found = nearest([tree], among)
    if found is None:
        raise BadInput(f"{tree.label}: {no_release(side)}")
    if found.name != release.name and not side.differing(found):
        raise BadInput(
            f"{tree.label}: not {release.title} but {found.title}: bootstrap fetch"
            f" {found.steps[0].name} --release {found.name} --from {tree.label}"
        )
    causes = why(tree, release, among) or (named(sorted(wrong)),)
    raise BadInput(
        f"{tree.label}: not {release.title}: {len(wrong)} of {len(release.known)} files that its"
        f" bootstraps read are not as in the release; {'; '.join(causes)}"
    )
