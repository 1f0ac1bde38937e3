"""Goes to any instruction of any program of a trace, forwards and backwards.

A place is a program (a row of the trace) and how many instructions it has executed since it began;
0 is before its first. The machine is made again from the nearest checkpoint before the place and
run up to it, compared with the record all the way (trace/compare.py). The trace has a checkpoint
where each program begins and where one goes on after a child, so a program's own time never runs
its children; more are kept in memory on the way, and in an index beside the trace (checkpoints.py).
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum

from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.core.files import Stream
from bootstrap.instruments import Engine
from bootstrap.instruments.blocks import UNSURE
from bootstrap.instruments.counter import BREAKPOINT, NEVER, InstructionCounter, Travel
from bootstrap.linux.machine import LinuxMachine
from bootstrap.linux.memory import VirtualMemory
from bootstrap.linux.process import LinuxProcess
from bootstrap.linux.snapshot import Sharing, Snapshot, restore, take
from bootstrap.timeline.checkpoints import Checkpoint, Checkpoints
from bootstrap.timeline.edits import edits_of
from bootstrap.trace.compare import Comparer, RecordedRun, ReplayStreams, recorded_files
from bootstrap.trace.coordinates import (
    AfterInstructions,
    Coordinate,
    after_call,
    at,
    program_at,
)
from bootstrap.trace.store import ProgramRow, StoredCheckpoint, Trace

SPACING = 20_000_000
"""Instructions between two states that are kept on the way; about 0.4 s of running."""
FINE = (1_000_000, 30_000)
"""How far before a place states are kept too, so that the step back from there is quick."""
FAR = 3_000_000
"""From so many instructions on it is worth while to count by blocks first."""
BLOCK = 512
"""Instructions in a block at most (QEMU, TCG_MAX_INSNS): so far beyond a place blocks may go."""
SLICE = 5_000_000
"""Instructions after which `progress` is asked whether to go on; about 0.1 s."""
BEYOND = 1_000_000
"""How far a program that a limit of time ended is gone on with after its last call. How far it came
is not recorded; it made no call there, so what it does is known."""


class Unsure(Exception):
    """Counting by blocks would be wrong here."""


class PastEnd(BadInput):
    """The program ends before the place; `total` is how many instructions it executes."""

    def __init__(self, program: ProgramRow, total: int) -> None:
        super().__init__(
            f"{program.label} executes {total:,} instructions: there is no such place in it "
            f"(the last is {max(0, total - 1):,} instructions after its start)"
        )
        self.total = total


class Counting(Enum):
    """How a timeline counts instructions."""

    EACH = "each"
    """One by one; goes to every place."""
    BLOCKS = "blocks"
    """By blocks, four times as fast; stops at the first one from the place on."""
    NOTHING = "nothing"
    """Not at all, faster still; only seeks calls."""


class MachineState:
    """The machine at a place of a trace: made from a checkpoint, and kept as one again.

    What is written since it was made is known, page by page, so that the same state can be gone
    back to by undoing that much (linux/snapshot.py).
    """

    def __init__(
        self, trace: Trace, engine: Engine, watching: bool, record: RecordedRun | None,
        counting: Counting, checkpoints: Checkpoints | None,
    ) -> None:  # fmt: skip
        self.trace = trace
        self.record = record or RecordedRun(trace)
        self.checkpoints = checkpoints or Checkpoints()
        self._plain = engine
        self._engine = engine
        with trace.reading():
            self._edits = edits_of(trace.meta)
        if counting is Counting.NOTHING and self._edits:
            counting = Counting.EACH  # what was written is at counted places
        if counting is not Counting.NOTHING:
            self._engine = engine.travelling(Travel(watching, counting is Counting.BLOCKS))
        self._counting = counting
        self._watching = watching
        self._limits = replace(trace.limits, seconds=0, instructions=0)
        self.machine: LinuxMachine | None = None
        self._comparer = Comparer(self.record, [], [], 0)
        self._streams: list[Stream] = []
        self._sharing = Sharing()
        self._marked: tuple[Snapshot | None, dict[int, VirtualMemory]] = (None, {})
        self.on_restore: Callable[[], None] = lambda: None
        """Called whenever the machine was made anew, its CPUs with it; for who set them up."""

    # Where we are.

    @property
    def row(self) -> int:
        """The program we are in."""
        return self._comparer.row

    @property
    def program(self) -> ProgramRow:
        """The program we are in."""
        return self._comparer.program

    @property
    def executed(self) -> int:
        """Instructions that it has executed."""
        return 0 if self._counting is Counting.NOTHING else self.stepping.executed

    @property
    def calls(self) -> int:
        """System calls that it has made."""
        return self._comparer.calls

    @property
    def event(self) -> int:
        """System calls of all the run so far."""
        return self._comparer.log.total

    @property
    def live(self) -> LinuxMachine:
        """The machine as it is here. Raises BadInput before the first seek."""
        if self.machine is None:
            raise BadInput("nowhere yet: seek first")
        return self.machine

    @property
    def process(self) -> LinuxProcess:
        """The process as it is here: memory, descriptors, current directory."""
        return self.live.tasks[-1].process

    def registers(self) -> tuple[tuple[str, int], ...]:
        """The general registers, by name."""
        return self.live.tasks[-1].cpu.registers()

    @property
    def pc(self) -> int:
        """Address of the instruction that comes next."""
        return self.live.tasks[-1].cpu.pc

    @property
    def here(self) -> AfterInstructions:
        """The coordinate of this place."""
        return at(self.trace, self.program, self.executed)

    # Checkpoints.

    def _keep(self) -> None:
        """Keep the state here."""
        if self._counting is not Counting.NOTHING and not self.checkpoints.has(
            self.row, self.executed
        ):
            kept = self.checkpoint()
            self.checkpoints.add(self.row, kept)
            self._mark(kept.snapshot)

    def keep(self, apart: int) -> None:
        """Keep the state here, unless one is kept less than so many instructions before."""
        if self.executed - self.checkpoints.before(self.row, self.executed + 1) >= apart:
            self._keep()

    def checkpoint(self) -> Checkpoint:
        """The state here, to `resume` from."""
        self._comparer.catch_up()
        snapshot = take(self.live, self._streams, self._sharing)
        stack = tuple(self._comparer.stack)
        return Checkpoint(self.executed, self.calls, self.event, stack, snapshot)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go to a checkpoint that any timeline of this trace made."""
        self._restore(checkpoint.snapshot, list(checkpoint.stack), checkpoint.event)

    def _mark(self, snapshot: Snapshot) -> None:
        """The memory is as it is in the snapshot: what is written from here on can be undone."""
        if self._counting is Counting.EACH:
            self._mark_in(self.live, snapshot)

    def _mark_in(self, machine: LinuxMachine, snapshot: Snapshot) -> None:
        spaces = {task.process.pid: task.process.memory for task in machine.tasks}
        for memory in spaces.values():
            memory.mark()
        self._marked = snapshot, spaces

    def _to_undo(self, snapshot: Snapshot) -> dict[int, VirtualMemory]:
        """Memory that only has to be undone to be that of the snapshot; ends the machine."""
        marked, spaces = self._marked
        if self.machine is None or marked is not snapshot:
            return {}
        self.machine.listeners = ()
        found = self.machine.hand_over()
        self.machine = None
        return {pid: memory for pid, memory in found.items() if spaces.get(pid) is memory}

    def _restore(self, snapshot: Snapshot, stack: list[int], event: int) -> None:
        spaces = self._to_undo(snapshot)
        self.close()
        with self.trace.reading():
            made = [
                task.syscalls - self.trace.program(row).first_call
                for task, row in zip(snapshot.tasks, stack, strict=True)
            ]
            comparer = Comparer(self.record, stack, made, event)
            fs = recorded_files(self.trace, comparer.catch_up)
            streams = ReplayStreams(self.record, lambda: comparer.log.total + 1)
            self._streams = list(streams.streams)
            machine = LinuxMachine(fs, self._engine, self._limits, [comparer], self.trace.probing)
            machine.log = comparer.log
            restore(machine, snapshot, self._streams, spaces)
        self._comparer, self.machine = comparer, machine
        self._sharing = Sharing.restored(snapshot)
        self._mark(snapshot)
        if self._watching:
            comparer.log.all_in_python()
        self.on_restore()

    @property
    def stepping(self) -> InstructionCounter:
        """The counter of the CPU: breakpoints, watchpoints, counts (instruments/counter.py)."""
        stepping = self.live.tasks[-1].cpu.stepping
        assert stepping is not None, "a timeline that does not count"
        return stepping

    def close(self) -> None:
        """Let go of the machine."""
        if self.machine is not None:
            self.machine.listeners = ()
            self.machine.discard()
            self.machine = None


