"""The anatomy of an ELF file: headers by their fields, code by following it, and the rest.

Sources: System V ABI (ELF); Linux, fs/binfmt_elf.c, for what is mapped: whole pages of each
PT_LOAD segment, so that bytes of the file beside the segment's own are seen as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bootstrap.anatomy import elf_layout
from bootstrap.anatomy.flat import instruction_claims, leftovers
from bootstrap.anatomy.flow import Flow, Image, Mapping, follow
from bootstrap.anatomy.machines import BY_ELF, Machine
from bootstrap.anatomy.model import Claim
from bootstrap.anatomy.reading import ByteOrder, Record, read_record

MAGIC = b"\x7fELF"
_LOADER = "Linux"
_PAGE = 4096
_PT_LOAD = 1
_EM_386, _EM_486 = 3, 6
_WORDS = {_EM_386: 4, _EM_486: 4, 62: 8, 183: 8}
"""Bytes in a word of x86, x86_64 and aarch64, by e_machine."""
_SYMTAB, _STRTAB = 2, 3
_MAX_NAMES = 10_000
"""Names, and symbols, of one section that are listed; the largest known seed has 174."""
_MAX_MAPPED = 16
"""PT_LOAD segments that are followed."""
_MAX_RECORDS = 1024
"""Headers of one kind that are read; Linux itself takes at most 64 KiB of program headers."""


@dataclass
class Elf:
    """An ELF file, read."""

    word: int
    order: ByteOrder
    header: Record
    segments: list[Record] = field(default_factory=list)
    sections: list[Record] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    def records(self) -> list[Record]:
        return [self.header, *self.segments, *self.sections]


def read(data: bytes) -> Elf | str:
    """Read the headers; for a file whose class or byte order is none, why it cannot be read."""
    if len(data) < 6:
        return f"it ends after {len(data)} bytes, before the ELF header says how to read it"
    # Linux goes by the machine, and reads neither of the two (elf_check_arch); only of RISC-V,
    # which has both, at the class.
    machine = int.from_bytes(data[18:20], "little")
    word = _WORDS.get(machine)
    if word is not None and (data[4], data[5]) != (word // 4, 1):
        fact = f"EI_CLASS is {data[4]} and EI_DATA {data[5]}: read as e_machine {machine} asks for"
        return _read(data, Elf(word, "little", _header(data, word, "little"), facts=[fact]))
    if data[4] not in (1, 2):
        return f"EI_CLASS is {data[4]}, neither 1 (32-bit) nor 2 (64-bit)"
    if data[5] not in (1, 2):
        return f"EI_DATA is {data[5]}, neither 1 (little-endian) nor 2 (big-endian)"
    word = 4 * data[4]
    order: ByteOrder = "little" if data[5] == 1 else "big"
    return _read(data, Elf(word, order, _header(data, word, order)))


def _header(data: bytes, word: int, order: ByteOrder) -> Record:
    return read_record(data, 0, elf_layout.header(word), "ELF", order, _LOADER)


def _read(data: bytes, elf: Elf) -> Elf:
    """Read the other headers."""
    word = elf.word
    if not elf.header.whole:
        elf.facts.append(f"the file ends inside the ELF header, which has {40 + 3 * word} bytes")
        return elf
    elf.segments = _table(data, elf, "e_ph", "segment", elf_layout.segment(word))
    elf.sections = _table(data, elf, "e_sh", "section", elf_layout.section(word))
    return elf


def _table(
    data: bytes, elf: Elf, prefix: str, title: str, layout: tuple[elf_layout.Field, ...]
) -> list[Record]:
    get = elf.header.get
    offset, each, count = get(f"{prefix}off"), get(f"{prefix}entsize"), get(f"{prefix}num")
    size = elf_layout.size_of(layout)
    if not count or (not offset and title == "section"):
        return []
    if each != size:
        elf.facts.append(
            f"{prefix}entsize is {each}, not {size}: the {count} {title} headers are not read"
        )
        return []
    records = []
    for index in range(min(count, _MAX_RECORDS)):
        start = offset + index * size
        record = read_record(data, start, layout, f"{title} {index}", elf.order, _LOADER)
        if not record.claims:
            elf.facts.append(f"{title} header {index} would be at byte {start:#x}, past the end")
            break
        if not record.whole:
            elf.facts.append(f"the file ends inside {title} header {index}")
        records.append(record)
    return records


def image(elf: Elf, size: int) -> Image:
    """How the loaded file is seen.  A segment's own bytes come before its pages' other bytes."""
    exact: list[Mapping] = []
    pages: list[Mapping] = []
    for record in elf.segments:
        if record.get("p_type") != _PT_LOAD or not record.whole:
            continue
        offset, address = record.get("p_offset"), record.get("p_vaddr")
        if offset >= size or len(exact) == _MAX_MAPPED:
            continue
        top = 1 << (8 * elf.word)
        stop = min(size, offset + top - address)
        exact.append(Mapping(offset, min(record.get("p_filesz"), stop - offset), address))
        before = min(offset % _PAGE, address)
        last = min(-(-(offset + record.get("p_filesz")) // _PAGE) * _PAGE, stop)
        if offset % _PAGE == address % _PAGE:
            pages.append(Mapping(offset - before, last - offset + before, address - before))
    # A file mapped below one page would make every small number look like an address.
    absolute = all(item.address >= _PAGE for item in (*exact, *pages))
    return Image((*exact, *pages), absolute)


def machine_of(elf: Elf) -> Machine | None:
    """Whose instructions these are, or None when it is no architecture of the bootstrap's."""
    if elf.order != "little":
        return None
    number = elf.header.get("e_machine")
    return BY_ELF.get((_EM_386 if number == _EM_486 else number, elf.word // 4))


def claims(data: bytes, elf: Elf) -> tuple[list[Claim], list[str], list[str]]:
    """All claims in order of precedence, facts for the reader, and what stays unknown."""
    made = [claim for record in elf.records() for claim in record.claims]
    made += _tables_of_names(data, elf)
    facts, limits = list(elf.facts), []
    view, machine = image(elf, len(data)), machine_of(elf)
    flow: Flow | None = None
    entry = elf.header.get("e_entry")
    place = view.offset(entry)
    facts = [*_describe(elf, data, machine, place), *facts]
    if machine is None:
        limits.append("the instructions are of an architecture that is not disassembled here")
    elif place is None:
        limits.append(f"the entry {entry:#x} is not in what is loaded from the file; no code is"
                      " reached")  # fmt: skip
    else:
        flow = follow(data, view, machine, place)
        made += instruction_claims(flow)
        limits += flow_limits(flow)
    made += leftovers(data, made, flow, view, machine, elf.word if elf.order == "little" else 0)
    return made, facts, limits


def flow_limits(flow: Flow) -> list[str]:
    """What following the flow could not find out, in words: a line for each reason."""
    places: dict[str, list[int]] = {}
    for offset, why in flow.unfollowed:
        places.setdefault(why, []).append(offset)
    found = []
    for why, offsets in places.items():
        shown = ", ".join(f"{offset:#x}" for offset in offsets[:8])
        more = f" and {len(offsets) - 8} more" if len(offsets) > 8 else ""
        found.append(f"not followed, {why}: at byte {shown}{more}")
    if len(found) > 12:
        found = [*found[:12], f"and {len(found) - 12} more such reasons"]
    if not flow.complete:
        found.append("there is more code than is followed here; the rest is not told apart")
    return found


def _describe(elf: Elf, data: bytes, machine: Machine | None, place: int | None) -> list[str]:
    width = 32 if elf.word == 4 else 64
    name = machine.name if machine else elf_layout.MACHINES.get(elf.header.get("e_machine"), "?")
    entry = elf.header.get("e_entry")
    where = "which is not in the file" if place is None else f"byte {place:#x}"
    facts = [f"ELF, {width}-bit {elf.order}-endian; {name}", f"entry {entry:#x}, {where}"]
    for record in elf.segments:
        if record.get("p_type") != _PT_LOAD or not record.whole:
            continue
        offset, size = record.get("p_offset"), record.get("p_filesz")
        fact = f"bytes {offset:#x} to {offset + size:#x} are loaded at {record.get('p_vaddr'):#x}"
        if offset + size > len(data):
            fact += f"; the file ends at {len(data):#x}, p_filesz says {size} bytes"
        elif record.get("p_memsz") < size:
            fact += f"; p_memsz ({record.get('p_memsz')}) is less than p_filesz ({size})"
        facts.append(fact)
    first = elf.segments[0].start if elf.segments else None
    header = 40 + 3 * elf.word
    if first is not None and first < header:
        facts.append(
            f"the first program header begins at byte {first:#x}, inside the ELF header of"
            f" {header} bytes: the fields there are read twice"
        )
    return facts


def _tables_of_names(data: bytes, elf: Elf) -> list[Claim]:
    """Symbols and the strings that name sections and symbols."""
    found: list[Claim] = []
    budget = 2 * len(data)
    for index, record in enumerate(elf.sections):
        start, size = record.get("sh_offset"), record.get("sh_size")
        end = min(start + size, len(data))
        if record.get("sh_type") not in (_STRTAB, _SYMTAB) or end <= start:
            continue
        budget -= end - start
        if budget < 0 or len(found) > _MAX_NAMES:
            elf.facts.append(f"names and symbols from section {index} on are not read: too many")
            break
        if record.get("sh_type") == _STRTAB:
            found += _names(data, start, end, f"name in section {index}")
        elif record.get("sh_type") == _SYMTAB and elf.order == "little":
            names = _linked(elf, record.get("sh_link"))
            each = 16 if elf.word == 4 else 24
            for at in range(start, min(end - each + 1, start + each * _MAX_NAMES), each):
                found.append(_symbol(data, at, each, names))
    return found


def _linked(elf: Elf, index: int) -> int | None:
    return elf.sections[index].get("sh_offset") if index < len(elf.sections) else None


def _names(data: bytes, start: int, end: int, meaning: str) -> list[Claim]:
    found: list[Claim] = []
    at = start
    while at < end and len(found) < _MAX_NAMES:
        stop = data.find(b"\0", at, end)
        stop = end if stop < 0 else stop + 1
        text = data[at:stop].rstrip(b"\0").decode("latin-1")
        found.append(Claim(at, stop, "string", ascii(text), "", meaning))
        at = stop
    return found


def _symbol(data: bytes, at: int, each: int, names: int | None) -> Claim:
    value_at, value_size = (at + 4, 4) if each == 16 else (at + 8, 8)
    value = int.from_bytes(data[value_at : value_at + value_size], "little")
    name = "?"
    if names is not None:
        start = names + int.from_bytes(data[at : at + 4], "little")
        stop = data.find(b"\0", start, start + 256)
        name = data[start : max(stop, start)].decode("latin-1")
    return Claim(at, at + each, "header", f"symbol {name!a}", hex(value), "for debuggers only")
