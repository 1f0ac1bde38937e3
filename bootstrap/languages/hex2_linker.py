"""hex2 of mescc-tools, the linker: hex2 for all architectures.

It differs from hex2 (bootstrap.languages.hex2) in this:

- Each source is a file of its own: no comment, name or pair of digits goes on in the next.
- There is no limit to the number of labels, and a label may be defined again: the last one counts,
  for all references.  M2-Planet's output relies on it.  Each is reported as an Oddity.
- ``<`` puts out zero bytes up to an address that is a multiple of 4; on x86 and AMD64 none.
- On AArch64, ``^`` directly before a relative reference makes it a branch's: the distance from
  the instruction that the field begins, in units of 4 bytes.  Without ``^`` a relative reference
  is the distance from 8 bytes after the instruction that the field ends in.
- On RISC-V, ``.`` and eight digits flip bits of the word that the following eight digits make, and
  so do ``!name`` (an I-type's immediate: the low 12 bits of the distance from the word before),
  ``@name`` (B-type), ``$name`` (J-type) and ``~name`` (U-type, rounded for an I-type to follow),
  each for the distance from the word itself.  ``%`` and ``&`` are fields, as everywhere.

What mescc-tools leaves undefined, or skips, is an error here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bootstrap.languages import hex2
from bootstrap.languages.assembly import WIDTHS, Architecture, Assembly
from bootstrap.languages.draft import Draft, Reference, require_name
from bootstrap.languages.fault import Kind, LanguageError, shown
from bootstrap.languages.source import SourceText, Text

_WORD_FIELDS = frozenset(b"%&")

_ITEM = re.compile(
    rb"(?P<blanks>[ \t\r\n]+)"
    rb"|(?P<digits>[0-9A-Fa-f]+)"
    rb"|(?P<comment>[#;][^\n]*)"
    rb"|(?P<sign>\^?[!@~%$&]|:)(?P<name>[!-=?-~]*)"
    rb"|(?P<align><)"
    rb"|\.(?P<bits>[0-9A-Fa-f]{8})"
    rb"|(?P<other>.)",
    re.DOTALL,
)


def assemble(
    sources: Sequence[SourceText], architecture: Architecture, base_address: int
) -> Assembly:
    """Link ``sources`` for ``architecture``; ``base_address`` is that of the first byte.

    Raises LanguageError for the first thing outside the language, in the order of the sources,
    and then for what only the second pass can see: labels that nothing defines and values that do
    not fit their field.
    """
    text = Text(sources, largest=None, between=b"\n")
    linker = _Linker(text, architecture, base_address)
    begin = 0
    for source in sources:
        end = begin + len(source.text)
        linker.read(begin, end)
        begin = end + 1
    return linker.finish()


class _Linker:
    def __init__(self, text: Text, architecture: Architecture, base_address: int) -> None:
        self._text = text
        self._architecture = architecture
        self._base_address = base_address
        self._draft = Draft(text, most_labels=None, last_counts=True)
        self._aligned: set[int] = set()  # where the references are that have a ^ before them
        self._flips: list[tuple[int, int]] = []  # of words: offset in the output, and bits
        self._word: int | None = None  # offset in the output of the word that has bits to flip

    def read(self, begin: int, end: int) -> None:
        """The first pass over one file, ``content[begin:end]``."""
        text, draft = self._text, self._draft
        at = begin
        while at < end:
            item = _ITEM.match(text.content, at, end)
            assert item is not None
            start, at = item.span()
            kind = item.lastgroup
            if kind == "blanks":
                continue
            elif kind == "digits":
                draft.add_digits(start, at)
                if self._word is not None and len(draft.output) >= self._word + 4:
                    self._word = None
            elif kind == "name":
                at = self._name(item, at, end)
            elif kind == "comment":
                text.remember_comment(start, at)
            elif kind == "align":
                self._require_whole(start, "an alignment")
                if self._architecture not in (Architecture.X86, Architecture.AMD64):
                    address = self._base_address + len(draft.output)
                    draft.add_bytes(bytes(-address % 4), start, at)
            elif kind == "bits" and self._architecture.in_words:
                self._begin_word(start)
                bits = int.from_bytes(bytes.fromhex(item["bits"].decode()), "little")
                self._flips.append((len(draft.output), bits))
            else:
                raise self._bad(
                    start,
                    f"{shown(text.content[start])} is no digit, blank, label, reference or comment",
                )
        self._require_whole(end, "the end of the file")

    def _bad(self, offset: int, reason: str) -> LanguageError:
        return self._text.fault(offset, Kind.BAD_CHARACTER, reason)

    def _require_whole(self, offset: int, before: str) -> None:
        """Raise if a pair of digits, or a word that has bits to flip, is not whole."""
        self._draft.require_whole(before)
        if self._word is not None:
            raise self._bad(offset, f"a word of 8 digits is missing before {before}")

    def _begin_word(self, start: int) -> None:
        """Take note that the next word has bits to flip."""
        self._draft.require_whole("what changes a word")
        if self._word not in (None, len(self._draft.output)):
            raise self._bad(start, "the word before it has fewer than 8 digits")
        self._word = len(self._draft.output)

    def _name(self, item: re.Match[bytes], at: int, end: int) -> int:
        """Take in a label or a reference; where it ends."""
        draft, text = self._draft, self._text
        start = item.start()
        name = item["name"]
        sign = item["sign"][-1]
        if sign == ord(":"):
            self._require_whole(start, "a label")
            require_name(text, start + 1, at)
            draft.define(name, start)
            return at
        if item["sign"][:1] == b"^":
            if self._architecture is not Architecture.AARCH64 or sign in hex2.ABSOLUTE:
                raise self._bad(start, "'^' is only for relative references, and for AArch64")
            start += 1
            self._aligned.add(start)
        field = not self._architecture.in_words or sign in _WORD_FIELDS
        if field:
            self._require_whole(start, "a reference")
        else:
            self._begin_word(start)
        base = None
        content = text.content
        relative = field and sign not in hex2.ABSOLUTE and start not in self._aligned
        if relative and name and at < end and content[at] == ord(">"):
            found = hex2.NAME.match(content, at + 1, end)
            assert found is not None
            base = found[0]
            at = found.end()
        require_name(text, at - len(name if base is None else base), at)
        if field:
            draft.refer(start, at, WIDTHS[sign], name, base)
        else:
            draft.references.append(Reference(len(draft.output), 4, start, at, sign, name))
        return at

    def finish(self) -> Assembly:
        """The second pass."""
        draft = self._draft
        for offset, bits in self._flips:
            draft.flip(offset, bits)
        for reference in draft.references:
            if self._architecture.in_words and reference.sign not in _WORD_FIELDS:
                distance = draft.offset_of(reference.name, reference) - reference.output
                draft.change_word(reference, self._immediate(reference, distance))
            else:
                hex2.fill(draft, reference, self._base_address, self._distance)
        return draft.assembly()

    def _distance(self, reference: Reference, target: int) -> int:
        """What a relative reference without a base puts out."""
        after = reference.output + reference.width
        if self._architecture is not Architecture.AARCH64:
            return target - after
        # What ends at address 4n+1 to 4n+3 lies in the instruction at 4n.
        within = (self._base_address + after) % 4
        if reference.start not in self._aligned:
            return target - after - 8 + within
        distance = target - (after - within)
        if distance % 4:
            raise self._out_of_range(reference, distance, "a multiple of 4")
        return distance // 4

    def _immediate(self, reference: Reference, distance: int) -> int:
        """The bits that ``distance`` sets in a RISC-V instruction's word."""
        if reference.sign == ord("!"):
            return (distance + 4 & 0xFFF) << 20
        if reference.sign == ord("~"):
            return distance + 0x800 & 0xFFFFF000
        reach = 2**12 if reference.sign == ord("@") else 2**20
        if distance % 2 or not -reach <= distance < reach:
            raise self._out_of_range(reference, distance, f"even, and from {-reach} to {reach - 2}")
        if reference.sign == ord("@"):
            return (
                (distance & 0x1E) << 7
                | (distance & 0x7E0) << 20
                | (distance & 0x800) >> 4
                | (distance & 0x1000) << 19
            )
        return (
            (distance & 0x7FE) << 20
            | (distance & 0x800) << 9
            | distance & 0xFF000
            | (distance & 0x100000) << 11
        )

    def _out_of_range(self, reference: Reference, distance: int, wanted: str) -> LanguageError:
        reason = f"{self._draft.written(reference)} is {distance}, which is not {wanted}"
        return self._text.fault(reference.start, Kind.OUT_OF_RANGE, reason)
