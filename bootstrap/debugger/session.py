"""A stepping session: one place in a recorded run, and every way to another.

Thin over the trace library: a Traveller is at the place, an Explorer finds others. A session goes
along one process at a time, across its execve calls; children are entered and left by name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple

from bootstrap import trace as traces
from bootstrap.debugger import looking, opening, origins, places, running
from bootstrap.debugger.looking import NEARBY, Line, SourceView
from bootstrap.debugger.stops import Breakpoints, Interrupted, Stop, Watchpoints
from bootstrap.debugger.syscalls import Call, Wish, calls, outputs
from bootstrap.engine import Engine, default_engine
from bootstrap.errors import BadInput
from bootstrap.kernel.limits import Limits
from bootstrap.sources import Resolved
from bootstrap.trace.coordinates import Coordinate, Instruction
from bootstrap.trace.coordinates import at as coordinate
from bootstrap.trace.coordinates import here as coordinate_here
from bootstrap.trace.images import Image, Images
from bootstrap.trace.reader import ProgramRow, Trace
from bootstrap.trace.searching import Explorer
from bootstrap.trace.showing import (
    Area,
    File,
    areas,
    flags_of,
    open_file,
    open_paths,
    stack_words,
    told_call,
)
from bootstrap.trace.travel import PastEnd, Traveller
from bootstrap.trace.views import command, ended
from bootstrap.trace.where import Found, Stopped, where
from bootstrap.trace.why import Link

MOST_UNDO = 1000
"""Moves that can be undone."""
Place = tuple[int, int]
"""A program's row, and how many of its instructions were executed."""
Progress = Callable[[int, int], None]
"""Hears of long ways: program row, instructions. May raise to end them."""


class Produced(NamedTuple):
    """Bytes that a write call has just put into a file."""

    path: str
    offset: int
    size: int


