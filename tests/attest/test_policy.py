"""Policies that cannot be used: one line each, with the file and the place in it."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from bootstrap.attest.policy import PolicyKey, read_policy
from bootstrap.core.errors import BadInput

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
OTHER = KEY[:-1] + "B"
GOOD = f"""\
schema = 1
name = "of the tests"

[need]
persons = 1

[about]
name = "stage0-posix"
release = "1.9.1"
arch = "i386"

[persons.alice]
name = "Alice"

[persons.alice.keys.laptop]
ssh = "{KEY} alice@laptop"
valid_from = 2026-01-01
valid_until = 2027-01-01
"""
LINE = f'ssh = "{KEY} alice@laptop"'
VALUE = f"{KEY} alice@laptop"
NAME = 'name = "of the tests"'
NO_KEY = "is no public key of OpenSSH"
GPG = f'gpg = "{"A" * 40}"'
BOB = f'[persons.bob.keys.laptop]\nssh = "{KEY}"\n'
SPACED = BOB.replace("bob", '"alice "')


def test_a_good_one(tmp_path: Path) -> None:
    place = tmp_path / "policy.toml"
    place.write_text(GOOD)
    policy = read_policy(place)
    (key,) = policy.keys
    assert (key.person, key.label, key.kind, key.data) == ("alice", "laptop", "ssh", KEY.encode())
    assert policy.persons["alice"].name == "Alice"
    assert policy.about is not None and policy.about.title == "stage0-posix 1.9.1 x86"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (GOOD, f"schema = 1\n{BOB}", "asks for nothing"),
        ("schema = 1", "schema = 2", "1: schema is 2; it must be 1"),
        ("schema = 1", "schema = ", "not valid TOML"),
        ("schema = 1", 'schema = 1\nexpires = "never"', "2: expires must be a day"),
        ("schema = 1", 'schema = 1\nrevoked = ["alice"]', "is no fingerprint of a key"),
        ("schema = 1", f'schema = 1\nrevoked = ["{"ab" * 20}"]', "is no fingerprint of a key"),
        ("persons = 1", "persons = 1\nopinions = -1", "6: need.opinions must not be negative"),
        ("schema = 1", "schema = 1\nmore = 1", "2: more is not a key that is known here"),
        ("persons = 1", "persons = 0", "5: need.persons is 0, less than 1"),
        ("persons = 1", "persons = -1", "5: need.persons is -1, less than 1"),
        ("persons = 1", "persons = 2", "5: need.persons is 2, but the policy lists 1 person: nob"),
        ("persons = 1", "persons = 1\nengine = 1", "6: need.engine is not a key that is known"),
        ("persons = 1", 'persons = 1\ndisagreement = "x"', "it must be refuse or tell"),
        ("persons = 1", 'persons = 1\nstated = "x"', "it must be count or refuse"),
        ("persons = 1", "persons = 1\nruns = -1", "6: need.runs must not be negative"),
        ("[need]", "[allow]\nbuilder = []\n[need]", "allow.builder is not a key that is known"),
        ("[need]", "[allow]\nbuilders = [1]\n[need]", "allow.builders"),
        ("[need]\npersons = 1\n", "", "must have both [about] and [need], or neither"),
        ('arch = "i386"', 'arch = "z80"', "10: about.arch is not known"),
        ('arch = "i386"', 'arch = "x86"\nsource_digest = "0"', "is no sha256"),
        ('arch = "i386"', 'arch = "x86"\nproducts = {"../x" = "0"}', "no plain path in the tree"),
        ("valid_until = 2027", "valid_until = 2025", "is before valid_from"),
        ("2027-01-01", '"2027-01-01"', "must be a day without a time, as in 2026-11-23"),
        ("2027-01-01", "2027-01-01T00:00:00Z", "must be a day without a time"),
        ("2027-01-01", "2027-02-30", "not valid TOML"),
        (LINE, "", "must have either ssh"),
        (VALUE, "ssh-ed25519", NO_KEY),
        (VALUE, "ssh-ed25519 AAAA", NO_KEY),
        (VALUE, "ssh-ed25519 !", NO_KEY),
        (VALUE, KEY.replace("ssh-ed25519", "ssh-rsa"), NO_KEY),
        (LINE, 'gpg = "0xABC"\nfile = "x"', "is no OpenPGP fingerprint"),
        (LINE, GPG, 'gpg = "FINGERPRINT" and file'),
        (LINE, f'{GPG}\nfile = "x"', "x: cannot be read"),
        (LINE, f'ssh = "{KEY}"\n{GPG}', "must have either ssh"),
        (LINE, 'sigstore = "a@b"\nfile = "x"', 'must have sigstore = "IDENTITY", issuer'),
        (LINE, 'sigstore = "a@b"\nissuer = "c"', 'gpg = "FINGERPRINT" and file'),
        (LINE, f'{LINE}\nissuer = "c"', 'must have sigstore = "IDENTITY", issuer'),
        (LINE, 'sigstore = ""\nissuer = "c"\nfile = "x"', "alice.keys.laptop.sigstore"),
        ("[persons.alice]", f"{BOB}\n[persons.alice]", "is listed twice, as bob's laptop and alic"),
        ("[persons.alice]", f"{BOB.replace('bob', 'Alice')}\n[persons.alice]", "in other letters"),
        ("[persons.alice]", SPACED + "[persons.alice]", "with spaces"),
        (NAME, "[stagex]\npersons = 1", "lists 0 persons with a gpg key"),
        (NAME, "[stagex]\npersons = 0", "3: stagex.persons is 0, less than 1"),
        (NAME, '[stagex]\npersons = 1\nregistry = "a/b"', "4: stagex.registry is no name of"),
    ],
)
def test_bad_ones(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in GOOD
    place = tmp_path / "policy.toml"
    place.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(BadInput) as caught:
        read_policy(place)
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


DAY = datetime.date(2026, 6, 15)
ONE = datetime.timedelta(1)


@pytest.mark.parametrize(
    ("first", "last", "revoked", "state"),
    [
        (None, None, None, None),
        (DAY, DAY, None, None),
        (DAY + ONE, None, None, "not-yet-valid"),
        (None, DAY - ONE, None, "expired"),
        (None, None, DAY, "revoked"),
        (None, None, DAY - ONE, "revoked"),
        (None, None, DAY + ONE, None),
        (None, DAY - ONE, DAY - ONE, "revoked"),
    ],
)
def test_days_of_a_key(
    first: datetime.date | None,
    last: datetime.date | None,
    revoked: datetime.date | None,
    state: str | None,
) -> None:
    key = PolicyKey(gpg="A" * 40, file="key", valid_from=first, valid_until=last, revoked=revoked)
    found = key.state(DAY)
    assert (found[0] if found else None) == state
