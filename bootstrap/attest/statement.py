"""in-toto Statement v1 with SLSA Provenance v1: made of evidence, and read from a payload.

https://github.com/in-toto/attestation (spec/v1) and https://slsa.dev/spec/v1.0/provenance.
docs/vouching.md says what our parameters are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bootstrap.attest.documents import NotUnderstood, Part, parse
from bootstrap.attest.evidence import Evidence, source_digest
from bootstrap.attest.hosts import ENGINES, UNKNOWN, Host, known_system, known_vendor

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:x-bootstrap-emulator:verify:1"
BUILDER = "urn:x-bootstrap-emulator:own-machine:1"
"""The signer's own machine: there is no build service whose word counts for more."""
PARAMETERS = ("name", "release", "arch", "entry")
"""All external parameters that a run of ours has."""
MADE, READ = "made-here", "read-from-report"
"""Whether the command that signs made the run itself, then and there."""
HASHED, REPORTED = "hashed-here", "read-from-report"
"""Whether it had the products, and hashed them."""


@dataclass(frozen=True)
class Vouched:
    """What a statement says: these products came of these sources, on such a machine.

    ``products`` and ``materials`` are SHA-256 values by tree path, ``report`` is that of the
    report: the run.  ``engine``, ``cpu_vendor`` and ``os`` are known names, or ``unknown``;
    ``stated`` is whether the command that signed did not see them itself.  ``builder`` and
    ``parameters`` are SLSA's builder id, and external parameters that no run of ours has.
    """

    name: str
    release: str | None
    arch: str
    entry: str
    products: Mapping[str, str]
    materials: Mapping[str, str]
    engine: str
    engine_version: str
    cpu_vendor: str
    os: str
    report: str
    stated: bool
    builder: str
    parameters: tuple[str, ...]

    @property
    def title(self) -> str:
        """``stage0-posix 1.9.1 x86``."""
        return " ".join(filter(None, (self.name, self.release, self.arch)))

    @property
    def source_digest(self) -> str:
        """As `bootstrap.attest.evidence.source_digest` has it, of the statement's own list."""
        return source_digest(self.materials)


def make_statement(
    evidence: Evidence, host: Host, run: str = READ, products: str = REPORTED
) -> dict[str, Any]:
    """The statement as JSON-able data; deterministic, and without a clock.

    ``run`` and ``products`` say what whoever signs this saw: `MADE` or `READ`, `HASHED` or
    `REPORTED`.
    """
    tool, engine = evidence.tool, evidence.engine
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": path, "digest": {"sha256": product.sha256}}
            for path, product in sorted(evidence.products.items())
        ],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "name": evidence.name,
                    "release": evidence.release,
                    "arch": evidence.arch,
                    "entry": evidence.entry,
                },
                "internalParameters": {
                    "run": run,
                    "products": products,
                    "tool": {"name": tool[0], "version": tool[1]},
                    "engine": {
                        "name": engine[0],
                        "version": engine[1],
                        "hotPath": evidence.hot_path,
                    },
                    "host": {
                        "cpuVendor": host.cpu_vendor,
                        "machine": host.machine,
                        "os": host.os,
                        "saidBy": host.said_by,
                    },
                    "source": dict(evidence.source),
                    "sourceDigest": evidence.source_digest,
                },
                "resolvedDependencies": [
                    {
                        "name": path,
                        "digest": {"sha256": sha256},
                        "annotations": {"role": "seed" if path in evidence.seeds else "source"},
                    }
                    for path, sha256 in sorted(evidence.materials.items())
                ],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {tool[0]: tool[1], engine[0]: engine[1]}},
                "byproducts": [
                    {
                        "name": "report",
                        "digest": {"sha256": evidence.report_sha256},
                        "mediaType": "application/json",
                        "annotations": {"findingsDigest": evidence.findings_digest},
                    }
                ],
            },
        },
    }


def payload(statement: Mapping[str, Any]) -> bytes:
    """The statement's bytes, which are signed as they are."""
    return json.dumps(statement, separators=(",", ":"), ensure_ascii=True).encode()


def read_statement(data: bytes) -> Vouched:
    """What a payload says.  Raises NotUnderstood, also for the statements of other tools."""
    top = Part(parse(data))
    for key, wanted in (("_type", STATEMENT), ("predicateType", PROVENANCE)):
        if top.text(key) != wanted:
            raise NotUnderstood(f"{key} is {top.text(key)!r}, not {wanted!r}")
    definition = top.part("predicate").part("buildDefinition")
    details = top.part("predicate").part("runDetails")
    if definition.text("buildType") != BUILD_TYPE:
        raise NotUnderstood(f"is about a build of the type {definition.text('buildType')!r}")
    outer, inner = definition.part("externalParameters"), definition.part("internalParameters")
    engine, host = inner.part("engine"), inner.part("host")
    report = _digests(details, "byproducts").get("report")
    if report is None:
        raise details.fault("byproducts", "has no report")
    made_here = inner.optional_text("run") == MADE and host.text("saidBy") == "observed"
    vouched = Vouched(
        name=outer.text("name"),
        release=outer.optional_text("release"),
        arch=outer.text("arch"),
        entry=outer.text("entry"),
        products=_digests(top, "subject"),
        materials=_digests(definition, "resolvedDependencies"),
        engine=engine.text("name") if engine.text("name") in ENGINES else UNKNOWN,
        engine_version=engine.text("version"),
        cpu_vendor=known_vendor(host.text("cpuVendor")),
        os=known_system(host.text("os")),
        report=report,
        stated=not made_here,
        builder=details.part("builder").text("id"),
        parameters=tuple(sorted(outer.data.keys() - {*PARAMETERS})),
    )
    if inner.text("sourceDigest") != vouched.source_digest:
        raise NotUnderstood("sourceDigest is not that of its resolvedDependencies")
    return vouched


def _digests(part: Part, key: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in part.parts(key):
        name = row.text("name")
        if name in found:
            raise row.fault("name", f"{name!r} is there twice")
        found[name] = row.part("digest").sha256("sha256")
    if not found:
        raise part.fault(key, "is empty")
    return found
