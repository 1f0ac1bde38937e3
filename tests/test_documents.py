"""The one door for foreign documents: bootstrap.documents."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput, printable
from bootstrap.documents import (
    THE_KEY,
    BadValue,
    Sha256,
    Size,
    TreePath,
    at_least,
    decode,
    encode,
    filled,
    from_json,
    from_toml,
    key,
    matching,
    unique,
)

_SHA256 = "ab" * 32


@dataclass(frozen=True)
class Version:
    major: int
    minor: int

    @classmethod
    def from_text(cls, text: str) -> "Version":
        major, dot, minor = text.partition(".")
        if not (dot and major.isdigit() and minor.isdigit()):
            raise BadValue(f"is no version: {text!r}")
        return cls(int(major), int(minor))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True)
class Item:
    size: Size
    sha256: Sha256 | None = None
    from_: str = ""
    name: str = key(THE_KEY, default="")


@dataclass(frozen=True)
class Whole:
    schema: Literal["whole/1"]
    items: Mapping[str, Item] = field(default_factory=dict)
    words: Annotated[tuple[str, ...], unique, filled] = ("a",)
    pair: tuple[int, bool] = (0, False)
    ratio: float = 0.5
    data: bytes = b""
    kind: Literal["one", 2] = 2
    version: Version | None = None
    text_or_number: str | int = ""
    some: frozenset[str] = frozenset()
    inner: Optional["Whole"] = None
    any: object = None
    place: str = key(None, default="")
    _type: str = key("_type", default="")
    level: Annotated[int, at_least(1)] = 1
    word: Annotated[str, matching("[a-z]*", "word")] = ""

    def __post_init__(self) -> None:
        if self.level == 13:
            raise BadValue("is 13", "level")


def _whole(**changes: Any) -> Whole:
    return decode(Whole, {"schema": "whole/1", **changes}, "w.json")


def test_what_goes_in_comes_out() -> None:
    whole = Whole(
        "whole/1", {"x": Item(3, _SHA256, "here", "x")}, ("a", "b"), (5, True), 1.5, b"\0\xff",
        "one", Version(1, 9), 7, frozenset("ab"), Whole("whole/1"), {"k": [1, None, "ü\udcff"]},
        "", "t", 2, "w",
    )  # fmt: skip
    plain = encode(whole)
    assert plain["items"]["x"] == {"size": 3, "sha256": _SHA256, "from": "here"}
    assert "place" not in plain
    assert from_json(Whole, json.dumps(plain).encode(), "w.json") == whole


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"schema": "whole/2"}, "schema is 'whole/2'; it must be whole/1"),
        ({"unknown": 1}, "unknown is not a key that is known here; known: _type, any, data,"),
        ({"items": {"x": {"size": -1}}}, "items.x.size must not be negative"),
        ({"items": {"x": {"size": True}}}, "items.x.size must be a whole number"),
        ({"items": {"x": {"size": 1 << 64}}}, "items.x.size is a number of more than 64 bits"),
        ({"items": {"a b": {}}}, 'items."a b".size is missing'),
        ({"items": {"x": {"size": 1, THE_KEY: "y"}}}, 'items.x."<key>" is not a key'),
        ({"items": {"x": {"size": 1, "sha256": "AB"}}}, "items.x.sha256 is no sha256"),
        ({"items": []}, "items must be a table"),
        ({"items": {"\ud800": {"size": 1}}}, 'items."\ud800" is no Unicode text'),
        ({"words": ["a", "b", "a"]}, "words has 'a' twice"),
        ({"words": []}, "words is empty"),
        ({"words": ["a", 3]}, "words[1] must be a string"),
        ({"words": ["a", "\ud800"]}, "words[1] is no Unicode text: it has a lone surrogate"),
        ({"words": "ab"}, "words must be a list"),
        ({"pair": [1]}, "pair must have 2 values"),
        ({"pair": [1, 1]}, "pair[1] must be true or false"),
        ({"ratio": float("inf")}, "ratio must be a number"),
        ({"ratio": "1"}, "ratio must be a number"),
        ({"data": "xyz"}, "data must be bytes"),
        ({"data": 3}, "data must be bytes"),
        ({"kind": 2.0}, "kind is of another kind; it must be one or 2"),
        ({"kind": "two"}, "kind is 'two'; it must be one or 2"),
        ({"version": "1"}, "version is no version: '1'"),
        ({"version": 1}, "version must be a string"),
        ({"text_or_number": None}, "text_or_number must be a whole number"),
        ({"inner": {"schema": "whole/1", "pair": 1}}, "inner.pair must be a list"),
        ({"any": {"x": ["\udbff"]}}, "any.x[0] is no Unicode text"),
        ({"level": 0}, "level is 0, less than 1"),
        ({"level": 13}, "level is 13"),
        ({"word": "A"}, "word is no word: 'A'"),
    ],
)
def test_a_fault_has_its_place(changes: dict[str, object], fault: str) -> None:
    with pytest.raises(BadInput) as caught:
        _whole(**changes)
    assert str(caught.value).startswith(f"w.json: {fault}")


def test_depth_of_any_value_is_limited() -> None:
    value: object = None
    for _ in range(200):
        value = [value]
    with pytest.raises(BadInput, match=r"^w.json: any is nested too deep$"):
        _whole(any=value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"\xff", "not UTF-8 at byte 0"),
        (b"{", "not JSON: Expecting property name"),
        (b"[" * 100_000, "not JSON that can be read: nested too deep"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "has the key 'c' twice"),
        (b'{"ratio": NaN}', "has NaN, which is no JSON"),
        (b"[" + b"9" * 5000 + b"]", "not JSON that can be read: Exceeds the limit"),
        (b'{"schema": "whole/1", "ratio": 1e999}', "ratio must be a number"),
        (b"3", "must be a table"),
        (b" " * (17 << 20), "is larger than"),
    ],
)
def test_json_is_read_strictly(text: bytes, fault: str) -> None:
    with pytest.raises(BadInput) as caught:
        from_json(Whole, text, "w.json")
    assert str(caught.value).startswith(f"w.json: {fault}")


@dataclass(frozen=True)
class Row:
    n: int
    day: date | None = None
    inner: tuple[Item, ...] = ()


@dataclass(frozen=True)
class File:
    rows: tuple[Row, ...] = key("row", default=())
    tables: Mapping[str, Row] = field(default_factory=dict)


_TOML = """\
# a comment
[tables."a.b"]
n = 1

