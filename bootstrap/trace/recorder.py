"""Observes a run and gives every fact of it, in order, to a sink: a file, or a comparison.

What is recorded is what cannot be computed again: the tree as far as it was read, what came in from
outside, what each program was started with, its calls and their results; and, so that nobody has to
run it again only to ask, who opened which version of which file and what happened to names.
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bootstrap.core.abi import LinuxError
from bootstrap.core.arches import ARCHES
from bootstrap.core.files import Directory, Inode, OpenFile, Stream, Symlink
from bootstrap.instruments.callbuffer import CallLog
from bootstrap.linux.events import BaseObserver, ExecEvent
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerEntry
from bootstrap.linux.inode import LazyFile
from bootstrap.linux.machine import Machine
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.snapshot import Sharing, Snapshot, take
from bootstrap.trace.columns import Calls, CallsHash, Value, as_text, list_text

Streams = tuple[Stream, Stream, Stream]
OUTPUT_ROW = 1 << 16
"""Bytes of output after which a row of it is made."""
WORD = {abi.name: abi.word for abi in ARCHES}
"""Bytes in a word of each ABI."""


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


class Recorder(BaseObserver):
    """Give it to the machine among its observers, and `attach` it to the file system first.

    Once a sink has failed nothing more is given to it: what remains of the run only ends.
    """

    def __init__(self, sink: Sink) -> None:
        self._log = self.call_log = CallLog(self._take)
        self._sink = sink
        self._ids: dict[str, int] = {}
        self._run = 0
        self._programs: list[_RecordedProgram] = []
        self._fs: OverlayFileSystem | None = None
        self._in_tree: dict[bytes, int] = {}
        self._last_opened: OpenFile | None = None
        self._open: dict[OpenFile, int] = {}
        self._output: dict[int, tuple[int, bytearray]] = {}
        self.failed = False
        self._streams: list[Stream] = []
        self._sharing = Sharing()

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

    def attach(self, fs: OverlayFileSystem, streams: Streams) -> Streams:
        """Watch a file system that nobody has looked into; the streams to give to the guest."""
        self._fs = fs
        fs.volume.watcher = self
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
        if self._fs is not None:
            self._fs.volume.watcher = None

    # -- giving ---------------------------------------------------------------------------------

    def _add(self, table: str, row: Mapping[str, Value]) -> int:
        number = self._ids.get(table, 0) + 1
        self._ids[table] = number
        self._give(lambda: self._sink.add(table, {"id": number, **row}))
        return number

    def _complete(self, table: str, row_id: int, values: Mapping[str, Value]) -> None:
        self._give(lambda: self._sink.complete(table, row_id, values))

    def _give(self, act: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            act()
        except BaseException:
            self.failed = True
            raise

    def _version(self, file: LazyFile) -> int:
        file.load()
        return self._content(file.sha256(), file.size, lambda: memoryview(file.data)[: file.size])

    def _content(self, sha256: str, size: int, content: Callable[[], bytes | memoryview]) -> int:
        found = 0

        def ask() -> None:
            nonlocal found
            found = self._sink.version(sha256, size, content)

        self._give(ask)
        return found

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

    def on_start(
        self, path: bytes, argv: Sequence[bytes], envp: Sequence[bytes], cwd: bytes
    ) -> None:
        self._run = self._add(
            "runs",
            {
                "path": as_text(path),
                "argv": list_text(argv),
                "environment": list_text(envp),
                "cwd": as_text(cwd),
                "first_event": self._log.total,
            },
        )

    def on_fork(self, parent_pid: int, child_pid: int) -> None:
        self._log.hand_over()
        parent = self._programs[-1]
        self._begin(child_pid, 0, parent.row, parent.abi, parent.facts, 0)

    def on_exec(self, event: ExecEvent) -> None:
        self._log.hand_over()
        facts = {
            "path": as_text(event.path),
            "argv": list_text(event.argv),
            "environment": list_text(event.envp),
            "cwd": as_text(event.cwd),
            "image": self._version(event.image),
        }
        before = self._programs[-1] if self._programs else None
        if before is None or before.pid != event.pid:
            self._begin(event.pid, 1, None, event.abi, facts, 0)
            return
        self._programs.pop()
        self._end(before, None, 1)
        calls = before.first_call + before.calls
        self._begin(event.pid, before.ordinal + 1, before.row, event.abi, facts, calls)

    def on_exit(self, pid: int, status: int, syscalls: int) -> None:
        self._log.hand_over()
        self._end(self._programs.pop(), status, 0)
        if self._programs:
            self._log.use_word(WORD[self._programs[-1].abi])

    def on_ready(self, machine: Machine, came_back: bool) -> None:
        number = self._ids.get("checkpoints", 0) + 1
        self._ids["checkpoints"] = number
        row: dict[str, Value] = {
            "id": number,
            "process": self._programs[-1].row,
            "event": self._log.total,
            "programs": self.count("processes"),
            "came_back": int(came_back),
        }
        snapshot = take(machine, self._streams, self._sharing)
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
        place: dict[str, Value] = {"run": self._run, "pid": pid, "ordinal": ordinal}
        place |= {"parent": parent, "abi": abi, **facts, "first_call": first_call}
        row = self._add("processes", {**place, "first_event": self._log.total})
        self._programs.append(_RecordedProgram(row, pid, ordinal, abi, facts, first_call))
        self._log.use_word(WORD[abi])

    def _end(self, program: _RecordedProgram, status: int | None, replaced: int) -> None:
        self._complete(
            "processes",
            program.row,
            {
                "calls": program.calls,
                "last_event": self._log.total,
                "status": status,
                "replaced": replaced,
                "calls_sha256": program.digest.hexdigest(),
            },
        )

    # -- files ----------------------------------------------------------------------------------

    def on_open(self, pid: int, guest_path: bytes, inode: Inode, flags: int, fd: int) -> None:
        file, self._last_opened = self._last_opened, None
        assert file is not None and file.inode is inode
        self._open[file] = self._add(
            "opens",
            {
                "process": self._programs[-1].row,
                "event": self.event,
                "fd": fd,
                "path": as_text(guest_path),
                "flags": flags,
                "file": inode.ino,
                "version": self._version(inode) if isinstance(inode, LazyFile) else None,
            },
        )

    def opened(self, file: OpenFile) -> None:
        """See vfs.watcher, as for all that follow."""
        self._last_opened = file

    def closed(self, file: OpenFile) -> None:
        row = self._open.pop(file, None)
        if row is None or self.failed:
            return
        inode = file.inode
        version = self._version(inode) if isinstance(inode, LazyFile) else None
        last = self._log.total
        self._complete("opens", row, {"last_event": last, "last_version": version})

    def listed(self, guest_path: bytes, listing: Mapping[bytes, LowerEntry]) -> None:
        folder = self._add("folders", {"path": as_text(guest_path)})
        for name, entry in sorted(listing.items()):
            path = guest_path.rstrip(b"/") + b"/" + name
            self._in_tree[path] = self._add(
                "tree",
                {
                    "folder": folder,
                    "name": as_text(name),
                    "path": as_text(path),
                    "mode": entry.mode,
                    "size": entry.size,
                    "target": as_text(entry.target) if entry.target else None,
                },
            )

    def loaded(self, guest_path: bytes, content: bytes) -> None:
        version = self._content(hashlib.sha256(content).hexdigest(), len(content), lambda: content)
        self._complete("tree", self._in_tree[guest_path], {"version": version})

    def named(self, directory: Directory, name: bytes, inode: Inode) -> None:
        target = as_text(inode.target) if isinstance(inode, Symlink) else None
        self._change("name", inode, inode.mode, self._path(directory, name), target)

    def unnamed(self, directory: Directory, name: bytes, inode: Inode) -> None:
        self._change("unname", inode, None, self._path(directory, name))

    def mode_set(self, inode: Inode) -> None:
        self._change("mode", inode, inode.mode)

    def truncated(self, inode: LazyFile) -> None:
        self._change("truncate", inode, inode.size)

    def _path(self, directory: Directory, name: bytes) -> str | bytes:
        assert self._fs is not None
        return as_text(self._fs.path_of(directory).rstrip(b"/") + b"/" + name)

    def _change(
        self,
        kind: str,
        inode: Inode,
        value: int | None,
        path: str | bytes | None = None,
        target: str | bytes | None = None,
    ) -> None:
        if self._programs:
            place: dict[str, Value] = {"process": self._programs[-1].row, "event": self.event}
            cells = {
                "kind": kind,
                "path": path,
                "file": inode.ino,
                "value": value,
                "target": target,
            }
            self._add("changes", {**place, **cells})

    # -- streams --------------------------------------------------------------------------------

    def _wrap(self, stream: Stream, number: int) -> Stream:
        def read(count: int) -> bytes:
            try:
                data = stream.read(count)
            except LinuxError as error:
                self._add("input", {"event": self.event, "result": -error.errno, "content": None})
                raise
            content = zlib.compress(data)
            self._add("input", {"event": self.event, "result": len(data), "content": content})
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
        row: dict[str, Value] = {"event": event, "stream": stream, "result": result}
        self._add("output", {**row, "sha256": sha256, "content": content})
