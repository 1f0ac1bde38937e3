"""`bootstrap attest` and `bootstrap quorum` as a user starts them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from bootstrap.attest.envelope import read_envelope
from bootstrap.attest.evidence import Evidence, VerifiedFile
from bootstrap.attest.policy import read_policy
from bootstrap.attest.statement import Vouched, read_statement
from bootstrap.core.errors import BadInput
from bootstrap.oci.layout import read_products
from tests.attest.people import People
from tests.attest.runs import Run, inside
from tests.cli.command import Done, bootstrap

NEED = 'schema = 1\n[need]\npersons = 2\n[about]\nname = "embedded"\narch = "x86"\n'


@dataclass
class Desk:
    """A verified run, people who sign what it found, and a folder for that."""

    run: Run
    people: People
    folder: Path

    def attest(self, name: str, *more: str | Path) -> Done:
        output = self.folder / f"{name}.json"
        return inside("attest", "--report", self.run.report, "-o", output, *more)

    def key(self, name: str) -> list[str | Path]:
        return ["--sign", "ssh", "--key", self.people.ssh(name)]

    def sign(self, name: str, *more: str | Path) -> Done:
        """By that person's ssh key."""
        return self.attest(name, *self.key(name), *more)

    def policy(self, need: str = NEED, people: str = "alice bob") -> Path:
        place = self.folder / "policy.toml"
        place.write_text(need + "".join(self.people.key(name, name) for name in people.split()))
        return place

    def quorum(self, *files: str | Path) -> Done:
        return inside("quorum", "--policy", self.folder / "policy.toml", *files, cwd=self.folder)

    def statement(self, name: str) -> Vouched:
        return read_statement((self.folder / f"{name}.json").read_bytes())

    def parameters(self, name: str) -> dict[str, Any]:
        """What a statement says of how it came about."""
        content = json.loads((self.folder / f"{name}.json").read_text())
        if "payload" in content:
            content = json.loads(base64.b64decode(content["payload"]))
        found: dict[str, Any] = content["predicate"]["buildDefinition"]["internalParameters"]
        return found


@pytest.fixture
def desk(verified: Run, people: People, tmp_path: Path) -> Desk:
    found = Desk(verified, people, tmp_path)
    found.policy()
    return found


def test_from_a_report_to_a_quorum(desk: Desk) -> None:
    for name in ("alice", "bob"):
        done = desk.sign(name, "--products", desk.run.products)
        assert done.status == 0, done.stderr
    one = desk.quorum("alice.json")
    assert one.status == 1 and "NOT MET: persons: 2 wanted, 1 found." in one.stdout
    both = desk.quorum("alice.json", "bob.json", "--json", "-")
    assert both.status == 0, both.stderr
    document = json.loads(both.stdout)
    assert document["schema"] == "bootstrap-quorum/1" and document["met"] is True
    assert document["at_given"] is False and document["why_not"] == []
    signatures = document["attestations"]["signatures"]
    assert [row["person"] for row in signatures] == ["alice", "bob"]
    assert "today, UTC" in both.stderr and "MET: the policy is met" in both.stderr
    dated = desk.quorum("alice.json", "bob.json", "--at", "2031-01-02")
    assert dated.status == 0 and "of 2031-01-02 (the day given by --at)" in dated.stdout


def test_a_public_key_without_its_private_half(desk: Desk) -> None:
    public = desk.folder / "alone.pub"
    shutil.copy(f"{desk.people.ssh('alice')}.pub", public)
    done = desk.attest("out", "--sign", "ssh", "--key", public)
    assert done.status == 2 and "ssh-keygen did not sign" in done.one_line()
    assert not (desk.folder / "out.json").exists()


def test_gpg_signs_and_chooses_the_key(desk: Desk, gpg: People) -> None:
    gpg.gpg("gpg-dan")
    done = desk.attest("dan", "--sign", "gpg")
    assert done.status == 0, done.stderr
    wrong = desk.attest("dan", "--sign", "gpg", "--key", "nobody@example.com")
    assert wrong.status == 2 and "gpg did not sign" in wrong.one_line()
    (signature,) = read_envelope((desk.folder / "dan.json").read_bytes()).signatures
    assert len(signature.keyid) == 40


