"""Counts opinions: a row for each artifact, a column for each opinion, and what that comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bootstrap.confirm.ways import BY_NAME, RULE, SHARED, Way
from bootstrap.core.errors import BadInput, ExitStatus
from bootstrap.documents import MAX_DOCUMENT, Sha256, Size, TreePath, Word, from_json
from bootstrap.known import Known
from bootstrap.report.model import NameAndVersion
from bootstrap.report.opinion import JudgedBy, Made, ReleaseOpinion
from bootstrap.words import count

SCHEMA: Literal["bootstrap-confirm/1"] = "bootstrap-confirm/1"
Cell = Literal["agree", "differ", "not applicable", "not run"]
State = Literal["made", "kept", "read", "not run", "not applicable"]
Result = Literal["confirmed", "differs", "too few"]


@dataclass(frozen=True)
class Voice:
    """One opinion as it was found; `why` says why there is none, or what became of an old one."""

    way: Way
    state: State
    opinion: ReleaseOpinion | None = None
    why: str = ""
    makable: bool = False
    """Whether it can be made here."""


@dataclass(frozen=True)
class Column:
    """What is said of an opinion beside its cells. `command` makes it, where it is not run."""

    name: Word
    title: str
    cpu: str
    kernel: str
    chain: str
    publisher: str
    value: str
    state: State
    result: Literal["agree", "differ"] | None
    why: str
    command: str | None
    how: str | None
    stopped: str | None
    unsteady: tuple[TreePath, ...]
    inputs: Mapping[str, str]
    made: Made | None
    digest: str | None


@dataclass(frozen=True)
class ArtifactRow:
    """An artifact. `sha256` is what is known of it, or what all opinions have in common."""

    path: TreePath
    sha256: Sha256 | None
    known_from: str | None
    independent: Size
    """Opinions that agree, those that are not independent of one another counted once."""
    opinions: Mapping[str, Cell]
    differing: Mapping[str, Sha256 | None]
    """What a differing opinion has instead."""


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """All of it: the document of `confirm --json`."""

    schema: Literal["bootstrap-confirm/1"] = SCHEMA
    tool: NameAndVersion
    release: str
    arch: str
    entry: str
    tree: Sha256
    judged_by: JudgedBy
    at_least: Size
    result: Result
    claim: str
    findings: tuple[str, ...]
    """What differs, what is nondeterministic, what was lost: the weightiest first."""
    weakest: TreePath | None
    least: Size
    """The independent opinions on the weakest artifact."""
    rule: str = RULE
    shared: str = SHARED
    opinions: tuple[Column, ...]
    artifacts: tuple[ArtifactRow, ...]
    """In the order in which they are made."""

    @property
    def exit_code(self) -> ExitStatus:
        """0 only where nothing differs, is lost or is seen by too few."""
        return ExitStatus.DONE if self.result == "confirmed" else ExitStatus.DIFFERS

    @property
    def weakest_first(self) -> list[ArtifactRow]:
        """The rows by their count, then in the order in which they are made."""
        return sorted(self.artifacts, key=lambda row: row.independent)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the opinions are about."""

    release: str
    arch: str
    entry: str
    tree: str
    judged_by: JudgedBy
    known: Sequence[Known] = field(default=())


def confirmation(
    subject: Subject, voices: Sequence[Voice], at_least: int, tool: NameAndVersion
) -> Confirmation:
    """Count. A differing opinion is never outvoted; one that stopped votes for nothing."""
    known: dict[str, Known] = {}
    clashes = []
    for value in subject.known:
        first = known.setdefault(value.path, value)
        if first.sha256 != value.sha256:
            clashes.append(
                f"the known values differ: {value.path} is {first.sha256} by {first.from_}, "
                f"{value.sha256} by {value.from_}"
            )
    heard = [voice for voice in voices if voice.opinion is not None]
    values = {
        v.way.name: {file.path: file.sha256 for file in v.opinion.artifacts}
        for v in heard
        if v.opinion is not None
    }
    paths = dict.fromkeys(path for voice in heard for path in values[voice.way.name])
    rows = tuple(
        _row(path, known.get(path), heard, values, voices)
        for path in dict.fromkeys([*paths, *known])
    )
    findings = [*clashes]
    for voice in heard:
        findings += _findings(voice, rows)
    for row in rows:
        if row.sha256 is None and not row.differing:
            findings.append(f"{row.path}: no opinion says what it is")
    least = min((row.independent for row in rows), default=0)
    weakest = next((row.path for row in rows if row.independent == least), None)
    result: Result = "confirmed" if rows and least >= at_least else "too few"
    result = "differs" if findings else result
    what = f"{subject.release} for {subject.arch}"
    short = sum(row.independent < at_least for row in rows)
    claim = {
        "differs": f"{findings[0] if findings else ''}.",
        "too few": f"{short} of {count(len(rows), 'artifact')} of {what} have fewer than "
        f"{at_least} independent opinions; the weakest, {weakest}, has {least}.",
        "confirmed": f"Each of {count(len(rows), 'artifact')} of {what} has at least {least} "
        f"independent opinions ({at_least} asked for), and none differs.",
    }[result]
    columns = tuple(_column(voice, rows, subject) for voice in voices)
    return Confirmation(
        tool=tool, release=subject.release, arch=subject.arch, entry=subject.entry,
        tree=subject.tree, judged_by=subject.judged_by, at_least=at_least, result=result,
        claim=claim, findings=tuple(findings), weakest=weakest, least=least, opinions=columns,
        artifacts=rows,
    )  # fmt: skip


