"""What a change of a tree can touch, by the graph of an earlier run, and what it did touch.

The graph is the plan that `--jobs` has too (`bootstrap.runs.ahead`): which files each unit read and
changed. It is a hint. What came out otherwise is found by comparing, so a graph that knows too
little is seen.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bootstrap.core.release import as_text
from bootstrap.report import Report, SinceRevision, lowered
from bootstrap.runs.ahead import RunPlan
from bootstrap.runs.units import DRIVER
from bootstrap.sources import Resolved, SourceTree
from bootstrap.words import count, some


@dataclass(frozen=True)
class TreeChange:
    """A tree beside that of an earlier commit; and what the difference cannot touch."""

    then: Resolved
    revision: str
    """The commit, as it was named."""
    commit: str
    files: tuple[str, ...]
    """Those that the bootstrap reads, and that differ, sorted."""
    others: int
    cannot: frozenset[str]
    """What the units that no change reaches make."""

    def can(self, path: str) -> bool:
        """Whether this artifact can be touched. What no unit makes, nobody knows enough of."""
        return bool(self.files) and path not in self.cannot

    @property
    def text(self) -> str:
        """What differs, and what can change, in a line."""
        known = list(dict.fromkeys(one.path for one in self.then.step.known()))
        can = [path for path in known if self.can(path)]
        differ = some(self.files) or "nothing that the bootstrap reads"
        return (
            f"{self.revision}: {differ} {'differs' if len(self.files) < 2 else 'differ'}; "
            f"{len(can)} of {count(len(known), 'artifact')} can change by that"
            + (f": {some(can, 12)}" if can else "")
        )

    def compared(self, report: Report, base: Report | None) -> Report:
        """The report of a run of the tree as it is now, with what changed; `base` is that of the
        earlier tree, None where that is the release, whose artifacts are known."""
        before: dict[str, set[str | None]] = {}
        if base is None:
            for known in self.then.step.known():
                before.setdefault(known.path, set()).add(known.sha256)
        else:
            before = {one.path: {one.sha256} for one in base.artifacts}
        after = {one.path: one.sha256 for one in report.artifacts if base or one.path in before}
        changed: list[str] = []
        unchanged: list[str] = []
        not_made: list[str] = []
        unexpected: list[str] = []
        untouched = 0
        for path in dict.fromkeys((*after, *before)):
            own, earlier = after.get(path), before.get(path, {None})
            same = own in earlier
            if own is None and (report.failure is not None or same):
                not_made.append(path)
            elif self.can(path):
                (unchanged if same else changed).append(path)
            elif same:
                untouched += 1
            else:
                unexpected.append(path)
        since = SinceRevision(
            self.revision, self.commit, self.files, self.others,
            "known values" if base is None else "a run", tuple(changed), tuple(unchanged),
            tuple(not_made), tuple(unexpected), untouched,
        )  # fmt: skip
        report = replace(report, since=since)
        if not unexpected:
            return report
        return lowered(
            report,
            f"since {self.revision}, what no change leads to in the graph of an earlier run came "
            f"out otherwise: {some(unexpected)}; the graph is of another tree, or a program read "
            "more than it has",
        )


def tree_change(
    now: SourceTree, then: Resolved, revision: str, commit: str, plan: RunPlan
) -> TreeChange:
    """What differs between two trees, and what that can touch in a bootstrap of this plan."""
    differ = {
        path
        for path in {*now.files, *now.symlinks, *then.tree.files, *then.tree.symlinks}
        if now.files.get(path) != then.tree.files.get(path)
        or now.symlinks.get(path) != then.tree.symlinks.get(path)
    }
    units = [({*_paths(unit.reads)}, {*_paths(unit.writes)}) for unit in plan.units]
    by_units = {path for reads, _ in units for path in reads}
    files = differ & {*by_units, *then.step.materials}
    # What no unit reads is read by the build driver, which starts all of them; so does a new one.
    touched, everything = set(files), not files <= by_units
    made: set[str] = set()
    for reads, writes in units:
        if everything or not touched.isdisjoint(reads):
            touched |= writes
            names = map(posixpath.basename, writes)
            everything = everything or any(name.startswith(as_text(DRIVER)) for name in names)
        made |= writes
    others = len(differ) - len(files)
    cannot = frozenset(made - touched)
    return TreeChange(then, revision, commit, tuple(sorted(files)), others, cannot)


def _paths(guest_paths: tuple[bytes, ...]) -> Iterator[str]:
    return (as_text(path).removeprefix("/") for path in guest_paths)
