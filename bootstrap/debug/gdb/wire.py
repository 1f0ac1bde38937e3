"""The line to gdb: packets on a TCP connection or a pair of descriptors.

Framing, escapes and checksums are those of gdb's documentation, "Remote Protocol: Overview". A
reader of what an untrusted client sends: any bytes at all give events, never an error.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import select
import socket
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple, Protocol

from bootstrap.core.errors import BadInput

PACKET_SIZE = 0x4000
"""Bytes of one packet's content, as it is sent, at most."""
BAD = b"E.malformed packet"
_CHUNK = 1 << 16
_NEXT = re.compile(
    rb"\$(?P<content>[^$#]*)#(?P<sum>[^$]{2})"
    rb"|\$[^$#]*(?:#[^$]?)?(?=\$)"  # cut short: the next one begins
    rb"|(?P<rest>\$[^$#]*(?:#[^$]?)?)\Z"  # not all of it is there
    rb"|(?P<sign>[+\-\x03])",  # what is none of these is noise on the line
    re.DOTALL,
)


# -- packets --------------------------------------------------------------------------------------


class PacketKind(Enum):
    """What came in."""

    PACKET = "packet"
    BAD = "bad"
    """A packet with a wrong checksum."""
    LONG = "long"
    """A packet longer than PACKET_SIZE; its content is gone."""
    ACK = b"+"
    AGAIN = b"-"
    """The other side wants our last packet again."""
    INTERRUPT = b"\x03"


class PacketEvent(NamedTuple):
    """One of them; `content` of a packet is without frame and escapes."""

    kind: PacketKind
    content: bytes = b""


def checksum(raw: bytes) -> bytes:
    """Two hex digits."""
    return b"%02x" % (sum(raw) & 0xFF)


def escape(content: bytes) -> bytes:
    """Binary content as it may stand in a packet."""
    return re.sub(rb"[#$}*]", lambda match: bytes((0x7D, match[0][0] ^ 0x20)), content)


def unescape(raw: bytes) -> bytes:
    """The reverse; a lone escape at the end is dropped."""
    return re.sub(
        rb"\}(.?)", lambda match: bytes(byte ^ 0x20 for byte in match[1]), raw, flags=re.DOTALL
    )


def frame(raw: bytes) -> bytes:
    """A packet of content that is escaped where it has to be."""
    return b"$" + raw + b"#" + checksum(raw)


class PacketReader:
    """Takes bytes as they come, in any pieces, and gives events."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[PacketEvent]:
        """What these bytes complete."""
        data, self._rest = self._rest + data, b""
        for match in _NEXT.finditer(data):
            if match["sign"]:
                yield PacketEvent(PacketKind(match["sign"]))
            elif match["rest"]:
                content, sign, half = match["rest"].partition(b"#")
                self._rest = content[: PACKET_SIZE + 2] + sign + half
            elif match["content"] is not None:
                yield self._packet(match["content"], match["sum"])

    @staticmethod
    def _packet(raw: bytes, given: bytes) -> PacketEvent:
        if len(raw) > PACKET_SIZE:
            return PacketEvent(PacketKind.LONG)
        if given.lower() != checksum(raw):
            return PacketEvent(PacketKind.BAD)
        return PacketEvent(PacketKind.PACKET, unescape(raw))


def number(raw: bytes) -> int:
    """A hexadecimal number. Raises ValueError; `int` would take signs, blanks and underlines."""
    if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", raw):
        raise ValueError(raw)
    return int(raw, 16)


def span(raw: bytes) -> tuple[int, int]:
    """`ADDR,LENGTH` or `OFFSET,LENGTH`. Raises ValueError."""
    first, second = raw.split(b",")
    return number(first), number(second)


def text_of(raw: bytes, errors: str = "strict") -> str:
    """A text that is sent in hex. Raises ValueError."""
    return bytes.fromhex(raw.decode("ascii")).decode("utf-8", errors)


# -- bytes ----------------------------------------------------------------------------------------


class Gone(Exception):
    """The client is not there any more."""


class Wire(Protocol):
    """Bytes to and from a client."""

    def receive(self, wait: bool) -> bytes | None:
        """What has come; None: nothing yet. Raises Gone."""

    def send(self, data: bytes) -> None:
        """All of it. Raises Gone."""


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    """An error of the system is a client that has gone."""
    try:
        yield
    except OSError:
        raise Gone from None


def _received(read: Callable[[], bytes]) -> bytes:
    with _gone():
        data = read()
    if not data:
        raise Gone
    return data


class PipeWire:
    """A pair of descriptors, a pipe's say."""

    def __init__(self, in_fd: int, out_fd: int) -> None:
        self._in, self._out = in_fd, out_fd

    def receive(self, wait: bool) -> bytes | None:
        if not select.select([self._in], [], [], None if wait else 0)[0]:
            return None
        return _received(lambda: os.read(self._in, _CHUNK))

    def send(self, data: bytes) -> None:
        with _gone():
            while data:
                data = data[os.write(self._out, data) :]


class SocketWire:
    """A connection; who else comes meanwhile is sent away."""

    def __init__(self, client: socket.socket, listener: socket.socket) -> None:
        self._client, self._listener = client, listener

    def receive(self, wait: bool) -> bytes | None:
        while True:
            ready, _, _ = select.select([self._client, self._listener], [], [], None if wait else 0)
            if self._client in ready:  # first: who has gone sends nobody else away
                return _received(lambda: self._client.recv(_CHUNK))
            if self._listener in ready:
                with contextlib.suppress(OSError):
                    self._listener.accept()[0].close()
            if not wait:
                return None

    def send(self, data: bytes) -> None:
        with _gone():
            self._client.sendall(data)


class PacketLine:
    """Packets on a wire: acknowledged until both sides agree that they need not be."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._reader = PacketReader()
        self._events: deque[PacketEvent] = deque()
        self._last = b""
        self.acknowledges = True

    def _receive(self, wait: bool) -> None:
        self._events.extend(self._reader.feed(self._wire.receive(wait) or b""))

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
            self._receive(wait=True)

    def interrupted(self) -> bool:
        """Whether gdb has sent Ctrl-C by now; what else has come waits. Raises Gone."""
        self._receive(wait=False)
        found = len(self._events)
        self._events = deque(e for e in self._events if e.kind is not PacketKind.INTERRUPT)
        return len(self._events) < found

    def reply(self, raw: bytes) -> None:
        """Send a packet; its content is escaped where it has to be. Raises Gone."""
        self._last = frame(raw)
        self._wire.send(self._last)


# -- addresses ------------------------------------------------------------------------------------


def address_of(text: str, option: str = "--listen") -> tuple[str, int]:
    """`HOST:PORT`, or `PORT` of this machine alone. Raises BadInput, which names the option."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadInput(f"{option} {text}: name an address and a port, like 127.0.0.1:1234")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can come there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int, option: str = "--listen") -> socket.socket:
    """A listening socket. Raises BadInput, which names the option."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1)
    except OSError as error:
        raise BadInput(
            f"{option} {host}:{port}: cannot be listened at: {error.strerror}; "
            "port 0 takes any free one"
        ) from None
