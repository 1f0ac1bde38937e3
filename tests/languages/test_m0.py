"""The M0 dialect by its description: one rule of the language each, and every kind of error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.languages import Kind, SourceText
from bootstrap.languages.m0 import expand
from tests.languages.faults import fault

SETTINGS = settings(max_examples=100, deadline=None, derandomize=True)


def one(source: bytes) -> bytes:
    return expand([SourceText("x", source)]).output


@pytest.mark.parametrize(
    ("source", "output"),
    [
        (b"", b""),
        (b" \t\r\n# only a comment", b""),
        (b"DEFINE a 1 DEFINE b 2 b a\tb", b"2\n1\n2\n"),
        (b"DEFINE # x\na ; y\n\nb a", b"b\n"),
        (b"DEFINE a b DEFINE b c a b", b"b\nc\n"),  # once, not again
        (b"DEFINE %a 1 DEFINE :b 2 DEFINE ! 3 %a :b !", b"1\n2\n3\n"),
        (b"DEFINE a x%#'\" a", b"x%#'\"\n"),  # a value is put out whatever it holds
        (b"DEFINE a 1 DEFINE a 1 a", b"1\n"),
        (b":a !a @b ~c $d %e &f", b":a\n!a\n@b\n~c\n$d\n%e\n&f\n"),
        (b"%a>b :#; %a'b", b"%a>b\n:#;\n%a'b\n"),
        (b"'E8'", b"E8\n"),
        (b"''", b"\n"),
        (b"'a \n#b\"c'", b'a \n#b"c\n'),
        (b'"aZ"', b"615A00\n"),
        (b'""', b"00\n"),
        (b'"a \n#\'\xff"', b"61200A2327FF00\n"),
        (b"'a''b'\"c\":d", b"a\nb\n6300\n:d\n"),  # the next token may follow at once
        (b"'a'#x\n'b'", b"a\nb\n"),
        (b"!1 @1 $1 ~1 %1 &1", b"01\n0100\n0100\n010000\n01000000\n01000000\n"),
        (b"!-1 @-2 ~-3 %-4", b"FF\nFEFF\nFDFFFF\nFCFFFFFF\n"),
        (b"!0xaB @0x1 %0xDEADbeef", b"AB\n0100\nEFBEADDE\n"),
        (b"!010 %-0 !0 %" + b"0" * 5000 + b"7", b"0A\n00000000\n00\n07000000\n"),
        (b"!255 !-128 @65535 @-32768", b"FF\n80\nFFFF\n0080\n"),
        (b"%- %-x", b"%-\n%-x\n"),
    ],
)
def test_the_language(source: bytes, output: bytes) -> None:
    assert one(source) == output


@pytest.mark.parametrize(
    ("source", "kind", "line", "column"),
    [
        (b":a\n:b\x01", Kind.BAD_CHARACTER, 2, 3),
        (b"# \xff\n\xff", Kind.BAD_CHARACTER, 2, 1),
        (b"'a\0b'", Kind.BAD_CHARACTER, 1, 3),
        (b"'a\0b", Kind.BAD_CHARACTER, 1, 3),
        (b"DEFINE 'a' b", Kind.BAD_CHARACTER, 1, 8),
        (b"DEFINE a 'b'", Kind.BAD_CHARACTER, 1, 10),
        (b"DEFINE DEFINE a", Kind.BAD_CHARACTER, 1, 8),
        (b"DEFINE a DEFINE", Kind.BAD_CHARACTER, 1, 10),
        (b"%1x", Kind.BAD_CHARACTER, 1, 1),
        (b"%- %0b", Kind.BAD_CHARACTER, 1, 4),
        (b"%0x", Kind.BAD_CHARACTER, 1, 1),
        (b"%-0x1", Kind.BAD_CHARACTER, 1, 1),
        (b"%0X1", Kind.BAD_CHARACTER, 1, 1),
        (b"%999999999999x", Kind.BAD_CHARACTER, 1, 1),
        (b"! a", Kind.BAD_CHARACTER, 1, 1),
        (b":\n", Kind.BAD_CHARACTER, 1, 1),
        (b"a", Kind.UNDEFINED, 1, 1),
        (b"E8", Kind.UNDEFINED, 1, 1),
        (b"a DEFINE a b", Kind.UNDEFINED, 1, 1),  # not before its DEFINE
        (b"DEFINE a b\n  DEFINE a c", Kind.DUPLICATE, 2, 10),
        (b"DEFINE a b DEFINE a", Kind.UNFINISHED, 1, 12),
        (b"DEFINE a b DEFINE a 'c'", Kind.BAD_CHARACTER, 1, 21),
        (b"DEFINE", Kind.UNFINISHED, 1, 1),
        (b"DEFINE a # b", Kind.UNFINISHED, 1, 1),
        (b":a 'b", Kind.UNFINISHED, 1, 4),
        (b'DEFINE "abc', Kind.UNFINISHED, 1, 8),
        (b":a %", Kind.UNFINISHED, 1, 4),
        (b":a :", Kind.UNFINISHED, 1, 4),
        (b"!256", Kind.OUT_OF_RANGE, 1, 1),
        (b"!-129", Kind.OUT_OF_RANGE, 1, 1),
        (b"@65536", Kind.OUT_OF_RANGE, 1, 1),
        (b"$-32769", Kind.OUT_OF_RANGE, 1, 1),
        (b"~16777216", Kind.OUT_OF_RANGE, 1, 1),
        (b"%4294967296", Kind.OUT_OF_RANGE, 1, 1),
        (b"&-2147483649", Kind.OUT_OF_RANGE, 1, 1),
        (b"%0x100000000", Kind.OUT_OF_RANGE, 1, 1),
        (b"%-" + b"9" * 5000, Kind.OUT_OF_RANGE, 1, 1),
    ],
)
def test_errors(source: bytes, kind: Kind, line: int, column: int) -> None:
    assert fault(lambda: one(source)) == (kind, line, column)


def test_65536_macros_are_the_most() -> None:
    most = b"".join(b"DEFINE %d x\n" % number for number in range(65536))
    assert one(most + b"DEFINE 7 x 7") == b"x\n"
    assert fault(lambda: one(most + b"DEFINE more x")) == (Kind.TOO_LARGE, 65537, 8)


def test_16_mib_are_the_most() -> None:
    define = b"DEFINE a " + b"x" * (2**20 - 1)
    assert len(one(define + b" a" * 16)) == 2**24
    kind, line, column = fault(lambda: one(define + b" a" * 16 + b" ''"))
    assert (kind, line, column) == (Kind.TOO_LARGE, 1, len(define) + 34)
    assert fault(lambda: one(b"#" * 2**24 + b"#"))[0] is Kind.TOO_LARGE


def test_the_map_says_which_token_made_what() -> None:
    source = b"DEFINE call E8\n  call %main # go\n'00\n' !5 ; five"
    expansion = expand([SourceText("a.M1", source[:-6]), SourceText("b.M1", source[-6:])])
    assert expansion.output == b"E8\n%main\n00\n\n05\n"
    seen = [
        (expansion.output[s.start : s.end], s.origin.line, s.origin.columns, s.origin.comment)
        for s in expansion.spans
    ]
    assert seen == [
        (b"E8", 2, (3, 6), "go"),
        (b"%main", 2, (8, 12), "go"),
        (b"00\n", 3, (1, 1), "five"),
        (b"05", 4, (3, 4), "five"),
    ]
    assert [(s.origin.macro, s.origin.label) for s in expansion.spans] == [
        ("call", ""),
        ("", "%main"),
        ("", ""),
        ("", ""),
    ]


WIDTHS = {"!": 1, "@": 2, "~": 3, "%": 4, "$": 2, "&": 4}
NAMES = st.text("abE8,[]", min_size=1, max_size=3).filter(lambda name: name[0] not in "#;'\"")
TOKENS = st.one_of(
    st.tuples(st.just("use"), NAMES),
    st.tuples(st.just("define"), NAMES, st.text("0aF%#", min_size=1, max_size=3)),
    st.tuples(st.just("raw"), st.text('a #\n"', max_size=4)),
    st.tuples(st.just("text"), st.text("a #\n'", max_size=4)),
    st.tuples(st.just("name"), st.sampled_from(":!@~$%&"), st.text("abc>", min_size=1)),
    st.tuples(st.just("number"), st.sampled_from("!@~$%&"), st.integers(-128, 255)),
)
BETWEEN = st.sampled_from([" ", "\n", "\t\r", " # DEFINE 'x\n", "\n;\n"])


@SETTINGS
@given(st.lists(TOKENS), st.data())
def test_any_program(program: list[tuple[str, ...]], data: st.DataObject) -> None:
    macros: dict[str, str] = {}
    source = ""
    lines: list[str] = []
    for kind, *rest in program:
        if kind == "define":
            name, value = rest
            if value[0] in "#" or macros.setdefault(name, value) != value:
                continue
            written = f"DEFINE {name} {value}"
        elif kind == "use":
            written = rest[0]
            if written not in macros:
                continue
            lines.append(macros[written])
        elif kind == "raw":
            written = f"'{rest[0]}'"
            lines.append(rest[0])
        elif kind == "text":
            written = f'"{rest[0]}"'
            lines.append(rest[0].encode().hex().upper() + "00")
        elif kind == "name":
            written = "".join(rest)
            lines.append(written)
        else:
            sign, number = rest
            style = data.draw(st.sampled_from(["%d", "%#x"])) if int(number) >= 0 else "%d"
            written = sign + style % number
            width = WIDTHS[sign]
            field = (int(number) % 256**width).to_bytes(width, "little")
            lines.append(field.hex().upper())
        source += written + data.draw(BETWEEN)
    expansion = expand([SourceText("x", source.encode())])
    assert expansion.output == "".join(line + "\n" for line in lines).encode()
    pieces = [expansion.output[span.start : span.end].decode() for span in expansion.spans]
    assert pieces == lines
