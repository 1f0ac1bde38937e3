"""Where a byte of a file comes from: who wrote it, in which call, from which place of which source.

The trace says who wrote a file and what that program had read. Which byte of what it read became
this byte, the language models say (source_maps.py), and only where they make the whole file, byte
for byte. The way ends at a file of the source tree, or at a program that there is no model of,
which is said.

And the reverse: what a line of a source became, followed forward through every program that read
the file and has a model of what it wrote, and no further.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bootstrap.core.errors import BadInput
from bootstrap.documents import key
from bootstrap.languages.source import SourceText
from bootstrap.timeline.source_maps import (
    SourceMap,
    SourcePlace,
    label_before,
    line_at,
    line_span,
    line_starts,
    maker,
    offset_of,
)
from bootstrap.trace.calls import NotFollowed, Transfer, transfers
from bootstrap.trace.columns import shown
from bootstrap.trace.store import OpenRow, ProgramRow, Trace
from bootstrap.trace.views import FileUses, is_at, was_read

FUNCTION = "FUNCTION_"
"""How cc_x86 and M2-Planet begin the label of a C function."""
NOT_LEFT = "who wrote this is not known: no program left the file so, one had it open for writing"
NO_CALL = "no write(2) by the descriptor that open(2) gave, used by its opener alone, put it there"
MOST_LINKS = 64
"""Files on one way: a chain is never that long; a net for a trace that anybody made up."""


@dataclass(frozen=True)
class WriteCall:
    """The write(2) that put a byte into a file."""

    ordinal: int
    """Of the system call, in its process, from 1."""
    event: int
    fd: int
    size: int
    """Bytes that the call wrote."""
    guest_addr: int = key("address")
    """Where the byte was in the process's memory."""


@dataclass(frozen=True)
class OriginStep:
    """A byte of a file on the way, and what made it."""

    path: str
    offset: int
    size: int
    sha256: str
    line: int
    column: int
    text: str
    """The line that the byte stands in, for a text; empty for a program."""
    byte: int
    program: ProgramRow | None
    """Who wrote the file; None where it was there before the run."""
    call: WriteCall | None
    model: str
    """The model that makes the file, byte for byte; empty where the way ends."""
    place: SourcePlace | None
    ends: str
    """Why the way ends here; empty where it goes on."""
    label: str = ""
    """Where it ends in a text of M1 or hex2: the label that stands last before the byte."""
    defined: tuple[str, int, str] | None = None
    """Where it ends at a compiler: file, line and text of the function's definition, by name."""


