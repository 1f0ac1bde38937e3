"""hex1, the second language of the bootstrap: hex0 with labels of one character.

- Pairs of hexadecimal digits, blanks and comments are as in hex0, but nothing else is skipped: a
  byte that the language does not have is an error.
- ``:x`` makes the label x (any byte from ``!`` to ``~``) stand for the offset of the next output
  byte.
- ``%x`` puts out four bytes, little-endian: the offset of x less the offset just after the four.
  A label may be used before it is defined.
"""

from __future__ import annotations

import re

from bootstrap.languages.assembly import Assembly
from bootstrap.languages.draft import Draft
from bootstrap.languages.fault import Kind, shown
from bootstrap.languages.source import SourceText, Text

_ITEM = re.compile(
    rb"(?P<blanks>[ \t\r\n]+)"
    rb"|(?P<digits>[0-9A-Fa-f]+)"
    rb"|(?P<comment>[#;][^\n]*)"
    rb"|(?P<label>:)(?P<name>[!-~])?"
    rb"|(?P<reference>%)(?P<target>[!-~])?"
    rb"|(?P<other>.)",
    re.DOTALL,
)


def assemble(source: bytes, name: str) -> Assembly:
    """Assemble hex1 ``source``; ``name`` is the file's name in origins and errors.

    Raises LanguageError for the first thing outside the language, in the order of the source;
    labels that nothing defines come after all others, as they are known only at the end.
    """
    text = Text([SourceText(name, source)])
    draft = Draft(text, most_labels=None)
    at = 0
    while at < len(source):
        item = _ITEM.match(source, at)
        assert item is not None
        start, at = item.span()
        if item["digits"]:
            draft.add_digits(start, at)
        elif item["comment"]:
            text.remember_comment(start, at)
        elif item["label"]:
            draft.require_whole("a label")
            draft.define(item["name"] or _no_name(text, at), start)
        elif item["reference"]:
            draft.require_whole("a reference")
            draft.refer(start, at, 4, item["target"] or _no_name(text, at))
        elif item["other"]:
            raise text.fault(
                start,
                Kind.BAD_CHARACTER,
                f"{shown(source[start])} is no digit, blank, label, reference or comment",
            )
    draft.require_whole("the end")
    for reference in draft.references:
        after = reference.output + reference.width
        distance = draft.offset_of(reference.name, reference) - after
        draft.fill(reference, distance, -(2**31), 2**31 - 1)
    return draft.assembly()


def _no_name(text: Text, at: int) -> bytes:
    """Raise for a sign that no label's name follows; ``at`` is where it should be."""
    if at == len(text.content):
        raise text.fault(at, Kind.UNFINISHED, "the input ends where a label's name should be")
    character = shown(text.content[at])
    raise text.fault(at, Kind.BAD_CHARACTER, f"{character} cannot be a label's name")
