"""Sigstore's services as small as can be, in a folder: who issues certificates, and both logs.

`python -m tests.attest.sigstore_lab FOLDER IDENTITY ISSUER` signs the file FOLDER/payload in a DSSE
envelope, by a certificate of that identity, and leaves `bundle.json` and `root.json` there. The
keys are made for that and thrown away. It shares no code with what verifies: the formats are those
of RFC 6962 (certificate transparency), of Rekor's `dsse` 0.0.1, and of sigstore's protobuf-specs.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import struct
import sys
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_TIMESTAMPS = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


class Key:
    """A key on P-256, as all of sigstore's are."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public = self.private.public_key()
        self.der = self.public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.id = hashlib.sha256(self.der).digest()

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data, ec.ECDSA(hashes.SHA256()))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _ca(key: Key, now: datetime.datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
    day = datetime.timedelta(1)
    builder = x509.CertificateBuilder(name, name, key.public, 1, now - day, now + day)
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    builder = builder.add_extension(usage, True)
    builder = builder.add_extension(x509.BasicConstraints(True, 0), True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public), False)
    return builder.sign(key.private, hashes.SHA256())


def _leaf(key: Key, ca: Key, log: Key, root: x509.Certificate, identity: str, issuer: str,
          now: datetime.datetime) -> x509.Certificate:  # fmt: skip
    """Of ten minutes, with the log's timestamp over all the rest in it."""
    end = now + datetime.timedelta(minutes=10)
    builder = x509.CertificateBuilder(root.subject, x509.Name([]), key.public, 2, now, end)
    name = x509.UniformResourceIdentifier(identity)
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    whose = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public)
    for extension, critical in (
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
        (whose, False),
        (x509.SubjectAlternativeName([name]), True),
        (x509.UnrecognizedExtension(_ISSUER, issuer.encode()), False),
    ):
        builder = builder.add_extension(extension, critical)
    before = builder.sign(ca.private, hashes.SHA256()).tbs_certificate_bytes
    at = int(now.timestamp() * 1000)
    entry = ca.id + len(before).to_bytes(3, "big") + before
    signature = log.sign(struct.pack("!BBQH", 0, 0, at, 1) + entry + bytes(2))
    # Version 1, the log, when, no extensions; SHA-256, ECDSA.
    stamp = b"\0" + log.id + struct.pack("!QHBBH", at, 0, 4, 3, len(signature)) + signature
    rows = struct.pack("!HH", len(stamp) + 2, len(stamp)) + stamp
    value = b"\x04" + (b"\x81" if len(rows) > 127 else b"") + bytes((len(rows),)) + rows
    builder = builder.add_extension(x509.UnrecognizedExtension(_TIMESTAMPS, value), False)
    return builder.sign(ca.private, hashes.SHA256())


def _entry(rekor: Key, body: bytes, now: datetime.datetime) -> dict[str, Any]:
    """The one entry of a log, with its promise and proof."""
    root = hashlib.sha256(b"\0" + body).digest()
    at = int(now.timestamp())
    promise = {"body": b64(body), "integratedTime": at, "logID": rekor.id.hex(), "logIndex": 0}
    note = f"lab - 1\n1\n{b64(root)}\n"
    signed = b64(rekor.id[:4] + rekor.sign(note.encode()))
    return {
        "logIndex": "0",
        "logId": {"keyId": b64(rekor.id)},
        "kindVersion": {"kind": "dsse", "version": "0.0.1"},
        "integratedTime": str(at),
        "inclusionPromise": {"signedEntryTimestamp": b64(rekor.sign(_canonical(promise)))},
        "inclusionProof": {
            "logIndex": "0", "rootHash": b64(root), "treeSize": "1", "hashes": [],
            "checkpoint": {"envelope": f"{note}\n\u2014 lab {signed}\n"},
        },
        "canonicalizedBody": b64(body),
    }  # fmt: skip


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def make(folder: Path, identity: str, issuer: str) -> None:
    """Leave both documents there."""
    key, ca, log, rekor = Key(), Key(), Key(), Key()
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    payload = (folder / "payload").read_bytes()
    root = _ca(ca, now)
    leaf = _leaf(key, ca, log, root, identity, issuer, now)
    head = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} "
    signature = b64(key.sign(head.encode() + payload))
    envelope = {
        "payload": b64(payload), "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": signature}],
    }  # fmt: skip
    pem = leaf.public_bytes(serialization.Encoding.PEM)
    spec = {
        name: {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}
        for name, data in (("envelopeHash", _canonical(envelope)), ("payloadHash", payload))
    }
    rows = [{"signature": signature, "verifier": b64(pem)}]
    body = {"apiVersion": "0.0.1", "kind": "dsse", "spec": {**spec, "signatures": rows}}
    bundle = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": {"rawBytes": b64(leaf.public_bytes(serialization.Encoding.DER))},
            "tlogEntries": [_entry(rekor, _canonical(body), now)],
        },
        "dsseEnvelope": envelope,
    }
    valid = {"start": "2020-01-01T00:00:00Z"}

    def logged(one: Key) -> dict[str, Any]:
        public = {"rawBytes": b64(one.der), "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
        return {
            "baseUrl": "https://lab.invalid", "hashAlgorithm": "SHA2_256",
            "publicKey": {**public, "validFor": valid}, "logId": {"keyId": b64(one.id)},
        }  # fmt: skip

    chain = [{"rawBytes": b64(root.public_bytes(serialization.Encoding.DER))}]
    authority = {
        "subject": {"organization": "lab", "commonName": "lab"}, "uri": "https://lab.invalid",
        "certChain": {"certificates": chain}, "validFor": valid,
    }  # fmt: skip
    trusted = {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [logged(rekor)], "certificateAuthorities": [authority], "ctlogs": [logged(log)],
    }  # fmt: skip
    for name, document in (("bundle.json", bundle), ("root.json", trusted)):
        (folder / name).write_text(json.dumps(document))


if __name__ == "__main__":
    make(Path(sys.argv[1]), *sys.argv[2:])
