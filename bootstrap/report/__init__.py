"""Judges what a run made: `judge` gives a `Report`; `to_text`, `to_json`, `to_junit` show it."""

from bootstrap.report.jsonform import to_json, to_json_text
from bootstrap.report.judge import judge, lowered
from bootstrap.report.junit import set_to_junit, to_junit
from bootstrap.report.model import (
    Catalogue,
    Expected,
    Failure,
    Materials,
    Product,
    RunFacts,
    SourceInfo,
    ToolInfo,
    Totals,
)
from bootstrap.report.page import speaks_unicode
from bootstrap.report.report import Recheck, Report
from bootstrap.report.reportset import ReportSet, set_to_json, set_to_json_text
from bootstrap.report.settext import set_to_text
from bootstrap.report.text import to_text

__all__ = [
    "Catalogue",
    "Expected",
    "Failure",
    "Materials",
    "Product",
    "Recheck",
    "Report",
    "ReportSet",
    "RunFacts",
    "SourceInfo",
    "ToolInfo",
    "Totals",
    "judge",
    "lowered",
    "set_to_json",
    "set_to_json_text",
    "set_to_junit",
    "set_to_text",
    "speaks_unicode",
    "to_json",
    "to_json_text",
    "to_junit",
    "to_text",
]
