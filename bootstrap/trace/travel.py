"""Goes to any instruction of any program of a trace, forwards and backwards.

A place is a program (a row of the trace) and how many instructions it has executed since it began;
0 is before its first. The machine is made again from the nearest kept state before the place and
run up to it, under a Follower's eyes. The trace keeps a state where each program begins and where
one goes on after a child, so a program's own time never runs its children; more are kept here, in
memory, while travelling.
"""

from bisect import bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bootstrap.engine import Engine, Travel
from bootstrap.engine.stepping import BREAKPOINT, Stepping
from bootstrap.errors import BadInput
from bootstrap.kernel.machine import Machine
from bootstrap.kernel.process import Process
from bootstrap.kernel.snapshot import Sharing, Snapshot, restore, take
from bootstrap.trace.follower import Facts, Follower
from bootstrap.trace.header import limits_of, streams_of
from bootstrap.trace.reader import CheckpointRow, ProgramRow, Trace
from bootstrap.trace.replay import TraceLower
from bootstrap.vfs import FileSystem, FsLimits, Stream

SPACING = 20_000_000
"""Instructions between two states that are kept on the way; about 0.4 s of running."""
FINE = (1_000_000, 30_000)
"""How far before a place states are kept too, so that the step back from there is quick."""
KEPT = 400
"""States that are kept at most."""
SLICE = 5_000_000
"""Instructions after which `progress` is asked whether to go on; about 0.1 s."""


class PastEnd(BadInput):
    """The program ends before the place; `total` is how many instructions it executes."""

    def __init__(self, program: ProgramRow, total: int) -> None:
        super().__init__(
            f"{program.label} executes {total:,} instructions: there is no such place in it "
            f"(the last is before instruction {total - 1:,})"
        )
        self.total = total


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A kept state of the machine, in one program's time."""

    executed: int
    calls: int = field(compare=False)
    event: int = field(compare=False)
    stack: tuple[int, ...] = field(compare=False)
    snapshot: Snapshot = field(compare=False)


