"""A server of gdb's remote protocol in a session (gdb's documentation, "Remote Protocol").

One client after the other is served, at a port or on a pair of descriptors.

Every packet that is understood is a row of PACKETS. What is said to be supported is done; what
cannot be done to a recording is refused in words.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from bootstrap.core.errors import BadInput, BootstrapError
from bootstrap.debug import running
from bootstrap.debug.gdb import monitor, wire
from bootstrap.debug.gdb.client import Client, NoProcess
from bootstrap.debug.gdb.guest_files import auxv, file_packet
from bootstrap.debug.gdb.registers import TargetRegister
from bootstrap.debug.gdb.symbols import SymbolFiles
from bootstrap.debug.gdb.wire import BAD, PACKET_SIZE, escape, number, span, text_of
from bootstrap.debug.session import Session
from bootstrap.debug.stops import Interrupted, StopReason
from bootstrap.trace.columns import shown
from bootstrap.trace.compare import Diverged
from bootstrap.trace.views import command

Log = Callable[[str], None]
Handler = Callable[[Client, bytes], bytes | None]
"""Takes what follows the packet's name. The reply; None where none is expected. May raise
ValueError, IndexError and KeyError for a malformed packet, and as the session does."""


def _then_ok(act: Callable[[Client, bytes], object], client: Client, rest: bytes) -> bytes:
    """Something is done, or raises."""
    act(client, rest)
    return b"OK"


def _always(reply: bytes) -> Handler:
    return lambda _client, _rest: reply


# -- what both can do, which processes there are --------------------------------------------------

ALWAYS = (
    *(b"PacketSize=%x QStartNoAckMode+ vContSupported+ ReverseStep+ ReverseContinue+ "
      b"binary-upload+" % PACKET_SIZE).split(),
    *(b"qXfer:%b:read+" % name for name in (
        b"features", b"auxv", b"exec-file", b"libraries-svr4")),
)  # fmt: skip
IF_WANTED = (b"multiprocess+", b"swbreak+", b"hwbreak+")
EVENTS = (b"fork-events+", b"exec-events+")
"""These need process numbers in thread ids."""


def _supported(client: Client, offered: bytes) -> bytes:
    theirs = frozenset(offered.removeprefix(b":").split(b";"))
    wanted = [name for name in IF_WANTED if name in theirs]
    if b"multiprocess+" in wanted:
        wanted += [name for name in EVENTS if name in theirs]
    client.features = frozenset(wanted)
    return b";".join((*ALWAYS, *wanted))


def _no_acknowledgements(client: Client, _rest: bytes) -> None:
    client.line.reply(b"OK")
    client.line.acknowledges = False


def _end(client: Client, _rest: bytes) -> None:
    client.over = True


def _select(client: Client, rest: bytes) -> bytes:
    which, pid = rest[:1], client.pid_of(rest[1:]) or client.general
    if which == b"g":
        client.general = pid
    elif which == b"c":
        client.continued = pid
    else:
        return BAD
    return b"OK"


def _threads(client: Client, _rest: bytes) -> bytes:
    """All in the first reply; `qsThreadInfo` has the end of them."""
    known = client.processes if client.multiprocess else (client.general,)
    return b"m" + b",".join(client.thread(pid) for pid in sorted(known))


def _thread_info(client: Client, rest: bytes) -> bytes:
    """A line about a process."""
    pid = client.pid_of(rest)
    if pid is None:
        raise NoProcess
    session = client.select(pid)
    return _hexed(f"{command(session.program)[:60]}, at {session.here}")


def _hexed(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace").hex().encode()


def _monitor(client: Client, rest: bytes) -> bytes:
    text = monitor.do(client, text_of(rest, "backslashreplace"))
    return _hexed(text + "\n") if text else b"OK"


# -- objects: `qXfer:OBJECT:read:ANNEX:OFFSET,LENGTH` ---------------------------------------------


def _transfer(client: Client, rest: bytes) -> bytes:
    what, how, annex, part = rest.split(b":")
    if what not in _OBJECTS:
        return b""
    if how != b"read":
        return b"E.only to be read"
    found = _OBJECTS[what](client, annex)
    if found is None:
        return b"E00"
    offset, size = span(part)
    size = min(size, PACKET_SIZE // 2 - 8)
    piece = found[offset : offset + size]
    return (b"m" if offset + len(piece) < len(found) else b"l") + escape(piece)


def _features(client: Client, annex: bytes) -> bytes | None:
    if annex != b"target.xml":
        return None
    client.processes[client.general].described = client.here().program.abi
    return client.description().xml.encode()


def _exec_file(client: Client, annex: bytes) -> bytes | None:
    pid = int(annex, 16) if annex else client.general
    if pid not in client.processes:
        return None
    return shown(client.select(pid).program.path).encode()


_OBJECTS: dict[bytes, Callable[[Client, bytes], bytes | None]] = {
    b"features": _features,
    b"auxv": lambda client, _annex: auxv(client.here()),
    b"exec-file": _exec_file,
    # Every program is static.
    b"libraries-svr4": lambda _client, _annex: b'<library-list-svr4 version="1.0"/>',
}

# -- registers and memory -------------------------------------------------------------------------

_FAULT = b"E14"
"""EFAULT, as gdb expects of memory that is not there."""


def _read_registers(client: Client, _rest: bytes) -> bytes:
    """All, in target byte order."""
    saved = client.saved()
    return "".join(register.content(saved) for register in client.expected()).encode()


def _register(client: Client, which: bytes) -> TargetRegister:
    index, found = number(which), client.agreed().registers
    if index >= len(found):
        raise BadInput("no such register")
    return found[index]


def _write_registers(client: Client, rest: bytes) -> None:
    """`G VALUES`: those that are not as they were are set."""
    client.here().check_live()
    raw, at = rest.decode("ascii").lower(), 0
    found = client.expected()
    if len(raw) != sum(register.bits // 4 for register in found):
        raise ValueError(raw)
    saved = client.saved()
    for register in found:
        cells, at = raw[at : at + register.bits // 4], at + register.bits // 4
        if cells != register.content(saved):
            _store(client, register, bytes.fromhex(cells))


def _write_register(client: Client, rest: bytes) -> None:
    """`P NUMBER=VALUE`, in target byte order."""
    client.here().check_live()
    which, raw = rest.split(b"=")
    _store(client, _register(client, which), bytes.fromhex(raw.decode("ascii")))


def _store(client: Client, register: TargetRegister, raw: bytes) -> None:
    if register.store is None:
        raise BadInput(f"register {register.name} cannot be set")
    if len(raw) != register.bits // 8:
        raise ValueError(raw)
    client.here().set_register(*register.store(client.saved(), raw))


def _read(form: Callable[[bytes], bytes], client: Client, rest: bytes) -> bytes:
    """`m` and `x ADDR,LENGTH`: as much as goes into a packet, in that form."""
    guest_addr, size = span(rest)
    data = client.here().read(guest_addr, min(size, PACKET_SIZE // 2 - 8))
    return form(data) if data or not size else _FAULT


def _write(form: Callable[[bytes], bytes], client: Client, rest: bytes) -> bytes:
    """`M` and `X ADDR,LENGTH:DATA`; by an `X` of no length gdb asks whether there is this packet.

    To write takes a live program; a session refuses it to a recording, in words.
    """
    where, _, raw = rest.partition(b":")
    guest_addr, size = span(where)
    if size:
        client.here().check_live()
    data = form(raw)
    if len(data) != size:
        raise ValueError(where)
    if data:
        client.here().write(guest_addr, data)
    return b"OK"


# -- what stops a move ----------------------------------------------------------------------------

_WATCHES = {2: "w", 3: "r", 4: "a"}
"""Kinds of Z packets."""
_WATCHED = {"w": b"watch", "r": b"rwatch", "a": b"awatch"}


def _point(insert: bool, client: Client, rest: bytes) -> bytes:
    """`Z KIND,ADDR,LENGTH`: a breakpoint or a watchpoint; `z`: none any more."""
    what, raw, length, *_ = rest.split(b";")[0].split(b",")
    kind, guest_addr, size = number(what), number(raw), number(length)
    points = client.processes[client.general]
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


# -- moves, and the replies to them ("Stop Reply Packets") ----------------------------------------

_NO_SIGNALS = b"E.no signal can be sent: there are none in this kernel"


def _resume(client: Client, rest: bytes) -> bytes | None:
    """What follows `vCont;`."""
    what, _, thread = rest.split(b";")[0].partition(b":")
    if what[:1] in (b"C", b"S"):
        return _NO_SIGNALS
    if what not in (b"c", b"s"):
        return BAD
    # The first that goes on is the one that runs: one process runs at a time.
    client.continued = (client.pid_of(thread) if thread else None) or client.general
    return _move(what.decode("ascii"), client, b"")


def _move(how: str, client: Client, rest: bytes) -> bytes:
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
        return stop_reply(client, b"T02")
    finally:
        client.may_stop = False


def _go(client: Client, how: str, pid: int) -> bytes:
    client.settle()
    session, process = client.select(pid), client.processes[pid]
    due, client.due = client.due, None
    if due == (how, pid, session.position) and session.pc in process.breakpoints:
        return _stopped(client, StopReason("breakpoint", session.here))
    before, calls = session.program, session.calls
    pauses = [name for name in ("fork", "exec") if f"{name}-events+".encode() in client.features]
    if how == "s":
        stop = session.step()
    elif how == "c":
        stop = session.cont(pauses)
    elif how == "bs":
        stop = session.back()
        if session.program.abi != before.abi:
            stop = running.before_exec(session, before)
    else:
        stop = session.reverse_cont(pauses)
    event = None
    if stop.reason == "exec" and "exec" in pauses:
        event = stop_reply(client, b"T05", b"exec:" + _hexed(shown(session.program.path)))
    elif "fork" in pauses and session.row == before.id and session.calls > calls:
        child = client.fork(before.id, session.calls)
        event = None if child is None else stop_reply(
            client, b"T05", b"fork:" + client.thread(child))  # fmt: skip
    if event is None:
        return _stopped(client, stop)
    # A breakpoint at this place comes at the next move.
    client.due = how.replace("s", "c"), pid, session.position
    return event


def _stopped(client: Client, stop: StopReason) -> bytes:
    reasons: list[bytes] = []
    if stop.reason in ("begin", "end"):
        reasons.append(b"replaylog:" + stop.reason.encode())
    elif stop.watchpoint is not None:
        kind = _WATCHED[stop.watchpoint.kinds]
        reasons.append(b"%b:%x" % (kind, stop.watchpoint.guest_addr))
    elif stop.reason == "breakpoint" and b"swbreak+" in client.features:
        reasons.append(b"swbreak:")
    return stop_reply(client, b"T02" if stop.reason == "interrupted" else b"T05", *reasons)


def stop_reply(client: Client, signal: bytes, *reasons: bytes) -> bytes:
    """A stop reply, with pc and stack pointer so that gdb need not ask.

    The registers stand last: gdb has to know of which process they are, and of an `exec:` that
    they are none of the program before. It is to have the description of these.
    """
    described, saved = client.description(), client.saved()
    cells = [
        b"%x:%b" % (n, described.registers[n].content(saved).encode())
        for n in (described.number(described.pc), described.number(described.sp))
        if client.processes[client.general].described == client.here().program.abi
    ]
    parts = [b"thread:" + client.thread(client.general), *reasons, *cells]
    return signal + b"".join(part + b";" for part in parts)


# -- one client -----------------------------------------------------------------------------------

PACKETS: dict[bytes, Handler] = {
    b"?": lambda client, _rest: stop_reply(client, b"T05"),
    b"g": _read_registers,
    b"G": partial(_then_ok, _write_registers),
    b"p": lambda client, rest: _register(client, rest).content(client.saved()).encode(),
    b"P": partial(_then_ok, _write_register),
    b"m": partial(_read, lambda data: data.hex().encode()),
    b"M": partial(_write, lambda raw: bytes.fromhex(raw.decode("ascii"))),
    b"x": partial(_read, lambda data: b"b" + escape(data)),
    b"X": partial(_write, bytes),
    b"H": _select,
    b"T": partial(_then_ok, Client.pid_of),
    b"Z": partial(_point, True),
    b"z": partial(_point, False),
    b"c": partial(_move, "c"),
    b"s": partial(_move, "s"),
    b"bc": partial(_move, "bc"),
    b"bs": partial(_move, "bs"),
    b"C": _always(_NO_SIGNALS),
    b"S": _always(_NO_SIGNALS),
    b"D;": partial(_then_ok, lambda client, rest: client.leave(number(rest))),
    b"D": partial(_then_ok, _end),
    b"k": _end,
    b"vCont?": _always(b"vCont;c;C;s;S"),
    b"vCont;": _resume,
    b"vFile:": file_packet,
    b"vKill;": partial(_then_ok, lambda client, rest: client.leave(number(rest))),
    b"qSupported": _supported,
    b"qXfer:": _transfer,
    b"qRcmd,": _monitor,
    b"qThreadExtraInfo,": _thread_info,
    b"qCRC:": _always(b""),  # not known, and no qC
    b"qC": lambda client, _rest: b"QC" + client.thread(client.general),
    b"qfThreadInfo": _threads,
    b"qsThreadInfo": _always(b"l"),
    b"qAttached": _always(b"1"),
    b"qSymbol:": _always(b"OK"),
    b"QStartNoAckMode": _no_acknowledgements,
    b"QNonStop:0": _always(b"OK"),
}
"""By what a packet begins with; the longest that fits counts."""
_BY_LENGTH = sorted(PACKETS.items(), key=lambda row: -len(row[0]))


def handle(client: Client, packet: bytes) -> bytes | None:
    """The reply to a packet: empty for one that is not known, None where none is expected."""
    found = next((row for row in _BY_LENGTH if packet.startswith(row[0])), None)
    if found is None:
        return b""
    name, handler = found
    try:
        return handler(client, packet[len(name) :])
    except (ValueError, IndexError, KeyError):
        return BAD
    except Diverged as error:
        return _refused(client.note(error))
    except BootstrapError as error:
        return _refused(str(error))
    except Interrupted:
        return b"E.interrupted"


def _refused(text: str) -> bytes:
    """A message as it may stand in a packet."""
    return b"E." + escape(text.replace("\n", " ").encode("ascii", "backslashreplace"))[:1000]


def serve(session: Session, line: wire.Wire, log: Log, symbols: SymbolFiles | None = None) -> bool:
    """One client, until it goes; whether the run always was the recorded one.

    Raises KeyboardInterrupt.
    """
    client = Client(session, wire.PacketLine(line), log, symbols)
    session.progress = client.progress
    try:
        while not client.over:
            packet = client.line.packet()
            if packet is None:
                client.line.reply(b"E.packet of more than %d bytes" % PACKET_SIZE)
                continue
            reply = handle(client, packet)
            if reply is not None:
                client.line.reply(reply)
    except wire.Gone:
        log("the client has gone")
    finally:
        session.progress = lambda _row, _executed: None
    return not client.diverged


# -- where they come to ---------------------------------------------------------------------------


def at_port(
    session: Session, listener: socket.socket, log: Log, once: bool = False,
    symbols: SymbolFiles | None = None,
) -> bool:  # fmt: skip
    """Clients, each after the other, until Ctrl-C (KeyboardInterrupt); `once`: the first only.

    Returns as `serve` does.
    """
    while True:
        try:
            client, address = listener.accept()
        except OSError:
            continue  # it has gone again
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            log(f"a client has come from {address[0]}:{address[1]}")
            same = serve(session, wire.SocketWire(client, listener), log, symbols)
        if once:
            return same


def on_descriptors(
    session: Session, in_fd: int, out_fd: int, log: Log, symbols: SymbolFiles | None = None
) -> bool:
    """The one client of a pair of descriptors. Returns as `serve` does."""
    return serve(session, wire.PipeWire(in_fd, out_fd), log, symbols)
