"""A stepping session: one place in a recorded run, and every way to another.

Thin over the trace library: a Traveller is at the place, an Explorer finds others. A session goes
along one process at a time, across its execve calls; children are entered and left by name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType

from bootstrap import trace as traces
from bootstrap.core.errors import BadInput
from bootstrap.debug import opening, origins, places
from bootstrap.debug.here import Produced, Progress
from bootstrap.debug.moves import Place
from bootstrap.debug.stops import Stop
from bootstrap.debug.writing import Writing
from bootstrap.instruments import Engine, default_engine
from bootstrap.linux.limits import Limits
from bootstrap.sources import Resolved
from bootstrap.timeline.travel import PastEnd
from bootstrap.trace.coordinates import Coordinate, Instruction
from bootstrap.trace.coordinates import at as coordinate
from bootstrap.trace.reader import ProgramRow, Trace
from bootstrap.trace.syscalls import Call, Wish, calls, outputs


class Session(Writing):
    """At a place of a trace. A context manager.

    Moves answer with a Stop and never raise for reaching an end. They raise BadInput for what does
    not exist, Diverged (trace/replay.py) where the run is not the recorded one, and whatever
    `progress` raises; the session is at a good place then, too. Not for several threads.
    """

    def __init__(self, trace: Trace, engine: Engine, progress: Progress) -> None:
        super().__init__(trace, engine, progress)
        self.marks: dict[str, Instruction] = {}
        if not trace.programs:
            raise BadInput(f"{trace.name}: no program ran in it")
        self.at.seek(1, 0)

    # -- opening ---------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        path: str,
        progress: Progress = lambda _row, _executed: None,
        engine: Engine | None = None,
    ) -> Session:
        """A session in a recorded trace, at the begin of its first program. Raises BadInput."""
        trace = traces.open(path)
        try:
            return cls(trace, engine or default_engine(), progress)
        except BaseException:
            trace.close()
            raise

    @classmethod
    def record(
        cls,
        argv: Sequence[str] = (),
        *,
        root: str = ".",
        cwd: str = "/",
        env: Sequence[str] = (),
        source: Resolved | None = None,
        entry: str = "",
        limits: Limits | None = None,
        streams: opening.Streams | None = None,
        progress: Progress = lambda _row, _executed: None,
        engine: Engine | None = None,
    ) -> Session:
        """Run a program of the folder `root`, or rebuild a source tree, once; then as `open`.

        The program gets `streams`: by default nothing on standard input, and what it prints is in
        the trace only. A guest that fails is there up to its failure (`failure`). Raises BadInput.
        """
        engine = engine or default_engine()
        with contextlib.ExitStack() as stack:
            name = stack.enter_context(opening.temporary())
            if source is not None:
                opening.record_sources(name, source, engine, entry, limits)
            else:
                opening.record_program(name, argv, engine, root, cwd, env, limits, streams)
            session = cls.open(name, progress, engine)
            session._closing.push(stack.pop_all())
            # The trace is closed before its file is removed: what was pushed last goes first.
            session._closing.callback(lambda: session._trace.close())
            if source is None:
                session.make_live(root)
            return session

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the machines and the trace; a recording of its own is removed."""
        self._explorer.close()
        self._closing.close()

    # -- moving: memory --------------------------------------------------------------------------

    def next_access(self, guest_addr: int, size: int = 1, kinds: str = "a") -> Stop:
        """On to just after the next instruction of this program that reads or writes there."""
        with self.moving():
            return origins.next_access(self, guest_addr, size, kinds)

    def previous_access(self, guest_addr: int, size: int = 1, kinds: str = "a") -> Stop:
        """Back to the last instruction that read or wrote there.

        Where this program has none: to where the byte came from, in another process: the parent
        that forked, or who wrote that byte of the program's image. "unknown" where none is known.
        """
        with self.moving():
            return origins.previous_access(self, guest_addr, size, kinds)

    def origin(self, guest_addr: int) -> Stop:
        """Back to who made the byte that is there now; a byte that was read from a file leads to
        the write call, of any process, that put it there."""
        with self.moving():
            return origins.origin(self, guest_addr)

    # -- moving: system calls --------------------------------------------------------------------

    def next_call(
        self, name: str | None = None, fd: int | None = None, path: str | None = None
    ) -> Stop:
        """On to just after the next system call of the process that is so. Raises BadInput."""
        wish = Wish(self.trace, name, fd, path)
        return self._forward_call(wish.fits, "call", "no such call comes")

    def previous_call(
        self, name: str | None = None, fd: int | None = None, path: str | None = None
    ) -> Stop:
        """Back to the last such call before: its instruction comes next."""
        wish = Wish(self.trace, name, fd, path)
        with self.moving():
            program: ProgramRow | None = self.program
            start = self.calls
            while program is not None:
                for call in calls(self.trace, program, start, backwards=True):
                    if wish.fits(program, call):
                        return self.before_call(program, call.ordinal)
                program = self._previous_program(program.id)
                start = 0 if program is None else program.calls
            return self.stop("nowhere", "there was no such call before")

    def next_output(self) -> Stop:
        """On to just after the next system call that wrote something; see `produced`."""
        return self._forward_call(_wrote, "output", "nothing is written after this")

    def previous_output(self) -> Stop:
        """Back to just after the last system call before that wrote something."""
        with self.moving():
            program: ProgramRow | None = self.program
            # What was just written is here, not before.
            start = self.calls - 1 if self._just_after_call() else self.calls
            while program is not None:
                for call in calls(self.trace, program, start, backwards=True):
                    if _wrote(program, call):
                        self.at.seek_call(program.id, call.ordinal)
                        return self.stop("output", self._told_output())
                program = self._previous_program(program.id)
                start = 0 if program is None else program.calls
            return self.stop("nowhere", "nothing was written before this")

    def _just_after_call(self) -> bool:
        if not self.calls or not self.executed:
            return False
        here = self.row, self.executed, self.calls
        with self._steady():
            self.at.seek(here[0], here[1] - 1)
            before = self.calls
            self.at.seek(here[0], here[1])
        return before < here[2]

    def _forward_call(
        self, fits: Callable[[ProgramRow, Call], bool], reason: str, none: str
    ) -> Stop:
        with self.moving():
            program: ProgramRow | None = self.program
            start = self.calls + 1
            while program is not None:
                for call in calls(self.trace, program, start, backwards=False):
                    if fits(program, call):
                        return self._after_call(program, call.ordinal, reason)
                program, start = self._next_program(program.id), 1
            return self.stop("nowhere", none)

    def _after_call(self, program: ProgramRow, ordinal: int, reason: str) -> Stop:
        if ordinal == program.calls and places.never_returns(program):
            following = self._next_program(program.id)
            return self._to_end(program.id) if following is None else self._entered(following)
        try:
            self.at.seek_call(program.id, ordinal)
        except PastEnd:  # a fork, and the run failed in the child
            return self._to_end(program.id)
        if reason == "output":
            return self.stop(reason, self._told_output())
        return self.stop(reason, self.call(ordinal))

    def to_call(self, program: ProgramRow, ordinal: int) -> Stop:
        """To just after a program's call of that number, from 1."""
        with self.moving():
            return self._after_call(program, ordinal, "output")

    def before_call(self, program: ProgramRow, ordinal: int) -> Stop:
        """To where a program's call of that number comes next; part of a move."""
        if ordinal == program.calls and places.never_returns(program):
            self.at.seek(program.id, self.at.total(program.id) - 1)
        else:
            self.at.seek_call(program.id, ordinal)
            self.at.back()
        return self.stop("call", self.call(ordinal))

    def _told_output(self) -> str:
        made = self.produced()
        if made is None:
            return self.call(self.calls)
        count = "byte" if made.size == 1 else f"{made.size:,} bytes"
        return f"{count} at {made.offset:#x} of {made.path}"

    # -- moving: processes -----------------------------------------------------------------------

    def into_child(self) -> Stop:
        """To the begin of a child: the one that the last system call made, else the next one."""
        with self.moving():
            child = places.child_here(self.at)
            if child is None:
                return self.stop("nowhere", f"pid {self.pid} forks no more children")
            self.at.seek(child.id, 0)
            return self.stop("child", f"pid {child.pid}, forked by pid {self._parent_pid(child)}")

    def to_parent(self) -> Stop:
        """To the parent: its call that forked this process comes next."""
        with self.moving():
            forked = places.forked_by(self.trace, self.program)
            if forked is None:
                return self.stop("nowhere", f"pid {self.pid} has no parent: it began the run")
            parent, ordinal = forked
            self.at.seek_call(parent.id, ordinal)
            self.at.back()
            return self.stop("parent", f"pid {parent.pid} forks pid {self._forked_pid(ordinal)}")

    def _parent_pid(self, child: ProgramRow) -> int:
        return self.trace.program(child.parent or child.id).pid

    def _forked_pid(self, ordinal: int) -> int:
        call = next(calls(self.trace, self.program, ordinal, backwards=False))
        return call.result

    # -- moving: anywhere ------------------------------------------------------------------------

    def go(self, place: str | Coordinate) -> Stop:
        """To PID@N, PID#K, eN; N% of the program; the next execution of a label, an address
        (0x...) or FILE:LINE; ARTIFACT:OFFSET, just after that byte was written. Raises BadInput.
        """
        return places.go(self, place)

    def seek(self, row: int, executed: int) -> Stop:
        """To an instruction of a program, by its number in the trace. Raises BadInput."""
        with self.moving():
            try:
                self.at.seek(row, executed)
            except PastEnd as end:
                raise BadInput(str(end)) from None
            return self.stop("jump")

    def mark(self, name: str) -> Instruction:
        """Give this place a name, for `jump`."""
        self.marks[name] = self.here
        return self.marks[name]

    def jump(self, name: str) -> Stop:
        """To a marked place. Raises BadInput for a name that was not given."""
        if name not in self.marks:
            known = ", ".join(self.marks) or "there is none yet"
            raise BadInput(f"there is no mark {name}; {known}")
        return self.go(self.marks[name])

    def undo(self) -> Stop:
        """Back to where the last move began; again, to where the one before it began."""
        self.settle()
        if not self._undo:
            return self.stop("nowhere", "no move is left to undo")
        registers = self.registers()
        with self._steady():
            self.at.seek(*self._undo[-1])
        self._undo.pop()
        self._before = registers
        return self.stop("jump")

    @property
    def moves(self) -> tuple[Instruction, ...]:
        """Where `undo` leads, the last move first."""
        return tuple(coordinate(self.trace, self.trace.program(r), n) for r, n in self._undo[::-1])


def _wrote(program: ProgramRow, call: Call) -> bool:
    return call.result > 0 and call.number in outputs(program)


__all__ = ["Place", "Produced", "Progress", "Session"]
