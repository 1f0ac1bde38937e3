"""Where two memories differ, and which instructions touch what differs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator

from bootstrap.core.arches import PAGE
from bootstrap.linux.snapshot import MemoryState
from bootstrap.timeline.disassembly import Decoder

LONGEST = 15
"""Bytes of the longest instruction."""
Ranges = list[tuple[int, int]]
"""Addresses from, up to; in order, and none touches the next."""


class ChangedCode:
    """Which instructions of a program are other bytes in the other one."""

    def __init__(self, ranges: Ranges, read: Callable[[int, int], bytes], decoder: Decoder) -> None:
        self._ranges = ranges
        self._starts = [start for start, _ in ranges]
        self._read, self._decoder = read, decoder
        self._known: dict[int, bool] = {}

    def bytes_at(self, pc: int) -> bytes:
        """The instruction there."""
        raw = self._read(pc, LONGEST)
        return self._decoder.one(raw, pc).code if raw else b""

    def first(self, other: ChangedCode, base: int, trail: list[int]) -> int | None:
        """Of the instructions that ran, the first that is another in the other one."""
        changed = set()
        for pc in set(trail):
            if pc not in self._known:
                near = touches(self._starts, self._ranges, pc, LONGEST)
                self._known[pc] = near and self.bytes_at(pc) != other.bytes_at(pc)
            if self._known[pc]:
                changed.add(pc)
        if not changed:
            return None
        return base + next(index for index, pc in enumerate(trail) if pc in changed)


def touches(starts: list[int], ranges: Ranges, guest_addr: int, size: int) -> bool:
    """Whether some of these addresses are in one of the ranges."""
    index = bisect_right(starts, guest_addr + size - 1) - 1
    return index >= 0 and ranges[index][1] > guest_addr


def differing(a: MemoryState, b: MemoryState) -> Ranges:
    """Where two memories are not the same, as ranges of addresses in order."""
    one, other = _pages(a), _pages(b)
    found: Ranges = []
    for at in sorted({*one, *other}):
        x, y = one.get(at, _ZERO), other.get(at, _ZERO)
        if x == y:
            continue
        for start, end in _runs(x, y):
            if found and found[-1][1] == at + start:
                found[-1] = found[-1][0], at + end
            else:
                found.append((at + start, at + end))
    return found


_ZERO = bytes(PAGE)


def _pages(memory: MemoryState) -> dict[int, bytes]:
    return {
        extent.start + index * PAGE: page
        for extent in memory.extents
        for index, page in extent.by_index().items()
    }


def _runs(a: bytes, b: bytes) -> Iterator[tuple[int, int]]:
    start = None
    for index, (x, y) in enumerate(zip(a, b, strict=True)):
        if x != y and start is None:
            start = index
        elif x == y and start is not None:
            yield start, index
            start = None
    if start is not None:
        yield start, len(a)
