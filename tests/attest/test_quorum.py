"""Policies and attestations, good, forged, stale, doubled and conflicting, each with its verdict.

Every signature is made and checked by the real ssh-keygen and gpg.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
TOMORROW, YESTERDAY = (TODAY + datetime.timedelta(days) for days in (1, -1))
WRONG = "0" * 64
NONE = "none"
"""In place of an envelope: a file that is no attestation."""

# What stands after a signer's name in a case: another run than the one of the evidence ...
RUNS: dict[str, Callable[[Evidence], dict[str, Any]]] = {
    "other-product": lambda e: {"products": {**e.products, "hello": VerifiedFile(1, WRONG)}},
    "more-products": lambda e: {"products": {**e.products, "more": VerifiedFile(1, WRONG)}},
    "less-products": lambda e: {"products": {p: f for p, f in e.products.items() if p != "hello"}},
    "other-source": lambda e: {"materials": {**e.materials, "hex0.hex0": WRONG}},
    "release": lambda e: {"name": "stage0-posix", "release": "1.6.0"},
    "unknown-release": lambda e: {"name": "stage0-posix", "release": "9.9"},
    "AMD64": lambda e: {"arch": "AMD64"},
    "kaem-seed": lambda e: {"entry": "kaem-optional-seed"},
    "window": lambda e: {"entry": "window"},
    "other-engine": lambda e: {"engine": ("unicorn-2", "1")},
    "rechecked": lambda e: {"decided_by": "core"},
    "another-run": lambda e: {"run_digest": WRONG},
}
# ... on another machine ...
HOSTS = {
    "intel": INTEL,
    "intel-by-another-name": Host("Intel", "?", "?"),
    "intel-given": Host("GenuineIntel", "?", "Linux", "given"),
    "no-vendor": Host("unknown", "?", "?"),
    "acme": Host("Acme", "?", "?"),
    "openbsd": Host("AuthenticAMD", "?", "OpenBSD 7.5"),
    "other-linux": Host("AuthenticAMD", "?", "Linux 5.10 (debian 11)"),
    "templeos": Host("AuthenticAMD", "?", "TempleOS 5"),
}
# ... another statement, signed ...
STATEMENTS: dict[str, tuple[str, object]] = {
    "lying-digest": ("predicate buildDefinition internalParameters sourceDigest", WRONG),
    "other-build": ("predicate buildDefinition buildType", "https://example.org/make"),
    "odd-builder": ("predicate runDetails builder id", "https://example.org/builder"),
    "odd-parameter": ("predicate buildDefinition externalParameters mirror", "x"),
    "no-report": ("predicate runDetails byproducts", [{"name": "log"}]),
    "old-statement": ("_type", "https://in-toto.io/Statement/v0.1"),
    "old-predicate": ("predicateType", "https://slsa.dev/provenance/v0.2"),
    "no-subject": ("subject", []),
    "subject-twice": ("subject", [{"name": "a", "digest": {"sha256": WRONG}}] * 2),
    "no-text": ("subject", [{"name": "\ud800", "digest": {"sha256": WRONG}}]),
}


def git_signature(p: People, made: Envelope) -> Envelope:
    signature = p.sign(made.signed_bytes(), "alice", namespace="git")
    return dataclasses.replace(made, signatures=(signature,))


def more_signatures(made: Envelope, *signatures: Signature) -> Envelope:
    return dataclasses.replace(made, signatures=(*made.signatures, *signatures))


# ... or another envelope, made of the good one.
FORGERIES: dict[str, Callable[[People, Envelope], Envelope]] = {
    "payload-changed": lambda p, m: dataclasses.replace(m, payload=m.payload.replace(b"x86", b"x")),
    "type-changed": lambda p, m: dataclasses.replace(m, payload_type="text/plain"),
    "other-type": lambda p, m: p.envelope(m.payload, "alice", kind="text/plain"),
    "no-json": lambda p, m: p.envelope(b"{", "alice"),
    "payload-alone": lambda p, m: Envelope(m.payload, PAYLOAD_TYPE, (p.sign(m.payload, "alice"),)),
    "for-git": git_signature,
    "signed-twice": lambda p, m: more_signatures(m, m.signatures[0]),
    "and-a-stump": lambda p, m: more_signatures(
        m, Signature("alice", b"-----BEGIN SSH SIGNATURE-----\nAAAA\n")
    ),
    # The keyid is a hint and counts for nothing.
    "keyid-of-bob": lambda p, m: dataclasses.replace(
        m, signatures=(Signature("bob", m.signatures[0].data),)
    ),
}


@dataclass(frozen=True)
class Case:
    """``said`` is of each envelope who signed and what is odd; ``verdicts`` are of the signatures.

    ``keys`` are PERSON or PERSON=KEY, ``days`` a line more for a person's key.
    """

    said: str
    verdicts: str
    met: bool
    says: str = ""
    need: str = "persons = 2"
    about: str = ""
    allow: str = ""
    keys: str = "alice bob carol"
    days: Mapping[str, str] = field(default_factory=dict)


VENDORS, SYSTEMS, ENGINES, RECORDS = (
    f"persons = 2\n{what} = 2" for what in ("cpu_vendors", "systems", "engines", "runs")
)
SEEN = 'persons = 2\nruns = 2\ncpu_vendors = 2\nstated = "refuse"'
TELL = 'persons = 2\ndisagreement = "tell"'
RECHECK = 'persons = 2\nrecheck = "require"'
ONE_VENDOR = "cpu vendors: 2 wanted, 1 found"
ONE_SYSTEM = "systems: 2 wanted, 1 found"
NOT_ALL = "not all agree on the products"
TWO = "counts counts"

TABLE: dict[str, Case] = {
    "two persons": Case("alice; bob", TWO, True),
    "nobody": Case("", "", False, "persons: 2 wanted, 0 found"),
    "one of two": Case("alice", "counts", False),
    "two keys of one person": Case(
        "alice; bob", "counts again", False, keys="alice alice=bob carol"
    ),
    "the same file twice": Case("alice; alice", "counts again", False),
    "one signature twice in one envelope": Case("alice signed-twice", "counts again", False),
    "two persons in one envelope": Case("alice+bob", TWO, True),
    "a payload changed after signing": Case("alice payload-changed", "bad-signature", False),
    "a payloadType changed after signing": Case("alice type-changed", "wrong-type", False),
    "another payloadType, signed": Case("alice other-type", "wrong-type", False),
    "a signature over the payload alone": Case("alice payload-alone", "bad-signature", False),
    "a signature made for git": Case("alice for-git", "bad-signature", False),
    "a key nobody lists": Case("mallory; alice", "unknown-key counts", False),
    "a signature that is none": Case("alice and-a-stump", "counts bad-signature", False),
    "another's keyid": Case("alice keyid-of-bob", "counts", True, need="persons = 1"),
    "a key that has expired": Case(
        "alice; bob", "expired counts", False, days={"alice": f"valid_until = {YESTERDAY}"}
    ),
    "a key on its last day": Case(
        "alice; bob", TWO, True, days={"alice": f"valid_until = {TODAY}"}
    ),
    "a key of tomorrow": Case(
        "alice; bob", "not-yet-valid counts", False, days={"alice": f"valid_from = {TOMORROW}"}
    ),
    "a key that was revoked": Case(
        "alice; bob", "revoked counts", False, days={"alice": f"revoked = {TODAY}"}
    ),
    "a key that will be revoked": Case(
        "alice; bob", TWO, True, days={"alice": f"revoked = {TOMORROW}"}
    ),
    "nobody's key counts any more": Case(
        "alice; bob",
        "expired expired",
        False,
        "nobody can meet this policy",
        keys="alice bob",
        days=dict.fromkeys(("alice", "bob"), "valid_until = 2020-01-01"),
    ),
    "a replay for another release": Case("alice; bob release", "counts other-release", False),
    "a replay for another architecture": Case("alice; bob AMD64", "counts other-release", False),
    "another way in": Case(
        "alice; bob kaem-seed", "counts other-entry", False, about='entry = "hex0-seed"'
    ),
    "other sources than the policy's": Case(
        "alice; bob other-source", "counts other-sources", False, about='source_digest = "{source}"'
    ),
    "other sources than most have": Case(
        "alice; bob other-source; carol", "counts other-sources counts", True
    ),
    "as many for other sources": Case(
        "alice; bob other-source",
        "other-sources other-sources",
        False,
        "as many vouch for some sources as for others",
        need="persons = 1",
    ),
    "sources that only the signers know": Case(
        "alice other-source; bob other-source", TWO, False, "not all agree"
    ),
    "one of three has another product": Case(
        "alice; bob other-product; carol", "counts other-products counts", False, "not all agree"
    ),
    "one of three has another product, and may": Case(
        "alice; bob other-product; carol", "counts other-products counts", True, need=TELL
    ),
    "one of three lacks a product": Case(
        "alice; bob less-products; carol", "counts other-products counts", False
    ),
    "all agree on what the catalogue does not have": Case(
        "alice other-product; bob other-product", TWO, False, NOT_ALL
    ),
    "another product than the policy's": Case(
        "alice; bob",
        "other-products other-products",
        False,
        NOT_ALL,
        about=f'[about.products]\nhello = "{WRONG}"',
    ),
    "the policy's product": Case(
        "alice; bob", TWO, True, about='[about.products]\nhello = "{hello}"'
    ),
    "somebody contradicts himself": Case(
        "alice; bob; bob other-product", "counts contradicts contradicts", False, need=TELL
    ),
    "two vendors": Case("alice; bob intel", TWO, True, need=f"{VENDORS}\nengines = 1"),
    "two vendors of one person": Case(
        "alice; alice intel; bob", "counts again counts", True, need=VENDORS
    ),
    "one vendor of two": Case("alice; bob", TWO, False, ONE_VENDOR, VENDORS),
    "a vendor nobody knows": Case("alice; bob no-vendor", TWO, False, ONE_VENDOR, VENDORS),
    "a vendor of one who does not count": Case(
        "alice; mallory intel", "counts unknown-key", False, ONE_VENDOR, VENDORS
    ),
    "one engine of two": Case("alice; bob", TWO, False, "engines: 2 wanted, 1 found", ENGINES),
    "an engine of another name": Case(
        "alice; bob other-engine", TWO, False, "engines: 2 wanted, 1 found", ENGINES
    ),
    "a vendor by two names": Case(
        "alice intel; bob intel-by-another-name", TWO, False, ONE_VENDOR, VENDORS
    ),
    "a vendor that is none": Case("alice; bob acme", TWO, False, ONE_VENDOR, VENDORS),
    "two systems": Case("alice; bob openbsd", TWO, True, need=SYSTEMS),
    "two versions of one system": Case("alice; bob other-linux", TWO, False, ONE_SYSTEM, SYSTEMS),
    "a system that is none": Case("alice; bob templeos", TWO, False, ONE_SYSTEM, SYSTEMS),
    "two runs": Case("alice; bob another-run", TWO, True, need=RECORDS),
    "two signatures of one run": Case("alice; bob", TWO, False, "runs: 2 wanted, 1 found", RECORDS),
    "what was seen, by a policy that wants no other": Case(
        "alice made; bob made another-run intel",
        TWO,
        True,
        need=f"{SEEN}\nengines = 1\nsystems = 1",
    ),
    "what was read from a report": Case(
        "alice made; bob another-run intel",
        TWO,
        False,
        f"runs: 2 wanted, 1 found; {ONE_VENDOR}",
        SEEN,
    ),
    "what was given by hand": Case(
        "alice made; bob made another-run intel-given", TWO, False, ONE_VENDOR, SEEN
    ),
    "a product more than the catalogue has": Case(
        "alice more-products; bob more-products", TWO, False, NOT_ALL
    ),
    "a product less than the catalogue has": Case(
        "alice less-products; bob less-products", TWO, False, NOT_ALL
    ),
    "a way in that the catalogue does not have": Case(
        "alice window; bob window", TWO, False, NOT_ALL
    ),
    "a file that is no attestation": Case(
        f"{NONE}; alice; bob", "no-attestation counts counts", True
    ),
    "a file that is no attestation, and one that is": Case(
        f"alice; {NONE}", "counts no-attestation", False, "persons: 2 wanted, 1 found"
    ),
    "runs of the fast path alone, where a recheck is asked for": Case(
        "alice; bob rechecked", "not-rechecked counts", False, need=RECHECK
    ),
    "rechecked runs": Case("alice rechecked; bob rechecked", TWO, True, need=RECHECK),
    "a builder nobody knows": Case("alice odd-builder; bob", "not-allowed counts", False),
    "a builder that the policy allows": Case(
        "alice odd-builder; bob", TWO, True, allow='builders = ["https://example.org/builder"]'
    ),
    "a parameter nobody knows": Case("alice odd-parameter; bob", "not-allowed counts", False),
    "a parameter that the policy allows": Case(
        "alice odd-parameter; bob", TWO, True, allow='external_parameters = ["mirror"]'
    ),
    "a name that is no text": Case("alice no-text", "not-understood", False),
    "a statement of no report": Case("alice no-report", "not-understood", False),
    "a statement of another type": Case("alice old-statement", "not-understood", False),
    "a predicate of another type": Case("alice old-predicate", "not-understood", False),
    "a build of another type": Case("alice other-build", "not-understood", False),
    "a statement without subjects": Case("alice no-subject", "not-understood", False),
    "a subject twice": Case("alice subject-twice", "not-understood", False),
    "a digest of other sources": Case("alice lying-digest", "not-understood", False),
    "signed, and no JSON": Case("alice no-json", "not-understood", False),
}


def made(text: str, p: People, e: Evidence) -> Envelope | Fault:
    """The envelope that a case describes."""
    if text == NONE:
        return Fault("signatures is missing")
    names, *odd = text.split()
    host, run = AMD, READ
    for word in odd:
        if word in RUNS:
            e = dataclasses.replace(e, **RUNS[word](e))
        host = HOSTS.get(word, host)
        run = MADE if word == "made" else run
    statement = make_statement(e, host, run)
    for word in odd:
        if word in STATEMENTS:
            (*way, last), value = STATEMENTS[word][0].split(), STATEMENTS[word][1]
            inner = statement
            for name in way:
                inner = inner[name]
            inner[last] = value
    found = p.envelope(payload(statement), *names.split("+"))
    for word in odd:
        if word in FORGERIES:
            found = FORGERIES[word](p, found)
    known = RUNS.keys() | HOSTS.keys() | STATEMENTS.keys() | FORGERIES.keys() | {"made"}
    assert known.issuperset(odd), odd
    return found


class Judge:
    """Judges cases by the policies that they describe."""

    def __init__(self, folder: Path, people: People, evidence: Evidence) -> None:
        self.folder, self.people, self.evidence = folder, people, evidence

    def of(self, case: Case, title: str = 'name = "embedded"') -> Verdicts:
        hello = self.evidence.products["hello"].sha256
        about = case.about.format(source=self.evidence.source_digest, hello=hello)
        keys = (key.partition("=")[::2] for key in case.keys.split())
        place = self.folder / "policy.toml"
        place.write_text(
            f'schema = 1\n[need]\n{case.need}\n[about]\n{title}\narch = "x86"\n{about}\n'
            f"[allow]\n{case.allow}\n"
            + "".join(self.people.key(p, k or p, case.days.get(p, "")) for p, k in keys)
        )
        policy = read_policy(place)
        assert policy.about is not None
        texts = [text.strip() for text in case.said.split(";") if text]
        envelopes = [
            (f"{number}.json", made(text, self.people, self.evidence))
            for number, text in enumerate(texts, 1)
        ]
        with open_ring(policy.keys, TODAY) as ring:
            return judge(policy, envelopes, ring, known_of(policy.about))


@pytest.fixture
def judged(tmp_path: Path, people: People, evidence: Evidence) -> Judge:
    return Judge(tmp_path, people, evidence)


@pytest.mark.parametrize("name", TABLE)
def test_verdicts(name: str, judged: Judge) -> None:
    case = TABLE[name]
    found = judged.of(case)
    assert [voice.verdict for voice in found.voices] == case.verdicts.split(), found.voices
    assert found.met is case.met, (found.missing, found.refused)
    said = "; ".join(filter(None, (found.impossible, *found.missing, *found.refused)))
    assert case.says in said
    assert all(voice.why for voice in found.voices if voice.verdict != "counts")


@pytest.mark.parametrize(
    ("name", "path", "ours", "theirs", "by", "known"),
    [
        ("one of three has another product", "hello", "good", WRONG, "bob (2.json)", ""),
        ("all agree on what the catalogue does not have", "hello", WRONG, "good", CATALOGUE, ""),
        ("a product more than the catalogue has", "more", WRONG, None, CATALOGUE, "products"),
        ("a product less than the catalogue has", "hello", None, "good", CATALOGUE, "products"),
        (
            "a way in that the catalogue does not have",
            "(all sources)",
            "source",
            None,
            CATALOGUE,
            "sources",
        ),
    ],
)
def test_a_disagreement_is_named_byte_for_byte(
    name: str,
    path: str,
    ours: str | None,
    theirs: str | None,
    by: str,
    known: str,
    judged: Judge,
) -> None:
    """The same means equal sets: a product more or less is one that differs."""
    evidence = judged.evidence
    values = {"good": evidence.products["hello"].sha256, "source": evidence.source_digest}
    found = judged.of(TABLE[name])
    (row,) = found.disagreements
    assert (row.path, row.by) == (path, by)
    assert (row.ours, row.theirs) == tuple(values.get(side or "", side) for side in (ours, theirs))
    if known:
        same = f"not the same {known} as this program's catalogue has for embedded x86: {path}"
        assert found.known == same


def test_a_release_that_the_catalogue_does_not_have(judged: Judge) -> None:
    case = Case("alice unknown-release", "counts", True, need="persons = 1")
    found = judged.of(case, 'name = "stage0-posix"\nrelease = "9.9"')
    assert found.met
    assert found.known == "nothing: this program's catalogue does not have stage0-posix 9.9 x86"


def test_what_is_only_stated_is_marked(judged: Judge) -> None:
    found = judged.of(TABLE["what was given by hand"])
    (vendors,) = (row for row in found.thresholds if row.what == "cpu vendors")
    assert (vendors.have, vendors.stated) == (("AuthenticAMD",), ("GenuineIntel",))


def test_whose_sources_differ_is_said_with_the_file_or_the_digest(judged: Judge) -> None:
    found = judged.of(TABLE["other sources than most have"])
    assert found.voices[1].why == "it is about other sources: hex0.hex0"
    found = judged.of(TABLE["other sources than the policy's"])
    assert found.voices[1].why.endswith(f"the policy's {judged.evidence.source_digest}")
