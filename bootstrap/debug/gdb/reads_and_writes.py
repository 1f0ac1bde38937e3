"""gdb's packets for registers and memory (documentation: "Packets", g, G, p, P, m, M, x, X).

To write takes a live program; a session refuses it to a recording, in words.
"""

from __future__ import annotations

from bootstrap.core.errors import BadInput
from bootstrap.debug.gdb.client import Client
from bootstrap.debug.gdb.packets import PACKET_SIZE, escape, number, span
from bootstrap.debug.gdb.registers import TargetRegister

_FAULT = b"E14"
"""EFAULT, as gdb expects of memory that is not there."""


def read_registers(client: Client, _rest: bytes) -> bytes:
    """`g`: all, in target byte order. Raises BadInput."""
    saved = client.saved()
    return "".join(register.content(saved) for register in client.expected()).encode()


def read_register(client: Client, rest: bytes) -> bytes:
    """`p NUMBER`. Raises BadInput, ValueError."""
    return _register(client, rest).content(client.saved()).encode()


def _register(client: Client, which: bytes) -> TargetRegister:
    index, found = number(which), client.agreed().registers
    if index >= len(found):
        raise BadInput("no such register")
    return found[index]


def write_registers(client: Client, rest: bytes) -> bytes:
    """`G VALUES`: those that are not as they were are set. Raises BadInput, ValueError."""
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
    return b"OK"


def write_register(client: Client, rest: bytes) -> bytes:
    """`P NUMBER=VALUE`, in target byte order. Raises BadInput, ValueError."""
    client.here().check_live()
    which, raw = rest.split(b"=")
    _store(client, _register(client, which), bytes.fromhex(raw.decode("ascii")))
    return b"OK"


def _store(client: Client, register: TargetRegister, raw: bytes) -> None:
    if register.store is None:
        raise BadInput(f"register {register.name} cannot be set")
    if len(raw) != register.bits // 8:
        raise ValueError(raw)
    client.here().set_register(*register.store(client.saved(), raw))


def _read(client: Client, rest: bytes) -> bytes | None:
    """As much as goes into a packet; None where there is nothing."""
    guest_addr, size = span(rest)
    data = client.here().read(guest_addr, min(size, PACKET_SIZE // 2 - 8))
    return data if data or not size else None


def read_memory(client: Client, rest: bytes) -> bytes:
    """`m ADDR,LENGTH`, in hex. Raises ValueError."""
    data = _read(client, rest)
    return _FAULT if data is None else data.hex().encode()


def read_binary(client: Client, rest: bytes) -> bytes:
    """`x ADDR,LENGTH`, in bytes. Raises ValueError."""
    data = _read(client, rest)
    return _FAULT if data is None else b"b" + escape(data)


def write_memory(client: Client, rest: bytes) -> bytes:
    """`M ADDR,LENGTH:HEX`. Raises BadInput, ValueError."""
    client.here().check_live()
    where, raw = rest.split(b":")
    return _write(client, where, bytes.fromhex(raw.decode("ascii")))


def write_binary(client: Client, rest: bytes) -> bytes:
    """`X ADDR,LENGTH:BYTES`; of no length gdb asks whether there is this packet."""
    where, _, raw = rest.partition(b":")
    return _write(client, where, raw)


def _write(client: Client, where: bytes, data: bytes) -> bytes:
    guest_addr, size = span(where)
    if len(data) != size:
        raise ValueError(where)
    if data:
        client.here().write(guest_addr, data)
    return b"OK"
