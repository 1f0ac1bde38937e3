"""Policies and attestations, good, forged, stale, doubled and conflicting, each with its verdict.

Every signature is made and checked by the real ssh-keygen and gpg.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootstrap.attest.envelope import PAYLOAD_TYPE, Envelope, Signature
from bootstrap.attest.evidence import Evidence, VerifiedFile
from bootstrap.attest.hosts import Host
from bootstrap.attest.policy import read_policy
from bootstrap.attest.quorum import CATALOGUE, Verdicts, judge, known_of
from bootstrap.attest.signatures import open_ring
from bootstrap.attest.statement import MADE, READ, make_statement, payload
from bootstrap.documents import Fault
from tests.attest.people import AMD, INTEL, People

TODAY = datetime.datetime.now(datetime.UTC).date()
WRONG = "0" * 64

Make = Callable[[People, Evidence], Sequence[Envelope | Fault]]


@dataclass(frozen=True)
class Case:
    """``keys`` are (person, key, more); ``verdicts`` are of each signature in order."""

    make: Make
    verdicts: tuple[str, ...]
    met: bool
    keys: tuple[tuple[str, str, str], ...] = (
        ("alice", "alice", ""),
        ("bob", "bob", ""),
        ("carol", "carol", ""),
    )
    need: str = "persons = 2"
    about: str = ""
    allow: str = ""
    says: str = ""


def products(evidence: Evidence, path: str = "hello") -> dict[str, VerifiedFile]:
    return {**evidence.products, path: VerifiedFile(1, WRONG)}


def materials(evidence: Evidence) -> dict[str, str]:
    return {**evidence.materials, "hex0.hex0": WRONG}


def both(p: People, e: Evidence) -> list[Envelope]:
    return [p.attest(e, "alice"), p.attest(e, "bob")]


def changed_payload(p: People, e: Evidence) -> list[Envelope]:
    good, other = p.attest(e, "alice"), p.attest(e, "bob", products=products(e))
    return [dataclasses.replace(good, payload=other.payload)]


def only_the_payload(p: People, e: Evidence) -> list[Envelope]:
    content = payload(make_statement(e, AMD))
    return [Envelope(content, PAYLOAD_TYPE, (p.sign(content, "alice"),))]


def for_git(p: People, e: Evidence) -> list[Envelope]:
    made = p.attest(e, "alice")
    signature = p.sign(made.signed_bytes(), "alice", namespace="git")
    return [dataclasses.replace(made, signatures=(signature,))]


def with_signatures(envelope: Envelope, *signatures: Signature) -> Envelope:
    return dataclasses.replace(envelope, signatures=(*envelope.signatures, *signatures))


def lent(p: People, e: Evidence) -> list[Envelope]:
    """Alice's signature under Bob's name: the keyid is a hint and counts for nothing."""
    made = p.attest(e, "alice")
    return [dataclasses.replace(made, signatures=(Signature("bob", made.signatures[0].data),))]


def another_kind(p: People, e: Evidence, **top: object) -> list[Envelope]:
    statement = {**make_statement(e, AMD), **top}
    return [p.envelope(json.dumps(statement).encode(), "alice")]


def other_build(p: People, e: Evidence) -> list[Envelope]:
    statement = make_statement(e, AMD)
    statement["predicate"]["buildDefinition"]["buildType"] = "https://example.org/make"
    return [p.envelope(json.dumps(statement).encode(), "alice")]


def odd_builder(p: People, e: Evidence) -> list[Envelope]:
    statement = make_statement(e, AMD)
    statement["predicate"]["runDetails"]["builder"]["id"] = "https://example.org/builder"
    return [p.envelope(json.dumps(statement).encode(), "alice"), p.attest(e, "bob")]


def odd_parameter(p: People, e: Evidence) -> list[Envelope]:
    statement = make_statement(e, AMD)
    statement["predicate"]["buildDefinition"]["externalParameters"]["mirror"] = "x"
    return [p.envelope(json.dumps(statement).encode(), "alice"), p.attest(e, "bob")]


def without_a_report(p: People, e: Evidence) -> list[Envelope]:
    statement = make_statement(e, AMD)
    statement["predicate"]["runDetails"]["byproducts"][0]["name"] = "log"
    return [p.envelope(json.dumps(statement).encode(), "alice")]


def one_each(p: People, e: Evidence, host: Host = INTEL, run: str = MADE) -> list[Envelope]:
    """Alice's made here on an AMD; bob's of another report."""
    other = p.attest(e, "bob", host=host, run=run, run_digest=WRONG)
    return [p.attest(e, "alice", run=MADE), other]


def superset(e: Evidence) -> dict[str, VerifiedFile]:
    return {**e.products, "other-product": VerifiedFile(1, WRONG)}


def subset(e: Evidence) -> dict[str, VerifiedFile]:
    return {path: product for path, product in e.products.items() if path != "hello"}


def lying_digest(p: People, e: Evidence) -> list[Envelope]:
    statement = make_statement(e, AMD)
    statement["predicate"]["buildDefinition"]["internalParameters"]["sourceDigest"] = WRONG
    return [p.envelope(json.dumps(statement).encode(), "alice")]


TABLE: dict[str, Case] = {
    "two persons": Case(both, ("counts", "counts"), True),
    "nobody": Case(lambda p, e: [], (), False, says="persons: 2 wanted, 0 found"),
    "one of two": Case(lambda p, e: [p.attest(e, "alice")], ("counts",), False),
    "two keys of one person": Case(
        both,
        ("counts", "again"),
        False,
        keys=(("alice", "alice", ""), ("alice", "bob", ""), ("carol", "carol", "")),
    ),
    "the same file twice": Case(
        lambda p, e: [p.attest(e, "alice")] * 2, ("counts", "again"), False
    ),
    "one signature twice in one envelope": Case(
        lambda p, e: [with_signatures(a := p.attest(e, "alice"), a.signatures[0])],
        ("counts", "again"),
        False,
    ),
    "two persons in one envelope": Case(
        lambda p, e: [p.attest(e, "alice", "bob")], ("counts", "counts"), True
    ),
    "a payload changed after signing": Case(changed_payload, ("bad-signature",), False),
    "a payloadType changed after signing": Case(
        lambda p, e: [dataclasses.replace(p.attest(e, "alice"), payload_type="text/plain")],
        ("wrong-type",),
        False,
    ),
    "another payloadType, signed": Case(
        lambda p, e: [p.envelope(payload(make_statement(e, AMD)), "alice", kind="text/plain")],
        ("wrong-type",),
        False,
    ),
    "a signature over the payload alone": Case(only_the_payload, ("bad-signature",), False),
    "a signature made for git": Case(for_git, ("bad-signature",), False),
    "a key nobody lists": Case(
        lambda p, e: [p.attest(e, "mallory"), p.attest(e, "alice")],
        ("unknown-key", "counts"),
        False,
    ),
    "a signature that is none": Case(
        lambda p, e: [
            with_signatures(
                p.attest(e, "alice"), Signature("alice", b"-----BEGIN SSH SIGNATURE-----\nAAAA\n")
            )
        ],
        ("counts", "bad-signature"),
        False,
    ),
    "another's keyid": Case(lent, ("counts",), True, need="persons = 1"),
    "a key that has expired": Case(
        both,
        ("expired", "counts"),
        False,
        keys=(
            ("alice", "alice", f"valid_until = {TODAY - datetime.timedelta(1)}"),
            ("bob", "bob", ""),
            ("carol", "carol", ""),
        ),
    ),
    "a key on its last day": Case(
        both,
        ("counts", "counts"),
        True,
        keys=(("alice", "alice", f"valid_until = {TODAY}"), ("bob", "bob", "")),
    ),
    "a key of tomorrow": Case(
        both,
        ("not-yet-valid", "counts"),
        False,
        keys=(
            ("alice", "alice", f"valid_from = {TODAY + datetime.timedelta(1)}"),
            ("bob", "bob", ""),
            ("carol", "carol", ""),
        ),
    ),
    "a key that was revoked": Case(
        both,
        ("revoked", "counts"),
        False,
        keys=(("alice", "alice", f"revoked = {TODAY}"), ("bob", "bob", ""), ("carol", "carol", "")),
    ),
    "a key that will be revoked": Case(
        both,
        ("counts", "counts"),
        True,
        keys=(
            ("alice", "alice", f"revoked = {TODAY + datetime.timedelta(1)}"),
            ("bob", "bob", ""),
        ),
    ),
    "nobody's key counts any more": Case(
        both,
        ("expired", "expired"),
        False,
        keys=(
            ("alice", "alice", "valid_until = 2020-01-01"),
            ("bob", "bob", "valid_until = 2020-01-01"),
        ),
        says="nobody can meet this policy",
    ),
    "a replay for another release": Case(
        lambda p, e: [
            p.attest(e, "alice"),
            p.attest(e, "bob", name="stage0-posix", release="1.6.0"),
        ],
        ("counts", "other-release"),
        False,
    ),
    "a replay for another architecture": Case(
        lambda p, e: [p.attest(e, "alice"), p.attest(e, "bob", arch="AMD64")],
        ("counts", "other-release"),
        False,
    ),
    "another way in": Case(
        lambda p, e: [p.attest(e, "alice"), p.attest(e, "bob", entry="kaem-optional-seed")],
        ("counts", "other-entry"),
        False,
        about='entry = "hex0-seed"',
    ),
    "other sources than the policy's": Case(
        lambda p, e: [p.attest(e, "alice"), p.attest(e, "bob", materials=materials(e))],
        ("counts", "other-sources"),
        False,
        about='source_digest = "{source}"',
    ),
    "other sources than most have": Case(
        lambda p, e: [
            p.attest(e, "alice"),
            p.attest(e, "bob", materials=materials(e)),
            p.attest(e, "carol"),
        ],
        ("counts", "other-sources", "counts"),
        True,
    ),
    "as many for other sources": Case(
        lambda p, e: [p.attest(e, "alice"), p.attest(e, "bob", materials=materials(e))],
        ("other-sources", "other-sources"),
        False,
        need="persons = 1",
        says="as many vouch for some sources as for others",
    ),
    "sources that only the signers know": Case(
        lambda p, e: [p.attest(e, n, materials=materials(e)) for n in ("alice", "bob")],
        ("counts", "counts"),
        False,
        says="not all agree",
    ),
    "one of three has another product": Case(
        lambda p, e: [
            p.attest(e, "alice"),
            p.attest(e, "bob", products=products(e)),
            p.attest(e, "carol"),
        ],
        ("counts", "other-products", "counts"),
        False,
        says="not all agree",
    ),
    "one of three has another product, and may": Case(
        lambda p, e: [
            p.attest(e, "alice"),
            p.attest(e, "bob", products=products(e)),
            p.attest(e, "carol"),
        ],
        ("counts", "other-products", "counts"),
        True,
        need='persons = 2\ndisagreement = "tell"',
    ),
    "one of three lacks a product": Case(
        lambda p, e: [
            p.attest(e, "alice"),
            p.attest(e, "bob", products={k: v for k, v in e.products.items() if k != "hello"}),
            p.attest(e, "carol"),
        ],
        ("counts", "other-products", "counts"),
        False,
    ),
    "all agree on what the catalogue does not have": Case(
        lambda p, e: [p.attest(e, n, products=products(e)) for n in ("alice", "bob")],
        ("counts", "counts"),
        False,
        says="not all agree",
    ),
    "another product than the policy's": Case(
        both,
        ("other-products", "other-products"),
        False,
        about=f'[about.products]\nhello = "{WRONG}"',
        says="not all agree",
    ),
    "the policy's product": Case(
        both, ("counts", "counts"), True, about='[about.products]\nhello = "{hello}"'
    ),
    "somebody contradicts himself": Case(
        lambda p, e: [
            p.attest(e, "alice"),
            p.attest(e, "bob"),
            p.attest(e, "bob", products=products(e)),
        ],
        ("counts", "contradicts", "contradicts"),
        False,
        need='persons = 2\ndisagreement = "tell"',
    ),
    "two vendors": Case(
        lambda p, e: [p.attest(e, "alice"), p.attest(e, "bob", host=INTEL)],
        ("counts", "counts"),
        True,
        need="persons = 2\ncpu_vendors = 2\nengines = 1",
    ),
    "two vendors of one person": Case(
        lambda p, e: [p.attest(e, "alice"), p.attest(e, "alice", host=INTEL), p.attest(e, "bob")],
        ("counts", "again", "counts"),
        True,
        need="persons = 2\ncpu_vendors = 2",
    ),
    "one vendor of two": Case(
        both,
        ("counts", "counts"),
        False,
        need="persons = 2\ncpu_vendors = 2",
        says="cpu vendors: 2 wanted, 1 found",
    ),
    "a vendor nobody knows": Case(
        lambda p, e: [p.attest(e, "alice"), p.attest(e, "bob", host=Host("unknown", "?", "?"))],
        ("counts", "counts"),
        False,
        need="persons = 2\ncpu_vendors = 2",
    ),
    "a vendor of one who does not count": Case(
        lambda p, e: [p.attest(e, "alice"), p.attest(e, "mallory", host=INTEL)],
        ("counts", "unknown-key"),
        False,
        need="persons = 1\ncpu_vendors = 2",
    ),
    "one engine of two": Case(
        both,
        ("counts", "counts"),
        False,
        need="persons = 2\nengines = 2",
        says="engines: 2 wanted, 1 found",
    ),
    "an engine of another name": Case(
        lambda p, e: [p.attest(e, "alice"), p.attest(e, "bob", engine=("unicorn-2", "1"))],
        ("counts", "counts"),
        False,
        need="persons = 2\nengines = 2",
        says="engines: 2 wanted, 1 found",
    ),
    "a vendor by two names": Case(
        lambda p, e: [
            p.attest(e, "alice", host=INTEL),
            p.attest(e, "bob", host=Host("Intel", "?", "?")),
        ],
        ("counts", "counts"),
        False,
        need="persons = 2\ncpu_vendors = 2",
        says="cpu vendors: 2 wanted, 1 found",
    ),
    "a vendor that is none": Case(
        lambda p, e: [p.attest(e, "alice"), p.attest(e, "bob", host=Host("Acme", "?", "?"))],
        ("counts", "counts"),
        False,
        need="persons = 2\ncpu_vendors = 2",
        says="cpu vendors: 2 wanted, 1 found",
    ),
    "two systems": Case(
        lambda p, e: one_each(p, e, Host("AuthenticAMD", "?", "OpenBSD 7.5")),
        ("counts", "counts"),
        True,
        need="persons = 2\nsystems = 2",
    ),
    "two versions of one system": Case(
        lambda p, e: one_each(p, e, Host("AuthenticAMD", "?", "Linux 5.10 (debian 11)")),
        ("counts", "counts"),
        False,
        need="persons = 2\nsystems = 2",
        says="systems: 2 wanted, 1 found",
    ),
    "a system that is none": Case(
        lambda p, e: one_each(p, e, Host("AuthenticAMD", "?", "TempleOS 5")),
        ("counts", "counts"),
        False,
        need="persons = 2\nsystems = 2",
        says="systems: 2 wanted, 1 found",
    ),
    "two runs": Case(one_each, ("counts", "counts"), True, need="persons = 2\nruns = 2"),
    "two signatures of one run": Case(
        both,
        ("counts", "counts"),
        False,
        need="persons = 2\nruns = 2",
        says="runs: 2 wanted, 1 found",
    ),
    "what was seen, by a policy that wants no other": Case(
        one_each,
        ("counts", "counts"),
        True,
        need='persons = 2\nruns = 2\nengines = 1\ncpu_vendors = 2\nsystems = 1\nstated = "refuse"',
    ),
    "what was read from a report": Case(
        lambda p, e: one_each(p, e, run=READ),
        ("counts", "counts"),
        False,
        need='persons = 2\nruns = 2\ncpu_vendors = 2\nstated = "refuse"',
        says="runs: 2 wanted, 1 found; cpu vendors: 2 wanted, 1 found",
    ),
    "what was given by hand": Case(
        lambda p, e: one_each(p, e, Host("GenuineIntel", "?", "Linux", "given")),
        ("counts", "counts"),
        False,
        need='persons = 2\ncpu_vendors = 2\nstated = "refuse"',
        says="cpu vendors: 2 wanted, 1 found",
    ),
    "a product more than the catalogue has": Case(
        lambda p, e: [p.attest(e, name, products=superset(e)) for name in ("alice", "bob")],
        ("counts", "counts"),
        False,
        says="not all agree on the products",
    ),
    "a product less than the catalogue has": Case(
        lambda p, e: [p.attest(e, name, products=subset(e)) for name in ("alice", "bob")],
        ("counts", "counts"),
        False,
        says="not all agree on the products",
    ),
    "a way in that the catalogue does not have": Case(
        lambda p, e: [p.attest(e, name, entry="window") for name in ("alice", "bob")],
        ("counts", "counts"),
        False,
        says="not all agree on the products",
    ),
    "a file that is no attestation": Case(
        lambda p, e: [Fault("signatures is missing"), *both(p, e)],
        ("no-attestation", "counts", "counts"),
        True,
    ),
    "a file that is no attestation, and one that is": Case(
        lambda p, e: [p.attest(e, "alice"), Fault("signatures is missing")],
        ("counts", "no-attestation"),
        False,
        says="persons: 2 wanted, 1 found",
    ),
    "runs of the fast path alone, where a recheck is asked for": Case(
        lambda p, e: [p.attest(e, "alice"), p.attest(e, "bob", decided_by="core")],
        ("not-rechecked", "counts"),
        False,
        need='persons = 2\nrecheck = "require"',
    ),
    "rechecked runs": Case(
        lambda p, e: [p.attest(e, who, decided_by="core") for who in ("alice", "bob")],
        ("counts", "counts"),
        True,
        need='persons = 2\nrecheck = "require"',
    ),
    "a builder nobody knows": Case(odd_builder, ("not-allowed", "counts"), False),
    "a builder that the policy allows": Case(
        odd_builder,
        ("counts", "counts"),
        True,
        allow='builders = ["https://example.org/builder"]',
    ),
    "a parameter nobody knows": Case(odd_parameter, ("not-allowed", "counts"), False),
    "a parameter that the policy allows": Case(
        odd_parameter, ("counts", "counts"), True, allow='external_parameters = ["mirror"]'
    ),
    "a name that is no text": Case(
        lambda p, e: another_kind(p, e, subject=[{"name": "\ud800", "digest": {"sha256": WRONG}}]),
        ("not-understood",),
        False,
    ),
    "a statement of no report": Case(without_a_report, ("not-understood",), False),
    "a statement of another type": Case(
        lambda p, e: another_kind(p, e, _type="https://in-toto.io/Statement/v0.1"),
        ("not-understood",),
        False,
    ),
    "a predicate of another type": Case(
        lambda p, e: another_kind(p, e, predicateType="https://slsa.dev/provenance/v0.2"),
        ("not-understood",),
        False,
    ),
    "a build of another type": Case(other_build, ("not-understood",), False),
    "a statement without subjects": Case(
        lambda p, e: another_kind(p, e, subject=[]), ("not-understood",), False
    ),
    "a subject twice": Case(
        lambda p, e: another_kind(p, e, subject=make_statement(e, AMD)["subject"] * 2),
        ("not-understood",),
        False,
    ),
    "a digest of other sources": Case(lying_digest, ("not-understood",), False),
    "signed, and no JSON": Case(
        lambda p, e: [p.envelope(b"{", "alice")], ("not-understood",), False
    ),
}


def judged(
    folder: Path, people: People, evidence: Evidence, case: Case, at: datetime.date = TODAY
) -> Verdicts:
    about = case.about.format(
        source=evidence.source_digest, hello=evidence.products["hello"].sha256
    )
    text = (
        f'schema = 1\n[need]\n{case.need}\n[about]\nname = "embedded"\narch = "x86"\n{about}\n'
        f"[allow]\n{case.allow}\n" + "".join(people.key(*key) for key in case.keys)
    )
    place = folder / "policy.toml"
    place.write_text(text)
    policy = read_policy(place)
    assert policy.about is not None
    envelopes = [(f"{n}.json", env) for n, env in enumerate(case.make(people, evidence), 1)]
    with open_ring(policy.keys, at) as ring:
        return judge(policy, envelopes, ring, known_of(policy.about))


@pytest.mark.parametrize("name", TABLE)
def test_verdicts(name: str, tmp_path: Path, people: People, evidence: Evidence) -> None:
    case = TABLE[name]
    found = judged(tmp_path, people, evidence, case)
    assert tuple(voice.verdict for voice in found.voices) == case.verdicts, found.voices
    assert found.met is case.met, (found.missing, found.refused)
    said = "; ".join(filter(None, (found.impossible, *found.missing, *found.refused)))
    assert case.says in said
    assert all(voice.why for voice in found.voices if voice.verdict != "counts")


def test_a_disagreement_is_named_byte_for_byte(
    tmp_path: Path, people: People, evidence: Evidence
) -> None:
    found = judged(tmp_path, people, evidence, TABLE["one of three has another product"])
    (row,) = found.disagreements
    good = evidence.products["hello"].sha256
    assert (row.path, row.ours, row.theirs, row.by) == ("hello", good, WRONG, "bob (2.json)")


def test_the_catalogue_disagrees_with_all_signers(
    tmp_path: Path, people: People, evidence: Evidence
) -> None:
    case = TABLE["all agree on what the catalogue does not have"]
    (row,) = judged(tmp_path, people, evidence, case).disagreements
    assert (row.path, row.ours) == ("hello", WRONG)
    assert row.theirs == evidence.products["hello"].sha256
    assert row.by == "this program's catalogue"


@pytest.mark.parametrize(
    ("name", "path", "ours", "theirs", "known"),
    [
        (
            "a product more than the catalogue has",
            "other-product",
            True,
            False,
            "not the same products as this program's catalogue has for embedded x86: other-product",
        ),
        (
            "a product less than the catalogue has",
            "hello",
            False,
            True,
            "not the same products as this program's catalogue has for embedded x86: hello",
        ),
        (
            "a way in that the catalogue does not have",
            "(all sources)",
            True,
            False,
            "not the same sources as this program's catalogue has for embedded x86: (all sources)",
        ),
    ],
)
def test_the_same_means_equal_sets(
    name: str,
    path: str,
    ours: bool,
    theirs: bool,
    known: str,
    tmp_path: Path,
    people: People,
    evidence: Evidence,
) -> None:
    found = judged(tmp_path, people, evidence, TABLE[name])
    (row,) = found.disagreements
    assert (row.path, row.ours is not None, row.theirs is not None) == (path, ours, theirs)
    assert row.by == CATALOGUE and found.known == known


def test_a_release_that_the_catalogue_does_not_have(
    tmp_path: Path, people: People, evidence: Evidence
) -> None:
    place = tmp_path / "policy.toml"
    place.write_text(
        'schema = 1\n[need]\npersons = 1\n[about]\nname = "stage0-posix"\nrelease = "9.9"\n'
        f'arch = "x86"\n{people.key("alice", "alice")}'
    )
    policy = read_policy(place)
    assert policy.about is not None
    made = people.attest(evidence, "alice", name="stage0-posix", release="9.9")
    with open_ring(policy.keys, TODAY) as ring:
        known = known_of(policy.about)
        found = judge(policy, [("alice.json", made)], ring, known)
    assert found.met
    assert found.known == "nothing: this program's catalogue does not have stage0-posix 9.9 x86"


def test_what_is_only_stated_is_marked(tmp_path: Path, people: People, evidence: Evidence) -> None:
    found = judged(tmp_path, people, evidence, TABLE["what was given by hand"])
    (vendors,) = (row for row in found.thresholds if row.what == "cpu vendors")
    assert (vendors.have, vendors.stated) == (("AuthenticAMD",), ("GenuineIntel",))


def test_whose_sources_differ_is_reported_with_the_file(
    tmp_path: Path, people: People, evidence: Evidence
) -> None:
    found = judged(tmp_path, people, evidence, TABLE["other sources than most have"])
    assert found.voices[1].why == "it is about other sources: hex0.hex0"


def test_sources_that_the_policy_does_not_want_are_named_with_the_digest(
    tmp_path: Path, people: People, evidence: Evidence
) -> None:
    found = judged(tmp_path, people, evidence, TABLE["other sources than the policy's"])
    assert found.voices[1].why.endswith(f"the policy's {evidence.source_digest}")
