"""The line to gdb: a TCP connection or a pair of descriptors, and the packets on it."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from bootstrap.core.errors import BadInput
from bootstrap.debug.gdb.packets import PacketEvent, PacketKind, PacketReader, frame

_CHUNK = 1 << 16


class Gone(Exception):
    """The client is not there any more."""


class Wire(Protocol):
    """Bytes to and from a client."""

    def receive(self, wait: bool) -> bytes | None:
        """What has come; None: nothing yet. Raises Gone."""

    def send(self, data: bytes) -> None:
        """All of it. Raises Gone."""


def _received(read: Callable[[], bytes]) -> bytes:
    try:
        data = read()
    except OSError:
        raise Gone from None
    if not data:
        raise Gone
    return data


class PipeWire:
    """A pair of descriptors, a pipe's say."""

    def __init__(self, in_fd: int, out_fd: int) -> None:
        self._in, self._out = in_fd, out_fd

    def receive(self, wait: bool) -> bytes | None:
        """See Wire."""
        if not select.select([self._in], [], [], None if wait else 0)[0]:
            return None
        return _received(lambda: os.read(self._in, _CHUNK))

    def send(self, data: bytes) -> None:
        """See Wire."""
        try:
            while data:
                data = data[os.write(self._out, data) :]
        except OSError:
            raise Gone from None


class SocketWire:
    """A connection; who else comes meanwhile is sent away."""

    def __init__(self, client: socket.socket, listener: socket.socket) -> None:
        self._client, self._listener = client, listener

    def receive(self, wait: bool) -> bytes | None:
        """See Wire."""
        while True:
            ready, _, _ = select.select([self._client, self._listener], [], [], None if wait else 0)
            if self._client in ready:  # first: who has gone sends nobody else away
                break
            if self._listener in ready:
                with contextlib.suppress(OSError):
                    self._listener.accept()[0].close()
            if not wait:
                return None
        return _received(lambda: self._client.recv(_CHUNK))

    def send(self, data: bytes) -> None:
        """See Wire."""
        try:
            self._client.sendall(data)
        except OSError:
            raise Gone from None


class PacketLine:
    """Packets on a wire: acknowledged until both sides agree that they need not be."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._reader = PacketReader()
        self._events: deque[PacketEvent] = deque()
        self._last = b""
        self.acknowledges = True

    def packet(self) -> bytes | None:
        """The next packet's content; None: one that was too long. Raises Gone."""
        while True:
            while self._events:
                event = self._events.popleft()
                if event.kind is PacketKind.AGAIN and self._last and self.acknowledges:
                    self._wire.send(self._last)
                elif event.kind is PacketKind.BAD and self.acknowledges:
                    self._wire.send(b"-")
                elif event.kind in (PacketKind.PACKET, PacketKind.LONG):
                    # The same once more: gdb did not wait for a slow start, but wants one reply.
                    while self._events and self._events[0] == event and self.acknowledges:
                        self._events.popleft()
                    if self.acknowledges:
                        self._wire.send(b"+")
                    return event.content if event.kind is PacketKind.PACKET else None
            data = self._wire.receive(True)
            self._events.extend(self._reader.feed(data or b""))

    def interrupted(self) -> bool:
        """Whether gdb has sent Ctrl-C by now; what else has come waits. Raises Gone."""
        data = self._wire.receive(False)
        self._events.extend(self._reader.feed(data or b""))
        found = len(self._events)
        self._events = deque(e for e in self._events if e.kind is not PacketKind.INTERRUPT)
        return len(self._events) < found

    def reply(self, raw: bytes) -> None:
        """Send a packet; its content is escaped where it has to be. Raises Gone."""
        self._last = frame(raw)
        self._wire.send(self._last)


def address_of(text: str) -> tuple[str, int]:
    """`HOST:PORT`, or `PORT` of this machine alone. Raises BadInput."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadInput(f"--listen {text}: name an address and a port, like 127.0.0.1:1234")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can come there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises BadInput."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1)
    except OSError as error:
        raise BadInput(
            f"--listen {host}:{port}: cannot be listened at: {error.strerror}; "
            "port 0 takes any free one"
        ) from None
