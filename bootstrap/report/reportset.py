"""The reports of one release on several architectures, as one: data, and its JSON form.

JSON schema `bootstrap-report-set/2` (docs/report.md, docs/report-set.schema.json).
"""

import json
from dataclasses import dataclass

from bootstrap.core.errors import ExitStatus
from bootstrap.report.jsonform import Json, to_json
from bootstrap.report.model import Result
from bootstrap.report.report import EXIT_CODES, LESSER, DecidedBy, Report
from bootstrap.report.words import count, listed

SET_SCHEMA = "bootstrap-report-set/2"
SET_SCHEMAS = ("bootstrap-report-set/1", SET_SCHEMA)
"""Those that are read."""

# As in a single report: what differs weighs more than a guest that failed.
_WORST_FIRST: tuple[Result, ...] = ("mismatch", "error", "incomplete", *LESSER, "verified")


@dataclass(frozen=True, slots=True)
class ReportSet:
    """One report per architecture, at least one, in the order in which they were asked for."""

    reports: tuple[Report, ...]
    wall_seconds: float
    """From the start of the first run to the end of the last."""

    @property
    def result(self) -> Result:
        """The worst of the results."""
        return min((r.result for r in self.reports), key=_WORST_FIRST.index)

    @property
    def decided_by(self) -> DecidedBy | None:
        """By what all of them were decided; None where they were not alike."""
        ways = {report.decided_by for report in self.reports}
        return ways.pop() if len(ways) == 1 else None

    @property
    def exit_code(self) -> ExitStatus:
        """The exit status of the command line."""
        return EXIT_CODES[self.result]

    @property
    def answers(self) -> int:
        """How many answers there are, on all architectures."""
        return sum(len(r.answers) for r in self.reports)

    @property
    def matching(self) -> int:
        """How many of them match."""
        return sum(a.status == "match" for r in self.reports for a in r.answers)

    @property
    def title(self) -> str:
        """What was run: the release and the architectures."""
        facts = self.reports[0].facts
        arches = listed(r.facts.arch for r in self.reports)
        if facts.source.kind == "embedded":
            return f"our own path, on the embedded sources, for {arches}"
        return f"{facts.title} for {arches}"

    @property
    def claim(self) -> str:
        """One sentence that says what was verified, and what was not."""
        embedded = any(r.facts.source.kind == "embedded" for r in self.reports)
        if embedded or len(self.reports) == 1:
            # What they say of the embedded sources cannot be said shorter.
            return " ".join(r.claim for r in self.reports)
        if self.result != "verified":
            good = sum(r.result == "verified" for r in self.reports)
            verb = "matches" if self.matching == 1 else "match"
            return (
                f"Not verified: {self.matching} of {count(self.answers, 'answer')} of {self.title} "
                f"{verb}, and {good} of {count(len(self.reports), 'architecture')} "
                f"{'is' if good == 1 else 'are'} verified; {self.reasons[0]}."
            )
        others = sum(a.expectations != () for r in self.reports for a in r.intermediates)
        also = f" and {count(others, 'intermediate artifact')}" if others else ""
        entries = listed(dict.fromkeys(r.facts.entry for r in self.reports))
        return (
            f"All {self.answers} answers of {self.title}{also} match their known-good values, "
            f"built through the entry {entries} in trees whose source files are those of the "
            "release."
        )

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the result is not `verified`: those of all reports, the worst reports first."""
        worst_first = sorted(self.reports, key=lambda r: _WORST_FIRST.index(r.result))
        return tuple(f"{r.facts.arch}: {reason}" for r in worst_first for reason in r.reasons)


def set_to_json(reports: ReportSet) -> Json:
    """The set as JSON-able data; each report is as `to_json` gives it."""
    totals = [r.facts.totals for r in reports.reports]
    return {
        "schema": SET_SCHEMA,
        "result": reports.result,
        "claim": reports.claim,
        "reasons": list(reports.reasons),
        "reports": [to_json(r) for r in reports.reports],
        "totals": {
            "reports": len(reports.reports),
            "verified": sum(r.result == "verified" for r in reports.reports),
            "answers": reports.answers,
            "matching": reports.matching,
            "processes": sum(t.processes for t in totals),
            "syscalls": sum(t.syscalls for t in totals),
            "wall_seconds": round(reports.wall_seconds, 3),
        },
    }


def set_to_json_text(reports: ReportSet) -> str:
    """The set as JSON text, ASCII only, ending in a newline."""
    return json.dumps(set_to_json(reports), indent=2, ensure_ascii=True) + "\n"
