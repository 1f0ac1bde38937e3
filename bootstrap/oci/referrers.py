"""Attestations in an OCI layout, beside the image that they are about.

OCI image specification 1.1 (manifest.md: a manifest with a subject), and the referrers tag schema
of the distribution specification: the tag sha256-HEX has an index of all manifests whose subject is
that image.  A registry that knows no referrers keeps these as it keeps any image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootstrap import host
from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file
from bootstrap.documents import MAX_DOCUMENT, BadValue, json_value, named, typed
from bootstrap.oci.image import INDEX, MANIFEST, REF_NAME, as_json, descriptor, sha256
from bootstrap.oci.layout import Descriptor, Index, LayoutImage, blob, document
from bootstrap.sources.cache import put

ENVELOPE = "application/vnd.dsse.envelope.v1+json"
MOST = 256
"""Attestations of one image: of more none is read, nor of more than MAX_DOCUMENT bytes in all."""
_EMPTY = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True)
class _Rows:
    """An index of which nothing is lost when it is written again."""

    manifests: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class _Referrer:
    subject: Descriptor
    layers: tuple[Descriptor, ...]


def lay(folder: Path, image: LayoutImage, envelope: bytes) -> str:
    """Put an envelope beside the image that it is about; the SHA-256 of its manifest.

    index.json is written last, and whole; of two at once one waits, so that neither takes the
    other's away.  Raises BadInput.
    """
    try:
        with open(folder / "oci-layout", "rb") as marker:
            host.lock(marker.fileno(), shared=False)
            return _lay(folder, image, envelope)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written: {error.strerror}") from None


def _lay(folder: Path, image: LayoutImage, envelope: bytes) -> str:
    """`lay`, while nobody else does.  Raises BadInput, OSError."""
    tag, place = f"sha256-{image.manifest}", folder / "blobs" / "sha256"
    manifest = as_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": ENVELOPE,
            "config": descriptor(_EMPTY, b"{}"),
            "layers": [descriptor(ENVELOPE, envelope)],
            "subject": descriptor(image.media_type, read_file(place / image.manifest, 1 << 20)),
        }
    )
    with named(f"{folder}: no OCI image layout that is understood"):
        top = json_value(read_file(folder / "index.json", 1 << 20))
        before = _listed(folder, tag)
        rows = () if before is None else typed(_Rows, json_value(before), lenient=True).manifests
        mine = {**descriptor(MANIFEST, manifest), "artifactType": ENVELOPE}
        kept = [dict(row) for row in rows if row.get("digest") != mine["digest"]]
        index = as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*kept, mine]})
        others = [
            dict(row)
            for row in typed(_Rows, top, lenient=True).manifests
            if typed(Descriptor, dict(row), lenient=True).tag != tag
        ]
    listed = {**descriptor(INDEX, index), "annotations": {REF_NAME: tag}}
    for data in (b"{}", envelope, manifest, index):
        put(place / sha256(data), data)
    put(folder / "index.json", as_json({**top, "manifests": [*others, listed]}))
    return sha256(manifest)


def envelopes_of(folder: Path, image: LayoutImage) -> list[tuple[str, bytes]]:
    """Name and bytes of each envelope that refers to the image; all digests are checked.

    What refers to it and is something else is passed over.  Raises BadInput.
    """
    found: list[tuple[str, bytes]] = []
    left = MAX_DOCUMENT
    with named(f"{folder}: its attestations cannot be read"):
        data = _listed(folder, f"sha256-{image.manifest}")
        rows = () if data is None else document(Index, data).manifests
        if len(rows) > MOST:
            raise BadValue(f"it has {len(rows)}, more than {MOST}")
        for row in (row for row in rows if row.kind == MANIFEST):
            referrer = document(_Referrer, blob(folder, row))
            if referrer.subject.sha256 != image.manifest:
                raise BadValue(f"{row.digest} is of another image, {referrer.subject.digest}")
            for one in (one for one in referrer.layers if one.media_type == ENVELOPE):
                if len(found) == MOST:
                    raise BadValue(f"it has more than {MOST}")
                data = blob(folder, one, left)
                left -= len(data)
                found.append((f"{folder}, {one.digest[:19]}", data))
    return found


def _listed(folder: Path, tag: str) -> bytes | None:
    """The index with that tag, if there is one.  Raises BadValue, BadInput."""
    rows = document(Index, read_file(folder / "index.json", 1 << 20)).manifests
    tagged = [row for row in rows if row.tag == tag]
    if len(tagged) > 1:
        raise BadValue(f"has the tag {tag} twice")
    return blob(folder, tagged[0]) if tagged else None
