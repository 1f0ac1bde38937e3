"""The policy of a quorum: whose word counts, by which keys, how many it takes, and about what.

TOML 1.0, every key checked as in `bootstrap.catalogue.reading`; docs/vouching.md tells all of them.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bootstrap.catalogue import arch_name
from bootstrap.catalogue.reading import Table
from bootstrap.documents import parse_toml
from bootstrap.errors import BadInput
from bootstrap.sources.tree import read_file
from bootstrap.verify.words import count

SCHEMA = 1
MAX_FILE = 4 << 20

State = Literal["not-yet-valid", "expired", "revoked"]
Kind = Literal["ssh", "gpg"]

_GPG = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")
_SSH_TYPE = re.compile(r"[a-z0-9@.-]+")


@dataclass(frozen=True)
class Key:
    """One key of one person.

    ``fingerprint`` is as ssh-keygen and gpg print it.  ``data`` is the public key: type and base64
    of an ssh key, the content of the key's file for gpg.  Days are UTC and count as a whole.
    """

    person: str
    label: str
    kind: Kind
    fingerprint: str
    data: bytes
    valid_from: datetime.date | None = None
    valid_until: datetime.date | None = None
    revoked: datetime.date | None = None

    def state(self, at: datetime.date) -> tuple[State, str] | None:
        """Why the key does not count on that day, as a word and a sentence; None if it does.

        A revoked key's signatures count no more, whenever they say they were made: whoever has the
        key can write any date into one.
        """
        if self.revoked is not None and at >= self.revoked:
            return "revoked", f"its key was revoked on {self.revoked}"
        if self.valid_from is not None and at < self.valid_from:
            return "not-yet-valid", f"its key counts only from {self.valid_from} on"
        if self.valid_until is not None and at > self.valid_until:
            return "expired", f"its key counted only until {self.valid_until}"
        return None


@dataclass(frozen=True)
class Person:
    """Somebody whose word counts once, however many keys there are."""

    id: str
    name: str
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class About:
    """What has to be vouched for; an empty or absent value is not asked for."""

    name: str
    release: str | None
    arch: str
    entry: str | None = None
    source_digest: str | None = None
    products: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """``stage0-posix 1.9.1 x86``."""
        return " ".join(filter(None, (self.name, self.release, self.arch)))


@dataclass(frozen=True)
class Need:
    """How many distinct persons, runs and so on it takes; 0: not asked for.

    ``stated`` is whether that counts which the signer only states, and the command that signed did
    not see.
    """

    persons: int
    runs: int = 0
    engines: int = 0
    cpu_vendors: int = 0
    systems: int = 0
    stated: Literal["count", "refuse"] = "count"
    disagreement: Literal["refuse", "tell"] = "refuse"


@dataclass(frozen=True)
class Allow:
    """SLSA builder ids, and names of external parameters, that count besides our own."""

    builders: tuple[str, ...] = ()
    external_parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stagex:
    """What StageX's signatures must have: so many persons for each image (name -> SHA-256).

    Without ``images``, for each image that there is a folder for.
    """

    persons: int
    registry: str
    images: Mapping[str, str]


@dataclass(frozen=True)
class Policy:
    """All of it.  ``about`` and ``need`` go together; one of them or ``stagex`` is there."""

    file: str
    name: str
    persons: Mapping[str, Person]
    about: About | None
    need: Need | None
    stagex: Stagex | None
    allow: Allow = Allow()

    @property
    def keys(self) -> tuple[Key, ...]:
        """Every key of every person."""
        return tuple(key for person in self.persons.values() for key in person.keys)

    def able(self, at: datetime.date, kind: Kind | None = None) -> list[str]:
        """The persons who have a key (of that kind) that counts on that day."""
        return [
            person.id
            for person in self.persons.values()
            if any(k.state(at) is None and kind in (None, k.kind) for k in person.keys)
        ]


class _Table(Table):
    """Tables with days in them."""

    def table(self, key: str) -> _Table:
        data = self._get(key, dict, "a table")
        name = f"{self._name}.{key}" if self._name else key
        return _Table(data, self._file, self._text, name)

    def day(self, key: str) -> datetime.date | None:
        """A TOML day (2026-11-23), or None where there is none."""
        self._asked.add(key)
        if key not in self:
            return None
        value = self._get(key, datetime.date, "a day, as in 2026-11-23")
        if isinstance(value, datetime.datetime) or not isinstance(value, datetime.date):
            raise self.error(key, "must be a day without a time, as in 2026-11-23")
        return value


def read_policy(path: Path) -> Policy:
    """Read and check a policy and its key files.

    Raises BadInput, with file and line, also for a policy that nobody could ever meet.
    """
    data, text = parse_toml(read_file(path, MAX_FILE), str(path))
    top = _Table(data, str(path), text)
    schema = top.integer("schema")
    if schema != SCHEMA:
        raise top.error("schema", f"is {schema}; this version reads schema {SCHEMA}")
    people = top.table("persons")
    persons = {name: _person(people.table(name), name, path) for name in people}
    about = _about(top.table("about")) if "about" in top else None
    need = _need(top.table("need")) if "need" in top else None
    stagex = _stagex(top.table("stagex")) if "stagex" in top else None
    allow = _allow(top.table("allow")) if "allow" in top else Allow()
    policy = Policy(str(path), top.text("name", ""), persons, about, need, stagex, allow)
    top.done()
    _check_whole(policy, top)
    return policy


def _person(table: _Table, person: str, policy: Path) -> Person:
    rows = table.table("keys")
    keys = tuple(_key(rows.table(label), person, label, policy) for label in rows)
    if not keys:
        raise table.error("keys", "is empty; a person counts by a key")
    name = table.text("name", person)
    table.done()
    return Person(person, name, keys)


def _key(row: _Table, person: str, label: str, policy: Path) -> Key:
    if ("ssh" in row) == ("gpg" in row):
        raise row.error("", 'must have either ssh = "TYPE BASE64", or gpg = "FINGERPRINT" and file')
    kind: Kind
    if "ssh" in row:
        kind = "ssh"
        data, fingerprint = _ssh(row)
    else:
        kind = "gpg"
        fingerprint = row.text("gpg").replace(" ", "")
        if not _GPG.fullmatch(fingerprint):
            raise row.error("gpg", f"is no OpenPGP fingerprint: {fingerprint!r}")
        data = read_file(policy.parent / row.text("file"), MAX_FILE)
    days = row.day("valid_from"), row.day("valid_until"), row.day("revoked")
    if days[0] and days[1] and days[0] > days[1]:
        raise row.error("valid_until", f"is before valid_from: the key {label} never counts")
    key = Key(person, label, kind, fingerprint, data, *days)
    row.done()
    return key


def _ssh(row: _Table) -> tuple[bytes, str]:
    """Type and base64 of a line as in authorized_keys or .pub, and the key's fingerprint."""
    parts = row.text("ssh").split()
    fault = row.error("ssh", 'is no public key of OpenSSH, as in "ssh-ed25519 AAAA..."')
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
    return f"{parts[0]} {parts[1]}".encode(), f"SHA256:{digest}"


