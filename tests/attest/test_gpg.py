"""OpenPGP: what gpg says of a key itself, and messages that are no detached signature."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrap.attest.envelope import Envelope, Signature
from bootstrap.attest.evidence import Evidence
from bootstrap.attest.policy import read_policy
from bootstrap.attest.signatures import CheckedSignature, open_ring, sign_gpg
from bootstrap.core.errors import BadInput
from tests.attest.people import People, gpg_programs

NEED = 'schema = 1\n[need]\npersons = 1\n[about]\nname = "embedded"\narch = "x86"\n'
UNLOCKED = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]


class Checker:
    """Holds signatures over the evidence against a policy with these keys."""

    def __init__(self, folder: Path, people: People, evidence: Evidence) -> None:
        self.folder, self.people = folder, people
        self.unsigned = people.attest(evidence)
        self.dan = people.key("dan", "gpg-dan")

    def signed(self, *names: str) -> Envelope:
        data = self.unsigned.signed_bytes()
        return self.with_signatures(*(self.people.sign(data, name) for name in names))

    def with_signatures(self, *signatures: Signature) -> Envelope:
        return dataclasses.replace(self.unsigned, signatures=signatures)

    def made_by(self, *options: str, stdin: bytes | None = None) -> Envelope:
        """With dan's signature, as gpg makes it with these options."""
        command = ["gpg", "--batch", "-u", self.people.gpg("gpg-dan"), *options]
        data = self.unsigned.signed_bytes() if stdin is None else stdin
        return self.with_signatures(Signature("", gpg_programs(*command, stdin=data)))

    def check(
        self, envelope: Envelope, keys: str | None = None, days: int = 0, revoked: str = ""
    ) -> list[CheckedSignature]:
        """``days`` from now; the day is asked for each time, since midnight may come meanwhile."""
        place = self.folder / "policy.toml"
        top = f'revoked = ["{revoked}"]\n' if revoked else ""
        place.write_text(top + NEED + (self.dan if keys is None else keys))
        with open_ring(read_policy(place).keys, today() + datetime.timedelta(days)) as ring:
            data = envelope.signed_bytes()
            return [ring.check(data, signature.data) for signature in envelope.signatures]

    def fault(self, envelope: Envelope, keys: str | None = None, days: int = 0) -> str | None:
        """Of the one signature."""
        (found,) = self.check(envelope, keys, days)
        return found.fault


def today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


@pytest.fixture
def ring(tmp_path: Path, gpg: People, evidence: Evidence) -> Checker:
    return Checker(tmp_path, gpg, evidence)


def test_good_signatures_of_both_kinds_in_one_envelope(ring: Checker) -> None:
    keys = ring.dan + ring.people.key("alice", "alice")
    found = ring.check(ring.signed("gpg-dan", "alice"), keys)
    assert [f.key.person for f in found if f.key and f.fault is None] == ["dan", "alice"]
    assert found[0].fingerprint == ring.people.gpg("gpg-dan")


def test_a_payload_changed(ring: Checker) -> None:
    (found,) = ring.check(dataclasses.replace(ring.signed("gpg-dan"), payload=b"{}"))
    assert found.fault == "bad-signature" and "BADSIG" in found.why


def test_a_key_nobody_lists(ring: Checker) -> None:
    """GNUPGHOME of the tests holds Mallory's key: the user's own key ring is not used."""
    (found,) = ring.check(ring.signed("gpg-mallory"))
    assert found.fault == "unknown-key" and ring.people.gpg("gpg-mallory") in found.why
    assert found.key is None
    # Nor where the policy has no key of gpg at all.
    assert ring.fault(ring.signed("gpg-dan"), ring.people.key("alice", "alice")) == "unknown-key"


def test_a_subkey_counts_for_its_key(ring: Checker) -> None:
    fingerprint = ring.people.gpg("gpg-subkey")
    gpg_programs(*UNLOCKED, "--quick-add-key", fingerprint, "ed25519", "sign")
    ring.people.export("gpg-subkey", fingerprint)
    envelope = ring.signed("gpg-subkey")
    (found,) = ring.check(envelope, ring.people.key("dan", "gpg-subkey"))
    assert found.fault is None and found.key is not None
    subkey = envelope.signatures[0].keyid
    assert subkey != fingerprint
    (listed,) = ring.check(envelope, ring.people.key("dan", "gpg-subkey"), revoked=subkey)
    assert (listed.fault, listed.fingerprint) == ("revoked", subkey) and subkey in listed.why


