"""Bytes that no header and no reached instruction explain: padding, strings, pointers, the rest."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from bootstrap.anatomy.claims import Claim, Kind, Reading, gaps
from bootstrap.anatomy.flow import ControlFlow, FlowImage, follow, sweep
from bootstrap.anatomy.machines import InstructionSet

# Possessive: a long text without a NUL must not be scanned again from each of its bytes.
_STRING = re.compile(rb"[\t\x20-\x7e]{3,200}+[\r\n]{0,2}+\x00?+")
_LONG = 6
"""Bytes in a row that are taken for a string without a NUL at its end."""
_WIDE = re.compile(rb"(?:[\x20-\x7e]\x00){4,200}+(?:\x00\x00)?+")
_RUN = re.compile(rb"\x00{8,}|\x90{8,}|\xff{8,}|\xcc{8,}")
_ROW = 8
_MAX_CODE = 64 << 10
"""Bytes that nothing reaches and that are still decoded, as a possible reading; per file."""


def code_and_rest(
    data: bytes,
    claims: list[Claim],
    facts: list[str],
    image: FlowImage,
    machine: InstructionSet | None,
    entry: int | None,
    no_code: str,
    word: int = 0,
) -> Reading:
    """What ``claims`` say, the code that is reached from the file offset ``entry``, and the rest.

    ``no_code`` is why none is reached without an entry; ``word``: size of a pointer, 0 for none.
    """
    flow, limits = None, [no_code]
    if machine is None:
        limits = ["the instructions are of an architecture that is not disassembled here"]
    elif entry is not None:
        flow = follow(data, image, machine, entry)
        claims = [*claims, *_instructions(flow)]
        limits = _limits_of(flow)
    return [*claims, *leftovers(data, claims, flow, image, machine, word)], facts, limits


def _instructions(flow: ControlFlow) -> list[Claim]:
    """The instructions that were reached, in file order."""
    claims = []
    for offset in sorted(flow.instructions):
        item = flow.instructions[offset]
        meaning = f"to byte {item.target:#x}" if item.target is not None else item.note
        claims.append(Claim(offset, offset + item.size, "code", item.text, "", meaning))
    return claims


def _limits_of(flow: ControlFlow) -> list[str]:
    """What following the flow could not find out, in words: a line for each reason."""
    places: dict[str, list[int]] = {}
    for offset, why in flow.unfollowed:
        places.setdefault(why, []).append(offset)
    found = []
    for why, offsets in places.items():
        shown = ", ".join(f"{offset:#x}" for offset in offsets[:8])
        more = f" and {len(offsets) - 8} more" if len(offsets) > 8 else ""
        found.append(f"not followed, {why}: at byte {shown}{more}")
    if len(found) > 12:
        found = [*found[:12], f"and {len(found) - 12} more such reasons"]
    if not flow.complete:
        found.append("there is more code than is followed here; the rest stays unread")
    return found


def leftovers(
    data: bytes,
    claims: list[Claim],
    flow: ControlFlow | None = None,
    image: FlowImage | None = None,
    machine: InstructionSet | None = None,
    word: int = 0,
) -> list[Claim]:
    """Claims on all that ``claims`` leave over.  ``word``: size of a pointer, 0 for none."""
    rest = _Rest(data, image, machine, word)
    references = dict(flow.references) if flow else {}
    # A word that is read and whose value is an address in the file names another place.
    for place, (origin, size) in sorted(references.items()):
        pointed = rest.pointer(place, size) if word and size else None
        if pointed is not None:
            references.setdefault(pointed, (origin, 0))
    places = sorted(references)
    found: list[Claim] = []
    for start, end in gaps(len(data), claims):
        inside = places[bisect_right(places, start) : bisect_left(places, end)]
        for low, high in pairwise([start, *inside, end]):
            found += rest.piece(low, high, references.get(low))
    return found


@dataclass
class _Rest:
    """Reads what is left over of one file."""

    data: bytes
    image: FlowImage | None
    machine: InstructionSet | None
    word: int
    budget: int = _MAX_CODE

    def piece(self, start: int, end: int, reference: tuple[int, int] | None) -> Iterator[Claim]:
        """Claims on one range; ``reference`` is the instruction that names it, and how it reads."""
        data = self.data
        why = "" if reference is None else f"named by the instruction at byte {reference[0]:#x}"
        if end - start >= 4 and data.count(data[start], start, end) == end - start:
            yield self.padding(start, end, why)
            return
        if reference is not None and reference[1] and start + reference[1] <= end:
            stop = start + reference[1]
            yield self.value(start, stop, why)
            if stop < end:
                yield from self.piece(stop, end, None)
            return
        at = start
        for claim in self.pointers(start, end, why):
            yield claim
            at, why = claim.end, ""
        is_data = reference is not None
        for low, high, kind in _landmarks(data, at, end):
            yield from self.middle(at, low, why, is_data)
            why = why if low == at else ""
            yield self.padding(low, high, why) if kind == "padding" else self.string(low, high, why)
            at, why = high, ""
        yield from self.middle(at, end, why, is_data)

    def pointers(self, start: int, end: int, why: str) -> Iterator[Claim]:
        """The words at the beginning of a range that point into the file."""
        at, word = start, self.word
        while word and at + word <= end:
            target = self.pointer(at, word)
            if target is not None:
                yield Claim(at, at + word, "data", "pointer", f"to byte {target:#x}", why)
            elif at > start and not any(self.data[at : at + word]):
                yield Claim(at, at + word, "data", "null pointer", "", "ends the pointers")
            else:
                return
            at, why = at + word, ""

    def pointer(self, at: int, size: int) -> int | None:
        """The file offset that the number of ``size`` bytes at ``at`` points to, or None."""
        raw = self.data[at : at + size]
        if self.image is None or not self.image.absolute or len(raw) != size or size not in (4, 8):
            return None
        return self.image.offset(int.from_bytes(raw, "little"))

    def middle(self, start: int, end: int, why: str, is_data: bool) -> Iterator[Claim]:
        """What is neither padding nor a string."""
        if start >= end:
            return
        if not any(self.data[start:end]):
            yield self.padding(start, end, why)
        elif is_data or self.image is None or self.image.address(start) is None:
            yield from self.rows(start, end, why)
        elif self.machine is not None and end - start <= self.budget:
            self.budget -= end - start
            yield from self.unreached(start, end, self.image, self.machine)
        else:
            yield from self.rows(start, end, "not reached by direct flow")

    def unreached(
        self, start: int, end: int, image: FlowImage, machine: InstructionSet
    ) -> Iterator[Claim]:
        """A possible reading as instructions."""
        bad: int | None = None
        for low, high, item in sweep(self.data, image, machine, start, end):
            if item is None:
                bad = low if bad is None else bad
                continue
            if bad is not None:
                yield from self.rows(bad, low, "no instruction of this machine")
                bad = None
            yield Claim(low, high, "unreached", item.text, "", "not reached by direct flow")
        if bad is not None:
            yield from self.rows(bad, end, "no instruction of this machine")

    def padding(self, start: int, end: int, why: str) -> Claim:
        shown = f"{end - start} x 0x{self.data[start]:02x}"
        return Claim(start, end, "padding", shown, "", why)

    def string(self, start: int, end: int, why: str) -> Claim:
        text = self.data[start:end].rstrip(b"\0")
        if b"\0" in text:
            text, why = text.replace(b"\0", b""), f"UTF-16; {why}" if why else "UTF-16"
        return Claim(start, end, "string", ascii(text.decode("latin-1")), "", why)

    def value(self, start: int, end: int, why: str) -> Claim:
        """A number that an instruction reads."""
        target = self.pointer(start, end - start)
        shown = f"{int.from_bytes(self.data[start:end], 'little'):#x}"
        if target is not None:
            shown += f", a pointer to byte {target:#x}"
        return Claim(start, end, "data", "data", shown, why)

    def rows(self, start: int, end: int, why: str) -> Iterator[Claim]:
        """Bytes and ASCII."""
        for at in range(start, end, _ROW):
            raw = self.data[at : min(at + _ROW, end)]
            shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in raw)
            yield Claim(at, at + len(raw), "data", "data", shown, why if at == start else "")


def _landmarks(data: bytes, start: int, end: int) -> list[tuple[int, int, Kind]]:
    """Strings and runs of one byte, in order and not overlapping."""
    found: list[tuple[int, int, Kind]] = []
    piece = data[start:end]
    taken = bytearray(len(piece))
    kinds: tuple[tuple[re.Pattern[bytes], Kind], ...] = (
        (_WIDE, "string"),
        (_STRING, "string"),
        (_RUN, "padding"),
    )
    for pattern, kind in kinds:
        for match in pattern.finditer(piece):
            low, high = match.span()
            if pattern is _STRING and high - low < _LONG and piece[high - 1]:
                continue
            if taken.find(1, low, high) < 0:
                taken[low:high] = b"\1" * (high - low)
                found.append((start + low, start + high, kind))
    return sorted(found)
