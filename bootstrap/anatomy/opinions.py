"""Second readers of the headers: pyelftools for ELF, and LIEF for ELF and PE.

Each reads the file on its own; its values are compared with those of our own table, field by
field.  A reader that refuses the file is reported with its reason: it is not an error.
"""

from __future__ import annotations

import importlib.metadata
import io
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from bootstrap.anatomy.claims import FieldDifference, Opinion, Verdict
from bootstrap.anatomy.elf import Elf
from bootstrap.anatomy.reading import Record

Fields = Mapping[str, int]
"""Field names as our table has them, with the title of their header, to their values."""


class ReaderRefused(Exception):
    """A reader does not read the file; the message is its reason."""


class NotAsked(Exception):
    """A reader could not be asked; the message says why."""


def compare(reader: str, ours: Sequence[Record], ask: Callable[[], Fields]) -> Opinion:
    """What the reader says, against our own reading."""
    mine = {f"{record.title} {name}": value for record in ours for name, value in
            record.values.items()}  # fmt: skip
    try:
        theirs = ask()
    except NotAsked as error:
        return Opinion(reader, "not asked", detail=str(error))
    except ReaderRefused as error:
        return Opinion(reader, "refuses", detail=str(error))
    shared = [name for name in mine if name in theirs]
    differences = tuple(
        FieldDifference(name, hex(mine[name]), hex(theirs[name]))
        for name in shared
        if mine[name] != theirs[name]
    )
    unread = [
        record.title
        for record in ours
        if record.whole and not any(f"{record.title} {name}" in theirs for name in record.values)
    ]
    detail = f"it does not give: {', '.join(unread[:6])}" if unread else ""
    if len(unread) > 6:
        detail += f" and {len(unread) - 6} more"
    verdict: Verdict = "differs" if differences or unread else "agrees"
    return Opinion(reader, verdict, len(shared), differences, detail)


def pyelftools(data: bytes, elf: Elf) -> Opinion:
    """pyelftools on an ELF file."""
    try:
        version = importlib.metadata.version("pyelftools")
    except importlib.metadata.PackageNotFoundError:
        return Opinion("pyelftools", "not asked", detail="it is not installed")
    return compare(f"pyelftools {version}", elf.records(), lambda: _pyelftools(data, elf))


def _pyelftools(data: bytes, elf: Elf) -> Fields:
    from elftools.elf import enums
    from elftools.elf.elffile import ELFFile

    names: dict[str, int] = {}
    for table in (enums.ENUM_E_TYPE, enums.ENUM_E_MACHINE, enums.ENUM_E_VERSION,
                  enums.ENUM_P_TYPE_BASE, enums.ENUM_SH_TYPE_BASE):  # fmt: skip
        names.update({key: value for key, value in table.items() if isinstance(value, int)})

    def numbers(title: str, header: Mapping[str, object]) -> dict[str, int]:
        found = {}
        for key, value in header.items():
            number = names.get(value) if isinstance(value, str) else value
            if isinstance(number, int):
                found[f"{title} {key}"] = number
        return found

    # Whatever it stumbles over in a broken file is its way of refusing it.
    try:
        file = ELFFile(io.BytesIO(data))
        found = numbers("ELF", file.header)
        ident = file.header["e_ident"]
        found["ELF e_ident[EI_CLASS]"] = {"ELFCLASS32": 1, "ELFCLASS64": 2}[ident["EI_CLASS"]]
        for index, segment in enumerate(islice(file.iter_segments(), len(elf.segments))):
            found.update(numbers(f"segment {index}", segment.header))
        for index, section in enumerate(islice(file.iter_sections(), len(elf.sections))):
            found.update(numbers(f"section {index}", section.header))
    except Exception as error:
        raise ReaderRefused(f"{type(error).__name__}: {error}") from None
    return found
