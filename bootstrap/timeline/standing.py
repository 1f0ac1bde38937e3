"""A machine as it was at a place in a trace: made from a kept state, and kept again.

What is written since it was made is known, page by page, so that the same state can be gone back to
by undoing that much (linux/snapshot.py).
"""

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from bootstrap.core.errors import BadInput
from bootstrap.instruments import Engine, Travel
from bootstrap.instruments.counter import Stepping
from bootstrap.linux.filesystem import FileSystem
from bootstrap.linux.inode import Stream
from bootstrap.linux.machine import Machine
from bootstrap.linux.memory import AddressSpace
from bootstrap.linux.process import Process
from bootstrap.linux.snapshot import Sharing, Snapshot, restore, take
from bootstrap.timeline.checkpoints import Checkpoint, Checkpoints
from bootstrap.timeline.edits import edits_of
from bootstrap.trace.follower import Comparer, RecordedRun
from bootstrap.trace.header import limits_of, probing_in, streams_of
from bootstrap.trace.reader import ProgramRow, Trace
from bootstrap.trace.replay import TraceLower


class Counting(Enum):
    """How a traveller counts instructions."""

    EACH = "each"
    """One by one; goes to every place."""
    BLOCKS = "blocks"
    """By blocks, four times as fast; stops at the first one from the place on."""
    NOTHING = "nothing"
    """Not at all, faster still; only seeks calls."""


class MachineState:
    """The machine, and what stands beside it: its record, and the states that are kept."""

    def __init__(
        self, trace: Trace, engine: Engine, watching: bool, facts: RecordedRun | None,
        counting: Counting, points: Checkpoints | None,
    ) -> None:  # fmt: skip
        self.trace = trace
        self.facts = facts or RecordedRun(trace)
        self.points = points or Checkpoints()
        self._plain = engine
        self._engine = engine
        if counting is Counting.NOTHING and edits_of(trace.meta):
            counting = Counting.EACH  # what was written is at counted places
        if counting is not Counting.NOTHING:
            self._engine = engine.travelling(Travel(watching, counting is Counting.BLOCKS))
        self._counting = counting
        self._watching = watching
        with trace.reading():
            self._edits = edits_of(trace.meta)
            self._limits = replace(limits_of(trace.meta), seconds=0, instructions=0)
            self._wanted = streams_of(trace.meta)
            self._probing = probing_in(trace.meta)
        self.machine: Machine | None = None
        self._follower = Comparer(self.facts, [], [], 0)
        self._streams: list[Stream] = []
        self._sharing = Sharing()
        self._marked: tuple[Snapshot | None, dict[int, AddressSpace]] = (None, {})
        self.on_restore: Callable[[], None] = lambda: None
        """Called whenever the machine was made anew, its CPUs with it; for who set them up."""

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
        return 0 if self._counting is Counting.NOTHING else self.stepping.executed

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

    # Kept states.

    def _keep(self) -> None:
        """Keep the state here."""
        if self._counting is not Counting.NOTHING and not self.points.has(self.row, self.executed):
            point = self.point()
            self.points.add(self.row, point)
            self._mark(point.snapshot)

    def keep(self, apart: int) -> None:
        """Keep the state here, unless one is kept less than so many instructions before."""
        if self.executed - self.points.before(self.row, self.executed + 1) >= apart:
            self._keep()

    def point(self) -> Checkpoint:
        """The state here, to `resume` from."""
        self._follower.catch_up()
        snapshot = take(self.live, self._streams, self._sharing)
        stack = tuple(self._follower.stack)
        return Checkpoint(self.executed, self.calls, self.event, stack, snapshot)

    def resume(self, point: Checkpoint) -> None:
        """Go to a state that any traveller of this trace gave."""
        self._restore(point.snapshot, list(point.stack), point.event)

    def _mark(self, snapshot: Snapshot) -> None:
        """The memory is as it is in the snapshot: what is written from here on can be undone."""
        if self._counting is Counting.EACH:
            self._mark_in(self.live, snapshot)

    def _mark_in(self, machine: Machine, snapshot: Snapshot) -> None:
        spaces = {task.process.pid: task.process.memory for task in machine.tasks}
        for memory in spaces.values():
            memory.mark()
        self._marked = snapshot, spaces

    def _to_undo(self, snapshot: Snapshot) -> dict[int, AddressSpace]:
        """Memory that only has to be undone to be that of the snapshot; ends the machine."""
        marked, spaces = self._marked
        if self.machine is None or marked is not snapshot:
            return {}
        self.machine.fs.volume.watcher = None
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
            follower = Comparer(self.facts, stack, made, event)
            limits = self._limits
            fs = FileSystem(
                TraceLower(self.trace, follower.catch_up),
                limits,
            )
            made_streams = {
                0: Stream(follower.read), **{n: Stream(None, follower.write) for n in (1, 2)}
            }  # fmt: skip
            self._streams = [made_streams[n] for n in self._wanted]
            machine = Machine(fs, self._engine, limits, [follower], self._probing)
            restore(machine, snapshot, self._streams, spaces)
        fs.volume.watcher = follower
        self._follower, self.machine = follower, machine
        self._sharing = Sharing.restored(snapshot)
        self._mark(snapshot)
        if self._watching:
            follower.log.all_in_python()
        self.on_restore()

    @property
    def stepping(self) -> Stepping:
        """The counter of the CPU: breakpoints, watchpoints, counts (instruments/counter.py)."""
        stepping = self.live.tasks[-1].cpu.stepping
        assert stepping is not None, "a traveller that does not count"
        return stepping

    def close(self) -> None:
        """Let go of the machine."""
        if self.machine is not None:
            self.machine.fs.volume.watcher = None
            self.machine.discard()
            self.machine = None
