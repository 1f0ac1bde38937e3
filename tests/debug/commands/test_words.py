"""The grammar: what is a command, what is none, and where in the line it goes wrong."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap.debug.command_language import (
    OPERATORS,
    BadCommand,
    CommandCheck,
    DebugCommand,
    MemorySpan,
    Param,
    Value,
    Verb,
    split,
)
from bootstrap.debug.command_table import GROUPS, NAMES, VERBS, parse


def read(line: str) -> DebugCommand:
    found = parse(line)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("line", "name", "values"),
    [
        ("step", "step", {}),
        ("  s   10  # ten of them", "step", {"n": 10}),
        ("step 1,000", "step", {"n": 1000}),
        ("rsi 0x10", "back", {"n": 16}),
        ("next", "over", {}),
        ("n 3", "over", {"n": 3}),
        ("next x", "next", {"event": "execution"}),
        ("next write esp-4:4", "next", {"event": "write", "of": MemorySpan("esp", -4, 4)}),
        ("previous read 0x10", "previous", {"event": "read", "of": MemorySpan("0x10")}),
        ("call", "call", {}),
        ("call read fd=3", "call", {"name": "read", "fd": 3}),
        ("call fd=3 read", "call", {"name": "read", "fd": 3}),
        ('call path="a b"', "call", {"path": "a b"}),
        ("go 5#3", "go", {"place": "5#3"}),
        ("go hex0.hex0:212", "go", {"place": "hex0.hex0:212"}),
        ("delete 1", "delete", {"which": "1"}),
        ("delete watch 2", "delete", {"point": "watch", "which": "2"}),
        ("delete all", "delete", {"point": "all"}),
        ("info registers", "show", {"what": "regs"}),
        ("x", None, {}),
        ("show mem esp:16", "show", {"what": "mem", "of": "esp:16"}),
        ("find memory 0xcd80", "find", {"in": "memory", "text": "0xcd80"}),
        ('find "int 0x80"', "find", {"text": "int 0x80"}),
        ("find memory", "find", {"text": "memory"}),
        ("expect at 5@17", "expect", {"check": CommandCheck("at", "=", "5@17")}),
        ("expect pc = 0x8048077", "expect", {"check": CommandCheck("pc", "=", "0x8048077")}),
        ("expect mem esp:4 = 03000000", "expect",
         {"check": CommandCheck("mem", "=", "03000000", "esp:4")}),
        ('expect call ~ "read(3"', "expect", {"check": CommandCheck("call", "~", "read(3")}),
        ("expect flags = ZF PF", "expect", {"check": CommandCheck("flags", "=", "ZF PF")}),
    ],
)  # fmt: skip
def test_a_line_is_a_command(line: str, name: str | None, values: dict[str, Value]) -> None:
    if name is None:
        with pytest.raises(BadCommand):
            parse(line)
        return
    found = read(line)
    assert (found.name, dict(found.values)) == (name, values)


@pytest.mark.parametrize("line", ["", "   ", "# only a comment", "  # step"])
def test_a_line_without_a_command_is_none(line: str) -> None:
    assert parse(line) is None


@pytest.mark.parametrize(
    ("line", "column", "output"),
    [
        ("stpe", 1, "did you mean step?"),
        ("  zzzz", 3, "there is no command zzzz"),
        ("step x", 6, "no number of times"),
        ("step 0", 6, "no number of times"),
        ("step 1 2", 8, "2 is too much: step [N]"),
        ("step 1,00", 6, "no number of times"),
        ("go", 3, "PLACE is missing"),
        ('go "5@3', 4, 'a " without its second one'),
        ('go ""', 4, "PLACE is empty"),
        ("next write 0x10:0", 17, "no number of bytes"),
        ("next write 0x10:", 17, "no number of bytes"),
        ("next write $%", 12, "is no address"),
        ("next wrote 0x10", 6, "did you mean write?"),
        ("call fd=x", 9, "is no number"),
        ("call fd=1 fd=2", 11, "a second time"),
        ("mark a/b", 6, "is no name"),
        ("show nothing", 6, "One of here"),
        ("expect pc 0x8048054", 11, "here comes ="),
        ("expect pc", 10, "here comes ="),
        ("expect pc =", 12, "a value is missing"),
        ("expect at", 10, "PLACE is missing"),
        ("expect at 1@2 3", 15, "too much"),
        ("quit now", 6, "too much"),
    ],
)
def test_what_is_no_command_is_said_with_its_place(line: str, column: int, output: str) -> None:
    with pytest.raises(BadCommand) as caught:
        parse(line)
    assert caught.value.column == column
    assert str(caught.value).startswith(f"column {column}: ")
    assert output in str(caught.value) and "\n" not in str(caught.value)


def test_every_name_is_of_one_command_and_every_reverse_is_there() -> None:
    names = [name for verb in VERBS for name in (verb.name, *verb.aliases)]
    assert len(names) == len(set(names)) == len(NAMES)
    for verb in VERBS:
        assert verb.group in GROUPS and verb.usage.startswith(verb.name) and verb.help
        if verb.group == "go":
            assert NAMES[verb.reverse].reverse == verb.name


_unhurried = settings(suppress_health_check=[HealthCheck.too_slow])
"""The first draw of a text makes hypothesis' table of all characters: seconds, if it is busy."""
_texts = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1, max_size=12)
_names = st.text("abcXYZ_.-059", min_size=1, max_size=8)
_spans = st.builds(
    MemorySpan,
    st.one_of(
        st.integers(0, 1 << 63).map(hex),
        st.sampled_from(("esp", "pc", "loop", "_start", "FUNCTION_main", "a.b")),
    ),
    st.integers(-(1 << 40), 1 << 40),
    st.integers(1, 1 << 20),
)
_checks = st.one_of(
    st.builds(lambda place: CommandCheck("at", "=", place), _texts),
    st.builds(
        CommandCheck,
        _names.filter(lambda name: name != "at"),
        st.sampled_from(OPERATORS),
        _texts,
        st.one_of(st.just(""), _texts),
    ),
)


