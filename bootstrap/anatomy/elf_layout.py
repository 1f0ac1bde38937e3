"""The header fields of ELF files: name, size in bytes, meaning, and whether Linux reads it.

Sources: System V ABI, chapters 4 and 5 (ELF header, sections, program header); for what Linux
reads, fs/binfmt_elf.c (load_elf_binary, load_elf_phdrs) and elf_check_arch of the architectures.
What Linux does not read is free for other use, and seeds use it: code lies there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Show = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a header.  ``size`` is in bytes; ``raw`` fields are bytes, not a number."""

    name: str
    size: int
    meaning: str
    loaded: bool = True
    """Whether Linux reads it when it executes the file."""
    show: Show = hex
    raw: bool = False


def named(names: Mapping[int, str]) -> Show:
    """Shows a number with its name."""
    return lambda value: f"{value} ({names[value]})" if value in names else f"{value} (no name)"


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


def header(word: int) -> tuple[Field, ...]:
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


def segment(word: int) -> tuple[Field, ...]:
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


def section(word: int) -> tuple[Field, ...]:
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


def size_of(fields: tuple[Field, ...]) -> int:
    """Bytes of a header."""
    return sum(field.size for field in fields)
