"""Policies and attestations, good, forged, stale, doubled and conflicting, each with its verdict.

Every signature is made and checked by the real ssh-keygen and gpg.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bootstrap.attest.envelope import PAYLOAD_TYPE, Envelope, Signature, read_envelope
from bootstrap.attest.evidence import Evidence, VerifiedFile
from bootstrap.attest.hosts import Host
from bootstrap.attest.policy import SshKey, read_policy
from bootstrap.attest.quorum import CATALOGUE, Verdicts, judge, known_of
from bootstrap.attest.signatures import open_ring
from bootstrap.attest.statement import (
    BUILDER,
    IMAGE,
    IN_SUMMARY,
    MADE,
    READ,
    make_statement,
    payload,
)
from bootstrap.documents import MAX_DOCUMENT, BadValue
from bootstrap.report.model import NameAndVersion
from bootstrap.report.opinion import JudgedBy, ReleaseOpinion
from tests.attest.people import AMD, INTEL, People
from tests.attest.runs import put

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
    "new-opinions": ("predicate buildDefinition internalParameters opinions schema", "x/2"),
    "other-tree": ("predicate buildDefinition internalParameters opinions treeDigest", WRONG),
    "no-text": ("subject", [{"name": "\ud800", "digest": {"sha256": WRONG}}]),
    "no-sha256": ("subject 0 digest", {"sha512": WRONG * 2}),
    "upper-case": ("subject 0 digest sha256", "A" * 64),
    "line-end": ("subject 0 digest sha256", f"{WRONG}\n"),
    "other-spelling": ("subject 0 name", "M0 "),
    "other-letter": ("subject 0 name", "\N{CYRILLIC CAPITAL LETTER EM}0"),
    "dotted": ("subject 0 name", "./M0"),
    "other-name": ("predicate buildDefinition externalParameters name", "Embedded"),
    "spaced-name": ("predicate buildDefinition externalParameters name", "embedded "),
    "other-arch": ("predicate buildDefinition externalParameters arch", "i386"),
    "a-release": ("predicate buildDefinition externalParameters release", ""),
    "spaced-entry": ("predicate buildDefinition externalParameters entry", "hex0-seed "),
    "spaced-builder": ("predicate runDetails builder id", f"{BUILDER} "),
    "spaced-core": ("predicate buildDefinition internalParameters decidedBy", "core "),
    "spaced-run": ("predicate buildDefinition internalParameters run", f"{MADE} "),
    "given": ("predicate buildDefinition internalParameters host saidBy", "given"),
    "run-of-no-digest": ("predicate runDetails byproducts 0 annotations runDigest", "other"),
    "a-list": ("predicate buildDefinition resolvedDependencies", {}),
    "no-sources": ("predicate buildDefinition resolvedDependencies", []),
    "an-image-too": ("subject 1 mediaType", IMAGE),
    # Of a summary.
    "failed": ("predicate verificationResult", "FAILED"),
    "passed": ("predicate verificationResult", "passed"),
    "other-verifier": ("predicate verifier id", "https://example.org/verifier"),
    "other-resource": ("predicate resourceUri", "urn:x-bootstrap-emulator:embedded:AMD64"),
    "no-provenance": (f"predicate {IN_SUMMARY}", {}),
    "of-tomorrow": ("predicate timeVerified", f"{TOMORROW}T00:00:00Z"),
    "of-no-day": ("predicate timeVerified", "2026-13-45T00:00:00Z"),
    "as-provenance": ("predicateType", "https://slsa.dev/provenance/v1"),
}
IMAGES = {"image": "1" * 64, "another-image": "2" * 64}


# ... opinions that it says were made with it ...
OPINIONS = {
    "two-opinions": "core fast-path native",
    "same-opinions": "core fast-path",
    "odd-opinions": "core Core mine",
    "twice-opinions": "core core",
    "read-opinions": "core answers pins recorded attested",
}


def git_signature(p: People, made: Envelope) -> Envelope:
    signature = p.sign(made.signed_bytes(), "alice", namespace="git")
    return dataclasses.replace(made, signatures=(signature,))


def as_json(m: Envelope, **fields: Any) -> Envelope | BadValue:
    """What is read of its JSON with these fields."""
    try:
        return read_envelope(json.dumps({**json.loads(m.to_json()), **fields}).encode())
    except BadValue as fault:
        return fault


def as_text(m: Envelope, old: str, new: str) -> Envelope | BadValue:
    """What is read of its JSON text with this in place of that."""
    assert old in m.to_json()
    try:
        return read_envelope(m.to_json().replace(old, new).encode())
    except BadValue as fault:
        return fault


def again_signed(p: People, m: Envelope, old: bytes, new: bytes) -> Envelope:
    """By alice, with something else in the payload's text."""
    assert old in m.payload
    return p.envelope(m.payload.replace(old, new, 1), "alice")