def _row(
    path: str,
    known: Known | None,
    heard: Sequence[Voice],
    values: Mapping[str, Mapping[str, str | None]],
    voices: Sequence[Voice],
) -> ArtifactRow:
    """A known value decides who agrees; where none is known, all have to say the same."""
    said = {name: files[path] for name, files in values.items() if path in files}
    wanted = known.sha256 if known else None
    if known is None and len(set(said.values())) == 1:
        [wanted] = set(said.values())
    cells: dict[str, Cell] = {
        v.way.name: "not applicable" if v.state == "not applicable" else "not run" for v in voices
    }
    differing = {}
    for voice in heard:
        name, opinion = voice.way.name, voice.opinion
        assert opinion is not None
        if name not in said and (known is None or voice.way.reach == "some"):
            cells[name] = "not applicable"
        elif said.get(name) != wanted or wanted is None or path in opinion.unsteady:
            cells[name] = "differ"
            differing[name] = said.get(name)
        elif opinion.stopped is None:
            cells[name] = "agree"
    agreeing = {BY_NAME[name].independence for name, cell in cells.items() if cell == "agree"}
    from_ = known.from_ if known else None
    return ArtifactRow(path, wanted, from_, len(agreeing), cells, differing)


def _findings(voice: Voice, rows: Sequence[ArtifactRow]) -> list[str]:
    """What speaks against an opinion's being one in favour, the first divergence first."""
    opinion, name, found = voice.opinion, voice.way.name, []
    assert opinion is not None
    wrong = [row for row in rows if name in row.differing and row.path not in opinion.unsteady]
    if wrong:
        first = wrong[0]
        here = first.differing[name] or "not there"
        wanted = first.sha256 or "something else by others"
        more = f", and {count(len(wrong) - 1, 'more artifact')}" if len(wrong) > 1 else ""
        found.append(f"{name} differs first at {first.path}: it is {here}, not {wanted}{more}")
    if opinion.unsteady:
        more = f" and {len(opinion.unsteady) - 1} more" if len(opinion.unsteady) > 1 else ""
        found.append(
            f"{name} is not deterministic: {opinion.unsteady[0]}{more} came out otherwise when the "
            "same was done before"
        )
    if opinion.stopped is not None:
        found.append(f"{name} did not come to its end: {opinion.stopped}")
    return found


def _column(voice: Voice, rows: Sequence[ArtifactRow], subject: Subject) -> Column:
    way, opinion = voice.way, voice.opinion
    result: Literal["agree", "differ"] | None = None
    if opinion is not None:
        bad = opinion.stopped is not None or any(way.name in row.differing for row in rows)
        result = "differ" if bad else "agree"
    command = None
    if voice.state == "not run" and voice.makable:
        release = subject.release.rpartition(" ")[2]
        command = f"bootstrap confirm --release {release} --arch {subject.arch} --run {way.name}"
    return Column(
        way.name, way.title, way.cpu, way.kernel, way.chain, way.publisher, way.value, voice.state,
        result, voice.why, command, opinion.how if opinion else None,
        opinion.stopped if opinion else None, opinion.unsteady if opinion else (),
        opinion.inputs if opinion else {}, opinion.made if opinion else None,
        opinion.digest if opinion else None,
    )  # fmt: skip


# -- against an earlier one --------------------------------------------------------------------


def read_baseline(data: bytes, name: str) -> Confirmation:
    """A confirmation that was written before. Raises BadInput."""
    return from_json(Confirmation, data, f"{name}: no confirmation of bootstrap confirm --json",
                     limit=MAX_DOCUMENT)  # fmt: skip


def against(now: Confirmation, before: Confirmation) -> Confirmation:
    """With what an artifact lost since, as findings. Raises BadInput for one of another thing."""
    for what in ("release", "arch", "entry"):
        if (ours := getattr(now, what)) != (theirs := getattr(before, what)):
            raise BadInput(f"the baseline is of {what} {theirs}, and this is of {ours}")
    rows = {row.path: row for row in now.artifacts}
    changes = []
    if now.tree != before.tree:
        changes.append(f"the tree is {now.tree}, and was {before.tree}")
    for old in before.artifacts:
        row = rows.get(old.path)
        if row is None:
            changes.append(f"{old.path}: is not there any more")
            continue
        if row.sha256 != old.sha256:
            changes.append(f"{old.path}: is {row.sha256}, and was {old.sha256}")
        lost = [
            name
            for name, cell in old.opinions.items()
            if cell == "agree" and row.opinions.get(name) != "agree"
        ]
        if lost:
            fell = f", {old.independent} independent before, {row.independent} now"
            changes.append(f"{old.path}: lost {', '.join(lost)}{fell}")
    if not changes:
        return now
    findings = (*now.findings, *(f"since the baseline: {change}" for change in changes))
    return replace(now, result="differs", findings=findings, claim=f"{findings[0]}.")
