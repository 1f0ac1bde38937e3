"""Signatures by ssh-keygen and gpg: made with the user's own keys, verified in a throw-away home.

The one place of this room that starts a host program.  Signing sees the user's keys, agents and
cards.  Verifying sees the policy's keys and nothing else: no key ring, agent, configuration or
network of the user's.  ssh-keygen knows no days, gpg is given the day that is judged.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bootstrap.attest.bundles import SigstoreIdentity, verify
from bootstrap.attest.envelope import SSH_NAMESPACE, Envelope, Signature
from bootstrap.attest.policy import KeyState, PolicyKey
from bootstrap.core.errors import BadInput
from bootstrap.signals import scratch_folder

SSH_KEYGEN = "ssh-keygen"
GPG = "gpg"
_PACKAGES = {SSH_KEYGEN: "OpenSSH (openssh-client), 8.2 or later", GPG: "GnuPG (gnupg), 2.2"}
# Windows programs do not start without these.
_NEEDED = ("PATH", "SYSTEMROOT", "TEMP", "TMP")


@dataclass(frozen=True)
class ProgramEnd:
    """A program that ran to its end."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def last_words(self) -> str:
        """The last line that it said, for a message."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else f"it ended with status {self.status}"


def find(program: str) -> str:
    """Where a program is.  Raises BadInput when it is not installed."""
    place = shutil.which(program)
    if place is None:
        raise BadInput(f"{program} is not installed; it comes with {_PACKAGES[program]}")
    return place


def run(
    program: str,
    arguments: Sequence[str],
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    show_stderr: bool = False,
) -> ProgramEnd:
    """Run a program to its end.  Raises BadInput when it is not installed.

    With `show_stderr` it speaks to the user itself (`touch the key`); else what it says is kept.
    """
    place = find(program)
    try:
        done = subprocess.run(
            [place, *arguments],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=None if show_stderr else subprocess.PIPE,
            env=None if environment is None else dict(environment),
            check=False,
        )
    except OSError as error:
        raise BadInput(f"{place}: cannot be started: {error.strerror}") from None
    stderr = (done.stderr or b"").decode("utf-8", "replace")
    return ProgramEnd(done.returncode, done.stdout, stderr)


def closed_environment(home: Path) -> dict[str, str]:
    """An environment in which nothing of the user's is found: no keys, agents, configuration."""
    kept = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    return {**kept, "HOME": str(home), "GNUPGHOME": str(home), "LC_ALL": "C"}


# -- made ------------------------------------------------------------------------------------------

_FINGERPRINT = re.compile(r"\bSHA256:[A-Za-z0-9+/]{43}")
_STATUS = "[GNUPG:] "


def _status(text: str) -> list[list[str]]:
    """gpg's status lines in a text, as words; none of them is empty."""
    lines = (line for line in text.splitlines() if line.startswith(_STATUS))
    return [words for line in lines if (words := line.removeprefix(_STATUS).split())]


def sign_ssh(data: bytes, key: str) -> Signature:
    """Sign with ssh-keygen -Y sign.

    ``key`` is the file of a private key, of a key on a card, or of a public key whose private half
    an ssh agent has.  Raises BadInput when no signature came of it.
    """
    visible = sys.stderr.isatty()  # "Confirm user presence for key ..." must be seen
    done = run(
        SSH_KEYGEN, ["-Y", "sign", "-n", SSH_NAMESPACE, "-f", key], data, show_stderr=visible
    )
    if done.status != 0 or not done.stdout:
        why = "see above" if visible else done.last_words
        if "passphrase" in why:
            why += f"; start this in a terminal, or ssh-add {key}, and give --key {key}.pub"
        raise BadInput(f"--key {key}: ssh-keygen did not sign: {why}")
    with scratch_folder("bootstrap-attest-") as folder:
        place = folder / "signature"
        place.write_bytes(done.stdout)
        check = run(
            SSH_KEYGEN,
            ["-Y", "check-novalidate", "-n", SSH_NAMESPACE, "-s", str(place)],
            data,
        )
    match = _FINGERPRINT.search(check.stdout.decode("utf-8", "replace"))
    if check.status != 0 or match is None:
        raise BadInput(
            f"--key {key}: ssh-keygen signed, but does not verify it: {check.last_words}"
        )
    return Signature(match[0], done.stdout)


