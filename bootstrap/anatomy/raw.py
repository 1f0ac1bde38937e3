"""Files without a header: boot sectors, hex0 sources, Knight images, and what is nothing known.

Sources: the BIOS boot specification 1.01, section 6.5.1: the first 512 bytes are loaded at
address 0x7c00 when they end in 55 aa; stage0's Knight instruction set is in no disassembler.
"""

from __future__ import annotations

import re

from bootstrap.anatomy.claims import Claim, Reading
from bootstrap.anatomy.flat import code_and_rest, leftovers
from bootstrap.anatomy.flow import FlowImage, Mapping
from bootstrap.anatomy.machines import X86_16
from bootstrap.core.errors import printable
from bootstrap.languages import hex0

_SECTOR = 512
_LOADED_AT = 0x7C00
_ROW = 8
_MAX_SOURCE = 256 << 10
"""Bytes of a hex0 source that is taken for one; upstream's largest has 32 KB."""
_SOURCE = re.compile(
    rb"(?=(?:[#;][^\n]*\n|[ \t\r\n])*[0-9A-Fa-f])(?:[#;][^\n]*|[0-9A-Fa-f \t\r\n])*+"
)


def is_boot_sector(data: bytes) -> bool:
    """Whether a BIOS would start it."""
    return len(data) >= _SECTOR and len(data) % _SECTOR == 0 and data[510:512] == b"\x55\xaa"


def boot_sector(data: bytes) -> Reading:
    """A boot sector, and what follows it on the disk."""
    made = [
        Claim(510, 512, "header", "boot signature", "55 aa", "the BIOS starts what ends in this")
    ]
    facts = [
        "boot sector: a BIOS loads the first 512 bytes at 0x7c00 and starts them in 16-bit mode",
        "the BIOS reads no header in it but the signature",
    ]
    limits = [
        "everything is read as 16-bit code with segment registers of 0; a program that changes"
        " them or the mode reads otherwise",
    ]
    if len(data) > _SECTOR:
        facts.append(f"the BIOS does not load the {len(data) - _SECTOR} bytes after the sector")
    view = FlowImage((Mapping(0, _SECTOR, _LOADED_AT),))
    claims, facts, more = code_and_rest(data, made, facts, view, X86_16, 0, "")
    return claims, facts, [*limits, *more]


def is_source(data: bytes) -> bool:
    """Whether it reads as hex0: text, and nothing outside of comments but digits and blanks."""
    return len(data) <= _MAX_SOURCE and _SOURCE.fullmatch(data) is not None


def source(data: bytes) -> Reading:
    """A hex0 source, line by line."""
    assembly = hex0.assemble(data, "")
    counts: dict[int, int] = {}
    for origin in assembly.map:
        counts[origin.line] = counts.get(origin.line, 0) + 1
    made = []
    at = 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        end = min(at + len(line) + 1, len(data))
        if end > at:
            count = counts.get(number, 0)
            made_of = f"makes {count} byte{'s' if count > 1 else ''}" if count else ""
            text = printable(line.rstrip())
            made.append(Claim(at, end, "source", f"line {number}", text, made_of))
        at = end
    facts = [
        f"hex0 source: {len(made)} lines, which assemble to {len(assembly.output)} bytes",
        "no binary: nothing in it runs",
    ]
    return made, facts, []


def knight(data: bytes) -> Reading:
    """A Knight image: its bytes."""
    facts = [
        "image for the Knight virtual machine, which loads it at address 0 and starts it there",
        "it has no header: that it is one is known from its hash only",
    ]
    limits = [
        "Knight is in no disassembler that is used here, and its instructions are not all of"
        " one length: bytes and ASCII are shown, not instructions",
    ]
    made = [_row(data, at) for at in range(0, len(data), _ROW)]
    return made, facts, limits


def _row(data: bytes, at: int) -> Claim:
    raw = data[at : at + _ROW]
    shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in raw)
    return Claim(at, at + len(raw), "data", "image", shown)


def unknown(data: bytes, why: str) -> Reading:
    """A file of which only the bytes are known."""
    limits = ["what it is is not known; nothing in it is claimed to be code"]
    return leftovers(data, []), [why], limits
