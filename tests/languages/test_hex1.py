"""The hex1 model by its description: one rule of the language each, and every kind of error."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.languages import Kind, hex0
from bootstrap.languages.hex1 import assemble
from tests.languages.faults import fault

SETTINGS = settings(max_examples=100, deadline=None, derandomize=True)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        (b"", b""),
        (b"7F 45 4c 46", b"\x7fELF"),
        (b"4 1 4#x\n2;y\r41\n4\t\r\n3", b"ABC"),
        (b":a%a", b"\xfc\xff\xff\xff"),
        (b"%a :a", b"\0\0\0\0"),
        (b"00 %a 00 00:a 00", b"\0\x02\0\0\0\0\0\0"),
        (b":a:b%a%b", b"\xfc\xff\xff\xff\xf8\xff\xff\xff"),
        (b":::%%%%::#:;%#%;", bytes.fromhex("fcffffff f8ffffff fcffffff f8ffffff")),
        (b"%~:~", b"\0\0\0\0"),
    ],
)
def test_the_language(source: bytes, output: bytes) -> None:
    assert assemble(source, "x").output == output


@pytest.mark.parametrize(
    ("source", "kind", "line", "column"),
    [
        (b"G0", Kind.BAD_CHARACTER, 1, 1),
        (b"41\n4 x", Kind.BAD_CHARACTER, 2, 3),
        (b"\x0041", Kind.BAD_CHARACTER, 1, 1),
        (b"41\xff", Kind.BAD_CHARACTER, 1, 3),
        (b"!a", Kind.BAD_CHARACTER, 1, 1),
        (b": a", Kind.BAD_CHARACTER, 1, 2),
        (b"%\n", Kind.BAD_CHARACTER, 1, 2),
        (b":\x7f", Kind.BAD_CHARACTER, 1, 2),
        (b"%\x80", Kind.BAD_CHARACTER, 1, 2),
        (b"41 4", Kind.ODD_DIGITS, 1, 4),
        (b"4 :a", Kind.ODD_DIGITS, 1, 1),
        (b"4\n%\x80", Kind.ODD_DIGITS, 1, 1),
        (b"4:", Kind.ODD_DIGITS, 1, 1),
        (b":a %b %c", Kind.UNDEFINED, 1, 4),
        (b":a\n:b :a", Kind.DUPLICATE, 2, 4),
        (b"41 :", Kind.UNFINISHED, 1, 5),
        (b"41\n%", Kind.UNFINISHED, 2, 2),
        # What the first pass finds comes before what the second would.
        (b"%b x", Kind.BAD_CHARACTER, 1, 4),
    ],
)
def test_errors(source: bytes, kind: Kind, line: int, column: int) -> None:
    assert fault(lambda: assemble(source, "x")) == (kind, line, column)


def test_more_than_16_mib_are_too_large() -> None:
    assert assemble(b"#" * 2**24, "x").output == b""
    assert fault(lambda: assemble(b"#" * 2**24 + b"x", "x")) == (Kind.TOO_LARGE, 1, 2**24 + 1)


def test_the_map_says_which_reference_made_a_byte() -> None:
    origins = assemble(b"E8 ; call\n  %m # the main function\n:m", "x").map
    assert [(o.label, o.line, o.columns, o.comment) for o in origins] == [
        ("", 1, (1, 2), "call"),
        *[("%m", 2, (3, 4), "the main function")] * 4,
    ]


LABELS = st.integers(0x21, 0x7E).map(lambda code: bytes([code]))
BETWEEN = st.sampled_from([b"", b" ", b"\n", b"\t", b"# 4:%\n", b";;\r\n"])


@st.composite
def programs(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A source that keeps to the language, and what it has to give."""
    names = draw(st.lists(LABELS, unique=True, max_size=8))
    parts: list[bytes | tuple[str, bytes]] = [(":", name) for name in names]
    parts += draw(st.lists(st.binary(min_size=1, max_size=3), max_size=8))
    if names:
        parts += [("%", name) for name in draw(st.lists(st.sampled_from(names), max_size=8))]
    parts = draw(st.permutations(parts))
    offsets = {}
    size = 0
    for part in parts:
        if isinstance(part, bytes):
            size += len(part)
        elif part[0] == "%":
            size += 4
        else:
            offsets[part[1]] = size
    source = output = b""
    for part in parts:
        source += draw(BETWEEN)
        if isinstance(part, bytes):
            source += draw(BETWEEN).join(bytes([digit]) for digit in part.hex().encode())
            output += part
        else:
            source += part[0].encode() + part[1]
            if part[0] == "%":
                output += struct.pack("<i", offsets[part[1]] - len(output) - 4)
    return source, output


@SETTINGS
@given(programs())
def test_any_program(program: tuple[bytes, bytes]) -> None:
    source, output = program
    assembly = assemble(source, "x")
    assert assembly.output == output
    assert len(assembly.map) == len(output)
    for origin in assembly.map:
        places = [source.split(b"\n")[p.line - 1][p.column - 1 :][:1] for p in origin.digits]
        assert origin.label.encode() == (b"".join(places) if origin.label else b"")


@SETTINGS
@given(st.lists(st.sampled_from([b"4", b"c", b" ", b"\n", b"# x", b";"])).map(b"".join))
def test_without_labels_it_is_hex0(source: bytes) -> None:
    same = hex0.assemble(source, "x")
    if same.oddities:
        assert fault(lambda: assemble(source, "x"))[0] is Kind.ODD_DIGITS
    else:
        assert assemble(source, "x") == same