def test_unsigned_it_is_the_statement(desk: Desk) -> None:
    given = ["--cpu-vendor", "GenuineIntel", "--host-os", "Debian 12"]
    assert desk.attest("out", *given).status == 0
    said = desk.statement("out")
    assert (said.cpu_vendor, said.os, said.stated) == ("GenuineIntel", "unknown", True)
    done = desk.quorum("out.json")
    assert done.status == 1 and "a statement that nobody signed" in " ".join(done.stdout.split())


def test_a_recheck_can_be_required(desk: Desk) -> None:
    out, report = desk.folder / "out.json", desk.folder / "report.json"
    refused = desk.attest("out", "--require-recheck")
    assert refused.status == 2 and not out.exists()
    assert "does not say that the core alone found the same" in refused.one_line()
    given: list[str | Path] = ["--release", "embedded", "--quiet", "--json", report]
    done = inside("attest", "--run", *given, "--require-recheck", "-o", out)
    assert done.status == 0, done.stderr
    assert desk.parameters("out")["decidedBy"] == "core"
    assert json.loads(report.read_text())["recheck"]["differences"] == []
    assert desk.attest("again").status == 0 and not desk.statement("again").rechecked
    desk.run = Run(report, desk.run.products)
    read = desk.attest("again", "--require-recheck")
    assert read.status == 0, read.stderr
    assert desk.statement("again").rechecked
    both = desk.attest("again", "--recheck")
    assert both.status == 2 and "--recheck goes with a verify" in both.one_line()


def test_a_statement_says_what_was_seen_and_what_only_read(desk: Desk) -> None:
    done = desk.attest("read")
    assert "report.json says, not run here; stated to be of" in done.stdout
    done = desk.attest("hashed", "--products", desk.run.products)
    assert f"says (products hashed again in {desk.run.products}), not run here" in done.stdout
    report = desk.folder / "report.json"
    given: list[str | Path] = ["--release", "embedded", "--json", report, *desk.key("alice")]
    done = inside("attest", "--run", *given, "-o", desk.folder / "made.json")
    assert done.status == 0, done.stderr
    assert "VERIFIED" in done.stdout and "made here and now, on" in done.stdout
    for name, run, products, by in (
        ("read", "read-from-report", "read-from-report", "observed-at-signing"),
        ("hashed", "read-from-report", "hashed-here", "observed-at-signing"),
        ("made", "made-here", "hashed-here", "observed"),
    ):
        said = desk.parameters(name)
        assert (said["run"], said["products"], said["host"]["saidBy"]) == (run, products, by)
    seen = NEED.replace("persons = 2", 'persons = 1\nruns = 1\nengines = 1\nstated = "refuse"')
    desk.policy(seen, "alice")
    assert desk.quorum("made.json").status == 0
    assert json.loads(report.read_text())["result"] == "verified"
    assert desk.sign("alice").status == 0
    assert desk.quorum("alice.json").status == 1


def test_a_summary_is_of_a_run_made_here_and_counts_by_the_same_rules(desk: Desk) -> None:
    to = desk.folder / "alice.json"
    run = ("attest", "--run", "--release", "embedded", "-q", "--form", "vsa")
    assert inside(*run, *desk.key("alice"), "-o", to).status == 0
    made = json.loads(read_envelope(to.read_bytes()).payload)
    assert made["predicateType"] == "https://slsa.dev/verification_summary/v1"
    assert made["predicate"]["verificationResult"] == "PASSED"
    assert desk.sign("bob").status == 0
    assert desk.quorum("alice.json", "bob.json").status == 0


