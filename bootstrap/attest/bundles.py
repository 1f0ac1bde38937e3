"""Sigstore bundles, verified offline by the sigstore package, in a process of its own.

The package and what it brings (Apache-2.0 and others) do not share a process with Unicorn
(GPL-2.0): `verify` starts an interpreter of ours that finds these and not Unicorn, and reads JSON
from it.  The root of trust is the policy's file; nothing is asked of a network.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bootstrap import host
from bootstrap.core.errors import BadInput
from bootstrap.documents import BadValue, typed_json

PACKAGE = "sigstore"


@dataclass(frozen=True)
class SigstoreIdentity:
    """Who may sign: the subject of a certificate, who vouches for it, and a trusted_root.json."""

    subject: str
    issuer: str
    root: str


@dataclass(frozen=True)
class VerifiedBundle:
    """The number of the identity that signed, and what it signed on which day.

    ``number`` is None where it is none of those given: then ``signer`` is whose it is, or
    ``fault`` why it does not verify at all.
    """

    number: int | None = None
    signer: str = ""
    fault: str = ""
    day: str = ""
    payload: bytes = b""
    payload_type: str = ""


def verify(bundle: Path, identities: Sequence[SigstoreIdentity]) -> VerifiedBundle:
    """Hold a bundle against each identity.  Raises BadInput: sigstore is not installed."""
    packages = host.packages_of(PACKAGE)
    if not packages:
        raise BadInput("sigstore is not installed; pip install sigstore")
    rows = json.dumps([[one.subject, one.issuer, one.root] for one in identities])
    try:
        process = host.start(__name__, "child", str(bundle), rows, imports=packages)
        return typed_json(VerifiedBundle, process.communicate()[0])
    except (OSError, BadValue) as fault:
        raise BadInput(f"the process that verifies sigstore bundles: {fault}") from None


class _Anybody:
    """A policy of sigstore's that has no word against a certificate: whose it is comes later."""

    def verify(self, cert: object) -> None:
        """Nothing."""


def child() -> int:
    """In that process: what is found, as JSON."""
    from cryptography.x509 import SubjectAlternativeName
    from sigstore.models import Bundle, TrustedRoot
    from sigstore.verify import Verifier, policy

    text = Path(sys.argv[1]).read_bytes()
    found: dict[str, object] = {"fault": "no identity is given"}
    for number, (subject, issuer, root) in enumerate(json.loads(sys.argv[2])):
        try:
            bundle = Bundle.from_json(text)
            verifier = Verifier(trusted_root=TrustedRoot.from_file(root))
            kind, payload = verifier.verify_dsse(bundle, _Anybody())
            cert = bundle.signing_certificate
            names = cert.extensions.get_extension_for_class(SubjectAlternativeName).value
            found = {"signer": ", ".join(str(name.value) for name in names)}
        except Exception as error:  # whatever its parsers raise: what does not verify is no vote
            if "signer" not in found:
                found = {"fault": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
            continue
        try:
            policy.Identity(identity=subject, issuer=issuer).verify(cert)
        except Exception:  # as above
            continue
        day = cert.not_valid_before_utc.date().isoformat()
        found |= {"number": number, "day": day, "payload": payload.hex(), "payload_type": kind}
        break
    json.dump(found, sys.stdout)
    return 0
