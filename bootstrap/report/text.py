"""The report for people: what was run, what matches, and first of all what went wrong first.

Of several architectures: a line each, and in full what went wrong.
"""

import json
import shlex
from collections.abc import Sequence

from bootstrap.documents import encode
from bootstrap.report.model import (
    LESSER,
    Artifact,
    FirstMismatch,
    Recheck,
    Report,
    ReportSet,
    Result,
    SinceRevision,
    SourceInfo,
    Status,
    Step,
    Tool,
    set_title,
)
from bootstrap.report.page import Page, visible
from bootstrap.words import count, listed, some

SHORT_HASH = 12
# More good inputs than this are summed up on a terminal; a pipe and the JSON get them all.
MANY_INPUTS = 12
_MARKS: dict[Result, Status] = {
    "verified": "match",
    "mismatch": "mismatch",
    "error": "mismatch",
    "incomplete": "unknown",
    **dict.fromkeys(LESSER, "unknown"),
}


def to_json_text(said: Report | ReportSet) -> str:
    """The JSON text of docs/report.md, ASCII only, ending in a newline.

    Deterministic: keys in a fixed order, no host paths, no clock but `totals.wall_seconds`.
    """
    return json.dumps(encode(said), indent=2, ensure_ascii=True) + "\n"


def to_text(
    said: Report | ReportSet,
    *,
    colour: bool = False,
    width: int | None = None,
    unicode: bool = True,
    verbose: bool = False,
) -> str:
    """The report, ending in a newline.

    `width` is the number of columns of the terminal; None (a pipe, a file) shows every hash in
    full. `verbose` lists the intermediate artifacts also when all of them match; of several
    reports, it shows each whole.
    """
    page = Page(colour, width, unicode)
    if isinstance(said, Report):
        _report(page, said, verbose)
    else:
        _several(page, said, verbose)
    page.verdict(said.result, said.claim, said.decided_by)
    return page.text()


def _report(page: Page, report: Report, verbose: bool) -> None:
    """All of it but the verdict."""
    what = report.title
    if report.source.kind == "embedded":
        what = "embedded sources"
    page.heading(f"{what} for {report.arch}, entry {report.entry}")
    source_lines(page, report.source, report.tool)
    materials = report.source.materials
    if materials.known:
        state = "all as in the release"
        if materials.changed or materials.missing:
            state = f"{len(materials.changed)} changed, {len(materials.missing)} missing"
        page.labelled("materials", f"{count(materials.known, 'file')}, {state}")
    if extra := materials.extra:
        shown = some(visible(p) for p in extra)
        page.labelled("hidden", f"{count(len(extra), 'file')} not of the release: {shown}")
    _table(page, f"Answers: {_matching(report.answers)} match", report.answers)
    _intermediates(page, report.intermediates, verbose)
    findings(page, report)
    totals = report.totals
    jobs = f", {report.jobs} jobs" if report.jobs > 1 else ""
    page.blank()
    page.wrapped(
        f"{count(totals.processes, 'process')}, {totals.syscalls:,} system calls, "
        f"{totals.wall_seconds:.1f} s{jobs}",
        indent=0,
    )
    if report.recheck is not None:
        page.wrapped(_recheck(report.recheck), indent=0)
    if (memo := report.memo) is not None:
        parts = [
            f"{getattr(memo, name)} {name}"
            for name in ("believed", "checked", "differing", "ran", "dropped")
            if getattr(memo, name)
        ]
        lost = "; it could not be written to" if memo.lost else ""
        page.wrapped(f"memo {visible(memo.name)}: {', '.join(parts)}{lost}", indent=0)
    if report.since is not None:
        _since(page, report.since)
    page.blank()
    for reason in report.reasons[1:]:
        page.wrapped(f"also: {visible(reason)}", indent=0, hanging=6)


def _recheck(recheck: Recheck) -> str:
    if recheck.differences:
        return "recheck by the core alone: it does not agree"
    return (
        "recheck by the core alone: the same verdict, tree, step file and "
        f"{count(recheck.artifacts, 'artifact')}"
    )


def _since(page: Page, since: SinceRevision) -> None:
    how = "the release" if since.before == "known values" else "which was run first"
    page.heading(f"Since {visible(since.revision)} (commit {since.commit[:12]}), {how}")
    others = count(since.others, "file") if since.others else ""
    more = f" (and {others} that the bootstrap does not read)" if others else ""
    page.labelled("differ", f"{some(map(visible, since.files)) or 'no file that it reads'}{more}")
    for label in ("changed", "unchanged", "not_made", "unexpected"):
        if names := getattr(since, label):
            shown = some(map(visible, names), 12)
            page.labelled(label.replace("_", " "), f"{count(len(names), 'artifact')}: {shown}")
    page.labelled("untouched", f"{count(since.untouched, 'artifact')}, as before")


