"""A server of gdb's remote protocol in a session (gdb's documentation, "Remote Protocol").

One client after the other is served, at a port or on a pair of descriptors.

Every packet that is understood is a row of PACKETS. What is said to be supported is done; what
cannot be done to a recording is refused in words.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from bootstrap.core.errors import BootstrapError
from bootstrap.debug.gdb import queries, reads_and_writes, resuming
from bootstrap.debug.gdb.client import Client
from bootstrap.debug.gdb.guest_files import file_packet
from bootstrap.debug.gdb.packets import BAD, PACKET_SIZE, escape, number
from bootstrap.debug.gdb.symbols import SymbolFiles
from bootstrap.debug.gdb.wire import Gone, PacketLine, PipeWire, SocketWire, Wire
from bootstrap.debug.session import Session
from bootstrap.debug.stops import Interrupted
from bootstrap.trace.compare import Diverged

Log = Callable[[str], None]
Handler = Callable[[Client, bytes], bytes | None]
"""Takes what follows the packet's name. The reply; None where none is expected. May raise
ValueError, IndexError and KeyError for a malformed packet, and as the session does."""


# -- one client -----------------------------------------------------------------------------------


def _stop_question(client: Client, _rest: bytes) -> bytes:
    return resuming.reply(client, b"T05")


def _extend(client: Client, _rest: bytes) -> bytes:
    client.extended = True
    return b"OK"


def _select(client: Client, rest: bytes) -> bytes:
    which, pid = rest[:1], client.pid_of(rest[1:])
    if which == b"g":
        client.general = client.general if pid is None else pid
    elif which == b"c":
        client.continued = client.general if pid is None else pid
    else:
        return BAD
    return b"OK"


def _alive(client: Client, rest: bytes) -> bytes:
    client.pid_of(rest)
    return b"OK"


def _attach(client: Client, rest: bytes) -> bytes:
    client.attach(number(rest))
    return resuming.reply(client, b"T05")


def _leave(client: Client, rest: bytes) -> bytes:
    client.leave(number(rest))
    return b"OK"


def _detach(client: Client, _rest: bytes) -> bytes:
    client.over = True
    return b"OK"


def _end(client: Client, _rest: bytes) -> None:
    client.over = True


def _no_acknowledgements(client: Client, _rest: bytes) -> None:
    client.line.reply(b"OK")
    client.line.acknowledges = False


PACKETS: dict[bytes, Handler] = {
    b"?": _stop_question,
    b"!": _extend,
    b"g": reads_and_writes.read_registers,
    b"G": reads_and_writes.write_registers,
    b"p": reads_and_writes.read_register,
    b"P": reads_and_writes.write_register,
    b"m": reads_and_writes.read_memory,
    b"M": reads_and_writes.write_memory,
    b"x": reads_and_writes.read_binary,
    b"X": reads_and_writes.write_binary,
    b"H": _select,
    b"T": _alive,
    b"Z": resuming.insert_point,
    b"z": resuming.remove_point,
    b"c": lambda client, rest: resuming.move(client, "c", rest),
    b"s": lambda client, rest: resuming.move(client, "s", rest),
    b"bc": lambda client, rest: resuming.move(client, "bc", rest),
    b"bs": lambda client, rest: resuming.move(client, "bs", rest),
    b"C": resuming.signal,
    b"S": resuming.signal,
    b"D;": _leave,
    b"D": _detach,
    b"k": _end,
    b"vCont?": lambda _client, _rest: b"vCont;c;C;s;S",
    b"vCont;": resuming.resume,
    b"vFile:": file_packet,
    b"vKill;": _leave,
    b"vAttach;": _attach,
    b"qSupported": queries.supported,
    b"qXfer:": queries.transfer,
    b"qRcmd,": queries.monitor_command,
    b"qThreadExtraInfo,": queries.thread_info,
    b"qCRC:": lambda _client, _rest: b"",  # not known, and no qC
    b"qC": lambda client, _rest: b"QC" + client.thread(client.general),
    b"qfThreadInfo": queries.threads,
    b"qsThreadInfo": lambda _client, _rest: b"l",
    b"qAttached": lambda _client, _rest: b"1",
    b"qSymbol:": lambda _client, _rest: b"OK",
    b"QStartNoAckMode": _no_acknowledgements,
    b"QNonStop:0": lambda _client, _rest: b"OK",
    b"QCatchSyscalls:": resuming.catch_calls,
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
        return b"E." + _plain(client.note(error))
    except BootstrapError as error:
        return b"E." + _plain(str(error))
    except Interrupted:
        return b"E.interrupted"


def _plain(text: str) -> bytes:
    """A message as it may stand in a packet."""
    return escape(text.replace("\n", " ").encode("ascii", "backslashreplace"))[:1000]


def serve(session: Session, wire: Wire, log: Log, symbols: SymbolFiles | None = None) -> bool:
    """One client, until it goes; whether the run always was the recorded one.

    Raises KeyboardInterrupt.
    """
    client = Client(session, PacketLine(wire), log, symbols)
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
    except Gone:
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
            same = serve(session, SocketWire(client, listener), log, symbols)
        if once:
            return same


def on_descriptors(
    session: Session, in_fd: int, out_fd: int, log: Log, symbols: SymbolFiles | None = None
) -> bool:
    """The one client of a pair of descriptors. Returns as `serve` does."""
    return serve(session, PipeWire(in_fd, out_fd), log, symbols)