def test_opinions_are_made_by_the_command_that_signs(tmp_path: Path, checkout: Path) -> None:
    to, cache = tmp_path / "a.json", {"BOOTSTRAP_CACHE": str(tmp_path / "cache")}
    run = ("attest", "--run", "--release", "embedded", "-o", to, "--opinions")
    done = bootstrap(*run, "core, models", env=cache)
    assert done.status == 0, done.stderr
    inner = json.loads(to.read_text())["predicate"]["buildDefinition"]["internalParameters"]
    schema = json.loads((checkout / "docs" / "attested-opinions.schema.json").read_text())
    jsonschema.validate(inner["opinions"], schema)
    assert [one["name"] for one in inner["opinions"]["opinions"]] == ["core", "models"]
    assert inner["opinions"]["treeDigest"] == inner["source"]["treeDigest"]
    assert read_statement(to.read_text().encode()).independent == 2
    to.unlink()
    for names, said in (
        ("proof", "proof: does not cover every product"),
        ("x", "unknown opinion; choose from all"),
    ):
        done = bootstrap(*run, names, env=cache)
        assert done.status == (1 if names == "proof" else 2) and said in done.stderr
        assert not to.exists()
    done = bootstrap("attest", "--report", "x", "-o", to, "--opinions", "core")
    assert done.status == 2 and "--opinions goes with --run" in done.stderr


