"""The hex0 model by its description: one rule of docs/hex0.md each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.languages import Position
from bootstrap.languages.hex0 import assemble


@pytest.mark.parametrize(
    ("source", "output"),
    [
        (b"", b""),
        (b"7F 45 4c 46", b"\x7fELF"),
        (b"7F454c46", b"\x7fELF"),
        (b"aB Ab", b"\xab\xab"),
        (b"4 1", b"A"),
        (b"4\n1", b"A"),
        (b"4\r\n1\t42", b"AB"),
        (b"41 # 42\n43", b"AC"),
        (b"41 ; 42\n43", b"AC"),
        (b"4 # one digit before, one after\n1", b"A"),
        (b"#;#\n41", b"A"),
        (b"# a carriage return does not end a comment\r41\n42", b"B"),
        (b"# no newline at the end 41", b""),
    ],
)
def test_the_language(source: bytes, output: bytes) -> None:
    assembly = assemble(source, "x.hex0")
    assert assembly.output == output
    assert assembly.oddities == ()


@pytest.mark.parametrize(
    ("source", "output", "line", "column", "word"),
    [
        (b"41 4", b"A", 1, 4, "dropped"),
        (b"1G", b"\x20", 1, 2, "value 16"),
        (b"g1", b"\x01", 1, 1, "value 16"),
        (b"FG", b"\x00", 1, 2, "value 16"),
        (b"4x1", b"A", 1, 2, "'x'"),
        (b"41\n\x004\xe91", b"AA", 2, 1, "byte 0x00"),
        (b":41", b"A", 1, 1, "':'"),
        (b"/41", b"A", 1, 1, "'/'"),
        (b"@41", b"A", 1, 1, "'@'"),
    ],
)
def test_where_the_language_ends_the_seed_decides(
    source: bytes, output: bytes, line: int, column: int, word: str
) -> None:
    assembly = assemble(source, "x.hex0")
    assert assembly.output == output
    oddity = assembly.oddities[0]
    assert (oddity.file, oddity.position) == ("x.hex0", Position(line, column))
    assert word in oddity.reason


def test_the_map_says_where_each_byte_is_written() -> None:
    assembly = assemble(b"7F 45 ; magic\n\n  4\t# high\nc # low \xff\n", "elf.hex0")
    assert assembly.output == b"\x7fEL"
    first, second, third = assembly.map
    assert (first.file, first.line, first.columns, first.comment) == (
        "elf.hex0",
        1,
        (1, 2),
        "magic",
    )
    assert (second.line, second.columns, second.comment) == (1, (4, 5), "magic")
    assert third.digits == (Position(3, 3), Position(4, 1))
    assert third.comment == "low \\xff"


@given(st.binary(max_size=300))
def test_any_bytes_at_all_give_a_whole_map(source: bytes) -> None:
    assembly = assemble(source, "any")
    assert len(assembly.map) == len(assembly.output)
    places = [place for origin in assembly.map for place in origin.digits]
    assert places == sorted(places, key=lambda p: (p.line, p.column))
    lines = source.split(b"\n")
    for origin, byte in zip(assembly.map, assembly.output, strict=True):
        pair = bytes(lines[place.line - 1][place.column - 1] for place in origin.digits)
        if b"g" not in pair.lower():
            assert int(pair, 16) == byte


@given(st.binary(max_size=100), st.sampled_from(["", " ", "\n", "\r\n", " # 41\n", ";\n"]))
def test_what_stands_between_two_digits_means_nothing(content: bytes, between: str) -> None:
    source = between.join(content.hex()).encode()
    assert assemble(source, "x").output == content