def sign_gpg(data: bytes, key: str | None, detached: bool = True) -> Signature:
    """Sign with gpg: a detached signature, or a message with the content in it.

    ``key`` is what gpg knows the key by; None is gpg's own choice.  Raises BadInput.
    """
    chosen = [] if key is None else ["--local-user", key]
    how = "--detach-sign" if detached else "--sign"
    done = run(
        GPG,
        ["--status-fd", "2", *chosen, "--no-armor", "--no-textmode", "--output", "-", how],
        data,
    )
    made = [row for row in _status(done.stderr) if row[0] == "SIG_CREATED"]
    if done.status != 0 or len(made) != 1 or not done.stdout:
        said = [line for line in done.stderr.splitlines() if not line.startswith(_STATUS)]
        why = said[-1] if said else f"it ended with status {done.status}"
        raise BadInput(f"--key {key or '(gpg chooses)'}: gpg did not sign: {why}")
    return Signature(made[0][-1], done.stdout)


def signers_of(message: Path) -> set[str]:
    """The fingerprints of keys that a message says it is signed by; nothing of it is verified."""
    done = run(GPG, ["--status-fd", "1", "--verify", str(message)])
    rows = _status(done.stdout.decode("utf-8", "replace"))
    found = {row[1] for row in rows if row[0] == "VALIDSIG"}
    return found | {row[7] for row in rows if row[0] == "ERRSIG" and len(row) > 7}


# -- verified --------------------------------------------------------------------------------------

SignatureFault = Literal["bad-signature", "unknown-key"] | KeyState

_SSH_BEGIN = b"-----BEGIN SSH SIGNATURE-----"
_NOT_GOOD = {"BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NO_PUBKEY", "NODATA"}
_MAX_CONTENT = 1 << 16


@dataclass(frozen=True)
class CheckedSignature:
    """What came of a check: whose key it is, and why it does not count if it does not.

    ``key`` is None where it is none of the policy's.  ``fingerprint`` is what signed, as far as
    that is known.
    """

    key: PolicyKey | None
    fingerprint: str
    fault: SignatureFault | None = None
    why: str = ""


