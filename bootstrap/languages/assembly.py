"""What every assembler model of this room returns: the bytes, and where each one came from."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

WIDTHS = {ord("!"): 1, ord("@"): 2, ord("~"): 3, ord("%"): 4, ord("$"): 2, ord("&"): 4}
"""Bytes of the field that each sign makes of a label (hex2) or a number (M0, M1)."""


class Architecture(enum.Enum):
    """A machine, by the name that mescc-tools' ``--architecture`` has for it: as far as we do.

    All are little-endian.
    """

    X86 = "x86"
    AMD64 = "amd64"
    AARCH64 = "aarch64"
    RISCV32 = "riscv32"
    RISCV64 = "riscv64"

    @property
    def in_words(self) -> bool:
        """Whether fields are put together into words of 32 bits, as RISC-V needs it."""
        return self in (Architecture.RISCV32, Architecture.RISCV64)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a source file: line and column, both counted from 1; the column in bytes."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one output byte was written in the source.

    ``digits`` are the places of the character pair that made it, most significant first; they
    need not stand on one line.  For a byte that a label's address made they are the first and the
    last character of the reference, and ``label`` is the reference as written (``%name>base``).
    For a byte that comes from a macro assembler's source they are the first and the last character
    of the token, and ``macro`` is the token, if it is a macro's name.  Both are empty otherwise.

    Where several files are read as one, ``file`` is the one in which the byte begins; what it
    spans may end in the next.

    ``comment`` is the text after the comment sign on the line of the second place, without the
    sign and the blanks around it; empty where there is none.  It is decoded as UTF-8, with bytes
    that are not UTF-8 shown as ``\\xNN``.
    """

    file: str
    digits: tuple[Position, Position]
    comment: str
    label: str = ""
    macro: str = ""

    @property
    def line(self) -> int:
        """The line on which the byte begins."""
        return self.digits[0].line

    @property
    def columns(self) -> tuple[int, int]:
        """The columns of the two digits, or of the first and the last character."""
        return self.digits[0].column, self.digits[1].column


@dataclass(frozen=True, slots=True)
class Oddity:
    """A place where a source leaves the language, and what the seed makes of it."""

    file: str
    position: Position
    reason: str


@dataclass(frozen=True, slots=True)
class Assembly:
    """The result of assembling one source.

    ``map[i]`` is the origin of ``output[i]``; the two have the same length.  ``oddities`` come in
    the order of the source; it is empty for a source that keeps to the language.
    """

    output: bytes
    map: Sequence[Origin]
    oddities: tuple[Oddity, ...]
