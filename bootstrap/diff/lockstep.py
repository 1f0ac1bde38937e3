"""The first instruction after which two runs of a program differ in a register.

Both programs are run again from the last place where they are known to be the same. There the two
memories are compared; from there on one machine is watched until it reads a byte that differs, or
executes one. What it does before is the same in the other. Nothing has to be compared one by one,
and the answer is exact: registers are compared before and after that instruction.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bootstrap.core.arches import PAGE
from bootstrap.core.errors import GuestFailed
from bootstrap.diff.comparison import Both, short
from bootstrap.instruments import Engine
from bootstrap.instruments.counter import NEVER, READS
from bootstrap.linux.snapshot import MemoryState
from bootstrap.timeline.disassembly import Decoder
from bootstrap.timeline.images import ProgramImage, ProgramImages
from bootstrap.timeline.origins import OriginStep
from bootstrap.timeline.timeline import PastEnd, Timeline, Unsure
from bootstrap.trace.compare import Diverged
from bootstrap.trace.store import Trace

LONGEST = 15
"""Bytes of the longest instruction."""
Ranges = list[tuple[int, int]]
"""Addresses from, up to; in order, and none touches the next."""


class ChangedCode:
    """Which instructions of a program are other bytes in the other one."""

    def __init__(self, ranges: Ranges, read: Callable[[int, int], bytes], decoder: Decoder) -> None:
        self._ranges = ranges
        self._starts = [start for start, _ in ranges]
        self._read, self._decoder = read, decoder
        self._known: dict[int, bool] = {}

    def bytes_at(self, pc: int) -> bytes:
        """The instruction there."""
        raw = self._read(pc, LONGEST)
        return self._decoder.one(raw, pc).code if raw else b""

    def first(self, other: ChangedCode, base: int, trail: list[int]) -> int | None:
        """Of the instructions that ran, the first that is another in the other one."""
        changed = set()
        for pc in set(trail):
            if pc not in self._known:
                near = touches(self._starts, self._ranges, pc, LONGEST)
                self._known[pc] = near and self.bytes_at(pc) != other.bytes_at(pc)
            if self._known[pc]:
                changed.add(pc)
        if not changed:
            return None
        return base + next(index for index, pc in enumerate(trail) if pc in changed)


def touches(starts: list[int], ranges: Ranges, guest_addr: int, size: int) -> bool:
    """Whether some of these addresses are in one of the ranges."""
    index = bisect_right(starts, guest_addr + size - 1) - 1
    return index >= 0 and ranges[index][1] > guest_addr


def differing(a: MemoryState, b: MemoryState) -> Ranges:
    """Where two memories are not the same, as ranges of addresses in order."""
    one, other = _pages(a), _pages(b)
    found: Ranges = []
    for at in sorted({*one, *other}):
        x, y = one.get(at, _ZERO), other.get(at, _ZERO)
        if x == y:
            continue
        for start, end in _runs(x, y):
            if found and found[-1][1] == at + start:
                found[-1] = found[-1][0], at + end
            else:
                found.append((at + start, at + end))
    return found


_ZERO = bytes(PAGE)


def _pages(memory: MemoryState) -> dict[int, bytes]:
    return {
        extent.start + index * PAGE: page
        for extent in memory.extents
        for index, page in extent.by_index().items()
    }


def _runs(a: bytes, b: bytes) -> Iterator[tuple[int, int]]:
    start = None
    for index, (x, y) in enumerate(zip(a, b, strict=True)):
        if x != y and start is None:
            start = index
        elif x == y and start is not None:
            yield start, index
            start = None
    if start is not None:
        yield start, len(a)


WINDOW = 1 << 18
"""Instructions that are run together."""
MOST = 1 << 30
"""Instructions that are run at most."""
TOUCHES = 64
"""Instructions that work on what differs and give the same, before this is given up."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class FunctionLine:
    """The line in which a function is defined."""

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class SourceByte:
    """Where a byte comes from in the end: an offset of a file, and its line where that is text."""

    path: str
    offset: int
    line: int | None
    column: int | None
    text: str | None
    function: FunctionLine | None
    """Of a program that a compiler made: the function, found by its name."""

    @classmethod
    def of(cls, end: OriginStep) -> SourceByte:
        """The last of the steps that lead there."""
        function = None if end.defined is None else FunctionLine(*end.defined)
        return cls(
            end.path, end.offset, end.line or None, end.column or None, end.text or None, function
        )

    def __str__(self) -> str:
        text = f":{self.line}:{self.column}  {short(self.text)}" if self.text else ""
        if (found := self.function) is not None:
            text = text or f"+{self.offset:#x}"
            text += f" (in the function at {found.file}:{found.line}, found by its name: "
            text += f"{short(found.text)})"
        return f"{self.path}{text or f'+{self.offset:#x}'}"


