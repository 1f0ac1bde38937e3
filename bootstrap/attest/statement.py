"""in-toto Statement v1 with SLSA Provenance v1, or with a summary that has it: made and read.

https://github.com/in-toto/attestation (spec/v1), https://slsa.dev/spec/v1.0/provenance and
https://slsa.dev/spec/v1.1/verification_summary.  docs/vouching.md says what our parameters are.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from bootstrap.attest.evidence import Evidence, source_digest
from bootstrap.attest.hosts import ENGINES, UNKNOWN, Host, known_system, known_vendor
from bootstrap.documents import BadValue, Sha256, filled, json_value, key, one_of, typed
from bootstrap.report.opinion import ReleaseOpinion
from bootstrap.report.ways import BY_NAME

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
SUMMARY = "https://slsa.dev/verification_summary/v1"
BUILD_TYPE = "urn:x-bootstrap-emulator:verify:1"
BUILDER = "urn:x-bootstrap-emulator:own-machine:1"
"""The signer's own machine: there is no build service whose word counts for more."""
IN_SUMMARY = "urn:x-bootstrap-emulator:provenance:1"
"""A summary's own field (by its specification, a URI): the provenance that it sums up."""
TIME = "%Y-%m-%dT%H:%M:%SZ"
LEVEL = "BOOTSTRAP_REBUILT_FROM_SEED"
"""What a summary says was verified: none of SLSA's levels, which are about build services."""
OPINIONS = "bootstrap-attested-opinions/1"
IMAGE = "application/vnd.oci.image.manifest.v1+json"
"""The media type of a subject that is an image: its digest is that of its manifest."""
PARAMETERS = ("name", "release", "arch", "entry")
"""All external parameters that a run of ours has."""
MADE, READ = "made-here", "read-from-report"
"""Whether the command that signs made the run itself, then and there."""
HASHED, REPORTED = "hashed-here", "read-from-report"
"""Whether it had the products, and hashed them."""


@dataclass(frozen=True)
class Vouched:
    """What a statement says: these products came of these sources, on such a machine.

    ``products`` and ``materials`` are SHA-256 values by tree path, ``run`` is that of what the
    report says, however it is written.  ``engine``, ``cpu_vendor`` and ``os`` are known names, or
    ``unknown``; ``rechecked`` is whether the core alone found the same; ``stated`` is whether the
    command that signed did not see them itself.
    ``builder`` and ``parameters`` are SLSA's builder id, and external parameters that no run of
    ours has.
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
    run: str
    rechecked: bool
    stated: bool
    builder: str
    parameters: tuple[str, ...]
    independent: int = 0
    """How many independent opinions it names, of those that `bootstrap.report.ways` knows, each of
    which agreed on every product."""
    image: str | None = None
    """SHA-256 of the manifest of the image that it is about."""
    day: datetime.date | None = None
    """On which it says that it was verified; of a summary alone."""

    @property
    def title(self) -> str:
        """``stage0-posix 1.9.1 x86``."""
        return " ".join(filter(None, (self.name, self.release, self.arch)))

    @property
    def source_digest(self) -> str:
        """As `bootstrap.attest.evidence.source_digest` has it, of the statement's own list."""
        return source_digest(self.materials)


def make_statement(
    evidence: Evidence,
    host: Host,
    run: str = READ,
    products: str = REPORTED,
    opinions: Sequence[ReleaseOpinion] = (),
    image: str | None = None,
    verified_at: str | None = None,
) -> dict[str, Any]:
    """The statement as JSON-able data; deterministic, and without a clock.

    ``opinions`` were made in the same run, and each agrees on every product.  ``image`` is the
    manifest's SHA-256 of an image of the products, and then the first subject.  ``verified_at``
    makes a verification summary of it: the one form that must have a time.

    ``run`` and ``products`` say what whoever signs this saw: `MADE` or `READ`, `HASHED` or
    `REPORTED`.
    """
    tool, engine = evidence.tool, evidence.engine
    made = provenance(
        {path: product.sha256 for path, product in evidence.products.items()},
        BUILD_TYPE,
        {
            "name": evidence.name,
            "release": evidence.release,
            "arch": evidence.arch,
            "entry": evidence.entry,
        },
        {
            "run": run,
            "products": products,
            "tool": {"name": tool[0], "version": tool[1]},
            "engine": {"name": engine[0], "version": engine[1], "hotPath": evidence.hot_path},
            "decidedBy": evidence.decided_by,
            "host": host_document(host),
            "source": dict(evidence.source),
            "sourceDigest": evidence.source_digest,
            **({"opinions": _opinions(opinions)} if opinions else {}),
        },
        [
            {
                **resource(path, sha256),
                "annotations": {"role": "seed" if path in evidence.seeds else "source"},
            }
            for path, sha256 in sorted(evidence.materials.items())
        ],
        dict((tool, engine)),
        evidence.report_sha256,
        {"findingsDigest": evidence.findings_digest, "runDigest": evidence.run_digest},
    )
    if image is not None:
        made["subject"].insert(0, {**resource("image", image), "mediaType": IMAGE})
    if verified_at is not None:
        file, sha256 = evidence.judged_by
        made["predicateType"] = SUMMARY
        made["predicate"] = {
            "verifier": {"id": BUILDER},
            "timeVerified": verified_at,
            "resourceUri": _uri(evidence.name, evidence.release, evidence.arch),
            "policy": {"uri": _uri("steps", file), "digest": {"sha256": sha256}},
            "verificationResult": "PASSED",
            "verifiedLevels": [LEVEL],
            "slsaVersion": "1.1",
            IN_SUMMARY: made["predicate"],
        }
    return made


