"""M1, the macro assembler, in its two dialects: sources with macros to hex2 text and its map."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from bootstrap.languages import m0, mescc
from bootstrap.languages.architecture import Architecture
from bootstrap.languages.macros import Expansion, Span
from bootstrap.languages.source import SourceText

__all__ = ["Architecture", "Dialect", "Expansion", "Span", "expand"]


class Dialect(enum.Enum):
    """Which macro assembler's language a source is in."""

    M0 = "M0"
    """That of M0_x86 (bootstrap.languages.m0)."""
    M1 = "M1"
    """That of M1 of mescc-tools (bootstrap.languages.mescc)."""


def expand(
    sources: Sequence[SourceText],
    dialect: Dialect = Dialect.M0,
    architecture: Architecture = Architecture.X86,
) -> Expansion:
    """Expand the macros of ``sources``; ``architecture`` counts for the dialect M1 only.

    Raises LanguageError for the first thing outside the language.
    """
    if dialect is Dialect.M0:
        return m0.expand(sources)
    return mescc.expand(sources, architecture)