class Ring:
    """The policy's keys in a home of their own; `open_ring` makes one."""

    def __init__(self, home: Path, keys: Sequence[PolicyKey], at: datetime.date) -> None:
        self._home, self.at = home, at
        self._environment = closed_environment(home)
        self._allowed = home / "allowed_signers"
        self._ssh = {f"key-{number}": key for number, key in enumerate(keys) if key.kind == "ssh"}
        self._gpg = {key.fingerprint: key for key in keys if key.kind == "gpg"}
        self._allowed.write_bytes(
            b"".join(
                b'%s namespaces="%s" %s\n' % (name.encode(), SSH_NAMESPACE.encode(), key.data)
                for name, key in self._ssh.items()
            )
        )
        for key in self._gpg.values():
            self._import(key)
        self._sigstore = [key for key in keys if key.kind == "sigstore"]

    def check(self, data: bytes, signature: bytes) -> CheckedSignature:
        """A detached signature, of either kind, over these bytes."""
        if signature.lstrip().startswith(_SSH_BEGIN):
            return self._check_ssh(data, signature)
        return self._check_gpg(data, signature)

    def check_envelope(self, envelope: Envelope) -> list[CheckedSignature]:
        """Each of its signatures; of a sigstore bundle, the bundle."""
        if envelope.bundle:
            return [self._check_bundle(envelope)]
        data = envelope.signed_bytes()
        return [self.check(data, signature.data) for signature in envelope.signatures]

    def check_message(self, message: bytes) -> tuple[bytes, CheckedSignature]:
        """An OpenPGP message with its content in it, as StageX signs: the content, and whose."""
        place = self._file("message", message)
        done, rows = self._run_gpg(
            ["--max-output", str(_MAX_CONTENT), "--output", "-", "--decrypt", str(place)]
        )
        words = [row[0] for row in rows]
        if "PLAINTEXT" not in words or words.count("PLAINTEXT") > 1 or "BEGIN_DECRYPTION" in words:
            why = "is no OpenPGP message with one content in the clear"
            return b"", CheckedSignature(None, "", "bad-signature", why)
        return done.stdout, self._judge_gpg(done, rows)

    def _check_bundle(self, envelope: Envelope) -> CheckedSignature:
        if not self._sigstore:
            return CheckedSignature(None, "", "unknown-key", "the policy has no key of sigstore's")
        identities = [
            SigstoreIdentity(
                str(key.sigstore), key.issuer, str(self._file(f"root-{number}", key.data))
            )
            for number, key in enumerate(self._sigstore)
        ]
        found = verify(self._file("bundle", envelope.bundle), identities)
        if found.fault:
            why = f"sigstore does not verify it: {found.fault}"
            return CheckedSignature(None, "", "bad-signature", why)
        if found.number is None:
            why = f"by {found.signer}, not in the policy with that issuer"
            return CheckedSignature(None, found.signer, "unknown-key", why)
        key = self._sigstore[found.number]
        if (found.payload, found.payload_type) != (envelope.payload, envelope.payload_type):
            why = "two readers find two things in it"
            return CheckedSignature(key, key.fingerprint, "bad-signature", why)
        if (made := datetime.date.fromisoformat(found.day)) > self.at:
            why = f"it says that it is of {made}"
            return CheckedSignature(key, key.fingerprint, "not-yet-valid", why)
        return self._on_the_day(key)

    def _check_ssh(self, data: bytes, signature: bytes) -> CheckedSignature:
        place = str(self._file("signature", signature))
        found = self._run_ssh(["find-principals", "-f", str(self._allowed), "-s", place], data)
        name = found.stdout.decode("utf-8", "replace").strip()
        key = self._ssh.get(name) if found.status == 0 else None
        if key is None:
            loose = self._run_ssh(["check-novalidate", "-n", SSH_NAMESPACE, "-s", place], data)
            match = _FINGERPRINT.search(loose.stdout.decode("utf-8", "replace"))
            if loose.status != 0 or match is None:
                why = f"ssh-keygen does not verify it: {loose.last_words}"
                return CheckedSignature(None, "", "bad-signature", why)
            return CheckedSignature(
                None, match[0], "unknown-key", f"by {match[0]}, a key not in the policy"
            )
        options = ["-f", str(self._allowed), "-I", name, "-n", SSH_NAMESPACE, "-s", place]
        done = self._run_ssh(["verify", *options], data)
        # One key can be written in several ways (RSA, with zeros before a number), and then it has
        # fingerprints of which the policy's list of revoked keys may have another.
        match = _FINGERPRINT.search(done.stdout.decode("utf-8", "replace"))
        if done.status != 0 or match is None or match[0] != key.fingerprint:
            why = f"ssh-keygen does not verify it: {done.last_words}"
            if done.status == 0:
                why = (
                    f"the policy's key is written in another way than that of {match and match[0]}"
                )
            return CheckedSignature(key, key.fingerprint, "bad-signature", why)
        return self._on_the_day(key)

    def _check_gpg(self, data: bytes, signature: bytes) -> CheckedSignature:
        place = self._file("signature", signature)
        done, rows = self._run_gpg(["--verify", str(place), "-"], data)
        if any(row[0] in ("PLAINTEXT", "BEGIN_DECRYPTION") for row in rows):
            return CheckedSignature(None, "", "bad-signature", "is no detached signature")
        if any(row[0] == "VALIDSIG" and row[9] != "00" for row in rows):
            why = "is over text, of which other line ends would do too, and not over bytes"
            return CheckedSignature(None, "", "bad-signature", why)
        return self._judge_gpg(done, rows)

    def _judge_gpg(self, done: ProgramEnd, rows: Sequence[Sequence[str]]) -> CheckedSignature:
        words = [row[0] for row in rows]
        valid = [row for row in rows if row[0] == "VALIDSIG"]
        if words.count("NEWSIG") > 1 or len(valid) > 1:
            return CheckedSignature(None, "", "bad-signature", "holds several signatures in one")
        for row in rows:
            if row[0] in ("ERRSIG", "NO_PUBKEY") and "NO_PUBKEY" in words:
                signer = row[7] if len(row) > 7 and row[7] != "-" else row[1]
                return CheckedSignature(
                    None, signer, "unknown-key", f"by {signer}, a key not in the policy"
                )
        errors = [row for row in rows if row[0] == "ERRSIG" and len(row) > 7]
        if errors and _day(errors[0][5]) > self.at:
            # gpg does not check a signature by a key that, on the day judged, is not yet made.
            why = f"it says that it is of {_day(errors[0][5])}"
            return CheckedSignature(None, errors[0][7], "not-yet-valid", why)
        # The last field is the primary key's fingerprint, the first may be a subkey's.
        key = self._gpg.get(valid[0][-1]) if valid else None
        fingerprint = valid[0][1] if valid else ""
        if key is not None and {"EXPKEYSIG", "REVKEYSIG"} & set(words):
            if "REVKEYSIG" in words:
                return CheckedSignature(key, fingerprint, "revoked", "its OpenPGP key is revoked")
            return CheckedSignature(key, fingerprint, "expired", "its OpenPGP key had expired")
        bad = [word for word in words if word in _NOT_GOOD]
        if key is None or bad or words.count("GOODSIG") != 1 or done.status != 0:
            said = " ".join(dict.fromkeys(bad)) or "no good signature"
            why = f"gpg does not verify it: {said}, {done.last_words}"
            return CheckedSignature(key, fingerprint, "bad-signature", why)
        if fingerprint in key.never:
            why = f"its subkey {fingerprint} is on the policy's list of revoked keys"
            return CheckedSignature(key, fingerprint, "revoked", why)
        made = _day(valid[0][3])
        if made > self.at:
            return CheckedSignature(
                key, fingerprint, "not-yet-valid", f"it says that it is of {made}"
            )
        return self._on_the_day(key)

    def _on_the_day(self, key: PolicyKey) -> CheckedSignature:
        state = key.state(self.at)
        if state is None:
            return CheckedSignature(key, key.fingerprint)
        return CheckedSignature(key, key.fingerprint, *state)

    def _import(self, key: PolicyKey) -> None:
        place = self._file("key", key.data)
        # Of today, whatever the day judged: a key is not taken before the day it was made.
        done, rows = self._run_gpg(["--import", str(place)], dated=False)
        found = sorted({row[-1] for row in rows if row[0] == "IMPORT_OK"})
        whose = f"{key.person}'s key {key.label}"
        if not found:
            raise BadInput(f"{whose}: gpg finds no public key in its file: {done.last_words}")
        if found != [key.fingerprint]:
            others = ", ".join(found)
            raise BadInput(
                f"{whose}: its file has the key {others}, where only {key.fingerprint} is to be"
            )

    def _run_gpg(
        self, arguments: Sequence[str], stdin: bytes = b"", dated: bool = True
    ) -> tuple[ProgramEnd, list[list[str]]]:
        """Run gpg as of the end of the day; what it did, and its status lines as words."""
        status = self._file("status", b"")
        moment = ["--faked-system-time", self.at.strftime("%Y%m%dT235959")] if dated else []
        closed = ["--no-options", "--batch", "--no-tty", "--no-autostart", "--disable-dirmngr"]
        closed += ["--no-auto-key-retrieve", "--no-auto-key-locate", "--no-auto-key-import"]
        how = ["--trust-model", "always", "--weak-digest", "SHA1", *moment]
        done = run(
            GPG,
            ["--homedir", str(self._home), *closed, *how, "--status-file", str(status), *arguments],
            stdin,
            self._environment,
        )
        return done, _status(status.read_bytes().decode("utf-8", "replace"))

    def _run_ssh(self, arguments: Sequence[str], stdin: bytes) -> ProgramEnd:
        return run(SSH_KEYGEN, ["-Y", *arguments], stdin, self._environment)

    def _file(self, name: str, data: bytes) -> Path:
        place = self._home / f"{name}.bin"
        place.write_bytes(data)
        return place


def _day(seconds: str) -> datetime.date:
    """Of seconds since 1970, or of a time in ISO form, as gpg's status lines have one or other."""
    if "T" in seconds:
        return datetime.datetime.strptime(seconds, "%Y%m%dT%H%M%S").date()
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).date()


@contextlib.contextmanager
def open_ring(keys: Sequence[PolicyKey], at: datetime.date) -> Iterator[Ring]:
    """A ring of these keys as of the end of that day (UTC); its home is removed afterwards.

    Raises BadInput: a program is missing, a key's file holds no such key.
    """
    with scratch_folder("bootstrap-quorum-") as folder:
        folder.chmod(0o700)
        yield Ring(folder, keys, at)