def _several(page: Page, said: ReportSet, verbose: bool) -> None:
    """All of it but the verdict."""
    entries = listed(dict.fromkeys(r.entry for r in said.reports))
    page.heading(f"{set_title(said.reports)}, entry {entries}")
    source_lines(page, said.reports[0].source, said.reports[0].tool)
    if verbose:
        for report in said.reports:
            _report(page, report, verbose=True)
            page.verdict(report.result, report.claim, report.decided_by)
    page.heading(f"Answers: {said.totals.matching} of {said.totals.answers} match")
    names = max(len(r.arch) for r in said.reports)
    for report in said.reports:
        _row_of(page, report, names)
    for report in said.reports:
        if not verbose and report.result != "verified":
            page.heading(f"{report.arch}: {report.result}")
            for reason in report.reasons:
                page.wrapped(visible(reason), hanging=2)
            findings(page, report)
    page.blank()
    page.wrapped(f"{said.totals.wall_seconds:.1f} s in all", indent=0)
    page.blank()


def _row_of(page: Page, report: Report, names: int) -> None:
    """A report in one row; the names of architectures have so many columns."""
    intermediates = [a for a in report.intermediates if a.expectations]
    unknown = sum(a.status == "unknown" for a in report.artifacts)
    parts = [f"{_matching(report.answers)} answers"]
    if intermediates:
        parts.append(f"{_matching(intermediates)} intermediate artifacts")
    if unknown:
        parts.append(f"{unknown} without a known-good value")
    row = f"{report.arch:<{names}}  {', '.join(parts)}; {report.totals.wall_seconds:.1f} s"
    start = len(page.lines)
    page.wrapped(row, indent=4 + page.mark_width - 1, hanging=names + 2)
    mark = page.mark(_MARKS[report.result])
    page.lines[start] = f"  {mark} {page.lines[start].lstrip()}"


def _matching(artifacts: Sequence[Artifact]) -> str:
    return f"{sum(a.status == 'match' for a in artifacts)} of {len(artifacts)}"


def findings(page: Page, report: Report) -> None:
    """What went wrong, and first of all what went wrong first; nothing if all is well."""
    _changed(page, report)
    if (divergence := report.first_divergence) is not None:
        artifact = next(a for a in report.artifacts if a.path == divergence.path)
        _first_divergence(page, divergence, artifact)
    _failure(page, report)


def source_lines(page: Page, source: SourceInfo, tool: Tool) -> None:
    """Where the tree came from, and what did the emulation."""
    digest = f"sha256 {source.sha256}" if source.sha256 else f"tree {source.tree_digest}"
    label = f" {visible(source.label)}" if source.label and source.kind != "embedded" else ""
    known = f", {digest}" if source.sha256 or source.tree_digest else ""
    page.labelled("source", f"{source.kind}{label}{known}")
    page.labelled("engine", f"{tool.engine.name} {tool.engine.version}, {tool.hot_path} fast path")


def _table(page: Page, title: str, artifacts: Sequence[Artifact]) -> None:
    """One row per artifact; hashes in full where all columns have room, else their beginnings."""
    if not artifacts:
        return
    origins = {a.expected_from for a in artifacts}
    shared = len(origins) == 1 and len(artifacts) > 1
    page.heading(f"{title} ({origins.pop()})" if shared and None not in origins else title)
    name_width = max(len(visible(a.path)) for a in artifacts)
    sizes = ["" if a.size is None else f"{a.size:,}" for a in artifacts]
    size_width = max(len(s) for s in sizes)
    from_width = 0 if shared else max(len(a.expected_from or "") for a in artifacts)
    room = None if page.width is None else page.width - 5 - page.mark_width - name_width
    with_size = room is None or room >= size_width + 2 + SHORT_HASH + 1
    full = room is None or room >= size_width + 2 + 64 + 2 + from_width
    for artifact, size in zip(artifacts, sizes, strict=True):
        row = f"  {page.mark(artifact.status)} {visible(artifact.path):<{name_width}}"
        row += f"  {size:>{size_width}}" if with_size else ""
        row += f"  {_hash(artifact.sha256, full)}"
        if artifact.status == "match" and not shared:
            used = size_width + 2 + SHORT_HASH + 1 + 2
            for came in (artifact.expected_from, artifact.expectations[0].from_):
                if came and (full or room is None or used + len(came) <= room):
                    row += f"  {came}"
                    break
        page.line(row)
        if artifact.status == "missing":
            origin = "" if shared else f"  {artifact.expected_from}"
            for detail in (
                f", expected {_hash(artifact.expected, full)}{origin}",
                f", expected {_hash(artifact.expected, False)}",
            ):
                if room is None or size_width + 2 + len("missing") + len(detail) <= room:
                    page.lines[-1] += detail
                    break
        elif artifact.status == "mismatch":
            torn = len({e.sha256 for e in artifact.expectations}) > 1
            for value in artifact.expectations if torn else artifact.expectations[:1]:
                origin = value.from_ if torn else "" if shared else f"{artifact.expected_from}"
                line = f"expected  {_hash(value.sha256, full)}  {origin}"
                page.wrapped(line, indent=6, hanging=10)
        if artifact.note:
            page.wrapped(visible(artifact.note), indent=6)


