"""M1, the macro assembler, in its dialects: sources with macros to hex2 text and its map."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from bootstrap.languages import m0
from bootstrap.languages.macros import Expansion, Span
from bootstrap.languages.source import Source

__all__ = ["Dialect", "Expansion", "Span", "expand"]


class Dialect(enum.Enum):
    """Which macro assembler's language a source is in."""

    M0 = "M0"
    """That of M0_x86 (bootstrap.languages.m0)."""


def expand(sources: Sequence[Source], dialect: Dialect) -> Expansion:
    """Expand the macros of ``sources``.

    Raises LanguageError for the first thing outside the language.
    """
    return m0.expand(sources)
