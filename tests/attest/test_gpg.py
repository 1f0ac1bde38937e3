"""OpenPGP: what gpg says of a key itself, and messages that are no detached signature."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest

from bootstrap.attest.envelope import Envelope, Signature
from bootstrap.attest.evidence import Evidence
from bootstrap.attest.policy import read_policy
from bootstrap.attest.signatures import CheckedSignature, open_ring, sign_gpg
from bootstrap.core.errors import BadInput
from tests.attest.people import People, gpg_programs

NEED = 'schema = 1\n[need]\npersons = 1\n[about]\nname = "embedded"\narch = "x86"\n'


def today() -> datetime.date:
    """Asked for each time: signatures are made meanwhile, and midnight may be."""
    return datetime.datetime.now(datetime.UTC).date()


def checked(
    folder: Path, keys: str, envelope: Envelope, at: datetime.date | None = None
) -> list[CheckedSignature]:
    place = folder / "policy.toml"
    place.write_text(NEED + keys)
    with open_ring(read_policy(place).keys, at or today()) as ring:
        data = envelope.signed_bytes()
        return [ring.check(data, signature.data) for signature in envelope.signatures]


def test_a_good_signature(tmp_path: Path, gpg: People, evidence: Evidence) -> None:
    (found,) = checked(tmp_path, gpg.key("dan", "gpg-dan"), gpg.attest(evidence, "gpg-dan"))
    assert found.fault is None
    assert found.key is not None and found.key.person == "dan"
    assert found.fingerprint == gpg.gpg("gpg-dan")


def test_both_kinds_in_one_envelope(tmp_path: Path, gpg: People, evidence: Evidence) -> None:
    keys = gpg.key("dan", "gpg-dan") + gpg.key("alice", "alice")
    found = checked(tmp_path, keys, gpg.attest(evidence, "gpg-dan", "alice"))
    assert [f.key.person for f in found if f.key and f.fault is None] == ["dan", "alice"]


def test_a_payload_changed(tmp_path: Path, gpg: People, evidence: Evidence) -> None:
    envelope = dataclasses.replace(gpg.attest(evidence, "gpg-dan"), payload=b"{}")
    (found,) = checked(tmp_path, gpg.key("dan", "gpg-dan"), envelope)
    assert found.fault == "bad-signature" and "BADSIG" in found.why


def test_a_key_nobody_lists(tmp_path: Path, gpg: People, evidence: Evidence) -> None:
    envelope = gpg.attest(evidence, "gpg-mallory")
    (found,) = checked(tmp_path, gpg.key("dan", "gpg-dan"), envelope)
    assert found.fault == "unknown-key" and gpg.gpg("gpg-mallory") in found.why


def test_no_gpg_key_in_the_policy_at_all(tmp_path: Path, gpg: People, evidence: Evidence) -> None:
    (found,) = checked(tmp_path, gpg.key("alice", "alice"), gpg.attest(evidence, "gpg-dan"))
    assert found.fault == "unknown-key"


def test_a_subkey_counts_for_its_key(tmp_path: Path, gpg: People, evidence: Evidence) -> None:
    fingerprint = gpg.gpg("gpg-subkey")
    add = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
    gpg_programs(*add, "--quick-add-key", fingerprint, "ed25519", "sign")
    gpg.export("gpg-subkey", fingerprint)
    envelope = gpg.attest(evidence, "gpg-subkey")
    (found,) = checked(tmp_path, gpg.key("dan", "gpg-subkey"), envelope)
    assert found.fault is None and found.key is not None
    assert envelope.signatures[0].keyid != fingerprint


def test_a_key_that_expired_by_itself(tmp_path: Path, gpg: People, evidence: Evidence) -> None:
    # Made with a day's life, and judged as of next year; the policy says nothing of its days.
    expiring = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
    who = "gpg-short <gpg-short@example.org>"
    gpg_programs(*expiring, "--quick-gen-key", who, "ed25519", "sign", "1d")
    fingerprint = gpg.fingerprint("gpg-short")
    place = gpg.export("gpg-short", fingerprint)
    keys = f'[persons.dan.keys.short]\ngpg = "{fingerprint}"\nfile = "{place}"\n'
    signed = gpg.attest(evidence)
    signature = sign_gpg(signed.signed_bytes(), fingerprint)
    envelope = dataclasses.replace(signed, signatures=(signature,))
    (now,) = checked(tmp_path, keys, envelope)
    assert now.fault is None
    (later,) = checked(tmp_path, keys, envelope, today() + datetime.timedelta(days=365))
    assert later.fault == "expired"


def test_a_signature_of_tomorrow(tmp_path: Path, gpg: People, evidence: Evidence) -> None:
    """Judged as of a day before it was made: the key was there (2020), the signature was not."""
    gpg.gpg("gpg-old", "--faked-system-time", "20200101T000000")
    gpg.export("gpg-old", "gpg-old@")
    fingerprint = gpg.fingerprint("gpg-old")
    envelope = gpg.attest(evidence)
    signature = sign_gpg(envelope.signed_bytes(), fingerprint)
    envelope = dataclasses.replace(envelope, signatures=(signature,))
    keys = f'[persons.dan.keys.old]\ngpg = "{fingerprint}"\nfile = "{gpg.folder}/gpg-old.asc"\n'
    (found,) = checked(tmp_path, keys, envelope, today() - datetime.timedelta(days=10))
    assert found.fault == "not-yet-valid" and str(today()) in found.why


def test_a_key_that_was_not_made_yet(tmp_path: Path, gpg: People, evidence: Evidence) -> None:
    envelope = gpg.attest(evidence, "gpg-dan")
    before = today() - datetime.timedelta(days=10)
    (found,) = checked(tmp_path, gpg.key("dan", "gpg-dan"), envelope, before)
    assert found.fault == "not-yet-valid" and str(today()) in found.why


def test_a_key_revoked_by_itself(tmp_path: Path, gpg: People, evidence: Evidence) -> None:
    fingerprint = gpg.gpg("gpg-gone")
    envelope = gpg.attest(evidence, "gpg-gone")
    keys = gpg.key("dan", "gpg-gone")
    (before,) = checked(tmp_path, keys, envelope)
    home = gpg.folder / "gnupg" / "openpgp-revocs.d" / f"{fingerprint}.rev"
    # gpg writes the certificate with a colon before its first dash, so that none is used unmeant.
    gpg_programs("gpg", "--batch", "--import", stdin=home.read_bytes().replace(b":-----", b"-----"))
    gpg.export("gpg-gone", fingerprint)
    (after,) = checked(tmp_path, keys, envelope)
    assert (before.fault, after.fault) == (None, "revoked")


@pytest.mark.parametrize("how", [["--sign"], ["--clear-sign"], ["--store"]])
def test_a_message_is_no_detached_signature(
    how: list[str], tmp_path: Path, gpg: People, evidence: Evidence
) -> None:
    """A good signature over something else, with the content in it, signs nothing here."""
    user = gpg.gpg("gpg-dan")
    message = gpg_programs("gpg", "--batch", "-u", user, *how, stdin=b"something else")
    envelope = dataclasses.replace(
        gpg.attest(evidence), signatures=(Signature("", message), Signature("", b"no signature"))
    )
    found = checked(tmp_path, gpg.key("dan", "gpg-dan"), envelope)
    assert [f.fault for f in found] == ["bad-signature", "bad-signature"]


def test_a_signature_that_expired_by_itself(
    tmp_path: Path, gpg: People, evidence: Evidence
) -> None:
    envelope = gpg.attest(evidence)
    command = ["gpg", "--batch", "-u", gpg.gpg("gpg-dan"), "--default-sig-expire", "2d"]
    brief = gpg_programs(*command, "--detach-sign", stdin=envelope.signed_bytes())
    envelope = dataclasses.replace(envelope, signatures=(Signature("", brief),))
    keys = gpg.key("dan", "gpg-dan")
    (now,) = checked(tmp_path, keys, envelope)
    (later,) = checked(tmp_path, keys, envelope, today() + datetime.timedelta(days=9))
    assert (now.fault, later.fault) == (None, "bad-signature")
    assert "EXPSIG" in later.why


def test_sha1_is_not_accepted(tmp_path: Path, gpg: People, evidence: Evidence) -> None:
    envelope = gpg.attest(evidence)
    command = ["gpg", "--batch", "-u", gpg.gpg("gpg-dan"), "--digest-algo", "SHA1", "--detach-sign"]
    weak = gpg_programs(*command, stdin=envelope.signed_bytes())
    envelope = dataclasses.replace(envelope, signatures=(Signature("", weak),))
    (found,) = checked(tmp_path, gpg.key("dan", "gpg-dan"), envelope)
    assert found.fault == "bad-signature"


def test_two_signatures_in_one_are_not_kept_apart(
    tmp_path: Path, gpg: People, evidence: Evidence
) -> None:
    envelope = gpg.attest(evidence, "gpg-dan", "gpg-mallory")
    joined = b"".join(signature.data for signature in envelope.signatures)
    envelope = dataclasses.replace(envelope, signatures=(Signature("", joined),))
    (found,) = checked(tmp_path, gpg.key("dan", "gpg-dan"), envelope)
    assert found.fault == "bad-signature"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda asc, p: b"no key", "gpg finds no public key"),
        (lambda asc, p: p.export("gpg-mallory", p.gpg("gpg-mallory")).read_bytes(), "has the key"),
        (
            lambda asc, p: asc + p.export("gpg-mallory", p.gpg("gpg-mallory")).read_bytes(),
            "has the key",
        ),
    ],
)
def test_key_files_that_are_not_what_the_policy_says(
    change: object, says: str, tmp_path: Path, gpg: People, evidence: Evidence
) -> None:
    assert callable(change)
    fingerprint = gpg.gpg("gpg-dan")
    (tmp_path / "key").write_bytes(change((gpg.folder / "gpg-dan.asc").read_bytes(), gpg))
    keys = f'[persons.dan.keys.card]\ngpg = "{fingerprint}"\nfile = "key"\n'
    with pytest.raises(BadInput, match=says):
        checked(tmp_path, keys, gpg.attest(evidence, "gpg-dan"))


def test_the_users_own_key_ring_is_not_used(
    tmp_path: Path, gpg: People, evidence: Evidence
) -> None:
    """GNUPGHOME of the tests holds Mallory's key, and gpg would say that it is good."""
    envelope = gpg.attest(evidence, "gpg-mallory")
    (found,) = checked(tmp_path, gpg.key("dan", "gpg-dan"), envelope)
    assert found.key is None
