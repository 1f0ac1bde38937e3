"""Waits for gdb, at a port or on a pair of descriptors, and serves one client after the other."""

from __future__ import annotations

import socket
from collections.abc import Callable

from bootstrap.debug.gdb.server import Server
from bootstrap.debug.gdb.symbols import SymbolFiles
from bootstrap.debug.gdb.wire import Connection, Descriptors, Line, Wire
from bootstrap.debug.session import Session

Log = Callable[[str], None]


def serve(session: Session, wire: Wire, log: Log, symbols: SymbolFiles | None = None) -> bool:
    """One client, until it goes; whether the run always was the recorded one."""
    server = Server(session, Line(wire), log, symbols)
    session.progress = server.progress
    try:
        server.serve()
    finally:
        session.progress = lambda _row, _executed: None
    return not server.diverged


def at_port(
    session: Session, listener: socket.socket, log: Log, once: bool = False,
    symbols: SymbolFiles | None = None,
) -> bool:  # fmt: skip
    """Clients, each after the other, until Ctrl-C (KeyboardInterrupt); `once`: the first only.

    Answers as `serve` does.
    """
    while True:
        try:
            client, address = listener.accept()
        except OSError:
            continue  # it has gone again
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            log(f"a client has come from {address[0]}:{address[1]}")
            same = serve(session, Connection(client, listener), log, symbols)
        if once:
            return same


def on_descriptors(
    session: Session, in_fd: int, out_fd: int, log: Log, symbols: SymbolFiles | None = None
) -> bool:
    """The one client of a pair of descriptors. Answers as `serve` does."""
    return serve(session, Descriptors(in_fd, out_fd), log, symbols)
