"""Which program of one trace is which of the other.

Programs are compared below the one that started them, in the order in which they were started. Two
are the same one if they are the same command; failing that, if they run a program of the same path;
failing that, if both were only forked. What is between two such pairs is in one trace only.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from difflib import SequenceMatcher

from bootstrap.diff.comparison import Both
from bootstrap.trace.store import ProgramRow, Trace

Pair = Both[ProgramRow | None]


class _Family:
    """The programs of a trace by the one that started them."""

    def __init__(self, trace: Trace) -> None:
        self.children: dict[int | None, list[ProgramRow]] = {}
        self._executes: dict[int, ProgramRow] = {}
        for program in trace.programs:
            self.children.setdefault(program.parent, []).append(program)
            if program.parent is not None and program.ordinal:
                self._executes[program.parent] = program

    def _becomes(self, program: ProgramRow) -> ProgramRow | None:
        """What a forked child executes; the program itself where it was executed."""
        return program if program.ordinal else self._executes.get(program.id)

    def command(self, program: ProgramRow) -> Hashable:
        """What makes two programs the same command."""
        image = self._becomes(program)
        if image is None:
            return bool(program.ordinal), None
        return bool(program.ordinal), image.path, image.argv

    def path(self, program: ProgramRow) -> Hashable:
        """What makes two of them the same program."""
        image = self._becomes(program)
        return bool(program.ordinal), None if image is None else image.path


def pairs(a: Trace, b: Trace) -> Iterator[Pair]:
    """Every program of both traces once, in order."""
    one, other = _Family(a), _Family(b)
    keys = ((one.command, other.command), (one.path, other.path), (_forked(1), _forked(-1)))
    todo = _aligned(one.children.get(None, []), other.children.get(None, []), keys)[::-1]
    while todo:
        pair = todo.pop()
        yield pair
        mine = [] if pair.a is None else one.children.get(pair.a.id, [])
        theirs = [] if pair.b is None else other.children.get(pair.b.id, [])
        todo += _aligned(mine, theirs, keys)[::-1]


Key = Callable[[ProgramRow], Hashable]


def _forked(sign: int) -> Key:
    """Forked children are alike; programs that were executed are like nothing in the other."""
    return lambda program: sign * program.id if program.ordinal else "forked"


def _aligned(
    a: Sequence[ProgramRow], b: Sequence[ProgramRow], keys: Sequence[tuple[Key, Key]]
) -> list[Pair]:
    if not a or not b or not keys:
        return [*(Both(x, None) for x in a), *(Both(None, y) for y in b)]
    mine, theirs = [keys[0][0](x) for x in a], [keys[0][1](y) for y in b]
    start = 0
    while start < min(len(a), len(b)) and mine[start] == theirs[start]:
        start += 1
    ends = 0
    while ends < min(len(a), len(b)) - start and mine[-1 - ends] == theirs[-1 - ends]:
        ends += 1
    last_a, last_b = len(a) - ends, len(b) - ends
    found: list[Pair] = [Both(x, y) for x, y in zip(a[:start], b[:start], strict=True)]
    matcher = SequenceMatcher(None, mine[start:last_a], theirs[start:last_b], autojunk=False)
    for tag, i, j, k, n in matcher.get_opcodes():
        part_a, part_b = a[start + i : start + j], b[start + k : start + n]
        if tag == "equal":
            found += [Both(x, y) for x, y in zip(part_a, part_b, strict=True)]
        else:
            found += _aligned(part_a, part_b, keys[1:])
    return found + [Both(x, y) for x, y in zip(a[last_a:], b[last_b:], strict=True)]
