"""A stepping session: one place in a recorded run, and every move to another.

Thin over the trace library: a Timeline is at the place, searches find others. A session goes
along one process at a time, across its execve calls; children are entered and left by name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from bootstrap import trace as traces
from bootstrap.core.errors import BadInput
from bootstrap.core.memory import READ
from bootstrap.debug import opening, places, running, views
from bootstrap.debug.edits import NOT_LIVE, LiveEdits
from bootstrap.debug.stops import Breakpoints, StopReason, Watchpoints
from bootstrap.debug.views import CodeLine, SourceView
from bootstrap.instruments import Engine, default_engine
from bootstrap.linux.limits import RunLimits
from bootstrap.sources import Resolved
from bootstrap.timeline import search
from bootstrap.timeline.checkpoints import checkpoints_of
from bootstrap.timeline.images import ProgramImage, ProgramImages
from bootstrap.timeline.origins import LineOutput, OriginStep, Stopped, outputs_of_line
from bootstrap.timeline.source_maps import SourcePlace
from bootstrap.timeline.state import (
    Area,
    File,
    areas,
    flags_of,
    open_file,
    open_paths,
    shown_call,
    stack_words,
)
from bootstrap.timeline.timeline import PastEnd, Timeline
from bootstrap.trace.calls import CallFilter, RecordedCall, calls, outputs
from bootstrap.trace.coordinates import AfterInstructions, Coordinate
from bootstrap.trace.store import ProgramRow, Trace
from bootstrap.trace.views import command, ended

MOST_UNDO = 1000
"""Moves that can be undone."""
Position = tuple[int, int]
"""A program's row, and how many of its instructions were executed."""
Progress = Callable[[int, int], None]
"""Called during long moves with the program's row and instructions. May raise to end them."""


class Produced(NamedTuple):
    """Bytes that a write call has just put into a file."""

    path: str
    offset: int
    size: int


