"""The full anatomy of a binary: every byte accounted for, in file order.

This room runs nothing, and neither imports nor is imported by what does: LIEF, which it asks for
a second opinion, may not be in one program with Unicorn (docs/dependencies.md).
"""

from __future__ import annotations

from typing import Any

from bootstrap.anatomy import elf, opinions, pe, raw
from bootstrap.anatomy.claims import Anatomy, make


def dissect(data: bytes, knight: bool = False, ask_lief: bool = True) -> Anatomy:
    """The anatomy of ``data``, at least one byte.

    ``knight``: it is known to be a Knight image, which nothing in the bytes could show.
    ``ask_lief``: have LIEF read the headers too; it is not imported otherwise.
    Raises nothing for any content: what is broken is a fact of the anatomy.
    """
    lief: Any = None
    if ask_lief and data.startswith((elf.MAGIC, pe.MAGIC)):
        from bootstrap.anatomy import lief_reader as lief
    if knight:
        return make(data, "Knight", raw.knight(data))
    why = "it is no ELF or PE file, no boot sector and no hex0 source"
    if data.startswith(elf.MAGIC):
        read = elf.read(data)
        if isinstance(read, str):
            return make(data, "unknown", raw.unknown(data, f"it begins as ELF, but {read}"))
        said = [opinions.pyelftools(data, read), *([lief.on_elf(data, read)] if lief else [])]
        return make(data, "ELF", elf.claims(data, read), said)
    if data.startswith(pe.MAGIC):
        image = pe.read(data)
        if not isinstance(image, str):
            said = [lief.on_pe(data, image)] if lief else []
            return make(data, "PE", pe.claims(data, image), said)
        why = f"it begins as PE, but {image}"
    if raw.is_boot_sector(data):
        return make(data, "boot sector", raw.boot_sector(data))
    if raw.is_source(data):
        return make(data, "hex0 source", raw.source(data))
    return make(data, "unknown", raw.unknown(data, why))
