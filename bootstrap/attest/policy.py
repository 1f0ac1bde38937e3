"""The policy of a quorum: whose word counts, by which keys, how many it takes, and about what.

TOML 1.0, every key checked by `bootstrap.documents`; docs/vouching.md describes all of them.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file
from bootstrap.documents import (
    THE_KEY,
    BadValue,
    Sha256,
    Size,
    Texts,
    TreePath,
    Word,
    at_least,
    filled,
    from_toml,
    key,
    matching,
)
from bootstrap.known import arch_name
from bootstrap.words import count

MAX_FILE = 4 << 20

KeyState = Literal["not-yet-valid", "expired", "revoked"]
Kind = Literal["ssh", "gpg", "sigstore"]

_SSH_TYPE = re.compile(r"[a-z0-9@.-]+")
_OPENPGP = "(?:[0-9A-F] *){40}(?:(?:[0-9A-F] *){24})?"
_FINGERPRINT = matching(_OPENPGP, "OpenPGP fingerprint")
_ANY_FINGERPRINT = matching(f"SHA256:[A-Za-z0-9+/]{{43}}|{_OPENPGP}", "fingerprint of a key")
_Persons = Annotated[int, at_least(1)]
"""Not 0: that would be met by nobody's word."""


@dataclass(frozen=True)
class SshKey:
    """Type and base64 of a line as in authorized_keys or .pub, and the key's fingerprint."""

    data: bytes
    fingerprint: str

    @classmethod
    def from_text(cls, text: str) -> SshKey:
        """Raises BadValue."""
        parts = text.split()
        fault = BadValue('is no public key of OpenSSH, as in "ssh-ed25519 AAAA..."')
        if len(parts) < 2 or not _SSH_TYPE.fullmatch(parts[0]):
            raise fault
        try:
            blob = base64.b64decode(parts[1].encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raise fault from None
        kind = parts[0].encode()
        if blob[: 4 + len(kind)] != len(kind).to_bytes(4, "big") + kind or b"-cert-" in kind:
            raise fault
        digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
        return cls(f"{parts[0]} {parts[1]}".encode(), f"SHA256:{digest}")


@dataclass(frozen=True)
class PolicyKey:
    """One key of one person: an ssh key, or the fingerprint of an OpenPGP key and the key's file.

    Or an identity to which sigstore gives keys, its issuer, and a trusted_root.json.

    Days are UTC and count as a whole.  ``person`` is whose it is, ``content`` that of the file,
    ``never`` the policy's list of revoked keys, which may have a subkey of this one.
    """

    label: str = key(THE_KEY, default="")
    ssh: SshKey | None = None
    gpg: Annotated[str, _FINGERPRINT] | None = None
    sigstore: Annotated[str, filled] | None = None
    issuer: str = ""
    file: str = ""
    valid_from: datetime.date | None = None
    valid_until: datetime.date | None = None
    revoked: datetime.date | None = None
    person: str = key(None, default="")
    content: bytes = key(None, default=b"")
    never: frozenset[str] = key(None, default=frozenset())

    def __post_init__(self) -> None:
        kinds = [one is not None for one in (self.ssh, self.gpg, self.sigstore)]
        if kinds.count(True) != 1 or (self.ssh is None) != bool(self.file):
            raise BadValue('must have either ssh = "TYPE BASE64", or gpg = "FINGERPRINT" and file')
        if (self.sigstore is None) != (not self.issuer):
            raise BadValue(
                'must have sigstore = "IDENTITY", issuer = "URL" and file, or none of it'
            )
        if self.valid_from and self.valid_until and self.valid_from > self.valid_until:
            raise BadValue("is before valid_from: the key never counts", "valid_until")

    @property
    def kind(self) -> Kind:
        return "ssh" if self.ssh else "gpg" if self.gpg else "sigstore"

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen and gpg print it; of sigstore, who it is by whose word."""
        if self.sigstore is not None:
            return f"{self.sigstore} by {self.issuer}"
        return self.ssh.fingerprint if self.ssh else str(self.gpg).replace(" ", "")

    @property
    def data(self) -> bytes:
        """The public key: type and base64 of an ssh key; else the content of the key's file."""
        return self.ssh.data if self.ssh else self.content

    def state(self, at: datetime.date) -> tuple[KeyState, str] | None:
        """Why the key does not count on that day, as a word and a sentence; None if it does.

        A revoked key's signatures count no more, whenever they say they were made: whoever has the
        key can write any date into one.
        """
        if self.revoked is not None and at >= self.revoked:
            ever = self.revoked == datetime.date.min
            when = "is on the policy's list of revoked keys" if ever else (
                f"was revoked on {self.revoked}")  # fmt: skip
            return "revoked", f"its key {when}"
        if self.valid_from is not None and at < self.valid_from:
            return "not-yet-valid", f"its key counts only from {self.valid_from} on"
        if self.valid_until is not None and at > self.valid_until:
            return "expired", f"its key counted only until {self.valid_until}"
        return None


@dataclass(frozen=True)
class Person:
    """Somebody whose word counts once, however many keys there are."""

    keys: Annotated[Mapping[str, PolicyKey], filled]
    id: str = key(THE_KEY, default="")
    name: str | None = None


def _known_arch(text: str) -> None:
    try:
        arch_name(text)
    except BadInput as error:
        raise BadValue(f"is not known: {error}") from None


@dataclass(frozen=True)
class About:
    """What has to be vouched for; an empty or absent value is not asked for."""

    name: Word
    arch: Annotated[str, _known_arch]
    release: Word | None = None
    entry: Word | None = None
    source_digest: Sha256 | None = None
    image: Sha256 | None = None
    products: Mapping[TreePath, Sha256] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """``stage0-posix 1.9.1 x86``."""
        return " ".join(filter(None, (self.name, self.release, self.arch)))


@dataclass(frozen=True)
class Need:
    """How many distinct persons, runs and so on it takes; 0: not asked for.

    ``opinions`` is how many independent opinions each statement must name, made in its own run.
    ``stated`` is whether that counts which the signer only states, and the command that signed did
    not see.  ``recheck``: whether only runs count that the core alone found the same of.
    """

    persons: _Persons
    runs: Size = 0
    engines: Size = 0
    cpu_vendors: Size = 0
    systems: Size = 0
    opinions: Size = 0
    stated: Literal["count", "refuse"] = "count"
    disagreement: Literal["refuse", "tell"] = "refuse"
    recheck: Literal["ignore", "require"] = "ignore"


@dataclass(frozen=True)
class Allow:
    """SLSA builder ids, and names of external parameters, that count besides our own."""

    builders: Texts = ()
    external_parameters: Texts = ()


@dataclass(frozen=True)
class Stagex:
    """What StageX's signatures must have: so many persons for each image (name -> SHA-256).

    Without ``images``, for each image that there is a folder for.
    """

    persons: _Persons
    registry: Word = "stagex"
    images: Mapping[str, Sha256] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """All of it.  ``about`` and ``need`` go together; one of them or ``stagex`` is there.

    ``expires`` is the last day on which it can be met; ``revoked`` are fingerprints of keys that
    never count, whoever they are listed for.
    """

    schema: Literal[1]
    persons: Mapping[str, Person]
    name: str = ""
    about: About | None = None
    need: Need | None = None
    stagex: Stagex | None = None
    allow: Allow = Allow()
    expires: datetime.date | None = None
    revoked: tuple[Annotated[str, _ANY_FINGERPRINT], ...] = ()
    file: str = key(None, default="")

    def __post_init__(self) -> None:
        """That the parts fit, and that it can be met at all."""
        if (self.about is None) != (self.need is None):
            raise BadValue("must have both [about] and [need], or neither")
        if self.about is None and self.stagex is None:
            raise BadValue("asks for nothing: it needs [about] and [need], or [stagex]")
        owners: dict[str, str] = {}
        spelled: dict[str, str] = {}
        for person, row in self.persons.items():
            plain = "".join(person.split()).casefold()
            if (other := spelled.setdefault(plain, person)) != person:
                raise BadValue(f"is {other!r} in other letters or with spaces", "persons", person)
            for label, one in row.keys.items():
                here = f"{person}'s {label}"
                if (other := owners.setdefault(one.fingerprint, here)) != here:
                    fault = f"{one.fingerprint} is listed twice, as {other} and {here}"
                    raise BadValue(fault, "persons", person, "keys", label)
        with_gpg = sum(any(one.gpg for one in row.keys.values()) for row in self.persons.values())
        for table, wanted, there, whose in (
            ("need", self.need, len(self.persons), ""),
            ("stagex", self.stagex, with_gpg, " with a gpg key"),
        ):
            if wanted is not None and wanted.persons > there:
                raise BadValue(
                    f"is {wanted.persons}, but the policy lists {count(there, 'person')}{whose}:"
                    " nobody can meet that", table, "persons",
                )  # fmt: skip

    @property
    def keys(self) -> tuple[PolicyKey, ...]:
        """Every key of every person."""
        return tuple(one for person in self.persons.values() for one in person.keys.values())

    def over(self, at: datetime.date) -> str | None:
        """Why it cannot be met on that day any more, if so."""
        over = self.expires is not None and at > self.expires
        return f"the policy expired on {self.expires}" if over else None

    def able(self, at: datetime.date, kind: Kind | None = None) -> list[str]:
        """The persons who have a key (of that kind) that counts on that day."""
        return [
            person.id
            for person in self.persons.values()
            if any(k.state(at) is None and kind in (None, k.kind) for k in person.keys.values())
        ]


def read_policy(path: Path) -> Policy:
    """Read and check a policy and its key files.

    Raises BadInput, with file and line, also for a policy that nobody could ever meet.
    """
    policy = from_toml(Policy, read_file(path, MAX_FILE), str(path))
    revoked = frozenset(text.replace(" ", "") for text in policy.revoked)
    persons = {}
    for person in policy.persons.values():
        keys = {}
        for label, one in person.keys.items():
            content = read_file(path.parent / one.file, MAX_FILE) if one.file else b""
            ever = datetime.date.min if one.fingerprint in revoked else one.revoked
            more = {"person": person.id, "content": content, "revoked": ever, "never": revoked}
            keys[label] = replace(one, **more)  # type: ignore[arg-type]
        name = person.id if person.name is None else person.name
        persons[person.id] = replace(person, keys=keys, name=name)
    about = policy.about and replace(policy.about, arch=arch_name(policy.about.arch))
    return replace(policy, file=str(path), persons=persons, about=about)
