"""Runs to the first of several things, forwards and backwards: breakpoints, watchpoints, calls.

`_forward` and `_backward` stay in one program's time; `cont` and `reverse_cont` are Session's.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bootstrap.debug import places
from bootstrap.debug.stops import KINDS, Breakpoint, Interrupted, StopReason, Watchpoint
from bootstrap.instruments.counter import Access
from bootstrap.timeline import search
from bootstrap.timeline.timeline import PastEnd
from bootstrap.trace.calls import calls
from bootstrap.trace.store import ProgramRow
from bootstrap.trace.views import command

if TYPE_CHECKING:
    from bootstrap.debug.session import Session

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


def _backward(session: Session, bound: int) -> StopReason | None:
    """Back to the last before, not beyond `bound`. None: there is none, and it did not move."""
    at, addresses, watchpoints = session.at, _addresses(session), list(session.watchpoints)
    row, began, size = at.row, at.executed, STRETCH
    if not watchpoints:
        found_one = bool(addresses) and search.run_back_to(at, addresses, bound)
        return _at_breakpoint(session) if found_one else None
    end = began
    while end > bound:
        since = max(bound, end - size)
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


def _at_access(session: Session, watchpoint: Watchpoint, access: Access) -> StopReason:
    """At a watchpoint, and a breakpoint where one is there, too."""
    does = "writes" if access.writes else "reads"
    detail = f"{access.pc:#x} {does} {access.size} bytes at {access.guest_addr:#x}"
    return StopReason(
        "watchpoint", session.here, detail, _breakpoint_here(session), watchpoint, access.guest_addr
    )


# -- through a process, with pauses at system calls -----------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pause:
    """Where a move stops for what is neither breakpoint nor watchpoint."""

    reason: str
    executed: int
    ordinal: int
    """Of the system call."""
    call: tuple[str, int] | None = None
    """See StopReason."""


def cont(session: Session, pause_at: Collection[str], caught: Collection[int] | None) -> StopReason:
    """See Session.cont."""
    while True:
        row = session.row
        pause = _pause_after(session, "fork" in pause_at, caught)
        try:
            stop = _forward(session, None if pause is None else pause.executed)
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
            return _with_call(stop, pause)
        assert pause is not None  # what else would bound it
        return _paused(session, pause)


def reverse_cont(
    session: Session, pause_at: Collection[str], caught: Collection[int] | None
) -> StopReason:
    """See Session.reverse_cont."""
    while True:
        program = session.program
        pause = _pause_before(session, caught)
        stop = _backward(session, 0 if pause is None else pause.executed)
        if stop is not None:
            return _with_call(stop, pause)
        if pause is not None:
            session.at.seek(program.id, pause.executed)
            return _paused(session, pause)
        before = session.neighbour(program.id, -1)
        if before is None:
            return session.to_start(program.id)
        session.at.seek(before.id, session.at.total(before.id) - 1)
        last = next(calls(session.trace, before, before.calls, backwards=True)).number
        if caught is not None and (not caught or last in caught):
            pause = _Pause("entry", session.executed, before.calls, ("entry", last))
        if "exec" in pause_at and before.abi != program.abi:
            return _with_call(before_exec(session, program), pause)
        if pause is not None:
            return _paused(session, pause)
        if session.pc in _addresses(session):
            return _at_breakpoint(session)


def before_exec(session: Session, program: ProgramRow) -> StopReason:
    """Back before what the process executed."""
    detail = f"back before {program.label} executes {command(program)}"
    return session.stop("exec", detail)


def _pause_after(session: Session, forks: bool, caught: Collection[int] | None) -> _Pause | None:
    """The next fork, if those count, or the next place of a caught system call."""
    program, fork, number = session.program, None, None
    if forks:
        made = places.children(session.trace, program)
        fork = next((ordinal for ordinal, _ in made if ordinal > session.calls), None)
    ordinal = fork
    if caught is not None:
        for call in calls(session.trace, program, session.calls + 1, backwards=False):
            if fork is not None and call.ordinal > fork:
                break
            if not caught or call.number in caught:
                ordinal, number = call.ordinal, call.number
                break
    if ordinal is None:
        return None
    after, returns = _where_call(session, program, ordinal)
    if number is not None and session.executed < after - 1:
        return _Pause("entry", after - 1, ordinal, ("entry", number))
    if not returns:
        return None
    return _Pause("fork" if ordinal == fork else "return", after, ordinal,
                  None if number is None else ("return", number))  # fmt: skip


def _pause_before(session: Session, caught: Collection[int] | None) -> _Pause | None:
    """The last place before of a caught system call."""
    if caught is None:
        return None
    for call in calls(session.trace, session.program, session.calls, backwards=True):
        if not caught or call.number in caught:
            after, _ = _where_call(session, session.program, call.ordinal)
            reason = "return" if after < session.executed else "entry"
            at = after if reason == "return" else after - 1
            return _Pause(reason, at, call.ordinal, (reason, call.number))
    return None


def _where_call(session: Session, program: ProgramRow, ordinal: int) -> tuple[int, bool]:
    """How many instructions the program had executed just after a call, and whether it goes on
    there; goes nowhere."""
    if ordinal == program.calls and places.never_returns(program):
        return session.total_of(program.id), False
    executed = session.executed
    try:
        session.at.seek_call(program.id, ordinal)
        found = session.executed, True
    except PastEnd as end:  # a fork, and the run failed in the child
        found = end.total, False
    session.at.seek(program.id, executed)
    return found


def _paused(session: Session, pause: _Pause) -> StopReason:
    return replace(session.stop(pause.reason, session.call(pause.ordinal)), call=pause.call)


def _with_call(stop: StopReason, pause: _Pause | None) -> StopReason:
    """What is at one place with a caught call says that, too."""
    same = pause is not None and pause.executed == stop.place.executed
    return replace(stop, call=pause.call) if pause is not None and same else stop
