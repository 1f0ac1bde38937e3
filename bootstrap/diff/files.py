"""What each program read and left in two runs: what differs, and what it came from."""

from __future__ import annotations

import stat
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from itertools import zip_longest

from bootstrap.diff.aligning import Pair
from bootstrap.diff.comparison import Both
from bootstrap.documents import key
from bootstrap.trace.columns import shown
from bootstrap.trace.store import OpenRow, ProgramRow, Trace, TreeFolder, TreeName
from bootstrap.trace.views import FileUses, command
from bootstrap.words import count

HANDED_ON = "what its parent handed on"
"""Why a forked child differs: it has the memory and the open files of its parent."""


@dataclass(frozen=True, slots=True)
class Version:
    """A content that a file had in one trace."""

    sha256: str
    size: int
    path: str = key(None)
    """Without the first slash."""
    id: int = key(None)
    """In its trace."""
    given: bool = key(None, default=False)
    """It was there before the run: no program had written it."""


@dataclass(frozen=True, slots=True)
class Left:
    """A content that a program left in a file, and what differs of what it was made from."""

    path: str
    versions: Both[Version | None]
    writers: Pair
    because: tuple[str, ...]
    """What differs for its program: files by path, `its arguments` and the like; empty where
    nothing does that a trace has."""
    only: str = ""
    """`a` or `b` where the other run has no such program."""


@dataclass(frozen=True)
class GivenFile:
    """A file that was there before the run, that differs, and the first that read it."""

    versions: Both[Version | None]
    programs: Both[ProgramRow]
    executed: bool


@dataclass
class FileFlow:
    """All of it."""

    given: list[GivenFile] = field(default_factory=list)
    """Each once, in order of first use."""
    left: list[Left] = field(default_factory=list)
    """In the order in which the programs began."""
    same: int = 0
    """Contents that programs left, and that are the same."""
    differing: list[tuple[Both[ProgramRow], tuple[str, ...]]] = field(default_factory=list)
    """Programs of both for which something differs, and what."""
    alike: int = 0
    """Programs of both that began and read and left the same."""
    lonely: list[Pair] = field(default_factory=list)