def _hash(sha256: str | None, full: bool) -> str:
    if sha256 is None:
        return "missing"
    return sha256 if full else sha256[:SHORT_HASH] + "…"


def _intermediates(page: Page, artifacts: Sequence[Artifact], verbose: bool) -> None:
    judged = [a for a in artifacts if a.status != "unknown"]
    unknown = [a for a in artifacts if a.status == "unknown"]
    wrong = [a for a in judged if a.status != "match"]
    if verbose:
        _table(page, "Intermediate artifacts", judged)
        _table(page, "Products without a known-good value", unknown)
        return
    if judged:
        page.blank()
        origin = some(dict.fromkeys(a.expected_from or "" for a in judged))
        state = "all match" if not wrong else f"{len(judged) - len(wrong)} match"
        mark = page.mark("mismatch" if wrong else "match")
        page.wrapped(f"{mark} {count(len(judged), 'intermediate artifact')}: {state} ({origin})")
        differing = [a for a in wrong if a.status == "mismatch"]
        missing = [a for a in wrong if a.status == "missing"]
        if differing:
            _table(page, "Intermediate artifacts that differ", differing)
        if missing:
            page.wrapped(f"missing: {some(visible(a.path) for a in missing)}", hanging=2)
    if unknown:
        page.wrapped(
            f"{page.mark('unknown')} {count(len(unknown), 'product')} without a known-good value: "
            + some(visible(a.path) for a in unknown)
        )


def _changed(page: Page, report: Report) -> None:
    materials = report.source.materials
    if not materials.changed and not materials.missing:
        return
    page.heading("The source differs from the release")
    for path in materials.missing:
        page.line(f"  {page.mark('missing')} {visible(path)} is missing")
    for changed in materials.changed:
        seed = " (a seed)" if changed.seed else ""
        page.line(f"  {page.mark('bad')} {visible(changed.path)}{seed}")
        page.line(f"      got      {changed.sha256 or 'not read by this run'}")
        page.line(f"      expected {changed.expected or 'unknown'}")
        if changed.first_artifact:
            page.line(f"      first artifact made from it: {visible(changed.first_artifact)}")


def _first_divergence(page: Page, divergence: FirstMismatch, artifact: Artifact) -> None:
    page.heading(f"First divergence: {visible(artifact.path)}")
    page.labelled("got", f"{artifact.sha256}")
    for sha256 in dict.fromkeys(e.sha256 for e in artifact.expectations):
        origin = " and ".join(e.from_ for e in artifact.expectations if e.sha256 == sha256)
        page.labelled("expected", f"{sha256} ({origin})")
    if divergence.step is not None:
        _step(page, "written by", divergence.step, everything=True)
    for step in divergence.drivers:
        _step(page, "driven by", step, everything=False)
    for step in divergence.trail:
        _step(page, "earlier", step, everything=False)
    page.blank()
    page.wrapped(page.paint(visible(divergence.verdict), "1"))


def _step(page: Page, label: str, step: Step, *, everything: bool) -> None:
    process = step.process
    place = "" if process.cwd == "/" else f", in {visible(process.cwd)}"
    command = visible(shlex.join(process.argv))
    page.labelled(label, f"pid {process.pid}{place}: {command}")
    inputs = [i for i in step.inputs if everything or i.state != "good"]
    good = [i for i in inputs if i.state == "good" and i.role == "file"]
    many = page.width is not None and len(good) > MANY_INPUTS
    if many:
        inputs = [i for i in inputs if i not in good]
    if not inputs:
        return
    name_width = max(len(visible(i.path)) for i in inputs)
    for judged in inputs:
        short = page.width is not None and page.width < name_width + 64 + 8
        shown = judged.sha256[:SHORT_HASH] + "…" if short else judged.sha256
        row = f"    {page.mark(judged.state)} {visible(judged.path):<{name_width}}  {shown}"
        why = f"{judged.state}: {judged.why}" if judged.state != "good" else judged.why
        length = 6 + page.mark_width + name_width + len(shown)
        if page.width is None or length + len(why) + 2 <= page.width:
            page.line(f"{row}  {why}")
        else:
            page.line(row)
            if judged.state != "good":
                page.wrapped(why, indent=8)
    if many:
        page.wrapped(f"{page.mark('good')} {len(good)} files, all good (hashes: --json)", indent=4)


def _failure(page: Page, report: Report) -> None:
    failure = report.failure
    if failure is None:
        return
    page.heading("The guest failed")
    page.wrapped(visible(failure.message))
    if failure.process is not None:
        _step(page, "process", Step(failure.process, failure.inputs), everything=True)
    for detail in failure.details:
        page.line(f"    {visible(detail)}")
    if failure.verdict:
        page.wrapped(page.paint(visible(failure.verdict), "1"))
    judged = [a for a in report.artifacts if a.expectations]
    built = [a for a in judged if a.status != "missing"]
    good = sum(a.status == "match" for a in built)
    page.wrapped(
        f"Until then {len(built)} of {count(len(judged), 'artifact')} were built; {good} match."
    )
