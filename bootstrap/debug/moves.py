"""Moves along one process, by instructions, to breakpoints and to watchpoints."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from bootstrap.debug import places, running
from bootstrap.debug.here import Here, Progress
from bootstrap.debug.stops import Breakpoints, Interrupted, Stop, Watchpoints
from bootstrap.instruments import Engine
from bootstrap.timeline.travel import PastEnd
from bootstrap.trace.reader import ProgramRow, Trace
from bootstrap.trace.syscalls import calls
from bootstrap.trace.views import command, ended

MOST_UNDO = 1000
"""Moves that can be undone."""
Place = tuple[int, int]
"""A program's row, and how many of its instructions were executed."""


@dataclass(frozen=True, slots=True)
class _Pause:
    """Where a move stops for what is neither breakpoint nor watchpoint."""

    reason: str
    executed: int
    ordinal: int
    """Of the system call."""
    call: tuple[str, int] | None = None
    """See Stop."""


class Moves(Here):
    """What Session has of them; see there for what they answer and raise."""

    def __init__(self, trace: Trace, engine: Engine, progress: Progress) -> None:
        super().__init__(trace, engine, progress)
        self.breakpoints = Breakpoints(self._resolve, self._known)
        self.watchpoints = Watchpoints()
        self._undo: list[Place] = []
        self._before: tuple[tuple[str, int], ...] = ()
        self._resolved: dict[tuple[str, int], tuple[int, ...]] = {}

    # -- helpers -------------------------------------------------------------------------

    @contextlib.contextmanager
    def moving(self) -> Iterator[None]:
        """A move, to be undone as one; what is raised inside leaves us where we were."""
        place, registers = (self.row, self.executed), self.registers()
        with self._steady():
            yield
        if (self.row, self.executed) != place:
            self._undo.append(place)
            del self._undo[:-MOST_UNDO]
            self._before = registers

    def stop(self, reason: str, detail: str = "") -> Stop:
        """What a move that ends here answers."""
        return Stop(reason, self.here, detail)

    def changed(self) -> frozenset[str]:
        """The registers that the last move changed."""
        before = dict(self._before)
        return frozenset(n for n, value in self.registers() if before.get(n, value) != value)

    def _next_program(self, row: int) -> ProgramRow | None:
        """What the process executed after that program."""
        return places.neighbour(self.trace, self.trace.program(row), 1)

    def _previous_program(self, row: int) -> ProgramRow | None:
        return places.neighbour(self.trace, self.trace.program(row), -1)

    def _to_end(self, row: int, reason: str = "end") -> Stop:
        """Before the instruction that ends the process."""
        self.at.seek(row, max(0, self.at.total(row) - 1))
        program = self.program
        failed = self.failure if program.unfinished else ""
        told = f"the run failed: {failed}" if failed else ended(program)
        return self.stop(reason, f"{program.label}: {told}")

    def _to_begin(self, row: int) -> Stop:
        self.at.seek(row, 0)
        program = self.program
        if program.ordinal:
            return self.stop("begin", f"{program.label} begins: {command(program)}")
        return self.stop("begin", f"{program.label} begins, forked by its parent")

    def _entered(self, program: ProgramRow) -> Stop:
        self.at.seek(program.id, 0)
        return self.stop("exec", f"{program.label} executes {command(program)}")

    def left(self, program: ProgramRow) -> Stop:
        """Back before what the process executed."""
        return self.stop("exec", f"back before {program.label} executes {command(program)}")

    # -- instructions ----------------------------------------------------------------------------

    def step(self, count: int = 1) -> Stop:
        """So many instructions on, into what the process executes, too."""
        with self.moving():
            left, entered = count, ""
            while True:
                row, executed = self.row, self.executed
                try:
                    self.at.seek(row, executed + left)
                except PastEnd as end:
                    following = self._next_program(row)
                    if following is None:
                        return self._to_end(row)
                    left -= end.total - executed
                    entered = self._entered(following).detail
                    continue
                return self.stop("exec" if entered else "step", entered)

    def back(self, count: int = 1) -> Stop:
        """So many instructions back, out of what the process executed, too."""
        with self.moving():
            left = count
            while left > self.executed:
                row = self.row
                before = self._previous_program(row)
                if before is None:
                    return self._to_begin(row)
                left -= self.executed
                total = self.at.total(before.id)
                self.at.seek(before.id, total - 1)
                left -= 1
            self.at.seek(self.row, self.executed - left)
            return self.stop("step")

    def step_over(self) -> Stop:
        """One instruction on; a call with all that it does counts as one."""
        with self.moving():
            row = self.row
            if self.explorer.step_over():
                return self.stop("step")
            following = self._next_program(row)
            return self._to_end(row) if following is None else self._entered(following)

    def back_over(self) -> Stop:
        """One instruction back; a call that has returned is gone back over as one."""
        if not self.executed:
            return self.back()
        with self.moving():
            self.explorer.step_back_over()
            return self.stop("step")

    def out(self) -> Stop:
        """On to where the present function has returned."""
        with self.moving():
            if self.explorer.step_out():
                return self.stop("step")
            return self.stop("nowhere", "this function never returns")

    def back_out(self) -> Stop:
        """Back to the call of the present function: its instruction comes next."""
        with self.moving():
            if self.explorer.step_back_out():
                return self.stop("step")
            return self.stop("nowhere", "no call led here")

    # -- breakpoints and watchpoints -------------------------------------------------------------

    def cont(self, pause_at: Collection[str] = (), caught: Collection[int] | None = None) -> Stop:
        """On to the next breakpoint, watchpoint, or the end of the process.

        `pause_at`: "fork", "exec" or both, to stop there too; `caught`: numbers of system calls,
        to stop before and after them, none for all. Where `progress` raises Interrupted it stops
        at the place that it has come to; with watchpoints, where it began.
        """
        with self.moving():
            while True:
                row = self.row
                pause = self._pause_after("fork" in pause_at, caught)
                try:
                    met = self._forward(None if pause is None else pause.executed)
                except PastEnd:
                    following = self._next_program(row)
                    if following is None:
                        return self._to_end(row)
                    stop = self._entered(following)
                    if "exec" in pause_at:
                        return stop
                    if self.pc in self._addresses():
                        return self._at_breakpoint()
                    continue
                except Interrupted:
                    if self.watchpoints or self.at.machine is None:
                        raise
                    return self.stop("interrupted")
                if met is not None or pause is None:
                    return self._with_call(self._met(met or running.Met()), pause)
                return self._paused(pause)

    def _forward(self, bound: int | None) -> running.Met | None:
        """See running.forward; where there is nothing to meet, a known end is not run to."""
        addresses, row = self._addresses(), self.row
        total = self.at.points.totals.get(row)
        if total is not None and bound is None and not addresses and not self.watchpoints:
            raise PastEnd(self.program, total)
        return running.forward(self.explorer, addresses, list(self.watchpoints), bound)

    def _pause_after(self, forks: bool, caught: Collection[int] | None) -> _Pause | None:
        """The next fork, if those count, or the next place of a caught system call."""
        program, fork, number = self.program, None, None
        if forks:
            made = places.children(self.trace, program)
            fork = next((ordinal for ordinal, _ in made if ordinal > self.calls), None)
        ordinal = fork
        if caught is not None:
            for call in calls(self.trace, program, self.calls + 1, backwards=False):
                if fork is not None and call.ordinal > fork:
                    break
                if not caught or call.number in caught:
                    ordinal, number = call.ordinal, call.number
                    break
        if ordinal is None:
            return None
        after, returns = self._where_call(program, ordinal)
        if number is not None and self.executed < after - 1:
            return _Pause("entry", after - 1, ordinal, ("entry", number))
        if not returns:
            return None
        return _Pause("fork" if ordinal == fork else "return", after, ordinal,
                      None if number is None else ("return", number))  # fmt: skip

    def _pause_before(self, caught: Collection[int] | None) -> _Pause | None:
        """The last place before of a caught system call."""
        if caught is None:
            return None
        for call in calls(self.trace, self.program, self.calls, backwards=True):
            if not caught or call.number in caught:
                after, _ = self._where_call(self.program, call.ordinal)
                way = "return" if after < self.executed else "entry"
                at = after if way == "return" else after - 1
                return _Pause(way, at, call.ordinal, (way, call.number))
        return None

    def _where_call(self, program: ProgramRow, ordinal: int) -> tuple[int, bool]:
        """How many instructions the program had executed just after a call, and whether it goes on
        there; goes nowhere."""
        if ordinal == program.calls and places.never_returns(program):
            return self.total_of(program.id), False
        executed = self.executed
        try:
            self.at.seek_call(program.id, ordinal)
            found = self.executed, True
        except PastEnd as end:  # a fork, and the run failed in the child
            found = end.total, False
        self.at.seek(program.id, executed)
        return found

    def _paused(self, pause: _Pause) -> Stop:
        return replace(self.stop(pause.reason, self.call(pause.ordinal)), call=pause.call)

    def _with_call(self, stop: Stop, pause: _Pause | None) -> Stop:
        """What is at one place with a caught call tells that, too."""
        same = pause is not None and pause.executed == self.executed
        return replace(stop, call=pause.call) if pause is not None and same else stop

    def reverse_cont(
        self, pause_at: Collection[str] = (), caught: Collection[int] | None = None
    ) -> Stop:
        """Back to the last breakpoint or watchpoint before, or the begin of the process.

        `caught`: as for `cont`. `pause_at`: "exec", to stop before an execve(2) of a program for
        another architecture.
        """
        with self.moving():
            while True:
                program, addresses = self.program, self._addresses()
                pause = self._pause_before(caught)
                met = running.backward(
                    self.explorer, addresses, list(self.watchpoints),
                    0 if pause is None else pause.executed,
                )  # fmt: skip
                if met is not None:
                    return self._with_call(self._met(met), pause)
                if pause is not None:
                    self.at.seek(program.id, pause.executed)
                    return self._paused(pause)
                before = self._previous_program(program.id)
                if before is None:
                    return self._to_begin(program.id)
                self.at.seek(before.id, self.at.total(before.id) - 1)
                last = next(calls(self.trace, before, before.calls, backwards=True)).number
                if caught is not None and (not caught or last in caught):
                    pause = _Pause("entry", self.executed, before.calls, ("entry", last))
                if "exec" in pause_at and before.abi != program.abi:
                    return self._with_call(self.left(program), pause)
                if pause is not None:
                    return self._paused(pause)
                if self.pc in self._addresses():
                    return self._at_breakpoint()

    def _addresses(self) -> list[int]:
        return list(self.breakpoints.addresses(self.program.image))

    def _at_breakpoint(self) -> Stop:
        one = self.breakpoints.addresses(self.program.image).get(self.pc)
        return Stop("breakpoint", self.here, "" if one is None else f"at {one}", one)

    def _met(self, met: running.Met) -> Stop:
        if met.watchpoint is None or met.access is None:
            return self._at_breakpoint()
        also = self.breakpoints.addresses(self.program.image).get(self.pc)
        access = met.access
        does = "writes" if access.writes else "reads"
        detail = f"{access.pc:#x} {does} {access.size} bytes at {access.guest_addr:#x}"
        return Stop("watchpoint", self.here, detail, also, met.watchpoint, access.guest_addr)

    def next_execution(self) -> Stop:
        """On to the next time that this instruction comes next."""
        return self.run_to_addresses([self.pc], f"{self.pc:#x}")

    def previous_execution(self) -> Stop:
        """Back to the last time before that this instruction came next."""
        pc = self.pc
        with self.moving():
            if self.explorer.run_back_to([pc]):
                return self.stop("step")
            return self.stop("nowhere", f"{pc:#x} did not run before in this program")

    def run_to_addresses(self, addresses: Sequence[int], name: str) -> Stop:
        """On to the next time that an instruction at any of them comes next."""
        with self.moving():
            if self.explorer.run_to(addresses):
                return self.stop("jump")
            return self.stop("nowhere", f"{name} does not run again in {self.program.label}")

    # -- places by name --------------------------------------------------------------------------

    def _resolve(self, text: str, version: int) -> tuple[int, ...]:
        key = text, version
        if key not in self._resolved:
            self._resolved[key] = places.addresses(self.trace, self.images, text, version)
        return self._resolved[key]

    def _forget(self) -> None:
        """The run is another one: no move can be undone."""
        self._resolved.clear()
        self._undo.clear()

    def _known(self, text: str) -> bool:
        # The present image first: to know of all of them can take minutes.
        images = dict.fromkeys(p.image for p in (self.program, *self.trace.programs))
        return any(self._resolve(text, version) for version in images)
