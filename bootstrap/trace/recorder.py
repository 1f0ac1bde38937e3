"""Listens to a run and gives every fact of it, in order, to a sink: a file, or a comparison.

What is recorded is what cannot be computed again: the tree as far as it was read, what came in from
outside, what each program was started with, its calls and their results; and, so that nobody has to
run it again only to ask, who opened which version of which file and what happened to names.
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from bootstrap.core.abi import LinuxError
from bootstrap.core.files import OpenFile, Stream, Symlink
from bootstrap.instruments.callbuffer import CallBuffer
from bootstrap.linux.events import (
    Changed,
    Closed,
    Event,
    Executed,
    Exited,
    Forked,
    Listed,
    Opened,
    Read,
    Resumed,
    RunStarted,
)
from bootstrap.linux.filesystem import absolute, opened_path, seen_path
from bootstrap.linux.inode import LazyFile
from bootstrap.linux.machine import LinuxMachine
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.snapshot import Sharing, Snapshot, take
from bootstrap.trace.columns import WORD, Calls, CallsHash, Value, as_text, list_text

T = TypeVar("T")
Streams = tuple[Stream, Stream, Stream]
OUTPUT_ROW = 1 << 16
"""Bytes of output after which a row of it is made."""


class Sink(Protocol):
    """Takes the rows of a trace (schema.py) in the order in which they come to be."""

    def version(self, sha256: str, size: int, content: Callable[[], bytes | memoryview]) -> int:
        """The id of a file version; `content` is asked for where it is new."""

    def add(self, table: str, row: Mapping[str, Value]) -> None:
        """A new row, its id in it."""

    def complete(self, table: str, row_id: int, values: Mapping[str, Value]) -> None:
        """What became known later of a row."""

    def calls(
        self, process: int, first_call: int, first_event: int, calls: Calls, brk: int
    ) -> None:
        """Successive calls of one program."""

    def checkpoint(self, row: Mapping[str, Value], snapshot: Snapshot) -> None:
        """The machine where a program begins, or goes on after a child; `row` but for `state`."""


@dataclass(slots=True)
class _RecordedProgram:
    """One program of one process: a row of `processes`."""

    row: int
    pid: int
    ordinal: int
    abi: str
    facts: Mapping[str, Value]
    """path, argv, environment, cwd, image: what a forked child inherits."""
    first_call: int
    calls: int = 0
    digest: CallsHash = field(default_factory=CallsHash)


class Recorder:
    """A listener: `attach` it to a machine before that runs.

    Once a sink has failed nothing more is given to it: what remains of the run only ends.
    """

    def __init__(self, sink: Sink) -> None:
        self._log = CallBuffer(self._take)
        self._sink = sink
        self._ids: dict[str, int] = {}
        self._run = 0
        self._programs: list[_RecordedProgram] = []
        self._machine: LinuxMachine | None = None
        self._in_tree: dict[bytes, int] = {}
        self._open: dict[OpenFile, int] = {}
        self._output: dict[int, tuple[int, bytearray]] = {}
        self.failed = False
        self._streams: list[Stream] = []
        self._sharing = Sharing()
        self._heard: dict[type[Event], Callable[..., None]] = {
            RunStarted: self._run_started,
            Forked: self._forked,
            Executed: self._executed,
            Exited: self._exited,
            Resumed: self._resumed,
            Opened: self._opened,
            Closed: self._closed,
            Changed: self._changed,
            Listed: self._listed,
            Read: self._read,
        }

    def __call__(self, event: Event) -> None:
        """See Listener."""
        hear = self._heard.get(type(event))
        if hear is not None and self._machine is not None:
            hear(event)

    def count(self, table: str) -> int:
        """Rows so far."""
        return self._ids.get(table, 0)

    @property
    def row(self) -> int:
        """The program that runs: a row of `processes`."""
        return self._programs[-1].row

    @property
    def ordinal(self) -> int:
        """Which program of its process it is; 0 as forked."""
        return self._programs[-1].ordinal

    def catch_up(self) -> None:
        """Give the calls made so far, where they would be given later."""
        if self._programs:
            self._log.hand_over()

    @property
    def event(self) -> int:
        """The number of the present system call among all of the run, from 1."""
        return self._log.total + 1

    def attach(self, machine: LinuxMachine, streams: Streams) -> Streams:
        """Listen to a machine that has not run; the streams to give to the guest."""
        self._machine = machine
        machine.listeners += (self,)
        machine.log = self._log
        machine.files.volume.recorded = True
        wrapped: dict[Stream, Stream] = {}
        for number, stream in enumerate(streams):
            if stream not in wrapped:
                wrapped[stream] = self._wrap(stream, number)
        first, second, third = (wrapped[stream] for stream in streams)
        self._streams = [first, second, third]
        return first, second, third

    def finish(self) -> None:
        """The run is over, however it ended: give what is known of what still ran."""
        if self._programs:
            self._log.hand_over()
        while self._programs:
            self._end(self._programs.pop(), None, 0)
        for stream in sorted(self._output):
            self._flush_output(stream)
        self._machine = None

    # -- giving ---------------------------------------------------------------------------------

    def _add(self, table: str, **row: Value) -> int:
        number = self._ids.get(table, 0) + 1
        self._ids[table] = number
        self._give(lambda: self._sink.add(table, {"id": number, **row}))
        return number

    def _complete(self, table: str, row_id: int, **values: Value) -> None:
        self._give(lambda: self._sink.complete(table, row_id, values))

    def _give(self, act: Callable[[], T]) -> T | None:
        if self.failed:
            return None
        try:
            return act()
        except BaseException:
            self.failed = True
            raise

    def _version(self, file: LazyFile) -> int:
        file.load()
        return self._content(file.sha256(), file.size, lambda: memoryview(file.data)[: file.size])

    def _content(self, sha256: str, size: int, content: Callable[[], bytes | memoryview]) -> int:
        return self._give(lambda: self._sink.version(sha256, size, content)) or 0

    # -- calls ----------------------------------------------------------------------------------

    def _take(self) -> None:
        log = self._log
        calls = Calls(log.word, log.columns(), tuple(log.more))
        program = self._programs[-1]
        program.digest.update(calls, program.calls)
        first, event = program.first_call + program.calls + 1, log.handed_over + 1
        program.calls += calls.count
        brk = NUMBERS[program.abi]["brk"]
        self._give(lambda: self._sink.calls(program.row, first, event, calls, brk))

    # -- processes ------------------------------------------------------------------------------

    def _run_started(self, event: RunStarted) -> None:
        program = event.program
        self._run = self._add(
            "runs",
            path=as_text(program.path),
            argv=list_text(program.argv),
            environment=list_text(program.envp),
            cwd=as_text(event.cwd),
            first_event=self._log.total,
        )

    def _forked(self, event: Forked) -> None:
        self._log.hand_over()
        parent = self._programs[-1]
        self._begin(event.child, 0, parent.row, parent.abi, parent.facts, 0)

    def _executed(self, event: Executed) -> None:
        self._log.hand_over()
        base, program = event.base, event.program
        assert isinstance(event.image, LazyFile)
        facts = {
            "path": as_text(absolute(base, program.path)),
            "argv": list_text(program.argv),
            "environment": list_text(program.envp),
            "cwd": as_text(seen_path(base.cwd, base.root)),
            "image": self._version(event.image),
        }
        before = self._programs[-1] if self._programs else None
        if before is None or before.pid != event.pid:
            self._begin(event.pid, 1, None, event.arch, facts, 0)
            return
        self._programs.pop()
        self._end(before, None, 1)
        calls = before.first_call + before.calls
        self._begin(event.pid, before.ordinal + 1, before.row, event.arch, facts, calls)

    def _exited(self, event: Exited) -> None:
        self._log.hand_over()
        self._end(self._programs.pop(), event.status, 0)
        if self._programs:
            self._log.use_word(WORD[self._programs[-1].abi])

    def _resumed(self, event: Resumed) -> None:
        self.checkpoint(event.came_back)

    def checkpoint(self, came_back: bool) -> None:
        """Keep the machine as it is."""
        assert self._machine is not None
        number = self._ids.get("checkpoints", 0) + 1
        self._ids["checkpoints"] = number
        row: dict[str, Value] = {
            "id": number,
            "process": self._programs[-1].row,
            "event": self._log.total,
            "programs": self.count("processes"),
            "came_back": int(came_back),
        }
        snapshot = take(self._machine, self._streams, self._sharing)
        self._give(lambda: self._sink.checkpoint(row, snapshot))

    def _begin(
        self,
        pid: int,
        ordinal: int,
        parent: int | None,
        abi: str,
        facts: Mapping[str, Value],
        first_call: int,
    ) -> None:
        row = self._add(
            "processes", run=self._run, pid=pid, ordinal=ordinal, parent=parent, abi=abi, **facts,
            first_call=first_call, first_event=self._log.total,
        )  # fmt: skip
        self._programs.append(_RecordedProgram(row, pid, ordinal, abi, facts, first_call))
        self._log.use_word(WORD[abi])

    def _end(self, program: _RecordedProgram, status: int | None, replaced: int) -> None:
        self._complete(
            "processes",
            program.row,
            calls=program.calls,
            last_event=self._log.total,
            status=status,
            replaced=replaced,
            calls_sha256=program.digest.hexdigest(),
        )

    # -- files ----------------------------------------------------------------------------------

    def _opened(self, event: Opened) -> None:
        inode = event.file.inode
        self._open[event.file] = self._add(
            "opens",
            process=self._programs[-1].row,
            event=self.event,
            fd=event.fd,
            path=as_text(opened_path(event.base, event.path, inode)),
            flags=event.flags,
            file=inode.ino,
            version=self._version(inode) if isinstance(inode, LazyFile) else None,
        )

    def _closed(self, event: Closed) -> None:
        row = self._open.pop(event.file, None)
        if row is None or self.failed:
            return
        inode = event.file.inode
        version = self._version(inode) if isinstance(inode, LazyFile) else None
        last = self._log.total
        self._complete("opens", row, last_event=last, last_version=version)

    def _listed(self, event: Listed) -> None:
        folder = self._add("folders", path=as_text(event.path))
        for name, entry in sorted(event.listing.items()):
            path = event.path.rstrip(b"/") + b"/" + name
            self._in_tree[path] = self._add(
                "tree",
                folder=folder,
                name=as_text(name),
                path=as_text(path),
                mode=entry.mode,
                size=entry.size,
                target=as_text(entry.target) if entry.target else None,
            )

    def _read(self, event: Read) -> None:
        content = event.content
        version = self._content(hashlib.sha256(content).hexdigest(), len(content), lambda: content)
        self._complete("tree", self._in_tree[event.path], version=version)

    def _changed(self, event: Changed) -> None:
        inode, what, place = event.inode, event.what, event.place
        path: str | bytes | None = None
        if place is not None:
            assert self._machine is not None
            directory = self._machine.files.path_of(place.directory)
            path = as_text(directory.rstrip(b"/") + b"/" + place.name)
        value = None if what == "unname" else inode.mode
        if what == "truncate" and isinstance(inode, LazyFile):
            value = inode.size
        target = None
        if what == "name" and isinstance(inode, Symlink):
            target = as_text(inode.target)
        self._add(
            "changes",
            process=self._programs[-1].row,
            event=self.event,
            kind=what,
            path=path,
            file=inode.ino,
            value=value,
            target=target,
        )

    # -- streams --------------------------------------------------------------------------------

    def _wrap(self, stream: Stream, number: int) -> Stream:
        def read(count: int) -> bytes:
            try:
                data = stream.read(count)
            except LinuxError as error:
                self._add("input", event=self.event, result=-error.errno, content=None)
                raise
            content = zlib.compress(data)
            self._add("input", event=self.event, result=len(data), content=content)
            return data

        def write(data: bytes) -> int:
            try:
                result = stream.write(data)
            except LinuxError as error:
                self._put_out(number, data, -error.errno)
                raise
            self._put_out(number, data, result)
            return result

        return Stream(read, write, stream.ino)

    def _put_out(self, stream: int, data: bytes, result: int) -> None:
        if result != len(data):
            self._flush_output(stream)
            self._add_output(stream, self.event, data, result)
            return
        if stream not in self._output:
            self._output[stream] = (self.event, bytearray())
        self._output[stream][1].extend(data)
        if len(self._output[stream][1]) >= OUTPUT_ROW:
            self._flush_output(stream)

    def _flush_output(self, stream: int) -> None:
        event, data = self._output.pop(stream, (0, bytearray()))
        if data:
            self._add_output(stream, event, bytes(data), len(data))

    def _add_output(self, stream: int, event: int, data: bytes, result: int) -> None:
        sha256, content = hashlib.sha256(data).hexdigest(), zlib.compress(data)
        self._add(
            "output", event=event, stream=stream, result=result, sha256=sha256, content=content
        )
