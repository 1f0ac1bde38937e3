"""Two traces: where the runs diverge, by process, file, call and instruction; what followed.

`Comparing` knows which program, file and system call of one is which of the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from bootstrap.diff import call_pairs as calling
from bootstrap.diff import facts as happened
from bootstrap.diff.aligning import Pair, pairs
from bootstrap.diff.call_pairs import CallsOf, RenderedCall
from bootstrap.diff.comparison import (
    Both,
    FirstByte,
    Progress,
    Replaying,
    first_byte,
    first_difference,
)
from bootstrap.diff.facts import Fact
from bootstrap.diff.files import (
    FileFlow,
    FilesOf,
    Left,
    Version,
    compare,
    differs,
    last_versions,
    path_of,
    start_differs,
    tree_names,
)
from bootstrap.diff.lockstep import InstructionDiff, Machines, NotFound, SearchRange, SourceByte
from bootstrap.instruments import Engine
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.origins import ByteOrigins, WriteCall
from bootstrap.trace.calls import NotFollowed, transfers
from bootstrap.trace.columns import unpacked
from bootstrap.trace.store import MAX_INPUT, OpenRow, ProgramRow, Trace
from bootstrap.trace.views import ended
from bootstrap.words import listed


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
        try:
            starts += islice(reads, 1)
        except NotFollowed:
            starts.append(0)
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


HEADER = ("source", "source_digest", "arch", "entry", "tool", "engine", "hot_path", "result",
        "failure", "limits")  # fmt: skip
"""What of the header is shown where it differs."""
TRIED = 6
"""Programs that are run again at most to find the first instruction that differs."""


@dataclass(frozen=True)
class RunsDivergence:
    """Where two runs diverge, with both sides of it."""

    event: int
    """System calls of the whole run before it, or the one in which it came."""
    what: str
    """A sentence."""
    programs: Pair
    file: ChangedFile | None = None


@dataclass(frozen=True)
class CallDivergence(RunsDivergence):
    """The system call in which two programs differ."""

    programs: Both[ProgramRow]
    calls: Both[RenderedCall] = field(kw_only=True)


@dataclass
class TraceDiff:
    """All that is said of two traces."""

    equal: bool
    traces: Both[Trace]
    header: list[tuple[str, Both[str | None]]] = field(default_factory=list)
    first: RunsDivergence | None = None
    call: CallDivergence | None = None
    """The first system call that differs."""
    instruction: InstructionDiff | None = None
    instruction_in: Both[ProgramRow] | None = None
    before_call: InstructionDiff | None = None
    """The same in the program of that system call, where that is another one."""
    searched: list[tuple[Both[ProgramRow], str]] = field(default_factory=list)
    """Programs in which no such instruction was found, and why."""
    no_instruction: str = ""
    """Why nothing was run again."""
    given: list[ChangedFile] = field(default_factory=list)
    """Files that were there before the run and that differ, in order of first use."""
    names: list[tuple[str, Both[str | None]]] = field(default_factory=list)
    """What else differs of the source tree in folders that both looked into: what a name is."""
    flow: FileFlow = field(default_factory=FileFlow)
    left: list[tuple[Left, int | None]] = field(default_factory=list)
    """What programs left that differs, and the first byte in which it does."""
    first_left: ChangedFile | None = None
    """The first of them, with where its byte comes from."""
    at_end: tuple[int, int] = (0, 0)
    """Paths whose content at the end of the run differs or that are in one only; all paths."""
    printed: list[tuple[int, FirstByte]] = field(default_factory=list)
    """Standard streams on which something else came out, and the first byte of it."""
    ends: list[tuple[Both[ProgramRow], Both[str]]] = field(default_factory=list)
    """Programs that ended in another way."""


def diff(
    a: Trace,
    b: Trace,
    engine: Engine | None,
    replaying: Replaying,
) -> TraceDiff:
    """Compare two traces. Without an engine nothing is run again, and the instruction is left out.

    `replaying` is entered while programs run again; what it gives is called now and then.
    Raises BadInput for a damaged trace.
    """
    found = TraceDiff(True, Both(a, b))
    found.header = [
        (name, Both(a.meta.get(name), b.meta.get(name)))
        for name in HEADER
        if a.meta.get(name) != b.meta.get(name)
    ]
    if a.computed_digest() == b.computed_digest():
        # The digest has what the programs' rows say of their calls, and the calls stand apart.
        calls = calling.CallsOf(a), calling.CallsOf(b)
        for one, other in zip(a.programs, b.programs, strict=True):
            calling.differ(*calls, Both(one, other))
        return found
    found.equal = False
    work = Comparing(a, b)
    found.call = _first_call(work)
    sides = happened.divergence(happened.facts(a), happened.facts(b))
    found.first = _first(work, sides, found.call)
    given = work.differing_input()
    found.flow = compare(*work.files, work.pairs, None if given is None else given[0])
    found.given = [work.changed(one.versions) for one in found.flow.given]
    found.names = tree_names(a, b, {one.path for one in found.given})
    _followed(work, found)
    if engine is None:
        found.no_instruction = "nothing was run again"
    else:
        with replaying() as progress:
            _instruction(work, found, engine, progress)
    return found


def _first_call(work: Comparing) -> CallDivergence | None:
    best: CallDivergence | None = None
    for pair in filter(None, (pair.whole() for pair in work.pairs)):
        # Nothing that came later can be the first.
        if best is not None and min(p.first_event for _, p in pair.sides) >= best.event:
            continue
        index = work.index(pair)
        if index is None:
            continue
        calls = calling.rendered(*work.calls, pair, index)
        event = calling.event_of(calls)
        if best is None or event < best.event:
            best = CallDivergence(event, _call_sentence(calls), pair, calls=calls)
    return best


def _first(
    work: Comparing,
    sides: tuple[Fact | None, Fact | None] | None,
    call: CallDivergence | None,
) -> RunsDivergence | None:
    fact = None if sides is None else min(
        (one for one in sides if one is not None), key=lambda one: one.key
    )  # fmt: skip
    if call is not None:
        # Where a run is stopped, its files are closed: that is no divergence of its own.
        missing = [one.event for _, one in call.calls.sides if one.missing]
        stopped = fact is not None and fact.order == happened.CLOSED and fact.event in missing
        if fact is None or stopped or (call.event, happened.CALL) < fact.key:
            return call
    if fact is None or sides is None:
        return None  # only what came out differs
    a, b = sides
    pair = work.pair(a, b)
    version = _version(work, a, b)
    event = fact.event if fact.event != happened.NEVER else max(work.a.events, work.b.events)
    return RunsDivergence(event, _sentence(work, fact, a, b, pair), pair, version)


def _call_sentence(calls: Both[RenderedCall]) -> str:
    for side, one in calls.sides:
        if one.missing:
            return f"a program makes a system call that it does not make in {side}"
    if calls.map(lambda one: one.text.rpartition(" = ")[0]).same:
        return "a system call has another result"
    return "a program makes another system call, and no file or input that it had before differs"


def _version(work: Comparing, a: Fact | None, b: Fact | None) -> ChangedFile | None:
    """The two contents that a fact is about."""
    if a is None or b is None or a.version is None or b.version is None or a.path != b.path:
        return None
    couple: Both[Version | None] = Both(*(
        Version(*trace.hashes()[f.version or 0], f.path.lstrip("/"), f.version or 0)
        for f, trace in zip((a, b), work.sides, strict=True)
    ))  # fmt: skip
    return work.changed(couple) if differs(couple) else None


def _sentence(work: Comparing, fact: Fact, a: Fact | None, b: Fact | None, pair: Pair) -> str:
    side = "" if a is not None and b is not None else f" in {'A' if a is not None else 'B'} only"
    if side:
        return {
            happened.INPUT: "something comes in on standard input",
            happened.OPENED: f"{fact.path} is opened",
            happened.CLOSED: f"{fact.path} is closed",
            happened.CHANGED: f"the name or the mode of {fact.path or 'a file'} changes",
            happened.ENDED: "a program ends",
            happened.RUN: "a first program is started",
            happened.BEGAN: f"{fact.path} is executed, or forked,",
        }[fact.order] + side
    if fact.order in (happened.RUN, happened.BEGAN):
        if (both := pair.whole()) is not None:
            parts = list(start_differs(both))
            images = [files.image(p) for files, (_, p) in
                      zip(work.files, both.sides, strict=True)]  # fmt: skip
            if images[0].sha256 != images[1].sha256:
                parts.append("the program itself")
            if parts:
                one = len(parts) == 1 and parts != ["its arguments"]
                return f"a program is started, and {listed(parts)} {'differs' if one else 'differ'}"
        return "another program is started"
    return {
        happened.INPUT: "something else comes in on standard input",
        happened.OPENED: f"{fact.path.lstrip('/')} is opened, and is not the same file"
        if a is not None and b is not None and a.path == b.path
        else "another file is opened",
        happened.CLOSED: f"{fact.path.lstrip('/')} is left with another content",
        happened.CHANGED: "the name or the mode of a file changes otherwise",
        happened.ENDED: "a program ends otherwise",
    }[fact.order]


def _followed(work: Comparing, found: TraceDiff) -> None:
    for left in found.flow.left:
        a, b = left.versions.a, left.versions.b
        offset = None
        if a is not None and b is not None:
            offset = first_difference(work.a.content(a.id), work.b.content(b.id))
            if found.first_left is None:
                found.first_left = work.changed(left.versions)
        found.left.append((left, offset))
    ends = [
        last_versions(v for p in trace.programs for v in files.leaves(p))
        for files, trace in zip(work.files, work.sides, strict=True)
    ]
    paths = {*ends[0], *ends[1]}
    other = [p for p in paths if differs(Both(ends[0].get(p), ends[1].get(p)))]
    found.at_end = len(other), len(paths)
    for pair in filter(None, (pair.whole() for pair in work.pairs)):
        if not (how := pair.map(ended)).same:
            found.ends.append((pair, how))
    a_out, b_out = (_printed(trace) for trace in work.sides)
    for stream in sorted({*a_out, *b_out}):
        where = first_byte(a_out.get(stream, b""), b_out.get(stream, b""))
        if where is not None:
            found.printed.append((stream, where))


def _printed(trace: Trace) -> dict[int, bytes]:
    found: dict[int, list[bytes]] = {}
    with trace.reading():
        rows = trace.database.execute("SELECT stream, content FROM output ORDER BY id")
        for stream, content in rows:
            found.setdefault(stream, []).append(unpacked(content, MAX_INPUT))
    return {stream: b"".join(parts) for stream, parts in found.items()}


# The instruction.


def _instruction(
    work: Comparing,
    found: TraceDiff,
    engine: Engine,
    progress: Progress,
) -> None:
    first = None if found.first is None else found.first.programs
    among = [pair for pair, because in found.flow.differing if because]
    if found.call is not None:
        among.append(found.call.programs)
    machines = Machines(work.a, work.b, engine, progress, work.images)
    try:
        for pair in candidates(work, first, among):
            if len(found.searched) == TRIED:
                found.no_instruction = f"it was searched for in {TRIED} programs"
                break
            one = _in_program(work, machines, pair)
            if isinstance(one, InstructionDiff):
                found.instruction, found.instruction_in = one, pair
                break
            found.searched.append((pair, one))
        else:
            found.no_instruction = "no program that both ran has an input that differs"
        call = found.call
        searched = [pair for pair, _ in found.searched]
        if call is not None and call.programs not in (found.instruction_in, *searched):
            one = _in_program(work, machines, call.programs)
            found.before_call = one if isinstance(one, InstructionDiff) else None
    finally:
        machines.close()


def _in_program(
    work: Comparing, machines: Machines, pair: Both[ProgramRow]
) -> InstructionDiff | str:
    """The first instruction after which a register differs in two programs, or why none is."""
    where = search_range(work, pair)
    if isinstance(where, str):
        return where
    try:
        return machines.first(where)
    except NotFound as error:
        return str(error)