class Session:
    """At a place of a trace. A context manager.

    Moves return a StopReason and never raise for reaching an end. They raise BadInput for what does
    not exist, Diverged (trace/compare.py) where the run is not the recorded one, and whatever
    `progress` raises; the session is at a good place then, too. Not for several threads.
    """

    def __init__(self, trace: Trace, engine: Engine, progress: Progress) -> None:
        self.progress = progress
        self.breakpoints = Breakpoints(resolve=self._resolve, known=self._known)
        self.watchpoints = Watchpoints()
        self.marks: dict[str, AfterInstructions] = {}
        self.edits: LiveEdits | None = None
        """What was written into the program; None for a recording, see `make_live`."""
        self.versions = 0
        """How often the run became another one."""
        self.settling = False
        """Whether the program is run again just now."""
        self._engine = engine
        self._muted = False
        self._undo: list[Position] = []
        self._before: tuple[tuple[str, int], ...] = ()
        self._temporary = contextlib.ExitStack()
        """Recordings of our own, removed at the end."""
        self._use(trace)
        if not trace.programs:
            raise BadInput(f"{trace.name}: no program ran in it")
        self.at.seek(1, 0)

    def _use(self, trace: Trace) -> None:
        """Be in this recording."""
        self._trace = trace
        kept = checkpoints_of(trace)
        self.at = Timeline(trace, self._engine, self._notify, checkpoints=kept)
        """The machine as it is here, and what finds other places."""
        self._images = ProgramImages(trace)
        self._resolved: dict[tuple[str, int], tuple[int, ...]] = {}
        self._undo.clear()

    # -- opening ---------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        path: str,
        progress: Progress = lambda _row, _executed: None,
        engine: Engine | None = None,
    ) -> Session:
        """A session in a recorded trace, at the start of its first program. Raises BadInput."""
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
        limits: RunLimits | None = None,
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
            session._temporary.push(stack.pop_all())
            if source is None:
                session.make_live(root)
            return session

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the machines and the trace; recordings of our own are removed."""
        self.at.close()
        self._trace.close()
        self._temporary.close()

    # -- writing ---------------------------------------------------------------------------------

    def make_live(self, root: str) -> None:
        """The recorded program can be run again in the folder that it was run in, so something can
        be written into it. Raises BadInput for what is not a recording of one program."""
        self.edits = LiveEdits(self._trace, root)

    @property
    def live(self) -> bool:
        """Whether something can be written."""
        return self.edits is not None

    def check_live(self) -> LiveEdits:
        """Where to write. Raises BadInput for a recording."""
        if self.edits is None:
            raise BadInput(NOT_LIVE)
        return self.edits

    def write(self, guest_addr: int, data: bytes) -> None:
        """Write into memory, whatever its protection; see `settle`. Raises BadInput."""
        edits = self.check_live()
        if self.at.process.memory.reachable(guest_addr, len(data), READ) != len(data):
            raise BadInput(f"there is no memory for {len(data):,} bytes at {guest_addr:#x}")
        edits.put(self.at, edits.here(self.at).with_memory(guest_addr, data))

    def set_register(self, name: str, value: int | bytes) -> None:
        """Set one, by its name in `registers`; see `settle`. Raises BadInput."""
        edits = self.check_live()
        known = self.at.live.tasks[-1].cpu.save()
        if name not in known:
            raise BadInput(f"there is no register {name}: {', '.join(known)}")
        raw = value if isinstance(value, bytes) else value.to_bytes(16, "little")
        edits.put(self.at, edits.here(self.at).with_register(name, raw.rstrip(b"\0")))

    def settle(self) -> None:
        """What was written has its consequences: the program is run again, with it, and recorded.

        Moves do that first. What was written later in the run than the present place is gone then,
        and so are the moves that could be undone. Raises what `progress` raises; then the run is
        recorded as far as it came. Raises BadInput where the program is not what it was.
        """
        edit = None if self.edits is None else self.edits.pending
        if self.edits is None or edit is None:
            return
        with contextlib.ExitStack() as stack:
            name = stack.enter_context(opening.temporary())
            self.settling = True
            try:
                trace, ended = self.edits.run_again(name, self._trace, self._engine, self._notify)
            except BaseException:
                self.at.seek_from(edit.row, edit.executed)  # without what was written
                raise
            finally:
                self.settling = False
            self.at.close()
            self._trace.close()
            self._temporary.push(stack.pop_all())
        self._use(trace)
        self.versions += 1
        self.at.seek(edit.row, edit.executed)
        if ended is not None:
            raise ended

    # -- where we are ----------------------------------------------------------------------------

    @property
    def trace(self) -> Trace:
        """The recording; another one after something was written."""
        self.settle()
        return self._trace

    @property
    def images(self) -> ProgramImages:
        """What is known of its programs."""
        self.settle()
        return self._images

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
    def position(self) -> Position:
        """Both: where `at.seek` leads back to."""
        return self.row, self.executed

    @property
    def calls(self) -> int:
        """System calls that it has made."""
        return self.at.calls

    @property
    def pc(self) -> int:
        """Address of the instruction that comes next."""
        return self.at.pc

    @property
    def here(self) -> AfterInstructions:
        """The coordinate of this place."""
        return self.at.here

    @property
    def image(self) -> ProgramImage:
        """What is known of the program's image."""
        return self._images.image(self.program.image)

    @property
    def failure(self) -> str:
        """Why the recorded run failed; empty where it did not."""
        return self._trace.meta.get("failure", "")

    @property
    def total(self) -> int:
        """Instructions of this program. Goes to its end and back, once: may take long."""
        return self.total_of(self.row)

    def total_of(self, row: int) -> int:
        """The same of any program."""
        self.settle()
        if row not in self.at.checkpoints.totals:
            with self._steady():
                before = self.position
                self.at.total(row)
                self.at.seek(*before)
        return self.at.checkpoints.totals[row]

    # -- what is there ---------------------------------------------------------------------------

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
        return tuple(open_file(fd, file) for fd, file in sorted(self.at.process.fds.files.items()))

    def file(self, name: int | str) -> bytes:
        """A file's content as the guest sees it now, by descriptor or path. Raises BadInput."""
        return views.content_of(self.at, name)

    def call(self, ordinal: int) -> str:
        """The program's system call of that number, from 1, as strace writes it; empty: none."""
        self.settle()
        return shown_call(self.at, ordinal, open_paths(self.at))

    def produced(self) -> Produced | None:
        """What the system call just before this place wrote to a file, if it did that."""
        ordinal, program = self.calls, self.program
        if not ordinal:
            return None
        call = next(calls(self.trace, program, ordinal, backwards=True))
        if call.ordinal != ordinal or not _wrote(program, call):
            return None
        for file in self.open_files():
            if file.fd == call.first and file.size is not None:
                return Produced(file.path, file.offset - call.result, call.result)
        return None

    # -- code and sources ------------------------------------------------------------------------

    def disassemble(self, guest_addr: int | None = None, count: int = 10) -> tuple[CodeLine, ...]:
        """Instructions from an address (pc) on, with labels, source lines and jump targets."""
        start = self.pc if guest_addr is None else guest_addr
        return tuple(views.disassemble(self.at, self.image, self.written, start, count))

    def source(self, guest_addr: int | None = None, generated: bool = False) -> SourceView | None:
        """Where the code at an address (pc) stands in the source that a person wrote, or a compiler
        put out; `generated`: in the text that the image was made of at last, by M0 say. None:
        nobody knows; see `unknown`."""
        image = self.image
        addr = self.pc if guest_addr is None else guest_addr
        offset = views.known_offset(image, self.at.process.memory, addr, 1)
        if offset is None:
            return None
        if generated:
            place = image.place(offset)
            lines = () if place is None else tuple(image.source_lines(place.file))
        else:
            place, lines = self.written(offset) or (None, ())
        if place is None:
            return None
        return SourceView(place.file.lstrip("/"), place.line, place.column, lines)

    def written(self, offset: int) -> tuple[SourcePlace, tuple[str, ...]] | None:
        """Where a byte of the program's image stands in the source that a person wrote, and all
        lines of that."""
        writer = self.image.same
        if writer is None:
            return None
        found = self._images.why.source(writer, offset)
        return None if found is None else (found[0], self._images.why.lines(found[1])[1])

    def sources(self) -> dict[str, Sequence[str]]:
        """The lines of the sources of this program, by file: that of what comes next, and those
        that the image was made of at last."""
        image, here = self.image, self.source()
        found: dict[str, Sequence[str]] = {} if here is None else {here.file: here.lines}
        for file in image.sources:
            found.setdefault(file.lstrip("/"), image.source_lines(file))
        return found

    @property
    def unknown(self) -> str:
        """Why the program has no source lines; empty where it has."""
        return self.image.unknown

    def label(self, guest_addr: int) -> str:
        """The label before an address: `name+0x12`; empty where none is known."""
        offset = self.image.offset(guest_addr)
        return "" if offset is None else self.image.shown_label(offset)

    def why(self, artifact: str, offset: int) -> list[OriginStep]:
        """Where a byte of a file comes from. Raises BadInput."""
        return self.images.why.why(artifact, offset)

    def where(self, file: str, line: int) -> tuple[list[LineOutput], list[Stopped]]:
        """What a line of a source became. Raises BadInput."""
        return outputs_of_line(self.trace, file, line)

    def find(
        self, wanted: str | bytes, in_: str = "memory"
    ) -> list[int] | list[tuple[str, int, str]]:
        """The addresses at which these bytes stand now, or (`in_="source"`) the lines of this
        program's sources with that text: (file, line, text). Raises BadInput."""
        raw = wanted.encode() if isinstance(wanted, str) else wanted
        if in_ == "memory":
            return views.in_memory(self.at.process.memory, raw)
        if in_ == "source":
            return views.in_sources(self.sources(), raw.decode())
        raise BadInput(f"find looks in memory or in source, not in {in_}")

    # -- what a move is --------------------------------------------------------------------------

    def _notify(self, row: int, executed: int) -> None:
        if not self._muted:
            self.progress(row, executed)

    @contextlib.contextmanager
    def _steady(self) -> Iterator[None]:
        """Whatever is raised inside, we are where we were."""
        self.settle()
        place = self.position
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
        place, registers = self.position, self.registers()
        with self._steady():
            yield
        if self.position != place:
            self._undo.append(place)
            del self._undo[:-MOST_UNDO]
            self._before = registers

    def stop(self, reason: str, detail: str = "") -> StopReason:
        """What a move that ends here returns."""
        return StopReason(reason, self.here, detail)

    def neighbour(self, row: int, by: int) -> ProgramRow | None:
        """What the process executed after (1) or before (-1) that program."""
        return places.neighbour(self.trace, self.trace.program(row), by)

    def to_end(self, row: int) -> StopReason:
        """Part of a move: before the instruction that ends the process."""
        self.at.seek(row, max(0, self.at.total(row) - 1))
        program = self.program
        failed = self.failure if program.unfinished else ""
        how = f"the run failed: {failed}" if failed else ended(program)
        return self.stop("end", f"{program.label}: {how}")

    def to_start(self, row: int) -> StopReason:
        """Part of a move: before the first instruction of the process."""
        self.at.seek(row, 0)
        program = self.program
        if program.ordinal:
            return self.stop("begin", f"{program.label} begins: {command(program)}")
        return self.stop("begin", f"{program.label} begins, forked by its parent")

    def after_end(self, row: int) -> StopReason:
        """Part of a move over the end of a program: what the process executes then, or its end."""
        following = self.neighbour(row, 1)
        if following is None:
            return self.to_end(row)
        self.at.seek(following.id, 0)
        return self.stop("exec", f"{following.label} executes {command(following)}")

    # -- instructions ----------------------------------------------------------------------------

    def step(self, count: int = 1) -> StopReason:
        """So many instructions on, into what the process executes, too."""
        with self.moving():
            left, entered = count, ""
            while True:
                row, executed = self.position
                try:
                    self.at.seek(row, executed + left)
                except PastEnd as end:
                    stop = self.after_end(row)
                    if stop.reason == "end":
                        return stop
                    left -= end.total - executed
                    entered = stop.detail
                    continue
                return self.stop("exec" if entered else "step", entered)

    def back(self, count: int = 1) -> StopReason:
        """So many instructions back, out of what the process executed, too."""
        with self.moving():
            left = count
            while left > self.executed:
                row = self.row
                before = self.neighbour(row, -1)
                if before is None:
                    return self.to_start(row)
                left -= self.executed + 1
                self.at.seek(before.id, self.at.total(before.id) - 1)
            self.at.seek(self.row, self.executed - left)
            return self.stop("step")

    def step_over(self) -> StopReason:
        """One instruction on; a call with all that it does counts as one."""
        with self.moving():
            row = self.row
            return self.stop("step") if search.step_over(self.at) else self.after_end(row)

    def back_over(self) -> StopReason:
        """One instruction back; a call that has returned is gone back over as one."""
        if not self.executed:
            return self.back()
        with self.moving():
            search.step_back_over(self.at)
            return self.stop("step")

    def _found(self, found: bool, none: str, reason: str = "step") -> StopReason:
        return self.stop(reason) if found else self.stop("nowhere", none)

    def out(self) -> StopReason:
        """On to where the present function has returned."""
        with self.moving():
            return self._found(search.step_out(self.at), "this function never returns")

    def back_out(self) -> StopReason:
        """Back to the call of the present function: its instruction comes next."""
        with self.moving():
            return self._found(search.step_back_out(self.at), "no call led here")

    # -- breakpoints, watchpoints and addresses --------------------------------------------------

    def cont(self, pause_at: Collection[str] = ()) -> StopReason:
        """On to the next breakpoint, watchpoint, or the end of the process.

        `pause_at`: "fork", "exec" or both, to stop there too. Where `progress` raises Interrupted
        it stops at the place that it has come to; with watchpoints, where it began.
        """
        with self.moving():
            return running.cont(self, pause_at)

    def reverse_cont(self, pause_at: Collection[str] = ()) -> StopReason:
        """Back to the last breakpoint or watchpoint before, or the start of the process.

        `pause_at`: "exec", to stop before an execve(2) of a program for another architecture.
        """
        with self.moving():
            return running.reverse_cont(self, pause_at)

    def next_execution(self, guest_addr: int | None = None) -> StopReason:
        """On to the next time that the instruction at an address (pc) comes next."""
        addr = self.pc if guest_addr is None else guest_addr
        return self.run_to_addresses([addr], f"{addr:#x}")

    def previous_execution(self, guest_addr: int | None = None) -> StopReason:
        """Back to the last time before that it came next."""
        addr = self.pc if guest_addr is None else guest_addr
        with self.moving():
            none = f"{addr:#x} did not run before in this program"
            return self._found(search.run_back_to(self.at, [addr]), none, "jump")

    def run_to_addresses(self, addresses: Sequence[int], name: str) -> StopReason:
        """On to the next time that an instruction at any of them comes next."""
        with self.moving():
            none = f"{name} does not run again in {self.program.label}"
            return self._found(search.run_to(self.at, addresses), none, "jump")

    def _resolve(self, text: str, version: int) -> tuple[int, ...]:
        key = text, version
        if key not in self._resolved:
            self._resolved[key] = places.addresses(self.trace, self.images, text, version)
        return self._resolved[key]

    def _known(self, text: str) -> bool:
        # The present image first: to know of all of them can take minutes.
        images = dict.fromkeys(p.image for p in (self.program, *self.trace.programs))
        return any(self._resolve(text, version) for version in images)

    # -- memory ----------------------------------------------------------------------------------

    def next_access(self, guest_addr: int, size: int = 1, kinds: str = "a") -> StopReason:
        """On to just after the next instruction of this program that reads or writes there."""
        with self.moving():
            return running.next_access(self, guest_addr, size, kinds)

    def previous_access(self, guest_addr: int, size: int = 1, kinds: str = "a") -> StopReason:
        """Back to the last instruction that read or wrote there.

        Where this program has none: to where the byte came from, in another process: the parent
        that forked, or who wrote that byte of the program's image. "unknown" where none is known.
        """
        with self.moving():
            return running.previous_access(self, guest_addr, size, kinds)

    def origin(self, guest_addr: int) -> StopReason:
        """Back to who made the byte that is there now; a byte that was read from a file leads to
        the write call, of any process, that put it there."""
        with self.moving():
            return running.origin(self, guest_addr)

    # -- system calls ----------------------------------------------------------------------------

    def _to_call(
        self, fits: Callable[[ProgramRow, RecordedCall], bool], start: int, by: int, reason: str,
        none: str,
    ) -> StopReason:  # fmt: skip
        """After the process's first such call from that one of this program on (1) or back (-1),
        across execs; going back to a call, it comes next."""
        program: ProgramRow | None = self.program
        while program is not None:
            for call in calls(self.trace, program, start, backwards=by < 0):
                if fits(program, call):
                    if by < 0 and reason == "call":
                        return self.before_call(program, call.ordinal)
                    return self._after_call(program, call.ordinal, reason)
            program = self.neighbour(program.id, by)
            start = 1 if by > 0 or program is None else program.calls
        return self.stop("nowhere", none)

    def _wanted(self, name: str | None, fd: int | None, path: str | None) -> CallFilter:
        one = [() if word is None else (word,) for word in (name, path)]
        return CallFilter(self.trace, one[0], fd, one[1])

    def next_call(
        self, name: str | None = None, fd: int | None = None, path: str | None = None
    ) -> StopReason:
        """On to just after the next system call of the process that is so. Raises BadInput."""
        wanted = self._wanted(name, fd, path)
        with self.moving():
            return self._to_call(wanted.fits, self.calls + 1, 1, "call", "no such call comes")

    def previous_call(
        self, name: str | None = None, fd: int | None = None, path: str | None = None
    ) -> StopReason:
        """Back to the last such call before: its instruction comes next."""
        wanted = self._wanted(name, fd, path)
        none = "there was no such call before"
        with self.moving():
            return self._to_call(wanted.fits, self.calls, -1, "call", none)

    def next_output(self) -> StopReason:
        """On to just after the next system call that wrote something; see `produced`."""
        none = "nothing is written after this"
        with self.moving():
            return self._to_call(_wrote, self.calls + 1, 1, "output", none)

    def previous_output(self) -> StopReason:
        """Back to just after the last system call before that wrote something."""
        none = "nothing was written before this"
        with self.moving():
            # What was just written is here, not before.
            start = self.calls - 1 if self._just_after_call() else self.calls
            return self._to_call(_wrote, start, -1, "output", none)

    def _just_after_call(self) -> bool:
        if not self.calls or not self.executed:
            return False
        (row, executed), after = self.position, self.calls
        self.at.seek(row, executed - 1)
        before = self.calls
        self.at.seek(row, executed)
        return before < after

    def _after_call(self, program: ProgramRow, ordinal: int, reason: str) -> StopReason:
        if ordinal == program.calls and places.never_returns(program):
            return self.after_end(program.id)
        try:
            self.at.seek_call(program.id, ordinal)
        except PastEnd:  # a fork, and the run failed in the child
            return self.to_end(program.id)
        made = self.produced() if reason == "output" else None
        if made is None:
            return self.stop(reason, self.call(ordinal))
        count = "byte" if made.size == 1 else f"{made.size:,} bytes"
        return self.stop(reason, f"{count} at {made.offset:#x} of {made.path}")

    def to_call(self, program: ProgramRow, ordinal: int) -> StopReason:
        """To just after a program's call of that number, from 1."""
        with self.moving():
            return self._after_call(program, ordinal, "output")

    def before_call(self, program: ProgramRow, ordinal: int) -> StopReason:
        """Part of a move: to where a program's call of that number comes next."""
        if ordinal == program.calls and places.never_returns(program):
            self.at.seek(program.id, self.at.total(program.id) - 1)
        else:
            self.at.seek_call(program.id, ordinal)
            self.at.back()
        return self.stop("call", self.call(ordinal))

    # -- processes -------------------------------------------------------------------------------

    def into_child(self) -> StopReason:
        """To the start of a child: the one that the last system call made, else the next one."""
        with self.moving():
            # The one that the last system call made, else the next one.
            made = places.children(self.trace, self.program)
            child = next((child for n, child in made if n >= max(1, self.calls)), None)
            if child is None:
                return self.stop("nowhere", f"pid {self.pid} forks no more children")
            self.at.seek(child.id, 0)
            parent = self.trace.program(child.parent or child.id)
            return self.stop("child", f"pid {child.pid}, forked by pid {parent.pid}")

    def to_parent(self) -> StopReason:
        """To the parent: its call that forked this process comes next."""
        with self.moving():
            forked = places.forked_by(self.trace, self.program)
            if forked is None:
                return self.stop("nowhere", f"pid {self.pid} has no parent: it began the run")
            parent, ordinal = forked
            self.at.seek_call(parent.id, ordinal)
            self.at.back()
            child = next(calls(self.trace, parent, ordinal, backwards=False)).result
            return self.stop("parent", f"pid {parent.pid} forks pid {child}")

    # -- anywhere --------------------------------------------------------------------------------

    def go(self, place: str | Coordinate) -> StopReason:
        """To PID@N, PID#K, eN; N% of the program; the next execution of a label, an address
        (0x...) or FILE:LINE; ARTIFACT:OFFSET, just after that byte was written. Raises BadInput.
        """
        return places.go(self, place)

    def seek(self, row: int, executed: int) -> StopReason:
        """To an instruction of a program, by its number in the trace. Raises BadInput."""
        with self.moving():
            try:
                self.at.seek(row, executed)
            except PastEnd as end:
                raise BadInput(str(end)) from None
            return self.stop("jump")

    def mark(self, name: str) -> AfterInstructions:
        """Give this place a name, for `jump`."""
        self.marks[name] = self.here
        return self.marks[name]

    def jump(self, name: str) -> StopReason:
        """To a marked place. Raises BadInput for a name that was not given."""
        if name not in self.marks:
            known = ", ".join(self.marks) or "there is none yet"
            raise BadInput(f"there is no mark {name}; {known}")
        return self.go(self.marks[name])

    def undo(self) -> StopReason:
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


def _wrote(program: ProgramRow, call: RecordedCall) -> bool:
    return call.result > 0 and call.number in outputs(program)
