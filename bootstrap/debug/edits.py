"""Writing into a recorded program that is there to be run again.

It is run from its start, so that the path back stays open; where something was written, it is
written again; and what follows is recorded as it runs. No second machine: the recorder, under a CPU
that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bootstrap import trace as traces
from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.core.files import Stream
from bootstrap.core.process import Exec
from bootstrap.instruments import Engine
from bootstrap.instruments.counter import Travel
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import FolderLower
from bootstrap.linux.machine import LinuxMachine
from bootstrap.timeline.edits import Edit, Edits
from bootstrap.timeline.timeline import SLICE, Timeline
from bootstrap.trace.columns import as_raw, unpacked
from bootstrap.trace.recorder import Recorder
from bootstrap.trace.store import EDITS, INTERRUPTED, MAX_INPUT, Trace, header, recording

NOT_LIVE = (
    "this is a recording: nothing can be written to it (a program that is there to be run again "
    "can be written to: bootstrap gdb -- PROGRAM)"
)


class LiveEdits:
    """What was written into a program, and how to run it again with that."""

    def __init__(self, trace: Trace, root: str) -> None:
        """`root`: the folder that it was run in. Raises BadInput."""
        if trace.meta.get("kind") != "run" or len(trace.runs) != 1:
            raise BadInput(f"{trace.name}: is no recording of one program, which can be run again")
        if not Path(root).is_dir():
            raise BadInput(f"--root {root}: is not a folder")
        self._root = root
        self._done = Edits()
        """Those that the recorded run has."""
        self.pending: Edit | None = None
        """What was written at the present place, and has no consequences yet."""
        self._arrivals: dict[tuple[int, int, int], Mapping[str, bytes]] = {}
        """By Edit.when, the registers there before anything was written."""
        self._otherwise = BadInput(
            f"the program does not come there as it did: has something in {root} changed since? "
            "Nothing was written"
        )

    def here(self, at: Timeline) -> Edit:
        """What was written at this place so far."""
        if self.pending is not None:
            return self.pending
        new = Edit(at.row, at.executed, at.event)
        self._arrivals = {when: saved for when, saved in self._arrivals.items() if when <= new.when}
        self._arrivals.setdefault(new.when, at.live.tasks[-1].cpu.save())
        return self._done.at(new.row, new.executed) or new

    def put(self, at: Timeline, edit: Edit) -> None:
        """Write at this place."""
        edit.do(at.live.tasks[-1])
        self.pending = edit

    def run_again(
        self, name: str, trace: Trace, engine: Engine, progress: Callable[[int, int], None]
    ) -> tuple[Trace, BaseException | None]:
        """Run the program of `trace` with what was written, and record it as `name`.

        With the recording comes what `progress` raised to end the run: then it is recorded to
        there. Raises BadInput where the program does not come to the edits as it did.
        """
        edit, self.pending = self.pending, None
        assert edit is not None
        edits = Edits([*self._done.until(edit.when).all, edit])
        ended = self._record(name, trace, edits, engine, progress)
        again = traces.open(name)
        if _facts(trace, edit) != _facts(again, edit):
            again.close()
            raise self._otherwise
        self._done = edits
        return again, ended

    def _record(
        self, name: str, trace: Trace, edits: Edits, engine: Engine,
        progress: Callable[[int, int], None],
    ) -> BaseException | None:  # fmt: skip
        limits = trace.limits
        run = trace.runs[0]
        ended: BaseException | None = None
        failure = ""
        with recording(name) as writer:
            recorder = Recorder(writer)
            fs = OverlayFileSystem(FolderLower(self._root), limits)
            given = Stream(_Input(trace).read), Stream(None, len), Stream(None, len)
            machine = LinuxMachine(fs, engine.travelling(Travel()), limits, probing=True)
            streams = recorder.attach(machine, given)
            left = {edit.when for edit in edits.all}
            try:
                program = Exec(as_raw(run.path), run.argv, run.environment)
                if machine.start(program, as_raw(run.cwd), streams) is None:
                    self._go(machine, recorder, edits, left, progress)
            except LinuxError as error:
                raise BadInput(f"{self._root}: the program cannot be run again: {error}") from None
            except GuestFailed as error:
                failure = str(error)
            except _Ended as error:
                ended, failure = error.cause, INTERRUPTED
            finally:
                machine.discard()
            if ended is None and left:
                raise self._otherwise
            recorder.finish()
            meta = {**header("run", engine, limits, (0, 1, 2)), "arch": "", "failure": failure}
            writer.finish({**meta, EDITS: edits.text})
        return ended

    def _go(
        self, machine: LinuxMachine, recorder: Recorder, edits: Edits,
        left: set[tuple[int, int, int]], progress: Callable[[int, int], None],
    ) -> None:  # fmt: skip
        """To the end of the run; `left` are the edits that it has not come to.

        Raises GuestFailed, _Ended, BadInput.
        """
        while True:
            task, row = machine.tasks[-1], recorder.row
            stepping = task.cpu.stepping
            assert stepping is not None
            here = stepping.executed
            edit = edits.at(row, here)
            if edit is not None and edit.when in left:
                if dict(task.cpu.save()) != dict(self._arrivals[edit.when]):
                    raise self._otherwise
                left.discard(edit.when)
                edit.do(task)
            following = edits.after(row, here)
            stepping.run_to(here + SLICE if following is None else min(following, here + SLICE))
            fault = task.cpu.run()
            known = recorder.count("processes")
            if machine.turn(fault) is not None:
                return
            if recorder.count("processes") > known and recorder.ordinal == 0:
                # As it does where a program starts: a child's time never runs its parent's.
                recorder.checkpoint(came_back=False)
            try:
                progress(row, here)
            except BaseException as error:
                raise _Ended(error) from None


def _facts(trace: Trace, edit: Edit) -> list[object]:
    """The programs that a run started and the files that it opened before an edit."""
    known = trace.hashes()
    programs = [
        (p.path, p.argv, p.environment, p.cwd, known[p.image]) for p in trace.programs[: edit.row]
    ]
    opened = [
        (o.process, o.event, o.path, o.flags, None if o.version is None else known[o.version])
        for o in trace.opens()
        if o.event <= edit.event
    ]
    return [programs, opened]


class _Ended(Exception):
    """`progress` ended the run."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


class _Input:
    """Standard input as it was: then its end."""

    def __init__(self, trace: Trace) -> None:
        with trace.reading():
            rows = trace.database.execute("SELECT result, content FROM input ORDER BY id")
            self._rest: list[int | bytes] = [
                result if content is None or result < 0 else unpacked(content, MAX_INPUT)
                for result, content in rows
            ]

    def read(self, count: int) -> bytes:
        """See Stream. Raises LinuxError where it did."""
        if not self._rest:
            return b""
        first = self._rest.pop(0)
        if isinstance(first, int):
            raise LinuxError(next(errno for errno in Errno if int(errno) == -first))
        if len(first) > count:
            self._rest.insert(0, first[count:])
        return first[:count]