class Session:
    """At a place of a trace. A context manager.

    Moves answer with a Stop and never raise for reaching an end. They raise BadInput for what does
    not exist, Diverged (trace/replay.py) where the run is not the recorded one, and whatever
    `progress` raises; the session is at a good place then, too. Not for several threads.
    """

    def __init__(self, trace: Trace, engine: Engine, progress: Progress) -> None:
        self.trace = trace
        self.progress = progress
        self._muted = False
        self._closing = contextlib.ExitStack()
        self._closing.callback(trace.close)
        self.explorer = Explorer(trace, engine, self._tell)
        self._closing.callback(self.explorer.close)
        self.images = Images(trace)
        self.breakpoints = Breakpoints(self._resolve, self._known)
        self.watchpoints = Watchpoints()
        self.marks: dict[str, Instruction] = {}
        self._undo: list[Place] = []
        self._before: tuple[tuple[str, int], ...] = ()
        self._resolved: dict[tuple[str, int], tuple[int, ...]] = {}
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
            session._closing.callback(session.trace.close)
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
        self.explorer.close()
        self._closing.close()

    def _tell(self, row: int, executed: int) -> None:
        if not self._muted:
            self.progress(row, executed)

    # -- where we are ----------------------------------------------------------------------------

    @property
    def at(self) -> Traveller:
        """The traveller: the machine as it is here."""
        return self.explorer.at

    @property
    def row(self) -> int:
        """The program that we are in, by its number in the trace."""
        return self.at.row

    @property
    def program(self) -> ProgramRow:
        """The program that we are in."""
        return self.at.program

    @property
    def pid(self) -> int:
        """Its process."""
        return self.program.pid

    @property
    def executed(self) -> int:
        """Instructions that it has executed."""
        return self.at.executed

    @property
    def calls(self) -> int:
        """System calls that it has made."""
        return self.at.calls

    @property
    def pc(self) -> int:
        """Address of the instruction that comes next."""
        return self.at.pc

    @property
    def here(self) -> Instruction:
        """The coordinate of this place."""
        return coordinate_here(self.at)

    @property
    def image(self) -> Image:
        """What is known of the program's image."""
        return self.images.image(self.program.image)

    @property
    def failure(self) -> str:
        """Why the recorded run failed; empty where it did not."""
        return self.trace.meta.get("failure", "")

    @property
    def total(self) -> int:
        """Instructions of this program. Goes to its end and back, once: may take long."""
        return self.total_of(self.row)

    def total_of(self, row: int) -> int:
        """The same of any program."""
        if row not in self.at.points.totals:
            with self._steady():
                here = self.row, self.executed
                self.at.total(row)
                self.at.seek(*here)
        return self.at.points.totals[row]

    def registers(self) -> tuple[tuple[str, int], ...]:
        """The general registers, by name, in the customary order."""
        return self.at.registers()

    def changed(self) -> frozenset[str]:
        """The registers that the last move changed."""
        before = dict(self._before)
        return frozenset(n for n, value in self.registers() if before.get(n, value) != value)

    def flags(self) -> str:
        """The flags that are set, by name; empty where the architecture has none."""
        return flags_of(self.registers())

    def read(self, guest_addr: int, size: int) -> bytes:
        """The readable bytes from an address on: `size`, or fewer before the first bad page."""
        return self.at.process.memory.read_upto(guest_addr, size)

    def maps(self) -> tuple[Area, ...]:
        """Mapped memory, in order."""
        return tuple(areas(self.at, self.image))

    def stack(self, count: int = 12) -> tuple[tuple[int, int], ...]:
        """So many words from the stack pointer on: (address, value)."""
        return tuple(stack_words(self.at, count))

    def open_files(self) -> tuple[File, ...]:
        """Descriptors: fd, path, offset, size, access."""
        return tuple(open_file(fd, file) for fd, file in self.at.process.fds.items())

    def file(self, name: int | str) -> bytes:
        """A file's content as the guest sees it now, by descriptor or path. Raises BadInput."""
        return looking.content_of(self.at, name)

    def call(self, ordinal: int) -> str:
        """The program's system call of that number, from 1, as strace writes it; empty: none."""
        return told_call(self.at, ordinal, open_paths(self.at))

    # -- code and sources ------------------------------------------------------------------------

    def disassemble(self, guest_addr: int | None = None, count: int = 10) -> tuple[Line, ...]:
        """Instructions from an address (pc) on, with labels, source lines and jump targets."""
        start = self.pc if guest_addr is None else guest_addr
        return tuple(looking.disassemble(self.at, self.image, start, count))

    def source(self, guest_addr: int | None = None, nearby: int = NEARBY) -> SourceView | None:
        """Where the code at an address (pc) stands in its source. None: nobody knows; see
        `unknown`."""
        image = self.image
        addr = self.pc if guest_addr is None else guest_addr
        offset = looking.known_offset(image, self.at.process.memory, addr, 1)
        place = None if offset is None else image.place(offset)
        return None if place is None else looking.source_view(image, place, nearby)

    @property
    def unknown(self) -> str:
        """Why the program has no source lines; empty where it has."""
        return self.image.unknown

    def label(self, guest_addr: int) -> str:
        """The label before an address: `name+0x12`; empty where none is known."""
        offset = self.image.offset(guest_addr)
        return "" if offset is None else self.image.shown_label(offset)

    def why(self, artifact: str, offset: int) -> list[Link]:
        """Where a byte of a file comes from. Raises BadInput."""
        return self.images.why.why(artifact, offset)

    def where(self, file: str, line: int) -> tuple[list[Found], list[Stopped]]:
        """What a line of a source became. Raises BadInput."""
        return where(self.trace, file, line)

    def find_memory(self, wanted: bytes | str) -> list[int]:
        """The addresses at which these bytes stand now."""
        raw = wanted.encode() if isinstance(wanted, str) else wanted
        return looking.in_memory(self.at.process.memory, raw)

    def find_source(self, wanted: str) -> list[tuple[str, int, str]]:
        """The lines of this program's sources with that text: (file, line, text)."""
        return looking.in_sources(self.image, wanted)

    def find(
        self, wanted: str | bytes, in_: str = "memory"
    ) -> list[int] | list[tuple[str, int, str]]:
        """`find_memory` or (`in_="source"`) `find_source`."""
        if in_ == "memory":
            return self.find_memory(wanted)
        if in_ == "source":
            return self.find_source(wanted if isinstance(wanted, str) else wanted.decode())
        raise BadInput(f"find looks in memory or in source, not in {in_}")

    def produced(self) -> Produced | None:
        """What the system call just before this place wrote to a file, if it did that."""
        ordinal, program = self.calls, self.program
        if not ordinal:
            return None
        call = next(calls(self.trace, program, ordinal, backwards=True))
        if call.ordinal != ordinal or call.number not in outputs(program) or call.result <= 0:
            return None
        for file in self.open_files():
            if file.fd == call.first and file.size is not None:
                return Produced(file.path, file.offset - call.result, call.result)
        return None

    # -- moving: helpers -------------------------------------------------------------------------

    @contextlib.contextmanager
    def _steady(self) -> Iterator[None]:
        """Whatever is raised inside, we are where we were."""
        place = self.row, self.executed
        try:
            yield
        except BaseException:
            self._muted = True
            try:
                self.at.seek(*place)
            finally:
                self._muted = False
            raise

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

    def _next_program(self, row: int) -> ProgramRow | None:
        """What the process executed after that program."""
        return places.neighbour(self.trace, self.trace.program(row), 1)

    def _previous_program(self, row: int) -> ProgramRow | None:
        return places.neighbour(self.trace, self.trace.program(row), -1)

    def _to_end(self, row: int, reason: str = "end") -> Stop:
        """Before the instruction that ends the process."""
        self.at.seek(row, max(0, self.at.total(row) - 1))
        return self.stop(reason, f"{self.program.label}: {ended(self.program)}")

    def _to_begin(self, row: int) -> Stop:
        self.at.seek(row, 0)
        program = self.program
        if program.ordinal:
            return self.stop("begin", f"{program.label} begins: {command(program)}")
        return self.stop("begin", f"{program.label} begins, forked by its parent")

    def _entered(self, program: ProgramRow) -> Stop:
        self.at.seek(program.id, 0)
        return self.stop("exec", f"{program.label} executes {command(program)}")

    # -- moving: instructions --------------------------------------------------------------------

    def step(self, count: int = 1) -> Stop:
        """So many instructions on, into what the process executes, too."""
        with self.moving():
            left, crossed = count, False
            while True:
                row, executed = self.row, self.executed
                try:
                    self.at.seek(row, executed + left)
                except PastEnd as end:
                    following = self._next_program(row)
                    if following is None:
                        return self._to_end(row)
                    left -= end.total - executed
                    crossed = True
                    stop = self._entered(following)
                    continue
                return stop if crossed else self.stop("step")

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

    # -- moving: breakpoints and watchpoints -----------------------------------------------------

    def cont(self, pause_at: Collection[str] = ()) -> Stop:
        """On to the next breakpoint, watchpoint, or the end of the process.

        `pause_at`: "fork", "exec" or both, to stop there too. Where `progress` raises Interrupted
        it stops at the place that it has come to; with watchpoints, where it began.
        """
        with self.moving():
            while True:
                row, addresses = self.row, self._addresses()
                fork = self._next_fork() if "fork" in pause_at else None
                try:
                    bound = None if fork is None else self._where_call(row, fork)
                    met = running.forward(self.explorer, addresses, list(self.watchpoints), bound)
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
                return (
                    self._met(met) if met is not None else self.stop("fork", self.call(fork or 0))
                )

    def _next_fork(self) -> int | None:
        made = places.children(self.trace, self.program)
        return next((ordinal for ordinal, _ in made if ordinal > self.calls), None)

    def _where_call(self, row: int, ordinal: int) -> int:
        """How many instructions the program had executed just after a call; goes nowhere."""
        executed = self.executed
        self.at.seek_call(row, ordinal)
        found = self.executed
        self.at.seek(row, executed)
        return found

    def reverse_cont(self) -> Stop:
        """Back to the last breakpoint or watchpoint before, or the begin of the process."""
        with self.moving():
            while True:
                row, addresses = self.row, self._addresses()
                met = running.backward(self.explorer, addresses, list(self.watchpoints))
                if met is not None:
                    return self._met(met)
                before = self._previous_program(row)
                if before is None:
                    return self._to_begin(row)
                self.at.seek(before.id, self.at.total(before.id) - 1)
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
        if ordinal == program.calls and self._never_returns(program):
            following = self._next_program(program.id)
            return self._to_end(program.id) if following is None else self._entered(following)
        self.at.seek_call(program.id, ordinal)
        if reason == "output":
            return self.stop(reason, self._told_output())
        return self.stop(reason, self.call(ordinal))

    def to_call(self, program: ProgramRow, ordinal: int) -> Stop:
        """To just after a program's call of that number, from 1."""
        with self.moving():
            return self._after_call(program, ordinal, "output")

    def before_call(self, program: ProgramRow, ordinal: int) -> Stop:
        """To where a program's call of that number comes next; part of a move."""
        if ordinal == program.calls and self._never_returns(program):
            self.at.seek(program.id, self.at.total(program.id) - 1)
        else:
            self.at.seek_call(program.id, ordinal)
            self.at.back()
        return self.stop("call", self.call(ordinal))

    @staticmethod
    def _never_returns(program: ProgramRow) -> bool:
        exited = program.status is not None and program.status & 0x7F == 0
        return program.replaced or exited

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

    # -- places by name --------------------------------------------------------------------------

    def _resolve(self, text: str, version: int) -> tuple[int, ...]:
        key = text, version
        if key not in self._resolved:
            self._resolved[key] = places.addresses(self.trace, self.images, text, version)
        return self._resolved[key]

    def _known(self, text: str) -> bool:
        return any(self._resolve(text, v) for v in {p.image for p in self.trace.programs})


def _wrote(program: ProgramRow, call: Call) -> bool:
    return call.result > 0 and call.number in outputs(program)


__all__ = ["Place", "Produced", "Progress", "Session"]