def _uri(*names: str | None) -> str:
    return ":".join(("urn:x-bootstrap-emulator", *filter(None, names)))


def _opinions(opinions: Sequence[ReleaseOpinion]) -> dict[str, Any]:
    """docs/attested-opinions.schema.json."""
    rows = [
        {"name": one.opinion, "how": one.how, "inputs": dict(one.inputs), "digest": one.digest}
        for one in opinions
    ]
    return {"schema": OPINIONS, "treeDigest": opinions[0].tree, "opinions": rows}


def provenance(
    subject: Mapping[str, str],
    build_type: str,
    external: Mapping[str, Any],
    internal: Mapping[str, Any],
    dependencies: Sequence[Mapping[str, Any]],
    versions: Mapping[str, str],
    report_sha256: str,
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    """The frame of every statement of ours; ``annotations`` are of the report it stands on."""
    return {
        "_type": STATEMENT,
        "subject": [resource(path, sha256) for path, sha256 in sorted(subject.items())],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": build_type,
                "externalParameters": external,
                "internalParameters": internal,
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": versions},
                "byproducts": [
                    {
                        **resource("report", report_sha256),
                        "mediaType": "application/json",
                        "annotations": annotations,
                    }
                ],
            },
        },
    }


def resource(name: str, sha256: str) -> dict[str, Any]:
    """A file: SLSA's resource descriptor."""
    return {"name": name, "digest": {"sha256": sha256}}


def host_document(host: Host) -> dict[str, str]:
    """A machine, as a statement has it."""
    return {
        "cpuVendor": host.cpu_vendor,
        "machine": host.machine,
        "os": host.os,
        "saidBy": host.said_by,
    }


def payload(statement: Mapping[str, Any]) -> bytes:
    """The statement's bytes, which are signed as they are."""
    return json.dumps(statement, separators=(",", ":"), ensure_ascii=True).encode()


@dataclass(frozen=True)
class _Digest:
    sha256: Sha256


@dataclass(frozen=True)
class _Named:
    name: str


@dataclass(frozen=True)
class _Resource(_Named):
    digest: _Digest
    media_type: str | None = key("mediaType", default=None)


def _names_once(rows: tuple[_Named, ...]) -> None:
    seen: set[str] = set()
    for number, row in enumerate(rows):
        if row.name in seen:
            raise BadValue(f"{row.name!r} is there twice", number, "name")
        seen.add(row.name)


_Resources = Annotated[tuple[_Resource, ...], filled, _names_once]


def _by_name(rows: tuple[_Resource, ...]) -> dict[str, str]:
    return {row.name: row.digest.sha256 for row in rows}


@dataclass(frozen=True)
class _Engine(_Named):
    version: str


@dataclass(frozen=True)
class _Host:
    os: str
    cpu_vendor: str = key("cpuVendor")
    said_by: str = key("saidBy")


@dataclass(frozen=True)
class _Parameters:
    """Of ours; a policy judges what others there are."""

    name: str
    arch: str
    entry: str
    release: str | None = None


@dataclass(frozen=True)
class _AttestedOpinion(_Named):
    digest: Sha256
    how: str
    inputs: Mapping[str, str]


@dataclass(frozen=True)
class _AttestedOpinions:
    schema: Annotated[str, one_of(OPINIONS)]
    tree_digest: Sha256 = key("treeDigest")
    opinions: Annotated[tuple[_AttestedOpinion, ...], filled, _names_once] = key("opinions")

    def independent(self, arch: str) -> int:
        """Counted by our own table: what no run on this architecture makes counts for nothing."""
        ways = [BY_NAME[one.name] for one in self.opinions if one.name in BY_NAME]
        return len({way.independence for way in ways if way.makes and arch in way.arches})


@dataclass(frozen=True)
class _Source:
    tree_digest: str | None = key("treeDigest", default=None)


