"""`bootstrap attest` and `bootstrap quorum` as a user starts them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bootstrap.vouch.envelope import read_envelope
from bootstrap.vouch.statement import read_statement
from tests.cli.command import Done, bootstrap
from tests.vouch.people import People
from tests.vouch.runs import Run, inside

NEED = 'schema = 1\n[need]\npersons = 2\n[about]\nname = "embedded"\narch = "x86"\n'


def attest(run: Run, output: Path, *more: str | Path) -> Done:
    return inside("attest", "--report", run.report, "-o", output, *more)


@pytest.fixture
def policy(tmp_path: Path, people: People) -> Path:
    place = tmp_path / "policy.toml"
    place.write_text(NEED + people.key("alice", "alice") + people.key("bob", "bob"))
    return place


def test_from_a_report_to_a_quorum(
    verified: Run, people: People, policy: Path, tmp_path: Path
) -> None:
    ours = [tmp_path / "alice.json", tmp_path / "bob.json"]
    for place in ours:
        key = people.ssh(place.stem)
        done = attest(
            verified, place, "--sign", "ssh", "--key", key, "--products", verified.products
        )
        assert done.status == 0, done.stderr
    one = inside("quorum", "--policy", policy, ours[0])
    assert one.status == 1
    assert "NOT MET: persons: 2 wanted, 1 found." in one.stdout
    both = inside("quorum", "--policy", policy, *ours, "--json", "-")
    assert both.status == 0, both.stderr
    told = json.loads(both.stdout)
    assert told["schema"] == "bootstrap-quorum/1" and told["met"] is True
    assert told["at_given"] is False and told["why_not"] == []
    signatures = told["attestations"]["signatures"]
    assert [row["person"] for row in signatures] == ["alice", "bob"]
    assert "today, UTC" in both.stderr and "MET: the policy is met." in both.stderr
    dated = inside("quorum", "--policy", policy, *ours, "--at", "2031-01-02")
    assert dated.status == 0
    assert "of 2031-01-02 (the day given by --at)" in dated.stdout


def test_a_public_key_without_its_private_half(
    verified: Run, people: People, tmp_path: Path
) -> None:
    public = tmp_path / "alone.pub"
    shutil.copy(f"{people.ssh('alice')}.pub", public)
    done = attest(verified, tmp_path / "out.json", "--sign", "ssh", "--key", public)
    assert done.status == 2
    assert "ssh-keygen did not sign" in done.one_line()
    assert not (tmp_path / "out.json").exists()


def test_gpg_signs_and_chooses_the_key(verified: Run, gpg: People, tmp_path: Path) -> None:
    gpg.gpg("gpg-dan")
    out = tmp_path / "dan.json"
    done = attest(verified, out, "--sign", "gpg")
    assert done.status == 0, done.stderr
    wrong = attest(verified, out, "--sign", "gpg", "--key", "nobody@example.com")
    assert wrong.status == 2 and "gpg did not sign" in wrong.one_line()
    (signature,) = read_envelope(out.read_bytes()).signatures
    assert len(signature.keyid) == 40


def test_unsigned_it_is_the_statement(verified: Run, tmp_path: Path, policy: Path) -> None:
    out = tmp_path / "statement.json"
    given = ["--cpu-vendor", "GenuineIntel", "--host-os", "Debian 12"]
    assert attest(verified, out, *given).status == 0
    said = read_statement(out.read_bytes())
    assert (said.cpu_vendor, said.os, said.said_by) == ("GenuineIntel", "Debian 12", "given")
    done = inside("quorum", "--policy", policy, out)
    assert done.status == 2 and "a statement that nobody signed" in done.one_line()


def test_products_that_differ_are_not_signed_for(
    verified: Run, people: People, tmp_path: Path
) -> None:
    products = tmp_path / "products"
    shutil.copytree(verified.products, products)
    (products / "hello").write_bytes(b"")
    out = tmp_path / "out.json"
    done = attest(
        verified, out, "--sign", "ssh", "--key", people.ssh("alice"), "--products", products
    )
    assert done.status == 1
    assert "hello: has sha256" in done.stderr and "nothing was signed" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize("result", ["mismatch", "incomplete", "error"])
def test_only_what_is_verified(result: str, verified: Run, people: People, tmp_path: Path) -> None:
    report = {**json.loads(verified.report.read_text()), "result": result, "reasons": ["so"]}
    (tmp_path / "report.json").write_text(json.dumps(report))
    out = tmp_path / "out.json"
    given: list[str | Path] = ["--sign", "ssh", "--key", people.ssh("alice"), "-o", out]
    done = inside("attest", "--report", tmp_path / "report.json", *given)
    assert done.status == 2 and not out.exists()
    assert f"its result is {result}, not verified: so; nothing can be vouched" in done.one_line()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "say where to"),
        (["-o", "x", "--sign", "ssh"], "--sign ssh needs --key"),
        (["-o", "x", "--sign", "ssh", "--key", "no-file"], "there is no such file"),
        (["-o", "x", "--key", "k"], "--key goes with"),
        (["-o", "x", "--cpu-vendor", "x"], "go together"),
        (["--stagex", "."], "--stagex needs --image"),
        (["--stagex", ".", "--image", "."], "--image needs --reference"),
        (["-o", "x", "--reference", "a/b:1"], "--reference goes with"),
        (["--stagex", ".", "--image", ".", "--reference", "a/b:1"], "--image goes with --stagex"),
        (
            ["--stagex", ".", "--image", ".", "--reference", "a/b:1", "--sign", "ssh"],
            "StageX's signatures are OpenPGP",
        ),
        (
            ["--stagex", ".", "--image", ".", "--reference", "b:1", "--sign", "gpg"],
            "is no REGISTRY/NAME:TAG",
        ),
        (
            ["--stagex", ".", "--image", ".", "--reference", "a/b:1", "--sign", "gpg"],
            "oci-layout: cannot be read",
        ),
    ],
)
def test_bad_usage_of_attest(args: list[str], says: str, verified: Run, tmp_path: Path) -> None:
    done = inside("attest", "--report", verified.report, *args, cwd=tmp_path)
    assert done.status == 2
    assert says in done.one_line()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nothing.json"], "nothing.json: cannot be read"),
        (["policy.toml"], "policy.toml: no attestation: not JSON"),
        (["--stagex", "."], "has no [stagex] to judge it by"),
    ],
)
def test_bad_usage_of_quorum(args: list[str], says: str, policy: Path, tmp_path: Path) -> None:
    done = inside("quorum", "--policy", "policy.toml", *args, cwd=tmp_path)
    assert done.status == 2
    assert says in done.one_line()


def test_a_day_that_is_none(policy: Path) -> None:
    done = inside("quorum", "--policy", policy, "--at", "yesterday")
    assert done.status == 2
    assert "--at: invalid day, as in 2026-11-23 value: 'yesterday'" in done.stderr


def test_a_policy_nobody_can_meet(policy: Path) -> None:
    policy.write_text(policy.read_text().replace("persons = 2", "persons = 3"))
    done = inside("quorum", "--policy", policy)
    assert done.status == 2
    assert "lists 2 persons: nobody can meet that" in done.one_line()


def test_without_the_programs(verified: Run, people: People, policy: Path, tmp_path: Path) -> None:
    out = tmp_path / "alice.json"
    key = people.ssh("alice")
    assert attest(verified, out, "--sign", "ssh", "--key", key).status == 0
    nowhere = {"PATH": str(tmp_path)}
    done = bootstrap("quorum", "--policy", policy, out, env=nowhere)
    assert done.status == 2
    assert "ssh-keygen is not installed; it comes with OpenSSH" in done.one_line()
    given: list[str | Path] = ["--sign", "gpg", "-o", out]
    done = bootstrap("attest", "--report", verified.report, *given, env=nowhere)
    assert done.status == 2
    assert "gpg is not installed; it comes with GnuPG" in done.one_line()
