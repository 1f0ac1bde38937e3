"""LIEF's reading of ELF and PE headers.  The only module that imports lief.

LIEF is under Apache-2.0, Unicorn under GPL version 2, and the two licences do not go together in
one program (docs/dependencies.md).  So LIEF is never imported where Unicorn is loaded: then it is
not asked, and the anatomy says so.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from bootstrap.anatomy.claims import Opinion
from bootstrap.anatomy.elf import Elf
from bootstrap.anatomy.opinions import Fields, NotAsked, ReaderRefused, compare
from bootstrap.anatomy.pe import Pe

_ELF = {"e_type": "file_type", "e_machine": "machine_type", "e_version": "object_file_version",
        "e_entry": "entrypoint", "e_phoff": "program_header_offset",
        "e_shoff": "section_header_offset", "e_flags": "processor_flag",
        "e_ehsize": "header_size", "e_phentsize": "program_header_size",
        "e_phnum": "numberof_segments", "e_shentsize": "section_header_size",
        "e_shnum": "numberof_sections", "e_shstrndx": "section_name_table_idx"}  # fmt: skip
_SEGMENT = {"p_type": "type", "p_offset": "file_offset", "p_vaddr": "virtual_address",
            "p_paddr": "physical_address", "p_filesz": "physical_size",
            "p_memsz": "virtual_size", "p_flags": "flags", "p_align": "alignment"}  # fmt: skip
_SECTION = {"sh_addr": "virtual_address", "sh_offset": "offset", "sh_size": "size",
            "sh_link": "link", "sh_info": "information"}  # fmt: skip
_COFF = {"Machine": "machine", "NumberOfSections": "numberof_sections",
         "TimeDateStamp": "time_date_stamps", "PointerToSymbolTable": "pointerto_symbol_table",
         "NumberOfSymbols": "numberof_symbols", "Characteristics": "characteristics",
         "SizeOfOptionalHeader": "sizeof_optional_header"}  # fmt: skip
_OPTIONAL = {"SizeOfCode": "sizeof_code", "SizeOfInitializedData": "sizeof_initialized_data",
             "SizeOfUninitializedData": "sizeof_uninitialized_data",
             "AddressOfEntryPoint": "addressof_entrypoint", "BaseOfCode": "baseof_code",
             "ImageBase": "imagebase", "SectionAlignment": "section_alignment",
             "FileAlignment": "file_alignment", "SizeOfImage": "sizeof_image",
             "SizeOfHeaders": "sizeof_headers", "CheckSum": "checksum",
             "Subsystem": "subsystem", "DllCharacteristics": "dll_characteristics",
             "SizeOfStackReserve": "sizeof_stack_reserve",
             "SizeOfStackCommit": "sizeof_stack_commit",
             "SizeOfHeapReserve": "sizeof_heap_reserve",
             "SizeOfHeapCommit": "sizeof_heap_commit", "LoaderFlags": "loader_flags",
             "NumberOfRvaAndSizes": "numberof_rva_and_size"}  # fmt: skip
_PE_SECTION = {"VirtualSize": "virtual_size", "VirtualAddress": "virtual_address",
               "SizeOfRawData": "sizeof_raw_data", "PointerToRawData": "pointerto_raw_data",
               "Characteristics": "characteristics"}  # fmt: skip


def on_elf(data: bytes, elf: Elf) -> Opinion:
    """LIEF on an ELF file."""
    return compare(_name(), elf.records(), lambda: _elf(data, elf))


def on_pe(data: bytes, pe: Pe) -> Opinion:
    """LIEF on a PE file."""
    records = [pe.dos, pe.coff, pe.optional, *pe.sections]
    return compare(_name(), records, lambda: _pe(data, pe))


def _name() -> str:
    import importlib.metadata

    try:
        return f"LIEF {importlib.metadata.version('lief')}"
    except importlib.metadata.PackageNotFoundError:
        return "LIEF"


def _lief() -> Any:
    if "unicorn" in sys.modules:
        raise NotAsked("Unicorn is loaded in this process, and their licences do not go together")
    try:
        import lief
    except ImportError:
        raise NotAsked("it is not installed") from None
    lief.logging.disable()
    return lief


def _elf(data: bytes, elf: Elf) -> Fields:
    binary = _parsed(_lief().ELF, data)
    found = _numbers("ELF", binary.header, _ELF)
    for index, segment in enumerate(list(binary.segments)[: len(elf.segments)]):
        found.update(_numbers(f"segment {index}", segment, _SEGMENT))
    for index, section in enumerate(list(binary.sections)[: len(elf.sections)]):
        found.update(_numbers(f"section {index}", section, _SECTION))
    return found


def _pe(data: bytes, pe: Pe) -> Fields:
    binary = _parsed(_lief().PE, data)
    found = _numbers("DOS", binary.dos_header, {"e_lfanew": "addressof_new_exeheader"})
    found.update(_numbers("COFF", binary.header, _COFF))
    found.update(_numbers("optional", binary.optional_header, _OPTIONAL))
    for index, section in enumerate(list(binary.sections)[: len(pe.sections)]):
        found.update(_numbers(f"section {index}", section, _PE_SECTION))
    return found


def _parsed(reader: Any, data: bytes) -> Any:
    try:
        binary = reader.parse(list(data))
    except Exception as error:
        raise ReaderRefused(f"{type(error).__name__}: {error}") from None
    if binary is None:
        raise ReaderRefused("it gives no reason")
    return binary


def _numbers(title: str, source: Any, names: dict[str, str]) -> dict[str, int]:
    found = {}
    with warnings.catch_warnings():
        # Of a number that has no name it warns; the number is all that is wanted.
        warnings.simplefilter("ignore")
        for ours, theirs in names.items():
            value = getattr(source, theirs, None)
            value = getattr(value, "value", value)
            if isinstance(value, int):
                # Types come with an architecture above their 32 bits, versions with a sign.
                short = ours in ("p_type", "e_version")
                found[f"{title} {ours}"] = value & 0xFFFFFFFF if short else value
    return found