class ByteOrigins(FileUses):
    """Where the bytes of one trace's files come from; what was read of it is kept for the next
    question."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace)
        self._known: dict[int, tuple[SourceMap | str, dict[str, OpenRow]]] = {}
        self._writes: dict[int, list[Transfer]] = {}
        """By writer."""
        self._before: dict[int, OpenRow | None] = {}
        """By what was read, who wrote it."""
        self._lines: dict[int, tuple[list[int], tuple[str, ...]]] = {}

    def why(self, path: str, offset: int) -> list[OriginStep]:
        """The way back from a byte of the last version of a file.

        Raises BadInput for a file that no program wrote or read, or an offset beyond its end.
        """
        row = self.last_writer(path)
        if row is None:
            version, name = self._given(path)
            return [self._link(None, name, version, offset)[0]]
        return self.chain(row, offset)

    def writing(self, path: str, offset: int) -> tuple[OpenRow, WriteCall | None] | None:
        """Who wrote a byte of the last version of a file, in which call; None where it was there
        before the run. Raises as `why` does."""
        row = self.last_writer(path)
        if row is None:
            self._given(path)
            return None
        size = self.hashes[row.last_version or 0][1]
        if not 0 <= offset < size:
            raise BadInput(f"{path} has {size} bytes; there is no byte at {offset:#x}")
        return row, self.write_call(row, offset)

    def chain(self, row: OpenRow, offset: int) -> list[OriginStep]:
        """The way back from a byte of what a writer left. BadInput for one beyond its end."""
        links: list[OriginStep] = []
        found: tuple[OpenRow | None, str, int] = (row, shown(row.path), row.last_version or 0)
        while True:
            link, inputs = self._link(*found, offset)
            links.append(link)
            if link.place is None or len(links) >= MOST_LINKS:
                return links
            reading = inputs[link.place.file]
            assert reading.version is not None
            text = self.trace.content(reading.version)
            offset = offset_of(text, link.place.line, link.place.column)
            writer = self.writer_of(reading)
            found = (writer, shown(reading.path), reading.version)

    def made(self, writer: OpenRow) -> SourceMap | str:
        """What a model makes of a writing program's inputs, if it makes the file; or why not."""
        if writer.id in self._known:  # the trace unpacks a file each time that it is asked for
            return self._known[writer.id][0]
        assert writer.last_version is not None
        return self._made(writer, self.trace.content(writer.last_version))[0]

    def source(self, writer: OpenRow, offset: int) -> tuple[SourcePlace, int] | None:
        """The last text that is known of a byte that a program wrote, a listing with its comments
        or what a compiler put out, and the version of that file; None where no model says it."""
        found: tuple[SourcePlace, int] | None = None
        current: OpenRow | None = writer
        for _ in range(MOST_LINKS):
            made = None if current is None else self.made(current)
            place = made.place(offset) if isinstance(made, SourceMap) else None
            if current is None or place is None:
                break
            reading = self._known[current.id][1][place.file]
            version = reading.version or 0
            found = replace(place, file=shown(reading.path)), version
            offset = self.lines(version)[0][place.line - 1] + place.column - 1
            if reading.id not in self._before:
                self._before[reading.id] = self.writer_of(reading)
            current = self._before[reading.id]
        return found

    def lines(self, version: int) -> tuple[list[int], tuple[str, ...]]:
        """Where the lines of a file begin, and all of them."""
        if version not in self._lines:
            content = self.trace.content(version)
            lines = (one.decode("utf-8", "backslashreplace") for one in content.split(b"\n"))
            self._lines[version] = line_starts(content), tuple(lines)
        return self._lines[version]

    # -- files ----------------------------------------------------------------------------------

    def _given(self, path: str) -> tuple[int, str]:
        file = self.file_at(path)
        for row in reversed(self.opens):
            of_path = is_at(row, path) if file is None else row.file == file
            if of_path and row.version is not None:
                return row.version, shown(row.path)
        raise BadInput(
            f"{self.trace.name}: no program wrote or read {path}; "
            "`bootstrap trace files` lists what there is"
        )

    # -- one step -------------------------------------------------------------------------------

    def _link(
        self, writer: OpenRow | None, path: str, version: int, offset: int
    ) -> tuple[OriginStep, dict[str, OpenRow]]:
        content = self.trace.content(version)
        sha256, size = self.hashes[version]
        if not 0 <= offset < len(content):
            raise BadInput(f"{path} has {size} bytes; there is no byte at {offset:#x}")
        is_text = b"\0" not in content[:4096]
        line, column, text = line_at(content, offset) if is_text else (0, 0, "")
        program = None if writer is None else self.trace.program(writer.process)
        call = None if writer is None else self.write_call(writer, offset)
        inputs: dict[str, OpenRow] = {}
        model, place, ends, label = "", None, "", ""
        defined = None
        if writer is None or program is None:
            ends = "a file of the source tree" if version in self.in_tree else NOT_LEFT
        else:
            made, inputs = self._made(writer, content)
            if isinstance(made, str):
                ends = made
                label = label_before(content, offset) if is_text else ""
                if is_text:
                    function = label_before(content, offset, FUNCTION)
                    defined = self._definition(function.removeprefix(FUNCTION), inputs)
            else:
                model, place = made.model, made.place(offset)
                if place is None:
                    ends = "this byte separates two words; it comes from no place of a source"
        return (
            OriginStep(
                path.lstrip("/"), offset, size, sha256, line, column, text, content[offset],
                program, call, model, place, ends, label, defined,
            ),
            inputs,
        )  # fmt: skip

    def _made(self, writer: OpenRow, content: bytes) -> tuple[SourceMap | str, dict[str, OpenRow]]:
        """What a model makes of the writing program's inputs, or why there is none; the inputs."""
        if writer.id in self._known:
            return self._known[writer.id]
        program, inputs = self.trace.program(writer.process), self.inputs(writer)
        sources = [
            SourceText(name, self.trace.content(row.version))
            for name, row in inputs.items()
            if row.version is not None
        ]
        argv = [raw.decode("utf-8", "backslashreplace") for raw in program.argv]
        self._known[writer.id] = maker(shown(program.path), argv, sources, content), inputs
        return self._known[writer.id]

    def _definition(self, function: str, inputs: dict[str, OpenRow]) -> tuple[str, int, str] | None:
        """Where a C function is defined, by its name alone; None where no input has such a line.

        Where that input was itself put together from others, the one it comes from.
        """
        if not function:
            return None
        pattern = re.compile(
            rb"^[A-Za-z_][\w \t*]*\b" + re.escape(function.encode()) + rb"[ \t]*\([^;]*?\)\s*\{",
            re.MULTILINE,
        )
        for name, row in inputs.items():
            content = self.trace.content(row.version or 0)
            match = pattern.search(content)
            if match is None:
                continue
            line, _, text = line_at(content, match.start())
            writer = self.writer_of(row)
            made = None if writer is None else self._made(writer, content)[0]
            if isinstance(made, SourceMap):
                place = made.place(match.start())
                if place is not None:
                    name, line = place.file, place.line
            return name.lstrip("/"), line, text
        return None

    def write_call(self, writer: OpenRow, offset: int) -> WriteCall | None:
        """The last write(2) that put the byte there, by the descriptor's own offset; None where it
        is not known (NO_CALL)."""
        if writer.id not in self._writes:
            try:
                self._writes[writer.id] = list(transfers(self.trace, writer, "write"))
            except NotFollowed:
                self._writes[writer.id] = []
        for one in reversed(self._writes[writer.id]):
            if one.offset <= offset < one.offset + one.size:
                guest_addr = one.guest_addr + offset - one.offset
                return WriteCall(one.ordinal, one.event, writer.fd, one.size, guest_addr)
        return None


