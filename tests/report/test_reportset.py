"""Several reports as one: the worst decides, and every view holds all of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from referencing import Registry, Resource

from bootstrap.documents import encode
from bootstrap.report import (
    Failure,
    ReportSet,
    report_set,
    to_json_text,
    to_junit,
    to_text,
)
from tests.report.scenario import Scenario, sha

DOCS = Path(__file__).parents[2] / "docs"


def validator() -> jsonschema.Draft202012Validator:
    one, several = (
        json.loads((DOCS / name).read_text(encoding="utf-8"))
        for name in ("report.schema.json", "report-set.schema.json")
    )
    jsonschema.Draft202012Validator.check_schema(several)
    registry: Registry[Any] = Registry().with_resource(one["$id"], Resource.from_contents(one))
    return jsonschema.Draft202012Validator(several, registry=registry)


def of(arch: str, kind: str = "verified") -> Scenario:
    scenario = Scenario()
    if kind == "mismatch":
        scenario = Scenario(wrong_steps=("bin/b",))
    elif kind == "error":
        scenario = Scenario(keep_steps=4, ended=False).with_facts(
            failure=Failure("unknown system call 999", 4, ("eax 0x3e7",)), exit_status=None
        )
    elif kind == "incomplete":
        scenario.sources["script"] = sha("a comment changed")
        scenario.materials = replace(scenario.materials, changed=("script",))
    return scenario.with_facts(arch=arch)


def several(*kinds: str) -> ReportSet:
    arches = ("x86", "AMD64", "AArch64", "riscv64")
    pairs = zip(arches, kinds, strict=False)
    reports = report_set([of(arch, kind).report() for arch, kind in pairs], 21.25)
    assert [r.result for r in reports.reports] == list(kinds)
    return reports


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
    data = json.loads(to_json_text(reports))
    validator().validate(data)
    assert data["result"] == result
    assert data["totals"]["verified"] == kinds.count("verified")
    assert bool(data["reasons"]) == (result != "verified")
    last = to_text(reports).splitlines()
    words = {"verified": "VERIFIED", "mismatch": "MISMATCH", "incomplete": "INCOMPLETE"}
    assert sum(line.startswith(words.get(result, "GUEST FAILED")) for line in last) == 1


def test_json_holds_each_report_as_it_is_alone() -> None:
    reports = several("verified", "mismatch")
    data = encode(reports)
    assert data["reports"] == [encode(r) for r in reports.reports]
    assert list(data) == ["schema", "result", "claim", "reasons", "reports", "totals"]
    assert data["schema"] == "bootstrap-report-set/2"
    assert data["totals"] == {
        "reports": 2,
        "verified": 1,
        "answers": 4,
        "matching": 2,
        "processes": 10,
        "syscalls": 2469134,
        "wall_seconds": 21.25,
    }
    text = to_json_text(reports)
    assert text.isascii() and text.endswith("}\n") and "/home/me" not in text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "bootstrap-report/1"),
        (("result",), "verified"),
        (("reports",), []),
        (("reports", 0, "schema"), "bootstrap-report-set/2"),
        (("reports", 0, "artifacts", 0, "sha256"), "ABC"),
        (("reasons",), []),
        (("totals", "answers"), "many"),
    ],
)
def test_the_schema_refuses_what_is_wrong(path: tuple[Any, ...], value: object) -> None:
    data: Any = json.loads(to_json_text(several("verified", "mismatch")))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert list(validator().iter_errors(data))


@pytest.mark.parametrize("key", list(encode(several("verified"))))
def test_the_schema_asks_for_every_key(key: str) -> None:
    data = encode(several("verified", "mismatch"))
    del data[key]
    assert list(validator().iter_errors(data))


def test_reasons_name_their_architecture_the_worst_first() -> None:
    reasons = several("incomplete", "error", "mismatch").reasons
    assert [r.partition(":")[0] for r in reasons][:2] == ["AArch64", "AMD64"]
    assert reasons[-1].startswith("x86: ")


def test_claims() -> None:
    assert several("verified", "verified").claim == (
        "All 4 answers of stage0-posix 1.9.1 for x86 and AMD64 and 2 intermediate artifacts match "
        "their known-good values, built through the entry kaem-optional-seed in trees whose source "
        "files are those of the release."
    )
    claim = several("verified", "mismatch", "verified").claim
    assert claim.startswith(
        "Not verified: 4 of 6 answers of stage0-posix 1.9.1 for x86, AMD64 and AArch64 match, and "
        "2 of 3 architectures are verified; AMD64: 2 artifacts differ"
    )
    alone = of("x86").report()
    assert report_set([alone], 1.0).claim == alone.claim


def test_text_has_a_line_for_each_and_in_full_only_what_went_wrong() -> None:
    text = to_text(several("verified", "mismatch", "error"))
    rows = [line for line in text.splitlines() if line.startswith(("  ✓ ", "  ✗ "))]
    assert [row.split()[1] for row in rows[:3]] == ["x86", "AMD64", "AArch64"]
    assert "2 of 2 answers" in rows[0] and "0 of 2 answers" in rows[1]
    assert text.count("First divergence: bin/b") == 1
    assert "AMD64: mismatch" in text and "AArch64: error" in text and "x86: " not in text
    assert "unknown system call 999" in text
    assert text.count("Answers: ") == 1
    verbose = to_text(several("verified", "mismatch"), verbose=True)
    assert verbose.count("Answers: ") == 3
    assert verbose.count("First divergence: bin/b") == 1


def test_text_on_a_narrow_plain_terminal() -> None:
    text = to_text(several("verified", "incomplete"), width=60, unicode=False)
    assert text.isascii()
    assert all(len(line) <= 60 for line in text.splitlines() if not re.search("[0-9a-f]{64}", line))
    assert "  ok x86" in text and "  ?? AMD64" in text


def test_colour_is_only_where_it_was_asked_for() -> None:
    reports = several("verified", "mismatch")
    assert "\x1b" not in to_text(reports)
    assert "\x1b[1;31mMISMATCH\x1b[0m" in to_text(reports, colour=True)


def test_junit_has_a_suite_for_each() -> None:
    root = ET.fromstring(to_junit(several("verified", "mismatch", "error")))
    suites = root.findall("testsuite")
    assert [s.attrib["name"] for s in suites] == [
        f"stage0-posix 1.9.1 {arch}" for arch in ("x86", "AMD64", "AArch64")
    ]
    for key in ("tests", "failures", "errors"):
        assert root.attrib[key] == str(sum(int(s.attrib[key]) for s in suites))
    assert root.attrib["time"] == "21.250"
    assert len({c.attrib["classname"] for c in root.iter("testcase")}) == 3
