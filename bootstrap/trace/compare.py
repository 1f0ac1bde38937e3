"""Compares a run that happens again with its record: the first difference ends it, and is named.

`check` runs a whole trace again from its own content. That run is recorded like any other; where a
recording would write a row, `_RowComparer` looks whether the trace has the same one, so every call,
file and name is compared. Whatever comes first in the run's order is raised first: before a row is
found to differ, the calls made until then are compared.

A `Comparer` begins at any checkpoint, for who goes to a place of the run, and compares what it
passes: calls, programs, exits, and files when they are closed.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.errors import BadInput, BootstrapError, ExitStatus, GuestFailed
from bootstrap.core.files import RegularFile, Stream
from bootstrap.instruments import Engine
from bootstrap.instruments.callbuffer import CallBuffer
from bootstrap.linux.events import Closed, Event, Executed, Exited, Forked
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerEntry
from bootstrap.linux.machine import LinuxMachine
from bootstrap.linux.snapshot import Snapshot
from bootstrap.trace.calls import plain_text
from bootstrap.trace.columns import WORD, Calls, Value, as_raw, as_text, shown, unpacked
from bootstrap.trace.recorder import Recorder
from bootstrap.trace.store import (
    DIGESTED,
    EDITS,
    MAX_INPUT,
    VERSIONS,
    Chunk,
    ProgramRow,
    Trace,
)

_ERRNO = {int(errno): errno for errno in Errno}
_KINDS = {
    "runs": "run",
    "processes": "program",
    "opens": "opened file",
    "changes": "change of a name or a file",
    "input": "input",
    "output": "output",
    "folders": "folder of the tree",
    "tree": "name in the tree",
    "checkpoints": "checkpoint",
}


@dataclass(frozen=True)
class Divergence:
    """The first place where the run is not the recorded one."""

    place: str
    recorded: str
    now: str
    cause: str = ""

    def lines(self) -> list[str]:
        """For people."""
        found = [
            f"diverged: {self.place}",
            f"  recorded: {self.recorded}",
            f"  now:      {self.now}",
        ]
        return [*found, f"  {self.cause}"] if self.cause else found


class Diverged(BootstrapError):
    """Ends a replay: the run is not the recorded one. The engine's callbacks carry it out."""

    exit_code = ExitStatus.DIFFERS

    def __init__(self, place: str, recorded: str, now: str) -> None:
        super().__init__(
            f"the run is not the recorded one: {place}: recorded {recorded}; now {now} "
            "(`bootstrap trace check` compares all of it)"
        )
        self.divergence = Divergence(place, recorded, now)


class RecordedCalls:
    """The calls of one program in the trace, wherever its chunks end."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._chunks: dict[int, list[Chunk]] = {}
        for chunk in trace.chunks():
            self._chunks.setdefault(chunk.process, []).append(chunk)
        self._last: tuple[int, Calls] | None = None

    def _calls(self, chunk: Chunk) -> Calls:
        if self._last is None or self._last[0] != chunk.id:
            self._last = (chunk.id, self._trace.calls(chunk))
        return self._last[1]

    def part(self, process: int, first_call: int, count: int, word: int) -> Calls:
        """Up to `count` calls from the process's call `first_call` on."""
        columns = [b""] * 5
        more: list[tuple[int, int, int]] = []
        end = first_call + count
        for chunk in self._chunks.get(process, ()):
            start, stop = max(first_call, chunk.first_call), chunk.first_call + chunk.count
            stop = min(end, stop)
            if start >= stop:
                continue
            calls = self._calls(chunk)
            a, b = start - chunk.first_call, stop - chunk.first_call
            for index, column in enumerate(calls.columns):
                width = calls.word if index else 4
                columns[index] += column[a * width : b * width]
            moved = chunk.first_call - first_call
            more += [(i + moved, w, v) for i, w, v in calls.more if a <= i < b]
        return Calls(word, tuple(columns), tuple(more))


def first_difference(there: Calls, now: Calls) -> int:
    """The index of the first call in which two differ."""
    found = [there.count] if there.count < now.count else []
    for index in range(5):
        a, b = there.values(index), now.values(index)
        found += [i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y][:1]
    found += [index for index, _, _ in set(there.more) ^ set(now.more)]
    return min(found)


