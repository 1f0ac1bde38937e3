"""Header fields: their layout, and how they are read out of a file, bounded by the file's end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bootstrap.anatomy.claims import Claim

ByteOrder = Literal["little", "big"]
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


def size_of(fields: tuple[Field, ...]) -> int:
    """Bytes of a header."""
    return sum(field.size for field in fields)


@dataclass
class Record:
    """The fields of one header: values by name, and the claims they make."""

    title: str
    start: int
    values: dict[str, int] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    whole: bool = True
    """False when the file ends inside it."""

    def get(self, name: str) -> int:
        """A value; 0 for a field that the file is too short for."""
        return self.values.get(name, 0)


def read_record(
    data: bytes,
    start: int,
    layout: Sequence[Field],
    title: str,
    order: ByteOrder = "little",
    loader: str = "",
) -> Record:
    """Read the header at file offset ``start``; a field that the file cuts is claimed as cut.

    ``loader`` is who is named as not reading a field that is not read.
    """
    record = Record(title, start)
    at = start
    for item in layout:
        raw = data[at : at + item.size]
        end = at + item.size
        if len(raw) < item.size:
            record.whole = False
            if raw:
                cut = f"the file ends after {len(raw)} of its {item.size} bytes"
                record.claims.append(
                    Claim(at, at + len(raw), "header", f"{title} {item.name}", "?", cut)
                )
            break
        value = int.from_bytes(raw, order)
        record.values[item.name] = value
        shown = ascii(raw)[1:] if item.raw else item.show(value)
        meaning = item.meaning
        idle = bool(loader) and not item.loaded
        if idle:
            meaning = f"{item.meaning}; {loader} does not read it"
        record.claims.append(Claim(at, end, "header", f"{title} {item.name}", shown, meaning, idle))
        at = end
    return record
