"""The kaem model by its description: one rule of the language each, and every kind of error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.languages import Kind
from bootstrap.languages.kaem import Command, parse
from tests.languages.faults import fault

SETTINGS = settings(max_examples=100, deadline=None, derandomize=True)


@pytest.mark.parametrize(
    ("script", "commands"),
    [
        (b"", []),
        (b"\n \t\n# only a comment\n", []),
        (b"a", [(1, b"a")]),
        (b"a b\n\n\tc  d \n", [(1, b"a", b"b"), (3, b"c", b"d")]),
        (b"a # b\nc#d", [(1, b"a"), (2, b"c")]),
        (b"a \\\n b\\\nc", [(1, b"a", b"b", b"c")]),
        (b"\\\n\\\na\n", [(3, b"a")]),
        (b"# a \\\nb", [(2, b"b")]),
        (b'"a b" "" "#\\\n\t"\nc', [(1, b"a b", b"", b"#\\\n\t"), (3, b"c")]),
        (b'"a"#b', [(1, b"a")]),
        (b'""', [(1, b"")]),
        (b"\x80\xff'$", [(1, b"\x80\xff'$")]),
        (b'a # \r\x7f\x80"\n"\r\x01"', [(1, b"a"), (2, b"\r\x01")]),
    ],
)
def test_the_language(script: bytes, commands: list[tuple[int, bytes]]) -> None:
    expected = [Command(line, tuple(arguments)) for line, *arguments in commands]
    assert parse(script, "x") == expected


@pytest.mark.parametrize(
    ("script", "kind", "line", "column"),
    [
        (b"a\nb \\ c", Kind.BAD_CHARACTER, 2, 3),
        (b"a\\b", Kind.BAD_CHARACTER, 1, 2),
        (b'"a"\\\n', Kind.BAD_CHARACTER, 1, 4),
        (b'a"b"', Kind.BAD_CHARACTER, 1, 2),
        (b'"a"b', Kind.BAD_CHARACTER, 1, 4),
        (b'"a""b"', Kind.BAD_CHARACTER, 1, 4),
        (b"a\r\n", Kind.BAD_CHARACTER, 1, 2),
        (b"a \x7f", Kind.BAD_CHARACTER, 1, 3),
        (b"# a\0", Kind.BAD_CHARACTER, 1, 4),
        (b'"\0', Kind.BAD_CHARACTER, 1, 2),
        (b'\n a "b\nc', Kind.UNFINISHED, 2, 4),
        (b"a \\", Kind.UNFINISHED, 1, 3),
        (b"a\n" + b"b " * 1025 + b"\\", Kind.TOO_LARGE, 2, 2049),
        (b"#" * 2**24 + b"#", Kind.TOO_LARGE, 1, 2**24 + 1),
    ],
)
def test_errors(script: bytes, kind: Kind, line: int, column: int) -> None:
    assert fault(lambda: parse(script, "x")) == (kind, line, column)


def test_1024_arguments_are_the_most() -> None:
    assert len(parse(b'"" ' * 1024 + b"\na", "x")[0].arguments) == 1024


def test_what_is_written_before_a_command() -> None:
    assert parse(b'a   "b c" ""', "x")[0].announcement == b" +> a b c  \n"


PLAIN = (
    st.binary(min_size=1, max_size=4)
    .filter(lambda word: min(word) > 32)
    .map(lambda word: word.translate(None, b'\x7f#"\\') or b"x")
)
QUOTED = st.binary(max_size=4).map(lambda word: word.translate(None, b'\0"'))
BLANKS = st.sampled_from([b" ", b"\t ", b" \\\n", b"  \\\n\\\n "])
ENDS = st.sampled_from([b"\n", b' # "a\\\n', b"\n\n#\n"])


@SETTINGS
@given(st.lists(st.lists(st.tuples(st.booleans(), PLAIN, QUOTED), min_size=1)), st.data())
def test_any_script(commands: list[list[tuple[bool, bytes, bytes]]], data: st.DataObject) -> None:
    script = b""
    expected = []
    for command in commands:
        line = script.count(b"\n") + 1
        expected.append(Command(line, tuple(q if quoted else p for quoted, p, q in command)))
        for quoted, plain, inner in command:
            script += b'"' + inner + b'" ' if quoted else plain
            script += data.draw(BLANKS)
        script += data.draw(ENDS)
    assert parse(script, "x") == expected
