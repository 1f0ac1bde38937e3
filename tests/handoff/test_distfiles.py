"""The `sources` files: what is read, and what is refused with file and line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput
from bootstrap.handoff.distfiles import distfiles, read_sources

SUM = "0123456789abcdef" * 4


def test_the_forms_of_a_line() -> None:
    text = (
        f"f https://h/a/b.tar.gz {SUM}\n"
        f"file http://h/x {SUM} named.txt \n"
        f"g git://h/r.git~v1 https://h/r/snap.tgz {SUM}\n"
        f"git https://h/r~c _ {SUM} r-c.tar.gz\n"
    )
    rows = read_sources(text, "f", "p-1")
    assert [(r.name, r.url, r.git) for r in rows] == [
        ("b.tar.gz", "https://h/a/b.tar.gz", None),
        ("named.txt", "http://h/x", None),
        ("snap.tgz", "https://h/r/snap.tgz", "git://h/r.git~v1"),
        ("r-c.tar.gz", None, "https://h/r~c"),
    ]
    assert {r.sha256 for r in rows} == {SUM} and rows[3].where == "steps/p-1/sources:4"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", "begins with f or g"),
        ("# comment", "begins with f or g, not with '#'"),
        (f"x https://h/a {SUM}", "begins with f or g"),
        ("f https://h/a", "1 words where"),
        (f"f https://h/a {SUM} n more", "4 words where"),
        (f"f https://h/a {SUM[1:]}", "no sha256"),
        (f"f https://h/a {SUM.upper()}", "no sha256"),
        (f"f ftp://h/a {SUM}", "neither an https nor an http"),
        (f"f file:///etc/passwd {SUM}", "neither an https nor an http"),
        (f"f https://h/ {SUM}", "'' is no name"),
        (f"f https://h/a {SUM} ../x", r"'\.\./x' is no name"),
        (f"f https://h/a {SUM} .x", r"'\.x' is no name"),
        (f"f _ {SUM}", "'_' is no name"),
        (f"g https://h/r _ {SUM} n", "no git address"),
        ("g", "no git address"),
    ],
)
def test_what_is_refused(line: str, fault: str) -> None:
    with pytest.raises(BadInput, match=f"^f:2: .*{fault}"):
        read_sources(f"f https://h/ok {SUM}\n{line}\n", "f", "p")


def test_a_last_line_that_the_shell_would_not_read_is_reported() -> None:
    with pytest.raises(BadInput, match="f:2: the last line has no line end"):
        read_sources(f"f https://h/a {SUM}\nf https://h/b {SUM}", "f", "p")


def test_one_file_from_several_lines() -> None:
    text = f"f https://h/a {SUM}\nf http://m/a {SUM}\nf https://h/b {SUM}\n"
    files = distfiles([*read_sources(text, "f", "p"), *read_sources(text, "g", "q")])
    assert [(f.name, f.urls, f.packages) for f in files] == [
        ("a", ("https://h/a", "http://m/a"), ("p", "q")),
        ("b", ("https://h/b",), ("p", "q")),
    ]


def test_one_name_with_two_contents_is_refused() -> None:
    rows = read_sources(f"f https://h/a {SUM}\nf https://g/a {'0' * 64}\n", "f", "p")
    where = "steps/p/sources"
    with pytest.raises(
        BadInput, match=rf"{where}:2: a has the sha256 0+ here, and 0123.* at {where}:1"
    ):
        distfiles(rows)


@given(st.text(max_size=120))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        read_sources(text, "f", "p")
    except BadInput as error:
        assert str(error).startswith("f:") and len(str(error).splitlines()) == 1
