"""Bytes that no header and no reached instruction explain: padding, strings, pointers, the rest."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise

from bootstrap.anatomy.flow import Flow, Image, sweep
from bootstrap.anatomy.machines import Machine
from bootstrap.anatomy.model import Claim, Kind, gaps

_STRING = re.compile(rb"[\t\n\r\x20-\x7e]{3,}\x00|[\x20-\x7e]{6,}")
_WIDE = re.compile(rb"(?:[\x20-\x7e]\x00){4,}(?:\x00\x00)?")
_RUN = re.compile(rb"\x00{8,}|\x90{8,}|\xff{8,}|\xcc{8,}")
_ROW = 8
_MAX_CODE = 32 << 10
"""Bytes in a row that nothing reaches and that are still decoded as a possible reading."""


def instruction_claims(flow: Flow) -> list[Claim]:
    """The instructions that were reached, in file order."""
    claims = []
    for offset in sorted(flow.instructions):
        item = flow.instructions[offset]
        meaning = f"to byte {item.target:#x}" if item.target is not None else item.note
        claims.append(Claim(offset, offset + item.size, "code", item.text, "", meaning))
    return claims


def leftovers(
    data: bytes,
    claims: list[Claim],
    flow: Flow | None = None,
    image: Image | None = None,
    machine: Machine | None = None,
    word: int = 0,
) -> list[Claim]:
    """Claims on all that ``claims`` leave over.  ``word``: size of a pointer, 0 for none."""
    found: list[Claim] = []
    references = dict(flow.references) if flow else {}
    # A word that is read and whose value is an address in the file names another place.
    for place, (origin, size) in sorted(references.items()):
        pointed = _pointer(data, place, size or word, image) if word else None
        if pointed is not None and size:
            references.setdefault(pointed, (origin, 0))
    places = sorted(references)
    for start, end in gaps(len(data), claims):
        inside = places[bisect_right(places, start) : bisect_left(places, end)]
        cuts = [start, *inside, end]
        for low, high in pairwise(cuts):
            reference = references.get(low)
            found += _piece(data, low, high, reference, image, machine, word)
    return found


def _piece(
    data: bytes,
    start: int,
    end: int,
    reference: tuple[int, int] | None,
    image: Image | None,
    machine: Machine | None,
    word: int,
) -> Iterator[Claim]:
    why = "" if reference is None else f"named by the instruction at byte {reference[0]:#x}"
    if end - start >= 4 and data.count(data[start], start, end) == end - start:
        yield _padding(start, end, data[start], why)
        return
    if reference is not None and reference[1] and start + reference[1] <= end:
        size = reference[1]
        yield _data(data, start, start + size, image, why)
        if start + size < end:
            yield from _piece(data, start + size, end, None, image, machine, word)
        return
    at = start
    while word and at + word <= end:
        target = _pointer(data, at, word, image)
        if target is not None:
            yield Claim(at, at + word, "data", "pointer", f"to byte {target:#x}", why)
        elif at > start and not any(data[at : at + word]):
            yield Claim(at, at + word, "data", "null pointer", "", "ends the pointers")
        else:
            break
        at, why = at + word, ""
    for low, high, kind in _landmarks(data, at, end):
        yield from _middle(data, at, low, why, reference is not None, image, machine)
        if kind == "padding":
            yield _padding(low, high, data[low], why if low == start else "")
        else:
            text = data[low:high].rstrip(b"\0")
            if kind == "string" and b"\0" in text:
                text = text.replace(b"\0", b"")
                yield Claim(low, high, "string", ascii(text.decode()), "", _also(why, "UTF-16"))
            else:
                yield Claim(low, high, "string", ascii(text.decode("latin-1")), "", why)
        at, why = high, ""
    yield from _middle(data, at, end, why, reference is not None, image, machine)


def _also(why: str, what: str) -> str:
    return f"{what}; {why}" if why else what


def _landmarks(data: bytes, start: int, end: int) -> list[tuple[int, int, Kind]]:
    """Strings and runs of one byte, in order and not overlapping."""
    found: list[tuple[int, int, Kind]] = []
    piece = data[start:end]
    taken = bytearray(len(piece))
    kinds: tuple[tuple[re.Pattern[bytes], Kind], ...] = (
        (_WIDE, "string"), (_STRING, "string"), (_RUN, "padding"))  # fmt: skip
    for pattern, kind in kinds:
        for match in pattern.finditer(piece):
            low, high = match.span()
            if taken.find(1, low, high) < 0:
                taken[low:high] = b"\1" * (high - low)
                found.append((start + low, start + high, kind))
    return sorted(found)


def _middle(
    data: bytes,
    start: int,
    end: int,
    why: str,
    is_data: bool,
    image: Image | None,
    machine: Machine | None,
) -> Iterator[Claim]:
    """What is neither padding nor a string."""
    if start == end:
        return
    if not any(data[start:end]):
        yield _padding(start, end, 0, why)
    elif (
        is_data
        or machine is None
        or image is None
        or image.address(start) is None
        or end - start > _MAX_CODE
    ):
        for row in range(start, end, _ROW):
            yield _data(data, row, min(row + _ROW, end), None, why if row == start else "")
    else:
        yield from _unreached(data, start, end, image, machine)


def _unreached(
    data: bytes, start: int, end: int, image: Image, machine: Machine
) -> Iterator[Claim]:
    bad: tuple[int, int] | None = None
    for low, high, item in sweep(data, image, machine, start, end):
        if item is None:
            bad = (bad[0] if bad else low, high)
            continue
        if bad:
            yield _data(data, *bad, None, "no instruction of this machine")
            bad = None
        yield Claim(low, high, "unreached", item.text, "", "not reached by direct flow")
    if bad:
        yield _data(data, *bad, None, "no instruction of this machine")


def _pointer(data: bytes, at: int, size: int, image: Image | None) -> int | None:
    """The file offset that the word at ``at`` points to, or None."""
    raw = data[at : at + size]
    if image is None or not image.absolute or len(raw) != size or size not in (4, 8):
        return None
    return image.offset(int.from_bytes(raw, "little"))


def _padding(start: int, end: int, value: int, why: str) -> Claim:
    return Claim(start, end, "padding", f"{end - start} x 0x{value:02x}", "", why)


def _data(data: bytes, start: int, end: int, image: Image | None, why: str) -> Claim:
    raw = data[start:end]
    shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in raw)
    if image is not None and len(raw) in (4, 8):
        target = _pointer(data, start, len(raw), image)
        number = f"{int.from_bytes(raw, 'little'):#x}"
        shown = number if target is None else f"{number}, a pointer to byte {target:#x}"
    return Claim(start, end, "data", "data", shown, why)