class RecordedRun:
    """What of a trace every run of it is compared with; read once."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.calls = RecordedCalls(trace)
        self.rows = {(p.run, p.pid, p.ordinal): p.id for p in trace.programs}
        self.hashes = trace.hashes()
        self.closed: dict[tuple[int, int], set[int | None]] = {}
        for row in trace.opens():
            if row.last_event is not None:
                self.closed.setdefault((row.last_event, row.file), set()).add(row.last_version)
        self.input: dict[int, list[tuple[int, bytes | None]]] = {}
        """By event, what each read of a standard stream gave: its result, and the data, packed."""
        self.short: dict[int, tuple[bytes, int]] = {}
        """By event, the write to a standard stream that did not take all: its data, its result."""
        with trace.reading():
            query = "SELECT event, result, content FROM input ORDER BY id"
            for event, result, content in trace.database.execute(query):
                self.input.setdefault(event, []).append((result, content))
            query = "SELECT event, result, content FROM output ORDER BY id"
            for event, result, content in trace.database.execute(query):
                data = unpacked(content, MAX_INPUT)
                if result != len(data):
                    self.short[event] = data, int(result)

    def compare_calls(
        self, program: ProgramRow, first_call: int, first_event: int, now: Calls
    ) -> None:
        """Compare successive calls of a program from that one on. Raises Diverged."""
        there = self.calls.part(program.id, first_call, now.count, now.word)
        if there == now:
            return
        index = first_difference(there, now)
        recorded = "no such call: the program had ended"
        if index < there.count:
            recorded = plain_text(program.abi, there, index)
        place = (
            f"{program.label} ({shown(program.path)}), system call {first_call + index}, "
            f"event {first_event + index}"
        )
        raise Diverged(place, recorded, plain_text(program.abi, now, index))

    def stack(self, row: int) -> list[int]:
        """The programs that are alive while this one runs, its parents first."""
        found = [row]
        program = self.trace.program(row)
        while program.parent is not None:
            before = program
            program = self.trace.program(program.parent)
            if program.pid != before.pid:
                found.append(program.id)
        return found[::-1]


class ReplayStreams:
    """The standard streams of a run that happens again: what came in comes in again, at the same
    calls; what goes out is only compared, and falls short or fails where it did.
    """

    def __init__(self, run: RecordedRun, event: Callable[[], int]) -> None:
        """`event`: the number of the present system call among all of the run."""
        self._run, self._event = run, event
        self._reads = 0, 0
        made = {0: Stream(self.read), **{n: Stream(None, self.write) for n in (1, 2)}}
        first, second, third = (made[n] for n in run.trace.streams)
        self.streams = first, second, third

    def read(self, count: int) -> bytes:
        """See Stream. A call with several buffers reads several times."""
        event = self._event()
        number = self._reads[1] if self._reads[0] == event else 0
        self._reads = event, number + 1
        rows = self._run.input.get(event, [])
        result, content = rows[number] if number < len(rows) else (0, None)
        if result < 0:
            raise LinuxError(_ERRNO[-result])
        with self._run.trace.reading():
            data = b"" if content is None else unpacked(content, result)
        return data[:count]

    def write(self, data: bytes) -> int:
        """See Stream. Of several buffers of one call, only the last can fall short."""
        short, result = self._run.short.get(self._event(), (None, 0))
        if short != data:
            return len(data)
        if result < 0:
            raise LinuxError(_ERRNO[-result])
        return result


class TraceLower:
    """The tree below the guest's, as far as the recorded run read it."""

    lazy = False

    def __init__(self, trace: Trace, catch_up: Callable[[], None]) -> None:
        self._trace = trace
        self._catch_up = catch_up

    def list(self, guest_path: bytes) -> Mapping[bytes, LowerEntry]:
        database = self._trace.database
        with self._trace.reading():
            folder = database.execute(
                "SELECT id FROM folders WHERE path = ?", (as_text(guest_path),)
            ).fetchone()
            if folder is not None:
                rows = database.execute(
                    "SELECT name, mode, size, target FROM tree WHERE folder = ? ORDER BY id", folder
                )
                return {
                    as_raw(name): LowerEntry(mode, size, as_raw(target or b""))
                    for name, mode, size, target in rows
                }
        self._stray("folder", guest_path, "looks into it")

    def load(self, guest_path: bytes) -> bytes:
        with self._trace.reading():
            found = self._trace.database.execute(
                "SELECT version, size FROM tree WHERE path = ?", (as_text(guest_path),)
            ).fetchone()
        if found is None or found[0] is None:
            self._stray("file", guest_path, "reads it")
        content = self._trace.content(found[0])
        with self._trace.reading():
            if len(content) != found[1]:
                raise ValueError("a file is not of the size that its folder says")
        return content

    def read(self, guest_path: bytes, offset: int, count: int) -> bytes:
        return self.load(guest_path)[offset : offset + count]

    def _stray(self, what: str, guest_path: bytes, now: str) -> NoReturn:
        self._catch_up()
        path = shown(as_text(guest_path))
        raise Diverged(f"the {what} {path}", "never read", f"the guest {now}")


def recorded_files(trace: Trace, catch_up: Callable[[], None]) -> OverlayFileSystem:
    """The guest's files before the run. `catch_up` compares the calls made so far."""
    return OverlayFileSystem(TraceLower(trace, catch_up), trace.limits)