def lines(
    links: list[OriginStep], stored: Callable[[OriginStep], str] = lambda _: ""
) -> Iterator[str]:
    """For people; `stored` gives of each link what stored the byte before its call."""
    for number, link in enumerate(links):
        if number:
            yield ""
        where = f" (line {link.line}, column {link.column})" if link.text else ""
        yield f"{link.path} + {link.offset:#x}: byte {link.byte:02x}{where}"
        yield f"    file      {link.size:,} bytes, sha256 {link.sha256}"
        if link.text:
            yield f"    line      {link.text.strip()[:100]}"
        if link.program is not None:
            words = " ".join(raw.decode("utf-8", "backslashreplace") for raw in link.program.argv)
            yield f"    written   by {link.program.label}: {words[:160]}"
        if link.call is not None:
            call = link.call
            yield (
                f"    call      {call.ordinal:,} of the process: write({call.fd}, ...) of "
                f"{call.size:,} bytes; the byte was at {call.guest_addr:#x}"
            )
            store = stored(link)
            if store:
                yield f"    stored    {store}"
        elif link.program is not None:
            yield f"    call      not known: {NO_CALL}"
        if link.model and link.place is not None:
            what = f" by {link.place.label or link.place.macro}" if (
                link.place.label or link.place.macro) else ""  # fmt: skip
            yield f"    model     {link.model}, which makes this file byte for byte"
            note = f"    # {link.place.comment}" if link.place.comment else ""
            place = f"{link.place.file.lstrip('/')}:{link.place.line}:{link.place.column}"
            yield f"    from      {place}{what}{note}"
        if link.ends:
            yield f"    the way ends here: {link.ends}"
        if link.label:
            yield f"    label     :{link.label} stands last before it"
        if link.defined is not None:
            file, line, text = link.defined
            yield f"    function  {file}:{line}, found by its name: {text.strip()[:100]}"


# -- the reverse: what a line of a source became --------------------------------------------------


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
    """Every file with bytes from a line of a source, and where the way ended: the line of each
    content that programs read under that path.

    `why`: one of this trace that was asked before, and knows what models make.
    Raises BadInput for a file that no program read, or a line that it does not have.
    """
    why = why or ByteOrigins(trace)
    starts = {
        row.version: shown(row.path)
        for row in why.opens
        if is_at(row, path) and row.version is not None and was_read(row)
    }
    if not starts:
        raise BadInput(
            f"{trace.name}: no program read {path}; `bootstrap trace files` lists what there is"
        )
    spans_of = {version: line_span(trace.content(version), line) for version in starts}
    todo = [
        (starts[version], version, frozenset(range(*span)))
        for version, span in spans_of.items()
        if span is not None
    ]
    if not todo:
        raise BadInput(f"/{path.lstrip('/')} has no line {line}")
    found: list[LineOutput] = []
    stopped: list[Stopped] = []
    seen: set[tuple[int, int, frozenset[int]]] = set()
    while todo:
        name, version, offsets = todo.pop(0)
        for reading in why.opens:
            if reading.version != version or not was_read(reading):
                continue
            program = trace.program(reading.process)
            for writer in why.written_by(reading):
                step = writer.id, version, offsets
                if step in seen or writer.last_version is None:
                    continue
                seen.add(step)
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


def output_lines(
    path: str, line: int, found: list[LineOutput], stopped: list[Stopped]
) -> Iterator[str]:
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


def outputs_json(
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
