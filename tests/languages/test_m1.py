"""The M1 dialect by its description: one rule of the language each, and every kind of error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.languages import Kind, SourceText
from bootstrap.languages.assembly import Architecture
from bootstrap.languages.m1 import expand
from tests.languages.faults import fault

SETTINGS = settings(max_examples=100, deadline=None, derandomize=True)


def one(source: bytes, architecture: Architecture = Architecture.X86) -> bytes:
    return expand([SourceText("x", source)], architecture).output


@pytest.mark.parametrize(
    ("source", "output"),
    [
        (b"", b""),
        (b"\n \t\n# only a comment", b""),
        (b"%a  %b\t%c\n\n\n%d", b"%a %b %c\n%d\n"),
        (b"%a # x\n# y\n  ; z\n%b\n", b"%a\n%b\n"),
        # A DEFINE ends the line; at the start that leaves an empty one.
        (b"DEFINE a 1\n", b"\n"),
        (b"DEFINE a 1\na", b"\n1\n"),
        (b"%x DEFINE a 1 a DEFINE b 2", b"%x\n1\n"),
        # Macros hold before their DEFINE, too, and the last value counts.
        (b"a\nDEFINE a 1\na\nDEFINE a 2", b"2\n2\n"),
        (b"DEFINE a b\nDEFINE b c\na b", b"\nb c\n"),
        (b"DEFINE %1 2\n%1", b"\n2\n"),
        (b"DEFINE a \"x y\"\nDEFINE b 'z'\na b", b"\nx y z\n"),
        (b'"ab"', b"61 62 00 \n"),
        (b'"" :a', b"00  :a\n"),
        (b"\"\x7f\n'\" '\xff'", b"7F 0A 27 00  \xff\n"),
        (b"'a\n#b'\"c\"", b"a\n#b 63 00 \n"),
        (b"!1 @-2 ~3 %-4 $5 &6", b"01 FEFF 030000 FCFFFFFF 0500 06000000\n"),
        (b"!0x1f !0b101 !017 !0 !1_0 !0x_f_f", b"1F 05 0F 00 0A FF\n"),
        (b"%0xFFFFFFFF %-2147483648", b"FFFFFFFF 00000080\n"),
        (b"!a @b ~c %d $e &f :g ^~h %-i %_", b"!a @b ~c %d $e &f :g ^~h %-i %_\n"),
        (b"<3 <0x2 <", b"000000 0000 <\n"),
    ],
)
def test_the_language(source: bytes, output: bytes) -> None:
    assert one(source) == output


@pytest.mark.parametrize("architecture", [Architecture.RISCV32, Architecture.RISCV64])
@pytest.mark.parametrize(
    ("source", "output"),
    [
        # addi a0, a0, N: the immediate is in bits 20 to 31.
        (b"!1", b".00001000"),
        (b"!-1", b".0000F0FF"),
        (b"!4097", b".00001000"),
        # sd: bits 7 to 11, and 25 to 31.
        (b"@8", b".00040000"),
        (b"@-8", b".000C00FE"),
        # lui: rounded, so that adding the signed low 12 bits gives the number.
        (b"~0x12345678", b".00503412"),
        (b"~0x12345FFF", b".00603412"),
        (b"~-1", b".00000000"),
        (b"~0xFFFFF800", b".00000000"),
        (b"$-2 %-2", b"FEFF FEFFFFFF"),
        (b"&a ~b !c", b"&a ~b !c"),
    ],
)
def test_a_number_on_risc_v(architecture: Architecture, source: bytes, output: bytes) -> None:
    assert one(source, architecture) == output + b"\n"


@pytest.mark.parametrize(
    ("source", "kind", "line", "column"),
    [
        (b":a\n:b\x01", Kind.BAD_CHARACTER, 2, 3),
        (b"'a\0b'", Kind.BAD_CHARACTER, 1, 3),
        (b"DEFINE 'a' b", Kind.BAD_CHARACTER, 1, 8),
        (b':a "b\xff"', Kind.BAD_CHARACTER, 1, 6),
        (b"DEFINE a DEFINE", Kind.BAD_CHARACTER, 1, 10),
        (b"%1x", Kind.BAD_CHARACTER, 1, 1),
        (b"%08", Kind.BAD_CHARACTER, 1, 1),
        (b"%-0", Kind.BAD_CHARACTER, 1, 1),
        (b"%-0x1", Kind.BAD_CHARACTER, 1, 1),
        (b"%_1", Kind.BAD_CHARACTER, 1, 1),
        (b"%0x_", Kind.BAD_CHARACTER, 1, 1),
        (b"<x", Kind.BAD_CHARACTER, 1, 1),
        (b": a", Kind.BAD_CHARACTER, 1, 1),
        (b":a\n  a", Kind.UNDEFINED, 2, 3),
        (b"E8", Kind.UNDEFINED, 1, 1),
        (b"DEFINE", Kind.UNFINISHED, 1, 1),
        (b":a DEFINE a\nb", Kind.UNFINISHED, 1, 4),
        (b"DEFINE a # b\n", Kind.UNFINISHED, 1, 1),
        (b":a 'b", Kind.UNFINISHED, 1, 4),
        (b"!256", Kind.OUT_OF_RANGE, 1, 1),
        (b"!-129", Kind.OUT_OF_RANGE, 1, 1),
        (b"@32768", Kind.OUT_OF_RANGE, 1, 1),
        (b"~8388608", Kind.OUT_OF_RANGE, 1, 1),
        (b"$65536", Kind.OUT_OF_RANGE, 1, 1),
        (b"%4294967296", Kind.OUT_OF_RANGE, 1, 1),
        (b"%" + b"9" * 5000, Kind.OUT_OF_RANGE, 1, 1),
        (b"<0", Kind.OUT_OF_RANGE, 1, 1),
        (b"<-1", Kind.OUT_OF_RANGE, 1, 1),
        # What is no token or DEFINE comes before what nothing can be made of.
        (b"a 'b", Kind.UNFINISHED, 1, 3),
    ],
)
def test_errors(source: bytes, kind: Kind, line: int, column: int) -> None:
    assert fault(lambda: one(source)) == (kind, line, column)


def test_an_address_takes_no_number_on_risc_v() -> None:
    assert fault(lambda: one(b"&1", Architecture.RISCV64)) == (Kind.BAD_CHARACTER, 1, 1)


def test_each_source_is_a_file_of_its_own_but_macros_are_common() -> None:
    sources = [
        SourceText("a.M1", b"nop # no newline"),
        SourceText("b.M1", b"DEFINE nop 90\n %x ; b\nnop"),
    ]
    expansion = expand(sources, Architecture.X86)
    assert expansion.output == b"90\n%x\n90\n"
    seen = [
        (o.file, o.line, o.columns, o.comment, o.macro, o.label)
        for o in (span.origin for span in expansion.spans)
    ]
    assert seen == [
        ("a.M1", 1, (1, 3), "no newline", "nop", ""),
        ("b.M1", 2, (2, 3), "b", "", "%x"),
        ("b.M1", 3, (1, 3), "", "nop", ""),
    ]
    with pytest.raises(Exception, match=r"^two:1:1: the string has no second '$"):
        expand(
            [SourceText("one", b":a"), SourceText("two", b"'a"), SourceText("three", b"b'")],
            Architecture.X86,
        )


@SETTINGS
@given(st.lists(st.lists(st.sampled_from([":a", "%b", "!1", "'41'", '"A"', "m"]))))
def test_lines_stay_lines(lines: list[list[str]]) -> None:
    put_out = {"!1": "01", "'41'": "41", '"A"': "41 00 ", "m": "90"}
    source = "".join(f" {' '.join(line)} # x\n" for line in lines) + "DEFINE m 90"
    expected = [" ".join(put_out.get(token, token) for token in line) for line in lines if line]
    assert one(source.encode()).decode() == "".join(line + "\n" for line in expected or [""])


@SETTINGS
@given(st.integers(-(2**31), 2**32 - 1))
def test_the_two_parts_of_a_number_on_risc_v_make_it_up(number: int) -> None:
    upper, lower = one(b"~%d !%d" % (number, number), Architecture.RISCV64).split()
    high = int.from_bytes(bytes.fromhex(upper[1:].decode()), "little")
    low = int.from_bytes(bytes.fromhex(lower[1:].decode()), "little", signed=True) >> 20
    assert (high + low - number) % 2**32 == 0
