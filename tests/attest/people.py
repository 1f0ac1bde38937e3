"""People with throw-away keys of real ssh-keygen and gpg, and what they sign."""

from __future__ import annotations

import base64
import dataclasses
import functools
import subprocess
from pathlib import Path
from typing import Any

from bootstrap.attest.envelope import PAYLOAD_TYPE, SSH_NAMESPACE, Envelope, Signature
from bootstrap.attest.evidence import Evidence
from bootstrap.attest.hosts import Host
from bootstrap.attest.signatures import sign_gpg
from bootstrap.attest.statement import READ, make_statement, payload

GPG_HOME = "GNUPGHOME"
AMD = Host("AuthenticAMD", "x86_64", "Linux 6.1")
INTEL = Host("GenuineIntel", "x86_64", "Linux 6.1")


def gpg_programs(*command: str, stdin: bytes = b"") -> bytes:
    """Run one of gpg's programs in the home that the environment names."""
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


class People:
    """Makes keys by name when they are first asked for; a name beginning with gpg is gpg's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @functools.cache  # noqa: B019 - one object, for one session
    def ssh(self, name: str) -> Path:
        """The private key's file; the public one is beside it, with .pub."""
        place = self.folder / name
        subprocess.run(
            [
                "ssh-keygen",
                "-q",
                "-t",
                "rsa" if name == "rsa" else "ed25519",
                "-N",
                "",
                "-C",
                name,
                "-f",
                str(place),
            ],
            check=True,
            capture_output=True,
        )
        return place

    @functools.cache  # noqa: B019 - as above
    def gpg(self, name: str, *how: str) -> str:
        """The fingerprint; the public key is exported to NAME.asc."""
        made = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "", *how]
        gpg_programs(
            *made, "--quick-gen-key", f"{name} <{name}@example.org>", "ed25519", "sign", "0"
        )
        fingerprint = self.fingerprint(name)
        self.export(name, fingerprint)
        return fingerprint

    def fingerprint(self, name: str) -> str:
        """Of a gpg key that is in the home."""
        listed = gpg_programs("gpg", "--batch", "--with-colons", "--list-keys", f"{name}@").decode()
        rows = [line.split(":") for line in listed.splitlines()]
        return next(row[9] for row in rows if row[0] == "fpr")

    def export(self, name: str, fingerprint: str) -> Path:
        place = self.folder / f"{name}.asc"
        place.write_bytes(gpg_programs("gpg", "--batch", "--armor", "--export", fingerprint))
        return place

    def public(self, name: str) -> str:
        """The line of an ssh public key; rsa-otherwise: rsa's, with a zero before its exponent."""
        if name == "rsa-otherwise":
            kind, text, _ = self.public("rsa").split()
            blob = base64.b64decode(text).replace(b"\0\0\0\3\1\0\1", b"\0\0\0\4\0\1\0\1", 1)
            return f"{kind} {base64.b64encode(blob).decode()}"
        return Path(f"{self.ssh(name)}.pub").read_text().strip()

    def key(self, person: str, name: str, more: str = "") -> str:
        """A key's table in a policy."""
        if name.startswith("gpg"):
            value = f'gpg = "{self.gpg(name)}"\nfile = "{self.folder / name}.asc"'
        else:
            value = f'ssh = "{self.public(name)}"'
        return f"[persons.{person}.keys.{name}]\n{value}\n{more}\n"

    def sign(self, data: bytes, name: str, namespace: str = SSH_NAMESPACE) -> Signature:
        if name.startswith("gpg"):
            return sign_gpg(data, self.gpg(name))
        command = ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", str(self.ssh(name))]
        done = subprocess.run(command, input=data, capture_output=True, check=True)
        return Signature(name, done.stdout)

    def envelope(self, content: bytes, *names: str, kind: str = PAYLOAD_TYPE) -> Envelope:
        """This content, signed by each of the keys."""
        data = Envelope(content, kind, ()).signed_bytes()
        return Envelope(content, kind, tuple(self.sign(data, name) for name in names))

    def attest(
        self, evidence: Evidence, *names: str, host: Host = AMD, run: str = READ, **changes: Any
    ) -> Envelope:
        """A statement of this evidence with `changes`, signed by each of the keys."""
        changed = dataclasses.replace(evidence, **changes)
        return self.envelope(payload(make_statement(changed, host, run)), *names)
