"""The JUnit form: parsed by an XML parser, one case per artifact, red whenever not verified."""

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from bootstrap.report import Failure, to_junit
from tests.report.scenario import Scenario, sha
from tests.report.test_json import scenarios


def suite(scenario: Scenario) -> ET.Element:
    root = ET.fromstring(to_junit(scenario.report()))
    assert root.tag == "testsuites"
    (found,) = root
    return found


def outcome(case: ET.Element) -> str:
    assert len(case) <= 1
    return case[0].tag if len(case) else "passed"


def outcomes(scenario: Scenario) -> dict[str, str]:
    return {c.attrib["name"]: outcome(c) for c in suite(scenario)}


def test_one_case_per_artifact_and_one_for_the_run() -> None:
    assert outcomes(Scenario()) == {
        "run": "passed",
        "bin/a": "passed",
        "bin/b": "passed",
        "bin/c": "passed",
    }


@pytest.mark.parametrize("name", scenarios())
def test_the_counts_are_right_and_red_means_not_verified(name: str) -> None:
    scenario = scenarios()[name]
    element = suite(scenario)
    found = [outcome(c) for c in element]
    assert element.tag == "testsuite"
    assert int(element.attrib["tests"]) == len(found)
    assert int(element.attrib["failures"]) == found.count("failure")
    assert int(element.attrib["errors"]) == found.count("error")
    assert int(element.attrib["skipped"]) == found.count("skipped")
    assert float(element.attrib["time"]) == 12.5
    green = not found.count("failure") and not found.count("error")
    assert green == (scenario.report().result == "verified")
    for case in element:
        assert case.attrib["classname"]
        assert float(case.attrib["time"]) >= 0


def test_a_failure_of_the_guest_is_an_error_of_the_run() -> None:
    scenario = scenarios()["failed"]
    assert outcomes(scenario) == {
        "run": "error",
        "bin/a": "passed",
        "bin/b": "passed",
        "bin/c": "failure",
    }
    (error,) = suite(scenario).iter("error")
    assert "unknown system call 999" in error.attrib["message"]
    assert "eax 0x3e7" in (error.text or "")


def test_the_first_divergence_says_why_and_the_others_name_it() -> None:
    scenario = Scenario(wrong_steps=("bin/a",))
    first, second, _ = suite(scenario).iter("failure")
    assert "The inputs were all good" in (first.text or "")
    assert "the first divergence was bin/a" in (second.text or "")


def test_what_nobody_can_judge_is_skipped() -> None:
    scenario = Scenario()
    scenario.expected = [e for e in scenario.expected if e.path != "bin/a"]
    assert outcomes(scenario)["bin/a"] == "skipped"


def test_characters_that_xml_forbids_are_escaped() -> None:
    scenario = Scenario().with_facts(
        failure=Failure("bad \x00\x1b[31m <&\"' \udcff \ufffe"), exit_status=None
    )
    scenario.expected[0] = replace(scenario.expected[0], path="bin/\x07<c>", sha256=sha("x"))
    element = suite(scenario)
    assert "bin/\\x07<c>" in [c.attrib["name"] for c in element]
    (error,) = element.iter("error")
    assert "\\x00\\x1b[31m <&\"' \\xdcff" in error.attrib["message"]
