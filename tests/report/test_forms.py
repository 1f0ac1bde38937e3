"""One report, or several as one, in every form: text, JSON and JUnit, for each scenario.

JSON has exact keys, is valid by its schema, and the same bytes for the same run; text says what
matters, in colour or not, on wide and narrow terminals; JUnit is red whenever it is not verified.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from referencing import Registry, Resource

from bootstrap.documents import decode, encode
from bootstrap.report import (
    Report,
    ReportSet,
    report_set,
    speaks_unicode,
    to_json_text,
    to_junit,
    to_text,
)
from bootstrap.report.page import visible
from tests.report.scenario import (
    GOOD,
    SCENARIOS,
    Scenario,
    expecting,
    failed,
    materials,
    sha,
    value,
    without,
)

DOCS = Path(__file__).parents[2] / "docs"
ESCAPE = re.compile("\x1b\\[[0-9;]*m")
ARCHES = ("x86", "AMD64", "AArch64", "riscv64")
KINDS: dict[str, Callable[[], Scenario]] = {
    "verified": Scenario,
    "mismatch": lambda: Scenario(("bin/b",)),
    "error": failed,
    "incomplete": lambda: materials(changed=("script",)),
}
WORDS = {
    "verified": "VERIFIED",
    "mismatch": "MISMATCH",
    "incomplete": "INCOMPLETE",
    "error": "GUEST FAILED",
    "embedded-only": "LESS THAN ASKED",
}

each_scenario = pytest.mark.parametrize("name", SCENARIOS)


def report(name: str) -> Report:
    return SCENARIOS[name]().report()


def several(*kinds: str) -> ReportSet:
    reports = [
        KINDS[kind]().with_facts(arch=arch).report()
        for arch, kind in zip(ARCHES, kinds, strict=False)
    ]
    assert [one.result for one in reports] == list(kinds)
    return report_set(reports, 21.25)


@functools.cache
def validators() -> list[jsonschema.Draft202012Validator]:
    """That of one report, and that of several."""
    one, several = (
        json.loads((DOCS / f"{name}.schema.json").read_text(encoding="utf-8"))
        for name in ("report", "report-set")
    )
    registry: Registry[Any] = Registry().with_resource(one["$id"], Resource.from_contents(one))
    for schema in (one, several):
        jsonschema.Draft202012Validator.check_schema(schema)
    return [jsonschema.Draft202012Validator(s, registry=registry) for s in (one, several)]


def is_valid(data: dict[str, Any]) -> bool:
    """By the schema of one report, or of several."""
    return validators()["reports" in data].is_valid(data)


def changed(data: Any, *way: str | int, to: object) -> Any:
    found = at = copy.deepcopy(data)
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = to
    return found


# JSON.


@each_scenario
def test_json_is_valid_and_becomes_the_same_report_again(name: str) -> None:
    one = report(name)
    text = to_json_text(one)
    data = json.loads(text)
    assert is_valid(data)
    assert text.isascii() and text.endswith("}\n")
    assert "/home/me" in SCENARIOS[name]().facts.source.label and "/home/me" not in text
    assert encode(decode(Report, data, name)) == encode(one) == data


SHAPES = {"one": encode(Scenario().report()), "several": encode(several("verified", "mismatch"))}


@pytest.mark.parametrize(
    ("shape", "way", "cell"),
    [
        ("one", ("schema",), "bootstrap-report/1"),
        ("one", ("result",), "fine"),
        ("one", ("reasons",), ["verified, and yet a reason"]),
        ("one", ("tool", "hot_path"), "rust"),
        ("one", ("source", "kind"), "hearsay"),
        ("one", ("artifacts", 0, "sha256"), "ABC"),
        ("one", ("artifacts", 0, "status"), "missing"),
        ("one", ("artifacts", 0, "expected"), None),
        ("one", ("totals", "wall_seconds"), -1),
        ("one", ("artifacts",), []),
        ("one", ("source", "tree_digest"), None),
        ("one", ("catalogue",), {"steps": "t-1.9.1-x86.toml"}),
        ("one", ("catalogue",), {"steps": "t-1.9.1-x86.toml", "sha256": "ABC"}),
        ("one", ("decided_by",), "hearsay"),
        ("one", ("recheck",), {"result": "verified"}),
        ("one", ("since",), {"revision": "main"}),
        # Only the embedded sources stand in for others, and only for others.
        ("one", ("result",), "embedded-only"),
        ("several", ("schema",), "bootstrap-report/1"),
        ("several", ("result",), "verified"),
        ("several", ("reports",), []),
        ("several", ("reports", 0, "schema"), "bootstrap-report-set/2"),
        ("several", ("reports", 0, "artifacts", 0, "sha256"), "ABC"),
        ("several", ("reasons",), []),
        ("several", ("totals", "answers"), "many"),
    ],
)
def test_the_schema_refuses_what_is_wrong(shape: str, way: tuple[Any, ...], cell: object) -> None:
    assert is_valid(SHAPES[shape])
    assert not is_valid(changed(SHAPES[shape], *way, to=cell))


OPTIONAL = {"decided_by", "jobs", "memo", "since", "recheck"}
"""Older reports of the same schema have none of these."""


@pytest.mark.parametrize(("shape", "key"), [(s, key) for s in SHAPES for key in SHAPES[s]])
def test_the_schema_asks_for_every_key(shape: str, key: str) -> None:
    data = dict(SHAPES[shape])
    del data[key]
    assert validators()[shape == "several"].is_valid(data) == (key in OPTIONAL)


def test_the_keys_that_users_were_promised() -> None:
    data = SHAPES["one"]
    assert data["schema"] == "bootstrap-report/2"
    keys = "schema tool source arch entry result artifacts totals"
    assert set(keys.split()) <= set(data)
    assert set(data["tool"]) == {"name", "version", "engine", "hot_path"}
    assert {"kind", "release", "sha256"} <= set(data["source"])
    keys = "path size sha256 expected expected_from status producer"
    assert set(keys.split()) <= set(data["artifacts"][0])
    assert set(data["totals"]) == {"processes", "syscalls", "wall_seconds"}
    data = SHAPES["several"]
    assert list(data) == ["schema", "result", "claim", "reasons", "reports", "totals"]
    assert data["schema"] == "bootstrap-report-set/2"
    assert data["reports"] == [encode(one) for one in several("verified", "mismatch").reports]
    assert data["totals"] == {
        "reports": 2, "verified": 1, "answers": 4, "matching": 2, "processes": 10,
        "syscalls": 2469134, "wall_seconds": 21.25,
    }  # fmt: skip


def test_equal_runs_give_equal_bytes_but_for_the_time() -> None:
    one = materials(changed=("z", "b"), missing=("y", "a"), extra=("x", "c"))
    other = materials(changed=("b", "z"), missing=("a", "y"), extra=("c", "x"))
    other.with_facts(totals=replace(one.facts.totals, wall_seconds=99.0))
    first, second = encode(one.report()), encode(other.report())
    assert first["totals"].pop("wall_seconds") == 12.5
    assert second["totals"].pop("wall_seconds") == 99.0
    for data in (first, second):
        data["reasons"], data["claim"] = [], ""
    assert json.dumps(first) == json.dumps(second)


# Text.


def flat(text: str) -> str:
    return " ".join(text.split())


TEXTS: dict[str, tuple[Scenario, dict[str, Any], list[str]]] = {
    # What is shown, how, and patterns that are in it in this order.
    "what was run and what matches": (
        Scenario(),
        {},
        [
            "stage0-posix 1.9.1 for x86, entry kaem-optional-seed",
            "/home/me/x.tar.gz",
            "native fast path",
            "Answers: 2 of 2 match",
            rf"✓ bin/b +105  {GOOD['bin/b']}  t.answers and native run",
            r"✓ 1 intermediate artifact: all match \(native run\)",
            "5 processes, 1,234,567 system calls, 12.5 s",
            "VERIFIED: All 2 answers",
        ],
    ),
    "intermediates when asked for": (Scenario(), {"verbose": True}, [GOOD["bin/a"]]),
    "an intermediate that differs": (
        Scenario(("bin/a",)), {}, ["Intermediate artifacts that differ"]
    ),
    "many missing intermediates in one paragraph": (
        expecting(*(value(f"bin/x{i}", "n", sha(str(i)), "native-run") for i in range(30))),
        {"width": 80},
        ["missing: bin/x0, bin/x1,", "and 25 more"],
    ),
    "process, inputs and verdict of the first divergence": (
        SCENARIOS["flipped source"](),
        {},
        [
            "first artifact made from it: bin/b",
            "First divergence: bin/b",
            "pid 4: ./bin/a bin/tmp-b bin/b",
            rf"✓ bin/a +{GOOD['bin/a']}  native run",
            r"\? bin/tmp-b .* no known-good value",
            rf"✗ b.src +{sha('flipped b.src')}  bad: differs from the file",
            r"Input b.src\s+was already wrong: it is a source that differs from the\s+release",
        ],
    ),
    "the process that failed, and what was built": (
        failed(),
        {},
        [
            "The guest failed\n",
            "unknown system call 999",
            "pid 4: ./bin/a bin/tmp-b bin/b",
            "eax 0x3e7",
            r"Until then 2 of 3 artifacts were built; 2 match\.",
            "GUEST FAILED: Not verified",
        ],
    ),
    "marks in ASCII": (failed(), {"unicode": False, "verbose": True}, ["ok bin/b", "-- bin/c"]),
    "a mark for what differs": (Scenario(("bin/c",)), {"unicode": False}, ["XX bin/c"]),
    "a mark for what nobody knows": (
        Scenario(expected=[]), {"unicode": False}, [r"\?\? 3 products without a known-good value"]
    ),
    "name, mark and the start of the hash on a narrow terminal": (
        Scenario(), {"width": 10}, [rf"✓ bin/b .*{GOOD['bin/b'][:12]}…"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_says(name: str) -> None:
    scenario, how, patterns = TEXTS[name]
    text = to_text(scenario.report(), **how)
    at = 0
    for pattern in patterns:
        found = re.compile(pattern).search(text, at)
        assert found, (pattern, text)
        at = found.end()


def test_the_text_does_not_say_too_much() -> None:
    assert GOOD["bin/a"] not in to_text(Scenario().report())
    scenario, how, _ = TEXTS["many missing intermediates in one paragraph"]
    assert len(to_text(scenario.report(), **how).splitlines()) < 30
    text = to_text(Scenario().report())
    assert flat(text).split(" VERIFIED: ")[1] == Scenario().report().claim


@each_scenario
def test_every_text_ends_with_its_verdict_and_colour_is_only_colour(name: str) -> None:
    one = report(name)
    plain, coloured = to_text(one), to_text(one, colour=True)
    assert "\x1b" not in plain and ESCAPE.search(coloured)
    assert flat(ESCAPE.sub("", coloured)) == flat(plain)
    assert to_text(one, unicode=False).isascii()
    last = plain.rstrip().split("\n\n")[-1]
    assert f"\n{WORDS[one.result]}: " in "\n" + last
    assert not any(f"\n{word}: " in plain for word in WORDS.values() if word != WORDS[one.result])


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
@pytest.mark.parametrize("name", ["good", "nothing made", "bad end", "embedded"])
def test_lines_fit_the_terminal(name: str, width: int) -> None:
    one = report(name)
    # A whole digest cannot be broken: it may stand out.
    one = replace(one, source=replace(one.source, sha256=None, tree_digest=None))
    for line in to_text(one, width=width, verbose=True).splitlines():
        assert len(line) <= width, line


def test_hostile_names_cannot_drive_the_terminal_or_the_xml() -> None:
    scenario = failed("\x1b[2J\nnew line <&\"' \x00\udcff \ufffe")
    hostile = replace(scenario.expected[0], path="bin/\x1b]0;x\x07\u202egpj<c>", sha256=sha("x"))
    scenario.expected[0] = hostile
    assert not set(to_text(scenario.report(), verbose=True)) & {"\x1b", "\x07", "\u202e"}
    assert visible("a\x1b\udcff\u202eé") == "a\\x1b\\xff\\u202eé"
    (suite,) = ET.fromstring(to_junit(scenario.report()))
    names = [case.attrib["name"] for case in suite.iter("testcase")]
    assert "bin/\\x1b]0;x\\x07\u202egpj<c>" in names
    (error,) = suite.iter("error")
    assert "\\x1b[2J" in error.attrib["message"]
    assert "<&\"' \\x00\\xdcff \\xfffe" in error.attrib["message"]


def test_which_encodings_have_the_marks() -> None:
    assert speaks_unicode("utf-8")
    assert not any(speaks_unicode(name) for name in ("ascii", "latin-1", "no-such-encoding", None))


# JUnit.


def suite_of(one: Report) -> ET.Element:
    (found,) = ET.fromstring(to_junit(one))
    return found


def outcomes(suite: ET.Element) -> dict[str, str]:
    cases = list(suite.iter("testcase"))
    assert all(len(case) <= 1 for case in cases)
    return {c.attrib["name"]: c[0].tag if len(c) else "passed" for c in cases}


@each_scenario
def test_the_counts_are_right_and_red_means_not_verified(name: str) -> None:
    one = report(name)
    suite = suite_of(one)
    found = list(outcomes(suite).values())
    assert suite.tag == "testsuite"
    assert int(suite.attrib["tests"]) == len(found)
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[key]) == found.count(tag)
    assert float(suite.attrib["time"]) == 12.5
    assert ({"failure", "error"} & set(found) == set()) == (one.result == "verified")
    for case in suite.iter("testcase"):
        assert case.attrib["classname"] and float(case.attrib["time"]) >= 0


def test_one_case_per_artifact_and_one_for_the_run() -> None:
    names = ("run", "bin/a", "bin/b", "bin/c")
    assert outcomes(suite_of(report("good"))) == dict.fromkeys(names, "passed")
    assert outcomes(suite_of(without("bin/a").report()))["bin/a"] == "skipped"
    suite = suite_of(report("failed"))
    wanted = zip(names, ("error", "passed", "passed", "failure"), strict=True)
    assert outcomes(suite) == dict(wanted)
    (error,) = suite.iter("error")
    assert "unknown system call 999" in error.attrib["message"]
    assert "eax 0x3e7" in (error.text or "")
    first, second, _ = suite_of(report("wrong step")).iter("failure")
    assert "The inputs were all good" in (first.text or "")
    assert "the first divergence was bin/a" in (second.text or "")


@pytest.mark.parametrize(("differences", "word"), [((), "agrees"), (("x",), "differs")])
def test_whose_verdict_it_is(differences: tuple[str, ...], word: str) -> None:
    from bootstrap.report import Recheck

    recheck = Recheck("verified", "0" * 64, "1" * 64, 3, differences)
    one = replace(report("good"), decided_by="core", recheck=recheck)
    properties = {p.attrib["name"]: p.attrib["value"] for p in suite_of(one).iter("property")}
    assert properties == {"decided_by": "core", "recheck": word}
    text = to_text(one)
    assert "recheck by the core alone: " in text and "VERIFIED by the core alone: " in text
    assert ("the same verdict, tree, step file and 3 artifacts" in text) == (word == "agrees")


# Several reports as one: the worst decides, and every form holds all of them.


@pytest.mark.parametrize(
    ("kinds", "result", "exit_code"),
    [
        (("verified",), "verified", 0),
        (("verified", "verified"), "verified", 0),
        (("verified", "incomplete"), "incomplete", 1),
        (("incomplete", "error"), "error", 3),
        (("error", "verified"), "error", 3),
        (("error", "incomplete", "mismatch", "verified"), "mismatch", 1),
    ],
)
def test_the_worst_decides(kinds: tuple[str, ...], result: str, exit_code: int) -> None:
    reports = several(*kinds)
    assert (reports.result, reports.exit_code) == (result, exit_code)
    text = to_json_text(reports)
    assert is_valid(json.loads(text)) and text.isascii() and "/home/me" not in text
    assert reports.totals.verified == kinds.count("verified")
    assert bool(reports.reasons) == (result != "verified")
    lines = to_text(reports).splitlines()
    assert sum(line.startswith(f"{WORDS[result]}: ") for line in lines) == 1


def test_reasons_name_their_architecture_the_worst_first() -> None:
    reasons = several("incomplete", "error", "mismatch").reasons
    assert [r.partition(":")[0] for r in reasons][:2] == ["AArch64", "AMD64"]
    assert reasons[-1].startswith("x86: ")


def test_claims_of_several() -> None:
    assert several("verified", "verified").claim == (
        "All 4 answers of stage0-posix 1.9.1 for x86 and AMD64 and 2 intermediate artifacts match "
        "their known-good values, built through the entry kaem-optional-seed in trees whose source "
        "files are those of the release."
    )
    assert several("verified", "mismatch", "verified").claim.startswith(
        "Not verified: 4 of 6 answers of stage0-posix 1.9.1 for x86, AMD64 and AArch64 match, and "
        "2 of 3 architectures are verified; AMD64: 2 artifacts differ"
    )
    assert several("verified").claim == Scenario().report().claim


def test_text_has_a_line_for_each_and_in_full_only_what_went_wrong() -> None:
    text = to_text(several("verified", "mismatch", "error"))
    rows = [line for line in text.splitlines() if line.startswith(("  ✓ ", "  ✗ "))]
    assert [row.split()[1] for row in rows[:3]] == ["x86", "AMD64", "AArch64"]
    assert "2 of 2 answers" in rows[0] and "0 of 2 answers" in rows[1]
    assert text.count("First divergence: bin/b") == 1
    assert "AMD64: mismatch" in text and "AArch64: error" in text and "x86: " not in text
    assert "unknown system call 999" in text
    assert text.count("Answers: ") == 1
    verbose = to_text(several("verified", "mismatch"), verbose=True, colour=True)
    assert verbose.count("Answers: ") == 3
    assert verbose.count("First divergence: bin/b") == 1
    assert "\x1b[1;31mMISMATCH\x1b[0m" in verbose
    narrow = to_text(several("verified", "incomplete"), width=60, unicode=False)
    assert narrow.isascii() and "  ok x86" in narrow and "  ?? AMD64" in narrow
    lines = [line for line in narrow.splitlines() if not re.search("[0-9a-f]{64}", line)]
    assert all(len(line) <= 60 for line in lines)


def test_junit_has_a_suite_for_each() -> None:
    root = ET.fromstring(to_junit(several("verified", "mismatch", "error")))
    suites = root.findall("testsuite")
    names = [f"stage0-posix 1.9.1 {arch}" for arch in ARCHES[:3]]
    assert [s.attrib["name"] for s in suites] == names
    for key in ("tests", "failures", "errors"):
        assert root.attrib[key] == str(sum(int(s.attrib[key]) for s in suites))
    assert root.attrib["time"] == "21.250"
    assert len({c.attrib["classname"] for c in root.iter("testcase")}) == 3
