"""What hex1 and hex2 share: pairs of digits, labels, and fields that are filled in afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from bootstrap.languages.assembly import Assembly, Oddity, Origin
from bootstrap.languages.fault import Kind, shown
from bootstrap.languages.source import Text

_VALUES = {digit: int(chr(digit), 16) for digit in b"0123456789ABCDEFabcdef"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A field of the output that a label's address fills.

    ``output`` is the field's offset in the output, ``start`` and ``end`` what the reference spans
    in the source; ``name`` and ``base`` are the labels' names, with the offsets of their places.
    """

    output: int
    width: int
    start: int
    end: int
    sign: int
    name: bytes
    base: bytes | None = None


class Draft:
    """The output as the first pass leaves it: fields are zero until ``fill`` is called."""

    def __init__(self, text: Text, most_labels: int | None, last_counts: bool = False) -> None:
        """Begin a draft of ``text``.

        ``most_labels`` is the size of the table, None for no limit; ``last_counts``: a label may
        be defined again, which is an Oddity and no error.
        """
        self.text = text
        self.output = bytearray()
        self.references: list[Reference] = []
        self.labels: dict[bytes, int] = {}
        """Name to offset in the output."""
        self._most_labels = most_labels
        self._last_counts = last_counts
        self._oddities: list[Oddity] = []
        self._defined: dict[bytes, int] = {}  # name to the place of its definition
        self._pending: int | None = None  # where the digit stands that waits for its second
        # Of each byte: the offsets of the first and the last character that made it, and the
        # reference as written.
        self._spans: list[tuple[int, int, str]] = []

    def add_digits(self, start: int, end: int) -> None:
        """Take the hex digits ``content[start:end]``."""
        if self._pending is not None:
            self._add_pair(self._pending, start)
            self._pending = None
            start += 1
        for first in range(start, end - 1, 2):
            self._add_pair(first, first + 1)
        if (end - start) % 2:
            self._pending = end - 1

    def _add_pair(self, first: int, second: int) -> None:
        content = self.text.content
        self.output.append(_VALUES[content[first]] * 16 + _VALUES[content[second]])
        self._spans.append((first, second, ""))

    def add_bytes(self, content: bytes, start: int, end: int) -> None:
        """Put out ``content``, made by what the source has at ``start`` to ``end``."""
        written = self.text.content[start:end].decode("latin-1")
        self.output += content
        self._spans += [(start, end - 1, written)] * len(content)

    def require_whole(self, before: str) -> None:
        """Raise ODD_DIGITS if a digit still waits for its second one ``before`` comes."""
        if self._pending is not None:
            raise self.text.fault(
                self._pending, Kind.ODD_DIGITS, f"a digit without a second one before {before}"
            )

    def define(self, name: bytes, start: int) -> None:
        """Let ``name``, whose definition begins at ``start``, stand for the next output byte."""
        if name in self._defined:
            file, earlier = self.text.place(self._defined[name])
            reason = (
                f"label {name.decode('latin-1')!r} is defined a second time;"
                f" the first is at {file}:{earlier.line}:{earlier.column}"
            )
            if not self._last_counts:
                raise self.text.fault(start, Kind.DUPLICATE, reason)
            self._oddities.append(Oddity(*self.text.place(start), f"{reason}; the last counts"))
        if self._most_labels is not None and len(self.labels) >= self._most_labels:
            raise self.text.fault(start, Kind.TOO_LARGE, f"more than {self._most_labels} labels")
        self._defined[name] = start
        self.labels[name] = len(self.output)

    def refer(
        self, start: int, end: int, width: int, name: bytes, base: bytes | None = None
    ) -> None:
        """Leave a field of ``width`` bytes for the reference ``content[start:end]``."""
        sign = self.text.content[start]
        self.references.append(Reference(len(self.output), width, start, end, sign, name, base))
        self.add_bytes(bytes(width), start, end)

    def offset_of(self, name: bytes, reference: Reference) -> int:
        """The offset in the output that the label ``name`` of ``reference`` stands for."""
        found = self.labels.get(name)
        if found is None:
            reason = f"label {name.decode('latin-1')!r} is not defined"
            raise self.text.fault(reference.start, Kind.UNDEFINED, reason)
        return found

    def written(self, reference: Reference) -> str:
        """The reference as the source has it."""
        return self.text.content[reference.start : reference.end].decode("latin-1")

    def flip(self, start: int, bits: int) -> None:
        """Exclusive-or the word of four bytes, little-endian, at ``start`` of the output."""
        word = int.from_bytes(self.output[start : start + 4], "little") ^ bits
        self.output[start : start + 4] = word.to_bytes(4, "little")

    def change_word(self, reference: Reference, bits: int) -> None:
        """Flip ``bits`` in the word of ``reference``, whose bytes the digits after it made."""
        written = self.written(reference)
        self.flip(reference.output, bits)
        for index in range(reference.output, reference.output + 4):
            first, last, _ = self._spans[index]
            self._spans[index] = first, last, written

    def fill(self, reference: Reference, value: int, lowest: int, highest: int) -> None:
        """Write ``value``, little-endian, in the field of ``reference``, if it is in range."""
        if not lowest <= value <= highest:
            reason = (
                f"{self.written(reference)} is {value}, which is outside of {lowest} to {highest}"
            )
            raise self.text.fault(reference.start, Kind.OUT_OF_RANGE, reason)
        width = reference.width
        field = (value % (1 << 8 * width)).to_bytes(width, "little")
        self.output[reference.output : reference.output + width] = field

    def assembly(self) -> Assembly:
        """The output as it stands, with the origin of each byte."""
        origins = _Origins(self.text, tuple(self._spans))
        return Assembly(bytes(self.output), origins, tuple(self._oddities))


class _Origins(Sequence[Origin]):
    """The origin of each byte, made when it is asked for: of a whole program few are."""

    def __init__(self, text: Text, spans: tuple[tuple[int, int, str], ...]) -> None:
        self._text = text
        self._spans = spans

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, index: int) -> Origin: ...
    @overload
    def __getitem__(self, index: slice) -> _Origins: ...

    def __getitem__(self, index: int | slice) -> Origin | _Origins:
        if isinstance(index, slice):
            return _Origins(self._text, self._spans[index])
        first, last, label = self._spans[index]
        file, begin = self._text.place(first)
        _, end = self._text.place(last)
        return Origin(file, (begin, end), self._text.comment(last), label)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))


def require_name(text: Text, start: int, end: int) -> None:
    """Raise unless ``content[start:end]`` is a whole name: not empty, and a blank follows."""
    if end == len(text.content):
        if start == end:
            raise text.fault(end, Kind.UNFINISHED, "the input ends where a name should be")
        return
    following = text.content[end]
    if following not in b" \t\r\n":
        raise text.fault(end, Kind.BAD_CHARACTER, f"{shown(following)} cannot stand in a name here")
    if start == end:
        raise text.fault(end, Kind.BAD_CHARACTER, f"{shown(following)} where a name should be")
