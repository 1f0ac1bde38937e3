"""Goes to any instruction of any program of a trace, forwards and backwards.

A place is a program (a row of the trace) and how many instructions it has executed since it began;
0 is before its first. The machine is made again from the nearest kept state before the place and
run up to it, under a Follower's eyes. The trace keeps a state where each program begins and where
one goes on after a child, so a program's own time never runs its children; more are kept here, in
memory, while travelling.
"""

from collections.abc import Callable

from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.instruments import Engine
from bootstrap.instruments.blocks import UNSURE
from bootstrap.instruments.counter import BREAKPOINT, NEVER
from bootstrap.timeline.checkpoints import Checkpoint, Checkpoints
from bootstrap.timeline.standing import Counting, MachineState
from bootstrap.trace.follower import RecordedRun
from bootstrap.trace.header import was_cut
from bootstrap.trace.reader import ProgramRow, StoredCheckpoint, Trace

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
            f"(the last is {max(0, total - 1):,} instructions after its begin)"
        )
        self.total = total


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
        facts: RecordedRun | None = None,
        counting: Counting = Counting.EACH,
        points: Checkpoints | None = None,
        spacing: int = SPACING,
    ) -> None:
        """`progress` hears of long ways, about ten times a second, and may raise to end them.

        `facts` and `points` may be those of another traveller in the same trace. `spacing` is how
        many instructions apart states are kept.
        """
        super().__init__(trace, engine, watching, facts, counting, points)
        self._spacing = spacing
        self._far: Timeline | None = None
        self._one_by_one: set[int] = set()
        """Programs in which blocks do not count right."""
        self.progress = progress
        self._checkpoints = trace.checkpoints()
        self._begun = {c.process: c for c in self._checkpoints if not c.came_back}
        self._cut = self._cut_short()
        self._back = self._after_children(self._checkpoints)
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

    def _cut_short(self) -> int | None:
        """The program that ran when a limit ended the run between two calls."""
        if not was_cut(self.trace.meta):
            return None
        return max((p.id for p in self.trace.programs if p.unfinished), default=None)

    # Going.

    def seek(self, row: int, executed: int) -> None:
        """Go to where the program has executed so many instructions."""
        if not 1 <= row <= len(self.trace.programs):
            raise BadInput(f"there is no program {row}: 1 to {len(self.trace.programs)}")
        if executed < 0:
            raise BadInput("before its first instruction a program has executed 0: none is before")
        self._find_cut(row)
        total = self.points.totals.get(row)
        # One whose first instruction cannot even be fetched has its begin, and nothing else.
        if total is not None and executed >= max(total, 1):
            raise PastEnd(self.trace.program(row), total)
        here = self.machine is not None and self.row == row and self.executed <= executed
        start = self.points.nearest(row, executed)
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
        known = self.points.nearest_call(row, calls - 1) if calls else self.points.nearest(row, 0)
        if self.machine is None or self.row != row or self.calls >= calls:
            if known is not None:
                self.resume(known)
            else:
                self._enter(row)
        elif known is not None and known.calls > self.calls:
            self.resume(known)
        while self.calls < calls:
            self._follower.log.stop_at(self.event + calls - self.calls, self._pause)
            try:
                self._run(None)
            finally:
                self._follower.log.stop_at(None, self._pause)

    def _pause(self) -> None:
        if self.machine is not None and self.machine.tasks:
            self.machine.tasks[-1].cpu.pause()

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
        totals = self.points.totals
        self._find_cut(row)
        if row not in totals:
            try:
                point = self.points.nearest(row, 1 << 62)
                if self.machine is None or self.row != row:
                    if point is None:
                        self._enter(row)
                    else:
                        self.resume(point)
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
        if self._far is not None:
            self._far.close()
        super().close()

    # Running.

    def _enter(self, row: int) -> None:
        """Go to where a program begins, from the last kept state before it."""
        begun = self._begun.get(row)
        if begun is None:
            before = [c for c in self._checkpoints if c.programs < row]
            if not before:
                raise BadInput(f"{self.trace.name}: keeps no state before program {row}")
            begun = before[-1]
        self._restore(self.trace.snapshot(begun.id), self.facts.stack(begun.process), begun.event)
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
        """One that counts by blocks, with the same kept states; raises Unsure where that fails."""
        if self._edits:
            raise Unsure  # it would not stop at their places
        if self._far is None:
            self._far = Timeline(
                self.trace, self._plain, self.progress, False, self.facts, Counting.BLOCKS,
                self.points,
            )  # fmt: skip
        return self._far

    def run_out(self, row: int) -> int:
        """Go on from a place in a program to its end, in its own way of counting; the total."""
        assert self.row == row
        try:
            self._advance(None)
        except PastEnd as end:
            return end.total
        raise AssertionError("a program without an end")

    def _by_blocks_to(self, executed: int, start: Checkpoint | None = None) -> bool:
        """On from a state of the present program, or from here, to shortly behind that place.

        False, and nothing is done, where blocks cannot be relied on. Raises PastEnd.
        """
        row = self.row if start is None else start.stack[-1]
        if self._counting is not Counting.EACH or self._watching or row in self._one_by_one:
            return False
        try:
            far = self.by_blocks()
            far.on_stop = self.on_stop
            far.resume(start or self.point())
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
        point = other.point()
        super().close()
        self._mark_in(other.live, point.snapshot)
        self.machine, other.machine = other.machine, None
        self.resume(point)

    def go_on(
        self,
        began: int | None,
        executed: int | None = None,
    ) -> bool:
        """One stretch on, no further than `executed`; for who has armed the CPU.

        Answers whether it stopped at a breakpoint; the one at `began` does not count.
        Raises PastEnd.
        """
        self._find_cut(self.row)
        self._run(executed, began)
        return self.stepping.reached == BREAKPOINT

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
            target = min(target, self.points.totals.get(row, target))
        self.stepping.run_to(target, here if began is None else began)
        self._stretch(row, program)
        if blocks and self.stepping.reached == UNSURE:
            raise Unsure
        self._edit()
        if row == self._cut and self.executed >= self.points.totals.get(row, NEVER):
            self.close()
            raise PastEnd(program, self.points.totals[row])
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
        if row != self._cut or row in self.points.totals or self._counting is Counting.NOTHING:
            return
        here = None if self.machine is None else self.point()
        self._cut = None
        try:
            self.seek_call(row, self.trace.program(row).calls)
            self.points.totals[row] = self.executed + BEYOND
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
                self.points.totals[row] = total
            self.close()
            raise PastEnd(program, total)

    def _turn(self, home: int | None) -> None:
        """Run until the CPU stops, and do what it stopped for.

        `home`: the program whose time we are in; a child of it is passed over.
        """
        machine = self.live
        try:
            stop = machine.tasks[-1].cpu.run()
        except KeyboardInterrupt:
            self.close()
            raise
        self._last_executed = self.executed
        if stop.reached:
            # Nothing happened in the machine; but a failure inside the last call counts.
            self._follower.catch_up()
            return
        self.on_stop(self)
        try:
            ended = machine.turn_over(stop)
        except BaseException:
            self.close()
            raise
        if ended is not None:
            self._follower.stack.clear()
            self.machine = None
            return
        if home is not None and self.row != home and home in self._follower.stack:
            self._pass_child(home)

    def _pass_child(self, home: int) -> None:
        child, executed = self.row, self._last_executed
        back = self._back.get(child)
        if back is None and self.trace.program(home).unfinished:
            self.close()  # the run ended in the child
            self._last_executed = executed
            return
        if back is not None:
            self._restore(self.trace.snapshot(back.id), self.facts.stack(back.process), back.event)
        else:
            while self.machine is not None and self.row != home:
                self._turn(None)
        if self.machine is not None and self._counting is not Counting.NOTHING:
            self.stepping.executed = executed
            self._edit()
            self._keep()


__all__ = ["Checkpoint", "Counting", "PastEnd", "Timeline", "Unsure"]
