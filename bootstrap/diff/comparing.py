"""What every part of a comparison of two traces asks for; made once."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.diff import calls as calling
from bootstrap.diff import facts as happened
from bootstrap.diff.aligning import Pair, pairs
from bootstrap.diff.calls import CallsOf
from bootstrap.diff.facts import Fact
from bootstrap.diff.files import FilesOf, Version, path_of
from bootstrap.diff.model import Both, Spot, spot
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.origins import ByteOrigins, OriginStep, WriteCall
from bootstrap.trace.reader import OpenRow, Trace


@dataclass(frozen=True, slots=True)
class Changed:
    """A file that differs."""

    path: str
    versions: Both[Version]
    spot: Spot | None
    """None where one side has no such file."""
    source: Both[OriginStep]
    """Where the byte comes from, where that is another file: the end of the way."""


class _Sources(ByteOrigins):
    """Ways back without the system calls on them: those are not told here, and take long."""

    def write_call(self, writer: OpenRow, offset: int) -> WriteCall | None:
        """None is looked for."""
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
        self._indexes: dict[Pair, int | None] = {}

    def index(self, pair: Pair) -> int | None:
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

    def met_input(self) -> tuple[Pair, int] | None:
        """The program that met the first standard input that differs, and the event, in A."""
        a, b = ([f for f in happened.facts(t) if f.order == happened.INPUT] for t in self.sides)
        parting = happened.parting(a, b)
        fact = None if parting is None else parting[0]
        row = None if fact is None else self.program_at(0, fact.event)
        return None if fact is None or row is None else (self.of_a[row], fact.event)

    def changed(self, couple: Both[Version]) -> Changed:
        """What differs in a file."""
        path, a, b = path_of(couple), couple.a, couple.b
        if a is None or b is None:
            return Changed(path, couple, None, Both(None, None))
        found = spot(self.a.content(a.id), self.b.content(b.id))
        if found is None:
            return Changed(path, couple, None, Both(None, None))
        ends = [self._source(side, version, found.offset) for side, version in enumerate((a, b))]
        return Changed(path, couple, found, Both(*ends))

    def _source(self, side: int, version: Version, offset: int) -> OriginStep | None:
        """The end of the way back from a byte of what some program wrote."""
        why: ByteOrigins = self.images[side].why
        writers = why.writers_of(version.id)
        if not writers or offset >= version.size:
            return None
        # A file that was there before may be known too: some program made the same bytes.
        rows = [row for row in writers if row.path in ("/" + version.path, version.path)]
        chain = why.chain((rows or writers)[0], offset)
        return chain[-1] if len(chain) > 1 else None