def test_attestations_are_one_more_opinion(
    desk: Desk, people: People, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOTSTRAP_CACHE", str(desk.folder / "cache"))
    (desk.folder / "alice.json").write_text(people.attest(evidence, "alice").to_json())
    other = {**evidence.products, "hex1": VerifiedFile(1, "0" * 64)}
    (desk.folder / "bob.json").write_text(people.attest(evidence, "bob", products=other).to_json())
    for need, names, word in (
        ("persons = 1", ["alice"], "agree"),
        ("persons = 2", ["alice"], None),
        ("persons = 1", ["bob"], "differ"),
    ):
        policy = desk.folder / "policy.toml"
        policy.write_text(
            policy.read_text().replace("persons = 2", need).replace("persons = 1", need)
        )
        given = [word for name in names for word in ("--attestation", desk.folder / f"{name}.json")]
        done = inside("confirm", "--release", "embedded", "--policy", policy, *given, "--json", "-")
        found = json.loads(done.stdout)
        [voice] = [one for one in found["opinions"] if one["way"]["name"] == "attested"]
        assert voice["result"] == word, voice
        assert word or voice["why"] == "NOT MET: persons: 2 wanted, 1 found"
        assert (found["result"] == "differs") == (word == "differ")
    # Another entry, and other sources that give the same, are not this.
    policy.write_text(policy.read_text().replace("[need]", '[need]\ndisagreement = "tell"'))
    sources = {**evidence.materials, "hex1.hex0": "0" * 64}
    for change in ({"entry": "kaem-optional-seed"}, {"materials": sources}):
        statement = people.attest(evidence, "alice", **change)
        (desk.folder / "alice.json").write_text(statement.to_json())
        given = ["--policy", policy, "--attestation", desk.folder / "alice.json"]
        found = json.loads(inside("confirm", "--release", "embedded", *given, "--json", "-").stdout)
        [voice] = [one for one in found["opinions"] if one["way"]["name"] == "attested"]
        assert voice["result"] is None and "not about this" in voice["why"], voice


def test_a_policy_that_asks_for_more_is_not_half_judged(desk: Desk, gpg: People) -> None:
    policy = desk.policy()
    policy.write_text(policy.read_text() + gpg.key("dan", "gpg-dan") + "[stagex]\npersons = 1\n")
    done = inside("confirm", "--release", "embedded", "--policy", policy)
    assert done.status == 2 and "has [stagex] too" in done.stderr, done.stderr


def test_names_that_no_terminal_should_see(verified: Run, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"r\xff\x1b[31m.json")
    shutil.copy(verified.report, odd)
    done = bootstrap("attest", "--report", odd, "-o", tmp_path / os.fsdecode(b"o\xff.json"))
    assert done.status == 0, done.stderr
    assert r"r\xff\x1b[31m.json says, not run here" in done.stdout
    done = bootstrap("quorum", "--init", tmp_path / os.fsdecode(b"p\xff.toml"))
    assert done.status == 0 and r"p\xff.toml: written" in done.stdout


def test_a_run_that_fails_here_is_not_signed(tmp_path: Path) -> None:
    given = ["--release", "embedded", "--limit", "instructions=1000", "-o", "out.json"]
    done = inside("attest", "--run", *given, cwd=tmp_path)
    assert done.status == 3 and "not verified; nothing was signed" in done.stderr
    assert not (tmp_path / "out.json").exists()


def test_a_size_that_the_products_contradict(tmp_path: Path) -> None:
    """Of a release the catalogue has no sizes: only who has the products can know."""
    (tmp_path / "M1").write_bytes(b"content")
    products = {"M1": VerifiedFile(1, hashlib.sha256(b"content").hexdigest())}
    found = SimpleNamespace(products=products)
    with pytest.raises(BadInput, match="M1: has 7 bytes, where the report says 1"):
        read_products(tmp_path, found)  # type: ignore[arg-type]


def test_products_that_differ_are_not_signed_for(desk: Desk) -> None:
    products = shutil.copytree(desk.run.products, desk.folder / "products")
    (products / "hello").write_bytes(b"")
    done = desk.sign("alice", "--products", products)
    assert done.status == 1
    assert "hello: has sha256" in done.stderr and "nothing was signed" in done.stderr
    assert not (desk.folder / "alice.json").exists()


@pytest.mark.parametrize("result", ["mismatch", "incomplete", "error"])
def test_only_what_is_verified(result: str, desk: Desk) -> None:
    report = {**json.loads(desk.run.report.read_text()), "result": result, "reasons": ["so"]}
    desk.run = Run(desk.folder / "report.json", desk.run.products)
    desk.run.report.write_text(json.dumps(report))
    done = desk.sign("alice")
    assert done.status == 2 and not (desk.folder / "alice.json").exists()
    assert f"its result is {result}, not verified: so; nothing can be vouched" in done.one_line()


IMAGE = "--stagex . --image ."
REFERENCE = f"{IMAGE} --reference"
RUN = "attest --run --release embedded -o -"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("attest", "say where to"),
        ("attest -o x --release embedded", "--release goes with a verify, not with --report"),
        ("attest -o x --arch AMD64", "--arch and --jobs go with a verify, not with --report"),
        ("attest -o x --json y", "--json goes with a verify, not with --report"),
        ("attest -o x --sign ssh", "--sign ssh needs --key"),
        ("attest -o x --sign ssh --key no-file", "there is no such file"),
        ("attest -o x --key k", "--key goes with"),
        ("attest -o x --cpu-vendor x", "go together"),
        ("attest --stagex .", "--stagex needs --image"),
        (f"attest {IMAGE}", "--image needs --reference"),
        ("attest -o x --reference a/b:1", "--reference goes with"),
        (f"attest {REFERENCE} a/b:1", "--image goes with --stagex"),
        (f"attest {REFERENCE} a/b:1 --sign ssh", "StageX's signatures are OpenPGP"),
        (f"attest {REFERENCE} b:1 --sign gpg", "is no REGISTRY/NAME:TAG"),
        (f"attest {REFERENCE} a/b:1 --sign gpg", "oci-layout: cannot be read"),
        ("attest -o x --form vsa", "--form vsa goes with --run"),
        ("attest -o x --subject image", "--subject image needs --image"),
        ("attest -o x --subject image --image .", "beside the image: no -o"),
        ("attest --subject image --image .", "a layout gets no unsigned statement"),
        ("attest --subject image --image . --stagex . --reference a/b:1", "--stagex needs --image"),
        (f"{RUN} --products .", "--products goes with --report"),
        (f"{RUN} --cpu-vendor Intel --host-os Linux", "--cpu-vendor and --host-os go with"),
        (f"{RUN} --arch all", "one architecture"),
        (f"{RUN} --json -", "only one output can have standard output"),
        ("quorum --policy policy.toml nothing.json", "nothing.json: cannot be read"),
        ("quorum --policy policy.toml --stagex .", "has no [stagex] to judge it by"),
        ("quorum --policy greedy.toml", "lists 2 persons: nobody can meet that"),
        ("quorum --init other.toml x.json", "--init only writes a policy"),
    ],
)
def test_bad_usage(command: str, says: str, desk: Desk) -> None:
    if "gpg" in command and shutil.which("gpg") is None:
        pytest.skip("gpg is not installed: attest says so first")
    greedy = desk.policy().read_text().replace("persons = 2", "persons = 3")
    (desk.folder / "greedy.toml").write_text(greedy)
    name, *words = command.split()
    if name == "attest" and "--run" not in words:
        words = ["--report", str(desk.run.report), *words]
    done = inside(name, *words, cwd=desk.folder)
    assert done.status == 2
    assert says in done.one_line()
    assert not (desk.folder / "other.toml").exists()


