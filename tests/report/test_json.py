"""The JSON form: exact keys, valid by its schema, the same bytes for the same run."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bootstrap.documents import encode
from bootstrap.report import Catalogue, Failure, to_json_text
from tests.report.scenario import Scenario, sha

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "report.schema.json"


def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def scenarios() -> dict[str, Scenario]:
    flipped_source, flipped_script = Scenario(), Scenario(wrong_steps=("bin/b",))
    flipped_source.sources["b.src"] = sha("flipped")
    flipped_script.sources["script"] = sha("flipped")
    flipped_value, torn = Scenario(), Scenario()
    flipped_value.expected[2] = replace(flipped_value.expected[2], sha256=sha("flipped"))
    torn.expected[3] = replace(torn.expected[3], sha256=sha("flipped"))
    failed = Scenario(keep_steps=4, ended=False).with_facts(
        failure=Failure("unknown system call 999", 4, ("eax 0x3e7",)), exit_status=None
    )
    unfinished = Scenario(keep_steps=4, ended=False, wrong_steps=("bin/b",)).with_facts(
        failure=Failure("a limit"), exit_status=None
    )
    changed = Scenario()
    changed.materials = replace(
        changed.materials, changed=("z", "b"), missing=("y", "a"), extra=("x", "c")
    )
    embedded = Scenario()
    embedded.with_facts(
        source=replace(embedded.facts.source, kind="embedded", sha256=None, tree_digest="0" * 64)
    )
    instead = Scenario()
    instead.with_facts(
        source=replace(embedded.facts.source, in_place_of="stage0-posix 1.9.1 for x86")
    )
    wrong_instead = Scenario(wrong_steps=("bin/a",)).with_facts(source=instead.facts.source)
    return {
        "embedded only": instead,
        "embedded only, and wrong": wrong_instead,
        "shipped": Scenario().with_facts(catalogue=Catalogue("t-1.9.1-x86.toml", sha("steps"))),
        "good": Scenario(),
        "wrong step": Scenario(wrong_steps=("bin/a",)),
        "flipped source": flipped_source,
        "flipped script": flipped_script,
        "flipped value": flipped_value,
        "torn values": torn,
        "failed": failed,
        "unfinished": unfinished,
        "nothing expected": Scenario(expected=[]),
        "nothing made": Scenario(keep_steps=1),
        "changed": changed,
        "embedded": embedded,
        "bad end": Scenario().with_facts(exit_status=256),
    }


@pytest.mark.parametrize("name", scenarios())
def test_every_report_is_valid_by_the_schema(name: str) -> None:
    validator().validate(json.loads(to_json_text(scenarios()[name].report())))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "bootstrap-report/1"),
        (("result",), "fine"),
        (("reasons",), ["verified, and yet a reason"]),
        (("tool", "hot_path"), "rust"),
        (("source", "kind"), "hearsay"),
        (("artifacts", 0, "sha256"), "ABC"),
        (("artifacts", 0, "status"), "missing"),
        (("artifacts", 0, "expected"), None),
        (("totals", "wall_seconds"), -1),
        (("artifacts",), []),
        (("source", "tree_digest"), None),
        (("catalogue",), {"steps": "t-1.9.1-x86.toml"}),
        (("catalogue",), {"steps": "t-1.9.1-x86.toml", "sha256": "ABC"}),
        (("decided_by",), "hearsay"),
        (("recheck",), {"result": "verified"}),
        # Only the embedded sources stand in for others, and only for others.
        (("result",), "embedded-only"),
    ],
)
def test_the_schema_refuses_what_is_wrong(path: tuple[Any, ...], value: object) -> None:
    data: Any = json.loads(to_json_text(Scenario().report()))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert list(validator().iter_errors(data))


OPTIONAL = {"decided_by", "recheck"}
"""Older reports of the same schema have none of these."""


@pytest.mark.parametrize("key", list(encode(Scenario().report())))
def test_the_schema_asks_for_every_key(key: str) -> None:
    data = encode(Scenario().report())
    del data[key]
    assert bool(list(validator().iter_errors(data))) == (key not in OPTIONAL)


def test_the_keys_that_users_were_promised() -> None:
    data = encode(Scenario().report())
    assert {
        "schema",
        "tool",
        "source",
        "arch",
        "entry",
        "result",
        "artifacts",
        "totals",
    } <= set(data)
    assert data["schema"] == "bootstrap-report/2"
    assert {"name", "version", "engine", "hot_path"} == set(data["tool"])
    assert {"kind", "release", "sha256"} <= set(data["source"])
    assert {
        "path",
        "size",
        "sha256",
        "expected",
        "expected_from",
        "status",
        "producer",
    } <= set(data["artifacts"][0])
    assert {"processes", "syscalls", "wall_seconds"} == set(data["totals"])


def test_no_host_path_and_only_ascii() -> None:
    scenario = Scenario()
    records = scenario.records()
    assert scenario.facts.source.label
    text = to_json_text(scenario.report())
    assert scenario.facts.source.label not in text
    assert text.isascii()
    assert text.endswith("}\n")
    assert records


def test_equal_runs_give_equal_bytes_but_for_the_time() -> None:
    changed = scenarios()["changed"]
    first = encode(changed.report())
    changed.with_facts(totals=replace(changed.facts.totals, wall_seconds=99.0))
    changed.materials = replace(
        changed.materials, changed=("b", "z"), missing=("a", "y"), extra=("c", "x")
    )
    second = encode(changed.report())
    assert first["totals"].pop("wall_seconds") == 12.5
    assert second["totals"].pop("wall_seconds") == 99.0
    first["reasons"], second["reasons"] = [], []
    first["claim"] = second["claim"] = ""
    assert json.dumps(first) == json.dumps(second)


def test_a_report_of_what_stands_in_for_another_tree_says_so() -> None:
    report = scenarios()["embedded only"].report()
    assert (report.result, report.exit_code) == ("embedded-only", 4)
    assert report.claim.startswith("Embedded only, upstream not verified: ")
    assert "stage0-posix 1.9.1 for x86 could not be had" in report.claim
    assert encode(report)["source"]["in_place_of"] == "stage0-posix 1.9.1 for x86"
    wrong = scenarios()["embedded only, and wrong"].report()
    assert (wrong.result, wrong.exit_code) == ("mismatch", 1)
    assert wrong.reasons[-1].startswith("embedded only, upstream not verified: ")
