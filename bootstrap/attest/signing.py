"""Signatures by ssh-keygen and gpg, with the user's own keys, agents and cards."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from bootstrap.attest.envelope import SSH_NAMESPACE, Signature
from bootstrap.attest.programs import GPG, SSH_KEYGEN, run
from bootstrap.core.errors import BadInput

_FINGERPRINT = re.compile(r"\bSHA256:[A-Za-z0-9+/]{43}")
_STATUS = "[GNUPG:] "


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
    with tempfile.TemporaryDirectory(prefix="bootstrap-attest-") as folder:
        place = Path(folder, "signature")
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
    done = run(GPG, ["--status-fd", "2", *chosen, "--no-armor", "--output", "-", how], data)
    made = [
        line.removeprefix(_STATUS).split()
        for line in done.stderr.splitlines()
        if line.startswith(f"{_STATUS}SIG_CREATED ")
    ]
    if done.status != 0 or len(made) != 1 or not done.stdout:
        said = [line for line in done.stderr.splitlines() if not line.startswith(_STATUS)]
        why = said[-1] if said else f"it ended with status {done.status}"
        raise BadInput(f"--key {key or '(gpg chooses)'}: gpg did not sign: {why}")
    return Signature(made[0][-1], done.stdout)


def signers_of(message: Path) -> set[str]:
    """The fingerprints of keys that a message says it is signed by; nothing of it is verified."""
    done = run(GPG, ["--status-fd", "1", "--verify", str(message)])
    rows = [
        line.removeprefix(_STATUS).split()
        for line in done.stdout.decode("utf-8", "replace").splitlines()
        if line.startswith(_STATUS)
    ]
    found = {row[1] for row in rows if row[0] == "VALIDSIG"}
    return found | {row[7] for row in rows if row[0] == "ERRSIG" and len(row) > 7}
