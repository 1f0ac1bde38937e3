"""Container signatures as StageX has them: a JSON document in an OpenPGP message, one file each.

The document: containers-signature(5), github.com/containers/image.  The folders, as StageX's
src/sign.sh makes them and src/targets.py counts them: REGISTRY/NAME@sha256=HEX/signature-N.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from bootstrap.attest.policy import Policy
from bootstrap.attest.quorum import Attestation, Threshold, Verdict, impossible
from bootstrap.attest.signatures import Ring
from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file
from bootstrap.documents import BadValue, json_value, key, one_of, typed

TYPE = "atomic container signature"
OLD_TYPE = "pgp container image signature"
"""Of what StageX signed until June 2025: a list of one document, in which the digest has no
`sha256:`, and the reference no tag."""
MAX_SIGNATURE = 1 << 20

_FOLDER = re.compile(r"([a-z0-9][a-z0-9._-]*)@sha256=([0-9a-f]{64})")
_FILE = re.compile(r"signature-([1-9][0-9]*)")
_REFERENCE = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)+:[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class ImageReference:
    """Whose image, which, and what it is called: ``stagex/bootstrap-stage0:1.9.1``."""

    registry: str
    name: str
    tag: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}:{self.tag}"


@dataclass(frozen=True)
class _Identity:
    reference: str = key("docker-reference")


@dataclass(frozen=True)
class _Image:
    digest: str = key("docker-manifest-digest")


@dataclass(frozen=True)
class _Critical:
    type: Annotated[str, one_of(TYPE, OLD_TYPE)]
    image: _Image
    identity: _Identity


@dataclass(frozen=True)
class _Document:
    """A signed document; what is critical and not known makes it one that does not count."""

    critical: _Critical
    optional: Any = None


@dataclass(frozen=True)
class ImageSignatures:
    """Who signed one image, and who does not count.

    ``sha256`` is the manifest's; ``here`` is whether there is a folder for it at all.
    """

    name: str
    sha256: str
    here: bool
    voices: tuple[Attestation, ...]
    threshold: Threshold


@dataclass(frozen=True)
class StagexVerdicts:
    """All images that were read; ``others`` are folders that the policy does not ask for."""

    images: tuple[ImageSignatures, ...]
    others: int
    notes: tuple[str, ...]
    impossible: str | None

    @property
    def why_not(self) -> tuple[str, ...]:
        """All that keeps the policy from being met."""
        few = (
            f"{image.name}: {image.threshold.need} persons wanted,"
            f" {len(image.threshold.have)} found{'' if image.here else ' (no folder)'}"
            for image in self.images
            if not image.threshold.met
        )
        none = None if self.images else "no image is there"
        return (*filter(None, (self.impossible, none)), *few)

    @property
    def met(self) -> bool:
        """Whether every image has enough distinct signers, and there is an image."""
        return not self.why_not


def read_reference(text: str) -> ImageReference:
    """A reference as it stands in a signature.  Raises BadInput."""
    if not _REFERENCE.fullmatch(text):
        raise BadInput(f"{text}: is no REGISTRY/NAME:TAG, as in stagex/bootstrap-stage0:1.9.1")
    path, _, tag = text.rpartition(":")
    registry, _, name = path.partition("/")
    if "/" in name:
        raise BadInput(f"{text}: StageX's layout has one folder for REGISTRY and one for NAME")
    return ImageReference(registry, name, tag)


def document(reference: ImageReference, sha256: str) -> bytes:
    """What is signed, in the order and without spaces, as StageX writes it."""
    return json.dumps(
        {
            "critical": {
                "identity": {"docker-reference": str(reference)},
                "image": {"docker-manifest-digest": f"sha256:{sha256}"},
                "type": TYPE,
            },
            "optional": {},
        },
        separators=(",", ":"),
    ).encode()


def folder_of(root: Path, reference: ImageReference, sha256: str) -> Path:
    """Where the signatures of an image are."""
    return root / reference.registry / f"{reference.name}@sha256={sha256}"


def next_file(folder: Path) -> Path:
    """The file for one signature more: signature-N, N one more than the highest there is."""
    numbers = [0]
    with contextlib.suppress(FileNotFoundError):
        for place in folder.iterdir():
            match = _FILE.fullmatch(place.name)
            numbers += [int(match[1])] if match else []
    return folder / f"signature-{max(numbers) + 1}"


def judge_checkout(policy: Policy, root: Path, ring: Ring) -> StagexVerdicts:
    """Count valid, distinct signers of every image that the policy asks for.

    Raises BadInput when there is no such checkout.
    """
    wanted = policy.stagex
    assert wanted is not None
    top = root / wanted.registry
    if not top.is_dir():
        raise BadInput(
            f"{root}: no checkout of StageX's signatures, it has no folder {wanted.registry}"
        )
    notes = []
    at_hand: dict[tuple[str, str], Path] = {}
    for place in sorted(top.iterdir()):
        match = _FOLDER.fullmatch(place.name)
        if match is None or not place.is_dir():
            notes.append(f"{wanted.registry}/{place.name}: is no folder NAME@sha256=HEX; not read")
            continue
        at_hand[match[1], match[2]] = place
    asked = set(wanted.images.items()) or set(at_hand)
    images = []
    for name, sha256 in sorted(asked):
        folder = at_hand.get((name, sha256))
        voices, more = _voices(folder, wanted.registry, name, sha256, ring)
        notes += more
        persons = tuple(sorted({v.person for v in voices if v.verdict == "counts" and v.person}))
        threshold = Threshold("persons", wanted.persons, persons)
        images.append(ImageSignatures(name, sha256, folder is not None, tuple(voices), threshold))
    able = policy.able(ring.at, "gpg")
    return StagexVerdicts(
        tuple(images),
        len(set(at_hand) - asked),
        tuple(notes),
        policy.over(ring.at) or impossible("stagex", wanted.persons, able, ring.at),
    )


def _voices(
    folder: Path | None, registry: str, name: str, sha256: str, ring: Ring
) -> tuple[list[Attestation], list[str]]:
    """What each signature in a folder says, by number; and what was not read there."""
    voices: list[Attestation] = []
    notes: list[str] = []
    seen: dict[str, str] = {}
    matches = [(_FILE.fullmatch(place.name), place) for place in folder.iterdir()] if folder else []
    files = sorted((int(match[1]) if match else 0, place.name, place) for match, place in matches)
    for number, file, place in files:
        inside = f"{registry}/{place.parent.name}/{file}"
        if not number:
            notes.append(f"{inside}: is no signature-N; not read")
            continue
        try:
            message = read_file(place, MAX_SIGNATURE)
        except BadInput as error:
            notes.append(f"{inside}: does not count: {error}")
            continue
        content, signed = ring.check_message(message)
        voice = Attestation.of(file, number, signed)
        person = voice.person
        if voice.verdict == "counts" and person is not None:
            if refusal := fault_of(content, registry, name, sha256):
                voice = voice.without(*refusal)
            elif (first := seen.setdefault(person, file)) != file:
                voice = voice.without("again", f"{person} counts already, by {first}")
        voices.append(voice)
    return voices, notes


def fault_of(content: bytes, registry: str, name: str, sha256: str) -> tuple[Verdict, str] | None:
    """Why a signed document is not about this image, and None if it is."""
    try:
        value = json_value(content)
        old = isinstance(value, list) and len(value) == 1
        critical = typed(_Document, value[0] if old else value).critical
        if critical.type != (OLD_TYPE if old else TYPE):
            raise BadValue(f"is of the type {critical.type!r} in the other form")
        reference = read_reference(critical.identity.reference + ":none" * old)
    except (BadValue, BadInput) as error:
        return "not-understood", str(error)
    digest = "sha256:" * old + critical.image.digest
    if digest != f"sha256:{sha256}":
        return "other-release", f"it is about the image {digest}"
    if (reference.registry, reference.name) != (registry, name):
        return "other-release", f"it is about the image {reference}"
    return None
