"""What the models raise for a source outside their language, and the kinds there are."""

from __future__ import annotations

import enum

from bootstrap.core.errors import BootstrapError
from bootstrap.languages.assembly import Position


class Kind(enum.IntEnum):
    """What is wrong with a source; the value is the exit status of the x86 tools for it."""

    BAD_CHARACTER = 4
    """Something that the language does not have at this place."""
    ODD_DIGITS = 5
    """A hex digit without its second one."""
    UNDEFINED = 6
    """A label or token that nothing defines."""
    DUPLICATE = 7
    """A label or macro defined twice."""
    OUT_OF_RANGE = 8
    """A displacement, address or number that does not fit its field."""
    UNFINISHED = 9
    """The input ends within a name, string or DEFINE, or directly after a sign."""
    TOO_LARGE = 10
    """More input, output, labels, macros or arguments than the tools' tables hold."""


class LanguageError(BootstrapError):
    """A place where a source leaves its language; ``str()`` is ``file:line:column: reason``."""

    def __init__(self, file: str, position: Position, kind: Kind, reason: str) -> None:
        super().__init__(f"{file}:{position.line}:{position.column}: {reason}")
        self.file = file
        self.position = position
        self.kind = kind
        self.reason = reason


def shown(character: int) -> str:
    """A byte as an error shows it: ``'x'``, or ``byte 0x00`` where it has no glyph."""
    return repr(chr(character)) if 0x20 < character < 0x7F else f"byte 0x{character:02x}"
