"""Judges what a run made: `judge` gives a `Report`; `to_text`, `to_json_text`, `to_junit` show it.

`report_set` makes one of several, which the same functions show.
"""

from bootstrap.report.judge import believing, judge, lowered
from bootstrap.report.junit import to_junit
from bootstrap.report.model import (
    Catalogue,
    Failure,
    MemoUse,
    NameAndVersion,
    Product,
    Recheck,
    ReleaseFiles,
    Report,
    ReportSet,
    RunFacts,
    SinceRevision,
    SourceInfo,
    Tool,
    Totals,
)
from bootstrap.report.page import speaks_unicode
from bootstrap.report.reasons import report_set
from bootstrap.report.text import to_json_text, to_text

__all__ = [
    "Catalogue",
    "Failure",
    "MemoUse",
    "NameAndVersion",
    "Product",
    "Recheck",
    "ReleaseFiles",
    "Report",
    "ReportSet",
    "RunFacts",
    "SinceRevision",
    "SourceInfo",
    "Tool",
    "Totals",
    "believing",
    "judge",
    "lowered",
    "report_set",
    "speaks_unicode",
    "to_json_text",
    "to_junit",
    "to_text",
]
