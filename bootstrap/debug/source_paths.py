"""From a byte of a program to the source that a person wrote.

The language models say of each file that a program made what of its inputs a byte comes from
(timeline/origins.py). Followed through all that was joined and expanded, the path ends at the last
text that is known: a listing with its comments, or what a compiler put out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.origins import MOST_LINKS
from bootstrap.timeline.source_maps import SourceMap, SourcePlace, line_starts
from bootstrap.trace.columns import shown
from bootstrap.trace.store import OpenRow, Trace


class WrittenPlace(NamedTuple):
    """A place in a source; `version` is that of the file."""

    place: SourcePlace
    version: int


class SourcePaths:
    """From a byte that a program wrote to the last source that is known of it."""

    def __init__(self, trace: Trace, images: ProgramImages) -> None:
        self._trace = trace
        self._why = images.why
        # Kept here, by writer: the trace unpacks a file each time that it is asked for.
        self._made: dict[int, SourceMap | str] = {}
        self._before: dict[tuple[int, str], tuple[OpenRow, OpenRow | None]] = {}
        self._starts: dict[int, list[int]] = {}
        self._lines: dict[int, tuple[str, ...]] = {}

    def source(self, writer: OpenRow, offset: int) -> WrittenPlace | None:
        """Where the byte comes from; None where no model says it."""
        found: WrittenPlace | None = None
        current: OpenRow | None = writer
        for _ in range(MOST_LINKS):
            if current is None:
                break
            if current.id not in self._made:
                self._made[current.id] = self._why.made(current)
            made = self._made[current.id]
            place = made.place(offset) if isinstance(made, SourceMap) else None
            if place is None:
                break
            reading, current = self._reading(current, place.file)
            found = WrittenPlace(replace(place, file=shown(reading.path)), reading.version or 0)
            if found.version not in self._starts:
                self._starts[found.version] = line_starts(self._trace.content(found.version))
            offset = self._starts[found.version][place.line - 1] + place.column - 1
        return found

    def lines(self, version: int) -> tuple[str, ...]:
        """All lines of a file."""
        if version not in self._lines:
            raw = self._trace.content(version).split(b"\n")
            self._lines[version] = tuple(one.decode("utf-8", "backslashreplace") for one in raw)
        return self._lines[version]

    def _reading(self, writer: OpenRow, file: str) -> tuple[OpenRow, OpenRow | None]:
        key = writer.id, file
        if key not in self._before:
            reading = self._why.inputs(writer)[file]
            self._before[key] = reading, self._why.writer_of(reading)
        return self._before[key]
