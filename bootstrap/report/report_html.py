"""The report as a page that can be passed on: what `html.to_html` makes HTML of."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from bootstrap.report.chain import chain, chain_svg
from bootstrap.report.html import HtmlCell, HtmlPage, HtmlTable, Tone
from bootstrap.report.model import LESSER, Artifact, Report, ReportSet, set_title
from bootstrap.report.page import DECIDED, VERDICTS

_TONES: dict[str, Tone] = {"match": "good", "mismatch": "bad", "missing": "bad", "unknown": "warn"}
_MARKS = {"match": "✓", "mismatch": "✗", "missing": "−", "unknown": "?"}


def report_page(said: Report | ReportSet) -> HtmlPage:
    """Verdict, environment, chain, every artifact with its values, sources, how to repeat it."""
    reports = (said,) if isinstance(said, Report) else said.reports
    word = VERDICTS[said.result][0]
    if said.result == "verified" and said.decided_by is not None:
        word += DECIDED[said.decided_by]
    tone: Tone = "good" if said.result == "verified" else "warn" if said.result in LESSER else "bad"
    return HtmlPage(
        title=f"bootstrap verify: {set_title(reports)}",
        word=word,
        tone=tone,
        claim=said.claim,
        facts=[fact for report in reports for fact in _facts(report, len(reports) > 1)],
        findings=[*said.reasons, *(text for report in reports for text in _findings(report))],
        pictures=[
            (
                f"{name}: who made whom",
                chain_svg(chain(report), f"{name}: which program made which"),
            )
            for report in reports
            if (name := f"{report.title} for {report.arch}") and chain(report)
        ],
        tables=[table for report in reports for table in _tables(report)],
        notes=[f"To repeat it: {shlex.join(_again(report))}" for report in reports],
    )


def _facts(report: Report, several: bool) -> Iterator[tuple[str, str]]:
    source, tool = report.source, report.tool
    head = f"{report.arch}: " if several else ""
    yield f"{head}source", source.kind + f", release {source.release}" * bool(source.release)
    if source.in_place_of is not None:
        yield f"{head}in place of", source.in_place_of
    if source.sha256 is not None:
        yield f"{head}archive", f"sha256 {source.sha256}"
    yield f"{head}tree", source.tree_digest or "none"
    materials = source.materials
    wrong = len(materials.missing) + len(materials.changed)
    yield (
        f"{head}materials",
        f"{materials.known} files"
        + (f", of which {wrong} are missing or changed" if wrong else ", all as in the release"),
    )
    yield f"{head}entry", report.entry
    if report.catalogue is not None:
        yield f"{head}judged by", f"{report.catalogue.steps}, sha256 {report.catalogue.sha256}"
    yield f"{head}decided by", report.decided_by or "nothing: there is no step file for it"
    if report.recheck is not None:
        found = report.recheck.result or "came to no verdict"
        yield f"{head}recheck by the core", f"{found}, {report.recheck.artifacts} artifacts"
    engine = f"{tool.engine.name} {tool.engine.version}, {tool.hot_path} fast path"
    yield f"{head}made with", f"{tool.name} {tool.version}, {engine}"
    totals = report.totals
    yield (
        f"{head}run",
        (
            f"{totals.processes:,} processes, {totals.syscalls:,} system calls,"
            f" {totals.wall_seconds:.1f} s"
        ),
    )


def _findings(report: Report) -> Iterator[str]:
    if report.first_divergence is not None:
        yield f"{report.first_divergence.path}: {report.first_divergence.verdict}"
    if report.failure is not None:
        yield from (report.failure.message, *report.failure.details)
    if report.recheck is not None:
        yield from report.recheck.differences


def _tables(report: Report) -> Iterator[HtmlTable]:
    name = f"{report.title} for {report.arch}"
    if report.answers:
        yield _artifacts(f"{name}: what the release promises", report.answers)
    if report.intermediates:
        yield _artifacts(f"{name}: intermediate artifacts", report.intermediates)
    materials = report.source.materials
    rows = [
        [HtmlCell(one.path, code=True), HtmlCell(one.expected or "none", code=True),
         HtmlCell(one.sha256 or "never read", "bad", code=True)]
        for one in materials.changed
    ]  # fmt: skip
    rows += [
        [HtmlCell(path, code=True), HtmlCell("in the release"), HtmlCell("missing", "bad")]
        for path in materials.missing
    ]
    if rows:
        yield HtmlTable(f"{name}: sources that differ", ("path", "expected", "found"), rows)


def _artifacts(heading: str, artifacts: Sequence[Artifact]) -> HtmlTable:
    rows = [
        [
            HtmlCell(f"{_MARKS[one.status]} {one.status}", _TONES[one.status]),
            HtmlCell(one.path, code=True),
            HtmlCell("" if one.size is None else f"{one.size:,}"),
            HtmlCell(one.expected or "none is known", code=one.expected is not None),
            HtmlCell(one.sha256 or "no such file", code=one.sha256 is not None),
            HtmlCell(one.expected_from or ""),
            HtmlCell(one.producer.program if one.producer else "", code=True),
        ]
        for one in artifacts
    ]
    columns = ("", "path", "bytes", "expected sha256", "actual sha256", "expected by", "made by")
    return HtmlTable(heading, columns, rows)


def _again(report: Report) -> list[str]:
    embedded = report.source.kind == "embedded"
    release = "embedded" if embedded else report.source.release or report.name
    return ["bootstrap", "verify", "--release", release, "--arch", report.arch, "--entry",
            report.entry]  # fmt: skip
