"""Runs a trace again from its own content, and compares every call and every file.

The replay is recorded like any run; where a recording would write a row, `_Comparer` looks whether
the trace has the same one. Whatever comes first in the run's order is told first: before a row is
found to differ, the calls made until then are compared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.errors import BadInput, BootstrapError, ExitStatus, GuestFailed
from bootstrap.instruments import Engine
from bootstrap.linux.filesystem import FileSystem
from bootstrap.linux.hostfolder import LowerEntry
from bootstrap.linux.inode import Stream
from bootstrap.linux.machine import Machine
from bootstrap.linux.snapshot import Snapshot
from bootstrap.trace.calltext import plain_text
from bootstrap.trace.columns import Calls, unpacked
from bootstrap.trace.digest import MAX_INPUT
from bootstrap.trace.header import limits_of, probing_in, streams_of
from bootstrap.trace.reader import Chunk, Trace
from bootstrap.trace.recorder import Recorder
from bootstrap.trace.schema import DIGESTED
from bootstrap.trace.text import Value, as_raw, as_text, shown

_ERRNO = {int(errno): errno for errno in Errno}
_VERSIONS = ("image", "version", "last_version")


@dataclass(frozen=True)
class Divergence:
    """The first place where the replay is not the recording."""

    place: str
    recorded: str
    now: str
    cause: str = ""

    def lines(self) -> list[str]:
        """For people."""
        told = [
            f"diverged: {self.place}",
            f"  recorded: {self.recorded}",
            f"  now:      {self.now}",
        ]
        return [*told, f"  {self.cause}"] if self.cause else told


class Diverged(BootstrapError):
    """Ends a replay: the run is not the recorded one. The engine's callbacks carry it out."""

    exit_code = ExitStatus.DIFFERS

    def __init__(self, divergence: Divergence) -> None:
        told = divergence
        super().__init__(
            f"the run is not the recorded one: {told.place}: recorded {told.recorded}; now "
            f"{told.now} (`bootstrap trace check` compares all of it)"
        )
        self.divergence = divergence


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


class _Comparer:
    """The Sink of a replay."""

    def __init__(self, trace: Trace, progress: Callable[[int], None]) -> None:
        self._trace = trace
        self._progress = progress
        self._ids = {sha256: i for i, (sha256, _) in trace.hashes().items()}
        self._names = {i: sha256 for sha256, i in self._ids.items()}
        self._recorded = RecordedCalls(trace)
        self.catch_up: Callable[[], None] = lambda: None

    def version(self, sha256: str, size: int, content: Callable[[], bytes | memoryview]) -> int:
        known = self._ids.get(sha256)
        if known is None:
            known = self._ids[sha256] = -len(self._ids) - 1
            self._names[known] = sha256
        return known

    def add(self, table: str, row: Mapping[str, Value]) -> None:
        if table in DIGESTED:
            row_id = row["id"]
            assert isinstance(row_id, int)
            self._compare(table, row_id, {k: v for k, v in row.items() if k != "content"})

    def complete(self, table: str, row_id: int, values: Mapping[str, Value]) -> None:
        if table in DIGESTED:
            self._compare(table, row_id, values)

    def _compare(self, table: str, row_id: int, values: Mapping[str, Value]) -> None:
        with self._trace.reading():
            found = self._trace.database.execute(
                f"SELECT {', '.join(values)} FROM {table} WHERE id = ?", (row_id,)
            ).fetchone()
        cells = tuple(values.values())
        if found == cells:
            return
        self.catch_up()
        place = f"{_KINDS[table]} {row_id}"
        told = dict(values)
        if found is None:
            raise Diverged(Divergence(place, "no more of them", self._row(told)))
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
        raise Diverged(
            Divergence(
                place,
                self._row({name: there[name] for name in differ}),
                self._row({name: told[name] for name in differ}),
            )
        )

    def _row(self, cells: Mapping[str, object]) -> str:
        parts = []
        for name, cell in cells.items():
            if name in _VERSIONS and isinstance(cell, int):
                cell = f"sha256 {self._names.get(cell, 'unknown')}"
            parts.append(f"{name.replace('_', ' ')} {'none' if cell is None else shown(cell)}")
        return ", ".join(parts)

    def calls(
        self, process: int, first_call: int, first_event: int, calls: Calls, brk: int
    ) -> None:
        self._progress(first_event)
        there = self._recorded.part(process, first_call, calls.count, calls.word)
        if there == calls:
            return
        program = self._trace.program(process)
        index = first_difference(there, calls)
        place = (
            f"{program.label} ({shown(program.path)}), system call {first_call + index}, "
            f"event {first_event + index}"
        )
        now = plain_text(program.abi, calls, index)
        ended = "no such call: the program had ended"
        recorded = ended if index >= there.count else plain_text(program.abi, there, index)
        raise Diverged(Divergence(place, recorded, now))

    def checkpoint(self, row: Mapping[str, Value], snapshot: Snapshot) -> None:
        """The kept states of the machine are what travelling starts from."""
        number = row["id"]
        assert isinstance(number, int)
        cells = tuple(row.values())
        with self._trace.reading():
            found = self._trace.database.execute(
                f"SELECT {', '.join(row)} FROM checkpoints WHERE id = ?", (number,)
            ).fetchone()
        if found != cells or self._trace.snapshot(number) != snapshot:
            self.catch_up()
            raise Diverged(
                Divergence(
                    f"checkpoint {number}, event {row['event']!r}",
                    "another state of the machine" if found == cells else repr(found),
                    repr(cells),
                )
            )


