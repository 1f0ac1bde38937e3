"""M1 of mescc-tools: the second dialect of the macro assembler.  Its output is hex2.

It differs from M0 (bootstrap.languages.m0) in this:

- A macro holds in the whole of all sources, also before its DEFINE; of several values the last
  one counts.  Its value may be a string, which is put out without its quotes, not as digits.
- Tokens of one line are put out on one line, with a blank between them; empty lines are dropped.
- ``"text"`` is put out as ``61 62 00 ``, with a blank after each byte; it has no byte above 0x7f.
- ``<`` and a number N becomes N zero bytes; ``<`` alone, and what begins with ``^``, is put out
  as it is.
- Numbers are decimal, ``0x``, ``0b`` or octal (a ``0`` first); ``_`` may stand between digits.
- ``!`` and ``@`` with a number have to fit as signed, and ``!`` also as unsigned.
- For RISC-V, a number becomes the bits of an instruction that its immediate sets, as eight digits
  with a ``.`` before them: ``!`` an I-type's and ``@`` an S-type's, of which only the low 12 bits
  count, ``~`` a U-type's (rounded, for the signed low 12 bits to be added to it).  ``$`` and ``%``
  are fields of 2 and 4 bytes.

What mescc-tools leaves undefined, or lets through for hex2 to make something of, is an error here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bootstrap.languages.assembly import WIDTHS, Architecture
from bootstrap.languages.fault import Kind, LanguageError, shown
from bootstrap.languages.macros import Builder, Expansion, Token, not_known, tokens
from bootstrap.languages.source import LARGEST, SourceText, Text

_AS_IS = frozenset(b"!@$~%&:^")
_BEGINS_NUMBER = re.compile(rb"-?[0-9]|-?_+[0-9]")
_NUMBERS = (
    (16, re.compile(rb"0x(_*[0-9A-Fa-f][0-9A-Fa-f_]*)")),
    (2, re.compile(rb"0b(_*[01][01_]*)")),
    (8, re.compile(rb"0([0-7_]*)")),
    (10, re.compile(rb"(-?[1-9][0-9_]*)")),
)
_RANGES = {
    ord("!"): (-(2**7), 2**8 - 1),
    ord("@"): (-(2**15), 2**15 - 1),
    ord("$"): (-(2**15), 2**16 - 1),
    ord("~"): (-(2**23), 2**23 - 1),
    ord("%"): (-(2**31), 2**32 - 1),
    ord("&"): (-(2**31), 2**32 - 1),
}
_WORD_RANGES = {
    # Of these only the low 12 bits count: M2-Planet writes ~N lui, and !N addi after it.
    ord("!"): (-(2**31), 2**32 - 1),
    ord("@"): (-(2**31), 2**32 - 1),
    ord("~"): (-(2**31), 2**32 - 1),
    ord("$"): (-(2**15), 2**16 - 1),
    ord("%"): (-(2**31), 2**32 - 1),
}


@dataclass(slots=True)
class _Program:
    """What the sources hold: macros, and tokens with the text that each is in.

    None is the end of a line that holds something, or a DEFINE.
    """

    macros: dict[bytes, bytes] = field(default_factory=dict)
    items: list[tuple[Text, Token] | None] = field(default_factory=list)

    def end_line(self) -> None:
        if self.items and self.items[-1] is not None:
            self.items.append(None)


def expand(sources: Sequence[SourceText], architecture: Architecture) -> Expansion:
    """Expand ``sources``, each one a file of its own, with macros in common.

    Raises LanguageError: first for what is no token or no DEFINE, in the order of the sources,
    then for the first token that nothing can be made of.
    """
    program = _Program()
    for source in sources:
        _read(program, Text([source], largest=None))
    built = Builder()
    known: dict[bytes, bytes] = {}
    begun = False  # whether the line has a token yet
    for item in program.items:
        if item is None:
            built.output += b"\n"
            begun = False
            continue
        text, token = item
        content = program.macros.get(token.content)
        macro = content is not None
        if content is None:
            content = known.get(token.content)
        if content is None:
            content = known[token.content] = _expand_token(text, token, architecture)
        if begun:
            built.output += b" "
        begun = True
        built.add(content, text, token, macro)
    return built.expansion()


def _read(program: _Program, text: Text) -> None:
    """Add the macros and the tokens of one source."""
    following = tokens(text)
    for token in following:
        if token.kind == "newline":
            program.end_line()
        elif token.content == b"DEFINE":
            _define(program, text, token, following)
        else:
            program.items.append((text, token))
    program.end_line()


def _define(program: _Program, text: Text, sign: Token, following: Iterator[Token]) -> None:
    """Take in the name and the value after the DEFINE ``sign``, which also ends a line."""
    name = _part(text, sign, next(following, None), "name")
    if name.kind == "string":
        raise text.fault(name.start, Kind.BAD_CHARACTER, "a string cannot be a macro's name")
    value = _part(text, sign, next(following, None), "value")
    program.macros[name.content] = value.content[1:-1] if value.kind == "string" else value.content
    if not program.items or program.items[-1] is not None:
        program.items.append(None)


def _part(text: Text, sign: Token, token: Token | None, role: str) -> Token:
    """``token``, if it can be the name or the value of a DEFINE."""
    if token is None or token.kind == "newline":
        raise text.fault(sign.start, Kind.UNFINISHED, f"DEFINE has no {role} on its line")
    if token.content == b"DEFINE":
        raise text.fault(token.start, Kind.BAD_CHARACTER, f"DEFINE cannot be a macro's {role}")
    return token


def _expand_token(text: Text, token: Token, architecture: Architecture) -> bytes:
    """What ``token``, which is no macro's name, is put out as."""
    content = token.content
    if token.kind == "string":
        if content[0] == ord("'"):
            return content[1:-1]
        beyond = next((at for at, byte in enumerate(content) if byte >= 0x80), None)
        if beyond is not None:
            raise text.fault(
                token.start + beyond,
                Kind.BAD_CHARACTER,
                f"{shown(content[beyond])} cannot stand in a string that becomes digits",
            )
        return b"".join(b"%02X " % byte for byte in content[1:-1] + b"\0")
    sign = content[0]
    if sign == ord("<"):
        return _padding(text, token)
    if sign not in _AS_IS:
        raise not_known(text, token)
    if len(content) == 1:
        raise text.fault(token.start, Kind.BAD_CHARACTER, f"nothing follows the sign {content!r}")
    if sign in WIDTHS and _BEGINS_NUMBER.match(content, 1):
        value = _number(text, token)
        if architecture.in_words:
            return _word(text, token, value)
        lowest, highest = _RANGES[sign]
        return _field(text, token, value, lowest, highest, WIDTHS[sign])
    return content


