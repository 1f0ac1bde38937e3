"""The processes of a run as gdb has met them: where each stands, and where it stops."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bootstrap.debug import places
from bootstrap.debug.session import Position, Session
from bootstrap.trace.reader import ProgramRow


@dataclass
class Points:
    """What gdb wants of one process, and has of it."""

    breakpoints: set[int] = field(default_factory=set)
    watches: set[tuple[int, int, str]] = field(default_factory=set)
    """(address, size, kind of stops.KINDS)"""
    caught: frozenset[int] | None = None
    """System calls, by number; empty: all; None: none."""
    described: str | None = None
    """The ABI whose target description gdb has for it; None: none."""


class Processes:
    """By gdb's number of a process: its pid, where no two processes of the trace share it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._read()
        self.current = self._number(session.program)
        """The process that the session is at."""
        self.places: dict[int, Position] = {self.current: (session.row, session.executed)}
        """Of each that gdb has met; of the current one where it was when it was selected."""
        self.points: dict[int, Points] = {self.current: Points()}

    def _read(self) -> None:
        session = self._session
        self._version = session.versions
        first = {(p.run, p.pid): p for p in reversed(session.trace.programs)}
        pids = [pid for _, pid in first]
        shared = len(set(pids)) < len(pids)
        self._numbers = {
            key: key[1] + (key[0] << 20 if shared else 0) for key in sorted(first)
        }  # runs that each have a pid 1
        self._first = {self._numbers[key]: program for key, program in first.items()}

    def settle(self) -> None:
        """What was written has its consequences; then the run is another one."""
        self._session.settle()
        if self._version == self._session.versions:
            return
        self._read()
        for pid in [pid for pid in self.places if pid != self.current]:
            if pid in self._first:
                self.places[pid] = self._first[pid].id, 0
            else:
                self.leave(pid)

    def _number(self, program: ProgramRow) -> int:
        self.settle()
        return self._numbers[program.run, program.pid]

    def select(self, pid: int) -> None:
        """Go where a process stands. Raises KeyError for one that gdb has not met."""
        if pid == self.current:
            return
        self.settle()
        place = self.places[pid]
        if self.current in self.places:
            self.places[self.current] = self._session.row, self._session.executed
        self._session.at.seek(*place)
        self.current = pid

    def here(self) -> int:
        """The process that the session is at now; gdb meets it, if a move led there."""
        found = self._number(self._session.program)
        if found != self.current:
            self._meet(found, (self._session.row, self._session.executed))
            self.current = found
        return found

    def _meet(self, pid: int, place: Position) -> None:
        self.places[pid] = place
        self.points.setdefault(pid, Points())

    def attach(self, pid: int) -> bool:
        """Meet a process, at its begin. Answers whether there is one."""
        self.settle()
        program = self._first.get(pid)
        if program is None:
            return False
        if pid not in self.places:
            self._meet(pid, (program.id, 0))
        return True

    def child_of(self, row: int, ordinal: int) -> int | None:
        """The child that a program's call of that number made."""
        trace = self._session.trace
        made = dict(places.children(trace, trace.program(row)))
        return self._number(made[ordinal]) if ordinal in made else None

    def fork(self, parent: int, child: int) -> None:
        """gdb meets a child, which has what was put into its parent's memory."""
        self.settle()
        self._meet(child, (self._first[child].id, 0))
        mine = self.points[parent]
        self.points[child] = replace(
            mine, breakpoints=set(mine.breakpoints), watches=set(mine.watches)
        )

    def leave(self, pid: int) -> None:
        """gdb wants to hear no more of it."""
        del self.places[pid], self.points[pid]

    def arm(self, pid: int) -> None:
        """Give the session what a process stops at."""
        session, points = self._session, self.points[pid]
        session.breakpoints.clear()
        session.watchpoints.clear()
        for guest_addr in sorted(points.breakpoints):
            session.breakpoints.add(f"{guest_addr:#x}")
        for guest_addr, size, kinds in sorted(points.watches):
            session.watchpoints.add(guest_addr, size, kinds)

    def all(self) -> list[tuple[int, ProgramRow]]:
        """Every process of the trace with its first program, met or not."""
        self.settle()
        return sorted(self._first.items())
