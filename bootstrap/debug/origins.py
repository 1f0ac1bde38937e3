"""Who read or wrote memory, also where that leads to another process.

Across processes a byte came from one of three: the parent's memory at the fork, the image that was
loaded, or a file that was read. The trace knows who wrote files (timeline/origins.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootstrap.core.errors import BadInput
from bootstrap.debug import places
from bootstrap.debug.stops import KINDS, StopReason
from bootstrap.instruments.counter import Access
from bootstrap.linux.numbers import NUMBERS
from bootstrap.timeline import search
from bootstrap.trace.calls import calls
from bootstrap.trace.columns import shown
from bootstrap.trace.store import OpenRow

if TYPE_CHECKING:
    from bootstrap.debug.session import Position, Session


def _check(size: int, kinds: str) -> int:
    if kinds not in KINDS:
        raise BadInput(f"an access is of kind r, w or a (all), not {kinds}")
    if size < 1:
        raise BadInput(f"{size} bytes: there is no such memory")
    return KINDS[kinds]


def _told(access: Access) -> str:
    does = "writes" if access.writes else "reads"
    count = "1 byte" if access.size == 1 else f"{access.size:,} bytes"
    return f"{access.pc:#x} {does} {count} at {access.guest_addr:#x}"


def next_access(session: Session, guest_addr: int, size: int, kinds: str) -> StopReason:
    """See Session.next_access."""
    bits = _check(size, kinds)
    row, began = session.row, session.executed
    access = search.first_access(session.at, guest_addr, guest_addr + size, bits, row, began)
    if access is None or access.executed + 1 >= session.total_of(row):
        return session.stop(
            "unknown",
            f"{session.program.label} makes no such access any more; whether another process "
            "does, with a copy of these bytes, nobody has recorded",
        )
    session.at.seek(row, access.executed + 1)
    return session.stop("watchpoint", _told(access))


def previous_access(session: Session, guest_addr: int, size: int, kinds: str) -> StopReason:
    """See Session.previous_access."""
    bits = _check(size, kinds)
    if search.run_back_to_access(session.at, guest_addr, guest_addr + size, bits) is not None:
        return session.stop("watchpoint", f"the next instruction is at {session.pc:#x}")
    place = session.row, session.executed
    return _stay(session, place, _before_the_program(session, guest_addr, size, bits))


def _stay(session: Session, place: Position, stop: StopReason) -> StopReason:
    """Where nothing is known, it did not move."""
    if stop.reason != "unknown":
        return stop
    session.at.seek(*place)
    return session.stop("unknown", stop.detail)


def _before_the_program(session: Session, guest_addr: int, size: int, bits: int) -> StopReason:
    """This program made no such access before: who put there what it found at its start?"""
    program = session.program
    if program.ordinal == 0:
        forked = places.forked_by(session.trace, program)
        if forked is not None:
            parent, ordinal = forked
            session.at.seek_call(parent.id, ordinal)
            session.at.back()
            found = search.run_back_to_access(session.at, guest_addr, guest_addr + size, bits)
            if found is not None:
                return session.stop("watchpoint", f"in the parent: {_told(found)}")
            return _before_the_program(session, guest_addr, size, bits)
    offset = session.image.offset(guest_addr)
    if offset is None:
        return session.stop(
            "unknown",
            f"{program.label} did not access it before; it is no byte of its image: the kernel "
            "zeroed it, or put arguments and environment there",
        )
    version = program.image
    writers = [
        row
        for row in session.images.why.writers_of(version)
        if (row.last_event or 0) <= program.first_event
    ]
    return _to_writer(session, writers, shown(program.path), offset)


def _to_writer(session: Session, writers: list[OpenRow], path: str, offset: int) -> StopReason:
    what = f"byte {offset:#x} of {path}"
    if not writers:
        return session.stop("unknown", f"{what}, which was there before the run")
    writer = max(writers, key=lambda row: row.last_event or 0)
    program = session.trace.program(writer.process)
    call = session.images.why.write_call(writer, offset)
    if call is None:
        return session.stop("unknown", f"{what}, written by {program.label}, nobody knows when")
    session.before_call(program, call.ordinal - program.first_call)
    return session.stop("watchpoint", f"{what}, which {program.label} writes")


def origin(session: Session, guest_addr: int) -> StopReason:
    """See Session.origin."""
    return _stay(session, (session.row, session.executed), _origin(session, guest_addr))


def _origin(session: Session, guest_addr: int) -> StopReason:
    row, began = session.row, session.executed
    found = search.last_access(
        session.at, guest_addr, guest_addr + 1, KINDS["w"], row, began
    )  # goes nowhere
    if found is None:
        return _before_the_program(session, guest_addr, 1, KINDS["w"])
    session.at.seek(row, found.executed + 1)
    reads = NUMBERS[session.program.abi]["read"]
    ordinal = session.calls
    session.at.seek(row, found.executed)
    if session.calls == ordinal:
        return session.stop("watchpoint", _told(found))
    call = next(calls(session.trace, session.program, ordinal, backwards=True))
    if call.number != reads:
        return session.stop("watchpoint", f"written by {session.call(ordinal)}")
    files = {file.fd: file for file in session.open_files()}
    file = files.get(call.first)
    if file is None or file.size is None:
        return session.stop("watchpoint", f"it came in by {session.call(ordinal)}")
    offset = file.offset + guest_addr - found.guest_addr
    opened = [
        o
        for o in session.images.why.opens
        if shown(o.path) == file.path and o.fd == file.fd and o.event <= call.event
    ]
    version = opened[-1].version if opened else None
    if version is None:
        return session.stop("unknown", f"byte {offset:#x} of {file.path}, nobody knows of when")
    writers = [
        o for o in session.images.why.writers_of(version) if (o.last_event or 0) <= call.event
    ]
    if not writers:
        return session.stop(
            "watchpoint", f"read from byte {offset:#x} of {file.path}, a file of the source tree"
        )
    return _to_writer(session, writers, file.path, offset)
