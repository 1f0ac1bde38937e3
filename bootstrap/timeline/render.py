"""What why, show, coverage and hot found, as lines for people and as values for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bootstrap.timeline.images import ProgramImage
from bootstrap.timeline.origins import OriginStep
from bootstrap.timeline.profile import (
    Coverage,
    ExecutionCounts,
    HotSpot,
    ProfileLine,
    listing,
    place_text,
)
from bootstrap.timeline.state import ShownInstruction, StateView
from bootstrap.timeline.stores import StoreReport
from bootstrap.trace.columns import shown
from bootstrap.trace.views import who

_PER_LINE = 4
_ROW = 16
MOST_LINES = 16
"""Instructions that are shown of each stretch that never ran, unless all are asked for."""


def _hex(value: int, word: int) -> str:
    return f"{value:0{2 * word}x}"


def _instruction(address: int, raw: bytes, text: str, label: str, source: str) -> str:
    line = f"    {address:8x}  {raw.hex(' '):24} {text:34}"
    more = "  ".join(part for part in (f"<{label}>" if label else "", source) if part)
    return f"{line} {more}".rstrip()


def _code(code: ShownInstruction) -> str:
    one = code.decoded
    return _instruction(one.guest_addr, one.code, one.text, code.label, code.place)


def dump(start: int, data: bytes) -> Iterator[str]:
    """Memory as hexdump -C shows it."""
    for at in range(0, len(data), _ROW):
        row = data[at : at + _ROW]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"    {start + at:08x}  {row.hex(' '):47}  |{text}|"


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
    cells = [f"{name:>6} {_hex(value, found.word)}" for name, value in found.registers]
    for at in range(0, len(cells), _PER_LINE):
        yield f"  {'  '.join(cells[at : at + _PER_LINE])}"
    if found.flags:
        yield f"  {found.flags}"
    if found.way:
        yield "ran last"
        yield from map(_code, found.way)
    yield "comes next"
    yield from map(_code, found.code)
    if not found.code:
        yield f"    {found.pc:8x}  nothing can be read there"
    if found.chain:
        yield "source of what comes next"
        for link in found.chain:
            line = f":{link.line}  {link.text.strip()[:100]}" if link.text else f"+{link.offset:#x}"
            yield f"    {link.path}{line}"
        last = found.chain[-1]
        if last.ends:
            yield f"    the way ends here: {last.ends}"
        if last.defined is not None:
            source, number, text = last.defined
            yield f"    {source}:{number}  {text.strip()[:100]} (the function, found by its name)"
    yield "stack"
    for address, value in found.stack:
        yield f"    {_hex(address, found.word)}  {_hex(value, found.word)}"
    yield "memory"
    for area in found.areas:
        start, end = _hex(area.start, found.word), _hex(area.end, found.word)
        yield f"    {start}-{end}  {area.rights}  {area.what}".rstrip()
    yield "open files"
    for file in found.files:
        size = "" if file.size is None else f" of {file.size:,}"
        offset = "" if file.size is None else f", at {file.offset:,}{size}"
        yield f"    {file.fd:3}  {file.path}, for {file.access}{offset}"
    yield "system calls of this program"
    yield f"    last  {found.last_call or 'none yet'}"
    yield f"    next  {found.next_call or 'none follows'}"
    if found.memory is not None:
        address, data = found.memory
        yield f"{len(data):,} bytes at {address:#x}"
        yield from dump(address, data)


def why_json(
    link: OriginStep, stores: Mapping[OriginStep, StoreReport | None]
) -> dict[str, object]:
    """One file on the way of `why`, for machines."""
    call, place, store, program = link.call, link.place, stores.get(link), link.program
    value: dict[str, object] = {
        "path": link.path, "offset": link.offset, "byte": link.byte, "size": link.size,
        "sha256": link.sha256, "line": link.line or None, "column": link.column or None,
        "text": link.text or None, "model": link.model or None, "ends": link.ends or None,
    }  # fmt: skip
    value["program"] = None if program is None else {
        "run": program.run, "pid": program.pid, "ordinal": program.ordinal,
        "argv": [shown(argument) for argument in program.argv],
    }  # fmt: skip
    value["call"] = None if call is None else {
        "ordinal": call.ordinal, "event": call.event, "fd": call.fd, "size": call.size,
        "address": call.guest_addr,
    }  # fmt: skip
    value["from"] = None if place is None else {
        "file": place.file, "line": place.line, "column": place.column,
        "label": place.label or None, "macro": place.macro or None,
        "comment": place.comment or None,
    }  # fmt: skip
    if link in stores:
        value["stored"] = None if store is None else {
            "coordinate": store.coordinate, "address": store.guest_addr,
            "instruction": store.instruction, "label": store.label or None,
            "source": store.source or None, "by_system_call": store.by_call,
        }  # fmt: skip
    return value


def show_json(found: StateView) -> dict[str, object]:
    """The same for machines; addresses and values are numbers."""

    def code(one: ShownInstruction) -> dict[str, object]:
        return {
            "executed": one.executed, "address": one.decoded.guest_addr,
            "bytes": one.decoded.code.hex(), "instruction": one.decoded.text,
            "label": one.label or None, "source": one.place or None, "line": one.text or None,
        }  # fmt: skip

    memory = None
    if found.memory is not None:
        memory = {"address": found.memory[0], "bytes": found.memory[1].hex()}
    return {
        "schema": 1,
        "coordinate": found.coordinate,
        "pid": found.pid,
        "program": found.program,
        "argv": list(found.argv),
        "cwd": found.cwd,
        "abi": found.abi,
        "executed": found.executed,
        "system_calls": found.calls,
        "event": found.event,
        "pc": found.pc,
        "registers": dict(found.registers),
        "flags": found.flags.partition(": ")[2].split() if found.flags else None,
        "no_source_lines": found.unknown or None,
        "ran_last": [code(one) for one in found.way],
        "comes_next": [code(one) for one in found.code],
        "source": [
            {"file": link.path, "offset": link.offset, "line": link.line or None,
             "text": link.text.strip() or None, "ends": link.ends or None}
            for link in found.chain
        ],
        "stack": [{"address": address, "value": value} for address, value in found.stack],
        "areas": [
            {"start": a.start, "end": a.end, "rights": a.rights, "what": a.what or None}
            for a in found.areas
        ],
        "files": [
            {"fd": f.fd, "path": f.path, "offset": f.offset, "size": f.size, "access": f.access}
            for f in found.files
        ],
        "last_call": found.last_call or None,
        "next_call": found.next_call or None,
        "memory": memory,
    }  # fmt: skip


# Coverage.


def _line(image: ProgramImage, line: ProfileLine) -> str:
    address = image.address(line.offset)
    if address is None:
        return f"    file offset {line.offset:#x} is not loaded"
    return _instruction(
        address, line.decoded.code, line.decoded.text, line.label, place_text(line.place)
    )


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
            lines = listing(image, stretch.start, stretch.end, length if every else MOST_LINES)
            yield from (_line(image, line) for line in lines)
            rest = stretch.end - (lines[-1].offset + len(lines[-1].decoded.code))
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
            {"start": s.start, "end": s.end, "ran": s.ran, "header": s.header}
            | (
                {}
                if s.ran or s.header
                else {"code": [
                    {"offset": n.offset, "address": image.address(n.offset),
                     "bytes": n.decoded.code.hex(), "instruction": n.decoded.text,
                     "label": n.label or None, "source": place_text(n.place) or None}
                    for n in listing(image, s.start, s.end, s.end - s.start)
                ]}
            )
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
        source = place_text(row.place)
        yield f"{line}  {source}".rstrip()
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
        "schema": 1,
        "instructions": sum(counted.total for counted in found),
        "outside": sum(counted.outside for counted in found),
        "programs": sum(len(counted.programs) for counted in found),
        "places": len(rows),
        "hottest": [
            {"image": row.image.name, "sha256": hashes[row.version][0], "label": row.label or None,
             "address": row.guest_addr, "instructions": row.instructions,
             "source": place_text(row.place) or None}
            for row in rows[:most]
        ],
    }  # fmt: skip
