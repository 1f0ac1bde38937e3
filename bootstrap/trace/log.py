"""The system calls of a trace in strace's notation, all or some of them.

Descriptors are followed through open, dup, fork, exec and close, so the calls that change them are
read whatever is asked for; the many others are skipped by their numbers when no line is wanted.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from bootstrap.core.abi import O_CLOEXEC
from bootstrap.linux.call_tables import find
from bootstrap.linux.flags import F_DUPFD, F_DUPFD_CLOEXEC, F_SETFD
from bootstrap.linux.row import parameters
from bootstrap.linux.strace_values import quote
from bootstrap.trace.calls import CallFilter, arity, call_text, exec_text, numbers_of, signed
from bootstrap.trace.columns import WORD, as_raw, shown
from bootstrap.trace.store import Chunk, OpenRow, ProgramRow, Trace

_FREQUENT = ("read", "write", "brk", "lseek")
"""Nearly all calls, and nearly all of these are alike: their lines are made once."""
_KEPT_LINES = 1 << 14
_FD_CALLS = ("close", "dup", "dup2", "dup3", "fcntl", "fcntl64", "ioctl")
_FIOCLEX, _FIONCLEX = 0x5451, 0x5450


@dataclass(slots=True)
class _Table:
    """The descriptors of a process, by the path each was opened with."""

    paths: dict[int, str] = field(default_factory=dict)
    cloexec: set[int] = field(default_factory=set)
    lines: dict[tuple[int, ...], list[str]] = field(default_factory=dict)
    """Of frequent calls, by number, arguments and result, while the descriptors stay."""

    def copy(self) -> "_Table":
        return _Table(dict(self.paths), set(self.cloexec))

    def put(self, fd: int, path: str | None, cloexec: bool) -> None:
        self.drop(fd)
        if path is not None:
            self.paths[fd] = path
        if cloexec:
            self.cloexec.add(fd)

    def drop(self, fd: int) -> None:
        self.lines.clear()
        self.paths.pop(fd, None)
        self.cloexec.discard(fd)

    def executed(self) -> None:
        for fd in list(self.cloexec):
            self.drop(fd)


def log(trace: Trace, wanted: CallFilter | None = None) -> Iterator[str]:
    """The lines."""
    return _Log(trace, wanted or CallFilter(trace)).lines()


class _Log:
    def __init__(self, trace: Trace, wanted: CallFilter) -> None:
        self._trace = trace
        self._wanted = wanted
        self._opens = {row.event: row for row in trace.opens()}
        self._open_events = sorted(self._opens)
        self._tables: dict[int, _Table] = {}
        self._by_start: dict[int, list[ProgramRow]] = {}
        for program in trace.programs:
            self._by_start.setdefault(program.first_event, []).append(program)

    def lines(self) -> Iterator[str]:
        started = 0
        programs = self._trace.programs
        chunks = self._trace.chunks()
        for chunk in chunks:
            while started < len(programs) and programs[started].first_event < chunk.first_event:
                yield from self._start(programs[started])
                started += 1
            yield from self._chunk(chunk)
            yield from self._end(chunk)
        for program in programs[started:]:
            yield from self._start(program)

    def _prefix(self, program: ProgramRow) -> str:
        return f"[pid {program.pid:5}] "

    def _start(self, program: ProgramRow) -> Iterator[str]:
        before = None if program.parent is None else self._tables.get(program.parent)
        table = before.copy() if before is not None else _Table()
        if program.ordinal and program.parent is not None:
            table.executed()
        self._tables[program.id] = table
        first = program.parent is None
        if first and self._is_wanted(program, "execve", [shown(program.path)]):
            yield f"{self._prefix(program)}{exec_text(program)} = 0"

    def _end(self, chunk: Chunk) -> Iterator[str]:
        program = self._trace.program(chunk.process)
        over = chunk.first_event + chunk.count - 1 == program.last_event
        if not over or program.replaced or self._wanted.paths or self._wanted.names:
            return
        if self._wanted.pids and program.pid not in self._wanted.pids:
            return
        if program.status is not None and program.status & 0x7F:
            yield f"{self._prefix(program)}+++ killed by signal {program.status & 0x7F} +++"
        elif program.status is not None:
            yield f"{self._prefix(program)}+++ exited with {program.status >> 8} +++"

    def _is_wanted(self, program: ProgramRow, name: str, paths: list[str]) -> bool:
        wanted = self._wanted
        return (
            (not wanted.pids or program.pid in wanted.pids)
            and (not wanted.names or name in wanted.names)
            and (not wanted.paths or any(map(wanted.on_path, paths)))
        )

    def _chunk(self, chunk: Chunk) -> Iterator[str]:
        trace, wanted = self._trace, self._wanted
        program = trace.program(chunk.process)
        calls = trace.calls(chunk)
        table = self._tables.setdefault(program.id, _Table())
        follows, frequent = (numbers_of(program.abi, *some) for some in (_FD_CALLS, _FREQUENT))
        mine = not wanted.pids or program.pid in wanted.pids
        everything = mine and not wanted.names
        some = numbers_of(program.abi, *wanted.names) if mine else frozenset()
        first = chunk.first_event
        events = self._open_events
        a, b = bisect_left(events, first), bisect_left(events, first + chunk.count)
        opened = {event - first for event in events[a:b]}
        columns = [calls.values(c) for c in range(1, 5)]
        for index, number in enumerate(calls.values(0)):
            if not (everything or number in follows or number in some or index in opened):
                continue
            cells = [column[index] for column in columns]
            if number in frequent and (everything or number in some):
                yield from self._frequent(program, table, number, cells)
                continue
            here = self._opens[first + index] if index in opened else None
            if here is not None:
                table.put(cells[3], shown(here.path), bool(here.flags & O_CLOEXEC))
            call = find(program.abi, number)
            if everything or number in some:
                given = arity(program.abi, number)
                args = calls.arguments(index, given) if given > 3 else cells[:given]
                yield from self._line(program, first + index, number, args, cells[3], here)
            if number in follows and call is not None and signed(cells[3], calls.word) >= 0:
                self._follow(table, call.row.name, cells)

    def _frequent(
        self, program: ProgramRow, table: _Table, number: int, cells: list[int]
    ) -> list[str]:
        key = (number, *cells)
        found = table.lines.get(key)
        if found is None:
            if len(table.lines) >= _KEPT_LINES:
                table.lines.clear()
            args = cells[: arity(program.abi, number)]
            found = list(self._line(program, 0, number, args, cells[3], None))
            table.lines[key] = found
        return found

    def _line(
        self,
        program: ProgramRow,
        event: int,
        number: int,
        args: list[int],
        result: int,
        here: OpenRow | None,
    ) -> Iterator[str]:
        call = find(program.abi, number)
        name = call.row.name if call is not None else ""
        table = self._tables[program.id]
        path: str | None = None
        paths: list[str] = []
        if here is not None:
            path, paths = quote(as_raw(here.path), 4096), [shown(here.path)]
        new = [p for p in self._by_start.get(event, ()) if p.parent == program.id and p.ordinal]
        if name == "execve" and new:
            if self._is_wanted(program, name, [shown(new[0].path)]):
                yield f"{self._prefix(program)}{exec_text(new[0])} = 0"
            return
        if call is not None:
            values = call.arguments((number, *args))
            paths += [
                table.paths[value]
                for value, (word, _) in zip(values, parameters(call.row.arguments), strict=False)
                if word == "fd" and value in table.paths
            ]
        if self._is_wanted(program, name, paths):
            yield call_text(
                program.abi, number, args, result, WORD[program.abi], table.paths, path,
                self._prefix(program),
            )  # fmt: skip

    @staticmethod
    def _follow(table: _Table, name: str, cells: list[int]) -> None:
        fd, result = cells[0], cells[3]
        if name == "close":
            table.drop(fd)
        elif name in ("dup", "dup2", "dup3"):
            if result != fd:
                table.put(result, table.paths.get(fd), name == "dup3" and bool(cells[2]))
        elif name in ("fcntl", "fcntl64"):
            if cells[1] in (F_DUPFD, F_DUPFD_CLOEXEC):
                table.put(result, table.paths.get(fd), cells[1] == F_DUPFD_CLOEXEC)
            elif cells[1] == F_SETFD:
                (table.cloexec.add if cells[2] & 1 else table.cloexec.discard)(fd)
        elif name == "ioctl" and cells[1] in (_FIOCLEX, _FIONCLEX):
            (table.cloexec.add if cells[1] == _FIOCLEX else table.cloexec.discard)(fd)
