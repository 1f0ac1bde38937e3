"""From bytes to an anatomy: what kind of file it is, and who reads it."""

from __future__ import annotations

from bootstrap.anatomy import elf, opinions, pe, raw
from bootstrap.anatomy.model import Anatomy, Claim, Opinion, make


def dissect(data: bytes, knight: bool = False, ask_lief: bool = True) -> Anatomy:
    """The anatomy of ``data``, at least one byte.

    ``knight``: it is known to be a Knight image, which nothing in the bytes could show.
    ``ask_lief``: have LIEF read the headers too; it is not imported otherwise.
    Raises nothing for any content: what is broken is a fact of the anatomy.
    """
    said: list[Opinion] = []
    if knight:
        return make(data, "Knight", *_ordered(raw.knight(data)))
    if data.startswith(elf.MAGIC):
        read = elf.read(data)
        if isinstance(read, str):
            return make(
                data, "unknown", *_ordered(raw.unknown(data, f"it begins as ELF, but {read}"))
            )
        said.append(opinions.pyelftools(data, read))
        if ask_lief:
            from bootstrap.anatomy import lief_reader

            said.append(lief_reader.on_elf(data, read))
        claims, facts, limits = elf.claims(data, read)
        return make(data, "ELF", facts, claims, said, limits)
    why = "it is no ELF or PE file, no boot sector and no hex0 source"
    if data.startswith(pe.MAGIC):
        image = pe.read(data)
        if not isinstance(image, str):
            if ask_lief:
                from bootstrap.anatomy import lief_reader

                said.append(lief_reader.on_pe(data, image))
            claims, facts, limits = pe.claims(data, image)
            return make(data, "PE", facts, claims, said, limits)
        why = f"it begins as PE, but {image}"
    if raw.is_boot_sector(data):
        return make(data, "boot sector", *_ordered(raw.boot_sector(data)))
    if raw.is_source(data):
        return make(data, "hex0 source", *_ordered(raw.source(data)))
    return make(data, "unknown", *_ordered(raw.unknown(data, why)))


def _ordered(
    reading: raw.Reading,
) -> tuple[list[str], list[Claim], tuple[Opinion, ...], list[str]]:
    claims, facts, limits = reading
    return facts, claims, (), limits
