"""catm, the bootstrap's own cat: the inputs' bytes, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from bootstrap.languages.source import SourceText, Text


def join(sources: Sequence[SourceText]) -> Text:
    """Join ``sources``.

    A language that reads several sources as one text can be given them instead: it sees the same
    bytes, and its map names the files.

    Raises LanguageError, of kind TOO_LARGE, if they have more than 16 MiB in all.
    """
    return Text(sources)
