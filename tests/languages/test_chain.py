"""The trace from a binary's byte through hex2 to the macro assembler's source."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.languages import Origin, Position, SourceText, hex2
from bootstrap.languages.chain import compose
from bootstrap.languages.m1 import Dialect, expand

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)

PROGRAM = b"""# defines
DEFINE call E8
DEFINE nop 90
:main ; begin
    call %main>end # again
    nop nop
    !5 "A" ; data
    '7F
 80'
:end
"""


@pytest.mark.parametrize("dialect", Dialect)
def test_each_byte_is_traced_to_its_token(dialect: Dialect) -> None:
    header = SourceText("elf.hex2", b"7F # magic\n")
    expansion = expand([SourceText("x.M1", PROGRAM)], dialect)
    assembly = hex2.assemble([header, expansion.source("x.hex2")])
    traced = compose(assembly, {"x.hex2": expansion})
    assert traced.output == assembly.output
    assert traced.output[5:] == b"\xff" + bytes.fromhex("90 90 05 41 00 7f 80")
    seen = [(o.file, o.line, o.columns, o.comment, o.macro, o.label) for o in traced.map]
    assert seen == [
        ("elf.hex2", 1, (1, 2), "magic", "", ""),
        ("x.M1", 5, (5, 8), "again", "call", ""),
        *[("x.M1", 5, (10, 18), "again", "", "%main>end")] * 4,
        ("x.M1", 6, (5, 7), "", "nop", ""),
        ("x.M1", 6, (9, 11), "", "nop", ""),
        ("x.M1", 7, (5, 6), "data", "", ""),
        *[("x.M1", 7, (8, 10), "data", "", "")] * 2,
        *[("x.M1", 8, (5, 4), "", "", "")] * 2,
    ]


def test_a_pair_of_digits_from_two_tokens() -> None:
    expansion = expand([SourceText("x.M1", b"DEFINE a 4\na # one\n '1' # two")], Dialect.M0)
    traced = compose(hex2.assemble([expansion.source("x")]), {"x": expansion})
    assert traced.output == b"A"
    assert traced.map == (Origin("x.M1", (Position(2, 1), Position(3, 4)), "two", "", "a"),)


def test_a_macro_whose_value_is_a_reference() -> None:
    expansion = expand([SourceText("x.M1", b"DEFINE a !b\n:b a")], Dialect.M0)
    traced = compose(hex2.assemble([expansion.source("x")]), {"x": expansion})
    assert traced.map == (Origin("x.M1", (Position(2, 4), Position(2, 4)), "", "!b", "a"),)


@SETTINGS
@given(st.lists(st.sampled_from([b"a", b"b", b"!1", b"%x", b":x", b"'0A'", b"\n"])))
def test_what_a_byte_is_traced_to_makes_that_byte(tokens: list[bytes]) -> None:
    names = {b"a": 0xE8, b"b": 0x90, b"!1": 1, b"'0A'": 10}
    tokens = [b":x", *(token for token in tokens if token != b":x")]
    source = b"DEFINE a E8 DEFINE b 90\n" + b" ".join(tokens)
    lines = source.split(b"\n")
    expansion = expand([SourceText("x.M1", source)], Dialect.M0)
    traced = compose(hex2.assemble([expansion.source("x")]), {"x": expansion})
    for byte, origin in zip(traced.output, traced.map, strict=True):
        first, last = origin.columns
        token = lines[origin.line - 1][first - 1 : last]
        assert token == b"%x" if origin.label else names[token] == byte
