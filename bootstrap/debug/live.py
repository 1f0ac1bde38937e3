"""A live program: one that is there to be run again, when something was written into it.

It is run from its start, so that the way back stays open; where something was written, it is
written again; and what follows is recorded as it runs. No second machine: the recorder, under a CPU
that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.instruments import Engine, Stop, Travel
from bootstrap.linux.errno import Errno, LinuxError
from bootstrap.linux.filesystem import FileSystem
from bootstrap.linux.hostfolder import FolderLower
from bootstrap.linux.inode import Stream
from bootstrap.linux.machine import Machine
from bootstrap.linux.usage import FsLimits
from bootstrap.timeline.edits import META, Edit, Edits
from bootstrap.timeline.travel import SLICE
from bootstrap.trace.columns import unpacked
from bootstrap.trace.digest import MAX_INPUT
from bootstrap.trace.header import INTERRUPTED, header, limits_of
from bootstrap.trace.reader import Trace
from bootstrap.trace.recorder import Recorder
from bootstrap.trace.text import as_raw
from bootstrap.trace.writer import recording

When = tuple[int, int, int]
"""Edit.when."""
Arrivals = Mapping[When, Mapping[str, bytes]]
"""The registers at the places of edits, before these were made."""
NOT_LIVE = (
    "this is a recording: nothing can be written to it (a program that is there to be run again "
    "can be written to: bootstrap gdb -- PROGRAM)"
)


class Live:
    """How to run a recorded program again."""

    def __init__(self, trace: Trace, root: str) -> None:
        """`root`: the folder that it was run in. Raises BadInput."""
        if trace.meta.get("kind") != "run" or len(trace.runs) != 1:
            raise BadInput(f"{trace.name}: is no recording of one program, which can be run again")
        if not Path(root).is_dir():
            raise BadInput(f"--root {root}: is not a folder")
        self.root = root

    @property
    def otherwise(self) -> str:
        """What is told where it is not the same program any more."""
        return (
            f"the program does not come there as it did: has something in {self.root} changed "
            "since? Nothing was written"
        )

    def again(
        self,
        name: str,
        trace: Trace,
        edits: Edits,
        arrivals: Arrivals,
        engine: Engine,
        progress: Callable[[int, int], None],
    ) -> BaseException | None:
        """Run the program of `trace` with these edits, and record it as `name`.

        Answers what `progress` raised to end it: then it is recorded to there. Raises BadInput
        where it does not come to the edits as it did.
        """
        with trace.reading():
            limits = limits_of(trace.meta)
        run = trace.runs[0]
        ended: BaseException | None = None
        failure = ""
        with recording(name) as writer:
            recorder = Recorder(writer)
            fs = FileSystem(
                FolderLower(self.root), FsLimits(limits.file, limits.files_total, limits.inodes)
            )
            given = Stream(_Input(trace).read), Stream(None, len), Stream(None, len)
            streams = recorder.attach(fs, given)
            machine = Machine(fs, engine.travelling(Travel()), limits, [recorder], probing=True)
            way = _Way(machine, recorder, edits, arrivals, progress)
            try:
                start = as_raw(run.path), run.argv, run.environment, as_raw(run.cwd), streams
                if machine.start(*start) is None:
                    way.go()
            except LinuxError as error:
                raise BadInput(f"{self.root}: the program cannot be run again: {error}") from None
            except GuestFailed as error:
                failure = str(error)
            except _Otherwise:
                raise BadInput(self.otherwise) from None
            except _Ended as error:
                ended, failure = error.cause, INTERRUPTED
            finally:
                machine.discard()
            if ended is None and way.left:
                raise BadInput(self.otherwise)
            recorder.finish()
            meta = {**header("run", engine, limits, (0, 1, 2)), "arch": "", "failure": failure}
            writer.finish({**meta, META: edits.text})
        return ended


def same_until(old: Trace, new: Trace, edit: Edit) -> bool:
    """Whether two runs started the same programs and opened the same files before an edit."""

    def facts(trace: Trace) -> list[object]:
        known = trace.hashes()
        programs = [
            (p.path, p.argv, p.environment, p.cwd, known[p.image])
            for p in trace.programs[: edit.row]
        ]
        opened = [
            (o.process, o.event, o.path, o.flags, None if o.version is None else known[o.version])
            for o in trace.opens()
            if o.event <= edit.event
        ]
        return [programs, opened]

    return facts(old) == facts(new)


class _Otherwise(Exception):
    """It is not the same program any more."""


class _Ended(Exception):
    """Somebody ended the way."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


class _Way:
    """One run, from its start to its end."""

    def __init__(
        self,
        machine: Machine,
        recorder: Recorder,
        edits: Edits,
        arrivals: Arrivals,
        progress: Callable[[int, int], None],
    ) -> None:
        self._machine, self._recorder = machine, recorder
        self._edits, self._arrivals = edits, arrivals
        self._progress = progress
        self.left = {edit.when for edit in edits.all}
        """Those that it has not come to."""

    def go(self) -> None:
        """To the end. Raises GuestFailed, _Ended, BadInput."""
        machine, recorder = self._machine, self._recorder
        while True:
            task, row = machine.tasks[-1], recorder.row
            stepping = task.cpu.stepping
            assert stepping is not None
            self._edit()
            here = stepping.executed
            edit = self._edits.after(row, here)
            stepping.run_to(here + SLICE if edit is None else min(edit, here + SLICE))
            stop = task.cpu.run()
            known = recorder.count("processes")
            if machine.turn_over(Stop() if stop.reached else stop) is not None:
                return
            if recorder.count("processes") > known and recorder.ordinal == 0:
                # As it does where a program begins: a child's time never runs its parent's.
                recorder.on_ready(machine, came_back=False)
            try:
                self._progress(row, here)
            except BaseException as error:
                raise _Ended(error) from None

    def _edit(self) -> None:
        task = self._machine.tasks[-1]
        assert task.cpu.stepping is not None
        edit = self._edits.at(self._recorder.row, task.cpu.stepping.executed)
        if edit is None or edit.when not in self.left:
            return
        if dict(task.cpu.save()) != dict(self._arrivals[edit.when]):
            raise _Otherwise
        self.left.discard(edit.when)
        edit.do(task)


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
            raise LinuxError(_ERRNO[-first])
        if len(first) > count:
            self._rest.insert(0, first[count:])
        return first[:count]


_ERRNO = {int(errno): errno for errno in Errno}
