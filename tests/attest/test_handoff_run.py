"""A statement of a hand-off: which live-bootstrap ran, and what of it equalled a value."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bootstrap.attest.envelope import read_envelope
from bootstrap.attest.handoff_run import make_handoff_statement, read_handoff_run
from bootstrap.attest.statement import payload, read_statement
from bootstrap.core.errors import BadInput
from bootstrap.documents import BadValue
from tests.attest.people import AMD, People
from tests.attest.runs import GONE, Run, handed_off, inside, put
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
    with pytest.raises(BadValue, match="buildType is 'urn:x-bootstrap-emulator:handoff:1'"):
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


STAGE0 = "steps 0 checked 0"
CONTRADICTS, NOT_IN_ORDER = "it contradicts itself", "not finished one after another"
# Places, what stands there then, and what is said of it.
CHANGES: list[tuple[dict[str, object], str]] = [
    ({"result": "failed"}, "its result is failed"),
    ({"failure": {"step": "1"}}, "it has a failure"),
    ({"result": "done"}, "not all steps are finished"),
    ({"steps 3 state": "stopped"}, NOT_IN_ORDER),
    ({"steps 1 state": "not begun"}, NOT_IN_ORDER),
    ({"steps 1 checked 0 state": "mismatch"}, "is not what it should be"),
    ({"steps 1 checked 0 found": "0" * 64}, CONTRADICTS),
    ({"steps 1 checked 0 expected": None}, CONTRADICTS),
    ({"packages 0 expected": "6" * 64, "packages 0 state": "verified"}, CONTRADICTS),
    ({"stage0 title": "stage0-posix 0.0 AMD64"}, "stage0-posix 0.0 is not in the catalogue"),
    ({"stage0 title": "stage0-posix 1.7.0 AMD64"}, "but the catalogue has"),
    ({"stage0 title": "stagex 1.9.1 AMD64"}, "it should be 'stage0-posix 1.9.1 AMD64'"),
    ({"steps 0": GONE}, "stage0 is not among its finished steps"),
    ({f"{STAGE0} found": "0" * 64, f"{STAGE0} expected": "0" * 64}, "is two files in one step"),
    ({"checkout digest": None}, "checkout.digest must be"),
    ({"schema": 2}, "schema is 2"),
]


@pytest.mark.parametrize(("changes", "says"), CHANGES)
def test_refused(changes: dict[str, object], says: str, place: Path) -> None:
    document = json.loads(place.read_text())
    if "two files" in says:
        # The right one is there too: what is forged stands beside it.
        put(document, "steps 0 checked +", copy.deepcopy(document["steps"][0]["checked"][0]))
    for where, value in changes.items():
        put(document, where, value)
    refused(place, document, says)


def test_a_forged_product_is_refused(place: Path) -> None:
    document = json.loads(place.read_text())
    first, *rows = document["steps"][0]["checked"]
    for row in (first, *rows):
        if row["path"] == first["path"]:
            row.update(found="0" * 64, expected="0" * 64)
    refused(place, document, "but the catalogue has")


def refused(place: Path, document: Document, says: str) -> None:
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
