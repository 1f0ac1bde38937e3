"""catm, the bootstrap's own cat: the inputs' bytes, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootstrap.languages.assembly import Position
from bootstrap.languages.source import SourceText, Text


@dataclass(frozen=True, slots=True)
class Joined:
    """The result of joining sources.

    ``sources`` are what was joined.  A language that reads several sources as one text can be
    given them instead of ``output``: it sees the same bytes, and its map names the files.
    """

    output: bytes
    sources: tuple[SourceText, ...]
    _text: Text

    def place(self, offset: int) -> tuple[str, Position]:
        """The file that ``output[offset]`` comes from, and its position there."""
        return self._text.place(offset)


def join(sources: Sequence[SourceText]) -> Joined:
    """Join ``sources``.

    Raises LanguageError, of kind TOO_LARGE, if they have more than 16 MiB in all.
    """
    text = Text(sources)
    return Joined(text.content, tuple(sources), text)
