"""The strict reading of step files: what is accepted; each fault is named with its place."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput
from bootstrap.documents import line_of, path_fault
from bootstrap.known.schema import Known, StepFile, parse
from tests.known.sample import GOOD, A, B


def test_a_good_file_is_read_whole() -> None:
    step = parse(GOOD, "steps/t.toml")
    assert step.title == "stage0-posix 1.0 x86"
    assert step.source.submodules == {"x86": "d" * 40}
    assert step.seeds["hex0-seed"].size == 3
    entry = step.entry("hex0-seed")
    assert entry.commands == (("./seed/hex0-seed", "x", "y"),)
    assert (entry.hidden, entry.cwd, dict(entry.environment)) == (("seed/other",), "", {})
    assert step.directories == ("x86/bin",)


def test_expected_takes_the_answer_before_the_native_value() -> None:
    step = parse(GOOD, "t")
    assert step.expected() == (
        Known(path="x86/bin/M1", sha256=A, from_="x86.answers"),
        Known(path="x86/bin/catm", sha256=A, from_="x86.answers"),
        Known(path="x86/artifact/hex0", sha256=B, from_="a run", kind="native-run"),
    )
    assert Known(path="x86/bin/M1", sha256=B, from_="a run", kind="native-run") in step.known()


def test_an_unknown_entry_is_named_with_those_there_are() -> None:
    with pytest.raises(BadInput, match=r"no entry 'kaem'; it has hex0-seed"):
        parse(GOOD, "t").entry("kaem")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("schema = 1", "schema = 2", "t.toml:1: schema is 2; it must be 1"),
        ("schema = 1\n", "", "schema is missing"),
        ("schema = 1", "schema = true", "t.toml:1: schema is True"),
        ('name = "stage0-posix"', 'name = "a b"', "t.toml:2: name is no name of letters"),
        ('arch = "x86"', "arch = 86", "t.toml:4: arch must be a string"),
        ('arch = "x86"', 'arch = "x86"\ncolour = 1', "t.toml:5: colour is not a key"),
        ("size = 3", "size = -3", "t.toml:19: seeds.hex0-seed.size must not be negative"),
        ("size = 3", "bytes = 3", "t.toml:17: seeds.hex0-seed.size is missing"),
        ("size = 3", "size = 3\nbyte = 3", "t.toml:20: seeds.hex0-seed.byte is not a key"),
        (
            'path = "seed/hex0-seed"',
            'path = "/seed"',
            "t.toml:18: seeds.hex0-seed.path is no plain path",
        ),
        ('["x86/bin"]', '["x86/../bin"]', "t.toml:5: directories[0] is no plain path"),
        ('["x86/bin"]', '["x86/bin", "x86/bin"]', "t.toml:5: directories has 'x86/bin' twice"),
        ('["x86/bin"]', "[1]", "t.toml:5: directories[0] must be a string"),
        ('["x86/bin"]', '"x86/bin"', "t.toml:5: directories must be a list"),
        (f'"x86/bin/catm" = "{A}"', '"x86/bin/catm" = "A0"', 't.toml:28: answers."x86/bin/catm"'),
        (f'"x86/bin/catm" = "{A}"', f'"./catm" = "{A}"', "no plain path in the tree: './catm'"),
        (f'"x86/bin/catm" = "{A}"', f'"x86/bin/M1" = "{A}"', "line 28"),
        ('native_from = "a run"\n', "", "native_from does not say where they come from"),
        (
            "https://example.org",
            "http://example.org",
            "t.toml:11: source.urls[0] is no https address",
        ),
        (f'commit = "{"c" * 40}"', 'commit = "HEAD"', "t.toml:10: source.commit is no commit"),
        (f'x86 = "{"d" * 40}"', 'x86 = "d"', "t.toml:15: source.submodules.x86 is no commit"),
        ('[["./seed/hex0-seed", "x", "y"]]', "[]", "entries.hex0-seed.commands is empty"),
        (
            '[["./seed/hex0-seed", "x", "y"]]',
            '["x"]',
            "t.toml:23: entries.hex0-seed.commands[0] must be a list",
        ),
        ('[["./seed/hex0-seed", "x", "y"]]', "[[]]", "entries.hex0-seed.commands[0] is empty"),
        ('[["./seed/hex0-seed", "x", "y"]]', '[["\\u0000"]]', "commands[0][0] is no argument"),
        (f'"seed/hex0-seed" = "{A}"\n', "", "materials lacks seed/hex0-seed"),
        (f'"seed/hex0-seed" = "{A}"\n', f'"seed/hex0-seed" = "{B}"\n', "has another sha256"),
        ("[entries.hex0-seed]\n", "[entries]\n", "t.toml:23: entries.commands must be a table"),
        ("schema = 1", "schema = = 1", "not valid TOML"),
    ],
)
def test_each_fault_is_named_with_file_and_place(old: str, new: str, says: str) -> None:
    assert GOOD.count(old) >= 1
    with pytest.raises(BadInput) as caught:
        parse(GOOD.replace(old, new, 1), "t.toml")
    assert "t.toml" in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_step_without_an_entry_is_refused() -> None:
    head, rest = GOOD.split("[entries.hex0-seed]")
    with pytest.raises(BadInput, match="entries is empty"):
        parse(head + "[entries]\n" + rest[rest.index("[answers]") :], "t")


def test_deep_nesting_is_bad_input_and_no_crash() -> None:
    with pytest.raises(BadInput, match="nested too deep"):
        parse("a = " + "[" * 100_000, "t")


def test_line_of_tells_tables_of_the_same_key_apart() -> None:
    assert line_of(GOOD, ("answers", "x86/bin/M1")) == 27
    assert line_of(GOOD, ("native", "x86/bin/M1")) == 31
    assert line_of(GOOD, ("native", "nowhere")) == 30


_LINES = GOOD.splitlines()
_JUNK = st.sampled_from(
    ["", "[answers]", "x = 1", "schema = 1", "[[seeds]]", "[seeds.y]", 'cwd = ".."', '"a b" = ""']
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(_LINES) - 1), _JUNK | st.text(max_size=20))))
def test_any_edit_gives_a_step_file_or_bad_input(edits: list[tuple[int, str]]) -> None:
    lines = list(_LINES)
    for at, line in edits:
        lines[at] = line
    try:
        step = parse("\n".join(lines), "t.toml")
    except BadInput as error:
        assert str(error).startswith("t.toml")
    else:
        assert isinstance(step, StepFile)


@settings(deadline=None)
@given(st.text(alphabet="ab./\0", max_size=12))
def test_a_plain_path_stays_below_its_root_and_has_one_form(path: str) -> None:
    if path_fault(path) is None:
        assert posixpath.normpath(path) == path
        assert not path.startswith("/")
        assert ".." not in path.split("/")
    else:
        assert path_fault(path)
