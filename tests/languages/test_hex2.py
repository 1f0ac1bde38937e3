"""The hex2 model by its description: one rule of the language each, and every kind of error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.languages import Kind, SourceText
from bootstrap.languages.hex2 import assemble
from tests.languages.faults import fault

SETTINGS = settings(max_examples=100, deadline=None, derandomize=True)
BASE = 0x08048000


def one(source: bytes, base_address: int = BASE) -> bytes:
    return assemble([SourceText("x", source)], base_address).output


@pytest.mark.parametrize(
    ("source", "output"),
    [
        (b"", ""),
        (b"7F45 4c 4 6", "7f454c46"),
        (b":a !a", "ff"),
        (b":a @a", "feff"),
        (b":a ~a", "fdffff"),
        (b":a %a", "fcffffff"),
        (b"00 :a &a", "00 01800408"),
        (b"!a 0000 :a", "02 0000"),
        (b"%end>start :start 0000 :end", "02000000 0000"),
        (b":start 0000 :end !end>start @start>end ~end>start", "0000 02 feff 020000"),
        (b":a#;:b 00 !a#;:b", "00 fe"),  # signs and comment signs are part of a name
        (b":a=b?c !a=b?c", "ff"),
        (b":a\r!a\t!a", "ff fe"),
        (b":a", ""),
        (b":a !a", "ff"),
        (b"00:a 00", "0000"),
        (b":a 00!a ", "00 fe"),
    ],
)
def test_the_language(source: bytes, output: str) -> None:
    assert one(source) == bytes.fromhex(output)


@pytest.mark.parametrize(
    ("source", "kind", "line", "column"),
    [
        (b"G0", Kind.BAD_CHARACTER, 1, 1),
        (b"<", Kind.BAD_CHARACTER, 1, 1),
        (b"^~a", Kind.BAD_CHARACTER, 1, 1),
        (b">", Kind.BAD_CHARACTER, 1, 1),
        (b"41\n\x00", Kind.BAD_CHARACTER, 2, 1),
        (b":a\x80", Kind.BAD_CHARACTER, 1, 3),
        (b": a", Kind.BAD_CHARACTER, 1, 2),
        (b":>", Kind.BAD_CHARACTER, 1, 2),
        (b":a>", Kind.BAD_CHARACTER, 1, 3),
        (b"%\na", Kind.BAD_CHARACTER, 1, 2),
        (b"%>a", Kind.BAD_CHARACTER, 1, 2),
        (b"%a> ", Kind.BAD_CHARACTER, 1, 4),
        (b"%a>b>c", Kind.BAD_CHARACTER, 1, 5),
        (b"%a>b\x01", Kind.BAD_CHARACTER, 1, 5),
        (b"$a>b", Kind.BAD_CHARACTER, 1, 3),
        (b"&a>", Kind.BAD_CHARACTER, 1, 3),
        (b"4", Kind.ODD_DIGITS, 1, 1),
        (b"41 4\n:a", Kind.ODD_DIGITS, 1, 4),
        (b"4 !", Kind.ODD_DIGITS, 1, 1),
        (b":a !b !c", Kind.UNDEFINED, 1, 4),
        (b":a !a>b", Kind.UNDEFINED, 1, 4),
        (b":a &A", Kind.UNDEFINED, 1, 4),
        (b":aa :a\n:aa", Kind.DUPLICATE, 2, 1),
        (b":", Kind.UNFINISHED, 1, 2),
        (b":a %", Kind.UNFINISHED, 1, 5),
        (b":a %a>", Kind.UNFINISHED, 1, 7),
        (b":a $a", Kind.OUT_OF_RANGE, 1, 4),
        # What the first pass finds comes before what the second would.
        (b"!b :a :a", Kind.DUPLICATE, 1, 7),
        # Within the second pass, the order of the source.
        (b":a $a !b", Kind.OUT_OF_RANGE, 1, 4),
        (b":a !b $a", Kind.UNDEFINED, 1, 4),
    ],
)
def test_errors(source: bytes, kind: Kind, line: int, column: int) -> None:
    base = 0x10000 if kind is Kind.OUT_OF_RANGE or b"$" in source else BASE
    assert fault(lambda: one(source, base)) == (kind, line, column)


@pytest.mark.parametrize(("sign", "before", "after"), [(b"!", 128, 127), (b"@", 2**15, 2**15 - 1)])
def test_the_reach_of_a_field(sign: bytes, before: int, after: int) -> None:
    width = b" !@~".index(sign)
    back = b":a " + b"00" * (before - width)
    assert one(back + sign + b"a")[-width:] == (-before % 256**width).to_bytes(width, "little")
    assert fault(lambda: one(back + b"00" + sign + b"a"))[0] is Kind.OUT_OF_RANGE
    ahead = sign + b"a " + b"00" * after
    assert one(ahead + b":a")[:width] == after.to_bytes(width, "little")
    assert fault(lambda: one(ahead + b"00 :a"))[0] is Kind.OUT_OF_RANGE


def test_an_absolute_field_of_two_bytes_ends_at_65535() -> None:
    assert one(b"$a 00 :a", 0xFFFC) == b"\xff\xff\0"
    assert fault(lambda: one(b"$a 00 :a", 0xFFFD)) == (Kind.OUT_OF_RANGE, 1, 1)


def test_65536_labels_are_the_most() -> None:
    most = b"".join(b":%d\n" % number for number in range(65536))
    assert one(most) == b""
    assert fault(lambda: one(most + b":more")) == (Kind.TOO_LARGE, 65537, 1)
    assert fault(lambda: one(most + b":7")) == (Kind.DUPLICATE, 65537, 1)


def test_more_than_16_mib_in_all_are_too_large() -> None:
    sources = [SourceText("a", b"#" * 2**23), SourceText("b", b"#" * 2**23)]
    assert assemble(sources).output == b""
    assert fault(lambda: assemble([*sources, SourceText("c", b"#")])) == (Kind.TOO_LARGE, 1, 1)


def test_several_sources_are_read_as_one() -> None:
    sources = [
        SourceText("head", b"00 # no newline at the end of "),
        SourceText("empty", b""),
        SourceText("body", b"this comment\n:lab"),
        SourceText("tail", b"el 4"),
        SourceText("end", b"1 !label\n4"),
    ]
    assert fault(lambda: assemble(sources)) == (Kind.ODD_DIGITS, 2, 1)
    assembly = assemble([*sources, SourceText("more", b"2")])
    assert assembly.output == b"\0A\xfeB"
    assert [(o.file, o.line, o.columns, o.label) for o in assembly.map] == [
        ("head", 1, (1, 2), ""),
        ("tail", 1, (4, 1), ""),
        ("end", 1, (3, 8), "!label"),
        ("end", 2, (1, 1), ""),
    ]
    assert assembly.map[0].comment == "no newline at the end of this comment"


def test_an_error_names_the_file_it_is_in() -> None:
    with pytest.raises(Exception, match=r"^two:2:3: 'x' is no digit"):
        assemble([SourceText("one", b"41\n42"), SourceText("two", b"43\n  x")])


def test_a_second_definition_says_where_the_first_is() -> None:
    with pytest.raises(Exception, match=r"^two:1:1: .*second time; the first is at one:2:3"):
        assemble([SourceText("one", b"41\n  :a\n"), SourceText("two", b":a")])


NAMES = st.text("ab:%!#;=?", min_size=1, max_size=4).map(str.encode)
WIDTHS = {"!": 1, "@": 2, "~": 3, "%": 4, "$": 2, "&": 4}
BETWEEN = st.sampled_from([b" ", b"\n", b"\t\r", b" # :a %b\n", b"\n;\n"])


@st.composite
def programs(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A source that keeps to the language, and what it has to give at address 0."""
    names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=6))
    reference = st.tuples(
        st.sampled_from("!@~%$&"), st.sampled_from(names), st.none() | st.sampled_from(names)
    )
    parts: list[bytes | tuple[str, bytes, bytes | None]] = [(":", name, None) for name in names]
    parts += draw(st.lists(st.binary(min_size=1, max_size=3), max_size=6))
    parts += draw(st.lists(reference, max_size=8))
    parts = draw(st.permutations(parts))
    address = {}
    size = 0
    for part in parts:
        if isinstance(part, bytes):
            size += len(part)
        elif part[0] == ":":
            address[part[1]] = size
        else:
            size += WIDTHS[part[0]]
    source = output = b""
    for part in parts:
        if isinstance(part, bytes):
            source += part.hex().encode()
            output += part
        else:
            sign, name, base = part
            source += sign.encode() + name
            if sign in "!@~%" and base is not None:
                source += b">" + base
            if sign != ":":
                after = len(output) + WIDTHS[sign]
                origin = after if base is None else address[base]
                value = address[name] if sign in "$&" else address[name] - origin
                output += value.to_bytes(WIDTHS[sign], "little", signed=sign not in "$&")
        source += draw(BETWEEN)
    return source, output


