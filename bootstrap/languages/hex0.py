"""hex0, the first language of the bootstrap: pairs of hexadecimal digits, and comments.

The language (docs/hex0.md) is: two hexadecimal digits of either case make one byte, the first
being the high half; ``#`` and ``;`` begin a comment, which ends with the line; blanks (space, tab,
carriage return) and newlines between digits mean nothing, also between the two of a pair.

That leaves four things open, and every assembler of the bootstrap may close them in its own way.
This model closes them as the 181-byte x86 seed does, byte for byte, and reports each as an
Oddity:

- ``G`` and ``g`` are taken for a digit of value 16;
- every other byte outside a comment, from NUL to 0xff, is skipped like a blank;
- a digit that carries over (16 as the low one) is added, not or-ed, and the sum is cut to 8 bits;
- a first digit without a second at the end of the source is dropped.

No error is ever raised: the seed accepts every source.  The model was written from that
description and holds the emulated seed to account, so it imports nothing that is emulated.
"""

from __future__ import annotations

import re

from bootstrap.languages.assembly import Assembly, Oddity, Origin, Position
from bootstrap.languages.fault import shown

_DIGITS = {ord(digit): value for value, digit in enumerate("0123456789ABCDEF")}
_DIGITS |= {ord(digit): value for value, digit in enumerate("abcdef", start=10)}
_BEYOND_F = {ord("G"): 16, ord("g"): 16}  # not of the language: what the seed accepts besides
_VALUES = _DIGITS | _BEYOND_F
_BLANKS = frozenset(b" \t\r")

_COMMENT_SIGN = re.compile(rb"[#;]")


def assemble(source: bytes, name: str) -> Assembly:
    """Assemble hex0 ``source``; ``name`` is the file's name in origins and oddities.

    Source: the description in docs/hex0.md; where that ends, the seed's own instructions
    (seeds/x86/hex0.hex0).
    """
    output = bytearray()
    origins: list[Origin] = []
    oddities: list[Oddity] = []
    first: tuple[int, Position] | None = None  # the digit that waits for its second, and its place

    # Only "\n" ends a line; bytes.splitlines would also break at "\r".
    for number, line in enumerate(source.split(b"\n"), start=1):
        code, comment = _split_comment(line)
        for column, character in enumerate(code, start=1):
            if character in _BLANKS:
                continue
            here = Position(number, column)
            if character not in _DIGITS:
                oddities.append(Oddity(name, here, _why_odd(character)))
            value = _VALUES.get(character)
            if value is None:
                continue
            if first is None:
                first = value, here
                continue
            high, place = first
            output.append((high * 16 + value) % 256)
            origins.append(Origin(name, (place, here), comment))
            first = None

    if first is not None:
        oddities.append(Oddity(name, first[1], "a digit without a second one is dropped"))
    return Assembly(bytes(output), tuple(origins), tuple(oddities))


def _split_comment(line: bytes) -> tuple[bytes, str]:
    """The code of a line, and the text of its comment."""
    sign = _COMMENT_SIGN.search(line)
    if sign is None:
        return line, ""
    text = line[sign.end() :].decode("utf-8", errors="backslashreplace")
    return line[: sign.start()], text.strip()


def _why_odd(character: int) -> str:
    if character in _BEYOND_F:
        return f"{shown(character)} is no hexadecimal digit; it is taken for one of value 16"
    return f"{shown(character)} is neither a digit nor a blank; it is skipped"
