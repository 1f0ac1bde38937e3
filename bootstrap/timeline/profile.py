"""How often each instruction of a program ran: what is hot, and which bytes of an image never ran.

Every instruction of a program's whole life is counted, by running it again from where it began; its
children are passed over, and counted when it is their turn.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bootstrap.core.errors import BadInput
from bootstrap.instruments.blocks import BlockCounter
from bootstrap.timeline.disassembly import LONGEST
from bootstrap.timeline.images import ProgramImage, ProgramImages
from bootstrap.timeline.timeline import Timeline, Unsure
from bootstrap.trace.store import ProgramRow

MAX_WINDOW = 1 << 27
"""Addresses that one image may span; each costs 8 bytes while it is counted."""


@dataclass
class ExecutionCounts:
    """The instructions of some programs that ran one image, together."""

    image: ProgramImage
    version: int
    start: int
    """The address that the first count is of."""
    counts: array[int]
    programs: list[tuple[ProgramRow, int]] = field(default_factory=list)
    """Each with how many instructions it executed."""

    @property
    def total(self) -> int:
        """Instructions of all its programs."""
        return sum(total for _, total in self.programs)

    @property
    def outside(self) -> int:
        """Those that were not where the image is: code that was made in memory."""
        return self.total - sum(self.counts)

    def ran(self) -> Iterator[tuple[int, int]]:
        """(address, how often), of each instruction that ran, in order."""
        for index, count in enumerate(self.counts):
            if count:
                yield self.start + index, count


def count(
    timeline: Timeline, images: ProgramImages, programs: Iterable[ProgramRow]
) -> dict[int, ExecutionCounts]:
    """Run the programs to their ends and count; by image. Raises as Timeline does."""
    found: dict[int, ExecutionCounts] = {}
    for program in programs:
        known = found.get(program.image)
        if known is None:
            image = images.image(program.image)
            start, size = image.window
            if size > MAX_WINDOW:
                raise BadInput(f"{image.name}: spans {size:,} addresses, too many to count each")
            known = ExecutionCounts(image, program.image, start, array("Q", bytes(8 * size)))
            found[program.image] = known
        known.programs.append((program, _count(timeline, program, known)))
    return found


def _count(timeline: Timeline, program: ProgramRow, into: ExecutionCounts) -> int:
    """Count one program; the number of its instructions."""
    try:
        total, ran = _by_blocks(timeline.by_blocks(), program)
    except Unsure:
        total, ran = _one_by_one(timeline, program, into)
    for guest_addr, times in ran:
        if 0 <= guest_addr - into.start < len(into.counts):
            into.counts[guest_addr - into.start] += times
    return total


def _by_blocks(timeline: Timeline, program: ProgramRow) -> tuple[int, Iterable[tuple[int, int]]]:
    row = program.id
    if timeline.faulted(row):
        raise Unsure
    timeline.seek_from(row, 0)
    counting = [_blocks(timeline)]

    def take_over() -> None:
        if timeline.row == row:
            now = _blocks(timeline)
            now.go_on_counting(counting[0])
            counting[0] = now

    timeline.on_restore = take_over
    try:
        total = timeline.run_out(row)
    finally:
        timeline.on_restore = lambda: None
        timeline.close()
    return total, counting[0].ran().items()


def _blocks(timeline: Timeline) -> BlockCounter:
    stepping = timeline.stepping
    assert isinstance(stepping, BlockCounter)
    return stepping


def _one_by_one(
    timeline: Timeline, program: ProgramRow, into: ExecutionCounts
) -> tuple[int, Iterable[tuple[int, int]]]:
    row = program.id
    timeline.seek(row, 0)
    counts = timeline.stepping.count_each(into.start, len(into.counts))

    def lend() -> None:
        if timeline.row == row:
            timeline.stepping.lend_counts(into.start, counts)

    timeline.on_restore = lend
    try:
        total = timeline.run_out(row)
    finally:
        timeline.on_restore = lambda: None
    return total, ((into.start + index, n) for index, n in enumerate(counts) if n)


# Coverage.


@dataclass(frozen=True, slots=True)
class CodeRange:
    """Bytes of the file, from `start` up to `end`, that all ran or never did."""

    start: int
    end: int
    ran: bool
    header: bool = False
    """The ELF header and the program headers."""


@dataclass(frozen=True)
class Coverage:
    """Which bytes of an image ever ran as (part of) an instruction."""

    counted: ExecutionCounts
    executed: bytes
    """One for each byte of the file: 1 where it ran."""
    strange: tuple[int, ...]
    """Addresses at which something ran whose length nobody knows: one byte is counted."""

    @property
    def stretches(self) -> list[CodeRange]:
        """The whole file."""
        image = self.counted.image
        header = image.headers_end
        found: list[CodeRange] = []
        for offset, ran in enumerate(self.executed):
            kind = (bool(ran), not ran and offset < header)
            if found and (found[-1].ran, found[-1].header) == kind:
                found[-1] = CodeRange(found[-1].start, offset + 1, *kind)
            else:
                found.append(CodeRange(offset, offset + 1, *kind))
        return found


def coverage(counted: ExecutionCounts) -> Coverage:
    """From counts of instructions to bytes: an instruction is as long as capstone says."""
    image = counted.image
    executed = bytearray(len(image.content))
    strange: list[int] = []
    for guest_addr, _ in counted.ran():
        offset = image.offset(guest_addr)
        if offset is None:
            strange.append(guest_addr)
            continue
        one = image.decoder.one(image.content[offset : offset + LONGEST], guest_addr)
        if not one.is_instruction:
            strange.append(guest_addr)
        for index in range(offset, min(offset + len(one.code), len(executed))):
            executed[index] = 1
    return Coverage(counted, bytes(executed), tuple(strange))


# Hot.


@dataclass(frozen=True, slots=True)
class HotSpot:
    """Instructions under one label, or at one address where no label is known."""

    image: ProgramImage
    version: int
    guest_addr: int
    """The first that ran."""
    label: str
    instructions: int
    source: str
    """As SourcePlace.text; empty where none is known."""


def hot_spots(found: Sequence[ExecutionCounts]) -> list[HotSpot]:
    """The hottest first."""
    rows: list[HotSpot] = []
    for counted in found:
        image = counted.image
        sums: dict[tuple[str, int], list[int]] = {}
        for guest_addr, times in counted.ran():
            offset = image.offset(guest_addr)
            label = None if offset is None else image.label(offset, functions=True)
            # One label may stand in two files: the place where it begins keeps them apart.
            key = ("", guest_addr) if label is None else (label[0], guest_addr - label[1])
            sums.setdefault(key, [0, guest_addr])[0] += times
        for (label_name, _), (times, guest_addr) in sums.items():
            offset = image.offset(guest_addr)
            place = None if offset is None else image.place(offset)
            source = "" if place is None else place.text
            rows.append(HotSpot(image, counted.version, guest_addr, label_name, times, source))
    return sorted(rows, key=lambda r: (-r.instructions, r.version, r.guest_addr))
