"""What a line of a source became: the bytes of every file that come from it. The reverse of `why`.

Followed forward through every program that read the file and has a model which makes what it
wrote, byte for byte (source_maps.py). What went into a program without a model is said, and is
followed no further.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bootstrap.core.errors import BadInput
from bootstrap.timeline.origins import ByteOrigins
from bootstrap.timeline.source_maps import SourceMap, line_span, line_starts
from bootstrap.trace.columns import shown
from bootstrap.trace.store import ProgramRow, Trace
from bootstrap.trace.views import is_at, was_read


@dataclass(frozen=True)
class LineOutput:
    """Bytes of one file that come from the line."""

    path: str
    sha256: str
    spans: tuple[tuple[int, int], ...]
    """Offsets, (from, to), in order; `to` is after the last byte."""
    program: ProgramRow
    model: str

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return sum(end - start for start, end in self.spans)


@dataclass(frozen=True)
class Stopped:
    """A program that read bytes that come from the line, and of which nobody can say more."""

    path: str
    """What it read."""
    program: ProgramRow
    why: str


def outputs_of_line(
    trace: Trace, path: str, line: int, why: ByteOrigins | None = None
) -> tuple[list[LineOutput], list[Stopped]]:
    """Every file with bytes from a line of a source, and where the way ended.

    `why`: one of this trace that was asked before, and knows what models make.
    Raises BadInput for a file that no program read, or a line that it does not have.
    """
    why = why or ByteOrigins(trace)
    start = next((r for r in why.opens if is_at(r, path) and r.version and was_read(r)), None)
    if start is None or start.version is None:
        raise BadInput(
            f"{trace.name}: no program read {path}; `bootstrap trace files` lists what there is"
        )
    span = line_span(trace.content(start.version), line)
    if span is None:
        raise BadInput(f"{shown(start.path)} has no line {line}")
    found: list[LineOutput] = []
    stopped: list[Stopped] = []
    todo = [(shown(start.path), start.version, frozenset(range(*span)))]
    seen: set[tuple[int, int]] = set()
    while todo:
        name, version, offsets = todo.pop(0)
        for reading in why.opens:
            if reading.version != version or not was_read(reading):
                continue
            program = trace.program(reading.process)
            for writer in why.written_by(reading):
                if (writer.id, version) in seen or writer.last_version is None:
                    continue
                seen.add((writer.id, version))
                made = why.made(writer)
                if not isinstance(made, SourceMap):
                    stopped.append(Stopped(name, program, made))
                    continue
                spans = _images(made, shown(reading.path), trace.content(version), offsets)
                if not spans:
                    continue
                target = shown(writer.path)
                sha256 = why.hashes[writer.last_version][0]
                found.append(LineOutput(target.lstrip("/"), sha256, spans, program, made.model))
                inside = frozenset(o for begin, end in spans for o in range(begin, end))
                todo.append((target, writer.last_version, inside))
    return found, stopped


def _images(
    made: SourceMap, name: str, text: bytes, offsets: frozenset[int]
) -> tuple[tuple[int, int], ...]:
    """The stretches of the output whose bytes come from these offsets of one input."""
    starts = line_starts(text)
    spans: list[list[int]] = []
    for offset in range(len(made.output)):
        place = made.place(offset)
        if place is None or place.file != name:
            continue
        if starts[place.line - 1] + place.column - 1 not in offsets:
            continue
        if spans and spans[-1][1] == offset:
            spans[-1][1] = offset + 1
        else:
            spans.append([offset, offset + 1])
    return tuple((begin, end) for begin, end in spans)


MOST_SPANS = 8
"""Stretches of one file that a line of text shows."""


def lines(path: str, line: int, found: list[LineOutput], stopped: list[Stopped]) -> Iterator[str]:
    """For people."""
    if not found and not stopped:
        yield f"{path.lstrip('/')}:{line} became no byte of any file"
    for one in found:
        shown_spans = ", ".join(
            f"{begin:#x}" if end == begin + 1 else f"{begin:#x}-{end - 1:#x}"
            for begin, end in one.spans[:MOST_SPANS]
        )
        more = len(one.spans) - MOST_SPANS
        rest = f" and {more} more places" if more > 0 else ""
        count = "1 byte" if one.size == 1 else f"{one.size:,} bytes"
        yield f"{one.path}: {count} at {shown_spans}{rest}  ({one.model}, {one.program.label})"
    shown_ends: set[tuple[str, str]] = set()
    for end in stopped:
        if (end.path, end.why) not in shown_ends:
            shown_ends.add((end.path, end.why))
            yield f"{end.path.lstrip('/')}: read by {end.program.label}; {end.why}"


def as_json(
    path: str, line: int, found: list[LineOutput], stopped: list[Stopped]
) -> dict[str, object]:
    """For machines; a span is [first byte, byte after the last]."""
    return {
        "schema": "bootstrap-trace-where/1",
        "source": path.lstrip("/"),
        "line": line,
        "outputs": [
            {"path": one.path, "sha256": one.sha256, "spans": one.spans, "model": one.model,
             "program": one.program.label}
            for one in found
        ],
        "ends": [
            {"path": end.path.lstrip("/"), "program": end.program.label, "why": end.why}
            for end in stopped
        ],
    }  # fmt: skip
