"""The first system call in which a program of one trace and one of the other differ.

Most programs have the same digest of their calls in both; of the others most chunks are the same
bytes as they stand in the file. Only the first chunk that is not is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.diff.comparison import Both
from bootstrap.linux.call_tables import find
from bootstrap.linux.strace_values import quote
from bootstrap.trace.calls import arity, call_text, exec_text, plain_text
from bootstrap.trace.columns import WORD, Calls, CallsHash, as_raw, shown
from bootstrap.trace.compare import RecordedCalls, first_difference
from bootstrap.trace.store import OpenRow, ProgramRow, Trace

_BLOBS = "first_call - ?, count, word, brk, nr, a0, a1, a2, result, more"
AT_ONCE = 1 << 16
"""Calls that are decoded together, as many as a chunk has at most."""


@dataclass(frozen=True, slots=True)
class RenderedCall:
    """A system call as people read it, or that there is none."""

    call: int
    """In its process, from 1, across execve(2)."""
    event: int
    text: str
    missing: bool = False
    """The program had ended, or the run: `text` says so."""


class CallsOf:
    """The calls of one trace, by program; and what is needed to write one down."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.recorded = RecordedCalls(trace)
        self._opens: dict[int, list[OpenRow]] = {}
        for row in trace.opens():
            self._opens.setdefault(row.process, []).append(row)
        self._executed = {p.first_event: p for p in trace.programs if p.ordinal}

    def rows(self, program: ProgramRow) -> list[tuple[object, ...]]:
        """The chunks of a program as they stand in the file, wherever in its process it begins."""
        with self.trace.reading():
            return self.trace.database.execute(
                f"SELECT {_BLOBS} FROM calls WHERE process = ? ORDER BY id",
                (program.first_call, program.id),
            ).fetchall()

    def verify(self, program: ProgramRow) -> None:
        """Raises BadInput unless the calls of a program are what their SHA-256 says."""
        digest, made = CallsHash(), 0
        for chunk in self.trace.chunks(program.id):
            digest.update(self.trace.calls(chunk), made)
            made += chunk.count
        with self.trace.reading():
            if digest.hexdigest() != program.calls_sha256:
                raise ValueError(f"the calls of {program.label} are not what their SHA-256 says")

    def part(self, program: ProgramRow, index: int, count: int) -> Calls:
        """Calls of a program from its call of that index (from 0) on."""
        first = program.first_call + index + 1
        return self.recorded.part(program.id, first, count, WORD[program.abi])

    def opens(self, program: ProgramRow) -> list[OpenRow]:
        """What the program opened, in order."""
        return self._opens.get(program.id, [])

    def event(self, program: ProgramRow, index: int) -> int:
        """The event of a program's call of that index; of one past its last, its last event."""
        first = program.first_call + index + 1
        for chunk in self.trace.chunks(program.id):
            if chunk.first_call <= first < chunk.first_call + chunk.count:
                return chunk.first_event + first - chunk.first_call
        return program.last_event or program.first_event

    def call(self, program: ProgramRow, index: int, plain: bool = False) -> RenderedCall:
        """The program's call of that index, in words; with `plain`, its registers alone."""
        ordinal, event = program.first_call + index + 1, self.event(program, index)
        if index >= program.calls:
            failure = self.trace.meta.get("failure") or "it was stopped"
            ended = program.replaced or program.status is not None
            how = "it had ended" if ended else f"the run had ended: {failure}"
            return RenderedCall(ordinal, event, f"no such call: {how}", True)
        calls = self.part(program, index, 1)
        if plain:
            return RenderedCall(ordinal, event, plain_text(program.abi, calls, 0))
        number, result = calls.values(0)[0], calls.values(4)[0]
        call = find(program.abi, number)
        arguments = calls.arguments(0, arity(program.abi, number))
        name = "" if call is None else call.row.name
        executed = self._executed.get(event)
        if name == "execve" and executed is not None and executed.parent == program.id:
            return RenderedCall(ordinal, event, f"{exec_text(executed)} = 0")
        opened = next((o for o in self.opens(program) if o.event == event), None)
        path_text = None if opened is None else quote(as_raw(opened.path), 4096)
        names = self.descriptors(program, event)
        if opened is not None:
            names[opened.fd] = shown(opened.path)
        word = WORD[program.abi]
        text = call_text(program.abi, number, arguments, result, word, names, path_text)
        head, _, value = text.rpartition(" = ")  # they stand in a column of their own
        return RenderedCall(ordinal, event, f"{head.rstrip()} = {value}")

    def descriptors(self, program: ProgramRow, event: int) -> dict[int, str]:
        """The descriptors that were open just before an event, by the path each was opened with;
        without those that dup(2) made."""
        line: list[ProgramRow] = [program]
        while line[-1].parent is not None:
            line.append(self.trace.program(line[-1].parent))
        found: dict[int, str] = {}
        for one in reversed(line):
            for row in self.opens(one):
                if row.event < event and (row.last_event is None or row.last_event >= event):
                    found[row.fd] = shown(row.path)
        return found


def differ(a: CallsOf, b: CallsOf, pair: Both[ProgramRow]) -> int | None:
    """The index (from 0) of the first call in which two programs differ; None where none does."""
    one, other = pair.a, pair.b
    if one.abi == other.abi and one.calls_sha256 == other.calls_sha256:
        if a.rows(one) != b.rows(other):
            a.verify(one)
            b.verify(other)
        return None
    if one.abi != other.abi:
        return 0
    index = 0
    for mine, theirs in zip(a.rows(one), b.rows(other), strict=False):
        if mine != theirs:
            break
        assert isinstance(mine[1], int)
        index += mine[1]
    while index < max(one.calls, other.calls):
        here, there = a.part(one, index, AT_ONCE), b.part(other, index, AT_ONCE)
        if here != there:
            return index + _first(here, there)
        index += here.count
    return None


def _first(a: Calls, b: Calls) -> int:
    if a.count == b.count:
        return first_difference(a, b)
    most = min(a.count, b.count)
    a, b = _cut(a, most), _cut(b, most)
    return most if a == b else first_difference(a, b)


def _cut(calls: Calls, count: int) -> Calls:
    columns = tuple(c[: count * (calls.word if i else 4)] for i, c in enumerate(calls.columns))
    return Calls(calls.word, columns, tuple(row for row in calls.more if row[0] < count))


def differs_in_result(a: CallsOf, b: CallsOf, pair: Both[ProgramRow], index: int) -> bool:
    """Whether the call of that index is the same on both sides but for its result."""
    one, other = a.part(pair.a, index, 1), b.part(pair.b, index, 1)
    same = one.columns[:4] == other.columns[:4] and one.more == other.more
    return same and one.count == other.count == 1


def event_of(calls: Both[RenderedCall]) -> int:
    """The event of the earlier of the two; of one that is missing there is none."""
    return min(call.event for _, call in calls.sides if not call.missing)


def rendered(a: CallsOf, b: CallsOf, pair: Both[ProgramRow], index: int) -> Both[RenderedCall]:
    """The call of that index on both sides; by the registers where the words are the same.

    The same path at another address is such a difference, and a mode where none is needed.
    """
    one, other = a.call(pair.a, index), b.call(pair.b, index)
    plain = one.text == other.text and not one.missing
    return Both(a.call(pair.a, index, plain), b.call(pair.b, index, plain))
