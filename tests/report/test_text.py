"""The text form says what matters, in colour or not, on wide and narrow terminals."""

import re
from dataclasses import replace

import pytest

from bootstrap.report import Expected, Failure, speaks_unicode, to_text
from bootstrap.report.page import visible
from tests.report.scenario import GOOD, Scenario, sha
from tests.report.test_json import scenarios

ESCAPE = re.compile("\x1b\\[[0-9;]*m")


def flat(text: str) -> str:
    return " ".join(text.split())


def test_a_good_report_says_what_was_run_and_what_matches() -> None:
    text = to_text(Scenario().report())
    assert "stage0-posix 1.9.1 for x86, entry kaem-optional-seed" in text
    assert "/home/me/x.tar.gz" in text
    assert "native hot path" in text
    assert "Answers: 2 of 2 match" in text
    row = next(line for line in text.splitlines() if "bin/b" in line)
    for word in ("✓", "105", GOOD["bin/b"], "t.answers and native run"):
        assert word in row
    assert "✓ 1 intermediate artifact: all match (native run)" in text
    assert "5 processes, 1,234,567 system calls, 12.5 s" in text
    assert flat(text).split(" VERIFIED: ")[1] == Scenario().report().claim


def test_intermediates_are_listed_when_asked_for() -> None:
    assert GOOD["bin/a"] not in to_text(Scenario().report())
    assert GOOD["bin/a"] in to_text(Scenario().report(), verbose=True)


def test_an_intermediate_that_differs_is_listed_unasked() -> None:
    text = to_text(Scenario(wrong_steps=("bin/a",)).report())
    assert "Intermediate artifacts that differ" in text


def test_many_missing_intermediates_stay_one_paragraph() -> None:
    scenario = Scenario()
    scenario.expected += [
        Expected(path=f"bin/x{i}", sha256=sha(str(i)), from_="n", kind="native-run")
        for i in range(30)
    ]
    text = to_text(scenario.report(), width=80)
    assert "missing: bin/x0, bin/x1," in text
    assert "and 25 more" in text
    assert len(text.splitlines()) < 30


def test_the_first_divergence_shows_process_inputs_and_verdict() -> None:
    scenario = scenarios()["flipped source"]
    text = to_text(scenario.report())
    block = text.split("First divergence: bin/b")[1]
    assert "pid 4: ./bin/a bin/tmp-b bin/b" in block
    assert re.search(rf"✓ bin/a +{GOOD['bin/a']}  native run", block)
    assert re.search(r"\? bin/tmp-b .* no known-good value", block)
    assert re.search(rf"✗ b.src +{sha('flipped')}  bad: differs from the file", block)
    assert "Input b.src was already wrong: it is a source that differs from the release" in flat(
        block
    )
    assert "first artifact made from it: bin/b" in text


def test_the_guest_failure_says_what_process_and_what_was_built() -> None:
    text = to_text(scenarios()["failed"].report())
    block = text.split("The guest failed\n")[1]
    assert "unknown system call 999" in block
    assert "pid 4: ./bin/a bin/tmp-b bin/b" in block
    assert "eax 0x3e7" in block
    assert "Until then 2 of 3 artifacts were built; 2 match." in block
    assert "GUEST FAILED: Not verified" in block


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("good", "VERIFIED"),
        ("wrong step", "MISMATCH"),
        ("nothing made", "INCOMPLETE"),
        ("bad end", "GUEST FAILED"),
    ],
)
def test_the_last_paragraph_is_the_verdict(name: str, word: str) -> None:
    text = to_text(scenarios()[name].report())
    last = text.rstrip().split("\n\n")[-1]
    assert f"\n{word}: " in "\n" + last
    others = {"VERIFIED", "MISMATCH", "INCOMPLETE", "GUEST FAILED"} - {word}
    assert not any(other in text for other in others)


@pytest.mark.parametrize("name", scenarios())
def test_colour_adds_nothing_but_colour(name: str) -> None:
    report = scenarios()[name].report()
    plain = to_text(report)
    coloured = to_text(report, colour=True)
    assert "\x1b" not in plain
    assert ESCAPE.search(coloured)
    assert flat(ESCAPE.sub("", coloured)) == flat(plain)


@pytest.mark.parametrize("name", scenarios())
def test_without_unicode_every_status_still_has_its_own_mark(name: str) -> None:
    text = to_text(scenarios()[name].report(), unicode=False)
    assert text.isascii()


def test_ascii_marks_differ() -> None:
    text = to_text(scenarios()["failed"].report(), unicode=False, verbose=True)
    assert re.search(r"ok bin/b", text)
    assert re.search(r"-- bin/c", text)
    text = to_text(Scenario(wrong_steps=("bin/c",)).report(), unicode=False)
    assert re.search(r"XX bin/c", text)
    text = to_text(Scenario(expected=[]).report(), unicode=False)
    assert re.search(r"\?\? 3 products without a known-good value", text)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
@pytest.mark.parametrize("name", ["good", "nothing made", "bad end", "embedded"])
def test_lines_fit_the_terminal(name: str, width: int) -> None:
    report = scenarios()[name].report()
    # A whole digest cannot be broken: it may stand out.
    source = replace(report.source, sha256=None, tree_digest=None)
    report = replace(report, source=source)
    for line in to_text(report, width=width, verbose=True).splitlines():
        assert len(line) <= width, line


def test_a_narrow_terminal_keeps_name_mark_and_the_start_of_the_hash() -> None:
    text = to_text(Scenario().report(), width=10)
    assert re.search(rf"✓ bin/b .*{GOOD['bin/b'][:12]}…", text)


def test_hostile_names_cannot_drive_the_terminal() -> None:
    scenario = Scenario().with_facts(failure=Failure("\x1b[2J\nnew line", 4), exit_status=None)
    scenario.expected[0] = replace(scenario.expected[0], path="bin/\x1b]0;x\x07\u202egpj")
    text = to_text(scenario.report(), verbose=True)
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert visible("a\x1b\udcff\u202eé") == "a\\x1b\\xff\\u202eé"


def test_which_encodings_have_the_marks() -> None:
    assert speaks_unicode("utf-8")
    assert not speaks_unicode("ascii")
    assert not speaks_unicode("latin-1")
    assert not speaks_unicode("no-such-encoding")
    assert not speaks_unicode(None)
