"""Runs to the first of several things, forwards and backwards: breakpoints, watchpoints, forks.

`_forward` and `_backward` stay in one program's time; `cont` and `reverse_cont` are Session's.

And to who read or wrote memory, also where that leads to another process: across processes a byte
came from the parent's memory at the fork, the image that was loaded, or a file that was read. The
trace knows who wrote files (timeline/origins.py).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from bootstrap.core.errors import BadInput
from bootstrap.debug import places
from bootstrap.debug.stops import KINDS, Breakpoint, Interrupted, StopReason, Watchpoint
from bootstrap.instruments.counter import Access
from bootstrap.linux.numbers import NUMBERS
from bootstrap.timeline import search
from bootstrap.timeline.origins import NOT_LEFT
from bootstrap.timeline.timeline import PastEnd
from bootstrap.trace.calls import calls
from bootstrap.trace.columns import shown
from bootstrap.trace.store import OpenRow, ProgramRow
from bootstrap.trace.views import command

if TYPE_CHECKING:
    from bootstrap.debug.session import Position, Session

STRETCH = 1 << 12
"""Instructions that are searched for each thing in turn; then eight times as many."""
LONGEST = 1 << 27
APART = 1 << 11
"""Instructions between states that are kept where memory is watched."""


def _forward(session: Session, bound: int | None) -> StopReason | None:
    """On to the first breakpoint or watchpoint; no further than `bound`, where it then is (None).

    Raises PastEnd where the program ends before; then it is somewhere in it. Where there is
    nothing to stop at, a known end is not run to.
    """
    at, addresses, watchpoints = session.at, _addresses(session), list(session.watchpoints)
    total = at.checkpoints.totals.get(at.row)
    if total is not None and bound is None and not addresses and not watchpoints:
        raise PastEnd(session.program, total)
    began = at.executed
    if not watchpoints:
        return _at_breakpoint(session) if search.run_within(at, addresses, began, bound) else None
    size = STRETCH
    while bound is None or at.executed < bound:
        row, start = at.row, at.executed
        at.keep(APART)  # for those who watch: they begin here, too
        found: tuple[Watchpoint, Access] | None = None
        end: PastEnd | None = None
        limit = start + size if bound is None else min(bound, start + size)
        try:
            stopped = search.run_within(at, addresses, began, limit)
            limit = at.executed
        except PastEnd as error:
            end, stopped = error, False
            limit = min(limit, error.total)
        for one in watchpoints:
            access = search.first_access(
                at, one.guest_addr, one.guest_addr + one.size, KINDS[one.kinds], row, start, limit
            )
            if access is not None:
                found, limit = (one, access), access.executed
        # The instruction that ends the program has no place after it.
        if found is not None and (end is None or found[1].executed + 1 < end.total):
            at.seek(row, found[1].executed + 1)
            return _at_access(session, *found)
        if end is not None:
            raise end
        if stopped:
            return _at_breakpoint(session)
        size = min(size * 8, LONGEST)
    return None


def _backward(session: Session) -> StopReason | None:
    """Back to the last before. None: there is none, and it did not move."""
    at, addresses, watchpoints = session.at, _addresses(session), list(session.watchpoints)
    row, began, size = at.row, at.executed, STRETCH
    if not watchpoints:
        found_one = bool(addresses) and search.run_back_to(at, addresses)
        return _at_breakpoint(session) if found_one else None
    end = began
    while end > 0:
        since = max(0, end - size)
        found: tuple[Watchpoint, Access] | None = None
        stopped = bool(addresses) and search.run_back_to(at, addresses, since)
        if stopped:
            since = at.executed
        for one in watchpoints:
            access = search.last_access(
                at, one.guest_addr, one.guest_addr + one.size, KINDS[one.kinds], row, end, since
            )
            if access is not None:
                found, since = (one, access), access.executed
        if found is not None:
            at.seek(row, found[1].executed)
            return _at_access(session, *found)
        if stopped:
            return _at_breakpoint(session)
        end, size = since, min(size * 8, LONGEST)
        at.seek(row, end)
    at.seek(row, began)
    return None


def _addresses(session: Session) -> list[int]:
    return list(session.breakpoints.addresses(session.program.image))


def _breakpoint_here(session: Session) -> Breakpoint | None:
    return session.breakpoints.addresses(session.program.image).get(session.pc)


def _at_breakpoint(session: Session) -> StopReason:
    one = _breakpoint_here(session)
    return StopReason("breakpoint", session.here, "" if one is None else f"at {one}", one)


def _access_text(access: Access) -> str:
    """For people."""
    does = "writes" if access.writes else "reads"
    count = "1 byte" if access.size == 1 else f"{access.size:,} bytes"
    return f"{access.pc:#x} {does} {count} at {access.guest_addr:#x}"


def _at_access(session: Session, watchpoint: Watchpoint, access: Access) -> StopReason:
    """At a watchpoint, and a breakpoint where one is there, too."""
    return StopReason(
        "watchpoint", session.here, _access_text(access), _breakpoint_here(session), watchpoint,
        access.guest_addr,
    )  # fmt: skip


# -- through a process ----------------------------------------------------------------------------


def cont(session: Session, pause_at: Collection[str]) -> StopReason:
    """See Session.cont."""
    while True:
        row = session.row
        fork = _next_fork(session) if "fork" in pause_at else None
        try:
            stop = _forward(session, None if fork is None else fork[1])
        except PastEnd:
            stop = session.after_end(row)
            if stop.reason == "end" or "exec" in pause_at:
                return stop
            if session.pc in _addresses(session):
                return _at_breakpoint(session)
            continue
        except Interrupted:
            if session.watchpoints or session.at.machine is None:
                raise
            return session.stop("interrupted")
        if stop is not None:
            return stop
        assert fork is not None  # what else would bound it
        return session.stop("fork", session.call(fork[0]))


def reverse_cont(session: Session, pause_at: Collection[str]) -> StopReason:
    """See Session.reverse_cont."""
    while True:
        program = session.program
        stop = _backward(session)
        if stop is not None:
            return stop
        before = session.neighbour(program.id, -1)
        if before is None:
            return session.to_start(program.id)
        session.at.seek(before.id, session.at.total(before.id) - 1)
        if "exec" in pause_at and before.abi != program.abi:
            return before_exec(session, program)
        if session.pc in _addresses(session):
            return _at_breakpoint(session)


def before_exec(session: Session, program: ProgramRow) -> StopReason:
    """Back before what the process executed."""
    detail = f"back before {program.label} executes {command(program)}"
    return session.stop("exec", detail)


def _next_fork(session: Session) -> tuple[int, int] | None:
    """The ordinal of the next fork, and how many instructions were executed just after it."""
    row, executed = session.position
    made = places.children(session.trace, session.program)
    ordinal = next((ordinal for ordinal, _ in made if ordinal > session.calls), None)
    if ordinal is None:
        return None
    try:
        session.at.seek_call(row, ordinal)
        return ordinal, session.executed
    except PastEnd:  # the run failed in the child
        return None
    finally:
        session.at.seek(row, executed)


# -- who read or wrote memory, also in another process --------------------------------------------


def _check(size: int, kinds: str) -> int:
    if kinds not in KINDS:
        raise BadInput(f"an access is of kind r, w or a (all), not {kinds}")
    if size < 1:
        raise BadInput(f"{size} bytes: there is no such memory")
    return KINDS[kinds]


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
    return session.stop("watchpoint", _access_text(access))


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
                return session.stop("watchpoint", f"in the parent: {_access_text(found)}")
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
        return session.stop("watchpoint", _access_text(found))
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
    if not writers and version not in session.images.why.in_tree:
        return session.stop("unknown", f"byte {offset:#x} of {file.path}: {NOT_LEFT}")
    if not writers:
        return session.stop(
            "watchpoint", f"read from byte {offset:#x} of {file.path}, a file of the source tree"
        )
    return _to_writer(session, writers, file.path, offset)
