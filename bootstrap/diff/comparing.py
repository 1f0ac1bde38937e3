"""Two traces: which program, file and system call of one is which of the other; made once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from bootstrap.diff import call_pairs as calling
from bootstrap.diff import facts as happened
from bootstrap.diff.aligning import Pair, pairs
from bootstrap.diff.call_pairs import CallsOf
from bootstrap.diff.facts import Fact
from bootstrap.diff.files import FilesOf, Version, path_of, start_differs
from bootstrap.diff.lockstep import SearchRange, SourceByte
from bootstrap.diff.sides import Both, FirstByte, first_byte, first_difference
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.origins import ByteOrigins, WriteCall
from bootstrap.trace.calls import transfers
from bootstrap.trace.store import OpenRow, ProgramRow, Trace


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that differs."""

    path: str
    a: Version | None
    b: Version | None
    first_difference: FirstByte | None
    """None where one side has no such file."""
    from_: Both[SourceByte | None]
    """Where the byte comes from, where that is another file."""

    @property
    def versions(self) -> Both[Version | None]:
        """Both of them."""
        return Both(self.a, self.b)


class _Sources(ByteOrigins):
    """Origins without the system calls in between: those are not shown here, and take long."""

    def write_call(self, writer: OpenRow, offset: int) -> WriteCall | None:
        """None is searched for."""
        return None


class Comparing:
    """Two traces, and which program of one is which of the other."""

    def __init__(self, a: Trace, b: Trace) -> None:
        self.a, self.b = a, b
        self.sides = (a, b)
        self.calls = CallsOf(a), CallsOf(b)
        self.files = FilesOf(a), FilesOf(b)
        self.pairs = list(pairs(a, b))
        self.of_a = {pair.a.id: pair for pair in self.pairs if pair.a is not None}
        self.of_b = {pair.b.id: pair for pair in self.pairs if pair.b is not None}
        self.images = ProgramImages(a, _Sources(a)), ProgramImages(b, _Sources(b))
        self._indexes: dict[Both[ProgramRow], int | None] = {}

    def index(self, pair: Both[ProgramRow]) -> int | None:
        """The first call in which two programs differ."""
        if pair not in self._indexes:
            self._indexes[pair] = calling.differ(*self.calls, pair)
        return self._indexes[pair]

    def pair(self, a: Fact | None, b: Fact | None) -> Pair:
        """The programs that a fact of either side is of."""
        for fact, known, side in ((a, self.of_a, 0), (b, self.of_b, 1)):
            if fact is None:
                continue
            row = fact.process
            if row is None and fact.order == happened.INPUT:
                row = self.program_at(side, fact.event)
            if row is None and fact.order == happened.RUN:
                row = next(
                    (p.id for p in self.sides[side].programs
                     if p.first_event == fact.event and p.parent is None), None,
                )  # fmt: skip
            if row is not None:
                return known[row]
        return Both(None, None)

    def program_at(self, side: int, event: int) -> int | None:
        """The program that made the system call of an event."""
        for chunk in self.sides[side].chunks():
            if chunk.first_event <= event < chunk.first_event + chunk.count:
                return chunk.process
        return None

    def differing_input(self) -> tuple[Pair, int] | None:
        """The program that read the first standard input that differs, and the event, in A."""
        a, b = ([f for f in happened.facts(t) if f.order == happened.INPUT] for t in self.sides)
        diverge = happened.divergence(a, b)
        fact = None if diverge is None else diverge[0]
        row = None if fact is None else self.program_at(0, fact.event)
        return None if fact is None or row is None else (self.of_a[row], fact.event)

    def changed(self, couple: Both[Version | None]) -> ChangedFile:
        """What differs in a file."""
        path, a, b = path_of(couple), couple.a, couple.b
        first: FirstByte | None = None
        origins: list[SourceByte | None] = [None, None]
        if a is not None and b is not None:
            first = first_byte(self.a.content(a.id), self.b.content(b.id))
            if first is not None:
                origins = [self._origin(n, one, first.offset) for n, one in enumerate((a, b))]
        return ChangedFile(path, a, b, first, Both(*origins))

    def _origin(self, side: int, version: Version, offset: int) -> SourceByte | None:
        """Where a byte of what some program wrote comes from in the end."""
        why: ByteOrigins = self.images[side].why
        writers = why.writers_of(version.id)
        if not writers or offset >= version.size:
            return None
        # A file that was there before may be known too: some program made the same bytes.
        rows = [row for row in writers if row.path in ("/" + version.path, version.path)]
        chain = why.chain((rows or writers)[0], offset)
        return SourceByte.of(chain[-1]) if len(chain) > 1 else None


# In which programs, and from which system call on, to search for the first instruction.


def candidates(
    work: Comparing, first: Pair | None, among: Iterable[Both[ProgramRow]]
) -> list[Both[ProgramRow]]:
    """Programs of both in which something differs, the first of all before the others."""
    known: set[Pair] = {first, *among} if first is not None else set(among)
    order = [first, *work.pairs] if first is not None else work.pairs
    found = (pair.whole() for pair in order if pair in known)
    return list(dict.fromkeys(pair for pair in found if pair is not None))


def search_range(work: Comparing, pair: Both[ProgramRow]) -> SearchRange | str:
    """From where to where to look, or why not."""
    a, b = pair.a, pair.b
    if a.abi != b.abi:
        return "they are of two architectures"
    index = work.index(pair)
    end = None if index is None else index + 1
    images = [files.image(p) for files, p in zip(work.files, (a, b), strict=True)]
    if start_differs(pair) or images[0].sha256 != images[1].sha256:
        return SearchRange((a.id, b.id), 0, end)
    starts = [end] if end is not None else []
    starts += _input_calls(work, pair)
    for opened, its in _differing_reads(work, pair):
        # The first call that read that byte of the file, or the end of it.
        reads = (
            one.ordinal - a.first_call
            for one in transfers(work.a, opened, "read")
            if one.offset <= its and (its < one.offset + one.size or not one.size)
        )
        starts += islice(reads, 1)
    start = min(starts, default=0)
    if start == end and not calling.differs_in_result(*work.calls, pair, end - 1):
        start = 0  # what it was given differs already: the question is how it came to that
    return SearchRange((a.id, b.id), start, end)


def _input_calls(work: Comparing, pair: Both[ProgramRow]) -> list[int]:
    """The call of the program in which the first standard input came that differs."""
    found = work.differing_input()
    if found is None or found[0] != pair:
        return []
    event = found[1]
    for chunk in work.a.chunks(pair.a.id):
        if chunk.first_event <= event < chunk.first_event + chunk.count:
            ordinal = chunk.first_call + event - chunk.first_event
            return [ordinal - pair.a.first_call]
    return []


def _differing_reads(work: Comparing, pair: Both[ProgramRow]) -> list[tuple[OpenRow, int]]:
    """What the program opened in A that is another content in B, and its first other byte."""
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
