"""Which basic blocks ran, as drcov (DynamoRIO's coverage tool) writes it: version 2 of the file,
with module table version 2, which Lighthouse and others load.

A block is a longest run of instructions that all ran, one after the other, that no jump leaves but
at its end and none enters but at its start: it ends after an instruction that may jump or traps,
and where a jump that ran leads to, and where the counts of two neighbours differ. Blocks do not
overlap unless the instructions do, so each instruction that ran is in one block.

Source of the format: the header, module table and 8-byte records (u32 offset from the module's
base, u16 size, u16 module) as Lighthouse's reader describes them for DynamoRIO 7.0.0-RC1, which
introduced table version 2; columns as on Linux (no checksum, no timestamp).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bootstrap.core.errors import BadInput
from bootstrap.timeline.disassembly import LONGEST, flow
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.profile import ExecutionCounts, count
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.columns import shown
from bootstrap.trace.store import ProgramRow

_RECORD = struct.Struct("<IHH")
_MOST_SIZE = 0xFFFF


@dataclass(frozen=True, slots=True)
class BasicBlock:
    """A basic block that ran: its address and its size in bytes."""

    guest_addr: int
    size: int


def blocks(counted: ExecutionCounts) -> list[BasicBlock]:
    """The blocks, by address. Raises BadInput where an instruction that ran cannot be decoded."""
    image = counted.image
    targets: set[int | None] = set()
    rows: list[tuple[int, int, int, bool]] = []
    for guest_addr, times in counted.ran():
        offset = image.offset(guest_addr)
        code = b"" if offset is None else image.content[offset : offset + LONGEST]
        found = flow(image.elf.arch.name, code, guest_addr)
        if found is None:
            raise BadInput(
                f"{image.name}: what ran at {guest_addr:#x} is no instruction that capstone knows, "
                "so nobody knows the size of its block; choose another process with --pid"
            )
        targets.add(found.target)
        rows.append((guest_addr, found.size, times, found.ends))
    result: list[BasicBlock] = []
    start = end = before = 0
    for guest_addr, size, times, ends in rows:
        goes_on = guest_addr == end and guest_addr not in targets and times == before
        if not goes_on or guest_addr + size - start > _MOST_SIZE:
            if end > start:
                result.append(BasicBlock(start, end - start))
            start = guest_addr
        end, before = guest_addr + size, times
        if ends:
            result.append(BasicBlock(start, end - start))
            start = end
            before = 0
    if end > start:
        result.append(BasicBlock(start, end - start))
    return result


def drcov(modules: Sequence[ExecutionCounts]) -> Iterator[bytes]:
    """The file. Raises BadInput for what the format cannot hold."""
    if len(modules) > _MOST_SIZE:
        raise BadInput(f"{len(modules):,} images: drcov knows {_MOST_SIZE:,}; choose with --pid")
    table: list[str] = []
    records: list[bytes] = []
    for number, counted in enumerate(modules):
        image = counted.image
        # Of several paths of the same content, the first that ran.
        path = shown(counted.programs[0][0].path)
        if ", " in path or "\n" in path:
            raise BadInput(f"{path}: drcov cannot hold a path with a comma or a line's end")
        base, end = counted.start, max(image.memory_end, counted.start + len(counted.counts))
        table.append(f"{number:3}, {base:#018x}, {end:#018x}, {image.elf.entry:#018x}, {path}")
        records += [_RECORD.pack(b.guest_addr - base, b.size, number) for b in blocks(counted)]
    head = [
        "DRCOV VERSION: 2",
        "DRCOV FLAVOR: drcov",
        f"Module Table: version 2, count {len(table)}",
        "Columns: id, base, end, entry, path",
        *table,
        f"BB Table: {len(records)} bbs",
    ]
    yield "".join(f"{line}\n" for line in head).encode()
    yield from records


def counts(timeline: Timeline, programs: Sequence[ProgramRow]) -> list[ExecutionCounts]:
    """What `drcov` takes: runs the programs to their ends. Raises as Timeline does."""
    return list(count(timeline, ProgramImages(timeline.trace), programs).values())
