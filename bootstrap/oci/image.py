"""Makes an image of verified products: layer, configuration, manifest, index.

OCI image specification 1.0.  Manifest, configuration and layer follow from the products and their
architecture alone: no clock, host, user or version, nothing of what else was found, and nothing of
ours that may be renamed.  So whoever verifies the same products has the same digests, with whatever
version and catalogue.  What was found is a document about the digest (`findings`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bootstrap.attest.evidence import Evidence
from bootstrap.core.errors import BadInput
from bootstrap.oci.layer import gzip_stored, pack

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"

SUMS = "SHA256SUMS"
EPOCH = "1970-01-01T00:00:00Z"
REF_NAME = "org.opencontainers.image.ref.name"
FINDINGS = "bootstrap-findings/1"

# Go's GOARCH, as the specification asks for.
PLATFORMS = {
    "x86": "386",
    "AMD64": "amd64",
    "AArch64": "arm64",
    "riscv64": "riscv64",
    "riscv32": "riscv",
}
_ELF = b"\x7fELF"


@dataclass(frozen=True)
class OciImage:
    """An image, ready to be written.

    ``blobs`` are all blobs by their SHA-256; ``index`` is the text of index.json; ``files`` are the
    paths in the image.  ``manifest``, ``config``, ``layer`` and ``diff_id`` (the layer, not
    compressed) are SHA-256 values.
    """

    blobs: Mapping[str, bytes]
    index: bytes
    manifest: str
    config: str
    layer: str
    diff_id: str
    files: tuple[str, ...]
    reference: str
    architecture: str
    command: tuple[str, ...]


def make_image(evidence: Evidence, products: Mapping[str, bytes], gzipped: bool = True) -> OciImage:
    """The image of these products, which must be exactly the evidence's; ``gzipped`` is its layer.

    The default, because clients pass a gzip layer on as it is, and compress a plain one.

    Each is hashed here once more, whoever hashed it before.  Raises BadInput when one is missing,
    too many, or not the verified one.
    """
    if products.keys() != evidence.products.keys():
        odd = sorted(products.keys() ^ evidence.products.keys())
        raise BadInput(f"{odd[0]}: is not both verified and present; nothing was packed")
    for path, data in products.items():
        if hashlib.sha256(data).hexdigest() != evidence.products[path].sha256:
            raise BadInput(f"{path}: is not the verified file; nothing was packed")
    if evidence.arch not in PLATFORMS:
        raise BadInput(f"{evidence.arch}: an image can be for {', '.join(PLATFORMS)} only")
    sums = listing(evidence)
    files = {SUMS: (sums, False)}
    for path, data in products.items():
        if path == SUMS:
            raise BadInput(f"{path}: the image's own list has that name")
        files[path] = (data, data.startswith(_ELF))
    packed = pack(files)
    layer = gzip_stored(packed) if gzipped else packed
    programs = sorted(path for path, (_, program) in files.items() if program)
    config = as_json(_config(evidence, packed, programs))
    manifest = as_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, config),
            "layers": [descriptor(f"{LAYER}+gzip" if gzipped else LAYER, layer)],
        }
    )
    reference = f"{evidence.name}-{evidence.arch}:{evidence.release or 'embedded'}".lower()
    entry = {
        **descriptor(MANIFEST, manifest),
        "platform": {"architecture": PLATFORMS[evidence.arch], "os": "linux"},
        "annotations": {REF_NAME: reference.partition(":")[2]},
    }
    index = as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
    return OciImage(
        blobs={sha256(blob): blob for blob in (layer, config, manifest)},
        index=index,
        manifest=sha256(manifest),
        config=sha256(config),
        layer=sha256(layer),
        diff_id=sha256(packed),
        files=tuple(sorted(files)),
        reference=reference,
        architecture=PLATFORMS[evidence.arch],
        command=_command(programs),
    )


def listing(evidence: Evidence) -> bytes:
    """The list of all products and their hashes, which goes into the image as SHA256SUMS."""
    rows = sorted(evidence.products.items(), key=lambda item: item[0].encode())
    return "".join(f"{product.sha256}  {path}\n" for path, product in rows).encode()


def sha256(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def findings(evidence: Evidence, image: OciImage) -> dict[str, Any]:
    """What was found of the image, as a document to go beside it, by which nothing is counted."""
    return {
        "schema": FINDINGS,
        "manifest": f"sha256:{image.manifest}",
        "config": f"sha256:{image.config}",
        "diff_ids": [f"sha256:{image.diff_id}"],
        "name": evidence.name,
        "release": evidence.release,
        "arch": evidence.arch,
        "entry": evidence.entry,
        "source_digest": evidence.source_digest,
        "findings_digest": evidence.findings_digest,
        "artifacts": dict(evidence.artifacts),
        "tool": dict(zip(("name", "version"), evidence.tool, strict=True)),
        "engine": dict(zip(("name", "version"), evidence.engine, strict=True)),
    }


def _config(evidence: Evidence, packed: bytes, programs: list[str]) -> dict[str, Any]:
    folders = sorted({f"/{path.rpartition('/')[0]}" for path in programs})
    command = _command(programs)
    return {
        "created": EPOCH,
        "architecture": PLATFORMS[evidence.arch],
        "os": "linux",
        "config": {
            "Env": [f"PATH={':'.join(folders)}"],
            **({"Cmd": list(command)} if command else {}),
            "WorkingDir": "/",
        },
        # Of the tar file: the layer's digest too, unless that is gzip'ed.
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(packed)}"]},
    }


def _command(programs: list[str]) -> tuple[str, ...]:
    """What the image runs by itself: the check of its own files, if it has what that takes."""
    for path in programs:
        if path.rpartition("/")[2] == "sha256sum":
            return (f"/{path}", "-c", f"/{SUMS}")
    return ("/hello",) if "hello" in programs else ()


def descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    """What points to a blob."""
    return {"mediaType": media_type, "digest": f"sha256:{sha256(blob)}", "size": len(blob)}


def as_json(document: Mapping[str, Any]) -> bytes:
    """A document as it is hashed."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()
