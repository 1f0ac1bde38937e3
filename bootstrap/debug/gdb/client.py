"""What a client of gdb's protocol has of a session: processes, where they stop, what is selected.

Each process of the run is a process of gdb's with one thread, and stands at a place of its own: to
select it goes there. gdb knows of some: the first, children, and those that `monitor`
brought.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bootstrap.core.errors import BadInput
from bootstrap.debug import places
from bootstrap.debug.command_table import Interpreter
from bootstrap.debug.gdb.registers import DESCRIPTIONS, Description, TargetRegister
from bootstrap.debug.gdb.symbols import SymbolFiles
from bootstrap.debug.gdb.wire import PacketLine, number
from bootstrap.debug.session import Position, Session
from bootstrap.debug.stops import Interrupted
from bootstrap.trace.compare import Diverged
from bootstrap.trace.store import ProgramRow


class NoProcess(BadInput):
    """gdb names a process that it does not know, or that there is none of."""

    def __init__(self) -> None:
        super().__init__("no such process")


@dataclass
class GdbProcess:
    """A process that gdb knows, and what it wants of it."""

    place: Position
    """Where it stands; of the current one where it was selected."""
    breakpoints: set[int] = field(default_factory=set)
    watches: set[tuple[int, int, str]] = field(default_factory=set)
    """(address, size, kind of stops.KINDS)"""
    described: str | None = None
    """The ABI whose target description gdb has for it; None: none."""


class Client:
    """One client, from when it comes until it goes."""

    def __init__(
        self, session: Session, line: PacketLine, log: Callable[[str], None],
        symbols: SymbolFiles | None = None,
    ) -> None:  # fmt: skip
        self._session = session
        self.line = line
        self.log = log
        self.symbols = symbols
        """Where symbol files go, if they are wanted."""
        self._read()
        self.current = self._number(session.program)
        """The process that the session is at, by gdb's number of it: its pid, where no two
        processes of the trace share it."""
        self.processes = {self.current: GdbProcess(session.position)}
        """Those that gdb knows."""
        self.general = self.continued = self.moved = self.current
        """The process that questions are about, the one that moves, and the one that `monitor` is
        about: it moved last, or was chosen."""
        self.features: frozenset[bytes] = frozenset()
        """What gdb said that it can do."""
        self.open: dict[int, bytes] = {}
        """Contents of the files that it has open."""
        self.commands = Interpreter(session)
        """For `monitor`; keeps marks and searches."""
        self.diverged = False
        """Whether the run was found not to be the recorded one."""
        self.may_stop = False
        """Whether what goes on is a move, which Ctrl-C may end; other runs go to their end."""
        self.over = False
        """Whether it has said that it goes."""
        self.due: tuple[str, int, Position] | None = None
        """Where it stopped for a fork or an exec, going forwards or back: if there is a breakpoint
        too, it comes next."""

    def note(self, error: Diverged) -> str:
        """Say, in the log too, that the run is not the recorded one; its first line."""
        lines = error.divergence.lines()
        for line in lines:
            self.log(line)
        self.diverged = True
        return lines[0]

    def progress(self, _row: int, _executed: int) -> None:
        """A session's: ends a move when gdb wants it. Raises Interrupted, Gone."""
        if self.line.interrupted() and (self.may_stop or self._session.settling):
            raise Interrupted

    # -- processes -------------------------------------------------------------------------------

    def _read(self) -> None:
        session = self._session
        self._version = session.versions
        first = {(p.run, p.pid): p for p in reversed(session.trace.programs)}
        shared = len({pid for _, pid in first}) < len(first)
        self._numbers = {
            key: key[1] + (key[0] << 20 if shared else 0) for key in sorted(first)
        }  # runs that each have a pid 1
        self._first = {self._numbers[key]: program for key, program in first.items()}

    def _number(self, program: ProgramRow) -> int:
        self.settle()
        return self._numbers[program.run, program.pid]

    def settle(self) -> None:
        """What was written has its consequences; then the run is another one."""
        self._session.settle()
        if self._version == self._session.versions:
            return
        self._read()
        for pid in [pid for pid in self.processes if pid != self.current]:
            if pid in self._first:
                self.processes[pid].place = self._first[pid].id, 0
            else:
                del self.processes[pid]

    def select(self, pid: int) -> Session:
        """The session, where a process stands. Raises KeyError for one that gdb does not know."""
        if pid != self.current:
            self.settle()
            place = self.processes[pid].place
            if self.current in self.processes:
                self.processes[self.current].place = self._session.position
            self._session.at.seek(*place)
            self.current = pid
        return self._session

    def here(self) -> Session:
        """The session, where the process is that questions are about."""
        return self.select(self.general)

    def now_at(self) -> int:
        """The process that the session is at now; gdb knows it then, if a move led there."""
        found = self._number(self._session.program)
        if found != self.current:
            place = self._session.position
            self.processes.setdefault(found, GdbProcess(place)).place = place
            self.current = found
        return found

    def fork(self, row: int, ordinal: int) -> int | None:
        """gdb knows the child that a call of the program made, with what was put into its parent's
        memory; its number, None where there is no child."""
        trace = self._session.trace
        made = dict(places.children(trace, trace.program(row)))
        if ordinal not in made:
            return None
        child = self._number(made[ordinal])
        mine = self.processes[self.continued]
        self.processes[child] = replace(
            mine, place=(self._first[child].id, 0), breakpoints=set(mine.breakpoints),
            watches=set(mine.watches),
        )  # fmt: skip
        return child

    def leave(self, pid: int) -> None:
        """gdb lets go of a process. Raises NoProcess."""
        if pid not in self.processes:
            raise NoProcess
        del self.processes[pid]
        if not self.processes:
            self.over = True
            return
        left = next(iter(self.processes))
        self.general = left if self.general == pid else self.general
        self.continued = left if self.continued == pid else self.continued
        self.moved = left if self.moved == pid else self.moved

    def arm(self, pid: int) -> None:
        """Give the session what a process stops at."""
        session, points = self._session, self.processes[pid]
        session.breakpoints.clear()
        session.watchpoints.clear()
        for guest_addr in sorted(points.breakpoints):
            session.breakpoints.add(f"{guest_addr:#x}")
        for guest_addr, size, kinds in sorted(points.watches):
            session.watchpoints.add(guest_addr, size, kinds)

    # -- their names -----------------------------------------------------------------------------

    @property
    def multiprocess(self) -> bool:
        """Whether thread ids name processes."""
        return b"multiprocess+" in self.features

    def thread(self, pid: int) -> bytes:
        """A process's only thread, as gdb writes it."""
        return b"p%x.%x" % (pid, pid) if self.multiprocess else b"%x" % pid

    def pid_of(self, raw: bytes) -> int | None:
        """The process of a thread id; None for any or all. Raises ValueError, NoProcess."""
        if raw.startswith(b"p"):
            raw, _, tid = raw[1:].partition(b".")
            if tid and tid not in (b"0", b"-1", raw):
                raise NoProcess
        if raw in (b"0", b"-1"):
            return None
        pid = number(raw)
        if pid not in self.processes:
            raise NoProcess
        return pid

    # -- registers -------------------------------------------------------------------------------

    def description(self) -> Description:
        """The registers of the process that questions are about."""
        return DESCRIPTIONS[self.here().program.abi]

    def agreed(self) -> Description:
        """The same, for registers that gdb takes to be so. Raises BadInput where it takes them for
        those of another architecture, that of a program that the process executed elsewhere."""
        known, is_ = self.processes[self.general].described, self.here().program.abi
        if known not in (None, is_):
            raise BadInput(f"this is a program for {is_}, and gdb has the registers of {known}: "
                           "`unset tdesc filename` reads them anew")  # fmt: skip
        return self.description()

    def expected(self) -> tuple[TargetRegister, ...]:
        """What gdb expects in all registers of the process. Raises as `agreed`.

        It never asks for the description of a process that it finds in the list of threads.
        """
        found = self.agreed()
        known = self.processes[self.general].described
        return found.promised if known is None else found.registers

    def saved(self) -> dict[str, bytes]:
        """What the CPU has in all registers there."""
        return self.here().at.live.tasks[-1].cpu.save()
