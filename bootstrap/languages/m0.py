"""M0, the macro assembler that M0_x86 is: the first dialect of M1.  Its output is hex2.

Tokens are separated by blanks; ``#`` and ``;`` begin a comment where a token could begin.  A
token that begins with ``"`` or ``'`` is a string, and ends with the same quote.

- ``DEFINE name value``: from there on, a token equal to name is put out as value.  A name may be
  defined again only as the same value.
- ``"text"`` is put out as two hex digits per byte, and ``00``; ``'text'`` as it is.
- ``:name`` is put out as it is.
- ``! @ ~ $ % &`` with a number after it is put out as the hex digits of a little-endian field of
  1, 2, 3, 2, 4 or 4 bytes; with a name, as it is.
- Any other token is an error.

Each token's output stands on a line of its own.  All is done in one pass: a macro is not known
before its DEFINE.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bootstrap.languages.assembly import WIDTHS
from bootstrap.languages.fault import Kind
from bootstrap.languages.macros import Builder, Expansion, Token, not_known, tokens
from bootstrap.languages.source import LARGEST, SourceText, Text

MOST_MACROS = 65536

_BEGINS_NUMBER = re.compile(rb"-?[0-9]")
_HEXADECIMAL = re.compile(rb"0x([0-9A-Fa-f]+)")
_DECIMAL = re.compile(rb"-?[0-9]+")


def expand(sources: Sequence[SourceText]) -> Expansion:
    """Expand ``sources``, read as one text.

    Raises LanguageError for the first thing outside the language.
    """
    text = Text(sources)
    macros: dict[bytes, bytes] = {}
    built = Builder()
    following = (token for token in tokens(text) if token.kind != "newline")
    for token in following:
        if token.content == b"DEFINE":
            _define(macros, text, token, following)
            continue
        value = macros.get(token.content)
        content = _expand_token(text, token) if value is None else value
        if len(built.output) + len(content) + 1 > LARGEST:
            raise text.fault(token.start, Kind.TOO_LARGE, f"the output is above {LARGEST} bytes")
        built.add(content, text, token, value is not None)
        built.output += b"\n"
    return built.expansion()


def _define(
    macros: dict[bytes, bytes], text: Text, sign: Token, following: Iterator[Token]
) -> None:
    """Take in the name and the value after the DEFINE ``sign``."""
    name = _plain(text, sign, next(following, None), "name")
    value = _plain(text, sign, next(following, None), "value").content
    known = macros.get(name.content)
    if known is None and len(macros) >= MOST_MACROS:
        raise text.fault(name.start, Kind.TOO_LARGE, f"more than {MOST_MACROS} macros")
    if known is not None and known != value:
        raise text.fault(
            name.start,
            Kind.DUPLICATE,
            f"macro {name.content.decode('latin-1')!r} is defined a second time,"
            f" as {value.decode('latin-1')!r}; it was {known.decode('latin-1')!r}",
        )
    macros[name.content] = value


def _plain(text: Text, sign: Token, token: Token | None, role: str) -> Token:
    """``token``, if it can be the name or the value of a DEFINE."""
    if token is None:
        raise text.fault(sign.start, Kind.UNFINISHED, f"DEFINE has no {role}")
    if token.kind == "string":
        raise text.fault(token.start, Kind.BAD_CHARACTER, f"a string cannot be a macro's {role}")
    if token.content == b"DEFINE":
        raise text.fault(token.start, Kind.BAD_CHARACTER, f"DEFINE cannot be a macro's {role}")
    return token


def _expand_token(text: Text, token: Token) -> bytes:
    """What ``token``, which is no macro's name, is put out as."""
    content = token.content
    if token.kind == "string":
        if content[0] == ord('"'):
            return content[1:-1].hex().upper().encode() + b"00"
        return content[1:-1]
    sign = content[0]
    if sign != ord(":") and sign not in WIDTHS:
        raise not_known(text, token)
    if len(content) == 1:
        kind = Kind.UNFINISHED if token.end == len(text.content) else Kind.BAD_CHARACTER
        raise text.fault(token.start, kind, f"nothing follows the sign {chr(sign)!r}")
    if sign != ord(":") and _BEGINS_NUMBER.match(content, 1):
        return _field(text, token)
    return content


def _field(text: Text, token: Token) -> bytes:
    """The hex digits for a sign and a number."""
    digits = token.content[1:]
    hexadecimal = _HEXADECIMAL.fullmatch(digits)
    if hexadecimal:
        value = int(hexadecimal[1], 16)
    elif _DECIMAL.fullmatch(digits):
        # Python refuses to read numbers of thousands of digits; the first 20 are far out of range.
        value = int(digits.lstrip(b"-0")[:20] or b"0")
        value = -value if digits.startswith(b"-") else value
    else:
        raise text.fault(
            token.start, Kind.BAD_CHARACTER, f"{digits.decode('latin-1')!r} is no number"
        )
    width = WIDTHS[token.content[0]]
    lowest, highest = -(1 << 8 * width - 1), (1 << 8 * width) - 1
    if not lowest <= value <= highest:
        raise text.fault(
            token.start,
            Kind.OUT_OF_RANGE,
            f"{digits[:40].decode('latin-1')} is outside of {lowest} to {highest}",
        )
    return (value % (1 << 8 * width)).to_bytes(width, "little").hex().upper().encode()
