"""The chain M1 -> hex2 -> binary: traces the bytes of a binary back to the macro's source."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace

from bootstrap.languages.assembly import Assembly, Origin, Position
from bootstrap.languages.macros import Expansion, Span


def compose(assembly: Assembly, expansions: Mapping[str, Expansion]) -> Assembly:
    """``assembly`` with a map that goes back through the macro assembler.

    ``expansions`` are the hex2 sources that were made from macros, by the name that each had when
    ``assembly`` was made of it.  Bytes from any other source keep their origin.  For the others
    it is the token in the macro's source: its file, places and comment, the macro's name, and the
    reference from which hex2 made the byte, as written.
    """
    finders = {name: _TokenFinder(expansion) for name, expansion in expansions.items()}
    origins: list[Origin] = []
    previous: Origin | None = None
    for origin in assembly.map:
        if origin is not previous:
            previous = origin
            finder = finders.get(origin.file)
            traced = origin if finder is None else finder.trace(origin)
        origins.append(traced)
    return replace(assembly, map=tuple(origins))


class _TokenFinder:
    """Finds the token that made what stands at a position of an expansion's output."""

    def __init__(self, expansion: Expansion) -> None:
        self._spans = expansion.spans
        self._starts = [span.start for span in expansion.spans]
        self._lines = [0]
        for line in expansion.output.split(b"\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)

    def trace(self, origin: Origin) -> Origin:
        first, last = (self._span(place) for place in origin.digits)
        # They differ where each digit of a pair is a token of its own.
        begin, end = first.origin, last.origin
        digits = begin.digits[0], end.digits[1]
        return Origin(begin.file, digits, end.comment, origin.label, begin.macro)

    def _span(self, place: Position) -> Span:
        offset = self._lines[place.line - 1] + place.column - 1
        return self._spans[bisect_right(self._starts, offset) - 1]
