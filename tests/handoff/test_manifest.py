"""The manifest's language: what is read, what it means, and what is refused with file and line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput
from bootstrap.handoff.manifest import (
    KINDS,
    Directive,
    Predicate,
    Term,
    evaluate,
    read_manifest,
    unset_variables,
)
from tests.handoff.tree import MANIFEST

CHROOT = {"ARCH": "x86", "CHROOT": "True", "KERNEL_BOOTSTRAP": "False", "BUILD_KERNELS": "False"}


def titles(text: str, configuration: dict[str, str]) -> list[str]:
    return [step.title for step in evaluate(read_manifest(text, "m"), configuration)[0]]


def test_steps_passes_scripts_and_eras() -> None:
    steps, variables = evaluate(read_manifest(MANIFEST, "m"), CHROOT)
    assert [(s.title, s.script, s.era) for s in steps] == [
        ("tool-1.0 pass 1", 0, "kaem"),
        ("bash-0.1 pass 1", 0, "kaem"),
        ("improve paths", 1, "bash"),
        ("tool-1.0 pass 2", 1, "bash"),
        ("lib-3.0 pass 1", 1, "bash"),
        ("uninstall tool-1.0 /usr/bin/old", 1, "bash"),
        ("tool-1.0 pass 3", 1, "bash"),
    ]
    assert [s.directive.line for s in steps] == [3, 7, 8, 9, 10, 11, 12]
    assert variables["KERNEL"] == "False"


def test_a_predicate_lets_more_through() -> None:
    found = titles(MANIFEST, {**CHROOT, "BUILD_KERNELS": "True"})
    assert found[1:4] == ["kernel-2.0 pass 1", "jump kernel", "bash-0.1 pass 1"]


def test_a_line_of_any_kind_with_the_same_argument_counts_as_a_pass() -> None:
    # Upstream's generator compares arguments, and asks nothing about the kind.
    text = "build: a-1\nuninstall: a-1\nbuild: a-1\n"
    assert titles(text, {}) == ["a-1 pass 1", "uninstall a-1", "a-1 pass 3"]


def test_a_define_of_the_first_variable_is_not_heard_by_predicates() -> None:
    text = "define: ARCH = amd64\nbuild: a-1 ( ARCH == amd64 )\nbuild: b-1\n"
    assert titles(text, {"ARCH": "x86"}) == ["b-1 pass 1"]
    assert evaluate(read_manifest(text, "m"), {"ARCH": "x86"})[1] == {"ARCH": "amd64"}
    assert titles(text, {"X": "", "ARCH": "x86"}) == ["a-1 pass 1", "b-1 pass 1"]


@pytest.mark.parametrize(
    ("logic", "expected"),
    [
        ("( A == 1 )", True),
        ("( A != 1 )", False),
        ("( NONE == 1 )", False),
        ("( NONE != 1 )", True),
        ("( True )", True),
        ("( A )", False),
        ("( A == 1 && B == 1 )", False),
        ("( A == 1 || B == 1 )", True),
        # From the right: A || (B && C), and so A == 1 alone is enough.
        ("( A == 1 || B == 1 && B == 1 )", True),
        # A && (B || C)
        ("( B == 1 && A == 1 || A == 1 )", False),
        ("( A == 2 || True )", True),
    ],
)
def test_logic(logic: str, expected: bool) -> None:
    found = titles(f"build: x-1 {logic}\nbuild: y-1\n", {"X": "", "A": "1", "B": "2"})
    assert ("x-1 pass 1" in found) == expected


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("rebuild: a-1", r"unknown directive 'rebuild:'"),
        ("build a-1", r"unknown directive 'build'"),
        ("build:", "ends where name for build: should be"),
        ("build: ../a", r"'\.\./a' is no name"),
        ("build: a/b", "'a/b' is no name"),
        ("build: a-1 b-1", r"'b-1' stands where \( or the end"),
        ("build: a-1 ( X == 1", r"ends where \|\|, && or \)"),
        ("build: a-1 ( X = 1 )", r"'=' stands after X"),
        ("build: a-1 ( X == )", "X == has no value"),
        ("build: a-1 ( X == 1 ) y", r"'y' stands after the closing \)"),
        ("build: a-1 ( X == 1 or Y == 1 )", r"'or' stands where"),
        ("build: a-1 ( ( X == 1 ) )", r"'\(' is no name of a variable"),
        ("build:  a-1", "parted by one space"),
        (" build: a-1", "parted by one space"),
        ("build:\ta-1", "cannot be printed"),
        ("build: a-1\r", "cannot be printed"),
        (f"build: {'a' * 64}", "longer than 63 bytes"),
        ("define: X", "ends where = should be"),
        ("define: X y", "define of X: = is missing"),
        ("define: X =", "ends where a value should be"),
        ("define: 1X = y", "'1X' is no name of a variable"),
        ("uninstall:", "uninstall: names nothing"),
        ("uninstall: ( X == 1 )", "uninstall: names nothing"),
    ],
)
def test_what_is_refused(line: str, fault: str) -> None:
    with pytest.raises(BadInput, match=rf"^m:2: .*{fault}") as caught:
        read_manifest(f"build: ok-1\n{line}\n", "m")
    assert "\n" not in str(caught.value)


def test_an_empty_manifest_is_refused() -> None:
    with pytest.raises(BadInput, match="m: has no directive"):
        read_manifest("# nothing\n\n", "m")


def check(text: str, **configuration: str) -> dict[str, int]:
    return unset_variables(read_manifest(text, "m"), configuration, "m")


def test_variables_that_are_read_before_they_are_set() -> None:
    """Cycles of defines among them; what nothing sets at all is only found."""
    cycle = "build: a-1\ndefine: A = ( B == True )\ndefine: B = ( A == True )\n"
    above = "build: a-1 ( X == 1 )\ndefine: X = 1\n"
    for text, says in (
        (cycle, r"^m:2: a cycle: .*A <- B|m:2: a cycle: .*B <- A"),
        ("define: A = ( A == True )\n", "m:1: a cycle: A <- A"),
        (above, "m:1: X is read here, and only line 2 defines it"),
    ):
        with pytest.raises(BadInput, match=says):
            check(text)
    assert check(cycle, A="x", B="x") == {}
    assert check("define: X = 1\nbuild: a-1 ( X == 1 )\n") == {}
    assert check("build: a-1\nbuild: b-1 ( TYPO == 1 )\n") == {"TYPO": 2}


any_word = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}", fullmatch=True)
any_name = st.from_regex(r"[A-Z_][A-Z0-9_]{0,10}", fullmatch=True)


def predicates(
    words: st.SearchStrategy[str], names: st.SearchStrategy[str]
) -> st.SearchStrategy[Predicate]:
    """One to four terms; the last may be a constant."""
    term = st.builds(Term, names, st.sampled_from(["==", "!="]), words)
    constant = st.builds(Term, st.sampled_from(["True", "False"]), st.just(""))
    return st.lists(term, max_size=3).flatmap(
        lambda row: st.builds(
            Predicate,
            st.builds(lambda last: (*row, last), term | constant),
            st.lists(st.sampled_from(["||", "&&"]), min_size=len(row), max_size=len(row)).map(
                tuple
            ),
        )
    )


@st.composite
def directives(
    draw: st.DrawFn, words: list[str] | None = None, names: list[str] | None = None
) -> Directive:
    """Any directive, of any words or of those given."""
    word = st.sampled_from(words) if words else any_word
    name = st.sampled_from(names) if names else any_name
    maybe = st.none() | predicates(word, name)
    kind = draw(st.sampled_from(KINDS))
    predicate = draw(maybe)
    if kind == "define":
        logic = draw(maybe)
        value = "" if logic else draw(word)
        return Directive("define", (draw(name),), 0, predicate, value, logic)
    count = 3 if kind == "uninstall" else 1
    return Directive(kind, tuple(draw(st.lists(word, min_size=1, max_size=count))), 0, predicate)


def written(directive: Directive) -> str:
    parts = [f"{directive.kind}:", *directive.names]
    if directive.kind == "define":
        parts += ["=", str(directive.logic or directive.value)]
    if directive.predicate:
        parts.append(str(directive.predicate))
    return " ".join(parts)


@given(st.lists(directives(), min_size=1, max_size=6))
@settings(max_examples=30)
def test_what_is_written_is_read(rows: list[Directive]) -> None:
    read = read_manifest("".join(f"{written(row)}\n" for row in rows), "m")
    assert [written(row) for row in read] == [written(row) for row in rows]
    assert [row.line for row in read] == list(range(1, len(rows) + 1))


@given(st.text(alphabet=" #\n\t()=!|&:aAbuild/", max_size=80) | st.text(max_size=80))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        evaluate(read_manifest(text, "m"), CHROOT)
    except BadInput as error:
        assert str(error).startswith("m:") and len(str(error).splitlines()) == 1


@given(st.lists(directives(words=["a-1", "b-2", "bash-3"], names=["A", "B"]), min_size=1))
@settings(max_examples=25)
def test_each_pass_number_is_one_more_than_what_stands_above(rows: list[Directive]) -> None:
    text = "".join(f"{written(row)}\n" for row in rows)
    steps, _ = evaluate(read_manifest(text, "m"), {"A": "1"})
    for at, step in enumerate(steps):
        if step.directive.kind == "build":
            above = [s.directive.argument for s in steps[:at]]
            assert step.pass_number == above.count(step.directive.argument) + 1
