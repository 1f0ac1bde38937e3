"""gdb on a bare PC (bootstrap.machines.pc): no recording, so no way back; the machine is live.

gdb is served within a hook that comes before an instruction: the engine stands still there.
Breakpoints and memory are by linear address. gdb's $pc is EIP, in real mode the offset in CS: a
breakpoint at 0x7c00 stops at 07c0:0000 too, and gdb, which finds none at 0, then says SIGTRAP.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import struct
from collections.abc import Callable, Iterator
from typing import NoReturn

from bootstrap import signals
from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.debug.gdb import wire
from bootstrap.debug.gdb.registers import DESCRIPTIONS, Description, TargetRegister
from bootstrap.debug.gdb.wire import BAD, PACKET_SIZE, escape, number, span
from bootstrap.machines.interrupts import Steps
from bootstrap.machines.pc import Pc

_FAULT = b"E14"
"""EFAULT, as gdb expects of memory that is not there."""
_LOOKS = 1 << 10
"""Each so many times that a machine in Python asks, it is seen whether Ctrl-C came."""


def _as_it_is(register: TargetRegister) -> TargetRegister:
    return dataclasses.replace(register, value=lambda saved: saved[register.name])


def _description() -> Description:
    """i386's core set (gdb's documentation, "i386 Features"), of the x87 nothing."""
    name, types, core = DESCRIPTIONS["i386"].features[0]
    rest = (dataclasses.replace(one, value=lambda _: None) for one in core[16:])
    # Of no system: with GNU/Linux gdb would ask for orig_eax, and look for signal frames. Of no
    # architecture: that changes with the mode, and gdb disassembles as `set architecture` says.
    features = ((name, types, (*map(_as_it_is, core[:16]), *rest)),)
    return Description("", features, "eip", "esp", osabi="none")


DESCRIPTION = _description()
SETTABLE = tuple(register.name for register in DESCRIPTION.registers[:16])
"""The registers that the machine has: all but those of the x87."""


class _Killed(Exception):
    """gdb ends the machine."""


class BareMachine:
    """One client of one machine: give `steps` to `Pc(steps=...)`, then `run` it."""

    def __init__(self, line: wire.PacketLine, log: Callable[[str], None]) -> None:
        self._line, self._log = line, log
        self.steps = Steps(self._step)
        self._breakpoints: set[int] = set()
        self._passed = 0
        self._stepping = True
        """Whether it stops before the next instruction, as it does before the first."""
        self._again = False
        """Whether the engine begins the instruction once more, which was not executed."""
        self._moves = False
        """Whether gdb waits for it to stop."""
        self._away = False
        """Whether gdb let go of it."""
        self._pc: Pc
        self._packets: dict[bytes, Callable[[bytes], bytes | None]] = {
            b"?": lambda _: b"S05",
            b"g": lambda _: self._registers(DESCRIPTION.registers),
            b"p": lambda raw: self._registers((DESCRIPTION.registers[number(raw)],)),
            b"P": self._write_register,
            b"m": self._read,
            b"M": self._write,
            b"Z": lambda raw: self._point(self._breakpoints.add, raw),
            b"z": lambda raw: self._point(self._breakpoints.discard, raw),
            b"s": lambda raw: self._go(True, raw),
            b"c": lambda raw: self._go(False, raw),
            b"H": lambda _: b"OK",
            b"D": self._detach,
            b"k": self._kill,
            b"qSupported": lambda _: (
                b"PacketSize=%x;QStartNoAckMode+;qXfer:features:read+" % PACKET_SIZE
            ),
            b"qXfer:features:read:target.xml:": self._transfer,
            b"qAttached": lambda _: b"1",
            b"QStartNoAckMode": self._no_acknowledgements,
        }

    def run(self, pc: Pc) -> str:
        """As `Pc.run`; gdb hears how it ended, and sees it as it then is."""
        self._pc = pc
        try:
            how = pc.run()
        except _Killed:
            return "was ended by gdb"
        except GuestFailed as error:
            with contextlib.suppress(_Killed):
                self._log(f"{error}; gdb sees it as it is")
                self._serve(b"S0b")  # SIGSEGV
                self._last(b"X0b")
            raise
        self._last(b"W00")
        return how

    def _step(self, address: int) -> None:
        """The machine comes to an instruction."""
        try:
            self._stop(address)
        except BaseException as error:  # no exception can cross Unicorn
            self._pc.fail(error)

    def _stop(self, address: int) -> None:
        if self._again:
            self._again = False
            self._choose()
        elif self._stepping or address in self._breakpoints:
            self._serve(b"S05")
        elif not self._away:
            self._passed += 1
            if self.steps.in_c or not self._passed % _LOOKS:
                with self._still_there():
                    if self._line.interrupted():
                        self._serve(b"S02")

    @contextlib.contextmanager
    def _still_there(self) -> Iterator[None]:
        try:
            yield
        except wire.Gone:
            self._let_go("gdb has gone; the machine goes on")

    def _let_go(self, why: str) -> None:
        self._log(why)
        self._away, self._moves, self._stepping = True, True, False
        self._breakpoints.clear()

    def _last(self, reply: bytes) -> None:
        if self._moves and not self._away:
            with contextlib.suppress(wire.Gone):
                self._line.reply(reply)

    def _choose(self) -> None:
        self.steps.choose(self._stepping or self._again, self._breakpoints)

    def _serve(self, stopped: bytes) -> None:
        """Until gdb lets the machine go on. Raises _Killed, KeyboardInterrupt."""
        with self._still_there():
            if self._moves and not self._away:
                self._line.reply(stopped)
            self._moves = self._away
            while not self._moves:
                with signals.let_in():
                    packet = self._line.packet()
                reply = self._handle(packet or b"")
                if reply is not None:
                    self._line.reply(reply)
        self._choose()

    def _handle(self, packet: bytes) -> bytes | None:
        found = max(
            (name for name in self._packets if packet.startswith(name)), key=len, default=b""
        )
        if not found:
            return b""
        try:
            return self._packets[found](packet[len(found) :])
        except (ValueError, IndexError, struct.error):
            return BAD
        except BadInput as error:
            return b"E." + escape(str(error).encode("ascii", "backslashreplace"))

    # The packets.

    def _registers(self, wanted: tuple[TargetRegister, ...]) -> bytes:
        saved = {name: self._pc.register(name).to_bytes(4, "little") for name in SETTABLE}
        return "".join(register.content(saved) for register in wanted).encode()

    def _write_register(self, rest: bytes) -> bytes:
        which, raw = rest.split(b"=")
        (value,) = struct.unpack("<I", bytes.fromhex(raw.decode("ascii")))
        self._pc.set_register(SETTABLE[number(which)], value)
        self._begin_again()
        return b"OK"

    def _begin_again(self) -> None:
        """The engine reads the next instruction anew: EIP is set, if to what it is."""
        self._pc.set_register("eip", self._pc.register("eip"))
        self._again = True

    def _read(self, rest: bytes) -> bytes:
        at, size = span(rest)
        data = self._pc.ram[at : at + min(size, PACKET_SIZE // 2 - 8)]
        return data.hex().encode() if data or not size else _FAULT

    def _write(self, rest: bytes) -> bytes:
        where, _, raw = rest.partition(b":")
        at, size = span(where)
        data = bytes.fromhex(raw.decode("ascii"))
        if len(data) != size:
            return BAD
        try:
            self._pc.store(at, data)
        except GuestFailed:
            return _FAULT
        self._begin_again()
        return b"OK"

    def _point(self, act: Callable[[int], object], rest: bytes) -> bytes:
        kind, at, _ = rest.split(b";")[0].split(b",")
        if kind not in (b"0", b"1"):
            return b""
        act(number(at))
        return b"OK"

    def _go(self, stepping: bool, rest: bytes) -> bytes | None:
        if rest:
            return b"E.it cannot go on from another address: set the pc first"
        self._stepping, self._moves = stepping, True
        return None

    def _detach(self, _rest: bytes) -> None:
        self._line.reply(b"OK")
        self._let_go("gdb has let go of the machine; it goes on")

    def _kill(self, _rest: bytes) -> NoReturn:
        raise _Killed

    def _transfer(self, rest: bytes) -> bytes:
        offset, size = span(rest)
        xml = DESCRIPTION.xml.encode()
        piece = xml[offset : offset + min(size, PACKET_SIZE // 2 - 8)]
        return (b"m" if offset + len(piece) < len(xml) else b"l") + escape(piece)

    def _no_acknowledgements(self, _rest: bytes) -> None:
        self._line.reply(b"OK")
        self._line.acknowledges = False


@contextlib.contextmanager
def waiting(address: str, log: Callable[[str], None]) -> Iterator[BareMachine]:
    """Wait at `HOST:PORT` (or a port of this machine alone) for gdb. Raises BadInput."""
    host, port = wire.address_of(address, "--gdb")
    with wire.listen(host, port, "--gdb") as listener:
        if not wire.is_loopback(host):
            log(f"warning: {host} is not this machine alone: whoever connects controls the guest")
        shown = f"[{host}]" if ":" in host else host
        log(f"waiting for gdb: target remote {shown}:{listener.getsockname()[1]}")
        client, _ = listener.accept()
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield BareMachine(wire.PacketLine(wire.SocketWire(client, listener)), log)
