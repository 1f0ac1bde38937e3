"""Which known content an unknown one resembles most, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MOST = 4
"""Two contents resemble each other when at most one byte in this many differs."""


@dataclass(frozen=True)
class Change:
    """A run of bytes at ``offset`` of the known content: what is there, and what is here."""

    offset: int
    known: bytes
    here: bytes


@dataclass(frozen=True)
class Nearest:
    """The known content (by SHA-256) that comes nearest, and the changes, in order."""

    sha256: str
    distance: int
    """Bytes that differ."""
    changes: tuple[Change, ...]


def nearest(data: bytes, known: Mapping[str, bytes]) -> Nearest | None:
    """The nearest of ``known``, or None when none resembles ``data``.

    Contents of one size are compared byte by byte; of two sizes, what lies between their common
    beginning and their common end is what differs.
    """
    best: Nearest | None = None
    for sha256, content in sorted(known.items()):
        changes = _changes(content, data)
        distance = sum(max(len(change.known), len(change.here)) for change in changes)
        near = distance * MOST <= max(len(data), len(content))
        if near and (best is None or distance < best.distance):
            best = Nearest(sha256, distance, tuple(changes))
    return best


def _changes(known: bytes, here: bytes) -> list[Change]:
    if len(known) == len(here):
        return _same_size(known, here)
    shorter = min(len(known), len(here))
    start = next((i for i in range(shorter) if known[i] != here[i]), shorter)
    end = 0
    while end < shorter - start and known[-1 - end] == here[-1 - end]:
        end += 1
    return [Change(start, known[start : len(known) - end], here[start : len(here) - end])]


def _same_size(known: bytes, here: bytes) -> list[Change]:
    changes: list[Change] = []
    at = 0
    while at < len(known):
        if known[at] == here[at]:
            at += 1
            continue
        end = at
        while end < len(known) and known[end] != here[end]:
            end += 1
        changes.append(Change(at, known[at:end], here[at:end]))
        at = end
    return changes
