"""What a report of `bootstrap verify` is good for: products, sources and tool, all checked.

A report is a file that anybody can write.  So nothing in it is taken for granted: it must say
``verified``, its own values must bear that out, it must be of this program's catalogue and meet
every known-good value there, and what a run leaves must be in it.  That makes it hard to
contradict, and not true: whether there was a run, only who made it knows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from bootstrap.attest.hosts import ENGINES
from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file
from bootstrap.documents import MAX_DOCUMENT, BadValue, json_value, path_fault, typed
from bootstrap.known import EMBEDDED, RELEASES, StepFile, find
from bootstrap.known.seeds import load as seed_catalogue
from bootstrap.report.model import SCHEMA, SCHEMAS, SET_SCHEMAS, DecidedBy, Report, Source
from bootstrap.runs.modelled import models
from bootstrap.sources import embedded_source
from bootstrap.sources.tree import Kind

PROMISED = ("answers", "catalogue")
"""Kinds of known-good values that make an artifact one of the products."""


@dataclass(frozen=True)
class VerifiedFile:
    """A verified file: its size in bytes and its SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Evidence:
    """A verified run, apart from when and where it was made.

    ``products`` are the artifacts that the release promises, ``artifacts`` the SHA-256 of all that
    have a known-good value here, ``others`` of those that only the report speaks of, ``materials``
    that of every source file and seed that the bootstrap reads; all by tree path.
    ``report_sha256`` is that of the report's file, ``run_digest`` that of what it says, however it
    is written: see `canonical_digest`.  ``decided_by`` is None in reports of older versions.
    ``judged_by`` is the step file, and its SHA-256.
    """

    name: str
    release: str | None
    arch: str
    entry: str
    materials: Mapping[str, str]
    seeds: tuple[str, ...]
    products: Mapping[str, VerifiedFile]
    artifacts: Mapping[str, str]
    others: Mapping[str, str]
    source: Mapping[str, str | None]
    tool: tuple[str, str]
    engine: tuple[str, str]
    hot_path: str
    decided_by: DecidedBy | None
    judged_by: tuple[str, str]
    report_sha256: str
    run_digest: str

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
        return canonical_digest(found)


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
    data = read_file(path, MAX_DOCUMENT)
    try:
        return evidence(data)
    except BadValue as fault:
        raise BadInput(f"{path}: no report of bootstrap verify --json: {fault}") from None
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


@dataclass(frozen=True)
class _Schema:
    schema: str


def evidence(data: bytes) -> Evidence:
    """What a report's bytes are good for.  Raises BadValue and BadInput."""
    value = json_value(data)
    schema = typed(_Schema, value, lenient=True).schema
    if schema in SET_SCHEMAS:
        raise BadInput(
            "is a report of several architectures; verify one (bootstrap verify --arch A --json F)"
        )
    if schema not in SCHEMAS:
        raise BadValue(f"is {schema!r}, not {SCHEMAS[-1]!r}", "schema")
    report = typed(Report, value, lenient=True)
    _require_verified(report)
    if schema != SCHEMA:
        raise BadInput(f"is a {schema}, which does not say what it was judged by; verify again")
    source, tool = report.source, report.tool
    for known, said, *way in (
        (get_args(Kind), source.kind, "source", "kind"),
        (("bootstrap",), tool.name, "tool", "name"),
        (("native", "python"), tool.hot_path, "tool", "hot_path"),
        (ENGINES, tool.engine.name, "tool", "engine", "name"),
    ):
        if said not in known:
            raise BadValue(f"is {said!r}; known: {', '.join(known)}", *way)
    name = EMBEDDED if source.kind == "embedded" else RELEASES
    step = find(name, source.release, report.arch)
    rows = _artifacts(report)
    _require_catalogue(step, rows)
    _require_run(step, report, rows)
    if report.catalogue is None:
        raise BadInput("was judged by no step file that is shipped: its catalogue is null")
    if report.catalogue.sha256 != step.sha256:
        raise BadInput(
            f"was judged by another catalogue: {step.file} has sha256 {step.sha256} here, and had"
            f" {report.catalogue.sha256} there; verify again"
        )
    _require_recheck(step, report)
    artifacts = {known.path: rows[known.path].product for known in step.known()}
    promised = {**step.answers, **step.catalogue}
    materials = materials_of(step, report.entry)
    if source.materials.known != len(materials):
        raise BadInput(
            f"counts {source.materials.known} source files, but {step.title} has {len(materials)}"
            f" through {report.entry}: it is not of that release"
        )
    return Evidence(
        name=name,
        release=source.release,
        arch=step.arch,
        entry=report.entry,
        materials=materials,
        seeds=tuple(s.path for s in step.seeds.values() if s.path in materials),
        products={path: product for path, product in artifacts.items() if path in promised},
        artifacts={path: product.sha256 for path, product in artifacts.items()},
        others={p: row.product.sha256 for p, row in rows.items() if p not in artifacts},
        source={"kind": source.kind, "sha256": source.sha256, "treeDigest": _tree(step, source)},
        tool=(tool.name, tool.version),
        engine=(tool.engine.name, tool.engine.version),
        hot_path=tool.hot_path,
        decided_by=report.decided_by,
        judged_by=(step.file.rpartition("/")[2], step.sha256),
        report_sha256=hashlib.sha256(data).hexdigest(),
        run_digest=canonical_digest(typed(object, value)),
    )