class Timeline(MachineState):
    """At a place in a trace, with the machine as it was there. Methods raise BadInput for a place
    that does not exist, and Diverged (trace/replay.py) where the run is not the recorded one.
    """

    def __init__(
        self,
        trace: Trace,
        engine: Engine,
        progress: Callable[[int, int], None] = lambda _row, _executed: None,
        watching: bool = False,
        record: RecordedRun | None = None,
        counting: Counting = Counting.EACH,
        checkpoints: Checkpoints | None = None,
        spacing: int = SPACING,
    ) -> None:
        """`progress` hears of long ways, about ten times a second, and may raise to end them.

        `record` and `checkpoints` may be those of another timeline of the same trace. `spacing` is
        how many instructions apart checkpoints are made.
        """
        super().__init__(trace, engine, watching, record, counting, checkpoints)
        self._spacing = spacing
        self._far: Timeline | None = None
        self._watcher: Timeline | None = None
        self._one_by_one: set[int] = set()
        """Programs in which blocks do not count right."""
        self.progress = progress
        self._stored = trace.checkpoints()
        self._begun = {c.process: c for c in self._stored if not c.came_back}
        # The program that ran when a limit ended the run between two calls.
        unfinished = [p.id for p in trace.programs if p.unfinished and trace.was_cut]
        self._cut = max(unfinished, default=None)
        self._back = self._after_children(self._stored)
        self._last_executed = 0
        self.on_stop: Callable[[Timeline], None] = lambda _: None
        """Called while a CPU that stopped is still there: another one may go on. With whom it is
        of: with one that counts by blocks, on long ways."""

    def _after_children(self, rows: list[StoredCheckpoint]) -> dict[int, StoredCheckpoint]:
        """By the first program of a child: the state in which its parent goes on after it."""
        found = {}
        children: dict[int, list[ProgramRow]] = {}
        for program in self.trace.programs:
            if program.ordinal == 0 and program.parent is not None:
                children.setdefault(program.parent, []).append(program)
        backs: dict[int, list[StoredCheckpoint]] = {}
        for row in rows:
            if row.came_back:
                backs.setdefault(row.process, []).append(row)
        for parent, mine in children.items():
            # One child runs at a time: the parent comes back once for each that has ended.
            for child, back in zip(mine, backs.get(parent, ()), strict=False):
                found[child.id] = back
        return found

    # Going.

    def seek(self, row: int, executed: int) -> None:
        """Go to where the program has executed so many instructions."""
        if not 1 <= row <= len(self.trace.programs):
            raise BadInput(f"there is no program {row}: 1 to {len(self.trace.programs)}")
        if executed < 0:
            raise BadInput("before its first instruction a program has executed 0: none is before")
        self._find_cut(row)
        total = self.checkpoints.totals.get(row)
        # One whose first instruction cannot even be fetched has its start, and nothing else.
        if total is not None and executed >= max(total, 1):
            raise PastEnd(self.trace.program(row), total)
        here = self.machine is not None and self.row == row and self.executed <= executed
        start = self.checkpoints.nearest(row, executed)
        if here and (start is None or start.executed <= self.executed):
            start = None
        elif start is None:
            self._enter(row)
        began = self.executed if start is None else start.executed
        if executed - began > FAR and self._by_blocks_to(executed - FINE[-1] - BLOCK, start):
            self._keep()
        else:
            if start is not None:
                self.resume(start)
            for before in FINE:
                if executed - self.executed > before + BLOCK:
                    self._advance(executed - before)
                    self._keep()
        self._advance(executed)

    def seek_call(self, row: int, calls: int) -> None:
        """Go to just after the program's system call of that ordinal, counted in the program."""
        program = self.trace.program(row)
        if not 0 <= calls <= program.calls:
            raise BadInput(f"{program.label} makes {program.calls:,} system calls, not {calls:,}")
        self._find_cut(row)
        # A state with as many calls may be anywhere between that call and the next.
        known = (
            self.checkpoints.nearest_call(row, calls - 1)
            if calls
            else self.checkpoints.nearest(row, 0)
        )
        if self.machine is None or self.row != row or self.calls >= calls:
            if known is not None:
                self.resume(known)
            else:
                self._enter(row)
        elif known is not None and known.calls > self.calls:
            self.resume(known)
        while self.calls < calls:
            self._comparer.log.stop_at(self.event + calls - self.calls, self._pause)
            try:
                self._run(None)
            finally:
                self._comparer.log.stop_at(None, self._pause)

    def _pause(self) -> None:
        if self.machine is not None and self.machine.tasks:
            self.machine.tasks[-1].cpu.pause()

    def go(self, place: Coordinate) -> None:
        """Go to a coordinate. Raises BadInput (PastEnd, with the total) where there is none."""
        if isinstance(place, AfterInstructions):
            self.seek(program_at(self.trace, place).id, place.executed)
            return
        program, ordinal = after_call(self.trace, place)
        try:
            self.seek_call(program.id, ordinal)
        except PastEnd as end:
            raise BadInput(
                f"{place}: pid {program.pid} ends in that call, after {end.total:,} instructions; "
                f"just before it is {at(self.trace, program, end.total - 1)}"
            ) from None
        if place.executed:
            self.step(place.executed)

    def step(self, count: int = 1) -> None:
        """So many instructions on, in the same program."""
        self.seek(self.row, self.executed + count)

    def back(self, count: int = 1) -> None:
        """So many instructions back, in the same program."""
        if count > self.executed:
            raise BadInput(f"{self.program.label} has executed {self.executed:,} instructions here")
        self.seek(self.row, self.executed - count)

    def total(self, row: int) -> int:
        """How many instructions a program executes: goes to its end, once."""
        totals = self.checkpoints.totals
        self._find_cut(row)
        if row not in totals:
            try:
                last = self.checkpoints.nearest(row, 1 << 62)
                if self.machine is None or self.row != row:
                    if last is None:
                        self._enter(row)
                    else:
                        self.resume(last)
                if not self.faulted(row):
                    self._by_blocks_to(1 << 62)
                self._advance(None)
            except PastEnd as end:
                return end.total
        return totals[row]

    def faulted(self, row: int) -> bool:
        """Whether the program did not end in a system call: its last block was not run whole."""
        program = self.trace.program(row)
        return not program.replaced and (program.status is None or program.status & 0x7F != 0)

    def close(self) -> None:
        """Let go of the machines."""
        for other in (self._far, self._watcher):
            if other is not None:
                other.close()
        super().close()

    # Running.

    def _enter(self, row: int) -> None:
        """Go to where a program begins, from the last checkpoint before it."""
        begun = self._begun.get(row)
        if begun is None:
            before = [c for c in self._stored if c.programs < row]
            if not before:
                raise BadInput(f"{self.trace.name}: keeps no state before program {row}")
            begun = before[-1]
        self._restore(self.trace.snapshot(begun.id), self.record.stack(begun.process), begun.event)
        while self.row != row:
            self._turn(None)
            if self.machine is None:
                raise BadInput(f"program {row} does not begin where the trace says")
        if self._counting is not Counting.NOTHING:
            self.stepping.executed = 0
            self._edit()
        self._keep()
        self.on_restore()

    def _advance(self, executed: int | None) -> None:
        """On to that place of the present program. Raises PastEnd."""
        while executed is None or self.executed < executed:
            self._run(executed)

    def by_blocks(self) -> "Timeline":
        """One that counts by blocks, with the same checkpoints; raises Unsure where that fails."""
        if self._edits:
            raise Unsure  # it would not stop at their places
        if self._far is None:
            self._far = self.another(counting=Counting.BLOCKS)
        return self._far

    def watcher(self) -> "Timeline":
        """One that watches memory, with the same checkpoints."""
        if self._watcher is None:
            self._watcher = self.another(watching=True)
        return self._watcher

    def another(
        self,
        watching: bool = False,
        counting: Counting = Counting.EACH,
        engine: Engine | None = None,
    ) -> "Timeline":
        """Another timeline of this trace, with the same checkpoints; it is nowhere yet."""
        return Timeline(
            self.trace, engine or self._plain, self.progress, watching, self.record, counting,
            self.checkpoints,
        )  # fmt: skip

    def run_out(self, row: int) -> int:
        """Go on from a place in a program to its end, in its own way of counting; the total."""
        assert self.row == row
        try:
            self._advance(None)
        except PastEnd as end:
            return end.total
        raise AssertionError("a program without an end")

    def _by_blocks_to(self, executed: int, start: Checkpoint | None = None) -> bool:
        """On from a state of the present program, or from here, to shortly after that place.

        False, and nothing is done, where blocks cannot be relied on. Raises PastEnd.
        """
        row = self.row if start is None else start.stack[-1]
        if self._counting is not Counting.EACH or self._watching or row in self._one_by_one:
            return False
        try:
            far = self.by_blocks()
            far.on_stop = self.on_stop
            far.resume(start or self.checkpoint())
            far._advance(executed)
            self._take_over(far)
        except Unsure:
            self._one_by_one.add(row)
            return False
        finally:
            if self._far is not None:
                self._far.close()
        return True

    def _take_over(self, other: "Timeline") -> None:
        """Go to where another one is, with its memory."""
        place = other.checkpoint()
        super().close()
        self._mark_in(other.live, place.snapshot)
        self.machine, other.machine = other.machine, None
        self.resume(place)

    def go_on(
        self,
        began: int | None,
        executed: int | None = None,
    ) -> bool:
        """One stretch on, no further than `executed`; for who has armed the CPU.

        Whether it stopped at a breakpoint; the one at `began` does not count.
        Raises PastEnd.
        """
        self._find_cut(self.row)
        self._run(executed, began)
        return self.stepping.reached == BREAKPOINT

    @contextlib.contextmanager
    def armed(
        self, arm: Callable[[], None], look: "Callable[[Timeline], None]" = lambda _: None
    ) -> Iterator[None]:
        """In the block `arm` sets up the CPU that is there, and each that takes its place; `look`
        is `on_stop`."""
        self.on_restore, self.on_stop = arm, look
        try:
            if self.machine is not None:
                arm()
            yield
        finally:
            self.on_restore, self.on_stop = (lambda: None), (lambda _: None)

    def seek_from(self, row: int, executed: int) -> None:
        """Seek by making the machine anew, so that `on_restore` hears of it."""
        self.close()
        self.seek(row, executed)

    def _run(self, executed: int | None, began: int | None = None) -> None:
        """One stretch of it: to the place, the next state to keep, or a system call that stops."""
        row, program = self.row, self.program
        if self._counting is Counting.NOTHING:
            self._stretch(row, program)
            return
        here, blocks = self.executed, self._counting is Counting.BLOCKS
        border = (here // self._spacing + 1) * self._spacing
        wide = 5 * SLICE if blocks else SLICE
        target = min(border, here + wide, border if executed is None else executed)
        edit = self._edits.after(row, here)
        target = target if edit is None else min(target, edit)
        if row == self._cut:
            target = min(target, self.checkpoints.totals.get(row, target))
        self.stepping.run_to(target, here if began is None else began)
        self._stretch(row, program)
        if blocks and self.stepping.reached == UNSURE:
            raise Unsure
        self._edit()
        if row == self._cut and self.executed >= self.checkpoints.totals.get(row, NEVER):
            self.close()
            raise PastEnd(program, self.checkpoints.totals[row])
        self.progress(row, self.executed)
        if self.executed >= border:
            self._keep()

    def _edit(self) -> None:
        """Write what was written into the program at this place."""
        edit = self._edits.at(self.row, self.executed) if self._edits else None
        if edit is not None:
            edit.do(self.live.tasks[-1])

    def _find_cut(self, row: int) -> None:
        """Know how far a program is gone on with, if a limit ended it."""
        if row != self._cut or row in self.checkpoints.totals or self._counting is Counting.NOTHING:
            return
        here = None if self.machine is None else self.checkpoint()
        self._cut = None
        try:
            self.seek_call(row, self.trace.program(row).calls)
            self.checkpoints.totals[row] = self.executed + BEYOND
        finally:
            self._cut = row
        if here is not None:
            self.resume(here)

    def _stretch(self, row: int, program: ProgramRow) -> None:
        try:
            self._turn(row)
        except GuestFailed:
            if not program.unfinished:
                raise
            # So did the recorded run: it is there up to its failure.
        if self.machine is None or self.row != row:
            total = self._last_executed
            if self._counting is not Counting.NOTHING:
                self.checkpoints.totals[row] = total
            self.close()
            raise PastEnd(program, total)

    def _turn(self, home: int | None) -> None:
        """Run until the CPU stops, and do what it stopped for.

        `home`: the program whose time we are in; a child of it is passed over.
        """
        machine = self.live
        try:
            cpu = machine.tasks[-1].cpu
            fault = cpu.run()
        except KeyboardInterrupt:
            self.close()
            raise
        self._last_executed = self.executed
        if fault is None and cpu.reached:
            # Nothing happened in the machine; but a failure inside the last call counts.
            self._comparer.catch_up()
            return
        self.on_stop(self)
        try:
            ended = machine.turn(fault)
        except BaseException:
            self.close()
            raise
        if ended is not None:
            self._comparer.stack.clear()
            self.machine = None
            return
        if home is not None and self.row != home and home in self._comparer.stack:
            self._pass_child(home)

    def _pass_child(self, home: int) -> None:
        child, executed = self.row, self._last_executed
        back = self._back.get(child)
        if back is None and self.trace.program(home).unfinished:
            self.close()  # the run ended in the child
            self._last_executed = executed
            return
        if back is not None:
            self._restore(self.trace.snapshot(back.id), self.record.stack(back.process), back.event)
        else:
            while self.machine is not None and self.row != home:
                self._turn(None)
        if self.machine is not None and self._counting is not Counting.NOTHING:
            self.stepping.executed = executed
            self._edit()
            self._keep()
