"""DSSE envelopes: written and encoded for signing by securesystemslib, read strictly here.

Here, because DSSE has signatures without a keyid and several with one keyid, which that library
does not read, and because a policy has to tell of each signature why it does not count.
https://github.com/secure-systems-lab/dsse, protocol.md and envelope.md.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass

from bootstrap.attest.documents import NotUnderstood, Part, parse

PAYLOAD_TYPE = "application/vnd.in-toto+json"
SSH_NAMESPACE = "in-toto@bootstrap-emulator"
"""What an ssh signature says that it is for: one made for git or a file does not count here."""
MAX_SIGNATURES = 64


@dataclass(frozen=True)
class Signature:
    """One signature: of ssh-keygen (its text) or OpenPGP; ``keyid`` is a hint, never trusted."""

    keyid: str
    data: bytes


@dataclass(frozen=True)
class Envelope:
    """A payload, what it is, and the signatures over both."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]

    def signed_bytes(self) -> bytes:
        """What is signed: DSSE's pre-authentication encoding of type and payload."""
        from securesystemslib import dsse

        return dsse.Envelope(self.payload, self.payload_type, {}).pae()

    def to_json(self) -> str:
        """The envelope as JSON text; for signatures with different keyids."""
        from securesystemslib import dsse
        from securesystemslib.signer import Signature as Signed

        signed = {s.keyid: Signed(s.keyid, s.data.hex()) for s in self.signatures}
        envelope = dsse.Envelope(self.payload, self.payload_type, signed)
        return json.dumps(envelope.to_dict(), indent=2, ensure_ascii=True) + "\n"


def read_envelope(data: bytes) -> Envelope:
    """An envelope from its JSON text.  Raises NotUnderstood."""
    top = Part(parse(data))
    if "_type" in top.data and "payload" not in top.data:
        raise NotUnderstood("is a statement that nobody signed (bootstrap attest --sign none)")
    if str(top.data.get("schema")).startswith("bootstrap-report"):
        raise NotUnderstood(
            "is a report, which nobody signed (bootstrap attest does, with --report)"
        )
    rows: Sequence[Part] = top.parts("signatures")
    if not rows:
        raise NotUnderstood("has no signature")
    if len(rows) > MAX_SIGNATURES:
        raise NotUnderstood(f"has {len(rows)} signatures; more than {MAX_SIGNATURES} are not read")
    return Envelope(
        _base64(top, "payload"),
        top.text("payloadType"),
        tuple(Signature(row.optional_text("keyid") or "", _base64(row, "sig")) for row in rows),
    )


def _base64(part: Part, key: str) -> bytes:
    """Standard and URL-safe encoding are both allowed; padding is not left out in either."""
    text = part.text(key)
    try:
        return base64.b64decode(text.encode("ascii").translate(_TO_STANDARD), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise part.fault(key, "is no base64") from None


_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
