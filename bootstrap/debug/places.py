"""Places by name: labels, addresses, source lines, bytes of files, children and parents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bootstrap.core.errors import BadInput
from bootstrap.timeline.images import ProgramImage, ProgramImages
from bootstrap.timeline.origins import NO_CALL, outputs_of_line
from bootstrap.trace import coordinates
from bootstrap.trace.columns import shown
from bootstrap.trace.coordinates import FORMS, Coordinate
from bootstrap.trace.store import ProgramRow, Trace

if TYPE_CHECKING:
    from bootstrap.debug.session import Session
    from bootstrap.debug.stops import StopReason

_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)%", re.ASCII)
_IN_FILE = re.compile(r"(.+):(0[xX][0-9a-fA-F]{1,16}|\d{1,18})", re.ASCII | re.DOTALL)


# -- processes ------------------------------------------------------------------------------------


def neighbour(trace: Trace, program: ProgramRow, by: int) -> ProgramRow | None:
    """What the same process executed after (1) or before (-1) a program."""
    wanted = program.run, program.pid, program.ordinal + by
    return next((p for p in trace.programs if (p.run, p.pid, p.ordinal) == wanted), None)


def family(trace: Trace) -> Iterator[tuple[ProgramRow, int]]:
    """All programs of a trace, each with how far it is below the first."""
    depth: dict[int, int] = {}
    for program in trace.programs:
        depth[program.id] = 0 if program.parent is None else depth[program.parent] + 1
        yield program, depth[program.id]


def never_returns(program: ProgramRow) -> bool:
    """Whether its last system call ends it: exit(2), or an execve(2) that succeeds."""
    exited = program.status is not None and program.status & 0x7F == 0
    return program.replaced or exited


def children(trace: Trace, program: ProgramRow) -> list[tuple[int, ProgramRow]]:
    """(ordinal of the call that forked, first program of the child), in order."""
    found = []
    for child in trace.programs:
        if child.parent == program.id and child.ordinal == 0:
            ordinal = _ordinal(trace, program, child.first_event)
            if ordinal is not None:
                found.append((ordinal, child))
    return found


def _ordinal(trace: Trace, program: ProgramRow, event: int) -> int | None:
    for chunk in trace.chunks(program.id):
        if chunk.first_event <= event < chunk.first_event + chunk.count:
            return chunk.first_call - program.first_call + event - chunk.first_event
    return None


def forked_by(trace: Trace, program: ProgramRow) -> tuple[ProgramRow, int] | None:
    """The program that forked this process, and the ordinal of the call in it."""
    first = next(
        p for p in trace.programs if (p.run, p.pid) == (program.run, program.pid)
    )  # in order of their begin
    if first.ordinal or first.parent is None:
        return None
    parent = trace.program(first.parent)
    ordinal = _ordinal(trace, parent, first.first_event)
    return None if ordinal is None else (parent, ordinal)


# -- addresses ------------------------------------------------------------------------------------


def addresses(trace: Trace, images: ProgramImages, text: str, version: int) -> tuple[int, ...]:
    """Where an image has a place that is named by address, label or FILE:LINE."""
    if _ADDRESS.fullmatch(text):
        return (int(text, 16),)
    image = images.image(version)
    match = _IN_FILE.fullmatch(text)
    if match is not None and not match[2].lower().startswith("0x"):
        offsets = on_line(trace, image, match[1], int(match[2]), version)
        if offsets:
            return _loaded(image, offsets)
    return _loaded(image, image.labelled(text))


def on_line(trace: Trace, image: ProgramImage, file: str, line: int, version: int) -> list[int]:
    """The bytes that come from a line, of a source of the image or of one before that."""
    direct = image.on_line(file, line)
    if direct or image.made is None or file.lstrip("/") in {s.lstrip("/") for s in image.sources}:
        return direct
    try:
        found, _ = outputs_of_line(trace, file, line)
    except BadInput:
        return []  # no program read that file, or it has no such line
    wanted = trace.hashes()[version][0]
    return [start for one in found if one.sha256 == wanted for start, _ in one.spans]


def _loaded(image: ProgramImage, offsets: list[int]) -> tuple[int, ...]:
    found = (image.address(offset) for offset in offsets)
    return tuple(guest_addr for guest_addr in found if guest_addr is not None)


# -- going ----------------------------------------------------------------------------------------


def go(session: Session, place: str | Coordinate) -> StopReason:
    """See Session.go."""
    if not isinstance(place, str):
        with session.moving():
            session.at.go(place)
            return session.stop("jump")
    text = place.strip()
    percent = _PERCENT.fullmatch(text)
    if percent is not None:
        share = float(percent[1])
        if share > 100:
            raise BadInput(f"{share}%: a program has 0% to 100%")
        with session.moving():
            row, total = session.row, session.total
            session.at.seek(row, max(0, min(total - 1, int(total * share / 100))))
            return session.stop("jump")
    try:
        coordinate = coordinates.parse(text)
    except BadInput:
        coordinate = None
    return _named(session, text) if coordinate is None else go(session, coordinate)


def _named(session: Session, text: str) -> StopReason:
    trace = session.trace
    match = _IN_FILE.fullmatch(text)
    found = addresses(trace, session.images, text, session.program.image)
    if found:
        return session.run_to_addresses(found, text)
    if match is not None:
        name, offset = match[1], int(match[2], 0)
        written = session.images.why.writing(name, offset) if _is_file(session, name) else None
        if written is not None:
            row, call = written
            program = trace.program(row.process)
            if call is None:
                raise BadInput(
                    f"{text}: which call wrote it is not known; {program.label} opened the file, "
                    f"but {NO_CALL}"
                )
            return session.to_call(program, call.ordinal - program.first_call)
        if _is_file(session, name):
            raise BadInput(f"{text}: no program wrote that byte: it was there before the run")
    raise BadInput(
        f"{text}: is no place in {trace.name}: no label, address, line or written byte of that "
        f"name; others look like {FORMS}, or 50% of this program"
    )


def _is_file(session: Session, name: str) -> bool:
    wanted = name.lstrip("/")
    return any(shown(row.path).lstrip("/") == wanted for row in session.images.why.opens)
