"""DSSE envelopes: written and encoded for signing by securesystemslib, read strictly here.

Here, because DSSE has signatures without a keyid and several with one keyid, which that library
does not read, and because a policy has to say of each signature why it does not count.
https://github.com/secure-systems-lab/dsse, protocol.md and envelope.md.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from bootstrap.documents import BadValue, json_value, key, typed

PAYLOAD_TYPE = "application/vnd.in-toto+json"
SSH_NAMESPACE = "in-toto@bootstrap-emulator"
"""What an ssh signature says that it is for: one made for git or a file does not count here."""
SIGSTORE_BUNDLE = "application/vnd.dev.sigstore.bundle"
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
    bundle: bytes = b""
    """The whole of a sigstore bundle, which has an envelope with one signature in it."""

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


@dataclass(frozen=True)
class _Base64:
    """Standard and URL-safe encoding are both allowed; padding is not left out in either."""

    data: bytes

    @classmethod
    def from_text(cls, text: str) -> _Base64:
        """Raises BadValue."""
        try:
            standard = text.encode("ascii").translate(_TO_STANDARD)
            return cls(base64.b64decode(standard, validate=True))
        except (binascii.Error, UnicodeEncodeError):
            raise BadValue("is no base64") from None


_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True)
class _Signature:
    sig: _Base64
    keyid: str | None = None


@dataclass(frozen=True)
class _Envelope:
    signatures: tuple[_Signature, ...]
    payload: _Base64
    payload_type: str = key("payloadType")

    def __post_init__(self) -> None:
        if not self.signatures:
            raise BadValue("has no signature")
        if len(self.signatures) > MAX_SIGNATURES:
            many = len(self.signatures)
            raise BadValue(f"has {many} signatures; more than {MAX_SIGNATURES} are not read")


@dataclass(frozen=True)
class _Other:
    """What is easily taken for an envelope."""

    type_: Any = key("_type", default=None)
    schema: Any = None
    payload: Any = None
    media_type: Any = key("mediaType", default=None)


@dataclass(frozen=True)
class _Bundle:
    envelope: _Envelope = key("dsseEnvelope")


def read_envelope(data: bytes) -> Envelope:
    """An envelope from its JSON text, or that of a sigstore bundle around it.  Raises BadValue."""
    value = json_value(data)
    other = typed(_Other, value, lenient=True)
    if other.type_ is not None and other.payload is None:
        raise BadValue("is a statement that nobody signed (bootstrap attest --sign none)")
    if str(other.schema).startswith("bootstrap-report"):
        raise BadValue("is a report, which nobody signed (bootstrap attest does, with --report)")
    bundled = str(other.media_type).startswith(SIGSTORE_BUNDLE)
    found = typed(_Bundle, value, lenient=True).envelope if bundled else None
    found = found or typed(_Envelope, value, lenient=True)
    if bundled and len(found.signatures) > 1:
        raise BadValue("is a bundle with several signatures", "dsseEnvelope", "signatures")
    return Envelope(
        found.payload.data,
        found.payload_type,
        tuple(Signature(row.keyid or "", row.sig.data) for row in found.signatures),
        data if bundled else b"",
    )