def _value(param: Param) -> st.SearchStrategy[Value]:
    kinds: dict[str, st.SearchStrategy[Value]] = {
        "count": st.integers(1, 10**12),
        "number": st.integers(0, 10**12),
        "text": _texts,
        "name": _names,
        "span": _spans,
        "check": _checks,
    }
    if param.kind == "choice":
        return st.sampled_from(sorted(set(param.choices.values())))
    return kinds[param.kind]


@st.composite
def commands(draw: st.DrawFn) -> DebugCommand:
    """Any command; an argument that can be left out is, with all that can be after it."""
    verb: Verb = draw(st.sampled_from(VERBS))
    plain = [param for param in verb.params if not param.key]
    count = draw(st.integers(0, len(plain)))
    given = [p for index, p in enumerate(plain) if index < count or not p.optional]
    values = {param.name: draw(_value(param)) for param in given}
    for param in verb.params:
        if param.key and draw(st.booleans()):
            values[param.name] = draw(_value(param))
    return DebugCommand(verb, values)


def _ambiguous(command: DebugCommand) -> bool:
    """Where a text looks like the choice that may stand before it, or like `name=value`."""
    texts = [value for value in command.values.values() if isinstance(value, str)]
    keys = [param.name for param in command.verb.params if param.key]
    for param in command.verb.params:
        if param.skips and param.name not in command.values:
            return any(text in param.choices for text in texts)
    return any(text.startswith(f"{key}=") for text in texts for key in keys)


@_unhurried
@given(commands())
def test_a_command_that_is_written_down_is_read_as_the_same(command: DebugCommand) -> None:
    if _ambiguous(command):
        return
    again = read(str(command))
    assert again.verb is command.verb
    assert again.values == command.values or str(command) == "next"


@_unhurried
@given(st.text(max_size=60))
def test_any_line_is_a_command_or_refused_in_one_line(line: str) -> None:
    try:
        found = parse(line)
    except BadCommand as error:
        assert 1 <= error.column <= len(line) + 3
        assert "\r" not in str(error)
        return
    if found is not None:
        assert read(str(found)).values == found.values


@_unhurried
@given(st.lists(_texts, min_size=1, max_size=5))
def test_quoted_words_are_what_they_were(texts: list[str]) -> None:
    quoted = ['"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in texts]
    line = " ".join(quoted)
    words = split(line)
    assert [word.text for word in words] == texts
    assert all(line[word.column - 1] == '"' for word in words)
