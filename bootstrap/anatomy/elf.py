"""The anatomy of an ELF file: headers by their fields, code by following it, and the rest.

Sources: System V ABI, chapters 4 and 5 (ELF header, sections, program header); for what Linux
reads, fs/binfmt_elf.c (load_elf_binary, load_elf_phdrs) and elf_check_arch of the architectures.
What it does not read is free for other use, and seeds use it: code lies there. It maps whole pages
of each PT_LOAD segment, so that bytes of the file beside the segment's own are seen as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bootstrap.anatomy.claims import Claim, Reading
from bootstrap.anatomy.flat import code_and_rest
from bootstrap.anatomy.flow import FlowImage, Mapping
from bootstrap.anatomy.machines import BY_ELF, InstructionSet
from bootstrap.anatomy.reading import ByteOrder, Field, Record, named, read_record, size_of

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


def _flags(value: int) -> str:
    letters = "".join(letter for bit, letter in ((4, "R"), (2, "W"), (1, "X")) if value & bit)
    return f"{value:#x} ({letters or 'none'})"


_CLASSES = {1: "32-bit", 2: "64-bit"}
_ENDIANS = {1: "little-endian", 2: "big-endian"}
_ABIS = {0: "System V", 3: "Linux", 9: "FreeBSD"}
_TYPES = {0: "none", 1: "relocatable", 2: "executable", 3: "shared object", 4: "core"}
MACHINES = {3: "EM_386", 40: "EM_ARM", 62: "EM_X86_64", 183: "EM_AARCH64", 243: "EM_RISCV"}
_SEGMENTS = {0: "PT_NULL", 1: "PT_LOAD", 2: "PT_DYNAMIC", 3: "PT_INTERP", 4: "PT_NOTE"}
_SECTIONS = {0: "NULL", 1: "PROGBITS", 2: "SYMTAB", 3: "STRTAB", 8: "NOBITS"}

IDENT = (
    Field("e_ident[EI_MAG]", 4, "the file is ELF", raw=True),
    Field(
        "e_ident[EI_CLASS]",
        1,
        "how wide addresses are; only RISC-V Linux reads it",
        True,
        named(_CLASSES),
    ),
    Field("e_ident[EI_DATA]", 1, "the order of bytes in a number", False, named(_ENDIANS)),
    Field("e_ident[EI_VERSION]", 1, "version of the format, 1", False, str),
    Field("e_ident[EI_OSABI]", 1, "whose extensions are used", False, named(_ABIS)),
    Field("e_ident[EI_ABIVERSION]", 1, "version of that ABI", False, str),
    Field("e_ident[EI_PAD]", 7, "unused, by the specification", False, raw=True),
)


def header_of(word: int) -> tuple[Field, ...]:
    """The ELF header of a class with ``word`` bytes in an address: 52 or 64 bytes."""
    return (
        *IDENT,
        Field("e_type", 2, "what kind of file", True, named(_TYPES)),
        Field("e_machine", 2, "whose instructions", True, named(MACHINES)),
        Field("e_version", 4, "version of the format, 1", False, str),
        Field("e_entry", word, "address of the first instruction"),
        Field("e_phoff", word, "where the program headers are in the file"),
        Field("e_shoff", word, "where the section headers are in the file", False),
        Field("e_flags", 4, "flags of the processor", False),
        Field("e_ehsize", 2, "size of this header", False, str),
        Field("e_phentsize", 2, "size of a program header", True, str),
        Field("e_phnum", 2, "how many program headers", True, str),
        Field("e_shentsize", 2, "size of a section header", False, str),
        Field("e_shnum", 2, "how many section headers", False, str),
        Field("e_shstrndx", 2, "which section has the names of sections", False, str),
    )


def segment_of(word: int) -> tuple[Field, ...]:
    """A program header: 32 or 56 bytes.  p_flags stands in another place in each."""
    kind = Field("p_type", 4, "what to do with the segment", True, named(_SEGMENTS))
    flags = Field("p_flags", 4, "rights of its pages", True, _flags)
    places = (
        Field("p_offset", word, "where the segment is in the file"),
        Field("p_vaddr", word, "the address it is mapped at"),
        Field("p_paddr", word, "its physical address", False),
        Field("p_filesz", word, "bytes of it in the file", True, str),
        Field("p_memsz", word, "bytes of it in memory", True, str),
    )
    align = Field("p_align", word, "alignment; Linux reads it if addresses may be chosen")
    return (kind, *places, flags, align) if word == 4 else (kind, flags, *places, align)


def section_of(word: int) -> tuple[Field, ...]:
    """A section header: 40 or 64 bytes.  Linux reads none of it."""
    return (
        Field("sh_name", 4, "its name, as an offset into the names", False),
        Field("sh_type", 4, "what it holds", False, named(_SECTIONS)),
        Field("sh_flags", word, "write 1, alloc 2, execute 4", False),
        Field("sh_addr", word, "its address", False),
        Field("sh_offset", word, "where it is in the file", False),
        Field("sh_size", word, "its size in bytes", False, str),
        Field("sh_link", 4, "another section's number", False, str),
        Field("sh_info", 4, "more, by type", False, str),
        Field("sh_addralign", word, "alignment", False, str),
        Field("sh_entsize", word, "size of an entry", False, str),
    )


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
    return read_record(data, 0, header_of(word), "ELF", order, _LOADER)


def _read(data: bytes, elf: Elf) -> Elf:
    """Read the other headers."""
    word = elf.word
    if not elf.header.whole:
        elf.facts.append(f"the file ends inside the ELF header, which has {40 + 3 * word} bytes")
        return elf
    elf.segments = _table(data, elf, "e_ph", "segment", segment_of(word))
    elf.sections = _table(data, elf, "e_sh", "section", section_of(word))
    return elf


def _table(
    data: bytes, elf: Elf, prefix: str, title: str, layout: tuple[Field, ...]
) -> list[Record]:
    get = elf.header.get
    offset, each, count = get(f"{prefix}off"), get(f"{prefix}entsize"), get(f"{prefix}num")
    size = size_of(layout)
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


def image(elf: Elf, size: int) -> FlowImage:
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
    return FlowImage((*exact, *pages), absolute)


def machine_of(elf: Elf) -> InstructionSet | None:
    """Whose instructions these are, or None when it is no architecture of the bootstrap's."""
    if elf.order != "little":
        return None
    number = elf.header.get("e_machine")
    return BY_ELF.get((_EM_386 if number == _EM_486 else number, elf.word // 4))


def claims(data: bytes, elf: Elf) -> Reading:
    """Headers, symbols and names, code, and the rest."""
    made = [claim for record in elf.records() for claim in record.claims]
    made += _tables_of_names(data, elf)
    view, machine = image(elf, len(data)), machine_of(elf)
    entry = elf.header.get("e_entry")
    place = view.offset(entry)
    facts = [*_describe(elf, data, machine, place), *elf.facts]
    no_code = f"the entry {entry:#x} is not in what is loaded from the file; no code is reached"
    word = elf.word if elf.order == "little" else 0
    return code_and_rest(data, made, facts, view, machine, place, no_code, word)


def _describe(
    elf: Elf, data: bytes, machine: InstructionSet | None, place: int | None
) -> list[str]:
    width = 32 if elf.word == 4 else 64
    name = machine.name if machine else MACHINES.get(elf.header.get("e_machine"), "?")
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