def test_what_is_no_attestation_is_named_and_does_not_count(desk: Desk) -> None:
    """README's lines, in a folder where report.json lies beside: `*.json` has that too."""
    shutil.copy(desk.run.report, desk.folder / "report.json")
    for name in ("alice", "bob"):
        assert desk.sign(name).status == 0
    (desk.folder / "other.json").write_text("{}")
    (desk.folder / "folder.json").mkdir()
    everything = sorted(place.name for place in desk.folder.glob("*.json"))
    done = desk.quorum(*everything, "--json", "out.txt")
    assert done.status == 0, done.stdout
    rows = json.loads((desk.folder / "out.txt").read_text())["attestations"]["signatures"]
    assert {row["file"]: row["verdict"] for row in rows} == {
        **dict.fromkeys(("alice.json", "bob.json"), "counts"),
        **dict.fromkeys(("folder.json", "other.json", "report.json"), "no-attestation"),
    }
    text = " ".join(done.stdout.split())
    assert "other.json: no attestation: signatures is missing" in text
    assert "report.json: no attestation: is a report, which nobody signed" in text
    assert "runs 1 report; alice and bob signed one and the same report, so one run" in text
    assert "MET: the policy is met; alice and bob signed one and the same report, so" in text
    (desk.folder / "bob.json").write_text("{}")
    done = desk.quorum(*everything)
    assert done.status == 1 and "NOT MET: persons: 2 wanted, 1 found." in done.stdout


def test_a_policy_to_begin_with(people: People, tmp_path: Path) -> None:
    done = inside("quorum", "--init", cwd=tmp_path)
    assert done.status == 0, done.stderr
    place = tmp_path / "policy.toml"
    policy = read_policy(place)
    assert sorted(policy.persons) == ["alice", "bob"]
    for key in policy.keys:
        # Nobody chose these keys, so nobody can sign by them.
        seed = f"bootstrap-emulator: {key.person} of the sample policy"
        assert base64.b64decode(key.data.split()[1])[-32:] == hashlib.sha256(seed.encode()).digest()
    place.write_text("mine")
    again = inside("quorum", "--init", cwd=tmp_path)
    assert again.status == 2 and "exists already" in again.one_line()
    assert place.read_text() == "mine"


def test_every_key_of_the_sample_policy_is_one(tmp_path: Path) -> None:
    """What is commented out is read, too."""
    assert inside("quorum", "--init", cwd=tmp_path).status == 0
    place = tmp_path / "policy.toml"
    lines = [re.sub(r"^# (?=[\w.]+ = |\[)", "", line) for line in place.read_text().splitlines()]
    text = "\n".join(lines).replace('"..."', f'"{"0" * 64}"')
    place.write_text(text.replace("[persons.carol.keys.pgp]", "[persons.alice.keys.pgp]"))
    (tmp_path / "carol.asc").touch()
    policy = read_policy(place)
    assert policy.need is not None and policy.about is not None
    assert (policy.need.runs, policy.need.stated, policy.about.entry) == (2, "refuse", "hex0-seed")
    assert policy.allow.builders and policy.allow.external_parameters == ("mirror",)


def test_a_day_that_is_none(desk: Desk) -> None:
    done = desk.quorum("--at", "yesterday")
    assert done.status == 2
    assert "--at: invalid day, as in 2026-11-23 value: 'yesterday'" in done.stderr


def test_without_the_programs(desk: Desk) -> None:
    assert desk.sign("alice").status == 0
    out, nowhere = desk.folder / "alice.json", {"PATH": str(desk.folder)}
    done = bootstrap("quorum", "--policy", desk.policy(), out, env=nowhere)
    assert done.status == 2
    assert "ssh-keygen is not installed; it comes with OpenSSH" in done.one_line()
    given: list[str | Path] = ["--sign", "gpg", "-o", out]
    done = bootstrap("attest", "--report", desk.run.report, *given, env=nowhere)
    assert done.status == 2
    assert "gpg is not installed; it comes with GnuPG" in done.one_line()
