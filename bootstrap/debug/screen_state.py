"""All that a screen shows of a place, taken out of a session at once: plain values, no machine.

Whoever draws can then be another thread than the one that the session belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bootstrap.core.arches import PAGE
from bootstrap.core.errors import BadInput
from bootstrap.debug import places
from bootstrap.debug.session import Produced, Session
from bootstrap.debug.views import CodeLine, SourceView
from bootstrap.instruments.counter import READS, WRITES
from bootstrap.timeline import search
from bootstrap.timeline.images import ProgramImage
from bootstrap.timeline.profile import count
from bootstrap.timeline.state import File
from bootstrap.trace import coordinates
from bootstrap.trace.columns import WORD
from bootstrap.trace.views import command, ended

MOST_BYTES = 1 << 20
"""Bytes of one file that are shown; of a longer one, those around the place in it."""
COUNTED_AT_ONCE = 3_000_000
"""Instructions of a program that are counted without being asked for: some tenths of a second."""
LONGEST = 15
"""Bytes of the longest instruction."""


@dataclass(frozen=True, slots=True)
class ScreenRequest:
    """What the screen has room for, and where it looks."""

    code: int = 20
    """Instructions."""
    memory: int = 256
    """Bytes."""
    stack: int = 16
    calls: int = 20
    code_at: int | None = None
    """None: around pc."""
    memory_at: int | None = None
    """None: what was accessed last, else the stack."""
    memory_byte: int | None = None
    """What has to be seen there, where what is before it cannot be read."""
    generated: bool = False
    """Which source: see Session.source."""


@dataclass(frozen=True, slots=True)
class FileView:
    """An open file as the guest sees it now."""

    fd: int
    path: str
    offset: int
    size: int
    first: int
    """Offset of the first byte of `content`."""
    content: bytes
    written: tuple[int, int] | None = None
    """What was just written: (offset, size)."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A line of the process tree."""

    row: int
    depth: int
    pid: int
    text: str
    end: str
    begin: str
    """Its first instruction, as a coordinate."""


@dataclass(frozen=True)
class ScreenState:
    """See above."""

    here: str
    row: int
    pid: int
    program: str
    executed: int
    total: int | None
    """Instructions of the program; None: not counted yet."""
    calls_made: int
    calls_total: int
    event: int
    events: int
    word: int
    pc: int
    sp: int
    source: SourceView | None
    """The source that the instruction was assembled from."""
    unknown: str
    """Why there is none."""
    code: tuple[CodeLine, ...]
    registers: tuple[tuple[str, int], ...]
    changed: frozenset[str]
    flags: str
    memory_at: int
    memory: bytes
    stack: tuple[tuple[int, int, str], ...]
    input: FileView | None
    output: FileView | None
    calls: tuple[tuple[int, str], ...]
    """Those that were made, the last ones: (ordinal, text)."""
    next_call: str
    tree: tuple[Branch, ...]
    breaks: frozenset[int]
    """Addresses with a breakpoint."""
    watched: tuple[tuple[int, int, int], ...]
    """Watchpoints: (number, address, size)."""
    produced: Produced | None
    failure: str
    read: tuple[int, int] | None = None
    """What the last instruction read: (address, size); see `settled`."""
    wrote: tuple[int, int] | None = None
    settled: bool = False
    """Whether `read` and `wrote` were looked for."""
    ran: dict[int, int] | None = field(default=None)
    """How often each instruction of this program ran in all; None: not counted."""
    marked: tuple[tuple[str, int], ...] = ()
    """Marks in this program: (name, instructions)."""


