"""The result of a comparison, of whatever kind: as text, and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bootstrap.report.page import Page

SCHEMA = "bootstrap-diff/1"


@dataclass(frozen=True)
class Comparison:
    """What two of a kind differ in."""

    kind: str
    equal: bool
    claim: str
    page: Callable[[Page, bool], None]
    """Writes all but the last word; the second: lists whole."""
    details: dict[str, Any]

    def text(self, every: bool, *, colour: bool, width: int | None, unicode: bool) -> str:
        """For people."""
        page = Page(colour, width, unicode)
        self.page(page, every)
        page.blank()
        page.last_word(*(("EQUAL", "1;32") if self.equal else ("DIFFERENT", "1;31")), self.claim)
        return page.text()

    def value(self) -> dict[str, Any]:
        """For machines: docs/diff.md."""
        return {
            "schema": SCHEMA, "kind": self.kind, "equal": self.equal, "claim": self.claim,
            **self.details,
        }  # fmt: skip
