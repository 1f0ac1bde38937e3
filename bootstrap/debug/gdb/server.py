"""Answers gdb's packets from a session (gdb's documentation, "Remote Protocol": "Packets", "General
Query Packets", "Stop Reply Packets").

Each process of the run is a process of gdb's with one thread, and stands at a place of its own: to
select it goes there. gdb knows of those that it has met: the first, children, and those that
`monitor` brought. What is said to be supported is done; what cannot be done to a recording is
refused in words.
"""

from __future__ import annotations

from collections.abc import Callable

from bootstrap.core.errors import BadInput, BootstrapError
from bootstrap.debug import running
from bootstrap.debug.command_table import Interpreter
from bootstrap.debug.gdb import queries, writes
from bootstrap.debug.gdb.files import Files
from bootstrap.debug.gdb.packets import PACKET_SIZE, escape, number, span
from bootstrap.debug.gdb.processes import Processes
from bootstrap.debug.gdb.registers import DESCRIPTIONS, Description, Register
from bootstrap.debug.gdb.symbols import SymbolFiles
from bootstrap.debug.gdb.wire import Gone, Line
from bootstrap.debug.session import Session
from bootstrap.debug.stops import Interrupted, Stop
from bootstrap.trace.replay import Diverged
from bootstrap.trace.text import shown

BAD = b"E.malformed packet"
_FAULT = b"E14"
"""EFAULT, as gdb expects of memory that is not there."""
_WATCHES = {2: "w", 3: "r", 4: "a"}
"""Kinds of Z packets."""
_WATCHED = {"w": b"watch", "r": b"rwatch", "a": b"awatch"}