class ScreenReader:
    """Makes views of one session; keeps what is expensive to make again."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._lines: dict[tuple[int, int, bytes], tuple[CodeLine, ...]] = {}
        """By image, address and the bytes from there on."""
        self._tree: tuple[Branch, ...] = ()
        self._shown: tuple[int, tuple[int, ...]] = 0, ()
        self._ran: dict[int, dict[int, int]] = {}

    def view(self, request: ScreenRequest) -> ScreenState:
        """What there is here. Raises as the session does."""
        session = self.session
        program = session.program
        registers = dict(session.registers())
        sp = next((registers[n] for n in ("esp", "rsp", "sp") if n in registers), 0)
        start = request.memory_at if request.memory_at is not None else sp & ~15
        if request.memory_byte is not None and not session.read(start, 1):
            start = request.memory_byte & ~15
        produced = session.produced()
        input_, output = self._files(produced)
        made = session.calls
        first = max(1, made - request.calls + 1)
        here = session.here
        return ScreenState(
            here=str(here), row=session.row, pid=session.pid, program=command(program),
            executed=session.executed, total=session.at.checkpoints.totals.get(session.row),
            calls_made=made, calls_total=program.calls, event=session.at.event,
            events=session.trace.events, word=WORD[program.abi], pc=session.pc, sp=sp,
            source=session.source(None, request.generated),
            unknown=session.unknown or "what comes next is not in the image",
            code=self._code(request),
            registers=session.registers(), changed=session.changed(),
            flags=session.flags().partition(": ")[2],
            memory_at=start, memory=session.read(start, request.memory),
            stack=tuple((a, v, session.label(v)) for a, v in session.stack(request.stack)),
            input=input_, output=output,
            calls=tuple((n, session.call(n)) for n in range(first, made + 1)),
            next_call=session.call(made + 1), tree=self._branches(),
            breaks=frozenset(session.breakpoints.addresses(program.image)),
            watched=tuple((w.number, w.guest_addr, w.size) for w in session.watchpoints),
            produced=produced, failure=session.failure, ran=self._ran.get(session.row),
            marked=tuple(
                (name, place.executed) for name, place in session.marks.items()
                if (place.pid, place.ordinal, place.run) == (here.pid, here.ordinal, here.run)
            ),
        )  # fmt: skip

    def settle(self, view: ScreenState, request: ScreenRequest) -> ScreenState:
        """The same place, with what takes longer: accesses, and how often each instruction ran."""
        session, row, at = self.session, self.session.row, self.session.executed
        read = wrote = None
        end = (1 << 8 * WORD[session.program.abi]) - 1
        if at:
            for kinds in (READS, WRITES):
                access = search.first_access(session.at, 0, end, kinds, row, at - 1, at)
                if access is not None and kinds == READS:
                    read = access.guest_addr, access.size
                elif access is not None:
                    wrote = access.guest_addr, access.size
        known = session.at.checkpoints.totals.get(row)
        short = session.program.calls <= COUNTED_AT_ONCE // 20
        if row not in self._ran and short and (known is None or known <= COUNTED_AT_ONCE):
            self.count()
        accessed = wrote or read
        if request.memory_at is None and accessed is not None:
            # In a small window what was accessed is in its first rows.
            align = 16 if request.memory >= 64 else 4
            start = max(0, accessed[0] // align * align - (2 * align if align == 16 else 0))
            size = max(request.memory, 16)
            if not session.read(start, 1):
                start = accessed[0] & ~15
            view = replace(view, memory_at=start, memory=session.read(start, size))
        total = session.at.checkpoints.totals.get(row)
        return replace(
            view, read=read, wrote=wrote, settled=True, ran=self._ran.get(row), total=total
        )

    def count(self) -> None:
        """Count how often each instruction of this program runs: runs all of it again."""
        session = self.session
        program = session.program
        place = session.row, session.executed
        try:
            found = count(session.at, session.images, [program])
            counted = found[program.image]
            self._ran[program.id] = dict(counted.ran())
            session.at.checkpoints.totals.setdefault(program.id, counted.total)
        except BadInput:
            self._ran[program.id] = {}
        finally:
            if session.at.machine is None or (session.row, session.executed) != place:
                session.at.seek(*place)

    # Parts.

    def _code(self, request: ScreenRequest) -> tuple[CodeLine, ...]:
        session = self.session
        image = session.image
        centre = session.pc if request.code_at is None else request.code_at
        before = request.code // 3
        start = self._begin(centre, before, request)
        found = self._from(start, request.code, image, centre)
        if len(found) < request.code:
            # The program ends here: more of what is before it.
            more = self.before(found[0].guest_addr if found else centre, request.code - len(found))
            found = self._from(more, request.code, image, centre)
        self._shown = session.program.image, tuple(line.guest_addr for line in found)
        return tuple(found)

    def _from(self, start: int, count: int, image: ProgramImage, centre: int) -> list[CodeLine]:
        """Instructions from an address on, up to the end of the image that the centre is in."""
        session = self.session
        key = session.program.image, start, session.read(start, LONGEST * count)
        if key not in self._lines:
            self._lines[key] = session.disassemble(start, count)
        inside, pc = image.offset(centre) is not None, session.pc
        return [
            replace(line, here=not line.here) if line.here != (line.guest_addr == pc) else line
            for line in self._lines[key]
            if not inside or image.offset(line.guest_addr) is not None
        ]

    def _begin(self, centre: int, before: int, request: ScreenRequest) -> int:
        """The same start as before, as long as the centre is well inside: nothing jumps."""
        image, shown = self._shown
        if image == self.session.program.image and len(shown) == request.code and centre in shown:
            index = shown.index(centre)
            if min(2, before) <= index < len(shown) - min(3, before):
                return shown[0]
        return self.before(centre, before)

    def before(self, guest_addr: int, wanted: int) -> int:
        """Where to begin to disassemble, so that about so many instructions come before that one.

        Instructions have no start that can be seen from their end: of all that lead exactly to
        the address, one from which no byte is left over. Where the source is known, its lines help.
        """
        image = self.session.image
        low = max(0, guest_addr - LONGEST * wanted)
        raw = self.session.read(low, guest_addr - low)
        if len(raw) < guest_addr - low:  # a page before it cannot be read
            low = (guest_addr - 1) // PAGE * PAGE
            raw = self.session.read(low, guest_addr - low)
        floor = image.window[0] + image.headers_end
        if low < floor <= guest_addr:
            raw, low = raw[floor - low :], floor
        begin = guest_addr
        for skip in range(len(raw)):
            starts = self._walk(image, raw, low, skip)
            if starts is not None:
                begin = starts[-wanted] if len(starts) >= wanted else starts[0]
                break
        return begin

    @staticmethod
    def _walk(image: ProgramImage, raw: bytes, low: int, skip: int) -> list[int] | None:
        """The instructions from there, if they lead exactly to the end and all are known."""
        starts: list[int] = []
        at = skip
        while at < len(raw):
            one = image.decoder.one(raw[at : at + LONGEST], low + at)
            if not one.is_instruction:
                return None
            starts.append(low + at)
            at += len(one.code)
        return starts if at == len(raw) and starts else None

    def _files(self, produced: Produced | None) -> tuple[FileView | None, FileView | None]:
        """The file that is read and the one that is written, of several the last."""
        files = [f for f in self.session.open_files() if f.size is not None]
        readable = [f for f in files if f.access != "write"]
        writable = [f for f in files if f.access != "read"]
        used = [f for f in readable if f.offset]
        made = [f for f in writable if produced is not None and f.path == produced.path]
        return self._file(used or readable, None), self._file(made or writable, produced)

    def _file(self, files: list[File], produced: Produced | None) -> FileView | None:
        if not files:
            return None
        file = files[-1]
        try:
            content = self.session.file(file.fd)
        except BadInput:
            return None
        first = max(0, min(file.offset - MOST_BYTES // 2, len(content) - MOST_BYTES)) & ~15
        written = None
        if produced is not None and produced.path == file.path:
            written = produced.offset, produced.size
        return FileView(
            file.fd, file.path, file.offset, len(content), first,
            content[first : first + MOST_BYTES], written,
        )  # fmt: skip

    def _branches(self) -> tuple[Branch, ...]:
        if not self._tree:
            trace = self.session.trace
            for p, depth in places.family(trace):
                text = command(p) + (" (forked)" if p.ordinal == 0 else "")
                begin = str(coordinates.at(trace, p, 0))
                self._tree += (Branch(p.id, depth, p.pid, text, ended(p), begin),)
        return self._tree
