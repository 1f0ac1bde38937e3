"""What a report of `bootstrap verify` is good for: products, sources and tool, all checked.

A report is a file that anybody can write.  So nothing in it is taken for granted: it must say
``verified``, its own values must bear that out, and every known-good value of the catalogue must be
met by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bootstrap.catalogue import EMBEDDED, RELEASES, StepFile, find
from bootstrap.catalogue.reading import path_fault
from bootstrap.errors import BadInput
from bootstrap.vouch.documents import NotUnderstood, Part, parse, read

REPORT = "bootstrap-report/1"
REPORT_SET = "bootstrap-report-set/1"
PROMISED = ("answers", "catalogue")
"""Kinds of known-good values that make an artifact one of the products."""


@dataclass(frozen=True)
class Product:
    """A verified file: its size in bytes and its SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Evidence:
    """A verified run, apart from when and where it was made.

    ``products`` are the artifacts that the release promises, ``artifacts`` the SHA-256 of all that
    have a known-good value, ``materials`` that of every source file and seed that the bootstrap
    reads; all by tree path.  ``report_sha256`` is that of the report's file.
    """

    name: str
    release: str | None
    arch: str
    entry: str
    materials: Mapping[str, str]
    seeds: tuple[str, ...]
    products: Mapping[str, Product]
    artifacts: Mapping[str, str]
    source: Mapping[str, str | None]
    tool: tuple[str, str]
    engine: tuple[str, str]
    hot_path: str
    report_sha256: str

    @property
    def title(self) -> str:
        """``stage0-posix 1.9.1 x86``."""
        return " ".join(filter(None, (self.name, self.release, self.arch)))

    @property
    def source_digest(self) -> str:
        """Digest of the sources and seeds: see `source_digest`."""
        return source_digest(self.materials)

    @property
    def findings_digest(self) -> str:
        """Digest of what the report finds, without who found it, when, how fast and with what.

        SHA-256 of the JSON text, with sorted keys and no spaces, of name, release, arch, entry,
        sources (source_digest) and artifacts (path: sha256).
        """
        found = {
            "arch": self.arch,
            "artifacts": dict(self.artifacts),
            "entry": self.entry,
            "name": self.name,
            "release": self.release,
            "sources": self.source_digest,
        }
        text = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def source_digest(materials: Mapping[str, str]) -> str:
    """SHA-256 of what ``sha256sum`` prints for these files, sorted by the bytes of their paths."""
    listing = hashlib.sha256()
    for path in sorted(materials, key=lambda path: path.encode("utf-8", "surrogateescape")):
        name = path.encode("utf-8", "surrogateescape")
        listing.update(b"%s  %s\n" % (materials[path].encode(), name))
    return listing.hexdigest()


def materials_of(step: StepFile, entry: str) -> dict[str, str]:
    """The files that the bootstrap reads when it is entered there.  Raises BadInput: no entry."""
    hidden = step.entry(entry).hidden
    return {path: sha256 for path, sha256 in step.materials.items() if path not in hidden}


