"""Counts opinions: a row for each artifact, a column for each opinion, and what that comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bootstrap.core.errors import BadInput, ExitStatus
from bootstrap.documents import Sha256, Size, TreePath, from_json
from bootstrap.known import Known
from bootstrap.report.model import NameAndVersion
from bootstrap.report.opinion import JudgedBy, ReleaseOpinion
from bootstrap.report.ways import RULE, SHARED, Way
from bootstrap.words import count

SCHEMA: Literal["bootstrap-confirm/1"] = "bootstrap-confirm/1"
Cell = Literal["agree", "differ", "not applicable", "not run"]
State = Literal["made", "kept", "read", "not run", "not applicable"]
Result = Literal["confirmed", "differs", "too few"]


@dataclass(frozen=True)
class Voice:
    """A column: an opinion as it was found. `why` says why there is none, or what an old one is."""

    way: Way
    state: State
    opinion: ReleaseOpinion | None = None
    why: str = ""
    command: str | None = None
    """What would make it, where it can be made here."""
    result: Literal["agree", "differ"] | None = None
    """What it comes to in this table."""


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
    opinions: tuple[Voice, ...]
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


def confirmation(
    frame: ReleaseOpinion,
    known: Sequence[Known],
    voices: Sequence[Voice],
    at_least: int,
    makers: Mapping[str, str],
) -> Confirmation:
    """Count the opinions on what `frame` is about.

    A differing opinion is never outvoted; a run that stopped votes for nothing. `makers` says by
    path who makes it and of what, for an opinion that does not say so of its run.
    """
    values: dict[str, Known] = {}
    findings = []
    for value in known:
        first = values.setdefault(value.path, value)
        if first.sha256 != value.sha256:
            findings.append(
                f"the known values differ: {value.path} is {first.sha256} by {first.from_}, "
                f"{value.sha256} by {value.from_}"
            )
    heard = {voice.way.name: voice.opinion for voice in voices if voice.opinion is not None}
    said = {
        name: {file.path: file.sha256 for file in opinion.artifacts}
        for name, opinion in heard.items()
    }
    # These two know in which order things are made; the first divergence is the first of them.
    order = ["fast-path", "models", *said]
    paths = dict.fromkeys([*(path for name in order for path in said.get(name, ())), *values])
    rows = tuple(_row(path, values.get(path), said, voices) for path in paths)
    for name, opinion in heard.items():
        findings += _findings(name, opinion, rows, makers)
    findings += [
        f"{row.path}: no opinion says what it is"
        for row in rows
        if row.sha256 is None and not row.differing
    ]
    least = min((row.independent for row in rows), default=0)
    weakest = next((row.path for row in rows if row.independent == least), None)
    result: Result = "differs" if findings else "confirmed"
    what = f"{count(len(rows), 'artifact')} of {frame.release} for {frame.arch}"
    claim = (
        f"Each of {what} has at least {least} independent opinions ({at_least} asked for), and"
        " none differs."
    )
    if findings:
        claim = f"{findings[0]}."
    elif not rows or least < at_least:
        result, short = "too few", sum(row.independent < at_least for row in rows)
        claim = (
            f"{short} of {what} have fewer than {at_least} independent opinions; the weakest,"
            f" {weakest}, has {least}."
        )
    return Confirmation(
        tool=frame.tool, release=frame.release, arch=frame.arch, entry=frame.entry,
        tree=frame.tree, judged_by=frame.judged_by, at_least=at_least, result=result,
        claim=claim, findings=tuple(findings), weakest=weakest, least=least,
        opinions=tuple(_with_result(voice, rows) for voice in voices), artifacts=rows,
    )  # fmt: skip


def _with_result(voice: Voice, rows: Sequence[ArtifactRow]) -> Voice:
    if voice.opinion is None:
        return voice
    bad = voice.opinion.stopped or any(voice.way.name in row.differing for row in rows)
    return replace(voice, result="differ" if bad else "agree")


def _row(
    path: str,
    known: Known | None,
    said: Mapping[str, Mapping[str, str | None]],
    voices: Sequence[Voice],
) -> ArtifactRow:
    """A known value decides who agrees; where none is known, all have to say the same."""
    here = {name: files[path] for name, files in said.items() if path in files}
    wanted = known.sha256 if known else None
    if known is None and len(set(here.values())) == 1:
        [wanted] = set(here.values())
    cells: dict[str, Cell] = {}
    differing = {}
    agreeing = set()
    for voice in voices:
        name, opinion, cell = voice.way.name, voice.opinion, "not run"
        if voice.state == "not applicable":
            cell = "not applicable"
        elif opinion is not None:
            if name not in here and (known is None or voice.way.reach == "some"):
                cell = "not applicable"
            elif wanted is None or here.get(name) != wanted or path in opinion.unsteady:
                cell, differing[name] = "differ", here.get(name)
            elif opinion.stopped is None:
                cell = "agree"
                agreeing.add(voice.way.independence)
        cells[name] = cell  # type: ignore[assignment]
    from_ = known.from_ if known else None
    return ArtifactRow(path, wanted, from_, len(agreeing), cells, differing)


def _findings(
    name: str, opinion: ReleaseOpinion, rows: Sequence[ArtifactRow], makers: Mapping[str, str]
) -> list[str]:
    """What speaks against an opinion's being one in favour, the first divergence first."""
    found = []
    wrong = [row for row in rows if name in row.differing and row.path not in opinion.unsteady]
    if wrong:
        first, more = wrong[0], count(len(wrong) - 1, "more artifact")
        cause = (opinion.cause or makers.get(first.path, "")).removesuffix(".")
        found.append(
            f"{name} differs first at {first.path}: it is {first.differing[name] or 'not there'},"
            f" not {first.sha256 or 'what others say'}{f', and {more}' if wrong[1:] else ''}"
            f"{cause and f': {cause}'}"
        )
    if opinion.unsteady:
        more = f" and {len(opinion.unsteady) - 1} more" if opinion.unsteady[1:] else ""
        found.append(
            f"{name} is not deterministic: {opinion.unsteady[0]}{more} came out otherwise when the"
            " same was done before"
        )
    if opinion.stopped is not None:
        found.append(f"{name} did not come to its end: {opinion.stopped}")
    return found


def read_baseline(data: bytes, name: str) -> Confirmation:
    """A confirmation that was written before. Raises BadInput."""
    found = from_json(Confirmation, data, f"{name}: no confirmation of bootstrap confirm --json")
    if not found.artifacts:
        raise BadInput(f"{name}: has no artifacts: nothing could be lost since")
    return found


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
        agreed = [name for name, cell in old.opinions.items() if cell == "agree"]
        if lost := [name for name in agreed if row.opinions.get(name) != "agree"]:
            fell = f"{old.independent} independent before, {row.independent} now"
            changes.append(f"{old.path}: lost {', '.join(lost)}, {fell}")
    if not changes:
        return now
    findings = (*now.findings, *(f"since the baseline: {change}" for change in changes))
    return replace(now, result="differs", findings=findings, claim=f"{findings[0]}.")
