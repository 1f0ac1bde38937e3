"""What an anatomy is made of: claims on bytes, and parts that account for every byte once.

Several claims may lie over the same byte; in seeds they do so on purpose (a header field that is
also an instruction).  Each byte belongs to the first claim made on it, so that sizes add up, and
the others are shown beside it.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

Kind = Literal["header", "code", "unreached", "data", "string", "padding", "source", "unused"]
KINDS: dict[Kind, tuple[str, str, str]] = {
    "header": ("header fields", "field", "36"),
    "code": ("instructions reached from the entry", "code", "32"),
    "unreached": ("reads as instructions, not reached by direct flow", "code?", "33"),
    "data": ("data", "data", "35"),
    "string": ("strings", "string", "34"),
    "padding": ("padding", "padding", "2"),
    "source": ("source text", "source", "0"),
    "unused": ("used by nothing", "unused", "31"),
}
"""What a kind is, its word in a listing, and its colour there (ECMA-48, SGR)."""
Verdict = Literal["agrees", "differs", "refuses", "not asked"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One reading of the bytes ``start`` to ``end`` (file offsets, ``end`` not included)."""

    start: int
    end: int
    kind: Kind
    name: str
    """What it is: a field's name, an instruction, a string."""
    value: str = ""
    meaning: str = ""
    idle: bool = False
    """Whether it is a header field that is not read when the file is run."""


Reading = tuple[list[Claim], list[str], list[str]]
"""Claims in order of precedence, facts for the reader, and what stays unknown."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes that belong to one claim, and the other claims that lie over them."""

    start: int
    data: bytes
    claim: Claim
    also: tuple[Claim, ...] = ()

    @property
    def end(self) -> int:
        return self.start + len(self.data)

    @property
    def size(self) -> int:
        return len(self.data)


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field that a reader reads otherwise than our own table does."""

    field: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Opinion:
    """What another reader says of the header; ``detail`` is why it refuses or was not asked."""

    reader: str
    verdict: Verdict
    fields: int = 0
    """How many fields were compared."""
    differences: tuple[FieldDifference, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class Anatomy:
    """The anatomy of one file.  ``parts`` come in file order and cover each byte exactly once."""

    size: int
    sha256: str
    format: str
    facts: tuple[str, ...]
    """What is to be known before reading: where it is loaded, where it begins, what is odd."""
    parts: tuple[Part, ...]
    opinions: tuple[Opinion, ...] = ()
    limits: tuple[str, ...] = ()
    """What this anatomy does not show."""

    def __post_init__(self) -> None:
        """The promise of this room; a breach is an error of ours, never of the file."""
        at = 0
        for part in self.parts:
            if part.start != at or not part.data:
                raise AssertionError(f"anatomy: part at {part.start:#x}, expected {at:#x}")
            at = part.end
        if at != self.size:
            raise AssertionError(f"anatomy: parts add up to {at} bytes of {self.size}")

    def totals(self) -> dict[Kind, int]:
        """Bytes by kind, in the order of KINDS; they add up to ``size``."""
        sums: dict[Kind, int] = {}
        for part in self.parts:
            sums[part.claim.kind] = sums.get(part.claim.kind, 0) + part.size
        return {kind: sums[kind] for kind in KINDS if kind in sums}

    def shared(self) -> int:
        """How many bytes have more than one reading."""
        total = 0
        for part in self.parts:
            at = part.start
            for claim in sorted(part.also, key=lambda claim: claim.start):
                start, end = max(claim.start, at), min(claim.end, part.end)
                if start < end:
                    total += end - start
                    at = end
        return total

    def idle(self) -> int:
        """How many bytes are in fields that are not read, and in nothing else that is used."""
        total = 0
        for part in self.parts:
            used = bytearray(part.size)
            for claim in part.also:
                if not claim.idle:
                    low, high = max(claim.start, part.start), min(claim.end, part.end)
                    used[low - part.start : high - part.start] = b"\1" * (high - low)
            if part.claim.idle:
                total += used.count(0)
        return total


def make(data: bytes, form: str, reading: Reading, opinions: Sequence[Opinion] = ()) -> Anatomy:
    """The anatomy of ``data``; the claims may leave bytes out."""
    claims, facts, limits = reading
    return Anatomy(
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        format=form,
        facts=tuple(facts),
        parts=account(data, claims),
        opinions=tuple(opinions),
        limits=tuple(limits),
    )


def gaps(size: int, claims: Sequence[Claim]) -> list[tuple[int, int]]:
    """The ranges (start, end) that no claim covers, in file order."""
    found = []
    at = 0
    for claim in sorted(claims, key=lambda claim: claim.start):
        if claim.start > at:
            found.append((at, min(claim.start, size)))
        at = max(at, claim.end)
        if at >= size:
            return found
    return [*found, (at, size)] if at < size else found


def account(data: bytes, claims: Sequence[Claim]) -> tuple[Part, ...]:
    """Give every byte to the first claim on it; what none covers becomes ``unused``."""
    owner = array("i", [-1]) * len(data)
    for index, claim in enumerate(claims):
        for at in range(max(claim.start, 0), min(claim.end, len(data))):
            if owner[at] < 0:
                owner[at] = index
    runs: list[tuple[int, int, int]] = []
    end = 0
    for index, same in groupby(owner):
        start, end = end, end + len(list(same))
        runs.append((start, end, index))
    starts = [run[0] for run in runs]
    also: list[list[Claim]] = [[] for _ in runs]
    for index, claim in enumerate(claims):
        at = max(bisect_right(starts, claim.start) - 1, 0)
        while at < len(runs) and runs[at][0] < claim.end:
            if runs[at][2] != index and runs[at][1] > claim.start:
                also[at].append(claim)
            at += 1
    parts = []
    for (start, end, index), others in zip(runs, also, strict=True):
        unused = "used by nothing", "", "no header field, code or reference"
        claim = claims[index] if index >= 0 else Claim(start, end, "unused", *unused)
        parts.append(Part(start, data[start:end], claim, tuple(others)))
    return tuple(parts)
