"""The reports of several architectures for people: a line each, and in full what went wrong."""

from collections.abc import Sequence

from bootstrap.report.model import Result, Status
from bootstrap.report.page import Page, visible
from bootstrap.report.report import LESSER, Artifact, Report
from bootstrap.report.reportset import ReportSet
from bootstrap.report.text import findings, source_lines, to_page
from bootstrap.report.words import listed

_MARKS: dict[Result, Status] = {
    "verified": "match",
    "mismatch": "mismatch",
    "error": "mismatch",
    "incomplete": "unknown",
    **dict.fromkeys(LESSER, "unknown"),
}


def set_to_text(
    reports: ReportSet,
    *,
    colour: bool = False,
    width: int | None = None,
    unicode: bool = True,
    verbose: bool = False,
) -> str:
    """The set, ending in a newline; options as for `to_text`. `verbose` shows each report whole."""
    page = Page(colour, width, unicode)
    entries = listed(dict.fromkeys(r.facts.entry for r in reports.reports))
    page.heading(f"{reports.title}, entry {entries}")
    facts = reports.reports[0].facts
    source_lines(page, facts.source, facts.tool)
    if verbose:
        for report in reports.reports:
            to_page(page, report, verbose=True)
    page.heading(f"Answers: {reports.matching} of {reports.answers} match")
    _summary(page, reports.reports)
    if not verbose:
        for report in reports.reports:
            _what_went_wrong(page, report)
    page.blank()
    page.wrapped(f"{reports.wall_seconds:.1f} s in all", indent=0)
    page.blank()
    page.verdict(reports.result, reports.claim, reports.decided_by)
    return page.text()


def _summary(page: Page, reports: Sequence[Report]) -> None:
    names = max(len(r.facts.arch) for r in reports)
    for report in reports:
        intermediates = [a for a in report.intermediates if a.expectations]
        unknown = sum(a.status == "unknown" for a in report.artifacts)
        parts = [f"{_matching(report.answers)} answers"]
        if intermediates:
            parts.append(f"{_matching(intermediates)} intermediate artifacts")
        if unknown:
            parts.append(f"{unknown} without a known-good value")
        seconds = f"{report.facts.totals.wall_seconds:.1f} s"
        row = f"{report.facts.arch:<{names}}  {', '.join(parts)}; {seconds}"
        start = len(page.lines)
        page.wrapped(row, indent=4 + page.mark_width - 1, hanging=names + 2)
        mark = page.mark(_MARKS[report.result])
        page.lines[start] = f"  {mark} {page.lines[start].lstrip()}"


def _matching(artifacts: Sequence[Artifact]) -> str:
    return f"{sum(a.status == 'match' for a in artifacts)} of {len(artifacts)}"


def _what_went_wrong(page: Page, report: Report) -> None:
    """What the report found, under the architecture's name; nothing when all is well."""
    if report.result == "verified":
        return
    page.heading(f"{report.facts.arch}: {report.result}")
    for reason in report.reasons:
        page.wrapped(visible(reason), hanging=2)
    findings(page, report)