@dataclass(frozen=True)
class _Internal:
    engine: _Engine
    host: _Host
    source_digest: Sha256 = key("sourceDigest")
    run: str | None = None
    decided_by: str | None = key("decidedBy", default=None)
    opinions: _AttestedOpinions | None = None
    source: _Source = _Source()


@dataclass(frozen=True)
class _Definition:
    build_type: Annotated[str, one_of(BUILD_TYPE)] = key("buildType")
    external: Mapping[str, Any] = key("externalParameters")
    internal: _Internal = key("internalParameters")
    dependencies: _Resources = key("resolvedDependencies")


@dataclass(frozen=True)
class _Builder:
    id: str


@dataclass(frozen=True)
class _RunDigest:
    run: Sha256 = key("runDigest")


@dataclass(frozen=True)
class _Byproduct(_Named):
    annotations: Any = None


@dataclass(frozen=True)
class _Details:
    builder: _Builder
    byproducts: Annotated[tuple[_Byproduct, ...], _names_once]

    @property
    def run(self) -> str:
        """The run's digest.  Raises BadValue."""
        for number, row in enumerate(self.byproducts):
            if row.name == "report":
                way = "predicate", "runDetails", "byproducts", number, "annotations"
                return typed(_RunDigest, row.annotations, *way, lenient=True).run
        raise BadValue("has no report", "predicate", "runDetails", "byproducts")


@dataclass(frozen=True)
class _Provenance:
    definition: _Definition = key("buildDefinition")
    details: _Details = key("runDetails")


@dataclass(frozen=True)
class _Time:
    day: datetime.date

    @classmethod
    def from_text(cls, text: str) -> _Time:
        """Raises BadValue."""
        try:
            return cls(datetime.datetime.strptime(text, TIME).date())
        except ValueError:
            raise BadValue("is no time as 2026-11-30T22:00:00Z") from None


@dataclass(frozen=True)
class _Summary:
    verifier: _Builder
    time: _Time = key("timeVerified")
    resource: str = key("resourceUri")
    result: Annotated[str, one_of("PASSED")] = key("verificationResult")
    provenance: _Provenance = key(IN_SUMMARY)


@dataclass(frozen=True)
class _Statement:
    type_: Annotated[str, one_of(STATEMENT)] = key("_type")
    predicate_type: Annotated[str, one_of(PROVENANCE, SUMMARY)] = key("predicateType")
    subject: _Resources = key("subject")
    predicate: Mapping[str, Any] = key("predicate")


def read_statement(data: bytes) -> Vouched:
    """What a payload says.  Raises BadValue, also for the statements of other tools."""
    said = typed(_Statement, json_value(data), lenient=True)
    summary: _Summary | None = None
    if said.predicate_type == SUMMARY:
        summary = typed(_Summary, dict(said.predicate), "predicate", lenient=True)
        predicate = summary.provenance
    else:
        predicate = typed(_Provenance, dict(said.predicate), "predicate", lenient=True)
    definition, details = predicate.definition, predicate.details
    way = "predicate", "buildDefinition", "externalParameters"
    outer = typed(_Parameters, dict(definition.external), *way, lenient=True)
    inner = definition.internal
    images = [row.digest.sha256 for row in said.subject if row.media_type == IMAGE]
    if len(images) > 1:
        raise BadValue("has more than one image", "subject")
    made_here = inner.run == MADE and inner.host.said_by == "observed"
    vouched = Vouched(
        name=outer.name,
        release=outer.release,
        arch=outer.arch,
        entry=outer.entry,
        products=_by_name(tuple(row for row in said.subject if row.media_type != IMAGE)),
        materials=_by_name(definition.dependencies),
        engine=inner.engine.name if inner.engine.name in ENGINES else UNKNOWN,
        engine_version=inner.engine.version,
        cpu_vendor=known_vendor(inner.host.cpu_vendor),
        os=known_system(inner.host.os),
        run=details.run,
        rechecked=inner.decided_by == "core",
        stated=not made_here,
        builder=details.builder.id,
        parameters=tuple(sorted(definition.external.keys() - {*PARAMETERS})),
        independent=inner.opinions.independent(outer.arch) if inner.opinions and made_here else 0,
        image=images[0] if images else None,
        day=summary.time.day if summary is not None else None,
    )
    if summary is not None and summary.verifier.id != vouched.builder:
        raise BadValue(f"is {summary.verifier.id!r}, no builder", "predicate", "verifier", "id")
    uri = _uri(outer.name, outer.release, outer.arch)
    if summary is not None and summary.resource != uri:
        raise BadValue(
            f"is {summary.resource!r}, and its provenance of {uri}", *way[:1], "resourceUri"
        )
    if inner.opinions and inner.opinions.tree_digest != inner.source.tree_digest:
        raise BadValue("its opinions are of another tree than what was verified")
    if inner.source_digest != vouched.source_digest:
        raise BadValue("sourceDigest is not that of its resolvedDependencies")
    return vouched
