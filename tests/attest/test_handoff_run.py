"""A statement of a hand-off: which live-bootstrap ran, and what of it equalled a value."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bootstrap.attest.envelope import read_envelope
from bootstrap.attest.handoff_run import make_handoff_statement, read_handoff_run
from bootstrap.attest.statement import payload, read_statement
from bootstrap.core.errors import BadInput
from bootstrap.documents import Fault
from tests.attest.people import AMD, People
from tests.attest.runs import Run, handed_off, inside
from tests.attest.test_statement import STATEMENT

Document = dict[str, Any]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    found = tmp_path / "run.json"
    found.write_text(json.dumps(handed_off("1.9.1", "amd64")))
    return found


def statement(place: Path) -> Document:
    run = read_handoff_run(place)
    assert run is not None
    made: Document = json.loads(payload(make_handoff_statement(run, AMD)))
    return made


def test_the_statement_names_the_checkout(place: Path) -> None:
    made = statement(place)
    jsonschema.validate(made, STATEMENT)
    definition = made["predicate"]["buildDefinition"]
    checkout, stage0, *files = definition["resolvedDependencies"]
    assert checkout == {
        "name": "live-bootstrap",
        "digest": {"treeDigest": "d" * 64, "gitCommit": "c" * 40},
        "annotations": {"commit": "c" * 40, "changed": [], "files": 9},
    }
    assert stage0 == {"name": "stage0-posix 1.9.1 AMD64", "digest": {"treeDigest": "4" * 64}}
    assert files == [{"name": "tool-1.0.tar.gz", "digest": {"sha256": "2" * 64}}]
    subjects = {row["name"]: row["digest"]["sha256"] for row in made["subject"]}
    assert subjects["usr/bin/tool"] == "1" * 64 and "AMD64/bin/M2-Planet" in subjects
    # It is there, but nothing is known of it.
    assert "lib-2.0_0.tar.bz2" not in subjects
    assert definition["externalParameters"]["last"] == "improve paths"
    assert definition["internalParameters"]["notChecked"] == ["improve paths"]
    with pytest.raises(Fault, match="buildType is 'urn:x-bootstrap-emulator:handoff:1'"):
        read_statement(json.dumps(made).encode())


@pytest.mark.parametrize("changed", [["steps/manifest"], None])
def test_a_commit_is_no_digest_of_changed_files(place: Path, changed: list[str] | None) -> None:
    document = json.loads(place.read_text())
    document["checkout"].update(changed=changed)
    place.write_text(json.dumps(document))
    made = statement(place)
    checkout = made["predicate"]["buildDefinition"]["resolvedDependencies"][0]
    assert checkout["digest"] == {"treeDigest": "d" * 64}
    assert checkout["annotations"] == {"commit": "c" * 40, "changed": changed, "files": 9}


def test_signed_by_the_command(place: Path, people: People, tmp_path: Path) -> None:
    output = tmp_path / "handoff.json"
    command: list[str | Path] = ["attest", "--report", place, "-o", output]
    done = inside(*command, "--sign", "ssh", "--key", people.ssh("alice"))
    assert done.status == 0, done.stderr
    assert f"by the checkout with the digest {'d' * 64} (commit {'c' * 40}), as" in done.stdout
    assert read_envelope(output.read_bytes()).payload
    policy = tmp_path / "policy.toml"
    need = 'schema = 1\n[need]\npersons = 1\n[about]\nname = "embedded"\narch = "x86"\n'
    policy.write_text(need + people.key("alice", "alice"))
    judged = inside("quorum", "--policy", policy, output)
    assert judged.status == 1 and "not-understood" in judged.stdout
    done = inside(*command, "--products", tmp_path)
    assert done.status == 2 and "--products goes with a report of" in done.one_line()
    done = inside(*command, "--image", tmp_path, "--reference", "a/b:c")
    assert done.status == 2 and "--image goes with a report of" in done.one_line()


def first(document: Document, number: int = 0) -> Document:
    found: Document = document["steps"][number]["checked"][0]
    return found


CHANGES: dict[str, tuple[Callable[[Document], object], str]] = {
    "it failed": (lambda d: d.update(result="failed"), "its result is failed"),
    "a failure": (lambda d: d.update(failure={"step": "1"}), "it has a failure"),
    "not all done": (lambda d: d.update(result="done"), "not all steps are finished"),
    "a step that stopped": (
        lambda d: d["steps"][3].update(state="stopped"),
        "not finished one after another",
    ),
    "a step left out": (
        lambda d: d["steps"][1].update(state="not begun"),
        "not finished one after another",
    ),
    "a mismatch": (lambda d: first(d, 1).update(state="mismatch"), "is not what it should be"),
    "another value": (lambda d: first(d, 1).update(found="0" * 64), "it contradicts itself"),
    "no value": (lambda d: first(d, 1).update(expected=None), "it contradicts itself"),
    "a package that differs": (
        lambda d: d["packages"][0].update(expected="6" * 64, state="verified"),
        "it contradicts itself",
    ),
    "stage0 of nobody": (
        lambda d: d["stage0"].update(title="stage0-posix 0.0 AMD64"),
        "stage0-posix 0.0 is not in the catalogue",
    ),
    "another stage0": (
        lambda d: d["stage0"].update(title="stage0-posix 1.7.0 AMD64"),
        "but the catalogue has",
    ),
    "another tree": (
        lambda d: d["stage0"].update(title="stagex 1.9.1 AMD64"),
        "it should be 'stage0-posix 1.9.1 AMD64'",
    ),
    "stage0 not finished": (
        lambda d: d["steps"].pop(0),
        "stage0 is not among its finished steps",
    ),
    "a forged product": (
        lambda d: [
            row.update(found="0" * 64, expected="0" * 64)
            for row in d["steps"][0]["checked"]
            if row["path"] == first(d)["path"]
        ],
        "but the catalogue has",
    ),
    "a forged product beside the right one": (
        lambda d: d["steps"][0]["checked"].append(
            {**first(d), "found": "0" * 64, "expected": "0" * 64}
        ),
        "is two files in one step",
    ),
    "no digest": (lambda d: d["checkout"].update(digest=None), "checkout.digest must be"),
    "another schema": (lambda d: d.update(schema=2), "schema is 2"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_refused(name: str, place: Path) -> None:
    change, says = CHANGES[name]
    document = json.loads(place.read_text())
    change(document)
    place.write_text(json.dumps(document))
    with pytest.raises(BadInput) as caught:
        read_handoff_run(place)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{place}: ")


def test_other_files_are_not_taken_for_one(verified: Run, tmp_path: Path) -> None:
    assert read_handoff_run(verified.report) is None
    for text in ("[]", "{", '{"kind": "distfiles"}'):
        (tmp_path / "x").write_text(text)
        assert read_handoff_run(tmp_path / "x") is None
