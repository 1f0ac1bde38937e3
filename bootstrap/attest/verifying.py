"""Is a signature good, and whose is it?  Asked of ssh-keygen and gpg, in a throw-away home.

They see the policy's keys and nothing else: no key ring, agent, configuration or network of the
user's.  ssh-keygen knows no days, gpg is told the day that is judged.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bootstrap.attest.envelope import SSH_NAMESPACE
from bootstrap.attest.policy import Key, State
from bootstrap.attest.programs import GPG, SSH_KEYGEN, Ended, closed_environment, run
from bootstrap.core.errors import BadInput

Fault = Literal["bad-signature", "unknown-key"] | State

_SSH_BEGIN = b"-----BEGIN SSH SIGNATURE-----"
_STATUS = "[GNUPG:] "
_NOT_GOOD = {"BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NO_PUBKEY", "NODATA"}
_FINGERPRINT = re.compile(r"\bSHA256:[A-Za-z0-9+/]{43}")
_MAX_CONTENT = 1 << 16


@dataclass(frozen=True)
class Signed:
    """What came of a check: whose key it is, and why it does not count if it does not.

    ``key`` is None where it is none of the policy's.  ``fingerprint`` is what signed, as far as
    that is known.
    """

    key: Key | None
    fingerprint: str
    fault: Fault | None = None
    why: str = ""


class Ring:
    """The policy's keys in a home of their own; `open_ring` makes one."""

    def __init__(self, home: Path, keys: Sequence[Key], at: datetime.date) -> None:
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

    def check(self, data: bytes, signature: bytes) -> Signed:
        """A detached signature, of either kind, over these bytes."""
        if signature.lstrip().startswith(_SSH_BEGIN):
            return self._check_ssh(data, signature)
        return self._check_gpg(data, signature)

    def check_message(self, message: bytes) -> tuple[bytes, Signed]:
        """An OpenPGP message with its content in it, as StageX signs: the content, and whose."""
        place = self._file("message", message)
        done, rows = self._run_gpg(
            ["--max-output", str(_MAX_CONTENT), "--output", "-", "--decrypt", str(place)]
        )
        words = [row[0] for row in rows]
        if "PLAINTEXT" not in words or words.count("PLAINTEXT") > 1 or "BEGIN_DECRYPTION" in words:
            why = "is no OpenPGP message with one content in the clear"
            return b"", Signed(None, "", "bad-signature", why)
        return done.stdout, self._judge_gpg(done, rows)

    def _check_ssh(self, data: bytes, signature: bytes) -> Signed:
        place = str(self._file("signature", signature))
        found = self._run_ssh(["find-principals", "-f", str(self._allowed), "-s", place], data)
        name = found.stdout.decode("utf-8", "replace").strip()
        key = self._ssh.get(name) if found.status == 0 else None
        if key is None:
            loose = self._run_ssh(["check-novalidate", "-n", SSH_NAMESPACE, "-s", place], data)
            match = _FINGERPRINT.search(loose.stdout.decode("utf-8", "replace"))
            if loose.status != 0 or match is None:
                why = f"ssh-keygen does not verify it: {loose.last_words}"
                return Signed(None, "", "bad-signature", why)
            return Signed(None, match[0], "unknown-key", f"by {match[0]}, a key not in the policy")
        options = ["-f", str(self._allowed), "-I", name, "-n", SSH_NAMESPACE, "-s", place]
        done = self._run_ssh(["verify", *options], data)
        if done.status != 0:
            why = f"ssh-keygen does not verify it: {done.last_words}"
            return Signed(key, key.fingerprint, "bad-signature", why)
        return self._on_the_day(key)

    def _check_gpg(self, data: bytes, signature: bytes) -> Signed:
        place = self._file("signature", signature)
        done, rows = self._run_gpg(["--verify", str(place), "-"], data)
        if any(row[0] in ("PLAINTEXT", "BEGIN_DECRYPTION") for row in rows):
            return Signed(None, "", "bad-signature", "is no detached signature")
        return self._judge_gpg(done, rows)

    def _judge_gpg(self, done: Ended, rows: Sequence[Sequence[str]]) -> Signed:
        words = [row[0] for row in rows]
        valid = [row for row in rows if row[0] == "VALIDSIG"]
        if words.count("NEWSIG") > 1 or len(valid) > 1:
            return Signed(None, "", "bad-signature", "holds several signatures in one")
        for row in rows:
            if row[0] in ("ERRSIG", "NO_PUBKEY") and "NO_PUBKEY" in words:
                signer = row[7] if len(row) > 7 and row[7] != "-" else row[1]
                return Signed(None, signer, "unknown-key", f"by {signer}, a key not in the policy")
        errors = [row for row in rows if row[0] == "ERRSIG" and len(row) > 7]
        if errors and _day(errors[0][5]) > self.at:
            # gpg does not look at a signature by a key that, on the day judged, is not yet made.
            why = f"it says that it is of {_day(errors[0][5])}"
            return Signed(None, errors[0][7], "not-yet-valid", why)
        # The last field is the primary key's fingerprint, the first may be a subkey's.
        key = self._gpg.get(valid[0][-1]) if valid else None
        fingerprint = valid[0][1] if valid else ""
        if key is not None and {"EXPKEYSIG", "REVKEYSIG"} & set(words):
            if "REVKEYSIG" in words:
                return Signed(key, fingerprint, "revoked", "its OpenPGP key is revoked")
            return Signed(key, fingerprint, "expired", "its OpenPGP key had expired")
        bad = [word for word in words if word in _NOT_GOOD]
        if key is None or bad or words.count("GOODSIG") != 1 or done.status != 0:
            said = " ".join(dict.fromkeys(bad)) or "no good signature"
            why = f"gpg does not verify it: {said}, {done.last_words}"
            return Signed(key, fingerprint, "bad-signature", why)
        made = _day(valid[0][3])
        if made > self.at:
            return Signed(key, fingerprint, "not-yet-valid", f"it says that it is of {made}")
        return self._on_the_day(key)

    def _on_the_day(self, key: Key) -> Signed:
        state = key.state(self.at)
        if state is None:
            return Signed(key, key.fingerprint)
        return Signed(key, key.fingerprint, *state)

    def _import(self, key: Key) -> None:
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
    ) -> tuple[Ended, list[list[str]]]:
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
        lines = status.read_bytes().decode("utf-8", "replace").splitlines()
        rows = [line.removeprefix(_STATUS).split() for line in lines if line.startswith(_STATUS)]
        return done, [row for row in rows if row]

    def _run_ssh(self, arguments: Sequence[str], stdin: bytes) -> Ended:
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
def open_ring(keys: Sequence[Key], at: datetime.date) -> Iterator[Ring]:
    """A ring of these keys as of the end of that day (UTC); its home is removed afterwards.

    Raises BadInput: a program is missing, a key's file holds no such key.
    """
    with tempfile.TemporaryDirectory(prefix="bootstrap-quorum-") as folder:
        os.chmod(folder, 0o700)
        yield Ring(Path(folder), keys, at)
