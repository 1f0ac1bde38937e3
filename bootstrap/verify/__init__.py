"""Judges what a run made: `judge` gives a `Report`; `to_text`, `to_json`, `to_junit` show it."""

from bootstrap.verify.jsonform import to_json, to_json_text
from bootstrap.verify.judge import judge
from bootstrap.verify.junit import to_junit
from bootstrap.verify.model import (
    Expected,
    Failure,
    Materials,
    Product,
    RunFacts,
    SourceInfo,
    ToolInfo,
    Totals,
)
from bootstrap.verify.report import Report
from bootstrap.verify.text import speaks_unicode, to_text

__all__ = [
    "Expected",
    "Failure",
    "Materials",
    "Product",
    "Report",
    "RunFacts",
    "SourceInfo",
    "ToolInfo",
    "Totals",
    "judge",
    "speaks_unicode",
    "to_json",
    "to_json_text",
    "to_junit",
    "to_text",
]
