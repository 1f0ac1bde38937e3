"""`bootstrap diff` of two reports: artifacts in build order, and what each says of the run."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.diff.comparison import Both
from bootstrap.diff.reports import ReportDiff, compare_reports, load, report_text
from bootstrap.diff.reports import diff as diff_of
from bootstrap.documents import decode, encode
from bootstrap.report import Report, report_set
from bootstrap.report.page import Page
from tests.report.scenario import SCENARIOS, Scenario, sha

GOOD: dict[str, Any] = encode(Scenario().report())


def diff(a: object, b: object) -> ReportDiff:
    """Of two documents."""
    one, other = (decode(Report, value, "r", lenient=True) for value in (a, b))
    return diff_of(one, other)


def shown(found: ReportDiff) -> str:
    page = Page(False, None, True)
    report_text([found], Both((), ()), page, False)
    return page.text()


def write(place: Path, value: object) -> str:
    place.write_text(json.dumps(value), encoding="utf-8")
    return str(place)


def changed(**facts: Any) -> dict[str, Any]:
    value = copy.deepcopy(GOOD)
    for way, cell in facts.items():
        *keys, last = way.split("__")
        at: Any = value
        for key in keys:
            at = at[int(key) if key.isdecimal() else key]
        at[last] = cell
    return value


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_report_is_itself(name: str) -> None:
    value = encode(SCENARIOS[name]().report())
    assert diff(value, copy.deepcopy(value)).equal


def test_a_wrong_step() -> None:
    bad = encode(Scenario(wrong_steps=("bin/a",)).report())
    found = diff(GOOD, bad)
    assert not found.equal
    differing = [row["path"] for row in bad["artifacts"] if row["status"] == "mismatch"]
    assert [one.path for one in found.artifacts] == differing
    assert differing[0] == "bin/a" and found.artifacts[0].differs == ("sha256", "status")
    assert found.same == len(GOOD["artifacts"]) - len(differing)
    text = shown(found)
    assert "First in build order: bin/a" in text
    assert bad["first_divergence"]["verdict"][:20] in text
    for row in (GOOD["artifacts"], bad["artifacts"]):
        assert next(one["sha256"] for one in row if one["path"] == "bin/a") in text


def test_an_artifact_in_one_only() -> None:
    fewer = changed(artifacts=GOOD["artifacts"][1:])
    for a, b in ((GOOD, fewer), (fewer, GOOD)):
        found = diff(a, b)
        assert [(one.path, one.differs) for one in found.artifacts] == [
            (GOOD["artifacts"][0]["path"], ("only",))
        ]
        assert not found.equal


@pytest.mark.parametrize(
    ("facts", "counts"),
    [
        ({"tool__hot_path": "python"}, False),
        ({"tool__engine__version": "9"}, False),
        ({"tool__version": "9"}, False),
        ({"totals__wall_seconds": 99.0}, False),
        ({"source__kind": "archive"}, False),
        ({"source__tree_digest": sha("other")}, False),
        ({"catalogue": {"steps": "s.toml", "sha256": sha("other")}}, False),
        ({"decided_by": "core"}, False),
        ({"entry": "other"}, True),
        ({"result": "incomplete"}, True),
        ({"reasons": ["the core alone finds otherwise"]}, True),
        ({"totals__syscalls": 1}, True),
        ({"source__release": "0.0"}, True),
        ({"source__materials__missing": ["a"]}, True),
        ({"artifacts__0__sha256": sha("other")}, True),
        ({"artifacts__0__status": "unknown"}, True),
        ({"artifacts__0__expected": sha("other")}, True),
        ({"artifacts__0__note": "torn"}, True),
        ({"artifacts__0__path": "another"}, True),
        ({"failure": {"message": "a limit"}}, True),
    ],
)
def test_what_counts(facts: dict[str, Any], counts: bool) -> None:
    for pair in ((GOOD, changed(**facts)), (changed(**facts), GOOD)):
        found = diff(*pair)
        assert found.equal is not counts
        assert "x86" in shown(found)


def test_what_judged_and_what_decided_is_shown() -> None:
    """Equal artifacts mean less where fewer values are known, or where other code ran them."""
    other = changed(catalogue={"steps": "s.toml", "sha256": sha("other")}, decided_by="core")
    said = {one.name: (one.a, one.b) for one in diff(GOOD, other).said}
    assert said == {"step file": ("", sha("other")), "decided by": ("", "core")}
    assert f"step file: none / {sha('other')}" in shown(diff(GOOD, other))


def test_sources_that_differ() -> None:
    other = Scenario()
    other.sources["b.src"] = sha("flipped")
    found = diff(GOOD, encode(other.report()))
    (source,) = found.sources
    assert (source.path, source.a, source.b) == ("b.src", None, sha("flipped"))


def test_sets(tmp_path: Path) -> None:
    scenario = Scenario()
    one = scenario.report()
    other = scenario.with_facts(arch="AMD64").report()
    both = write(tmp_path / "both", encode(report_set([one, other], 1.0)))
    single = write(tmp_path / "single", encode(one))
    assert compare_reports(both, both).equal
    found = compare_reports(single, both)
    assert not found.equal
    assert found.details["only"] == {"a": [], "b": ["AMD64"]}
    assert [report["equal"] for report in found.details["reports"]] == [True]
    text = found.text(False, colour=False, width=None, unicode=True)
    assert "in B only: AMD64" in text


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, "of no schema"),
        ({"schema": "bootstrap-report/3"}, "schema 'bootstrap-report/3'"),
        ({"schema": "bootstrap-report/1"}, "r: tool is missing"),
        ({"schema": "bootstrap-report/2"}, "r: tool is missing"),
        ({"schema": "bootstrap-report-set/1"}, "r: reports is missing"),
        ({"schema": "bootstrap-report-set/1", "reports": []}, "r: has no report"),
        ({"schema": "bootstrap-report-set/1", "reports": [GOOD, GOOD]}, "arch is 'x86', twice"),
        ({"schema": "bootstrap-report-set/1", "reports": 3}, "r: reports must be a list"),
        ({"schema": "bootstrap-report-set/1", "reports": [changed(schema="x")]}, "is not of boot"),
        (changed(artifacts=[*GOOD["artifacts"], GOOD["artifacts"][0]]), "is there twice"),
        (changed(artifacts__0__size="large"), r"r: artifacts\[0\].size must be a whole number"),
        (changed(arch="\ud800"), "r: arch is no Unicode text: it has a lone surrogate"),
        (changed(arch="amd64"), "r: arch is 'amd64', not AMD64"),
        (changed(arch="pdp11"), "r: arch: unknown architecture 'pdp11'"),
        (changed(claim="\ud800"), "r: claim is no Unicode text"),
        (changed(artifacts__0__path="x\ud800"), r"r: artifacts\[0\].path is no Unicode text"),
        ([], "no report"),
    ],
)
def test_bad_reports(value: object, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=says):
        load(write(tmp_path / "r", value))


def test_expectations_of_another_kind() -> None:
    scenario = Scenario()
    scenario.expected[0] = replace(scenario.expected[0], sha256=sha("another"))
    found = diff(GOOD, encode(scenario.report()))
    assert "expected" in found.artifacts[0].differs
