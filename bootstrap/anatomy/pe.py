"""The anatomy of a PE32+ file, as UEFI executes it: MZ header, COFF and optional header, sections.

Sources: Microsoft, PE Format; UEFI specification 2.10, section 2.1.1 (UEFI images).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bootstrap.anatomy.claims import Reading
from bootstrap.anatomy.flat import code_and_rest
from bootstrap.anatomy.flow import FlowImage, Mapping
from bootstrap.anatomy.machines import UEFI_64
from bootstrap.anatomy.reading import Field, Record, named, read_record, size_of

MAGIC = b"MZ"
_MAX_SECTIONS = 96
"""More are refused by loaders (PE Format, COFF file header)."""
_PE32_PLUS = 0x20B
_AMD64 = 0x8664
_MACHINES = {0x14C: "x86", 0x8664: "x86-64", 0xAA64: "AArch64"}
_SUBSYSTEMS = {10: "EFI application", 11: "EFI boot service driver", 12: "EFI runtime driver"}
_DOS_WORDS = ("e_cblp", "e_cp", "e_crlc", "e_cparhdr", "e_minalloc", "e_maxalloc", "e_ss", "e_sp",
              "e_csum", "e_ip", "e_cs", "e_lfarlc", "e_ovno")  # fmt: skip

DOS = (
    Field("e_magic", 2, "MZ: a DOS program, and what follows", raw=True),
    *(Field(name, 2, "for DOS", False) for name in _DOS_WORDS),
    Field("e_res", 8, "reserved", False, raw=True),
    Field("e_oemid", 2, "for DOS", False),
    Field("e_oeminfo", 2, "for DOS", False),
    Field("e_res2", 20, "reserved", False, raw=True),
    Field("e_lfanew", 4, "where the PE signature is in the file"),
)
COFF = (
    Field("Signature", 4, "PE", raw=True),
    Field("Machine", 2, "whose instructions", True, named(_MACHINES)),
    Field("NumberOfSections", 2, "how many section headers", True, str),
    Field("TimeDateStamp", 4, "when it was made", False, str),
    Field("PointerToSymbolTable", 4, "for debuggers", False),
    Field("NumberOfSymbols", 4, "for debuggers", False, str),
    Field("SizeOfOptionalHeader", 2, "bytes to the section headers", True, str),
    Field("Characteristics", 2, "flags"),
)
OPTIONAL = (
    Field("Magic", 2, "0x20b: PE32+, 64-bit"),
    Field("MajorLinkerVersion", 1, "who made it", False, str),
    Field("MinorLinkerVersion", 1, "who made it", False, str),
    Field("SizeOfCode", 4, "bytes of code", False, str),
    Field("SizeOfInitializedData", 4, "bytes of data", False, str),
    Field("SizeOfUninitializedData", 4, "bytes of zeros", False, str),
    Field("AddressOfEntryPoint", 4, "the first instruction, from the image's start"),
    Field("BaseOfCode", 4, "where code begins", False),
    Field("ImageBase", 8, "the address the image would like"),
    Field("SectionAlignment", 4, "alignment in memory", True, str),
    Field("FileAlignment", 4, "alignment in the file", True, str),
    Field("MajorOperatingSystemVersion", 2, "for Windows", False, str),
    Field("MinorOperatingSystemVersion", 2, "for Windows", False, str),
    Field("MajorImageVersion", 2, "its version", False, str),
    Field("MinorImageVersion", 2, "its version", False, str),
    Field("MajorSubsystemVersion", 2, "for Windows", False, str),
    Field("MinorSubsystemVersion", 2, "for Windows", False, str),
    Field("Win32VersionValue", 4, "reserved", False),
    Field("SizeOfImage", 4, "bytes of memory the image takes"),
    Field("SizeOfHeaders", 4, "bytes of headers"),
    Field("CheckSum", 4, "for drivers", False),
    Field("Subsystem", 2, "what executes it", True, named(_SUBSYSTEMS)),
    Field("DllCharacteristics", 2, "flags", False),
    Field("SizeOfStackReserve", 8, "for Windows", False, str),
    Field("SizeOfStackCommit", 8, "for Windows", False, str),
    Field("SizeOfHeapReserve", 8, "for Windows", False, str),
    Field("SizeOfHeapCommit", 8, "for Windows", False, str),
    Field("LoaderFlags", 4, "reserved", False),
    Field("NumberOfRvaAndSizes", 4, "how many data directories follow", True, str),
)
_DIRECTORIES = ("export", "import", "resource", "exception", "certificate", "relocation", "debug",
                "architecture", "global pointer", "thread storage", "load configuration",
                "bound import", "import address", "delay import", "CLR", "reserved")  # fmt: skip
DIRECTORY = (
    Field("VirtualAddress", 4, "where, from the image's start"),
    Field("Size", 4, "bytes", True, str),
)
SECTION = (
    Field("Name", 8, "its name", False, raw=True),
    Field("VirtualSize", 4, "bytes in memory", True, str),
    Field("VirtualAddress", 4, "where, from the image's start"),
    Field("SizeOfRawData", 4, "bytes in the file", True, str),
    Field("PointerToRawData", 4, "where it is in the file"),
    Field("PointerToRelocations", 4, "for object files", False),
    Field("PointerToLinenumbers", 4, "for debuggers", False),
    Field("NumberOfRelocations", 2, "for object files", False, str),
    Field("NumberOfLinenumbers", 2, "for debuggers", False, str),
    Field("Characteristics", 4, "flags", False),
)


@dataclass
class Pe:
    """A PE file, read."""

    dos: Record
    coff: Record
    optional: Record
    directories: list[Record] = field(default_factory=list)
    sections: list[Record] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    def records(self) -> list[Record]:
        return [self.dos, self.coff, self.optional, *self.directories, *self.sections]


def read(data: bytes) -> Pe | str:
    """Read the headers, or say why this is no PE32+ file."""
    dos = read_record(data, 0, DOS, "DOS")
    place = dos.get("e_lfanew")
    if data[place : place + 4] != b"PE\0\0":
        return f"there is no PE signature at byte {place:#x}, where e_lfanew points"
    coff = read_record(data, place, COFF, "COFF")
    start = place + size_of(COFF)
    optional = read_record(data, start, OPTIONAL, "optional")
    if optional.get("Magic") != _PE32_PLUS:
        return f"the optional header's magic is {optional.get('Magic'):#x}, not 0x20b (PE32+)"
    pe = Pe(dos, coff, optional)
    at = start + size_of(OPTIONAL)
    for index in range(min(optional.get("NumberOfRvaAndSizes"), len(_DIRECTORIES))):
        title = f"directory {_DIRECTORIES[index]}"
        pe.directories.append(read_record(data, at + 8 * index, DIRECTORY, title))
    at = start + coff.get("SizeOfOptionalHeader")
    for index in range(min(coff.get("NumberOfSections"), _MAX_SECTIONS)):
        record = read_record(data, at + index * size_of(SECTION), SECTION, f"section {index}")
        if not record.whole:
            pe.facts.append(f"the file ends before or inside section header {index}")
        pe.sections.append(record)
    return pe


def image(pe: Pe, size: int) -> FlowImage:
    """The image from address 0: headers at their file offsets, sections where they say."""
    maps = []
    for record in pe.sections:
        start, length = record.get("PointerToRawData"), record.get("SizeOfRawData")
        length = min(length, record.get("VirtualSize") or length, max(size - start, 0))
        if record.whole and length > 0:
            maps.append(Mapping(start, length, record.get("VirtualAddress")))
    headers = min(pe.optional.get("SizeOfHeaders"), size)
    return FlowImage((*maps, Mapping(0, headers, 0)), absolute=False)


def claims(data: bytes, pe: Pe) -> Reading:
    """Headers, code, and the rest."""
    made = [claim for record in pe.records() for claim in record.claims]
    view = image(pe, len(data))
    entry = pe.optional.get("AddressOfEntryPoint")
    place = view.offset(entry)
    where = "which is not in the file" if place is None else f"byte {place:#x}"
    machine = UEFI_64 if pe.coff.get("Machine") == _AMD64 else None
    name = _MACHINES.get(pe.coff.get("Machine"), "an unknown machine")
    kind = _SUBSYSTEMS.get(pe.optional.get("Subsystem"), "no EFI program")
    facts = [f"PE32+; {name}; {kind}", f"entry {entry:#x} from the image's start, {where}"]
    for item in view.mappings[:-1]:
        facts.append(
            f"bytes {item.start:#x} to {item.start + item.size:#x} are loaded at"
            f" {item.address:#x} from the image's start"
        )
    facts += pe.facts
    no_code = "the entry is not in the file; no code is reached"
    return code_and_rest(data, made, facts, view, machine, place, no_code)
