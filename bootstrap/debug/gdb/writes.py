"""gdb's packets that write (documentation: "Packets", G, M, P, X). To a live program; a session
refuses it to a recording, in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootstrap.core.errors import BadInput
from bootstrap.debug.gdb.packets import number, span
from bootstrap.debug.gdb.registers import Register

if TYPE_CHECKING:
    from bootstrap.debug.gdb.server import Server


def one_register(server: Server, rest: bytes) -> bytes:
    """`P NUMBER=VALUE`, in target byte order. Raises BadInput, ValueError."""
    server.here().check_live()
    which, raw = rest.split(b"=")
    found = server.agreed().registers
    if number(which) >= len(found):
        raise BadInput("no such register")
    _store(server, found[number(which)], bytes.fromhex(raw.decode("ascii")))
    return b"OK"


def all_registers(server: Server, rest: bytes) -> bytes:
    """`G VALUES`: those that are not as they were are set. Raises BadInput, ValueError."""
    server.here().check_live()
    raw, at = rest.decode("ascii").lower(), 0
    found = server.expected()
    if len(raw) != sum(register.bits // 4 for register in found):
        raise ValueError(raw)
    saved = server.saved()
    for register in found:
        cells, at = raw[at : at + register.bits // 4], at + register.bits // 4
        if cells != register.content(saved):
            _store(server, register, bytes.fromhex(cells))
    return b"OK"


def _store(server: Server, register: Register, raw: bytes) -> None:
    session = server.here()
    if register.store is None:
        raise BadInput(f"register {register.name} cannot be set")
    if len(raw) != register.bits // 8:
        raise ValueError(raw)
    session.set_register(*register.store(server.saved(), raw))


def memory(server: Server, rest: bytes) -> bytes:
    """`M ADDR,LENGTH:HEX`. Raises BadInput, ValueError."""
    server.here().check_live()
    where, raw = rest.split(b":")
    return _write(server, where, bytes.fromhex(raw.decode("ascii")))


def binary(server: Server, rest: bytes) -> bytes:
    """`X ADDR,LENGTH:BYTES`; of no length gdb asks whether there is this packet."""
    where, _, raw = rest.partition(b":")
    return _write(server, where, raw)


def _write(server: Server, where: bytes, data: bytes) -> bytes:
    guest_addr, size = span(where)
    if len(data) != size:
        raise ValueError(where)
    if data:
        server.here().write(guest_addr, data)
    return b"OK"
