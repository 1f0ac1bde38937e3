"""System calls of a trace: found in the record of a program, without running anything, and written
in strace's notation as far as a trace knows them: arguments, not memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import compress, islice

from bootstrap.core.abi import O_APPEND
from bootstrap.core.arches import ARCHES
from bootstrap.core.errors import BadInput, printable
from bootstrap.linux import strace_memory as stored
from bootstrap.linux import strace_values as values
from bootstrap.linux.call_tables import find
from bootstrap.linux.flags import F_GETFD, F_GETFL, F_SETFD
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.row import parameters
from bootstrap.linux.strace import left_out, line, result_text
from bootstrap.trace.columns import Calls, as_raw, shown
from bootstrap.trace.coordinates import have_pid
from bootstrap.trace.store import Chunk, OpenRow, ProgramRow, RecordedChange, Trace

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
                text += _named(descriptors[value])
            texts.append(text)
    end = signed(result, word)
    returned = "?" if row.name in NO_RETURN else result_text(_ARCH[abi], row, args, end)
    if ("open_flags" in words or row.name == "creat") and end in descriptors and end >= 0:
        returned += _named(descriptors[end])
    return line(f"{row.name}({', '.join(texts)})", returned, prefix)


def _named(path: str) -> str:
    """What a descriptor leads to; no name ends the line, or the brackets: strace(1) -y does so."""
    name = printable(path).replace("<", r"\74").replace(">", r"\76")
    return f"<{name}>"


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


class NotFollowed(Exception):
    """It is not known where in the file the next call read or wrote."""


_STAY = frozenset(
    "fstat fstat64 fsync fdatasync fchmod fchdir ioctl pread64 getdents getdents64".split()
)
"""Calls on a descriptor that leave all of it as it is; so do three commands of fcntl(2)."""


def transfers(trace: Trace, opened: OpenRow, name: str) -> Iterator[Transfer]:
    """The calls of that name by the descriptor of an open file, at the descriptor's own offset: in
    the program that opened it, to its close.

    Raises NotFollowed at a call that does what only a run again could say: on a copy of the
    descriptor, in a child, by a vector, at another offset; and for writes to a file that is changed
    in another way too.
    """
    program = trace.program(opened.process)
    read, write, lseek, close = (
        NUMBERS[program.abi].get(one, -1) for one in ("read", "write", "lseek", "close")
    )
    wanted = NUMBERS[program.abi][name]
    last = trace.events if opened.last_event is None else opened.last_event
    if wanted == write and _changed_otherwise(trace, opened, last):
        raise NotFollowed
    heirs = _Heirs(trace, opened, last)
    at = 0
    end = 0 if opened.version is None else trace.hashes()[opened.version][1]
    for call, guest_addr in _by_descriptor(trace, program, opened.fd, opened.event, last):
        heirs.before(call.event)
        if call.number == close or call.first != opened.fd:  # or another one was put there
            return
        if call.number == lseek:
            at = call.result
        elif call.number not in (read, write):
            raise NotFollowed
        else:
            if call.number == write and opened.flags & O_APPEND:
                at = end
            if call.number == wanted:
                ordinal = program.first_call + call.ordinal
                yield Transfer(at, call.result, ordinal, call.event, guest_addr)
            at += call.result
            if call.number == write:
                end = max(end, at)
    heirs.before(last)


def _by_descriptor(
    trace: Trace, program: ProgramRow, fd: int, after: int, last: int
) -> Iterator[tuple[RecordedCall, int]]:
    """The program's calls on a descriptor, and dup2(2) onto it, with their second argument; but for
    those that fail, and that leave the offset and the content of a file as they are."""
    onto = numbers_of(program.abi, "dup2", "dup3")
    stays, control = (numbers_of(program.abi, *some) for some in (_STAY, ("fcntl", "fcntl64")))
    for chunk in trace.chunks(program.id):
        if chunk.first_event + chunk.count <= after or chunk.first_event > last:
            continue
        calls = trace.calls(chunk)
        begin, end = (max(0, event + 1 - chunk.first_event) for event in (after, last))
        numbers, firsts, seconds, results = (calls.values(c) for c in (0, 1, 2, 4))
        # Linux takes 32 bits of the register.
        fds = firsts if calls.word == 4 else [value & 0xFFFFFFFF for value in firsts]
        # One of a million calls may be of the file, or nearly each of them.
        found = list(compress(range(begin, end), map(fd.__eq__, fds[begin:end])))
        if not onto.isdisjoint(numbers):
            found += [i for i, n in enumerate(numbers) if n in onto and seconds[i] == fd]
            found = sorted(i for i in set(found) if begin <= i < end)
        for index in found:
            if takes_fd(program.abi, numbers[index]):
                ordinal = chunk.first_call + index - program.first_call
                result = signed(results[index], calls.word)
                if result < 0 or numbers[index] in stays:
                    continue
                if numbers[index] in control and seconds[index] in (F_GETFD, F_SETFD, F_GETFL):
                    continue
                event = chunk.first_event + index
                call = RecordedCall(ordinal, event, numbers[index], fds[index], result)
                yield call, seconds[index]


class _Heirs:
    """The programs that an open file was left to, by fork(2) and execve(2)."""

    def __init__(self, trace: Trace, opened: OpenRow, last: int) -> None:
        self._trace, self._opened = trace, opened
        self._todo = [p for p in trace.programs if opened.event <= p.first_event < last]
        self._todo.reverse()
        self._last = last
        self._own: dict[int, int] = {}
        """By program, when it opened another file with this descriptor."""
        for row in trace.opens() if self._todo else ():
            if row.fd == opened.fd and row.event > opened.event:
                self._own.setdefault(row.process, row.event)
        self._closed: dict[int, int] = {}
        """By pid."""

    def before(self, event: int) -> None:
        """Raises NotFollowed where one that began before it used the file."""
        while self._todo and self._todo[-1].first_event < event:
            self._look(self._todo.pop())

    def _look(self, program: ProgramRow) -> None:
        before = self._trace.program(program.parent or program.id)
        if self._closed.get(before.pid, program.first_event + 1) <= program.first_event:
            self._closed[program.pid] = program.first_event
            return
        own = self._own.get(program.id, self._last + 1)
        fd, after = self._opened.fd, program.first_event
        close = NUMBERS[program.abi]["close"]
        calls = _by_descriptor(self._trace, program, fd, after, min(own, self._last))
        for call, _ in islice(calls, 1):
            if call.number != close and call.first == fd:
                raise NotFollowed
            own = call.event  # closed, or another one was put there
        if own <= self._last:
            self._closed[program.pid] = own


def _changed_otherwise(trace: Trace, opened: OpenRow, last: int) -> bool:
    """Whether the file was open for writing a second time meanwhile, or cut by its name."""
    others = (row for row in trace.opens() if row.file == opened.file and row.id != opened.id)
    return any(
        row.event <= last and (row.last_event is None or row.last_event > opened.event)
        for row in others
        if row.may_write
    ) or any(
        change.kind == "truncate" and change.file == opened.file
        for change in trace.rows("changes", RecordedChange)
        if opened.event < change.event <= last
    )


def _is_path(path: str, wanted: str) -> bool:
    """Whether it is that path, or ends with these parts."""
    return f"/{path.lstrip('/')}".endswith(f"/{wanted.lstrip('/')}")


def outputs(program: ProgramRow) -> frozenset[int]:
    """The numbers of the calls that write."""
    return numbers_of(program.abi, "write", "writev")