_KINDS = {
    "runs": "run",
    "processes": "program",
    "opens": "opened file",
    "changes": "change of a name or a file",
    "input": "input",
    "output": "output",
}


def first_difference(there: Calls, now: Calls) -> int:
    """The index of the first call in which two differ."""
    found = [there.count] if there.count < now.count else []
    for index in range(5):
        a, b = there.values(index), now.values(index)
        found += [i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y][:1]
    found += [index for index, _, _ in set(there.more) ^ set(now.more)]
    return min(found)


class TraceLower:
    """The tree below the guest's, as far as the recorded run looked at it."""

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
                raise ValueError("a file is not of the size that its folder tells")
        return content

    def read(self, guest_path: bytes, offset: int, count: int) -> bytes:
        return self.load(guest_path)[offset : offset + count]

    def _stray(self, what: str, guest_path: bytes, now: str) -> NoReturn:
        self._catch_up()
        path = shown(as_text(guest_path))
        raise Diverged(Divergence(f"the {what} {path}", "never looked at", f"the guest {now}"))


class ReplayStreams:
    """The streams of a replay: what came in comes in again, what went out is only compared."""

    def __init__(self, trace: Trace, recorder: Recorder) -> None:
        self._recorder = recorder
        with trace.reading():
            self._input = iter(
                trace.database.execute("SELECT result, content FROM input ORDER BY id").fetchall()
            )
            self._answers = {
                event: result
                for event, result, size in trace.database.execute(
                    "SELECT event, result, content FROM output ORDER BY id"
                )
                if result != len(unpacked(size, MAX_INPUT))
            }
        self._trace = trace

    def read(self, count: int) -> bytes:
        result, content = next(self._input, (0, None))
        with self._trace.reading():
            if result < 0:
                raise LinuxError(_ERRNO[-result])
            data = b"" if content is None else unpacked(content, max(0, result))
        return data[:count]

    def write(self, data: bytes) -> int:
        result = self._answers.get(self._recorder.event, len(data))
        if result < 0:
            raise LinuxError(_ERRNO[-result])
        return int(result)


def check(
    trace: Trace, engine: Engine, progress: Callable[[int], None] = lambda _event: None
) -> Divergence | None:
    """Run it again. None when all is the same; raises BadInput for a trace that cannot be.

    `progress` hears of events (system calls of the run) that are reached.
    """
    if trace.computed_digest() != trace.digest:
        raise BadInput(f"{trace.name}: its rows do not have its trace digest; record again")
    with trace.reading():
        limits, wanted = limits_of(trace.meta), streams_of(trace.meta)
        probing = probing_in(trace.meta)
    comparer = _Comparer(trace, progress)
    recorder = Recorder(comparer)
    comparer.catch_up = recorder.catch_up
    fs = FileSystem(
        TraceLower(trace, recorder.catch_up),
        limits,
    )
    player = ReplayStreams(trace, recorder)
    made = {0: Stream(player.read), **{n: Stream(None, player.write) for n in wanted[1:]}}
    first, second, third = (made[n] for n in wanted)
    streams = recorder.attach(fs, (first, second, third))
    machine = Machine(fs, engine, limits, [recorder], probing)
    cause = ""
    try:
        for run in trace.runs:
            try:
                machine.run(as_raw(run.path), run.argv, run.environment, as_raw(run.cwd), streams)
            except GuestFailed as error:
                cause = f"the guest failed: {error}"
            except LinuxError as error:
                cause = f"cannot be executed: {error}"
        recorder.finish()
        return _missing(trace, recorder)
    except Diverged as error:
        told = error.divergence
        return Divergence(told.place, told.recorded, told.now, cause)


def _missing(trace: Trace, recorder: Recorder) -> Divergence | None:
    for table in DIGESTED:
        with trace.reading():
            (count,) = trace.database.execute(f"SELECT count(*) FROM {table}").fetchone()
        if count != recorder.count(table):
            return Divergence(
                f"{_KINDS[table]} {recorder.count(table) + 1}", "there is one", "no more of them"
            )
    return None