def more_signatures(made: Envelope, *signatures: Signature) -> Envelope:
    return dataclasses.replace(made, signatures=(*made.signatures, *signatures))


# ... or another envelope, made of the good one.
FORGERIES: dict[str, Callable[[People, Envelope], Envelope | BadValue]] = {
    "key-twice": lambda p, m: again_signed(p, m, b"{", b'{"subject":[],'),
    "digest-twice": lambda p, m: again_signed(p, m, b'{"sha256"', b'{"sha256":"0","sha256"'),
    "escaped-twice": lambda p, m: again_signed(p, m, b"{", b'{"\\u0073ubject":[],'),
    "nan": lambda p, m: again_signed(p, m, b"{", b'{"x":NaN,'),
    "deep": lambda p, m: again_signed(p, m, b"{", b'{"x":' + b"[" * 9999 + b"]" * 9999 + b","),
    "mark": lambda p, m: again_signed(p, m, b"{", b"\xef\xbb\xbf{"),
    "utf-16": lambda p, m: p.envelope(m.payload.decode().encode("utf-16"), "alice"),
    "two-documents": lambda p, m: p.envelope(m.payload * 2, "alice"),
    "spaces": lambda p, m: dataclasses.replace(m, payload=m.payload + b" "),
    "type-in-capitals": lambda p, m: p.envelope(m.payload, "alice", kind=PAYLOAD_TYPE.upper()),
    "type-of-another": lambda p, m: dataclasses.replace(
        p.envelope(m.payload, "alice", kind="text/plain"), payload_type=PAYLOAD_TYPE
    ),
    "length-moved": lambda p, m: dataclasses.replace(
        m, payload_type=f"{PAYLOAD_TYPE} 1", payload=m.payload[1:]
    ),
    "of-bob": lambda p, m: dataclasses.replace(
        m, signatures=(p.sign(m.signed_bytes().replace(b"x86", b"x87"), "bob"),)
    ),
    "merged": lambda p, m: more_signatures(m, p.sign(b"another statement", "bob")),
    "of-mallory": lambda p, m: dataclasses.replace(
        m, signatures=(dataclasses.replace(p.sign(m.signed_bytes(), "mallory"), keyid="alice"),)
    ),
    "stump": lambda p, m: dataclasses.replace(
        m, signatures=(Signature("alice", m.signatures[0].data[:-60]),)
    ),
    "no-signature": lambda p, m: as_json(m, signatures=[]),
    "65-signatures": lambda p, m: as_json(m, signatures=[{"keyid": "", "sig": "AAAA"}] * 65),
    "no-base64": lambda p, m: as_json(m, payload="e30=="),
    "payload-in-list": lambda p, m: as_json(m, payload=["e30="]),
    "payload-twice": lambda p, m: as_text(m, '"payload"', '"payload": "e30=", "payload"'),
    "huge": lambda p, m: as_json(m, more=" " * MAX_DOCUMENT),
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

    ``outcome`` is ``met``, ``not met``, or what is said of why not.  ``keys`` are PERSON or
    PERSON=KEY, ``days`` a line more for the keys of these persons.
    """

    said: str
    verdicts: str
    outcome: str
    need: str = "persons = 2"
    about: str = ""
    allow: str = ""
    top: str = ""
    keys: str = "alice bob carol"
    days: Mapping[str, str] = field(default_factory=dict)


def two_of(what: str, more: str = "") -> dict[str, Any]:
    return {"need": f"persons = 2\n{what} = 2\n{more}"}


def days_of_alice(day: str) -> dict[str, Any]:
    return {"days": {"alice": day}}


REFUSE = 'cpu_vendors = 2\nstated = "refuse"'
# How a policy differs from one that wants two of alice, bob and carol.
POLICIES: dict[str, dict[str, Any]] = {
    "": {},
    "one": {"need": "persons = 1"},
    "vendors": two_of("cpu_vendors"),
    "vendors and engine": two_of("cpu_vendors", "engines = 1"),
    "systems": two_of("systems"),
    "engines": two_of("engines"),
    "runs": two_of("runs"),
    "seen": two_of("runs", REFUSE),
    "all seen": two_of("runs", f"{REFUSE}\nengines = 1\nsystems = 1"),
    "opinions": {"need": "persons = 2\nopinions = 2"},
    "over": {"top": f"expires = {YESTERDAY}"},
    "last": {"top": f"expires = {TODAY}"},
    "list": {"top": 'revoked = ["{alice}"]'},
    "tell": {"need": 'persons = 2\ndisagreement = "tell"'},
    "recheck": {"need": 'persons = 2\nrecheck = "require"'},
    "two keys": {"keys": "alice alice=bob carol"},
    "expired": days_of_alice(f"valid_until = {YESTERDAY}"),
    "last day": days_of_alice(f"valid_until = {TODAY}"),
    "from tomorrow": days_of_alice(f"valid_from = {TOMORROW}"),
    "revoked": days_of_alice(f"revoked = {TODAY}"),
    "revoked tomorrow": days_of_alice(f"revoked = {TOMORROW}"),
    "all expired": {
        "keys": "alice bob",
        "days": dict.fromkeys(("alice", "bob"), "valid_until = 2020-01-01"),
    },
    "entry": {"about": 'entry = "hex0-seed"'},
    "sources": {"about": 'source_digest = "{source}"'},
    "hello": {"about": '[about.products]\nhello = "{hello}"'},
    "another hello": {"about": f'[about.products]\nhello = "{WRONG}"'},
    "image": {"about": 'image = "' + "1" * 64 + '"'},
    "recheck, or tell": {"need": 'persons = 2\nrecheck = "require"\ndisagreement = "tell"'},
    "written otherwise": {"keys": "alice rsa=rsa-otherwise", "top": 'revoked = ["{rsa}"]'},
    "builder": {"allow": 'builders = ["https://example.org/builder"]'},
    "parameter": {"allow": 'external_parameters = ["mirror"]'},
}

# Name, envelopes, verdicts, outcome, and (if it is another) the policy.
TEXT = """\
two persons | alice; bob | counts counts | met
nobody |  |  | persons: 2 wanted, 0 found
one of two | alice | counts | not met
two keys of one person | alice; bob | counts again | not met | two keys
the same file twice | alice; alice | counts again | not met
one signature twice in one envelope | alice signed-twice | counts again | not met
two persons in one envelope | alice+bob | counts counts | met
a payload changed after signing | alice payload-changed | bad-signature | not met
a payloadType changed after signing | alice type-changed | wrong-type | not met
another payloadType, signed | alice other-type | wrong-type | not met
a signature over the payload alone | alice payload-alone | bad-signature | not met
a signature made for git | alice for-git | bad-signature | not met
a key nobody lists | mallory; alice | unknown-key counts | not met
a signature that is none | alice and-a-stump | counts bad-signature | not met
another's keyid | alice keyid-of-bob | counts | met | one
a key that has expired | alice; bob | expired counts | not met | expired
a key on its last day | alice; bob | counts counts | met | last day
a key of tomorrow | alice; bob | not-yet-valid counts | not met | from tomorrow
a key that was revoked | alice; bob | revoked counts | not met | revoked
a key that will be revoked | alice; bob | counts counts | met | revoked tomorrow
nobody's key counts any more | alice; bob |
    expired expired | nobody can meet this policy | all expired
a replay for another release | alice; bob release | counts other-release | not met
a replay for another architecture | alice; bob AMD64 | counts other-release | not met
another way in | alice; bob kaem-seed | counts other-entry | not met | entry
other sources than the policy's | alice; bob other-source |
    counts other-sources | not met | sources
other sources than most have | alice; bob other-source; carol | counts other-sources counts | met
as many for other sources | alice; bob other-source |
    other-sources other-sources | as many vouch for some sources as for others | one
sources that only the signers know | alice other-source; bob other-source |
    counts counts | not all agree
one of three has another product | alice; bob other-product; carol |
    counts other-products counts | not all agree
one of three has another product, and may | alice; bob other-product; carol |
    counts other-products counts | met | tell
one of three lacks a product | alice; bob less-products; carol |
    counts other-products counts | not met
all agree on what the catalogue does not have | alice other-product; bob other-product |
    counts counts | not all agree on the products
another product than the policy's | alice; bob |
    other-products other-products | not all agree on the products | another hello
the policy's product | alice; bob | counts counts | met | hello
somebody contradicts himself | alice; bob; bob other-product |
    counts contradicts contradicts | not met | tell
two vendors | alice; bob intel | counts counts | met | vendors and engine
two vendors of one person | alice; alice intel; bob | counts again counts | met | vendors
one vendor of two | alice; bob | counts counts | cpu vendors: 2 wanted, 1 found | vendors
a vendor nobody knows | alice; bob no-vendor |
    counts counts | cpu vendors: 2 wanted, 1 found | vendors
a vendor of one who does not count | alice; mallory intel |
    counts unknown-key | cpu vendors: 2 wanted, 1 found | vendors
one engine of two | alice; bob | counts counts | engines: 2 wanted, 1 found | engines
an engine of another name | alice; bob other-engine |
    counts counts | engines: 2 wanted, 1 found | engines
a vendor by two names | alice intel; bob intel-by-another-name |
    counts counts | cpu vendors: 2 wanted, 1 found | vendors
a vendor that is none | alice; bob acme | counts counts | cpu vendors: 2 wanted, 1 found | vendors
two systems | alice; bob openbsd | counts counts | met | systems
two versions of one system | alice; bob other-linux |
    counts counts | systems: 2 wanted, 1 found | systems
a system that is none | alice; bob templeos | counts counts | systems: 2 wanted, 1 found | systems
two runs | alice; bob another-run | counts counts | met | runs
two signatures of one run | alice; bob | counts counts | runs: 2 wanted, 1 found | runs
what was seen, by a policy that wants no other | alice made; bob made another-run intel |
    counts counts | met | all seen
what was read from a report | alice made; bob another-run intel |
    counts counts | runs: 2 wanted, 1 found; cpu vendors: 2 wanted, 1 found | seen
what was given by hand | alice made; bob made another-run intel-given |
    counts counts | cpu vendors: 2 wanted, 1 found | seen
a product more than the catalogue has | alice more-products; bob more-products |
    counts counts | not all agree on the products
a product less than the catalogue has | alice less-products; bob less-products |
    counts counts | not all agree on the products
a way in that the catalogue does not have | alice window; bob window |
    counts counts | not all agree on the products
a file that is no attestation | none; alice; bob | no-attestation counts counts | met
a file that is no attestation, and one that is | alice; none |
    counts no-attestation | persons: 2 wanted, 1 found
runs of the fast path alone, where a recheck is asked for | alice; bob rechecked |
    not-rechecked counts | not met | recheck
rechecked runs | alice rechecked; bob rechecked | counts counts | met | recheck
a builder nobody knows | alice odd-builder; bob | not-allowed counts | not met
a builder that the policy allows | alice odd-builder; bob | counts counts | met | builder
a parameter nobody knows | alice odd-parameter; bob | not-allowed counts | not met
a parameter that the policy allows | alice odd-parameter; bob | counts counts | met | parameter
a name that is no text | alice no-text | not-understood | not met
a statement of no report | alice no-report | not-understood | not met
a statement of another type | alice old-statement | not-understood | not met
a predicate of another type | alice old-predicate | not-understood | not met
a build of another type | alice other-build | not-understood | not met
a statement without subjects | alice no-subject | not-understood | not met
a subject twice | alice subject-twice | not-understood | not met
a digest of other sources | alice lying-digest | not-understood | not met
signed, and no JSON | alice no-json | not-understood | not met
opinions of its own run | alice made two-opinions; bob made two-opinions | counts counts | met |
    opinions
one CPU code and kernel | alice made same-opinions; bob made two-opinions | few-opinions counts |
    not met | opinions
names that nobody knows | alice made odd-opinions; bob made two-opinions | few-opinions counts |
    not met | opinions
opinions that no run makes | alice made read-opinions; bob made two-opinions |
    few-opinions counts | not met | opinions
opinions of another tree | alice made two-opinions other-tree; bob | not-understood counts |
    not met
no opinion | alice made; bob made two-opinions | few-opinions counts | not met | opinions
opinions that were only read | alice two-opinions; bob made two-opinions | few-opinions counts |
    not met | opinions
opinions of an unknown version | alice made two-opinions new-opinions; bob | not-understood counts |
    not met
an opinion named twice | alice made twice-opinions; bob | not-understood counts | not met
a policy that expired | alice; bob | counts counts | the policy expired on | over
a policy on its last day | alice; bob | counts counts | met | last
a key on the list of revoked ones | alice; bob; carol | revoked counts counts | met | list
a revoked one, and one more | alice; bob | revoked counts | not met | list
a revoked one, written in another way | alice; rsa | counts bad-signature | not met |
    written otherwise
two keys of one person in one envelope | alice+bob | counts again | not met | two keys
a statement signed again by somebody else | alice of-mallory | unknown-key | not met
a signature of another statement | alice of-bob | bad-signature | not met
a signature more, of another statement | alice merged | counts bad-signature | not met
half a signature | alice stump | bad-signature | not met
a space after the payload | alice spaces | bad-signature | not met
a payload that moved into its type | alice length-moved | wrong-type | not met
a payloadType that was not signed | alice type-of-another | bad-signature | not met
a payloadType in capitals | alice type-in-capitals | wrong-type | not met
a key twice | alice key-twice; bob | not-understood counts | not met
a digest twice | alice digest-twice; bob | not-understood counts | not met
a key twice, once with an escape | alice escaped-twice; bob | not-understood counts | not met
a number that is none | alice nan; bob | not-understood counts | not met
lists within lists | alice deep; bob | not-understood counts | not met
a byte order mark | alice mark; bob | not-understood counts | not met
another encoding | alice utf-16; bob | not-understood counts | not met
two documents | alice two-documents; bob | not-understood counts | not met
no signature | alice no-signature; bob | no-attestation counts | not met
more signatures than are read | alice 65-signatures; bob | no-attestation counts | not met
no base64 | alice no-base64; bob | no-attestation counts | not met
a payload of another kind | alice payload-in-list; bob | no-attestation counts | not met
a payload twice | alice payload-twice; bob | no-attestation counts | not met
more than is read | alice huge; bob | no-attestation counts | not met
a product with another digest alone | alice no-sha256; bob | not-understood counts | not met
a digest in capitals | alice upper-case; bob | not-understood counts | not met
a digest with a line end | alice line-end; bob | not-understood counts | not met
a product with a space | alice other-spelling; bob | other-products other-products | not all agree
a product in another alphabet | alice other-letter; bob | other-products other-products |
    not all agree
a product with a dot | alice dotted; bob | other-products other-products | not all agree
products so, by both | alice other-letter; bob other-letter | counts counts | not all agree
a name in other letters | alice other-name; bob | other-release counts | not met
a name with a space | alice spaced-name; bob | other-release counts | not met
another name of the architecture | alice other-arch; bob | other-release counts | not met
an empty release | alice a-release; bob | other-release counts | not met
a way in with a space | alice spaced-entry; bob | other-entry counts | not met | entry
a builder with a space | alice spaced-builder; bob | not-allowed counts | not met
the core with a space | alice spaced-core; bob rechecked | not-rechecked counts | not met | recheck
a run made here with a space | alice made spaced-run; bob made another-run intel |
    counts counts | runs: 2 wanted, 1 found; cpu vendors: 2 wanted, 1 found | seen
a machine that was given, in a run made here | alice made given; bob made another-run intel |
    counts counts | runs: 2 wanted, 1 found; cpu vendors: 2 wanted, 1 found | seen
a run without a digest | alice run-of-no-digest; bob | not-understood counts | not met
sources that are no list | alice a-list; bob | not-understood counts | not met
no sources | alice no-sources; bob | not-understood counts | not met
a product that is called an image | alice an-image-too; bob | other-products other-products |
    not all agree
products that nobody else saw, by the fast path alone | alice rechecked; bob rechecked;
    carol other-product | counts counts not-rechecked | not all agree | recheck
the same, where one may | alice rechecked; bob rechecked; carol other-product |
    counts counts not-rechecked | met | recheck, or tell
of oneself, by the fast path alone | alice rechecked; bob rechecked; bob other-product |
    counts counts not-rechecked | not all agree | recheck
other products without opinions | alice made two-opinions; bob made two-opinions;
    carol other-product | counts counts few-opinions | not all agree | opinions
other sources by the fast path alone | alice rechecked; bob rechecked; carol other-source |
    counts counts not-rechecked | met | recheck
two of one image | alice image; bob image | counts counts | met | image
of no image | alice image; bob | counts other-image | not met | image
of another image | alice image; bob another-image | counts other-image | not met | image
other products of another image | alice image; bob image; carol another-image other-product |
    counts counts other-image | not all agree | image
a summary | alice made summary; bob | counts counts | met
a summary that failed | alice made summary failed; bob | not-understood counts | not met
a summary that passed in other letters | alice made summary passed; bob |
    not-understood counts | not met
a summary by another verifier | alice made summary other-verifier; bob |
    not-understood counts | not met
a summary of something else | alice made summary other-resource; bob |
    not-understood counts | not met
a summary of tomorrow | alice made summary of-tomorrow; bob | not-yet-valid counts | not met
a summary of no day | alice made summary of-no-day; bob | not-understood counts | not met
a summary of nothing | alice made summary no-provenance; bob | not-understood counts | not met
a summary that is called provenance | alice made summary as-provenance; bob |
    not-understood counts | not met
a summary and its provenance | alice made summary; alice made | counts again | not met
"""
TABLE: dict[str, Case] = {}
for row in TEXT.replace("\n    ", " ").splitlines():
    name, said, verdicts, outcome, *policy = (cell.strip() for cell in row.split("|"))
    TABLE[name] = Case(said, verdicts, outcome, **POLICIES["".join(policy)])


def test_sixty_attacks_are_among_them() -> None:
    """And each, by `test_verdicts`, ends in NOT MET with its reason."""
    assert sum(case.outcome != "met" for case in TABLE.values()) >= 60 + 50


def made(text: str, p: People, e: Evidence) -> Envelope | BadValue:
    """The envelope that a case describes."""
    if text == NONE:
        return BadValue("signatures is missing")
    names, *odd = text.split()
    host, run = AMD, READ
    for word in odd:
        if word in RUNS:
            e = dataclasses.replace(e, **RUNS[word](e))
        host = HOSTS.get(word, host)
        run = MADE if word == "made" else run
    opinions = [
        ReleaseOpinion(
            tool=NameAndVersion("", ""), opinion=name, release="", arch="", entry="",
            tree=str(e.source["treeDigest"]), judged_by=JudgedBy("", WRONG), digest=WRONG,
        )
        for word in odd
        for name in OPINIONS.get(word, "").split()
    ]  # fmt: skip
    image = next((IMAGES[word] for word in odd if word in IMAGES), None)
    at = "2026-12-01T05:00:00Z" if "summary" in odd else None
    statement = make_statement(e, host, run, opinions=opinions, image=image, verified_at=at)
    for word in odd:
        if word in STATEMENTS:
            put(statement, *STATEMENTS[word])
    signed = p.envelope(payload(statement), *names.split("+"))
    known = {*RUNS, *HOSTS, *STATEMENTS, *FORGERIES, *OPINIONS, *IMAGES, "made", "summary"}
    found: Envelope | BadValue = signed
    for word in odd:
        if word in FORGERIES:
            found = FORGERIES[word](p, signed)
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
        alice = SshKey.from_text(self.people.public("alice")).fingerprint
        rsa = SshKey.from_text(self.people.public("rsa")).fingerprint
        top = case.top.format(alice=alice, rsa=rsa)
        place.write_text(
            f'schema = 1\n{top}\n[need]\n{case.need}\n[about]\n{title}\narch = "x86"\n{about}\n'
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
    assert found.met is (case.outcome == "met"), found.why_not
    assert case.outcome in ("met", "not met") or case.outcome in "; ".join(found.why_not)
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
    case = Case("alice unknown-release", "counts", "met", need="persons = 1")
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
