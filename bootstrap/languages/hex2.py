"""hex2, the third language of the bootstrap: labels with names, and fields of several sizes.

Pairs of hexadecimal digits, blanks and comments are as in hex1.  A name is one or more bytes from
``!`` to ``~`` except ``>``; it ends at a blank, at the end of the input, or at ``>``.  ``#`` and
``;`` within a name belong to it.

- ``:name`` makes the label name stand for the address of the next output byte: the base address
  plus its offset.
- ``!name`` (1 byte), ``@name`` (2), ``~name`` (3) and ``%name`` (4) put out, little-endian, the
  label's address less the address just after the field, or, as ``%name>base``, less the address
  of the label base.
- ``$name`` (2 bytes) and ``&name`` (4) put out the address itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from bootstrap.languages.assembly import WIDTHS, Assembly
from bootstrap.languages.draft import Draft, Reference, require_name
from bootstrap.languages.fault import Kind, shown
from bootstrap.languages.source import SourceText, Text

BASE_ADDRESS = 0x08048000
"""Where x86 programs of the bootstrap are loaded."""

MOST_LABELS = 65536

ABSOLUTE = frozenset(b"$&")

_ITEM = re.compile(
    rb"(?P<blanks>[ \t\r\n]+)"
    rb"|(?P<digits>[0-9A-Fa-f]+)"
    rb"|(?P<comment>[#;][^\n]*)"
    rb"|(?P<sign>[:!@~%$&])(?P<name>[!-=?-~]*)"
    rb"|(?P<other>.)",
    re.DOTALL,
)
NAME = re.compile(rb"[!-=?-~]*")


def assemble(sources: Sequence[SourceText], base_address: int = BASE_ADDRESS) -> Assembly:
    """Assemble hex2 ``sources``, read as one text; ``base_address`` is that of the first byte.

    Raises LanguageError for the first thing outside the language, in the order of the source;
    what only the second pass can see, labels that nothing defines and values that do not fit
    their field, comes after all others.
    """
    text = Text(sources)
    content = text.content
    draft = Draft(text, MOST_LABELS)
    at = 0
    while at < len(content):
        item = _ITEM.match(content, at)
        assert item is not None
        start, at = item.span()
        kind = item.lastgroup
        if kind == "blanks":
            continue
        elif kind == "digits":
            draft.add_digits(start, at)
        elif kind == "name":
            draft.require_whole("a label or a reference")
            sign = content[start]
            if sign == ord(":"):
                require_name(text, start + 1, at)
                draft.define(item["name"], start)
                continue
            base = None
            if sign not in ABSOLUTE and content[at : at + 1] == b">" and item["name"]:
                found = NAME.match(content, at + 1)
                assert found is not None
                base = found[0]
                at = found.end()
                require_name(text, found.start(), at)
            else:
                require_name(text, start + 1, at)
            draft.refer(start, at, WIDTHS[sign], item["name"], base)
        elif kind == "comment":
            text.remember_comment(start, at)
        else:
            raise text.fault(
                start,
                Kind.BAD_CHARACTER,
                f"{shown(content[start])} is no digit, blank, label, reference or comment",
            )
    draft.require_whole("the end")
    for reference in draft.references:
        fill(draft, reference, base_address)
    return draft.assembly()


def fill(
    draft: Draft,
    reference: Reference,
    base_address: int,
    distance: Callable[[Reference, int], int] | None = None,
) -> None:
    """Fill the field of ``reference``.

    ``distance`` says what a relative reference without a base to a target puts out, where that is
    not counted from the field's end.
    """
    bits = 8 * reference.width
    target = draft.offset_of(reference.name, reference)
    if reference.sign in ABSOLUTE:
        address = base_address + target
        if reference.width == 4:
            address %= 2**32
        draft.fill(reference, address, 0, (1 << bits) - 1)
        return
    if reference.base is not None:
        value = target - draft.offset_of(reference.base, reference)
    elif distance is not None:
        value = distance(reference, target)
    else:
        value = target - (reference.output + reference.width)
    draft.fill(reference, value, -(1 << bits - 1), (1 << bits - 1) - 1)
