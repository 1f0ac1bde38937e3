"""Programs that come to the limits. What they give is written down here: the models take minutes
for them, and are held against the tools at the same limits in tests/seeds."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.languages.fault import Kind
from bootstrap.languages.source import LARGEST
from tests.mutants.names import hash_of_m0, meeting

MOST = 65536
"""Labels or macros."""
_BASE = 0x08048000


@dataclass(frozen=True)
class Large:
    """A program, its exit status, its output if there is one."""

    source: bytes
    status: int
    output: bytes | None = None


def _sizes(wrong: bytes, kind: Kind) -> list[Large]:
    """Inputs of 2**24 bytes and of more. The first byte is wrong, so that the largest input that is
    allowed ends at once; the size of one that is larger counts before what it holds."""
    kinds = {0: kind, 1: Kind.TOO_LARGE, 2: Kind.TOO_LARGE}
    return [
        Large(wrong + b"\n" * (LARGEST + more - len(wrong)), kind) for more, kind in kinds.items()
    ]


def _labels(count: int) -> bytes:
    return b"".join(b":L%d\n" % i for i in range(count))


def _crossed(count: int) -> Large:
    """Labels, and in the opposite order references to them."""
    source = b"".join(b":L%d 41 &L%d\n" % (i, count - 1 - i) for i in range(count))
    output = b"".join(
        b"\x41" + (_BASE + 5 * (count - 1 - i)).to_bytes(4, "little") for i in range(count)
    )
    return Large(source, 0, output)


def _macros(count: int) -> bytes:
    return b"".join(b"DEFINE m%d 1\n" % i for i in range(count))


def _behind_the_table() -> Large:
    """Macros that are not found any more after a megabyte of output, if 19 bits of the hash count
    instead of 17: their slots are in the output then."""
    names = meeting(hash_of_m0, 1 << 18, 3, 5, bits=0x7FFFF)
    value = b"9" * 0xFFFF
    defined = b"".join(b"DEFINE %b 41\n" % name for name in names)
    source = defined + b"DEFINE long " + value + b" long" * 18 + b"\n" + b"\n".join(names)
    return Large(source, 0, (value + b"\n") * 18 + b"41\n" * len(names))


LARGE: dict[str, list[Large]] = {
    "hex1": _sizes(b"g", Kind.BAD_CHARACTER),
    "hex2": [
        *_sizes(b"g", Kind.BAD_CHARACTER),
        _crossed(20_000),
        Large(_labels(MOST) + b"g", Kind.BAD_CHARACTER),
        Large(_labels(MOST + 1), Kind.TOO_LARGE),
    ],
    "M0": [
        *_sizes(b"g\n", Kind.UNDEFINED),
        _behind_the_table(),
        Large(_macros(MOST) + b"m0 m65535 DEFINE m7 1", 0, b"1\n1\n"),
        Large(_macros(MOST + 1), Kind.TOO_LARGE),
        Large(b"DEFINE m " + b"9" * 0xFFFF + b" m" * 256 + b" ''", Kind.TOO_LARGE),
    ],
}
