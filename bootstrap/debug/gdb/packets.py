"""gdb's packets: framing, escapes, checksums (gdb's documentation, "Remote Protocol: Overview").

A reader of what an untrusted client sends: any bytes at all give events, never an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

PACKET_SIZE = 0x4000
"""Bytes of one packet's content, as it is sent, at most."""
BAD = b"E.malformed packet"
_ESCAPED = frozenset(b"#$}*")


class PacketKind(Enum):
    """What came in."""

    PACKET = "packet"
    BAD = "bad"
    """A packet with a wrong checksum."""
    LONG = "long"
    """A packet longer than PACKET_SIZE; its content is gone."""
    ACK = "ack"
    AGAIN = "again"
    """The other side wants our last packet again."""
    INTERRUPT = "interrupt"


@dataclass(frozen=True, slots=True)
class PacketEvent:
    """One of them; `content` of a packet is without frame and escapes."""

    kind: PacketKind
    content: bytes = b""


def checksum(raw: bytes) -> bytes:
    """Two hex digits."""
    return b"%02x" % (sum(raw) & 0xFF)


def escape(content: bytes) -> bytes:
    """Binary content as it may stand in a packet."""
    return b"".join(
        bytes((0x7D, byte ^ 0x20)) if byte in _ESCAPED else bytes((byte,)) for byte in content
    )


def unescape(raw: bytes) -> bytes:
    """The reverse; a lone escape at the end is dropped."""
    found = bytearray()
    escaped = False
    for byte in raw:
        if escaped:
            found.append(byte ^ 0x20)
            escaped = False
        elif byte == 0x7D:
            escaped = True
        else:
            found.append(byte)
    return bytes(found)


def frame(raw: bytes) -> bytes:
    """A packet of content that is escaped where it has to be."""
    return b"$" + raw + b"#" + checksum(raw)


class PacketReader:
    """Takes bytes as they come, in any pieces, and gives events."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._inside = False
        self._sum: bytearray | None = None
        self._long = False

    def feed(self, data: bytes) -> Iterator[PacketEvent]:
        """What these bytes complete."""
        for byte in data:
            event = self._byte(byte)
            if event is not None:
                yield event

    def _byte(self, byte: int) -> PacketEvent | None:
        if byte == 0x24:  # $: a packet begins, also in the middle of one that was cut short
            self._inside, self._sum, self._long = True, None, False
            self._raw.clear()
            return None
        if not self._inside:
            # What is no packet and none of these is noise on the line.
            found = {0x03: PacketKind.INTERRUPT, 0x2B: PacketKind.ACK, 0x2D: PacketKind.AGAIN}.get(
                byte
            )
            return None if found is None else PacketEvent(found)
        if self._sum is not None:
            self._sum.append(byte)
            return self._end() if len(self._sum) == 2 else None
        if byte == 0x23:  # '#'
            self._sum = bytearray()
        elif len(self._raw) < PACKET_SIZE:
            self._raw.append(byte)
        else:
            self._long = True
        return None

    def _end(self) -> PacketEvent:
        raw, given = bytes(self._raw), bytes(self._sum or b"")
        self._inside, self._sum = False, None
        self._raw.clear()
        if self._long:
            return PacketEvent(PacketKind.LONG)
        if given.lower() != checksum(raw):
            return PacketEvent(PacketKind.BAD)
        return PacketEvent(PacketKind.PACKET, unescape(raw))


def number(raw: bytes) -> int:
    """A hexadecimal number. Raises ValueError; `int` would take signs, blanks and underlines."""
    if not raw or len(raw) > 16 or set(raw) - set(b"0123456789abcdefABCDEF"):
        raise ValueError(raw)
    return int(raw, 16)


def span(raw: bytes) -> tuple[int, int]:
    """`ADDR,LENGTH` or `OFFSET,LENGTH`. Raises ValueError."""
    first, second = raw.split(b",")
    return number(first), number(second)
