"""Runs a traveller to what somebody looks for, forwards and backwards, in one program's time.

Forwards the CPU stops where it is met. Backwards the way from each kept state to the next is run
again, from the last one on, and the last meeting before the place is where to go.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bootstrap.core.errors import BadInput
from bootstrap.instruments import Engine
from bootstrap.instruments.counter import NEVER, READS, WRITES, Access
from bootstrap.linux.numbers import NUMBERS
from bootstrap.timeline import calls_and_returns
from bootstrap.timeline.indexing import points_of
from bootstrap.timeline.travel import PastEnd, Timeline
from bootstrap.trace.reader import Trace
from bootstrap.trace.syscalls import RecordedCall, Wish

TRAIL = 1 << 16
"""Instructions that are looked at together when stepping over or out; then eight times as many."""
MOST = 1 << 26
"""Instructions that are looked back at most for a call."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """System calls that somebody looks for: all that is given must be so."""

    number: int | None = None
    fd: int | None = None
    """The first argument."""
    name: str = ""
    path: str = ""
    """Of a file: calls that open it, or are on a descriptor that it was opened as, up to the one
    that closes it for the last time."""


class Explorer:
    """A traveller that finds things. Methods answer whether they found it; where not, they leave
    it where it was. They raise as Timeline's do."""

    def __init__(
        self,
        trace: Trace,
        engine: Engine,
        progress: Callable[[int, int], None] = lambda _row, _executed: None,
    ) -> None:
        self.at = Timeline(trace, engine, progress, points=points_of(trace))
        # What one keeps serves the other too.
        self._watcher = Timeline(
            trace, engine, progress, watching=True, facts=self.at.facts, points=self.at.points
        )

    def close(self) -> None:
        """Let go of the machines."""
        self.at.close()
        self._watcher.close()

    def _back_to(self, row: int, executed: int, found: bool) -> bool:
        self.at.seek(row, executed)
        return found

    # Breakpoints.

    def run_to(self, addresses: Sequence[int]) -> bool:
        """On to the next time that an instruction at one of the addresses is about to run."""
        row, began = self.at.row, self.at.executed
        try:
            return self.run_within(addresses, began, None)
        except PastEnd:
            return self._back_to(row, began, False)

    def run_within(self, addresses: Sequence[int], began: int | None, limit: int | None) -> bool:
        """The same, but no further than `limit`, where it then is; at `began` nothing counts.

        Raises PastEnd where the program ends before.
        """
        at = self.at
        at.on_restore = lambda: at.stepping.set_breakpoints(addresses)
        at.on_restore()
        try:
            while limit is None or at.executed < limit:
                if at.go_on(began, limit):
                    return True
        finally:
            self._disarm(at)
        return False

    def run_back_to(self, addresses: Sequence[int], since: int = 0) -> bool:
        """Back to the last time before that such an instruction was about to run.

        `since`: no further back than that place.
        """
        at = self.at
        row, began = at.row, at.executed
        at.on_restore = lambda: at.stepping.set_breakpoints(addresses, passing=True)
        met: list[int | None] = [None]
        found = None
        try:
            for start, end in self._windows(at, row, began, since):
                at.seek_from(row, start)
                self._walk(at, end, lambda: _note(met, at.stepping.last_met))
                found = met[0]
                if found is not None:
                    break
        finally:
            self._disarm(at)
        return self._back_to(row, began if found is None else found, found is not None)

    @staticmethod
    def _disarm(at: Timeline) -> None:
        at.on_restore = lambda: None
        if at.machine is not None:
            at.stepping.set_breakpoints(())

    @staticmethod
    def _walk(at: Timeline, end: int, look: Callable[[], None]) -> None:
        """On to `end`, looking after each stretch: CPUs are made anew where a child is passed."""
        at.on_stop = lambda _: look()
        try:
            while at.executed < end:
                at.go_on(None, end)
            look()
        finally:
            at.on_stop = lambda _: None

    @staticmethod
    def _windows(at: Timeline, row: int, began: int, since: int = 0) -> Iterator[tuple[int, int]]:
        """From kept state to kept state, backwards from a place: (from, to) in instructions."""
        end = began
        while end > since:
            start = max(since, at.points.before(row, end))
            yield start, end
            end = start

    # Watchpoints.

    def _watch(self, start: int, end: int, kinds: int, stops: bool, seen: list[Access]) -> None:
        at = self._watcher
        stepping = at.stepping
        stepping.watch(start, end, kinds, stops)

        def kernel(guest_addr: int, size: int, writes: bool) -> None:
            wanted = kinds & (WRITES if writes else READS)
            if wanted and guest_addr < end and start < guest_addr + size:
                state = stepping.state
                seen.append(Access(state.executed - 1, state.last_pc, guest_addr, size, writes))

        at.process.memory.watcher = kernel

    def run_to_access(self, start: int, end: int, kinds: int) -> Access | None:
        """On to just after the next instruction, system calls too, that reads or writes there.

        `kinds`: READS, WRITES or both, of addresses from `start` up to `end`.
        """
        here = self.at
        row, began = here.row, here.executed
        first = self.first_access(start, end, kinds, row, began)
        if first is not None:
            try:
                here.seek(row, first.executed + 1)
            except PastEnd:  # the program's last instruction, an execve(2): nothing is after it
                self._back_to(row, began, False)
                return None
        return first

    def first_access(
        self, start: int, end: int, kinds: int, row: int, begin: int, limit: int | None = None
    ) -> Access | None:
        """The first access there by an instruction of the program from `begin` on, before `limit`;
        goes nowhere."""
        at = self._watcher
        seen: list[Access] = []
        at.seek(row, begin)
        at.on_restore = lambda: self._watch(start, end, kinds, True, seen)
        at.on_restore()
        try:
            while not seen and (limit is None or at.executed < limit):
                at.go_on(None, limit)
                last = at.stepping.last_access
                if last is not None:
                    seen.append(last)
        except PastEnd:
            pass
        finally:
            at.close()
            at.on_restore = lambda: None
        return min(seen, key=lambda access: access.executed, default=None)

    def last_access(
        self, start: int, end: int, kinds: int, row: int, before: int, since: int = 0
    ) -> Access | None:
        """The last access there by an instruction of the program before a place, and not before
        `since`; goes nowhere."""
        at = self._watcher
        try:
            for first, last in self._windows(at, row, before, since):
                seen: list[Access] = []
                at.close()
                at.on_restore = lambda: self._watch(start, end, kinds, False, seen)  # noqa: B023
                at.seek_from(row, first)

                def look() -> None:
                    access = at.stepping.last_access
                    if access is not None:
                        seen.append(access)  # noqa: B023

                self._walk(at, last, look)
                if seen:
                    return max(seen, key=lambda access: access.executed)
        finally:
            at.close()
            at.on_restore = lambda: None
        return None

    def run_back_to_access(self, start: int, end: int, kinds: int) -> Access | None:
        """Back to before the last instruction, system calls too, that read or wrote there."""
        at = self.at
        found = self.last_access(start, end, kinds, at.row, at.executed)
        if found is not None:
            at.seek(at.row, found.executed)
        return found

    # System calls: the record knows them all.

    def calls(self, row: int, wanted: Wanted, backwards: bool = False) -> Iterator[int]:
        """The ordinals, in the program, from 1, of its calls that are wanted.

        Raises BadInput for a name or path that there is none of.
        """
        trace = self.at.trace
        program = trace.program(row)
        number = wanted.number
        if wanted.name:
            number = NUMBERS[program.abi].get(wanted.name)
            if number is None:
                raise BadInput(f"{program.abi} has no system call {wanted.name}")
        on_path = Wish(trace, path=wanted.path) if wanted.path else None
        chunks = trace.chunks(row)
        for chunk in reversed(chunks) if backwards else chunks:
            found = trace.calls(chunk)
            numbers, first = found.values(0), found.values(1)
            order = range(chunk.count - 1, -1, -1) if backwards else range(chunk.count)
            base = chunk.first_call - program.first_call
            for index in order:
                if number is not None and numbers[index] != number:
                    continue
                if wanted.fd is not None and first[index] != wanted.fd:
                    continue
                event = chunk.first_event + index
                call = RecordedCall(base + index, event, numbers[index], first[index], 0)
                if on_path is None or on_path.fits(program, call):
                    yield base + index

    def run_to_call(self, wanted: Wanted = Wanted()) -> bool:
        """On to just after the next system call that is wanted."""
        at = self.at
        for ordinal in self.calls(at.row, wanted):
            if ordinal > at.calls:
                if ordinal == at.program.calls and self._never_returns(ordinal):
                    return False
                at.seek_call(at.row, ordinal)
                return True
        return False

    def _never_returns(self, ordinal: int) -> bool:
        program = self.at.program
        return program.replaced or (program.status is not None and program.status & 0x7F == 0)

    def run_back_to_call(self, wanted: Wanted = Wanted()) -> bool:
        """Back to before the last system call that is wanted: its instruction comes next."""
        at = self.at
        for ordinal in self.calls(at.row, wanted, backwards=True):
            if ordinal <= at.calls:
                at.seek_call(at.row, ordinal)
                at.back()
                return True
        return False

    # Calls and returns.

    def _kinds(self) -> Callable[[int], str]:
        memory, abi = self.at.process.memory, self.at.process.abi.name
        known: dict[int, str] = {}

        def kind_of(address: int) -> str:
            found = known.get(address)
            if found is None:
                code = memory.read_upto(address, calls_and_returns.LONGEST)
                found = known[address] = calls_and_returns.kind(abi, code)[0]
            return found

        return kind_of

    def step_over(self) -> bool:
        """One instruction on; a call with all that it does is one. False at the program's end."""
        at = self.at
        row, began = at.row, at.executed
        is_call = self._kinds()(at.pc) == calls_and_returns.CALL
        try:
            at.step()
            return not is_call or self._leave(row, began)
        except PastEnd:
            return self._back_to(row, began, False)

    def step_out(self) -> bool:
        """On to where the present function has returned. False where it never does."""
        try:
            return self._leave(self.at.row, self.at.executed)
        except PastEnd:
            return False

    def _leave(self, row: int, began: int) -> bool:
        at, depth, size = self.at, 0, TRAIL
        while True:
            start = at.executed
            try:
                trail = self._trail(row, start, start + size)
            except PastEnd as end:
                at.seek(row, start)
                trail = self._trail(row, start, end.total - 1)
                size = 0
            kinds = self._kinds()
            index = calls_and_returns.leaves(kinds, trail, depth)
            if index is not None:
                at.seek(row, start + index)
                return True
            if not size:
                return self._back_to(row, began, False)
            depth += sum(_DEPTH[kinds(address)] for address in trail)
            size = min(size * 8, 1 << 22)

    def step_back_over(self) -> bool:
        """One instruction back; one that returned takes its whole call back. False at the begin."""
        at = self.at
        row, began = at.row, at.executed
        if not began:
            return False
        at.back()
        if self._kinds()(at.pc) != calls_and_returns.RETURN:
            return True
        return self._enter(row, began - 1) or self._back_to(row, began - 1, True)

    def step_back_out(self) -> bool:
        """Back to the call of the present function: its instruction comes next."""
        row, began = self.at.row, self.at.executed
        return self._enter(row, began) or self._back_to(row, began, False)

    def _enter(self, row: int, end: int) -> bool:
        """Back to the call that led to where we were at `end`."""
        at, depth, size = self.at, 0, TRAIL
        looked = 0
        while end > 0 and looked < MOST:
            start = max(0, end - size)
            at.seek(row, start)
            trail = self._trail(row, start, end)
            kinds = self._kinds()
            index = calls_and_returns.entered(kinds, trail, depth)
            if index is not None:
                at.seek(row, start + index)
                return True
            depth -= sum(_DEPTH[kinds(address)] for address in trail)
            end, looked, size = start, looked + len(trail), min(size * 8, 1 << 22)
        return False

    def _trail(self, row: int, start: int, end: int) -> list[int]:
        """The addresses of the instructions from `start`, where we are, to `end`, where we go."""
        at = self.at
        if end <= start:
            return []
        trail = (ctypes.c_uint64 * (end - start))()
        at.on_restore = lambda: at.stepping.lend_trail(start, trail)
        at.on_restore()
        try:
            while at.executed < end:
                at.go_on(None, end)
        finally:
            at.on_restore = lambda: None
            if at.machine is not None:
                at.stepping.lend_trail(NEVER, (ctypes.c_uint64 * 1)())
        return list(trail)


_DEPTH = {calls_and_returns.CALL: 1, calls_and_returns.RETURN: -1, calls_and_returns.OTHER: 0}


def _note(cell: list[int | None], value: int | None) -> None:
    if value is not None and (cell[0] is None or value > cell[0]):
        cell[0] = value


__all__ = ["READS", "WRITES", "Access", "Explorer", "Wanted"]