class Comparer:
    """One run from a checkpoint on: a listener, which owns the machine's log of calls."""

    def __init__(self, run: RecordedRun, stack: list[int], calls: list[int], event: int) -> None:
        """`stack`: rows of the live programs; `calls`: how many each has made; `event`: all."""
        self.recorded = run
        self.log = CallBuffer(self._take)
        self.log.handed_over = event
        self.stack = stack
        self.made = dict(zip(stack, calls, strict=True))
        if stack:
            self._use_word()

    @property
    def row(self) -> int:
        """The program that runs."""
        return self.stack[-1]

    @property
    def program(self) -> ProgramRow:
        """The program that runs."""
        return self.recorded.trace.program(self.row)

    @property
    def calls(self) -> int:
        """System calls that the present program has made."""
        return self.made[self.row] + self.log.count

    def catch_up(self) -> None:
        """Compare the calls that were not compared yet. Raises Diverged."""
        self.log.hand_over()

    def _use_word(self) -> None:
        self.log.use_word(WORD[self.program.abi])

    def _diverged(self, what: str, recorded: str, now: str) -> Diverged:
        program = self.program
        place = f"{program.label} ({shown(program.path)}), event {self.log.total}, {what}"
        return Diverged(place, recorded, now)

    def _take(self) -> None:
        log, program = self.log, self.program
        calls = Calls(log.word, log.columns(), tuple(log.more))
        first = program.first_call + self.made[self.row] + 1
        self.recorded.compare_calls(program, first, log.handed_over + 1, calls)
        self.made[self.row] += calls.count

    def __call__(self, event: Event) -> None:
        """See Listener."""
        if isinstance(event, Forked):
            self.catch_up()
            self._push(self.program.run, event.child, 0)
        elif isinstance(event, Executed):
            self._executed(event)
        elif isinstance(event, Exited):
            self._exited(event)
        elif isinstance(event, Closed):
            self._closed(event)

    def _push(self, run: int, pid: int, ordinal: int) -> None:
        row = self.recorded.rows.get((run, pid, ordinal))
        if row is None:
            raise self._diverged("a program begins", "none does", f"pid {pid}, exec {ordinal}")
        self.stack.append(row)
        self.made[row] = 0
        self._use_word()

    def _executed(self, event: Executed) -> None:
        self.catch_up()
        before = self.program
        self.stack.pop()
        self._push(before.run, event.pid, before.ordinal + 1)
        image, _ = self.recorded.hashes[self.program.image]
        if event.image.sha256() != image:
            raise self._diverged("its image", f"sha256 {image}", f"sha256 {event.image.sha256()}")
        now = event.program.argv, event.program.envp
        start = self.program.argv, self.program.environment
        if now != start:
            raise self._diverged("its start", repr(start), repr(now))

    def _exited(self, event: Exited) -> None:
        self.catch_up()
        known, now = self.program.status, event.status
        if known != now:
            raise self._diverged("its end", f"status {known}", f"status {now}")
        self.stack.pop()
        if self.stack:
            self._use_word()

    def _closed(self, event: Closed) -> None:
        """Only files that are closed are compared."""
        inode = event.file.inode
        if not isinstance(inode, RegularFile):
            return
        known = self.recorded.closed.get((self.log.total, inode.ino), set())
        recorded = {self.recorded.hashes[v][0] for v in known if v is not None}
        if inode.sha256() not in recorded:
            path = shown(inode.origin.decode("utf-8", "surrogateescape"))
            raise self._diverged(
                f"{path} is closed",
                " or ".join(f"sha256 {sha256}" for sha256 in sorted(recorded))
                or "it is not closed",
                f"sha256 {inode.sha256()}",
            )


