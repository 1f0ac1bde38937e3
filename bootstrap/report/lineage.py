"""Walks a run backwards: what an artifact was made from, and whether that was good."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bootstrap.known.schema import Known
from bootstrap.report.model import (
    Goodness,
    Input,
    Origin,
    Producer,
    ReleaseFiles,
    Step,
)
from bootstrap.trace.lineage import FileVersion, ProcessRecord, tree_path


@dataclass(frozen=True, slots=True)
class Written:
    """One content that one program wrote."""

    index: int
    order: int


def producer_of(record: ProcessRecord) -> Producer:
    """A record as the report names it."""
    return Producer(
        pid=record.pid,
        ordinal=record.ordinal,
        program=tree_path(record.exe_path),
        argv=record.argv,
        cwd=record.cwd,
    )


class Lineage:
    """Answers questions about where contents came from. Pure; keeps no state between questions."""

    def __init__(
        self,
        records: Sequence[ProcessRecord],
        materials: ReleaseFiles,
        expectations: Mapping[str, tuple[Known, ...]],
    ) -> None:
        self.records = records
        self.materials = materials
        self.expectations = expectations
        self._by_version: dict[tuple[str, str], list[Written]] = {}
        self._by_content: dict[str, list[Written]] = {}
        for index, record in enumerate(records):
            for write in record.writes:
                written = Written(index, write.order)
                key = (tree_path(write.path), write.sha256)
                self._by_version.setdefault(key, []).append(written)
                self._by_content.setdefault(write.sha256, []).append(written)
        for found in (*self._by_version.values(), *self._by_content.values()):
            found.sort(key=lambda w: w.order)
        self._readers_of_path: dict[str, list[tuple[int, FileVersion]]] = {}
        self._users: dict[int, list[tuple[int, FileVersion]]] = {}
        self._children: dict[int, list[int]] = {}
        for index, record in enumerate(records):
            if record.started_by is not None:
                self._children.setdefault(record.started_by, []).append(index)
            for version in record.inputs:
                path = tree_path(version.path)
                self._readers_of_path.setdefault(path, []).append((index, version))
                source = self.source_of(version)
                if source is not None:
                    self._users.setdefault(source, []).append((index, version))

    def writer(self, path: str, sha256: str) -> Written | None:
        """The last program that gave the tree path this content."""
        found = self._by_version.get((path, sha256))
        return found[-1] if found else None

    def source_of(self, version: FileVersion) -> int | None:
        """Index of the program whose work was read there; None for what no program wrote.

        A file may be read under another name than it was written (links), so the content decides
        where the name does not.
        """
        path = tree_path(version.path)
        found = self._by_version.get((path, version.sha256), [])
        if not found and self.materials.known.get(path) != version.sha256:
            found = self._by_content.get(version.sha256, [])
        earlier = [w for w in found if w.order <= version.order]
        return earlier[-1].index if earlier else None

    def is_foreign(self, version: FileVersion) -> bool:
        """Whether it is neither a file of the release (changed or not) nor made by the run."""
        known = tree_path(version.path) in self.materials.known
        return not known and self.source_of(version) is None

    def judge_input(self, version: FileVersion, *, program: bool) -> Input:
        """Whether one input was good: equal to a value that somebody vouches for."""
        path = tree_path(version.path)
        made = self.source_of(version) is not None
        expected: str | None = None
        origin: Origin = "run" if made else "foreign"
        state: Goodness = "unknown"
        why = "neither a file of the release nor made by this run"
        if not made and path in self.materials.known:
            expected, origin = self.materials.known[path], "release"
            what = "the seed" if path in self.materials.seeds else "the file"
            good = version.sha256 == expected
            why = f"{what} of the release" if good else f"differs from {what} of the release"
            state = "good" if good else "bad"
        elif made and path in self.expectations:
            known = self.expectations[path]
            agreeing = [e.from_ for e in known if e.sha256 == version.sha256]
            expected = version.sha256 if agreeing else known[0].sha256
            state = "good" if agreeing else "bad"
            why = " and ".join(agreeing) if agreeing else f"differs from {known[0].from_}"
        elif made:
            why = "made by this run; no known-good value"
        role: Literal["program", "file"] = "program" if program else "file"
        return Input(path, role, version.size, version.sha256, expected, state, why, origin)

    def step(self, index: int, before: int | None = None) -> Step:
        """One program with its inputs; with `before`, only what it read before that moment."""
        record = self.records[index]
        reads = [r for r in record.reads if before is None or r.order < before]
        inputs = [self.judge_input(record.exe, program=True)]
        inputs += [self.judge_input(r, program=False) for r in reads]
        return Step(producer_of(record), tuple(inputs))

    def drivers(self, index: int) -> Iterator[tuple[int, int]]:
        """The programs that led to this one, nearest first: (index, moment they handed over)."""
        seen = {index}
        while True:
            record = self.records[index]
            parent = record.started_by
            if parent is None or parent in seen or not 0 <= parent < len(self.records):
                return
            yield parent, record.exe.order
            seen.add(parent)
            index = parent

    def trail_to_bad(self, index: int) -> tuple[tuple[int, ...], bool]:
        """Follow unknown inputs back to the nearest program that had a bad input.

        Returns the programs from (not including) `index` to that one, empty when there is none,
        and whether everything on the way is known: no input that nobody can account for.
        """
        trails: dict[int, tuple[int, ...]] = {index: ()}
        queue = deque([index])
        accounted = True
        while queue:
            at = queue.popleft()
            for version in self.records[at].inputs:
                state = self.judge_input(version, program=False).state
                if state == "bad" and at != index:
                    return trails[at], accounted
                if state != "unknown":
                    continue
                source = self.source_of(version)
                if source is None:
                    accounted = False
                elif source not in trails:
                    trails[source] = (*trails[at], source)
                    queue.append(source)
        return (), accounted

    def reached_by(self, path: str) -> frozenset[int]:
        """Every program that this file of the release reached.

        By reading it, by what such a program made, or by a command from such a program, given after
        it had been reached.
        """
        since: dict[int, int] = {}
        queue: deque[int] = deque()

        def reach(index: int, moment: int) -> None:
            if index not in since or moment < since[index]:
                since[index] = moment
                queue.append(index)

        for index, version in self._readers_of_path.get(path, ()):
            if self.source_of(version) is None:
                reach(index, version.order)
        while queue:
            at = queue.popleft()
            for index, version in self._users.get(at, ()):
                reach(index, version.order)
            for child in self._children.get(at, ()):
                started = self.records[child].exe.order
                if since[at] <= started:
                    reach(child, started)
        return frozenset(since)

    def consumers(self, path: str, sha256: str) -> list[int]:
        """Programs that read this content under this tree path (or ran it)."""
        return [i for i, v in self._readers_of_path.get(path, ()) if v.sha256 == sha256]
