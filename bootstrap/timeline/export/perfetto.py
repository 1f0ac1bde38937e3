"""The process tree on the instruction axis, in Chrome's Trace Event Format (JSON object form).

One program runs at a time: a child runs from the instruction in its parent that made it (the
parent has executed that one) until its end, and then the parent goes on; a run begins where the
one before it ended. So all programs lie on one axis, and one microsecond of the format stands for
one instruction. A program is a complete event ("X") that lasts as long as its own instructions and
those of its children; it lies inside its parent's, and a program that another one becomes by
execve(2) lies after it.

Source: "Trace Event Format", Google, the document that chrome://tracing and Perfetto read.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from bootstrap.core.errors import BadInput
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.columns import shown
from bootstrap.trace.store import ProgramRow, Trace
from bootstrap.trace.views import FileUses, command, ended

TRACK = 1
"""The one process and thread for the viewer: slices nest where they are on one track."""


@dataclass
class Slice:
    """One program on the axis, in instructions since the first run began."""

    program: ProgramRow
    own: int
    """Instructions of its own."""
    forks: dict[int, int] = field(default_factory=dict)
    """By the row of a child: its own instructions when the child begins."""
    span: int = 0
    begin: int = 0
    process_end: int = 0
    """Where the last program of the process ends."""

    @property
    def end(self) -> int:
        """The place after its last instruction."""
        return self.begin + self.span


def measure(timeline: Timeline, program: ProgramRow, children: list[ProgramRow]) -> Slice:
    """Run a program to its end: how long it is, and where its children begin."""
    row = program.id
    stops: list[tuple[int, int]] = []
    wanted = len(children)

    def note(at: Timeline) -> None:
        # The call that the CPU stopped in is not among the events yet.
        if wanted and at.row == row:
            stops.append((at.event, at.executed))

    timeline.seek(row, 0)
    timeline.checkpoints.totals.pop(row, None)
    with timeline.armed(lambda: None, note):
        found = Slice(program, timeline.total(row))
    events = [event for event, _ in stops]
    for child in children:
        index = bisect_right(events, child.first_event - 1) - 1
        if index < 0 or events[index] != child.first_event - 1:
            raise BadInput(
                f"{timeline.trace.name}: {child.label} does not begin where {program.label} forks"
            )
        found.forks[child.id] = stops[index][1]
    return found


def axis(timeline: Timeline) -> dict[int, Slice]:
    """Every program of the trace at its place, by row; runs each once."""
    trace = timeline.trace
    forked: dict[int, list[ProgramRow]] = {}
    after: dict[int, ProgramRow] = {}
    for program in trace.programs:
        if program.parent is None:
            continue
        if program.ordinal == 0:
            forked.setdefault(program.parent, []).append(program)
        else:
            after[program.parent] = program
    found = {p.id: measure(timeline, p, forked.get(p.id, [])) for p in trace.programs}
    lengths: dict[int, int] = {}
    # A child begins after its parent: from the last to the first, all below is known.
    for program in reversed(trace.programs):
        one = found[program.id]
        one.span = one.own + sum(lengths[child] for child in one.forks)
        # A process, from this program of it to its last.
        later = after.get(program.id)
        lengths[program.id] = one.span + (lengths[later.id] if later else 0)
    runs_end = 0
    for program in trace.programs:
        one = found[program.id]
        if program.parent is None:
            # A run begins where the one before it ended.
            one.begin, runs_end = runs_end, runs_end + lengths[program.id]
        one.process_end = one.begin + lengths[program.id]
        if program.id in after:
            found[after[program.id].id].begin = one.end
        passed = 0
        for child, executed in one.forks.items():
            found[child].begin = one.begin + executed + passed
            passed += lengths[child]
    return found


def _name(program: ProgramRow) -> str:
    forked = " (forked)" if program.ordinal == 0 else ""
    return f"{program.pid} {shown(program.path).rpartition('/')[2]}{forked}"


def _slices(trace: Trace, found: dict[int, Slice]) -> Iterator[dict[str, object]]:
    hashes, uses = trace.hashes(), FileUses(trace).shown_uses()

    def files(row: int, wanted: str) -> list[dict[str, object]]:
        return [
            {"path": path, "sha256": hashes[version][0], "size": hashes[version][1]}
            for mark, path, version in uses[row]
            if mark == wanted
        ]

    for one in found.values():
        program = one.program
        yield {
            "name": _name(program), "cat": "program", "ph": "X", "ts": one.begin, "dur": one.span,
            "pid": TRACK, "tid": TRACK,
            "args": {
                "run": program.run, "pid": program.pid, "exec": program.ordinal,
                "path": shown(program.path), "command": command(program), "instructions": one.own,
                "calls": program.calls,
                "ended": ended(program), "image": hashes[program.image][0],
                "reads": files(program.id, "<"), "writes": files(program.id, ">"),
            },
        }  # fmt: skip


def _branch(found: dict[int, Slice], row: int, of: int) -> Slice | None:
    """The child of `of` in whose process, or below, `row` runs; None if it is not below it."""
    child: int | None = row
    while child is not None:
        program = found[child].program
        if program.parent == of and program.ordinal == 0:
            return found[child]
        child = program.parent
    return None


def _flows(trace: Trace, found: dict[int, Slice]) -> Iterator[dict[str, object]]:
    """An arrow for each file version that one program wrote and another read or executed."""
    number = 0
    for version in FileUses(trace).versions():
        for reader in dict.fromkeys((*version.executed, *version.readers)):
            best: tuple[int, int] | None = None
            for writer in version.writers:
                if writer == reader:
                    continue
                # From the last place of the writer at which the reader's process has not begun, to
                # the first of the reader at which the writer's, if a child, is over.
                above, below = _branch(found, reader, writer), _branch(found, writer, reader)
                start = (found[writer].end if above is None else above.begin) - 1
                end = found[reader].begin if below is None else below.process_end
                # Of several that wrote the same, the last one before.
                if start < end < found[reader].end and (best is None or start > best[0]):
                    best = (start, end)
            if best is None:
                continue
            number += 1
            common: dict[str, object] = {
                "name": version.path, "cat": "file", "id": number, "pid": TRACK, "tid": TRACK,
                "args": {"sha256": version.sha256, "size": version.size},
            }  # fmt: skip
            yield {**common, "ph": "s", "ts": best[0]}
            yield {**common, "ph": "f", "bp": "e", "ts": best[1]}


def perfetto(timeline: Timeline) -> Iterator[bytes]:
    """The JSON, an event a line. Raises as Timeline does."""
    trace, found = timeline.trace, axis(timeline)
    names = {"process_name": "bootstrap", "thread_name": "programs; 1 us is 1 instruction"}
    events = [
        *({"name": kind, "ph": "M", "pid": TRACK, "tid": TRACK, "args": {"name": name}}
          for kind, name in names.items()),
        *_slices(trace, found),
        *_flows(trace, found),
    ]  # fmt: skip
    about = {"trace digest": trace.digest, "axis": "1 microsecond is 1 instruction"}
    head = {"displayTimeUnit": "ns", "otherData": about}
    yield f'{json.dumps(head)[:-1]}, "traceEvents": [\n'.encode()
    for index, event in enumerate(events):
        yield f"{json.dumps(event)}{',' if index + 1 < len(events) else ''}\n".encode()
    yield b"]}\n"