@SETTINGS
@given(programs(), st.integers(0, 200))
def test_any_program_in_one_file_or_two(program: tuple[bytes, bytes], cut: int) -> None:
    source, output = program
    whole = assemble([SourceText("x", source)], 0)
    assert whole.output == output
    assert len(whole.map) == len(output)
    parts = assemble([SourceText("a", source[:cut]), SourceText("b", source[cut:])], 0)
    assert parts.output == output
    for origin, same in zip(parts.map, whole.map, strict=True):
        assert (origin.label, origin.comment) == (same.label, same.comment)
        # The first character of what made the byte is the same in either reading.
        text = source[:cut] if origin.file == "a" else source[cut:]
        first, other = origin.digits[0], same.digits[0]
        character = text.split(b"\n")[first.line - 1][first.column - 1]
        assert character == source.split(b"\n")[other.line - 1][other.column - 1]


@SETTINGS
@given(st.lists(st.sampled_from([b"4", b"41", b":a", b"!a", b">", b" ", b"\n", b"#", b"\x80"])))
def test_any_source_gives_an_output_or_an_error_in_its_place(parts: list[bytes]) -> None:
    source = b"".join(parts)
    try:
        assembly = assemble([SourceText("x", source)])
    except Exception:
        _, line, column = fault(lambda: one(source))
        lines = source.split(b"\n")
        assert line <= len(lines)
        assert column <= len(lines[line - 1]) + 1
    else:
        assert len(assembly.map) == len(assembly.output)
