"""What why, show, coverage and hot found, as lines for people and as values for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from bootstrap.documents import encode
from bootstrap.timeline.images import ShownInstruction
from bootstrap.timeline.origins import OriginStep
from bootstrap.timeline.profile import Coverage, ExecutionCounts, HotSpot
from bootstrap.timeline.state import Area, File, StateView, flags_of
from bootstrap.timeline.stores import StoreReport
from bootstrap.trace.columns import shown
from bootstrap.trace.views import who

_PER_LINE = 4
_ROW = 16
MOST_LINES = 16
"""Instructions that are shown of each stretch that never ran, unless all are asked for."""


def _hex(value: int, word: int) -> str:
    return f"{value:0{2 * word}x}"


def _code(one: ShownInstruction) -> str:
    if one.address is None:
        return f"    file offset {one.offset:#x} is not loaded"
    line = f"    {one.address:8x}  {one.code.hex(' '):24} {one.instruction:34}"
    more = "  ".join(part for part in (f"<{one.label}>" if one.label else "", one.source) if part)
    return f"{line} {more}".rstrip()


def _plain(value: object) -> Any:
    """As a document, in which what is empty text is null."""
    value = encode(value)
    if isinstance(value, dict):
        return {name: None if cell == "" else _plain(cell) for name, cell in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def dump(start: int, data: bytes) -> Iterator[str]:
    """Memory as hexdump -C shows it."""
    for at in range(0, len(data), _ROW):
        row = data[at : at + _ROW]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"    {start + at:08x}  {row.hex(' '):47}  |{text}|"


def area_lines(areas: Iterable[Area], word: int) -> Iterator[str]:
    """Mapped memory."""
    for area in areas:
        start, end = _hex(area.start, word), _hex(area.end, word)
        yield f"    {start}-{end}  {area.rights}  {area.what}".rstrip()


def file_lines(files: Iterable[File]) -> Iterator[str]:
    """Open files."""
    for file in files:
        offset = "" if file.size is None else f", at {file.offset:,} of {file.size:,}"
        yield f"    {file.fd:3}  {file.path}, for {file.access}{offset}"


def show_lines(found: StateView) -> Iterator[str]:
    """A place in a trace, for people."""
    yield f"{found.coordinate}: pid {found.pid}, {' '.join(found.argv)[:160]}"
    yield (
        f"  {found.executed:,} instructions, {found.calls:,} system calls of the process; "
        f"event {found.event:,}"
    )
    yield f"  image {found.image} ({found.abi}), in {found.cwd}"
    if found.unknown:
        yield f"  no source lines: {found.unknown}"
    yield "registers"
    cells = [f"{name:>6} {_hex(value, found.word)}" for name, value in found.registers.items()]
    for at in range(0, len(cells), _PER_LINE):
        yield f"  {'  '.join(cells[at : at + _PER_LINE])}"
    if found.flags is not None:
        yield f"  {flags_of(tuple(found.registers.items()))}"
    if found.way:
        yield "ran last"
        yield from map(_code, found.way)
    yield "comes next"
    yield from map(_code, found.code)
    if not found.code:
        yield f"    {found.pc:8x}  nothing can be read there"
    if found.source:
        yield "source of what comes next"
        for link in found.source:
            line = f":{link.line}  {link.text[:100]}" if link.text else f"+{link.offset:#x}"
            yield f"    {link.file}{line}"
        if link.ends:
            yield f"    the way ends here: {link.ends}"
        if link.defined is not None:
            source, number, text = link.defined
            yield f"    {source}:{number}  {text.strip()[:100]} (the function, found by its name)"
    yield "stack"
    for cell in found.stack:
        yield f"    {_hex(cell['address'], found.word)}  {_hex(cell['value'], found.word)}"
    yield "memory"
    yield from area_lines(found.areas, found.word)
    yield "open files"
    yield from file_lines(found.files)
    yield "system calls of this program"
    yield f"    last  {found.last_call or 'none yet'}"
    yield f"    next  {found.next_call or 'none follows'}"
    if found.memory is not None:
        address, data = int(found.memory["address"]), bytes.fromhex(str(found.memory["bytes"]))
        yield f"{len(data):,} bytes at {address:#x}"
        yield from dump(address, data)


def why_json(
    link: OriginStep, stores: Mapping[OriginStep, StoreReport | None]
) -> dict[str, object]:
    """One file on the way of `why`, for machines."""
    program = link.program
    value = {
        "path": link.path, "offset": link.offset, "byte": link.byte, "size": link.size,
        "sha256": link.sha256, "line": link.line or None, "column": link.column or None,
        "text": link.text, "model": link.model, "ends": link.ends,
    }  # fmt: skip
    value["program"] = None if program is None else {
        "run": program.run, "pid": program.pid, "ordinal": program.ordinal,
        "argv": [shown(argument) for argument in program.argv],
    }  # fmt: skip
    value |= {"call": link.call, "from": link.place}
    if link in stores:
        value["stored"] = stores[link]
    found: dict[str, object] = _plain(value)
    return found


def show_json(found: StateView) -> dict[str, object]:
    """The same for machines; addresses and values are numbers."""
    return {"schema": "bootstrap-trace-show/1", **_plain(found)}


# Coverage.


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def coverage_lines(found: Coverage, sha256: str, every: bool) -> Iterator[str]:
    """Which bytes ran and what never did, for people; `every`: all of what never did."""
    counted, image = found.counted, found.counted.image
    size, ran = len(image.content), sum(found.executed)
    yield f"{image.name}: {ran:,} of {size:,} bytes ran ({_share(ran, size)})"
    yield f"  sha256 {sha256}"
    if counted.outside:
        yield f"  {counted.outside:,} instructions ran outside the image"
    for address in found.strange:
        yield f"  what ran at {address:#x} is no instruction that capstone knows"
    if image.unknown:
        yield f"  no labels or source lines: {image.unknown}"
    count = len(counted.programs)
    yield f"  {counted.total:,} instructions in {count} program{'' if count == 1 else 's'}:"
    for program, total in counted.programs:
        yield f"    {who(program)}: {total:,}"
    for stretch in found.stretches:
        span = f"{stretch.start:#x}-{stretch.end - 1:#x}"
        length = stretch.end - stretch.start
        bytes_ = "1 byte" if length == 1 else f"{length:,} bytes"
        if stretch.ran:
            yield f"{span}  ran, {bytes_}"
        elif stretch.header:
            yield f"{span}  ELF header and program headers, {bytes_}"
        else:
            yield f"{span}  never ran, {bytes_}"
            listing = image.listing(stretch.start, stretch.end)
            lines = list(islice(listing, None if every else MOST_LINES))
            yield from map(_code, lines)
            rest = stretch.end - (lines[-1].offset + len(lines[-1].code))
            if rest > 0:
                yield f"    and {rest:,} bytes more (--all shows them)"


def coverage_json(found: Coverage, sha256: str) -> dict[str, object]:
    """The same for machines, with all of what never ran."""
    counted, image = found.counted, found.counted.image
    return {
        "image": image.name,
        "sha256": sha256,
        "size": len(image.content),
        "bytes_run": sum(found.executed),
        "instructions": counted.total,
        "instructions_outside": counted.outside,
        "undecodable": list(found.strange),
        "programs": [
            {"pid": p.pid, "exec": p.ordinal, "run": p.run, "instructions": total}
            for p, total in counted.programs
        ],
        "ranges": [
            encode(s) if s.ran or s.header else {**encode(s), "code": [
                {"offset": one.offset, "address": one.address, "bytes": one.code.hex(),
                 "instruction": one.instruction, "label": one.label or None,
                 "source": one.source or None}
                for one in image.listing(s.start, s.end)
            ]}
            for s in found.stretches
        ],
    }  # fmt: skip


# Hot.


def hot_lines(
    found: Sequence[ExecutionCounts], rows: Sequence[HotSpot], most: int
) -> Iterator[str]:
    """The hottest, for people."""
    total = sum(counted.total for counted in found)
    count = sum(len(counted.programs) for counted in found)
    yield f"{total:,} instructions in {count} program{'' if count == 1 else 's'}"
    for row in rows[:most]:
        name = row.label or f"{row.guest_addr:#x}"
        share = _share(row.instructions, total)
        image = row.image.name.lstrip("/")
        line = f"{row.instructions:>15,}  {share:>7}  {image}  {name}"
        yield f"{line}  {row.source}".rstrip()
    rest = rows[most:]
    if rest:
        left = sum(row.instructions for row in rest)
        yield f"{left:>15,}  {_share(left, total):>7}  in {len(rest):,} more places"
    outside = sum(counted.outside for counted in found)
    if outside:
        yield f"{outside:>15,}  {_share(outside, total):>7}  outside the images"
    for counted in found:
        if counted.image.unknown:
            yield f"{counted.image.name.lstrip('/')} has no labels: {counted.image.unknown}"


def hot_json(
    found: Sequence[ExecutionCounts],
    rows: Sequence[HotSpot],
    most: int,
    hashes: dict[int, tuple[str, int]],
) -> dict[str, object]:
    """The same for machines."""
    return {
        "schema": "bootstrap-trace-hot/1",
        "instructions": sum(counted.total for counted in found),
        "outside": sum(counted.outside for counted in found),
        "programs": sum(len(counted.programs) for counted in found),
        "places": len(rows),
        "hottest": [
            {"image": row.image.name, "sha256": hashes[row.version][0], "label": row.label or None,
             "address": row.guest_addr, "instructions": row.instructions,
             "source": row.source or None}
            for row in rows[:most]
        ],
    }  # fmt: skip