@dataclass(frozen=True, slots=True)
class DiffInstruction:
    """An instruction of one side."""

    coordinate: str
    pid: int
    program: str
    pc: int
    bytes: bytes
    instruction: str
    label: str | None = None
    source: str | None = None
    """File and line of the source; None where none is known."""
    line: str | None = None
    no_source_line: str | None = None
    """Why there is none."""
    from_: SourceByte | None = None
    """Where that line comes from, where it is made of another file."""


@dataclass(frozen=True, slots=True)
class ReadCall:
    """Memory that was read and that differs."""

    address: int
    a: bytes
    b: bytes


@dataclass(frozen=True)
class InstructionDiff:
    """The instruction after which registers differ."""

    a: DiffInstruction
    b: DiffInstruction
    registers: Mapping[str, Both[int | None]]
    """Those that differ, as they are after it; of a start that differs, as they are there."""
    reads: ReadCall | None
    """What it read that differs."""
    before_the_first: bool = False
    """The registers differ before the first instruction: it is that one."""
    ends: str | None = None
    """`a`, `b` or `both`: there the program ends in it, or the run is stopped."""


class NotFound(Exception):
    """There is none, or it was not found: the message says which."""


@dataclass(frozen=True, slots=True)
class SearchRange:
    """Where to search: two programs, by their rows."""

    rows: tuple[int, int]
    start: int
    """System calls after which they are still the same but for what the last one gave them."""
    end: int | None
    """The first system call that differs, counted in the program; None where none does."""


