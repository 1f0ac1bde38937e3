"""gdb's packets that move, what stops a move, and the replies to them (documentation: "Packets",
"Stop Reply Packets")."""

from __future__ import annotations

from bootstrap.debug import running
from bootstrap.debug.gdb.client import Client
from bootstrap.debug.gdb.packets import BAD, number
from bootstrap.debug.stops import Interrupted, StopReason
from bootstrap.trace.columns import shown

_WATCHES = {2: "w", 3: "r", 4: "a"}
"""Kinds of Z packets."""
_WATCHED = {"w": b"watch", "r": b"rwatch", "a": b"awatch"}


def insert_point(client: Client, rest: bytes) -> bytes:
    """`Z KIND,ADDR,LENGTH`: a breakpoint or a watchpoint. Raises ValueError."""
    return _point(client, rest, True)


def remove_point(client: Client, rest: bytes) -> bytes:
    """`z`: none any more. Raises ValueError."""
    return _point(client, rest, False)


def _point(client: Client, rest: bytes, insert: bool) -> bytes:
    what, raw, length, *_ = rest.split(b";")[0].split(b",")
    kind, guest_addr, size = number(what), number(raw), number(length)
    points = client.points[client.general]
    if kind in (0, 1):
        (points.breakpoints.add if insert else points.breakpoints.discard)(guest_addr)
        return b"OK"
    if kind not in _WATCHES:
        return b""
    if guest_addr + size > 1 << 64:
        return b"E.there is no such memory"
    watch = guest_addr, max(1, size), _WATCHES[kind]
    (points.watches.add if insert else points.watches.discard)(watch)
    return b"OK"


def catch_calls(client: Client, rest: bytes) -> bytes:
    """`QCatchSyscalls:1[;NUMBER]...` or `:0`. Raises ValueError."""
    catches, *numbers = rest.split(b";")
    if catches not in (b"0", b"1"):
        return BAD
    caught = frozenset(map(number, numbers)) if catches == b"1" else None
    client.points[client.general].caught = caught
    return b"OK"


def resume(client: Client, rest: bytes) -> bytes:
    """What follows `vCont;`. Raises ValueError, BadInput."""
    what, _, thread = rest.split(b";")[0].partition(b":")
    if what[:1] in (b"C", b"S"):
        return signal(client, b"")
    if what not in (b"c", b"s"):
        return BAD
    pid = client.pid_of(thread) if thread else None
    client.continued = client.general if pid is None else pid
    # The first that goes on is the one that runs: one process runs at a time.
    return move(client, what.decode("ascii"), b"")


def signal(_client: Client, _rest: bytes) -> bytes:
    """`C` and `S`."""
    return b"E.no signal can be sent: there are none in this kernel"


def move(client: Client, how: str, rest: bytes) -> bytes:
    """c, s, bc or bs, of the process that is to move."""
    if rest:
        return b"E.it cannot go on from another address: set the pc first"
    pid = client.continued
    client.select(pid)
    client.general = client.moved = pid
    client.arm(pid)
    client.may_stop = True
    try:
        return _go(client, how, pid)
    except Interrupted:
        return reply(client, b"T02")
    finally:
        client.may_stop = False


def _go(client: Client, how: str, pid: int) -> bytes:
    client.settle()
    session, points = client.select(pid), client.points[pid]
    due, client.due = client.due, None
    if due is not None and due[0] == (how, pid, session.position):
        _, call, breakpoint_ = due
        if call is not None:
            client.due = due[0], None, breakpoint_
            return _stopped(client, StopReason(call[0], session.here, call=call))
        if breakpoint_ and session.pc in points.breakpoints:
            return _stopped(client, StopReason("breakpoint", session.here))
    before, calls = session.program, session.calls
    pauses = [name for name in ("fork", "exec") if f"{name}-events+".encode() in client.features]
    if how == "s":
        stop = session.step()
    elif how == "c":
        stop = session.cont(pauses, points.caught)
    elif how == "bs":
        stop = session.back()
        if session.program.abi != before.abi:
            stop = running.before_exec(session, before)
    else:
        stop = session.reverse_cont(pauses, points.caught)
    event = None
    if stop.reason == "exec" and "exec" in pauses:
        path = shown(session.program.path).encode().hex().encode()
        event = reply(client, b"T05", b"exec:" + path)
    elif "fork" in pauses and session.row == before.id and session.calls > calls:
        child = client.fork(before.id, session.calls)
        event = None if child is None else reply(client, b"T05", b"fork:" + client.thread(child))
    # What else is at this place comes at the next move.
    other = event is not None or stop.reason in ("entry", "return")
    call = stop.call if event is not None or not other else None
    client.due = (how.replace("s", "c"), pid, session.position), call, other
    return _stopped(client, stop) if event is None else event


def _stopped(client: Client, stop: StopReason) -> bytes:
    if stop.reason == "interrupted":
        return reply(client, b"T02")
    if stop.reason in ("begin", "end"):
        return reply(client, b"T05", b"replaylog:" + stop.reason.encode())
    if stop.reason in ("entry", "return") and stop.call is not None:
        return reply(client, b"T05", b"syscall_%b:%x" % (stop.reason.encode(), stop.call[1]))
    if stop.watchpoint is not None:
        kind = _WATCHED[stop.watchpoint.kinds]
        return reply(client, b"T05", b"%b:%x" % (kind, stop.watchpoint.guest_addr))
    if stop.reason == "breakpoint" and b"swbreak+" in client.features:
        return reply(client, b"T05", b"swbreak:")
    return reply(client, b"T05")


def reply(client: Client, signal: bytes, *reasons: bytes) -> bytes:
    """A stop reply, with pc and stack pointer so that gdb need not ask.

    The registers stand last: gdb has to know of which process they are, and of an `exec:` that
    they are none of the program before. It is to have the description of these.
    """
    described, saved = client.description(), client.saved()
    cells = [
        b"%x:%b" % (n, described.registers[n].content(saved).encode())
        for n in (described.number(described.pc), described.number(described.sp))
        if client.points[client.general].described == client.here().program.abi
    ]
    parts = [b"thread:" + client.thread(client.general), *reasons, *cells]
    return signal + b"".join(part + b";" for part in parts)