[[row]]
n = 1
day = 2026-11-23
[[row.inner]]
size = 1

[[row]]
n = 2
[[row.inner]]
size = 1
[[row.inner]]
size = 3
"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("n = 2", "n = 'x'", ":12: row[1].n must be a whole number"),
        ("size = 3", "size = -3", ":16: row[1].inner[1].size must not be negative"),
        ("size = 3", "", ":15: row[1].inner[1].size is missing"),
        ('"]\nn = 1', '"]\nn = "1"', ':3: tables."a.b".n must be a whole number'),
        ("2026-11-23", "2026-11-23T00:00:00", ":7: row[0].day must be a day without a time"),
        ("2026-11-23", "'2026-11-23'", ":7: row[0].day must be a day without a time"),
        ("n = 2", "n = 2\nn = 3", ": not valid TOML: Cannot overwrite a value"),
        ("n = 2", "n" + ".a" * 70 + " = 2", ": has a key of more than 64 parts"),
        ("n = 2", "n = " + "[" * 5000, ": not valid TOML: nested too deep"),
        ("n = 2", "n = " + "9" * 5000, ": not valid TOML: Exceeds the limit"),
    ],
)
def test_toml_faults_have_their_line(old: str, new: str, fault: str) -> None:
    assert from_toml(File, _TOML, "f.toml").rows[1].inner[1].size == 3
    with pytest.raises(BadInput) as caught:
        from_toml(File, _TOML.replace(old, new), "f.toml")
    assert str(caught.value).startswith(f"f.toml{fault}")


def test_keys_of_a_table_are_checked_too() -> None:
    hint = Mapping[TreePath, int]
    assert decode(hint, {"a/b": 1}, "x") == {"a/b": 1}  # type: ignore[type-abstract]
    with pytest.raises(BadInput, match=r'^x: "\.\./b" is no plain path in the tree: .* \'\.\.\''):
        decode(hint, {"../b": 1}, "x")  # type: ignore[type-abstract]


def test_a_document_of_another_version_says_so_before_its_new_keys() -> None:
    with pytest.raises(BadInput, match="schema is 'whole/2'"):
        decode(Whole, {"more": 1, "schema": "whole/2"}, "x")


def test_a_check_of_the_whole_has_its_line() -> None:
    def few(file: File) -> None:
        raise BadValue("is one too many", "row", len(file.rows) - 1)

    with pytest.raises(BadInput, match=r"^f.toml:11: row\[1\] is one too many$"):
        from_toml(File, _TOML, "f.toml", few)


def test_unknown_keys_are_passed_over_only_where_a_format_says_so() -> None:
    document = {"n": 1, "more": 2, "inner": [{"size": 1, "more": "\ud800"}]}
    assert decode(Row, document, "r", lenient=True) == Row(1, None, (Item(1),))
    with pytest.raises(BadInput, match="more is not a key"):
        decode(Row, document, "r")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("whole/1"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=3) | st.sampled_from([*Whole.__dataclass_fields__]), inner, max_size=9
        )
    ),
)


@settings(max_examples=50, deadline=None)
@given(_JSON, st.dictionaries(st.sampled_from([*Whole.__dataclass_fields__]), _JSON))
def test_any_json_is_a_value_or_one_line(value: object, changes: dict[str, Any]) -> None:
    for document in (value, {"schema": "whole/1"} | changes):
        try:
            whole = decode(Whole, document, "w.json")
        except BadInput as error:
            assert printable(str(error)).startswith("w.json: ")
        else:
            assert decode(Whole, encode(whole), "w.json") == whole


def test_what_no_document_can_hold_is_refused() -> None:
    for value in (object(), {1: 2}, {1, 2}):
        with pytest.raises(TypeError, match="no document can hold"):
            encode(value)
    with pytest.raises(TypeError, match="no document can hold"):
        decode(set[int], [], "x")