class FilesOf:
    """The files of one trace: what each program read and left, in order."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._hashes = trace.hashes()
        self._uses = FileUses(trace)
        self._first_written: dict[int, int] = {}
        for row in self._uses.writers:
            if row.last_version is not None:
                event = row.last_event or row.event
                known = self._first_written.get(row.last_version, event)
                self._first_written[row.last_version] = min(known, event)

    def image(self, program: ProgramRow) -> Version:
        """What the program executes."""
        return self._version(shown(program.path), program.image, program.first_event)

    def reads(self, program: ProgramRow) -> list[tuple[OpenRow, Version]]:
        """What it opened for reading."""
        return [
            (row, self._version(shown(row.path), version, row.event))
            for row, version in self._uses.reads(program.id)
        ]

    def leaves(self, program: ProgramRow) -> list[Version]:
        """What it wrote, as it was when the file was closed."""
        found = sorted(
            self._uses.writes(program.id), key=lambda one: (one[0].last_event or 0, one[0].id)
        )
        return [
            self._version(shown(row.path), version, row.last_event or row.event)
            for row, version in found
        ]

    def _version(self, path: str, version: int, event: int) -> Version:
        sha256, size = self._hashes[version]
        first = self._first_written.get(version)
        given = first is None or first > event
        return Version(sha256, size, path.lstrip("/"), version, given)


def by_path(versions: Iterable[Version]) -> dict[str, list[Version]]:
    """In order of first appearance."""
    found: dict[str, list[Version]] = {}
    for version in versions:
        found.setdefault(version.path, []).append(version)
    return found


def _couples(a: list[Version], b: list[Version]) -> list[Both[Version | None]]:
    """Versions under the same path, one after the other; those of `a` first."""
    mine, theirs = by_path(a), by_path(b)
    return [
        Both(one, other)
        for path in dict.fromkeys((*mine, *theirs))
        for one, other in zip_longest(mine.get(path, []), theirs.get(path, []))
    ]


def differs(couple: Both[Version | None]) -> bool:
    """Whether two versions are not the same content."""
    a, b = couple.a, couple.b
    return a is None or b is None or a.sha256 != b.sha256


def path_of(couple: Both[Version | None]) -> str:
    """The path, which both have."""
    return couple.either().path


def start_differs(pair: Both[ProgramRow]) -> tuple[str, ...]:
    """What of its start differs, but for its image."""
    a, b = pair.a, pair.b
    parts = (
        ("its path", a.path, b.path),
        ("its arguments", a.argv, b.argv),
        ("its environment", a.environment, b.environment),
        ("its folder", a.cwd, b.cwd),
        ("its architecture", a.abi, b.abi),
    )
    return tuple(name for name, x, y in parts if x != y)


def compare(
    a: FilesOf, b: FilesOf, pairs: Iterable[Pair], input_to: Pair | None = None
) -> FileFlow:
    """Follow the files through both runs. `input_to`: who read standard input that differs."""
    flow = FileFlow()
    since: dict[int, int] = {}
    """Programs of A for which something differs, and from which event on: what they hand on to a
    child then differs too."""
    seen: set[tuple[str, str | None, str | None]] = set()
    for pair in pairs:
        both = pair.whole()
        if both is None:
            flow.lonely.append(pair)
            _alone(a, b, pair, flow)
            continue
        one, other = both.a, both.b
        images: Both[Version | None] = Both(a.image(one), b.image(other))
        reads = _couples([v for _, v in a.reads(one)], [v for _, v in b.reads(other)])
        because = list(start_differs(both))
        only_executes = one.replaced and one.calls == 1
        parents = since.get(one.parent or 0, one.first_event)
        if one.ordinal == 0 and not only_executes and parents < one.first_event:
            because.append(HANDED_ON)
        if pair == input_to:
            because.append("standard input")
        inputs = [(images, True), *((couple, False) for couple in reads)]
        changed_inputs = [one for one in inputs if differs(one[0])]
        # What only one of them opens is most often what followed; if nothing else differs, it is
        # the cause: the file is not there in the other.
        shared = [one for one in changed_inputs if one[0].whole() is not None]
        for couple, executed in shared or ([] if because else changed_inputs):
            path = path_of(couple)
            if path not in because:
                because.append(path)
            a_sha, b_sha = (None if v is None else v.sha256 for v in (couple.a, couple.b))
            given = path, a_sha, b_sha
            if _is_given(couple) and given not in seen:
                seen.add(given)
                flow.given.append(GivenFile(couple, both, executed))
        if because:
            since[one.id] = _since(a, one, because)
        left = _couples(a.leaves(one), b.leaves(other))
        changed = [couple for couple in left if differs(couple)]
        flow.same += len(left) - len(changed)
        for couple in changed:
            flow.left.append(Left(path_of(couple), couple, both, tuple(because)))
        if because or changed:
            flow.differing.append((both, tuple(because)))
        else:
            flow.alike += 1
    return flow


def _since(a: FilesOf, program: ProgramRow, because: list[str]) -> int:
    """The event from which on something differs for a program."""
    read = {version.path for _, version in a.reads(program)}
    if not read.issuperset(because):
        return program.first_event
    return min(row.event for row, version in a.reads(program) if version.path in because)


def _is_given(couple: Both[Version | None]) -> bool:
    return all(v is None or v.given for _, v in couple.sides)


def _alone(a: FilesOf, b: FilesOf, pair: Pair, flow: FileFlow) -> None:
    one, other = pair.a, pair.b
    for version in () if one is None else a.leaves(one):
        flow.left.append(Left(version.path, Both(version, None), pair, (), "a"))
    for version in () if other is None else b.leaves(other):
        flow.left.append(Left(version.path, Both(None, version), pair, (), "b"))


def tree_names(a: Trace, b: Trace, known: Container[str]) -> list[tuple[str, Both[str | None]]]:
    """Names of the source tree, in folders that programs of both looked into, that are not the
    same: by path, what each is. The sizes of the files `known` are not compared."""
    sides = []
    for trace in (a, b):
        folders = {row.id: shown(row.path) for row in trace.rows("folders", TreeFolder)}
        names = {shown(row.path): row for row in trace.rows("tree", TreeName)}
        sides.append((set(folders.values()), folders, names))
    (mine, folders, ours), (theirs, other_folders, others) = sides
    both = mine & theirs
    paths = {path for path, row in ours.items() if folders[row.folder] in both}
    paths |= {path for path, row in others.items() if other_folders[row.folder] in both}
    found: list[tuple[str, Both[str | None]]] = []
    for path in sorted(paths):
        name = path.lstrip("/")
        one = Both(*(_what(rows.get(path), name not in known) for rows in (ours, others)))
        if not one.same:
            found.append((name, one))
    return found


def _what(row: TreeName | None, with_size: bool) -> str | None:
    if row is None:
        return None
    if row.target is not None:
        return f"a link to {shown(row.target)}"
    if stat.S_ISDIR(row.mode):
        return f"a folder, mode {row.mode & 0o7777:04o}"
    return f"a file, mode {row.mode & 0o7777:04o}" + f", {count(row.size, 'byte')}" * with_size


def last_versions(left: Iterable[Version]) -> dict[str, Version]:
    """Of every path the content that it had at the end of the run."""
    return {version.path: version for version in left}


def title(program: ProgramRow) -> str:
    """pid and command."""
    forked = "" if program.ordinal else " (forked)"
    return f"{program.label}: {command(program)}{forked}"