class Traveller:
    """At a place in a trace, with the machine as it was there. Methods raise BadInput for a place
    that does not exist, and Diverged (trace/replay.py) where the run is not the recorded one.
    """

    def __init__(
        self,
        trace: Trace,
        engine: Engine,
        progress: Callable[[int, int], None] = lambda _row, _executed: None,
        watching: bool = False,
        facts: Facts | None = None,
        counting: bool = True,
    ) -> None:
        """`progress` hears of long ways, about ten times a second, and may raise to end them.

        `counting` False runs several times as fast, knows no instructions and only seeks calls.
        """
        self.trace = trace
        self.facts = facts or Facts(trace)
        self._engine = engine.travelling(Travel(watching)) if counting else engine
        self._counting = counting
        self._watching = watching
        self._progress = progress
        with trace.reading():
            self._limits = replace(limits_of(trace.meta), seconds=0, instructions=0)
            self._wanted = streams_of(trace.meta)
        self._checkpoints = trace.checkpoints()
        self._begun = {c.process: c for c in self._checkpoints if not c.came_back}
        self._back = self._after_children(self._checkpoints)
        self.points: dict[int, list[Point]] = {}
        self.totals: dict[int, int] = {}
        """Instructions of the programs whose end was seen."""
        self.machine: Machine | None = None
        self._follower = Follower(self.facts, [], [], 0)
        self._streams: list[Stream] = []
        self._sharing = Sharing()
        self._last_executed = 0
        self.on_stop: Callable[[], None] = lambda: None
        """Called while a CPU that stopped is still there: another one may go on."""
        self.on_restore: Callable[[], None] = lambda: None
        """Called whenever the machine was made anew, its CPUs with it; for who set them up."""

    def _after_children(self, rows: list[CheckpointRow]) -> dict[int, CheckpointRow]:
        """By the first program of a child: the state in which its parent goes on after it."""
        found = {}
        children: dict[int, list[ProgramRow]] = {}
        for program in self.trace.programs:
            if program.ordinal == 0 and program.parent is not None:
                children.setdefault(program.parent, []).append(program)
        backs: dict[int, list[CheckpointRow]] = {}
        for row in rows:
            if row.came_back:
                backs.setdefault(row.process, []).append(row)
        for parent, mine in children.items():
            # One child runs at a time: the parent comes back once for each that has ended.
            for child, back in zip(mine, backs.get(parent, ()), strict=False):
                found[child.id] = back
        return found

    # Where we are.

    @property
    def row(self) -> int:
        """The program we are in."""
        return self._follower.row

    @property
    def program(self) -> ProgramRow:
        """The program we are in."""
        return self._follower.program

    @property
    def executed(self) -> int:
        """Instructions that it has executed."""
        return self.stepping.executed if self._counting else 0

    @property
    def calls(self) -> int:
        """System calls that it has made."""
        return self._follower.calls

    @property
    def event(self) -> int:
        """System calls of all the run so far."""
        return self._follower.log.total

    @property
    def live(self) -> Machine:
        """The machine as it is here. Raises BadInput before the first seek."""
        if self.machine is None:
            raise BadInput("nowhere yet: seek first")
        return self.machine

    @property
    def process(self) -> Process:
        """The process as it is here: memory, descriptors, current directory."""
        return self.live.tasks[-1].process

    def registers(self) -> tuple[tuple[str, int], ...]:
        """The general registers, by name."""
        return self.live.tasks[-1].cpu.registers()

    @property
    def pc(self) -> int:
        """Address of the instruction that comes next."""
        return self.live.tasks[-1].cpu.pc

    # Going.

    def seek(self, row: int, executed: int) -> None:
        """Go to where the program has executed so many instructions."""
        if not 1 <= row <= len(self.trace.programs):
            raise BadInput(f"there is no program {row}: 1 to {len(self.trace.programs)}")
        if executed < 0:
            raise BadInput("before its first instruction a program has executed 0: none is before")
        total = self.totals.get(row)
        if total is not None and executed >= total:
            raise PastEnd(self.trace.program(row), total)
        here = self.machine is not None and self.row == row and self.executed <= executed
        point = self._nearest(row, executed)
        if not here or (point is not None and point.executed > self.executed):
            if point is None:
                self._enter(row)
            else:
                self.resume(point)
        for before in FINE:
            if self.executed + before < executed:
                self._advance(executed - before)
                self._keep()
        self._advance(executed)

    def seek_call(self, row: int, calls: int) -> None:
        """Go to just after the program's system call of that ordinal, counted in the program."""
        program = self.trace.program(row)
        if not 0 <= calls <= program.calls:
            raise BadInput(f"{program.label} makes {program.calls:,} system calls, not {calls:,}")
        known = [p for p in self.points.get(row, ()) if p.calls <= calls]
        if self.machine is None or self.row != row or self.calls > calls:
            if known:
                self.resume(known[-1])
            else:
                self._enter(row)
        elif known and known[-1].calls > self.calls:
            self.resume(known[-1])
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
        if row not in self.totals:
            try:
                point = self._nearest(row, 1 << 62)
                if self.machine is None or self.row != row:
                    if point is None:
                        self._enter(row)
                    else:
                        self.resume(point)
                self._advance(None)
            except PastEnd as end:
                return end.total
        return self.totals[row]

    # Kept states.

    def _nearest(self, row: int, executed: int) -> Point | None:
        points = self.points.get(row, [])
        index = bisect_right(points, executed, key=lambda point: point.executed)
        return points[index - 1] if index else None

    def _keep(self) -> None:
        """Keep the state here."""
        here = self._nearest(self.row, self.executed)
        if self._counting and (here is None or here.executed != self.executed):
            insort(self.points.setdefault(self.row, []), self.point())
            self._thin()

    def point(self) -> Point:
        """The state here, to `resume` from."""
        self._follower.catch_up()
        snapshot = take(self.live, self._streams, self._sharing)
        stack = tuple(self._follower.stack)
        return Point(self.executed, self.calls, self.event, stack, snapshot)

    def _thin(self) -> None:
        """Let go of every second one where there are most."""
        while sum(map(len, self.points.values())) > KEPT:
            row = max(self.points, key=lambda r: len(self.points[r]))
            del self.points[row][1::2]

    def resume(self, point: Point) -> None:
        """Go to a state that any traveller of this trace gave."""
        self._restore(point.snapshot, list(point.stack), point.event)

    def _restore(self, snapshot: Snapshot, stack: list[int], event: int) -> None:
        self.close()
        with self.trace.reading():
            made = [
                task.syscalls - self.trace.program(row).first_call
                for task, row in zip(snapshot.tasks, stack, strict=True)
            ]
            follower = Follower(self.facts, stack, made, event)
            limits = self._limits
            fs = FileSystem(
                TraceLower(self.trace, follower.catch_up),
                FsLimits(limits.file, limits.files_total, limits.inodes),
            )
            made_streams = {
                0: Stream(follower.read), **{n: Stream(None, follower.write) for n in (1, 2)}
            }  # fmt: skip
            self._streams = [made_streams[n] for n in self._wanted]
            machine = Machine(fs, self._engine, limits, [follower])
            restore(machine, snapshot, self._streams)
        fs.volume.watcher = follower
        self._follower, self.machine = follower, machine
        self._sharing = Sharing(last=snapshot)
        if self._watching:
            follower.log.all_in_python()
        self.on_restore()

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
        if self._counting:
            self.stepping.executed = 0
        self._keep()
        self.on_restore()

    @property
    def stepping(self) -> Stepping:
        """The counter of the CPU: breakpoints, watchpoints, counts (engine/stepping.py)."""
        stepping = self.live.tasks[-1].cpu.stepping
        assert stepping is not None, "a traveller that does not count"
        return stepping

    def close(self) -> None:
        """Let go of the machine."""
        if self.machine is not None:
            self.machine.fs.volume.watcher = None
            self.machine.discard()
            self.machine = None

    # Running.

    def _advance(self, executed: int | None) -> None:
        """On to that place of the present program. Raises PastEnd."""
        while executed is None or self.executed < executed:
            self._run(executed)

    def go_on(
        self,
        began: int | None,
        executed: int | None = None,
    ) -> bool:
        """One stretch on, no further than `executed`; for who has armed the CPU.

        Answers whether it stopped at a breakpoint; the one at `began` does not count.
        Raises PastEnd.
        """
        self._run(executed, began)
        return self.stepping.reached == BREAKPOINT

    def seek_from(self, row: int, executed: int) -> None:
        """Seek by making the machine anew, so that `on_restore` hears of it."""
        self.close()
        self.seek(row, executed)

    def _run(self, executed: int | None, began: int | None = None) -> None:
        """One stretch of it: to the place, the next state to keep, or a system call that stops."""
        row, program = self.row, self.program
        if not self._counting:
            self._stretch(row, program)
            return
        here = self.executed
        border = (here // SPACING + 1) * SPACING
        target = min(border, here + SLICE, border if executed is None else executed)
        self.stepping.run_to(target, here if began is None else began)
        self._stretch(row, program)
        self._progress(row, self.executed)
        if self.executed == border:
            self._keep()

    def _stretch(self, row: int, program: ProgramRow) -> None:
        self._turn(row)
        if self.machine is None or self.row != row:
            total = self._last_executed
            if self._counting:
                self.totals[row] = total
            self.close()
            raise PastEnd(program, total)

    def _turn(self, home: int | None) -> None:
        """Run until the CPU stops, and do what it stopped for.

        `home`: the program whose time we are in; a child of it is passed over.
        """
        machine = self.live
        stop = machine.tasks[-1].cpu.run()
        self._last_executed = self.executed
        if stop.reached:
            # Nothing happened in the machine; but a failure inside the last call counts.
            self._follower.catch_up()
            return
        self.on_stop()
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
        if back is not None:
            self._restore(self.trace.snapshot(back.id), self.facts.stack(back.process), back.event)
        else:
            while self.machine is not None and self.row != home:
                self._turn(None)
        if self.machine is not None and self._counting:
            self.stepping.executed = executed
            self._keep()


__all__ = ["PastEnd", "Point", "Traveller"]
