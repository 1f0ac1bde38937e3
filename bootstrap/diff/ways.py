"""In which programs, and from which system call on, to look for the first instruction."""

from __future__ import annotations

from collections.abc import Iterable

from bootstrap.diff import calls as calling
from bootstrap.diff.aligning import Pair
from bootstrap.diff.comparing import Comparing
from bootstrap.diff.files import start_differs
from bootstrap.diff.machine import Way
from bootstrap.diff.model import first_difference
from bootstrap.linux.numbers import NUMBERS
from bootstrap.trace.reader import OpenRow, ProgramRow


def candidates(work: Comparing, first: Pair | None, met: Iterable[Pair]) -> list[Pair]:
    """Programs of both in which something differs, the first of all before the others."""
    order = [] if first is None or first.a is None or first.b is None else [first]
    known = set(met)
    order += [pair for pair in work.pairs if pair in known]
    return list(dict.fromkeys(order))


def way_of(work: Comparing, pair: Pair) -> Way | str:
    """From where to where to look, or why not."""
    a, b = pair.a, pair.b
    assert a is not None and b is not None
    if a.abi != b.abi:
        return "they are of two architectures"
    index = work.index(pair)
    end = None if index is None else index + 1
    images = [files.image(p) for files, p in zip(work.files, (a, b), strict=True)]
    if start_differs(pair) or images[0].sha256 != images[1].sha256:
        return Way((a.id, b.id), 0, end)
    starts = [end] if end is not None else []
    starts += _came_in(work, pair)
    for opened, its in _differing_reads(work, pair):
        call = _read_at(work, a, opened, its)
        if call is not None:
            starts.append(call)
    start = min(starts, default=0)
    if start == end and not calling.answered_otherwise(*work.calls, pair, end - 1):
        start = 0  # what it was given differs already: the way there is the question
    return Way((a.id, b.id), start, end)


def _came_in(work: Comparing, pair: Pair) -> list[int]:
    """The call of the program in which the first standard input came that differs."""
    met = work.met_input()
    if met is None or met[0] != pair or pair.a is None:
        return []
    event = met[1]
    for chunk in work.a.chunks(pair.a.id):
        if chunk.first_event <= event < chunk.first_event + chunk.count:
            ordinal = chunk.first_call + event - chunk.first_event
            return [ordinal - pair.a.first_call]
    return []


def _differing_reads(work: Comparing, pair: Pair) -> list[tuple[OpenRow, int]]:
    """What the program opened in A that is another content in B, and its first other byte."""
    assert pair.a is not None and pair.b is not None
    found = []
    reads = (files.reads(p) for files, p in zip(work.files, (pair.a, pair.b), strict=True))
    for (row, mine), (_, theirs) in zip(*reads, strict=False):
        if mine.path != theirs.path:
            break
        if mine.sha256 != theirs.sha256:
            where = first_difference(work.a.content(mine.id), work.b.content(theirs.id))
            assert where is not None
            found.append((row, where))
    return found


def _read_at(work: Comparing, program: ProgramRow, opened: OpenRow, offset: int) -> int | None:
    """The program's call, counted in it, that first read that byte of a file, or the end of it."""
    numbers = NUMBERS[program.abi]
    read, lseek, close = numbers["read"], numbers.get("lseek", -1), numbers["close"]
    at_now = 0
    for chunk in work.a.chunks(program.id):
        if chunk.first_event + chunk.count <= opened.event:
            continue
        calls = work.a.calls(chunk)
        top = 1 << 8 * calls.word - 1
        rows = zip(*(calls.values(c) for c in (0, 1, 4)), strict=True)
        for index, (number, fd, result) in enumerate(rows):
            if fd != opened.fd or number not in (read, lseek, close) or result >= top:
                continue
            if chunk.first_event + index <= opened.event:
                continue
            if number == close:
                return None
            if number == lseek:
                at_now = result
                continue
            if at_now <= offset < at_now + result or (not result and at_now <= offset):
                return chunk.first_call + index - program.first_call
            at_now += result
    return None
