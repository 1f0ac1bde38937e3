"""Two reports of `bootstrap verify`, or two sets of them: artifacts that differ, in build order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bootstrap.core.errors import BadInput
from bootstrap.diff.comparison import MOST, Both, Comparison, read_json
from bootstrap.documents import decode, encode
from bootstrap.known import arch_name
from bootstrap.known.lookup import known_files
from bootstrap.report.model import SCHEMA, SCHEMAS, SET_SCHEMA, SET_SCHEMAS, Artifact, Report
from bootstrap.report.page import Page, visible
from bootstrap.words import count, listed, some

_SAID: tuple[tuple[str, Callable[[Report], tuple[object, ...]], bool], ...] = (
    ("engine", lambda r: (r.tool.engine.name, r.tool.engine.version), False),
    ("fast path", lambda r: (r.tool.hot_path,), False),
    ("tool", lambda r: (r.tool.name, r.tool.version), False),
    ("source", lambda r: (r.source.kind,), False),
    ("archive", lambda r: (r.source.sha256,), False),
    ("tree digest", lambda r: (r.source.tree_digest,), False),
    ("step file", lambda r: (r.catalogue and r.catalogue.sha256,), False),
    ("decided by", lambda r: (r.decided_by,), False),
    ("release", lambda r: (r.source.release,), True),
    ("entry", lambda r: (r.entry,), True),
    ("processes", lambda r: (r.totals.processes,), True),
    ("system calls", lambda r: (r.totals.syscalls,), True),
    ("result", lambda r: (r.result,), True),
    ("reasons", lambda r: ("; ".join(r.reasons),), True),
)
"""What the reports say of the run, and whether it counts."""


@dataclass(frozen=True)
class ArtifactDiff:
    """What the reports say of one artifact that is not the same in both."""

    path: str
    differs: tuple[str, ...]
    """`sha256`, `status`, `expected`, `note`; or `only`, where one report does not have it."""
    answer: bool
    """One that the release promises, in either report."""
    a: Artifact | None
    b: Artifact | None


@dataclass(frozen=True)
class SourceChange:
    """A source file that one report says differs from the release, and the other otherwise."""

    path: str
    a: str | None
    """Its SHA-256, `missing` or `extra`; None where the report says nothing of it."""
    b: str | None


@dataclass(frozen=True)
class Statement:
    """What the reports say of the run, where that is not the same."""

    name: str
    a: str
    b: str
    counts: bool
    """Whether it is a difference of the run, and not of who ran it, how or from where."""


@dataclass(frozen=True)
class ReportDiff:
    """All that is said of two reports of one architecture."""

    arch: str
    reports: Both[Report]
    said: tuple[Statement, ...]
    sources: tuple[SourceChange, ...]
    artifacts: tuple[ArtifactDiff, ...]
    """In build order."""
    same: int
    failure: Both[str | None] | None
    """Where the guest failed, if that is not the same."""

    @property
    def equal(self) -> bool:
        """Whether nothing that counts differs."""
        counted = any(one.counts for one in self.said)
        return not (counted or self.sources or self.artifacts or self.failure)


@dataclass(frozen=True)
class _Reports:
    """What is read of a set: all that its other keys say follows from this."""

    reports: tuple[Report, ...]


def load(name: str) -> dict[str, Report]:
    """The reports in a file, by architecture. Raises BadInput for any other JSON."""
    value = read_json(name)
    schema = value.get("schema")
    if schema in SCHEMAS:
        found: tuple[Report, ...] = (decode(Report, value, name, lenient=True),)
    elif schema in SET_SCHEMAS:
        found = decode(_Reports, value, name, lenient=True).reports
    else:
        kind = f"of the schema {schema!r}" if isinstance(schema, str) else "of no schema"
        raise BadInput(
            f"{name}: is JSON {kind[:80]}; this version compares {SCHEMA} and {SET_SCHEMA}"
        )
    by_arch: dict[str, Report] = {}
    for report in found:
        if report.schema not in SCHEMAS:
            raise BadInput(f"{name}: a report in it is not of {SCHEMA}")
        arch = report.arch
        try:
            known = arch_name(arch)
        except BadInput as error:
            raise BadInput(f"{name}: arch: {error}") from None
        if arch != known or arch in by_arch:
            raise BadInput(
                f"{name}: arch is {arch!r}, {'not ' + known if arch != known else 'twice'}"
            )
        by_arch[arch] = report
    if not by_arch:
        raise BadInput(f"{name}: has no report")
    return by_arch


def diff(a: Report, b: Report) -> ReportDiff:
    """Compare two reports."""
    said = []
    for name, cells, counts in _SAID:
        one, other = (" ".join(str(c) for c in cells(r) if c is not None) for r in (a, b))
        if one != other:
            said.append(Statement(name, one, other, counts))
    artifacts, same = _artifacts(a, b)
    failures = Both(a, b).map(lambda r: None if r.failure is None else r.failure.message)
    return ReportDiff(
        a.arch, Both(a, b), tuple(said), _sources(a, b), artifacts, same,
        None if failures.same else failures,
    )  # fmt: skip


def _sources(a: Report, b: Report) -> tuple[SourceChange, ...]:
    def of(report: Report) -> dict[str, str]:
        materials = report.source.materials
        found = {changed.path: changed.sha256 or "never read" for changed in materials.changed}
        found |= dict.fromkeys(materials.missing, "missing")
        return found | dict.fromkeys(materials.extra, "extra")

    one, other = of(a), of(b)
    return tuple(
        SourceChange(path, one.get(path), other.get(path))
        for path in sorted({*one, *other})
        if one.get(path) != other.get(path)
    )


def _artifacts(a: Report, b: Report) -> tuple[tuple[ArtifactDiff, ...], int]:
    one = {row.path: (index, row) for index, row in enumerate(a.artifacts)}
    other = {row.path: (index, row) for index, row in enumerate(b.artifacts)}
    last = max(len(one), len(other))

    def order(path: str) -> tuple[int, int, str]:
        places = [side[path][0] if path in side else last for side in (one, other)]
        return min(places), max(places), path

    found, same = [], 0
    for path in sorted({*one, *other}, key=order):
        mine, theirs = one.get(path), other.get(path)
        rows = Both(mine and mine[1], theirs and theirs[1])
        differs = _differs(rows)
        if not differs:
            same += 1
            continue
        answer = any(row is not None and row.is_answer for _, row in rows.sides)
        found.append(ArtifactDiff(path, differs, answer, rows.a, rows.b))
    return tuple(found), same


def _differs(rows: Both[Artifact | None]) -> tuple[str, ...]:
    a, b = rows.a, rows.b
    if a is None or b is None:
        return ("only",)
    keys = ("sha256", "status", "expected", "note")
    return tuple(key for key in keys if getattr(a, key) != getattr(b, key))


# For people.


def claim(found: list[ReportDiff], only: Both[tuple[str, ...]]) -> str:
    """One sentence."""
    artifacts = [(one.arch, artifact) for one in found for artifact in one.artifacts]
    if not artifacts:
        if all(one.equal for one in found) and not only.a and not only.b:
            same = sum(one.same for one in found)
            return f"both reports say the same of {count(same, 'artifact')}"
        if found:
            return "all artifacts are the same, but the reports do not say the same of the runs"
        return "they have no architecture in common"
    arch, first = artifacts[0]
    where = f" of {arch}" if len(found) > 1 else ""
    verb = "differs" if len(artifacts) == 1 else "differ"
    return f"{count(len(artifacts), 'artifact')} {verb}; first in build order {first.path}{where}"


def report_text(
    found: list[ReportDiff], only: Both[tuple[str, ...]], page: Page, every: bool
) -> None:
    """All of it but the last word."""
    for one in found:
        _one(one, page, every)
    for side, arches in only.sides:
        if arches:
            page.blank()
            page.line(f"in {side} only: {listed(arches)}")


def _one(one: ReportDiff, page: Page, every: bool) -> None:
    page.heading(one.arch)
    for side, report in one.reports.sides:
        page.wrapped(f"{side}  {visible(report.claim)}", 2, 3)
    for said in one.said:
        if said.name != "result":
            both = f"{visible(said.a or 'none')} / {visible(said.b or 'none')}"
            page.wrapped(f"{said.name}: {both}", 5, 2)
    if one.failure is not None:
        page.line("  the guest failed")
        for side, message in one.failure.sides:
            page.wrapped(f"{side}  {visible(message or 'no')}", 4, 3)
    if one.sources:
        page.line("  source files that differ from the release, by one report or the other")
        for source in one.sources:
            page.wrapped(visible(source.path), 4, 2)
            for side, state in (("A", source.a), ("B", source.b)):
                page.line(f"      {side}  {visible(state or 'as in the release')}")
    if not one.artifacts:
        page.line(f"  {count(one.same, 'artifact')} the same")
        return
    page.heading(f"First in build order: {visible(one.artifacts[0].path)}")
    _artifact(one.artifacts[0], page)
    for side, report in one.reports.sides:
        if (divergence := report.first_divergence) is not None:
            text = f"{divergence.path} differs from what it should be: {divergence.verdict}"
            page.wrapped(f"{side} says that {visible(text)}", 2, 2)
    rest = one.artifacts[1:]
    if rest:
        page.heading(f"Then {count(len(rest), 'artifact')}; {one.same} are the same")
        for artifact in rest if every else rest[:MOST]:
            _artifact(artifact, page)
        if len(rest) > MOST and not every:
            names = some(visible(artifact.path) for artifact in rest[MOST:])
            page.wrapped(f"and {names} (--all shows them)", 2, 2)


def _artifact(one: ArtifactDiff, page: Page) -> None:
    a, b = one.a, one.b
    if a is None or b is None:
        only = f", in {'B' if a is None else 'A'} only"
    else:
        only = ""
    kind = "" if one.answer else ", intermediate"
    page.wrapped(f"{visible(one.path)}{kind}{only}", 2, 4)
    for side, row in (("A", a), ("B", b)):
        if row is None:
            continue
        size = "" if row.size is None else f"{row.size:,} bytes  "
        page.line(f"    {side}  {row.status:8}  {size}{row.sha256 or ''}")
        if "expected" in one.differs and row.expected is not None:
            page.line(f"       expected  {row.expected}")
        note = row.note if "note" in one.differs else None
        if note:
            page.wrapped(visible(note), 7)
        text = known_files().text(row.sha256 or "")
        if text and f"this is {text}" not in (note or ""):
            page.wrapped(f"this is {text}", 7)
    makers = [row.producer for row in (a, b) if row is not None and row.producer is not None]
    for said in dict.fromkeys(f"pid {made.pid}: {' '.join(made.argv)}" for made in makers):
        page.wrapped(f"written by {visible(said)}", 7, 2)


def report_document(found: list[ReportDiff], only: Both[tuple[str, ...]]) -> dict[str, Any]:
    """The same for machines."""
    return {
        "reports": [
            {
                "arch": one.arch,
                "equal": one.equal,
                "said": encode(one.said),
                "failure": encode(one.failure),
                "sources": encode(one.sources),
                "artifacts": encode(one.artifacts),
                "totals": {"same": one.same, "different": len(one.artifacts)},
            }
            for one in found
        ],
        "only": encode(only),
    }


def compare_reports(a: str, b: str) -> Comparison:
    """Compare two files. Raises BadInput."""
    one, other = load(a), load(b)
    common = [arch for arch in one if arch in other]
    found = [diff(one[arch], other[arch]) for arch in common]
    only = Both(
        tuple(arch for arch in one if arch not in other),
        tuple(arch for arch in other if arch not in one),
    )
    equal = all(report.equal for report in found) and not only.a and not only.b
    return Comparison(
        "report", equal, claim(found, only),
        lambda page, every: report_text(found, only, page, every), report_document(found, only),
    )  # fmt: skip