def _about(table: _Table) -> About:
    products = table.table("products") if "products" in table else None
    pinned: dict[str, str] = {}
    if products is not None:
        pinned = {products.check_path(path, path): products.sha256(path) for path in products}
    try:
        arch = arch_name(table.word("arch"))
    except BadInput as error:
        raise table.error("arch", f"is not known: {error}") from None
    about = About(
        name=table.word("name"),
        release=table.optional_word("release"),
        arch=arch,
        entry=table.optional_word("entry"),
        source_digest=table.sha256("source_digest") if "source_digest" in table else None,
        products=pinned,
    )
    table.done()
    return about


def _need(table: _Table) -> Need:
    disagreement, stated = table.text("disagreement", "refuse"), table.text("stated", "count")
    if disagreement not in ("refuse", "tell"):
        raise table.error("disagreement", f"is {disagreement!r}; it must be refuse or tell")
    if stated not in ("count", "refuse"):
        raise table.error("stated", f"is {stated!r}; it must be count or refuse")
    need = Need(
        persons=table.integer("persons"),
        runs=table.integer("runs") if "runs" in table else 0,
        engines=table.integer("engines") if "engines" in table else 0,
        cpu_vendors=table.integer("cpu_vendors") if "cpu_vendors" in table else 0,
        systems=table.integer("systems") if "systems" in table else 0,
        stated="refuse" if stated == "refuse" else "count",
        disagreement="tell" if disagreement == "tell" else "refuse",
    )
    if need.persons < 1:
        raise table.error("persons", "is 0: that would be met by nobody's word")
    table.done()
    return need


def _allow(table: _Table) -> Allow:
    allow = Allow(table.texts("builders"), table.texts("external_parameters"))
    table.done()
    return allow


def _stagex(table: _Table) -> Stagex:
    rows = table.table("images") if "images" in table else None
    images = {} if rows is None else {name: rows.sha256(name) for name in rows}
    persons = table.integer("persons")
    if persons < 1:
        raise table.error("persons", "is 0: that would be met by nobody's word")
    found = Stagex(persons, table.text("registry", "stagex"), images)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", found.registry):
        raise table.error("registry", f"is no plain name of a folder: {found.registry!r}")
    table.done()
    return found


def _check_whole(policy: Policy, top: _Table) -> None:
    """What no table can tell by itself: that the parts fit, and that it can be met at all."""
    if (policy.about is None) != (policy.need is None):
        raise top.error("", "must have both [about] and [need], or neither")
    if policy.about is None and policy.stagex is None:
        raise top.error("", "asks for nothing: it needs [about] and [need], or [stagex]")
    owners: dict[str, Key] = {}
    for key in policy.keys:
        other = owners.setdefault(key.fingerprint, key)
        if other is not key:
            raise BadInput(
                f"{policy.file}: {key.fingerprint} is listed twice, as {other.person}'s"
                f" {other.label} and {key.person}'s {key.label}"
            )
    with_gpg = sum(any(k.kind == "gpg" for k in p.keys) for p in policy.persons.values())
    for table, wanted, there, whose in (
        ("need", policy.need, len(policy.persons), ""),
        ("stagex", policy.stagex, with_gpg, " with a gpg key"),
    ):
        if wanted is not None and wanted.persons > there:
            raise top.table(table).error(
                "persons",
                f"is {wanted.persons}, but the policy lists {count(there, 'person')}{whose}:"
                " nobody can meet that",
            )
