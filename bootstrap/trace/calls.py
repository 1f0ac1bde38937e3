"""System calls of a trace: found in the record of a program, without running anything, and written
in strace's notation as far as a trace knows them: arguments, not memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import compress

from bootstrap.core.arches import ARCHES
from bootstrap.core.errors import BadInput
from bootstrap.linux import strace_memory as stored
from bootstrap.linux import strace_values as values
from bootstrap.linux.call_tables import find
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.row import parameters
from bootstrap.linux.strace import left_out, line, result_text
from bootstrap.trace.columns import Calls, as_raw, shown
from bootstrap.trace.coordinates import have_pid
from bootstrap.trace.store import Chunk, OpenRow, ProgramRow, Trace

_ARCH = {arch.name: arch for arch in ARCHES}
_IN_MEMORY = frozenset((*stored.BEFORE, *stored.AFTER))
NO_RETURN = frozenset(("exit", "exit_group"))


def arity(abi: str, number: int) -> int:
    """How many registers the call has; as many as a trace always keeps for one that is none."""
    call = find(abi, number)
    return 3 if call is None else call.end - 1


@cache
def numbers_of(abi: str, *names: str) -> frozenset[int]:
    """The numbers of the calls of those names that the ABI has."""
    return frozenset(NUMBERS[abi][name] for name in names if name in NUMBERS[abi])


def signed(result: int, word: int) -> int:
    """A result as the kernel means it: -errno where it failed."""
    top = 1 << 8 * word
    return result - top if result > top - 4096 else result


def call_text(
    abi: str,
    number: int,
    registers: Sequence[int],
    result: int,
    word: int,
    descriptors: Mapping[int, str],
    path: str | None = None,
    prefix: str = "",
) -> str:
    """A line. `path` stands for the (last) path argument; `descriptors` names open ones."""
    call = find(abi, number)
    if call is None:
        shown = ", ".join(f"{value:#x}" for value in registers)
        return line(f"call_{number}({shown})", str(signed(result, word)), prefix)
    row, args = call.row, call.arguments((number, *registers))
    words = [kind for kind, _ in parameters(row.arguments)]
    texts: list[str] = []
    paths = [index for index, kind in enumerate(words) if kind == "path"]
    for index, kind in enumerate(words):
        value = args[index]
        if left_out(row, args, index):
            continue
        if path is not None and paths and index == paths[-1]:
            texts.append(path)
        elif kind in _IN_MEMORY:
            texts.append(values.address(value))
        else:
            text = values.plain(kind, value)
            if kind in ("fd", "dirfd") and value in descriptors:
                text += f"<{descriptors[value]}>"
            texts.append(text)
    end = signed(result, word)
    returned = "?" if row.name in NO_RETURN else result_text(_ARCH[abi], row, args, end)
    if ("open_flags" in words or row.name == "creat") and end in descriptors and end >= 0:
        returned += f"<{descriptors[end]}>"
    return line(f"{row.name}({', '.join(texts)})", returned, prefix)


def exec_text(program: ProgramRow) -> str:
    """The execve(2) that made a program, without its result."""
    argv = ", ".join(map(values.quote, program.argv))
    count = len(program.environment)
    variables = f"/* {count} {'var' if count == 1 else 'vars'} */"
    return f"execve({values.quote(as_raw(program.path), 4096)}, [{argv}], [{variables}])"


def plain_text(abi: str, calls: Calls, index: int) -> str:
    """A call by its registers alone, without a column for the result."""
    number, result = calls.values(0)[index], calls.values(4)[index]
    call = find(abi, number)
    registers = calls.arguments(index, arity(abi, number))
    name = f"call_{number}" if call is None else call.row.name
    shown = ", ".join(f"{v:#x}" if v > 9 else str(v) for v in registers)
    returned = "?" if name in NO_RETURN else signed(result, calls.word)
    return f"{name}({shown}) = {returned}"


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
    call = find(abi, number)
    return call is not None and call.row.arguments.startswith("fd ")


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


class CallFilter:
    """Which calls somebody looks for: all that is given must be so; what is not given is any."""

    def __init__(
        self,
        trace: Trace,
        names: Collection[str] = (),
        fd: int | None = None,
        paths: Collection[str] = (),
        pids: Collection[int] = (),
    ) -> None:
        """Raises BadInput for a call that no architecture of the run has, for a file that was never
        opened or executed, and for a process that is not there."""
        self.names, self.fd, self.paths, self.pids = frozenset(names), fd, paths, frozenset(pids)
        self._trace = trace
        known = {name for program in trace.programs for name in NUMBERS[program.abi]}
        for name in sorted(self.names - known):
            raise BadInput(f"there is no system call {name} on any architecture of this run")
        for pid in sorted(self.pids):
            have_pid(trace, pid)
        opened = trace.opens() if paths else []
        named = {shown(row.path) for row in opened} | {shown(p.path) for p in trace.programs}
        for path in paths:
            if not any(_is_path(one, path) for one in named):
                raise BadInput(
                    f"{path}: no program of this run opened or executed it; "
                    "`bootstrap trace files` lists what there is"
                )
        self._opens = [row for row in opened if self.on_path(shown(row.path))]
        self._ends = {program.last_event for program in trace.programs}

    def on_path(self, path: str) -> bool:
        """Whether a call on this file is wanted."""
        return not self.paths or any(_is_path(path, one) for one in self.paths)

    def fits(self, program: ProgramRow, call: RecordedCall) -> bool:
        """Whether it is one of them."""
        if self.names and call.number not in numbers_of(program.abi, *self.names):
            return False
        of_fd = takes_fd(program.abi, call.number)
        if self.fd is not None and not (of_fd and call.first == self.fd):
            return False
        return not self.paths or any(self._on(row, program, call, of_fd) for row in self._opens)

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


@dataclass(frozen=True, slots=True)
class Transfer:
    """A read(2) or write(2) of a file that was opened, and where in the file it was."""

    offset: int
    size: int
    """0: nothing was left to read."""
    ordinal: int
    """Of the system call, in its process, from 1."""
    event: int
    guest_addr: int


def transfers(trace: Trace, opened: OpenRow, name: str) -> Iterator[Transfer]:
    """The calls of that name by the descriptor of an open file, at the descriptor's own offset: in
    the program that opened it, to its close."""
    program = trace.program(opened.process)
    numbers = NUMBERS[program.abi]
    wanted, lseek, close = numbers[name], numbers.get("lseek", -1), numbers["close"]
    first, last, at = opened.event, opened.last_event or program.last_event, 0
    for chunk in trace.chunks(program.id):
        if chunk.first_event + chunk.count <= first or chunk.first_event > last:
            continue
        calls = trace.calls(chunk)
        sign = 1 << 8 * calls.word - 1
        begin, end = (max(0, event + 1 - chunk.first_event) for event in (first, last))
        numbers_of, fds, addresses, results = (calls.values(c) for c in (0, 1, 2, 4))
        # One of a million calls may be of the file, or nearly each of them.
        for index in compress(range(begin, end), map(opened.fd.__eq__, fds[begin:end])):
            number, result = numbers_of[index], results[index]
            if result >= sign:
                continue
            if number == wanted:
                ordinal, event = chunk.first_call + index, chunk.first_event + index
                yield Transfer(at, result, ordinal, event, addresses[index])
                at += result
            elif number == lseek:
                at = result
            elif number == close:
                return


def _is_path(path: str, wanted: str) -> bool:
    """Whether it is that path, or ends with these parts."""
    return f"/{path.lstrip('/')}".endswith(f"/{wanted.lstrip('/')}")


def outputs(program: ProgramRow) -> frozenset[int]:
    """The numbers of the calls that write."""
    return numbers_of(program.abi, "write", "writev")