class _RowComparer:
    """The Sink of a run that is checked: looks for each row where a recording would write it."""

    def __init__(self, run: RecordedRun, progress: Callable[[int], None]) -> None:
        self._run, self._trace = run, run.trace
        self._progress = progress
        self._ids = {sha256: i for i, (sha256, _) in run.hashes.items()}
        self._names = {i: sha256 for sha256, i in self._ids.items()}
        self.catch_up: Callable[[], None] = lambda: None
        self.versions: set[int] = set()
        """Those of the trace that came up."""

    def version(self, sha256: str, size: int, content: Callable[[], bytes | memoryview]) -> int:
        known = self._ids.get(sha256)
        if known is None:
            known = self._ids[sha256] = -len(self._ids) - 1
            self._names[known] = sha256
        self.versions.add(known)
        return known

    def add(self, table: str, row: Mapping[str, Value]) -> None:
        if table in DIGESTED:
            row_id = row["id"]
            assert isinstance(row_id, int)
            self.complete(table, row_id, {k: v for k, v in row.items() if k != "content"})

    def complete(self, table: str, row_id: int, values: Mapping[str, Value]) -> None:
        if table not in DIGESTED:
            return
        found = self._recorded(table, row_id, values)
        if found == tuple(values.values()):
            return
        self.catch_up()
        place = f"{_KINDS[table]} {row_id}"
        if found is None:
            raise Diverged(place, "no more of them", self._row(values))
        there = dict(zip(values, found, strict=True))
        differ = [name for name in values if there[name] != values[name]]
        process = there.get("process", row_id if table == "processes" else None)
        if isinstance(process, int) and 0 < process <= len(self._trace.programs):
            program = self._trace.program(process)
            place += f", {program.label} ({shown(program.path)})"
        event = there.get("event", there.get("last_event"))
        if event is not None:
            place += f", event {event}"
        path = there.get("path")
        if path is not None and "path" not in differ:
            place += f", {shown(path)}"
        sides = ({name: side[name] for name in differ} for side in (there, values))
        raise Diverged(place, *map(self._row, sides))

    def _recorded(self, table: str, row_id: int, names: Iterable[str]) -> tuple[object, ...] | None:
        """The cells of those names in a recorded row."""
        query = f"SELECT {', '.join(names)} FROM {table} WHERE id = ?"
        with self._trace.reading():
            found: tuple[object, ...] | None = self._trace.database.execute(
                query, (row_id,)
            ).fetchone()
        return found

    def _row(self, cells: Mapping[str, object]) -> str:
        parts = []
        for name, cell in cells.items():
            if name in VERSIONS and isinstance(cell, int):
                cell = f"sha256 {self._names.get(cell, 'unknown')}"
            parts.append(f"{name.replace('_', ' ')} {'none' if cell is None else shown(cell)}")
        return ", ".join(parts)

    def calls(
        self, process: int, first_call: int, first_event: int, calls: Calls, brk: int
    ) -> None:
        self._progress(first_event)
        self._run.compare_calls(self._trace.program(process), first_call, first_event, calls)

    def checkpoint(self, row: Mapping[str, Value], snapshot: Snapshot) -> None:
        """Checkpoints are what a Timeline starts from."""
        number = row["id"]
        assert isinstance(number, int)
        cells, found = tuple(row.values()), self._recorded("checkpoints", number, row)
        if found != cells or self._trace.snapshot(number) != snapshot:
            self.catch_up()
            raise Diverged(
                f"checkpoint {number}, event {row['event']!r}",
                "another state of the machine" if found == cells else repr(found),
                repr(cells),
            )


def check(
    trace: Trace, engine: Engine, progress: Callable[[int], None] = lambda _event: None
) -> Divergence | None:
    """Run it again. None when all is the same; raises BadInput for a trace that cannot be.

    `progress` hears of events (system calls of the run) that are reached.
    """
    if trace.computed_digest() != trace.digest:
        raise BadInput(f"{trace.name}: its rows do not have its trace digest; record again")
    if EDITS in trace.meta:
        raise BadInput(
            f"{trace.name}: somebody wrote into the program (its `{EDITS}`), which does not happen "
            "by itself again; record without that"
        )
    for version in trace.hashes():
        trace.content(version)
    run = RecordedRun(trace)
    comparer = _RowComparer(run, progress)
    recorder = Recorder(comparer)
    comparer.catch_up = recorder.catch_up
    fs = recorded_files(trace, recorder.catch_up)
    machine = LinuxMachine(fs, engine, trace.limits, probing=trace.probing)
    streams = recorder.attach(machine, ReplayStreams(run, lambda: recorder.event).streams)
    cause = ""
    try:
        for one in trace.runs:
            try:
                machine.run(as_raw(one.path), one.argv, one.environment, as_raw(one.cwd), streams)
            except GuestFailed as error:
                cause = f"the guest failed: {error}"
            except LinuxError as error:
                cause = f"cannot be executed: {error}"
        recorder.finish()
        return _missing(trace, recorder, comparer.versions)
    except Diverged as error:
        return dataclasses.replace(error.divergence, cause=cause)


def _missing(trace: Trace, recorder: Recorder, versions: set[int]) -> Divergence | None:
    """What the trace has beyond what happened: nobody may take that for a part of the run.

    Of the source tree it may have more than the guest looked at: whoever recorded it may have
    looked for products in a folder that no program came to.
    """
    for version, (sha256, _) in trace.hashes().items():
        if version not in versions:
            return Divergence(f"file version {version}", f"sha256 {sha256}", "no file has it")
    for table, kind in _KINDS.items():
        if table in ("folders", "tree"):
            continue
        with trace.reading():
            (count,) = trace.database.execute(f"SELECT count(*) FROM {table}").fetchone()
        if count != recorder.count(table):
            place = f"{kind} {recorder.count(table) + 1}"
            return Divergence(place, "there is one", "no more of them")
    return None