def listed(ring: Checker, name: str) -> tuple[str, Envelope]:
    """A policy's table for a key that is in the home, and an envelope signed by it."""
    fingerprint = ring.people.fingerprint(name)
    place = ring.people.export(name, fingerprint)
    signature = sign_gpg(ring.unsigned.signed_bytes(), fingerprint)
    keys = f'[persons.dan.keys.other]\ngpg = "{fingerprint}"\nfile = "{place}"\n'
    return keys, ring.with_signatures(signature)


def test_days_of_keys_and_signatures(ring: Checker) -> None:
    """The policy says nothing of their days; they are judged as of other days than today."""
    who = "gpg-short <gpg-short@example.org>"
    gpg_programs(*UNLOCKED, "--quick-gen-key", who, "ed25519", "sign", "1d")
    keys, envelope = listed(ring, "gpg-short")
    assert ring.fault(envelope, keys) is None
    assert ring.fault(envelope, keys, days=365) == "expired"
    # The key was there (2020), the signature was not.
    ring.people.gpg("gpg-old", "--faked-system-time", "20200101T000000")
    for table, signed in (listed(ring, "gpg-old"), (ring.dan, ring.signed("gpg-dan"))):
        (found,) = ring.check(signed, table, days=-10)
        assert found.fault == "not-yet-valid" and str(today()) in found.why
    brief = ring.made_by("--default-sig-expire", "2d", "--detach-sign")
    assert ring.fault(brief) is None
    (later,) = ring.check(brief, days=9)
    assert later.fault == "bad-signature" and "EXPSIG" in later.why


def test_a_key_revoked_by_itself(ring: Checker) -> None:
    people = ring.people
    fingerprint, keys = people.gpg("gpg-gone"), people.key("dan", "gpg-gone")
    envelope = ring.signed("gpg-gone")
    assert ring.fault(envelope, keys) is None
    home = people.folder / "gnupg" / "openpgp-revocs.d" / f"{fingerprint}.rev"
    # gpg writes the certificate with a colon before its first dash, so that none is used unmeant.
    gpg_programs("gpg", "--batch", "--import", stdin=home.read_bytes().replace(b":-----", b"-----"))
    people.export("gpg-gone", fingerprint)
    assert ring.fault(envelope, keys) == "revoked"


def test_what_is_no_good_detached_signature(ring: Checker) -> None:
    """A good signature over something else, with the content in it, signs nothing here."""
    two = ring.signed("gpg-dan", "gpg-mallory").signatures
    for bad in (
        *(ring.made_by(how, stdin=b"other") for how in ("--sign", "--clear-sign", "--store")),
        ring.made_by("--digest-algo", "SHA1", "--detach-sign"),
        ring.made_by("--textmode", "--detach-sign"),
        ring.with_signatures(Signature("", b"no signature")),
        ring.with_signatures(Signature("", b"".join(signature.data for signature in two))),
    ):
        assert ring.fault(bad) == "bad-signature"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda dan, mallory: b"no key", "gpg finds no public key"),
        (lambda dan, mallory: mallory, "has the key"),
        (lambda dan, mallory: dan + mallory, "has the key"),
    ],
)
def test_key_files_that_are_not_what_the_policy_says(
    content: Callable[[bytes, bytes], bytes], says: str, ring: Checker
) -> None:
    people = ring.people
    fingerprint = people.gpg("gpg-dan")
    mallory = people.export("gpg-mallory", people.gpg("gpg-mallory")).read_bytes()
    dan = (people.folder / "gpg-dan.asc").read_bytes()
    (ring.folder / "key").write_bytes(content(dan, mallory))
    keys = f'[persons.dan.keys.card]\ngpg = "{fingerprint}"\nfile = "key"\n'
    with pytest.raises(BadInput, match=says):
        ring.check(ring.signed("gpg-dan"), keys)
