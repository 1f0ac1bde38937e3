"""Names of labels and macros that meet in the tables of our hex2 and M0."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

LETTERS = range(ord("a"), ord("z") + 1)
LAST_SLOT = 0x1FFFF
"""Both tables have 131072 places where the search for a name can begin."""

Hash = Callable[[bytes], int]


def hash_of_hex2(name: bytes) -> int:
    value = 0
    for byte in name:
        value = (value * 101 + byte) & 0xFFFFFFFF
    return value


def hash_of_m0(name: bytes) -> int:
    """The byte is added to the lowest 8 bits only, without carry."""
    value = 0
    for byte in name:
        value = value * 31 & 0xFFFFFFFF
        value = value & ~0xFF | (value + byte) & 0xFF
    return value


def meeting(
    hashed: Hash, wanted: int, count: int, length: int = 4, bits: int = LAST_SLOT
) -> list[bytes]:
    """The first ``count`` names of that length whose hash has the wanted value in ``bits``."""
    return list(itertools.islice(_meeting(hashed, wanted, length, bits), count))


def _meeting(hashed: Hash, wanted: int, length: int, bits: int) -> Iterator[bytes]:
    for prefix in itertools.product(LETTERS, repeat=length - 1):
        start = bytes(prefix)
        last = (wanted - hashed(start + b"\0")) & 0xFF
        # '>' cannot be in a name of hex2.
        if 0x21 <= last <= 0x7E and last != ord(">"):
            name = start + bytes([last])
            if hashed(name) & bits == wanted:
                yield name


def crowd(hashed: Hash, slot: int) -> list[bytes]:
    """Names that begin their search at ``slot`` and at the next one, of two lengths, mixed."""
    groups = (
        meeting(hashed, slot, 3),
        meeting(hashed, slot, 2, 5),
        meeting(hashed, (slot + 1) & LAST_SLOT, 2),
    )
    return [name for row in itertools.zip_longest(*groups) for name in row if name is not None]


def within(hashed: Hash) -> tuple[bytes, bytes]:
    """A name and a longer one that begins with it, which begin their search at the same slot."""
    for prefix in itertools.product(LETTERS, repeat=4):
        name = bytes(prefix)
        for last in LETTERS:
            longer = name + bytes([last])
            if not (hashed(name) ^ hashed(longer)) & LAST_SLOT:
                return name, longer
    raise AssertionError("there is such a pair for both hashes")
