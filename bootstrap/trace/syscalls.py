"""Finds system calls in the record of a program, without running anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from bootstrap.core.errors import BadInput
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.row import Kind
from bootstrap.timeline.origins import is_at
from bootstrap.trace.calltext import row_of, signed
from bootstrap.trace.reader import Chunk, OpenRow, ProgramRow, Trace

OUTPUTS = ("write", "writev")


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A recorded system call."""

    ordinal: int
    """In the program, from 1."""
    event: int
    number: int
    first: int
    """The first argument."""
    result: int
    """Negative where it failed."""


@cache
def takes_fd(abi: str, number: int) -> bool:
    """Whether the first argument of the call is a descriptor."""
    row = row_of(abi, number)
    return row is not None and bool(row.args) and row.args[0].kind is Kind.FD


def calls(trace: Trace, program: ProgramRow, from_: int, backwards: bool) -> Iterator[RecordedCall]:
    """The program's calls from an ordinal on, or from it back."""
    chunks = trace.chunks(program.id)
    for chunk in reversed(chunks) if backwards else chunks:
        first = chunk.first_call - program.first_call  # its ordinal in the program
        if (first > from_) if backwards else (first + chunk.count <= from_):
            continue
        yield from _of(trace, chunk, first, from_, backwards)


def _of(
    trace: Trace, chunk: Chunk, first: int, from_: int, backwards: bool
) -> Iterator[RecordedCall]:
    found = trace.calls(chunk)
    numbers, firsts, results = found.values(0), found.values(1), found.values(4)
    if backwards:
        order = range(min(chunk.count - 1, from_ - first), -1, -1)
    else:
        order = range(max(0, from_ - first), chunk.count)
    for index in order:
        yield RecordedCall(
            first + index,
            chunk.first_event + index,
            numbers[index],
            firsts[index],
            signed(results[index], found.word),
        )


class Wish:
    """Which calls somebody looks for: all that is given must be so. Raises BadInput."""

    def __init__(
        self,
        trace: Trace,
        name: str | None = None,
        fd: int | None = None,
        path: str | None = None,
    ) -> None:
        self._trace = trace
        self._name, self._fd = name, fd
        if name is not None and all(name not in NUMBERS[p.abi] for p in trace.programs):
            raise BadInput(f"there is no system call {name} on any architecture of this run")
        self._opens: list[OpenRow] | None = None
        self._ends = {program.last_event for program in trace.programs}
        if path is not None:
            self._opens = [row for row in trace.opens() if is_at(row, path)]
            if not self._opens:
                raise BadInput(
                    f"{path}: no program of this run opened it; "
                    "`bootstrap trace files` lists what there is"
                )

    def fits(self, program: ProgramRow, call: RecordedCall) -> bool:
        """Whether it is one of them."""
        if self._name is not None and NUMBERS[program.abi].get(self._name) != call.number:
            return False
        of_fd = takes_fd(program.abi, call.number)
        if self._fd is not None and not (of_fd and call.first == self._fd):
            return False
        if self._opens is None:
            return True
        return any(self._on(row, program, call, of_fd) for row in self._opens)

    def _on(self, row: OpenRow, program: ProgramRow, call: RecordedCall, of_fd: bool) -> bool:
        if call.event == row.event:
            return row.process == program.id
        last = row.last_event
        if last is not None and last not in self._ends:
            last += 1  # until the call before the close(2) that closed it
        during = row.event < call.event and (last is None or call.event <= last)
        return of_fd and during and call.first == row.fd and self._has(program, row.process)

    def _has(self, program: ProgramRow, opener: int) -> bool:
        """Whether the program is the one that opened, or inherited from it."""
        while True:
            if program.id == opener:
                return True
            if program.parent is None:
                return False
            program = self._trace.program(program.parent)


def outputs(program: ProgramRow) -> frozenset[int]:
    """The numbers of the calls that write."""
    numbers = NUMBERS[program.abi]
    return frozenset(numbers[name] for name in OUTPUTS if name in numbers)