class Server:
    """One client's session. `serve` returns when the client has gone."""

    def __init__(
        self, session: Session, line: Line, log: Callable[[str], None],
        symbols: SymbolFiles | None = None,
    ) -> None:  # fmt: skip
        self.session = session
        self.symbols = symbols
        """Where symbol files go, if they are wanted."""
        self.line = line
        self.log = log
        self.processes = Processes(session)
        self.features: frozenset[bytes] = frozenset()
        """What gdb said that it can do."""
        self.files = Files(session, self.processes.select)
        self.general = self.processes.current
        """The process that questions are about, and (`continued`) the one that moves."""
        self.continued = self.processes.current
        self.moved = self.processes.current
        """The process that `monitor` is about: the one that moved last, or was chosen."""
        self.commands: Interpreter | None = None
        """What does `monitor` commands, once there was one."""
        self.diverged = False
        """Whether the run was found not to be the recorded one."""
        self.extended = False
        """Whether the client stays when it has let go of all processes, to attach to others."""
        self.may_stop = False
        """Whether what goes on is a move, which Ctrl-C may end; other ways are gone to the end."""
        self._over = False
        self._due: tuple[object, tuple[str, int] | None, bool] | None = None
        """Where and which way it stopped, and what else is there: a caught call, a breakpoint."""
        self._handlers: dict[bytes, Callable[[bytes], bytes | None]] = {
            b"?": lambda _: self._question(),
            b"!": lambda _: self._extend(),
            b"g": self._registers,
            b"p": self._register,
            b"m": self._memory,
            b"x": self._binary,
            b"G": lambda rest: writes.all_registers(self, rest),
            b"P": lambda rest: writes.one_register(self, rest),
            b"M": lambda rest: writes.memory(self, rest),
            b"X": lambda rest: writes.binary(self, rest),
            b"H": self._select,
            b"T": self._alive,
            b"Z": lambda rest: self._point(rest, True),
            b"z": lambda rest: self._point(rest, False),
            b"c": lambda rest: self._move("c", rest),
            b"s": lambda rest: self._move("s", rest),
            b"C": lambda _: b"E.no signal can be sent: there are none in this kernel",
            b"S": lambda _: b"E.no signal can be sent: there are none in this kernel",
            b"b": self._backwards,
            b"D": self._detach,
            b"k": lambda _: self._end(),
            b"v": self._v,
            b"q": lambda rest: queries.answer(self, rest),
            b"Q": self._set,
        }

    # -- the loop --------------------------------------------------------------------------------

    def serve(self) -> None:
        """Until the client goes. Raises KeyboardInterrupt."""
        try:
            while not self._over:
                packet = self.line.packet()
                if packet is None:
                    self.line.reply(b"E.packet of more than %d bytes" % PACKET_SIZE)
                    continue
                answer = self.answer(packet)
                if answer is not None:
                    self.line.reply(answer)
        except Gone:
            self.log("the client has gone")

    def answer(self, packet: bytes) -> bytes | None:
        """The reply to a packet: empty for one that is not known, None where none is expected."""
        handler = self._handlers.get(packet[:1])
        if handler is None:
            return b""
        try:
            return handler(packet[1:])
        except (ValueError, IndexError, KeyError):
            return BAD
        except Diverged as error:
            return b"E." + _plain(self.note(error))
        except BootstrapError as error:
            return b"E." + _plain(str(error))
        except Interrupted:
            return b"E.interrupted"

    def note(self, error: Diverged) -> str:
        """Tell, in the log too, that the run is not the recorded one; its first line."""
        lines = error.divergence.lines()
        for line in lines:
            self.log(line)
        self.diverged = True
        return lines[0]

    def progress(self, _row: int, _executed: int) -> None:
        """A session's: ends a move when gdb wants it. Raises Interrupted, Gone."""
        if self.line.interrupted() and (self.may_stop or self.session.settling):
            raise Interrupted

    # -- processes -------------------------------------------------------------------------------

    @property
    def multiprocess(self) -> bool:
        """Whether thread ids name processes."""
        return b"multiprocess+" in self.features

    def thread(self, pid: int) -> bytes:
        """A process's only thread, as gdb writes it."""
        return b"p%x.%x" % (pid, pid) if self.multiprocess else b"%x" % pid

    def pid_of(self, raw: bytes) -> int | None:
        """The process of a thread id; None for any or all. Raises ValueError, KeyError."""
        if raw.startswith(b"p"):
            raw, _, tid = raw[1:].partition(b".")
            if tid and tid not in (b"0", b"-1") and raw != tid:
                raise KeyError(tid)
        if raw in (b"0", b"-1"):
            return None
        pid = number(raw)
        if pid not in self.processes.places:
            raise KeyError(pid)
        return pid

    def _select(self, rest: bytes) -> bytes:
        which, raw = rest[:1], rest[1:]
        try:
            pid = self.pid_of(raw)
        except KeyError:
            return b"E.no such process"
        if which == b"g":
            self.general = self.general if pid is None else pid
        elif which == b"c":
            self.continued = self.general if pid is None else pid
        else:
            return BAD
        return b"OK"

    def _alive(self, rest: bytes) -> bytes:
        try:
            self.pid_of(rest)
        except KeyError:
            return b"E.no such process"
        return b"OK"

    def here(self) -> Session:
        """The session, where the process is that questions are about."""
        self.processes.select(self.general)
        return self.session

    def description(self) -> Description:
        """The registers of that process."""
        return DESCRIPTIONS[self.here().program.abi]

    def agreed(self) -> Description:
        """The same, for registers that gdb takes to be so. Raises BadInput where it takes them for
        those of another architecture, that of a program that the process executed elsewhere."""
        known, is_ = self.processes.points[self.general].described, self.here().program.abi
        if known not in (None, is_):
            raise BadInput(f"this is a program for {is_}, and gdb has the registers of {known}: "
                           "`unset tdesc filename` reads them anew")  # fmt: skip
        return self.description()

    def expected(self) -> tuple[Register, ...]:
        """What gdb expects in all registers of the process. Raises as `agreed`.

        It never asks for the description of a process that it finds in the list of threads.
        """
        found = self.agreed()
        known = self.processes.points[self.general].described
        return found.promised if known is None else found.registers

    # -- registers and memory --------------------------------------------------------------------

    def saved(self) -> dict[str, bytes]:
        """What the CPU has in all registers there."""
        return self.here().at.live.tasks[-1].cpu.save()

    def _registers(self, _rest: bytes) -> bytes:
        saved = self.saved()
        return "".join(register.content(saved) for register in self.expected()).encode()

    def _register(self, rest: bytes) -> bytes:
        which, found = number(rest), self.agreed().registers
        if which >= len(found):
            return b"E.no such register"
        return found[which].content(self.saved()).encode()

    def _read(self, rest: bytes, most: int) -> bytes:
        guest_addr, size = span(rest)
        return self.here().read(guest_addr, min(size, most))

    def _memory(self, rest: bytes) -> bytes:
        _, size = span(rest)
        data = self._read(rest, PACKET_SIZE // 2 - 8)
        return data.hex().encode() if data or not size else _FAULT

    def _binary(self, rest: bytes) -> bytes:
        _, size = span(rest)
        data = self._read(rest, PACKET_SIZE // 2 - 8)
        return b"b" + escape(data) if data or not size else _FAULT

    # -- breakpoints and watchpoints -------------------------------------------------------------

    def _point(self, rest: bytes, insert: bool) -> bytes:
        what, raw, length, *_ = rest.split(b";")[0].split(b",")
        kind, guest_addr, size = number(what), number(raw), number(length)
        points = self.processes.points[self.general]
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

    # -- moving ----------------------------------------------------------------------------------

    def _move(self, how: str, rest: bytes = b"") -> bytes:
        if rest:
            return b"E.it cannot go on from another address: set the pc first"
        pid = self.continued
        self.processes.select(pid)
        self.general = self.moved = pid
        self.processes.arm(pid)
        self.may_stop = True
        try:
            return self._go(how, pid)
        except Interrupted:
            return self._interrupted()
        finally:
            self.may_stop = False

    def _go(self, how: str, pid: int) -> bytes:
        session, points = self.session, self.processes.points[pid]
        self.processes.settle()
        due, self._due = self._due, None
        if due is not None and due[0] == (how, pid, session.row, session.executed):
            _, call, breakpoint_ = due
            if call is not None:
                self._due = due[0], None, breakpoint_
                return self._stopped(Stop(call[0], session.here, call=call))
            if breakpoint_ and session.pc in points.breakpoints:
                return self._stopped(Stop("breakpoint", session.here))
        before, calls = session.program, session.calls
        if how == "s":
            stop = session.step()
        elif how == "c":
            stop = session.cont(self._pauses(), points.caught)
        elif how == "bs":
            stop = session.back()
            if session.program.abi != before.abi:
                stop = running.before_exec(session, before)
        else:
            stop = session.reverse_cont(self._pauses(), points.caught)
        event = self._event(stop, before.id, calls)
        call = stop.call if event is not None or stop.reason not in ("entry", "return") else None
        here = how.replace("s", "c"), pid, session.row, session.executed
        self._due = here, call, event is not None or stop.reason in ("entry", "return")
        return self._stopped(stop) if event is None else event

    def _pauses(self) -> list[str]:
        return [name for name in ("fork", "exec") if f"{name}-events+".encode() in self.features]

    def _event(self, stop: Stop, program: int, calls: int) -> bytes | None:
        """The stop for a fork or an exec that was just passed, if gdb wants to hear of it."""
        session, pauses = self.session, self._pauses()
        if stop.reason == "exec" and "exec" in pauses:
            path = shown(session.program.path).encode().hex().encode()
            return self._reply(b"T05", b"exec:" + path)
        if "fork" in pauses and session.row == program and session.calls > calls:
            child = self.processes.child_of(program, session.calls)
            if child is not None:
                self.processes.fork(self.continued, child)
                return self._reply(b"T05", b"fork:" + self.thread(child))
        return None

    def _stopped(self, stop: Stop) -> bytes:
        if stop.reason == "interrupted":
            return self._interrupted()
        if stop.reason in ("begin", "end"):
            return self._reply(b"T05", b"replaylog:" + stop.reason.encode())
        if stop.reason in ("entry", "return") and stop.call is not None:
            return self._reply(b"T05", b"syscall_%b:%x" % (stop.reason.encode(), stop.call[1]))
        if stop.watchpoint is not None:
            kind = _WATCHED[stop.watchpoint.kinds]
            return self._reply(b"T05", b"%b:%x" % (kind, stop.watchpoint.guest_addr))
        if stop.reason == "breakpoint" and b"swbreak+" in self.features:
            return self._reply(b"T05", b"swbreak:")
        return self._reply(b"T05")

    def _interrupted(self) -> bytes:
        return self._reply(b"T02")

    def _reply(self, signal: bytes, *reasons: bytes) -> bytes:
        """A stop reply, with pc and stack pointer so that gdb need not ask.

        The registers stand last: gdb has to know of which process they are, and of an `exec:` that
        they are none of the program before. It is to have the description of these.
        """
        described, saved = self.description(), self.saved()
        cells = [
            b"%x:%b" % (n, described.registers[n].content(saved).encode())
            for n in (described.number(described.pc), described.number(described.sp))
            if self.processes.points[self.general].described == self.session.program.abi
        ]
        parts = [b"thread:" + self.thread(self.general), *reasons, *cells]
        return signal + b"".join(part + b";" for part in parts)

    def _question(self) -> bytes:
        return self._reply(b"T05")

    def _backwards(self, rest: bytes) -> bytes:
        return self._move("b" + rest.decode("ascii")) if rest in (b"s", b"c") else b""

    def _v(self, rest: bytes) -> bytes | None:
        if rest.startswith(b"Cont?"):
            return b"vCont;c;C;s;S"
        if rest.startswith(b"Cont;"):
            return self._cont(rest[5:])
        if rest.startswith(b"File:"):
            self.processes.select(self.general)
            return self.files.answer(rest[5:])
        if rest.startswith(b"Kill;"):
            return self._leave(number(rest[5:]))
        if rest.startswith(b"Attach;"):
            pid = number(rest[7:])
            if not self.processes.attach(pid):
                return b"E.no such process"
            self.general = self.continued = self.moved = pid
            return self._question()
        return b""

    def _cont(self, rest: bytes) -> bytes:
        for action in rest.split(b";"):
            what, _, thread = action.partition(b":")
            if what[:1] in (b"C", b"S"):
                return b"E.no signal can be sent: there are none in this kernel"
            if what not in (b"c", b"s"):
                return BAD
            pid = self.pid_of(thread) if thread else None
            self.continued = self.general if pid is None else pid
            # The first that goes on is the one that runs: one process runs at a time.
            return self._move(what.decode("ascii"))
        return BAD

    # -- the rest --------------------------------------------------------------------------------

    def _set(self, rest: bytes) -> bytes | None:
        if rest == b"StartNoAckMode":
            self.line.reply(b"OK")
            self.line.acknowledges = False
            return None
        if rest == b"NonStop:0":
            return b"OK"
        if rest.startswith(b"CatchSyscalls:"):
            catches, *numbers = rest[14:].split(b";")
            if catches not in (b"0", b"1"):
                return BAD
            caught = frozenset(map(number, numbers)) if catches == b"1" else None
            self.processes.points[self.general].caught = caught
            return b"OK"
        return b""

    def _leave(self, pid: int) -> bytes:
        if pid not in self.processes.places:
            return b"E.no such process"
        self.processes.leave(pid)
        if not self.processes.places:
            self._over = not self.extended
        else:
            left = next(iter(self.processes.places))
            self.general = left if self.general == pid else self.general
            self.continued = left if self.continued == pid else self.continued
            self.moved = left if self.moved == pid else self.moved
        return b"OK"

    def _extend(self) -> bytes:
        self.extended = True
        return b"OK"

    def _detach(self, rest: bytes) -> bytes:
        if rest.startswith(b";"):
            return self._leave(number(rest[1:]))
        self._over = True
        return b"OK"

    def _end(self) -> None:
        self._over = True


def _plain(text: str) -> bytes:
    """A message as it may stand in a packet."""
    return escape(text.replace("\n", " ").encode("ascii", "backslashreplace"))[:1000]