def _number(text: Text, token: Token) -> int:
    """The number after the sign of ``token``."""
    digits = token.content[1:]
    for base, form in _NUMBERS:
        found = form.fullmatch(digits)
        if found:
            # Python refuses to read decimal numbers of thousands of digits.
            return int(found[1].replace(b"_", b"")[:1000] or b"0", base)
    raise _bad(text, token, f"{digits[:40].decode('latin-1')!r} is no number")


def _bad(text: Text, token: Token, reason: str) -> LanguageError:
    return text.fault(token.start, Kind.BAD_CHARACTER, reason)


def _field(text: Text, token: Token, value: int, lowest: int, highest: int, width: int) -> bytes:
    """``value`` as the hex digits of a little-endian field of ``width`` bytes."""
    if not lowest <= value <= highest:
        raise text.fault(
            token.start,
            Kind.OUT_OF_RANGE,
            f"{token.content[:40].decode('latin-1')} is outside of {lowest} to {highest}",
        )
    return (value % (1 << 8 * width)).to_bytes(width, "little").hex().upper().encode()


def _word(text: Text, token: Token, value: int) -> bytes:
    """``value`` as RISC-V has it: the bits of an immediate, or a plain field."""
    sign = token.content[:1]
    if sign == b"&":
        raise _bad(text, token, "& takes no number on RISC-V")
    lowest, highest = _WORD_RANGES[sign[0]]
    if sign == b"$":
        return _field(text, token, value, lowest, highest, 2)
    checked = _field(text, token, value, lowest, highest, 4)
    if sign == b"%":
        return checked
    if sign == b"!":
        bits = (value & 0xFFF) << 20
    elif sign == b"@":
        bits = (value & 0x1F) << 7 | (value & 0xFE0) << 20
    else:
        bits = (value + 0x800) & 0xFFFFF000
    return b"." + bits.to_bytes(4, "little").hex().upper().encode()


def _padding(text: Text, token: Token) -> bytes:
    """The zero bytes for ``<`` and a number, or ``<`` itself, which aligns in hex2."""
    if token.content == b"<":
        return token.content
    size = _number(text, token)
    if not 0 < size <= LARGEST:
        raise text.fault(
            token.start, Kind.OUT_OF_RANGE, f"a padding of {size} is outside of 1 to {LARGEST}"
        )
    return b"00" * size
