"""What the two dialects of the macro assembler share: tokens, and the output with its map."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bootstrap.languages.assembly import Origin
from bootstrap.languages.fault import Kind, LanguageError, shown
from bootstrap.languages.source import SourceText, Text

_ITEM = re.compile(
    rb"(?P<newline>\n)"
    rb"|(?P<blanks>[ \t\r]+)"
    rb"|(?P<comment>[#;][^\n]*)"
    rb"|(?P<string>\"[^\"]*\"?|'[^']*'?)"
    rb"|(?P<atom>[^ \t\r\n]+)"
)
_NO_ATOM = re.compile(rb"[^!-~]")


@dataclass(frozen=True, slots=True)
class Token:
    """``content[start:end]`` of a text: a string with its quotes, an atom, or a newline.

    An atom is what the dialects call a plain token: bytes from ``!`` to ``~``, up to a blank.
    """

    kind: str
    start: int
    end: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Span:
    """``output[start:end]`` of an Expansion, without what follows it, and where it was written."""

    start: int
    end: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class Expansion:
    """The result of expanding macros: hex2 text, and the origin of each token of it.

    The spans ascend and do not overlap; between them are only blanks.
    """

    output: bytes
    spans: tuple[Span, ...]

    def source(self, name: str) -> SourceText:
        """The output as a source for hex2, as if it had been written to the file ``name``."""
        return SourceText(name, self.output)


class Builder:
    """An Expansion in the making, of one or more texts."""

    def __init__(self) -> None:
        self.output = bytearray()
        self._spans: list[tuple[int, int, Text, Token, str, str]] = []

    def add(self, content: bytes, text: Text, token: Token, macro: bool) -> None:
        """Put out ``content``, made by ``token``; ``macro``: because the token is one's name."""
        start = len(self.output)
        self.output += content
        label = written = token.content.decode("latin-1")
        if macro or token.kind == "string" or content != token.content:
            label = ""
        name = written if macro else ""
        self._spans.append((start, len(self.output), text, token, label, name))

    def expansion(self) -> Expansion:
        """All that was put out, with its map."""
        return Expansion(
            bytes(self.output),
            tuple(
                Span(start, end, _origin(text, token, label, macro))
                for start, end, text, token, label, macro in self._spans
            ),
        )


def _origin(text: Text, token: Token, label: str, macro: str) -> Origin:
    file, begin = text.place(token.start)
    _, end = text.place(token.end - 1)
    return Origin(file, (begin, end), text.comment(token.end - 1), label, macro)


def tokens(text: Text) -> Iterator[Token]:
    """The tokens of ``text``, newlines outside of strings included; comments are remembered.

    Raises LanguageError for a byte that cannot stand in a token, and a string without an end.
    """
    content = text.content
    for item in _ITEM.finditer(content):
        kind = item.lastgroup
        if kind == "blanks":
            continue
        start, end = item.span()
        if kind == "comment":
            text.remember_comment(start, end)
            continue
        token = Token(kind or "", start, end, item[0])
        if kind == "atom":
            _check_atom(text, token)
        elif kind == "string":
            _check_string(text, token)
        yield token


def not_known(text: Text, token: Token) -> LanguageError:
    """What to raise for a token that nothing can be made of."""
    reason = f"{token.content.decode('latin-1')!r} is no macro, string, label, number or reference"
    return text.fault(token.start, Kind.UNDEFINED, reason)


def _check_atom(text: Text, token: Token) -> None:
    wrong = _NO_ATOM.search(token.content)
    if wrong:
        raise text.fault(
            token.start + wrong.start(),
            Kind.BAD_CHARACTER,
            f"{shown(wrong[0][0])} cannot stand in a token outside of strings",
        )


def _check_string(text: Text, token: Token) -> None:
    nul = token.content.find(b"\0")
    if nul >= 0:
        raise text.fault(
            token.start + nul, Kind.BAD_CHARACTER, "byte 0x00 cannot stand in a string"
        )
    if len(token.content) == 1 or token.content[-1] != token.content[0]:
        quote = chr(token.content[0])
        raise text.fault(token.start, Kind.UNFINISHED, f"the string has no second {quote}")