class Machines:
    """Travellers in both traces. Methods raise BadInput and KeyboardInterrupt as travellers do."""

    def __init__(
        self,
        a: Trace,
        b: Trace,
        engine: Engine,
        progress: Progress = lambda _row, _executed: None,
        images: tuple[ProgramImages, ProgramImages] | None = None,
    ) -> None:
        self._at = Timeline(a, engine, progress), Timeline(b, engine, progress)
        first = self._at[0]
        self._watcher = first.watcher()
        self._images = images or (ProgramImages(a), ProgramImages(b))
        self._passed = ""
        """That a system call took what differs from memory, where no instruction had."""

    def close(self) -> None:
        """Let go of the machines."""
        for traveller in (*self._at, self._watcher):
            traveller.close()

    def first(self, where: SearchRange) -> InstructionDiff:
        """The first instruction after which a register differs. Raises NotFound."""
        try:
            return self._first(where)
        except Diverged as error:
            one = error.divergence
            raise NotFound(
                f"one of the traces does not happen again here: {one.place}: recorded "
                f"{one.recorded}, now {one.now}"
            ) from None

    # Going.

    def _go(self, side: int, row: int, calls: int) -> None:
        """To just after a program's call of that ordinal; 0 is before its first instruction."""
        at = self._at[side]
        if not calls:
            at.seek(row, 0)
            return
        far = at.by_blocks()
        try:
            far.seek_call(row, calls)
            at.resume(far.checkpoint())
        except Unsure:
            at.seek_call(row, calls)
        finally:
            far.close()

    def _both(self, where: SearchRange, calls: int) -> None:
        for side, row in enumerate(where.rows):
            self._go(side, row, calls)

    def _seek(self, where: SearchRange, executed: int) -> str:
        """Both to that place; which of them end before it: `a`, `b`, `both` or none."""
        ended = []
        for side, row in enumerate(where.rows):
            try:
                self._at[side].seek(row, executed)
            except (PastEnd, GuestFailed):
                ended.append("ab"[side])
        return "both" if len(ended) == 2 else "".join(ended)

    def _end_alike(self, where: SearchRange) -> bool:
        """Whether both programs end in the same where."""
        a, b = (at.trace.program(row) for at, row in zip(self._at, where.rows, strict=True))
        return (a.status, a.replaced, a.status is None) == (b.status, b.replaced, b.status is None)

    # Comparing.

    def _registers(self) -> Mapping[str, Both[int | None]]:
        a, b = (dict(at.registers()) for at in self._at)
        return {name: Both(a[name], b.get(name)) for name in a if a[name] != b.get(name)}

    def _ranges(self) -> Ranges:
        """Where the two memories differ."""
        a, b = (at.checkpoint().snapshot.tasks[-1].memory for at in self._at)
        return differing(a, b)

    def _first(self, where: SearchRange) -> InstructionDiff:
        self._both(where, where.start)
        registers, ranges = self._registers(), self._ranges()
        if not registers and not ranges:
            self._narrow(where)
            registers, ranges = self._registers(), self._ranges()
        executed = self._at[0].executed
        if self._at[1].executed != executed:
            raise NotFound(
                f"the two have executed {executed:,} and {self._at[1].executed:,} instructions "
                "where they should be the same"
            )
        if registers:
            return self._made(where, max(0, executed - 1), registers, None, not executed)
        limit = self._limit(where)
        left = MOST
        for _ in range(TOUCHES):
            if not ranges:
                break
            before = executed
            touched, address = self._touch(where, ranges, min(limit, executed + left))
            if touched is None:
                break
            ends = self._seek(where, touched + 1)
            if ends == "both" and self._end_alike(where):
                raise NotFound("both end alike in the instruction that works on what differs")
            registers = {} if ends else self._registers()
            if ends or registers:
                return self._made(where, touched, registers, address, False, ends)
            executed, ranges = touched + 1, self._ranges()
            left -= executed - before
        else:
            raise NotFound(
                f"its first {TOUCHES} instructions that work on what differs give the same: no "
                f"register differs until {self._place(where, executed)}"
            )
        if limit != NEVER and limit > executed:
            ends = self._seek(where, limit)
            registers = {} if ends else self._registers()
            if registers or (ends and ends != "both"):
                return self._made(where, limit - 1, registers, None, False, ends)
        raise NotFound(self._passed or "no instruction of it works on what differs")

    def _place(self, where: SearchRange, executed: int) -> str:
        self._at[0].seek(where.rows[0], executed)
        return str(self._at[0].here)

    def _narrow(self, where: SearchRange) -> None:
        """Where nothing differs yet: go to the call after which something does."""
        if where.end is None:
            since = f"after its system call {where.start}" if where.start else "where it begins"
            raise NotFound(
                f"no register and no byte of memory differs {since}; it was not compared later, "
                "for no call differs and no known input"
            )
        most = min(
            at.trace.program(row).calls for at, row in zip(self._at, where.rows, strict=True)
        )  # fmt: skip
        low, high = where.start, min(where.end, most)
        if not self._differ_after(where, high):
            when = (
                "after the system call that differs"
                if high == where.end
                else "until one of them ends"
            )
            raise NotFound(f"registers and memory are the same {when}")
        while high - low > 1:
            middle = (low + high) // 2
            if self._differ_after(where, middle):
                high = middle
            else:
                low = middle
        self._differ_after(where, high)

    def _differ_after(self, where: SearchRange, calls: int) -> bool:
        """Go there, and see whether anything differs. Raises NotFound where a program ends."""
        try:
            self._both(where, calls)
        except PastEnd as end:
            raise NotFound(f"{end}; until then no register and no byte of memory differs") from None
        return bool(self._registers() or self._ranges())

    def _limit(self, where: SearchRange) -> int:
        """Instructions after which the system call that differs is over."""
        if where.end is None:
            return NEVER
        at, row = self._at[0], where.rows[0]
        if where.end > at.trace.program(row).calls:
            return NEVER
        place = at.checkpoint()
        try:
            self._go(0, row, where.end)
            return at.executed
        except PastEnd as end:
            return end.total
        except GuestFailed:
            return NEVER
        finally:
            at.resume(place)

    # Watching.

    def _touch(
        self, where: SearchRange, ranges: Ranges, limit: int
    ) -> tuple[int | None, int | None]:
        """The first instruction from here on that reads or is one of these bytes, and the address
        that it read; None where there is none up to `limit`."""
        at, watcher = self._at[0], self._watcher
        starts = [start for start, _ in ranges]
        lowest, highest = ranges[0][0], ranges[-1][1]
        base = at.executed
        trail = (ctypes.c_uint64 * WINDOW)()
        code = [self._code(side, ranges) for side in (0, 1)]
        self._passed = ""

        def kernel(guest_addr: int, size: int, writes: bool) -> None:
            if not writes and not self._passed and touches(starts, ranges, guest_addr, size):
                self._passed = (
                    "no instruction of it works on what differs: system call "
                    f"{watcher.program.pid}#{watcher.program.first_call + watcher.calls + 1:,} "
                    "takes it from memory as it is"
                )

        def arm() -> None:
            watcher.stepping.watch(lowest, highest, READS, True)
            watcher.stepping.lend_trail(base, trail)
            watcher.process.memory.watcher = kernel

        watcher.on_restore = arm
        try:
            watcher.resume(at.checkpoint())
            while base < limit:
                end = min(limit, base + WINDOW)
                arm()
                access = None
                ctypes.memset(trail, 0, ctypes.sizeof(trail))
                try:
                    while watcher.executed < end:
                        watcher.go_on(None, end)
                        access = watcher.stepping.last_access
                        if access is not None:
                            break
                    now = watcher.executed
                except (PastEnd, GuestFailed):
                    now, limit = base + _noted(trail), 0
                touched = code[0].first(code[1], base, trail[: now - base])
                if (
                    access is not None
                    and touches(starts, ranges, access.guest_addr, access.size)
                    and (touched is None or access.executed < touched)
                ):
                    return access.executed, access.guest_addr
                if touched is not None:
                    return touched, None
                base = now
            return None, None
        finally:
            watcher.on_restore = lambda: None
            watcher.close()

    def _code(self, side: int, ranges: Ranges) -> ChangedCode:
        memory = self._at[side].process.memory
        return ChangedCode(ranges, memory.read_upto, self._image(side).decoder)

    def _image(self, side: int) -> ProgramImage:
        return self._images[side].image(self._at[side].program.image)

    # What was found.

    def _made(
        self, where: SearchRange, executed: int, registers: Mapping[str, Both[int | None]],
        address: int | None, starts: bool, ends: str = "",
    ) -> InstructionDiff:  # fmt: skip
        made: list[DiffInstruction] = []
        for side, row in enumerate(where.rows):
            self._at[side].seek(row, executed)
            made.append(self._instruction(side))
        reads = None
        if address is not None:
            cells = [at.process.memory.read_upto(address, 4) for at in self._at]
            size = next((i + 1 for i, (x, y) in enumerate(zip(*cells, strict=False)) if x != y), 4)
            reads = ReadCall(address, cells[0][:size], cells[1][:size])
        return InstructionDiff(made[0], made[1], registers, reads, starts, ends or None)

    def _instruction(self, side: int) -> DiffInstruction:
        at = self._at[side]
        image = self._image(side)
        raw = at.process.memory.read_upto(at.pc, LONGEST)
        coordinate = str(at.here)
        at_pc = coordinate, at.program.pid, image.name.lstrip("/"), at.pc
        if not raw:
            return DiffInstruction(*at_pc, b"", "nothing can be read there")
        one = image.shown(image.decoder.one(raw, at.pc))
        unknown, origin, place = image.unknown, None, None
        if one.offset < 0:
            unknown = "this code was made in memory"
        else:
            place = image.place(one.offset)
            if image.same is not None:
                chain = self._images[side].why.chain(image.same, one.offset)
                origin = SourceByte.of(chain[-1]) if len(chain) > 2 else None
        return DiffInstruction(
            *at_pc, one.code, one.instruction, one.label or None, place.where if place else None,
            one.line or None, unknown or None, origin,
        )  # fmt: skip


def _noted(trail: ctypes.Array[ctypes.c_uint64]) -> int:
    """How many addresses there are in a trail: 0 is none."""
    return next((index for index, pc in enumerate(trail) if not pc), len(trail))
