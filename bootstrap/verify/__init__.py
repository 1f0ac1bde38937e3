"""Judges what a run made: `judge` gives a `Report`; `to_text`, `to_json`, `to_junit` show it."""

from bootstrap.verify.jsonform import to_json, to_json_text
from bootstrap.verify.judge import judge
from bootstrap.verify.junit import set_to_junit, to_junit
from bootstrap.verify.model import (
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
from bootstrap.verify.page import speaks_unicode
from bootstrap.verify.report import Report
from bootstrap.verify.reportset import ReportSet, set_to_json, set_to_json_text
from bootstrap.verify.settext import set_to_text
from bootstrap.verify.text import to_text

__all__ = [
    "Catalogue",
    "Expected",
    "Failure",
    "Materials",
    "Product",
    "Report",
    "ReportSet",
    "RunFacts",
    "SourceInfo",
    "ToolInfo",
    "Totals",
    "judge",
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