def read_report(path: Path) -> Evidence:
    """Read the report in a file.  Raises BadInput when it is not one, or not good."""
    data = read(path)
    try:
        return evidence(data)
    except NotUnderstood as error:
        raise BadInput(f"{path}: no report of bootstrap verify --json: {error}") from None
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def evidence(data: bytes) -> Evidence:
    """What a report's bytes are good for.  Raises NotUnderstood and BadInput."""
    top = Part(parse(data))
    schema = top.text("schema")
    if schema == REPORT_SET:
        raise BadInput(
            "is a report of several architectures; verify one (bootstrap verify --arch A --json F)"
        )
    if schema != REPORT:
        raise NotUnderstood(f"schema is {schema!r}, not {REPORT!r}")
    _require_verified(top)
    source, tool = top.part("source"), top.part("tool")
    kind, release = source.text("kind"), source.optional_text("release")
    name = EMBEDDED if kind == "embedded" else RELEASES
    step = find(name, release, top.text("arch"))
    artifacts = _artifacts(top)
    products = {path: product for path, (product, promised) in artifacts.items() if promised}
    _require_catalogue(step, artifacts)
    materials = materials_of(step, top.text("entry"))
    known = source.part("materials").number("known")
    if known != len(materials):
        raise BadInput(
            f"counts {known} source files, but {step.title} has {len(materials)} through"
            f" {top.text('entry')}: it is not of that release"
        )
    engine = tool.part("engine")
    return Evidence(
        name=name,
        release=release,
        arch=step.arch,
        entry=top.text("entry"),
        materials=materials,
        seeds=tuple(s.path for s in step.seeds.values() if s.path in materials),
        products=products,
        artifacts={path: product.sha256 for path, (product, _) in artifacts.items()},
        source={
            "kind": kind,
            "sha256": source.optional_text("sha256"),
            "treeDigest": source.optional_text("tree_digest"),
        },
        tool=(tool.text("name"), tool.text("version")),
        engine=(engine.text("name"), engine.text("version")),
        hot_path=tool.text("hot_path"),
        report_sha256=hashlib.sha256(data).hexdigest(),
    )


def _require_verified(top: Part) -> None:
    """The result, and everything in the report that it follows from."""
    result = top.text("result")
    if result != "verified":
        reasons = [reason for reason in top.items("reasons") if isinstance(reason, str)]
        why = f": {reasons[0]}" if reasons else ""
        raise BadInput(f"its result is {result}, not verified{why}; nothing can be vouched for")
    materials = top.part("source").part("materials")
    for key, value in (
        ("reasons", top.items("reasons")),
        ("first_divergence", top.data.get("first_divergence")),
        ("failure", top.data.get("failure")),
        ("source.materials.missing", materials.items("missing")),
        ("source.materials.changed", materials.items("changed")),
    ):
        if value:
            raise BadInput(f"says verified, but {key} is not empty: it contradicts itself")


def _artifacts(top: Part) -> dict[str, tuple[Product, bool]]:
    """Each artifact with a known-good value, and whether the release promises it."""
    found: dict[str, tuple[Product, bool]] = {}
    seen: set[str] = set()
    for row in top.parts("artifacts"):
        path, status = row.text("path"), row.text("status")
        fault = path_fault(path)
        if fault is not None or path in seen:
            raise row.fault("path", f"{path!r} {fault or 'is there twice'}")
        seen.add(path)
        values = row.parts("expectations")
        if status == "unknown" and not values:
            continue
        product = Product(row.number("size"), row.sha256("sha256"))
        if status != "match" or {value.sha256("sha256") for value in values} != {product.sha256}:
            raise BadInput(
                f"says verified, but {path} does not equal all its known-good values:"
                " it contradicts itself"
            )
        found[path] = (product, any(value.text("kind") in PROMISED for value in values))
    return found


def _require_catalogue(step: StepFile, artifacts: Mapping[str, tuple[Product, bool]]) -> None:
    """Every known-good value that we have is met, and there is no product that we do not know."""
    promised = {**step.answers, **step.catalogue}
    if not promised:
        raise BadInput(f"{step.title} has no answer in the catalogue: nothing can be vouched for")
    for known in step.known():
        at_hand = artifacts.get(known.path)
        if at_hand is None:
            raise BadInput(f"lacks {known.path}, which {step.title} has in the catalogue")
        if at_hand[0].sha256 != known.sha256:
            raise BadInput(
                f"{known.path} has sha256 {at_hand[0].sha256}, but the catalogue has"
                f" {known.sha256} for {step.title} ({known.from_})"
            )
    for path, (_, is_promised) in artifacts.items():
        if is_promised and path not in promised:
            raise BadInput(f"has a product {path}, which {step.title} does not have")