def canonical_digest(value: object) -> str:
    """SHA-256 of a plain value's JSON text with sorted keys, no spaces, and ASCII alone."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _require_verified(report: Report) -> None:
    """The result, and everything in the report that it follows from."""
    if report.result != "verified":
        why = f": {report.reasons[0]}" if report.reasons else ""
        raise BadInput(
            f"its result is {report.result}, not verified{why}; nothing can be vouched for"
        )
    materials, memo, since = report.source.materials, report.memo, report.since
    for key, value in (
        ("memo.believed less memo.checked", memo is not None and memo.believed - memo.checked),
        ("since.unexpected", since is not None and since.unexpected),
        ("reasons", report.reasons),
        ("first_divergence", report.first_divergence),
        ("failure", report.failure),
        ("source.in_place_of", report.source.in_place_of),
        ("source.materials.missing", materials.missing),
        ("source.materials.changed", materials.changed),
    ):
        if value:
            raise BadInput(f"says verified, but {key} is not empty: it contradicts itself")


@dataclass(frozen=True)
class _Row:
    """An artifact; ``process`` is the id of the process that wrote it, if the report knows one."""

    product: VerifiedFile
    promised: bool
    process: int | None


def _artifacts(report: Report) -> dict[str, _Row]:
    """Each artifact that was made."""
    found: dict[str, _Row] = {}
    for number, row in enumerate(report.artifacts):
        if fault := path_fault(row.path):
            raise BadValue(f"is {row.path!r}, which {fault}", "artifacts", number, "path")
        wanted = ("match", row.sha256) if row.expectations else ("unknown", None)
        if (row.status, row.expected) != wanted or any(
            value.sha256 != row.sha256 for value in row.expectations
        ):
            raise BadInput(
                f"says verified, but {row.path} does not equal all its known-good values:"
                " it contradicts itself"
            )
        if row.size is None or row.sha256 is None:
            raise BadValue("has no size or no sha256", "artifacts", number)
        if row.producer is not None and not row.producer.argv:
            raise BadValue("is empty", "artifacts", number, "producer", "argv")
        found[row.path] = _Row(
            VerifiedFile(row.size, row.sha256),
            any(value.kind in PROMISED for value in row.expectations),
            None if row.producer is None else row.producer.pid,
        )
    return found


def _require_catalogue(step: StepFile, rows: Mapping[str, _Row]) -> None:
    """Every known-good value that we have is met, and there is no product that we do not know."""
    promised = {**step.answers, **step.catalogue}
    if not promised:
        raise BadInput(f"{step.title} has no answer in the catalogue: nothing can be vouched for")
    for known in step.known():
        row = rows.get(known.path)
        if row is None:
            raise BadInput(f"lacks {known.path}, which {step.title} has in the catalogue")
        if row.product.sha256 != known.sha256:
            raise BadInput(
                f"{known.path} has sha256 {row.product.sha256}, but the catalogue has"
                f" {known.sha256} for {step.title} ({known.from_})"
            )
    for path, row in rows.items():
        if row.promised and path not in promised:
            raise BadInput(f"has a product {path}, which {step.title} does not have")


def _require_run(step: StepFile, report: Report, rows: Mapping[str, _Row]) -> None:
    """What a run leaves: sizes that fit the hashes, writers, processes, system calls."""
    sizes = {seed.sha256: seed.size for seed in seed_catalogue().seeds}
    if step.name == EMBEDDED:
        made = models(step, embedded_source(step)).values()
        sizes |= {hashlib.sha256(data).hexdigest(): len(data) for data in made}
    for path, row in rows.items():
        size = sizes.setdefault(row.product.sha256, row.product.size)
        if row.product.size != size:
            raise BadInput(
                f"{path} has {row.product.size} bytes, but the file with its sha256 has {size}"
            )
        # Some old releases have answers that are files of the tree, which nobody writes.
        if row.process is None and path not in step.materials:
            raise BadInput(f"does not say which process wrote {path}: no run leaves that open")
    totals = report.totals
    writers = {row.process for row in rows.values() if row.process is not None}
    if totals.processes < len(writers) or totals.syscalls < len(rows):
        raise BadInput(
            f"counts {totals.processes} processes and {totals.syscalls} system calls, but"
            f" {len(writers)} processes wrote {len(rows)} files: it contradicts itself"
        )


def _require_recheck(step: StepFile, report: Report) -> None:
    """That a recheck, if there was one, was of this run and agreed."""
    recheck = report.recheck
    if (report.decided_by == "core") != (recheck is not None):
        raise BadInput(f"is decided by {report.decided_by}, and its recheck is not so")
    if recheck is not None and (
        (recheck.result, recheck.tree_digest, recheck.steps_sha256, recheck.differences)
        != (report.result, report.source.tree_digest, step.sha256, ())
        # The core compares what is known: of some releases that is less than what they make.
        or recheck.artifacts != len({known.path for known in step.known()})
    ):  # fmt: skip
        raise BadInput("has a recheck of another run, or one that does not agree")


def _tree(step: StepFile, source: Source) -> str:
    """The tree's digest, which has to be the known one where one is known."""
    digest = source.tree_digest
    if digest is None:
        raise BadValue("is null", "source", "tree_digest")
    if step.name == EMBEDDED and digest != (ours := embedded_source(step).digest):
        raise BadInput(f"its tree digest is {digest}, but that of {step.title} is {ours}")
    published = step.source.sha256
    if source.kind == "download" and published not in (None, source.sha256):
        raise BadInput(
            f"its archive has sha256 {source.sha256}, but {step.title} was published as {published}"
        )
    return digest
