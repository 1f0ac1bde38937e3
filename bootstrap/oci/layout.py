"""An OCI image layout on disk, and products in a folder: read with every digest checked.

Reading takes what others write too: an index in an index (as BuildKit does), gzip'ed layers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from bootstrap.attest.evidence import Evidence
from bootstrap.core.errors import BadInput
from bootstrap.core.release import MAX_FILES, read_file
from bootstrap.documents import (
    MAX_DOCUMENT,
    BadValue,
    Size,
    json_value,
    key,
    matching,
    named,
    one_of,
    path_fault,
    typed,
)
from bootstrap.known.lookup import known_files
from bootstrap.oci.image import INDEX, LAYER, MANIFEST, REF_NAME, SUMS, OciImage, listing, sha256
from bootstrap.sources.tar import gunzip, read_tar
from bootstrap.sources.tree import MAX_PATH, parents

MARKER = b'{"imageLayoutVersion":"1.0.0"}'
MAX_BLOB = 1 << 30
"""Bytes of all layers of an image, unpacked; and of a product."""
REFERRERS = re.compile("sha256-[0-9a-f]{64}")
"""The tag of what refers to an image, by its digest."""
_DOCKER = {
    "application/vnd.docker.distribution.manifest.list.v2+json": INDEX,
    "application/vnd.docker.distribution.manifest.v2+json": MANIFEST,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{LAYER}+gzip",
}


_Digest = Annotated[str, matching("sha256:[0-9a-f]{64}", "sha256:HEX")]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Descriptor:
    """Of another document: OCI image-spec, descriptor.md."""

    digest: _Digest
    size: Size
    media_type: str = key("mediaType")
    annotations: Mapping[str, str] | None = None

    @property
    def tag(self) -> str | None:
        """What it is called in a layout, if it is."""
        return (self.annotations or {}).get(REF_NAME)

    @property
    def kind(self) -> str:
        """The type, in OCI's words where it is in docker's."""
        return _DOCKER.get(self.media_type, self.media_type)

    @property
    def sha256(self) -> str:
        """Of what it points to."""
        return self.digest.removeprefix("sha256:")


@dataclass(frozen=True)
class _Version:
    version: Annotated[str, one_of("1.0.0")] = key("imageLayoutVersion")


@dataclass(frozen=True)
class Index:
    """Image manifests, or indexes of them."""

    manifests: tuple[Descriptor, ...]


@dataclass(frozen=True)
class _Manifest:
    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True)
class _Rootfs:
    diff_ids: tuple[_Digest, ...]


@dataclass(frozen=True)
class _Config:
    rootfs: _Rootfs


def document(cls: type[_T], data: bytes, *way: str) -> _T:
    """A document of others, of which some is used.  Raises BadValue."""
    return typed(cls, json_value(data), *way, lenient=True)


def files_of(image: OciImage) -> dict[str, bytes]:
    """The layout's files in the order in which they are to be written: index.json comes last.

    So a folder that was not written to its end is no layout.
    """
    blobs = {f"blobs/sha256/{digest}": blob for digest, blob in image.blobs.items()}
    return {**blobs, "oci-layout": MARKER, "index.json": image.index}


@dataclass(frozen=True)
class LayoutImage:
    """An image in a layout: its manifest's SHA-256 and type, its tag if it has one, its files.

    ``config`` and ``diff_ids`` (the layers, not compressed) are SHA-256 values too; these are what
    a client that compresses layers again leaves as they are.
    """

    manifest: str
    media_type: str
    tag: str | None
    config: str
    diff_ids: tuple[str, ...]
    files: Mapping[str, bytes]


def read_layout(folder: Path) -> LayoutImage:
    """The one image of a layout.  Raises BadInput: a digest that is wrong, more than one image."""
    with named(f"{folder}: no OCI image layout that is understood"):
        document(_Version, read_file(folder / "oci-layout", 4096))
        return _read(folder)


def require_products(found: LayoutImage, evidence: Evidence, place: str) -> None:
    """Raise BadInput unless the image holds every verified product, and nothing else.

    Its own list SHA256SUMS may be there, as we write it.  Paths may be others than in the tree
    (StageX has /bin).
    """
    known = {product.sha256: path for path, product in evidence.products.items()}
    at_hand = set()
    for path, data in found.files.items():
        digest = sha256(data)
        if digest in known:
            at_hand.add(digest)
        elif path != SUMS or data != listing(evidence):
            raise BadInput(
                f"{place}: {path} in the image is no verified product of {evidence.title}"
                f" (its sha256 is {digest})"
            )
    for digest, path in known.items():
        if digest not in at_hand:
            raise BadInput(f"{place}: {path} of {evidence.title} is not in the image")


def _read(folder: Path) -> LayoutImage:
    index = document(Index, read_file(folder / "index.json", 1 << 20))
    tag: str | None = None
    for _ in range(3):
        # What refers to the image (`bootstrap.oci.referrers`) is none.
        rows = [row for row in index.manifests if not REFERRERS.fullmatch(row.tag or "")]
        if len(rows) != 1:
            raise BadValue(f"has {len(rows)} images; one is wanted")
        [row] = rows
        tag = row.tag or tag
        data = blob(folder, row)
        if row.kind == MANIFEST:
            manifest = document(_Manifest, data, "manifest")
            layers = _layers(folder, manifest)
            diff_ids = tuple(sha256(layer) for layer in layers)
            return LayoutImage(
                row.sha256, row.media_type, tag, manifest.config.sha256, diff_ids, _unpack(layers)
            )
        if row.kind != INDEX:
            raise BadValue(f"has a {row.media_type}, which is no image")
        index = document(Index, data, "index")
    raise BadValue("has an index in an index in an index")


def _layers(folder: Path, manifest: _Manifest) -> list[bytes]:
    """The layers as tar files, each held against its diff_id in the configuration."""
    layers, left = [], MAX_BLOB
    config = document(_Config, blob(folder, manifest.config), "configuration")
    for row in manifest.layers:
        layer = blob(folder, row, left)
        if row.kind == f"{LAYER}+gzip":
            layer = gunzip(layer, f"{folder}: the layer {row.sha256}", left)
        elif row.kind != LAYER:
            raise BadValue(f"has a layer of the type {row.media_type}, which is not read here")
        left -= len(layer)
        layers.append(layer)
    if config.rootfs.diff_ids != tuple(f"sha256:{sha256(tar)}" for tar in layers):
        raise BadValue("has layers that are not those of its configuration's diff_ids")
    return layers


def _unpack(layers: Sequence[bytes]) -> dict[str, bytes]:
    """Regular files by path, as all layers together have them; anything but these and folders is
    refused, and what two readers of tar files could read as two trees."""
    files: dict[str, bytes] = {}
    folders: set[str] = set()
    for layer in layers:
        mine: dict[str, bytes] = {}
        for member in read_tar(layer, "a layer"):
            path = member.path.removeprefix("./").strip("/")
            if member.kind == "folder" and path in ("", "."):
                continue
            if path_fault(path) or member.kind not in ("file", "folder") or path in mine:
                raise BadValue(f"has {path!r}, which is no plain file, or there twice")
            if len(path) > MAX_PATH or len(folders) + len(files) + len(mine) > MAX_FILES:
                raise BadValue("has a path that is too long, or more files than can be read")
            if "/.wh." in f"/{path}":
                raise BadValue(f"has {path!r}, by which a layer takes a file away")
            folders.update(parents(path))
            if member.kind == "folder":
                folders.add(path)
            else:
                mine[path] = member.data
        files |= mine
    if both := sorted(folders.intersection(files)):
        raise BadValue(f"has {both[0]!r} as a file and as a folder")
    return files


def blob(folder: Path, row: Descriptor, limit: int = MAX_DOCUMENT) -> bytes:
    """What a descriptor points to.  Raises BadInput where that is something else, or larger."""
    digest = row.sha256
    data = read_file(folder / "blobs" / "sha256" / digest, limit)
    found = sha256(data)
    if found != digest or len(data) != row.size:
        raise BadInput(f"{folder}: blob {digest} has {len(data)} bytes and sha256 {found}")
    return data


# -- products --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Differs:
    """A product that is not the verified one; ``found`` is None where there is no such file."""

    path: str
    expected: str
    found: str | None

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.path}: is not there"
        known = known_files().text(self.found)
        found = f"{self.found} ({known})" if known else self.found
        return f"{self.path}: has sha256 {found}, not {self.expected}, which was verified"


def read_products(folder: Path, evidence: Evidence) -> tuple[dict[str, bytes], list[Differs]]:
    """The products below ``folder`` by tree path, and what is wrong with them.

    Other files there do not matter.  Raises BadInput when a file cannot be read, or has another
    size than the report says.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: is no folder; name the one that verify --output wrote")
    products: dict[str, bytes] = {}
    wrong: list[Differs] = []
    for path, product in evidence.products.items():
        place = folder.joinpath(*path.split("/"))
        if not place.exists():
            wrong.append(Differs(path, product.sha256, None))
            continue
        data = read_file(place, MAX_BLOB)
        digest = sha256(data)
        if digest == product.sha256 and len(data) != product.size:
            raise BadInput(
                f"{place}: has {len(data)} bytes, where the report says {product.size}, with the"
                " sha256 of these"
            )
        if digest == product.sha256:
            products[path] = data
        else:
            wrong.append(Differs(path, product.sha256, digest))
    return products, wrong
