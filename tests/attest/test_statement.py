"""The statement against the shapes of in-toto and SLSA, and the envelope against DSSE's own words.

The shapes below are written from the specifications: in-toto/attestation spec/v1 (statement,
resource_descriptor, digest_set) and slsa.dev/spec/v1.0/provenance.  A second reader is the protobuf
of in-toto's own package.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
import platform
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.attest.envelope import PAYLOAD_TYPE, Envelope, Signature, read_envelope
from bootstrap.attest.evidence import Evidence
from bootstrap.attest.hosts import (
    ENGINES,
    Host,
    cpu_vendor,
    known_system,
    known_vendor,
    this_host,
)
from bootstrap.attest.statement import (
    IMAGE,
    IN_SUMMARY,
    MADE,
    PROVENANCE,
    READ,
    make_statement,
    payload,
    read_statement,
)
from bootstrap.documents import BadValue
from bootstrap.instruments import default_engine
from bootstrap.known import find
from tests.attest.people import AMD
from tests.attest.runs import put

AT = "2026-12-01T05:00:00Z"

TEXT, ANY = {"type": "string"}, {"type": "object"}
TYPE_URI = {"type": "string", "pattern": "^[a-z][a-z0-9+.-]*:[^ ]+$"}


def closed(required: str, **properties: Any) -> dict[str, Any]:
    """An object that has these, and nothing else."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


def many(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


DIGESTS = {
    "type": "object",
    "minProperties": 1,
    "properties": {"sha256": {"pattern": "^[0-9a-f]{64}$"}},
    "additionalProperties": TEXT,
}
DESCRIPTOR = {
    **closed("", digest=DIGESTS, annotations=ANY),
    "anyOf": [{"required": [key]} for key in ("uri", "digest", "content")],
}
DESCRIPTOR["properties"] |= dict.fromkeys(
    ("name", "uri", "content", "downloadLocation", "mediaType"), TEXT
)
BUILDER = closed(
    "id",
    id=TYPE_URI,
    version={"type": "object", "additionalProperties": TEXT},
    builderDependencies=many(DESCRIPTOR),
)
DEFINITION = closed(
    "buildType externalParameters",
    buildType=TYPE_URI,
    externalParameters={"type": "object", "minProperties": 1},
    internalParameters=ANY,
    resolvedDependencies=many(DESCRIPTOR),
)
STATEMENT = closed(
    "_type subject predicateType predicate",
    _type={"const": "https://in-toto.io/Statement/v1"},
    predicateType={"const": "https://slsa.dev/provenance/v1"},
    subject={**many({"allOf": [DESCRIPTOR, {"required": ["digest"]}]}), "minItems": 1},
    predicate=closed(
        "buildDefinition runDetails",
        buildDefinition=DEFINITION,
        runDetails=closed("builder", builder=BUILDER, metadata=ANY, byproducts=many(DESCRIPTOR)),
    ),
)


def test_the_statement_has_the_shapes_of_the_specifications(evidence: Evidence) -> None:
    jsonschema.Draft202012Validator.check_schema(STATEMENT)
    jsonschema.validate(json.loads(payload(make_statement(evidence, AMD))), STATEMENT)


def test_in_totos_own_package_reads_it(evidence: Evidence) -> None:
    pytest.importorskip("in_toto_attestation")
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    text = payload(make_statement(evidence, AMD))
    read = Statement.copy_from_pb(json_format.Parse(text, statement_pb2.Statement()))
    read.validate()
    subjects = {row.name: row.digest["sha256"] for row in read.pb.subject}
    assert subjects == {path: product.sha256 for path, product in evidence.products.items()}
    # Unknown fields are errors to this reader.
    predicate = json.dumps(json.loads(text)["predicate"])
    provenance = json_format.Parse(predicate, provenance_pb2.Provenance())
    found = {
        row.name: row.digest["sha256"] for row in provenance.build_definition.resolved_dependencies
    }
    assert found == dict(evidence.materials)
    assert dict(provenance.run_details.builder.version) == {
        evidence.tool[0]: evidence.tool[1],
        "unicorn": "2.1.4",
    }


def test_in_totos_own_package_reads_a_summary_and_an_image(evidence: Evidence) -> None:
    pytest.importorskip("in_toto_attestation")
    from google.protobuf import json_format
    from in_toto_attestation.predicates.vsa.v1 import vsa_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    image = "1" * 64
    text = payload(make_statement(evidence, AMD, MADE, image=image, verified_at=AT))
    read = Statement.copy_from_pb(json_format.Parse(text, statement_pb2.Statement()))
    read.validate()
    assert (read.pb.subject[0].digest["sha256"], len(read.pb.subject)) == (image, 11)
    predicate = json.loads(text)["predicate"]
    # This reader does not ignore fields that it does not know, as SLSA has it; and verifiedLevels,
    # an array by the specification, is a single string to in-toto-attestation 0.9.3.
    del predicate[IN_SUMMARY]
    assert predicate.pop("verifiedLevels") == ["BOOTSTRAP_REBUILT_FROM_SEED"]
    said = json_format.Parse(json.dumps(predicate), vsa_pb2.VerificationSummary())
    assert (said.verification_result, said.time_verified.ToJsonString()) == ("PASSED", AT)
    assert said.policy.digest["sha256"] == find("embedded", None, "x86").sha256
    assert said.verifier.id == "urn:x-bootstrap-emulator:own-machine:1"


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("predicate verificationResult", "FAILED", "must be PASSED"),
        ("predicate resourceUri", "urn:x-bootstrap-emulator:embedded:AMD64", "its provenance of"),
        (f"predicate {IN_SUMMARY}", None, f'predicate."{IN_SUMMARY}"'),
        ("predicateType", "https://slsa.dev/verification_summary/v0.2", "predicateType is"),
        ("predicateType", PROVENANCE, "buildDefinition is missing"),
        ("subject 1 mediaType", IMAGE, "has more than one image"),
    ],
)
def test_a_summary_is_read_with_the_provenance_in_it(
    place: str, value: object, says: str, evidence: Evidence
) -> None:
    made = make_statement(evidence, AMD, MADE, image="1" * 64, verified_at=AT)
    said = read_statement(payload(made))
    assert said == dataclasses.replace(
        read_statement(payload(make_statement(evidence, AMD, MADE))),
        image="1" * 64,
        day=datetime.date(2026, 12, 1),
    )
    put(made, place, value)
    with pytest.raises(BadValue, match=re.escape(says)):
        read_statement(payload(made))


def test_the_statement_is_the_same_each_time_and_has_no_clock(evidence: Evidence) -> None:
    first = payload(make_statement(evidence, AMD))
    assert payload(make_statement(evidence, AMD)) == first
    assert b"startedOn" not in first and b"finishedOn" not in first


def test_what_was_written_is_read_again(evidence: Evidence) -> None:
    said = read_statement(payload(make_statement(evidence, AMD)))
    assert (said.title, said.entry) == ("embedded x86", "hex0-seed")
    assert said.materials == dict(evidence.materials)
    assert said.products == {p: product.sha256 for p, product in evidence.products.items()}
    assert (said.engine, said.cpu_vendor, said.os) == ("unicorn", "AuthenticAMD", "Linux")
    assert said.run == evidence.run_digest and said.stated
    assert said.source_digest == evidence.source_digest


def test_only_what_the_signing_command_saw_is_not_stated(evidence: Evidence) -> None:
    here, given = AMD, Host("AuthenticAMD", "?", "Linux", "given")
    for host, run, stated in ((here, MADE, False), (here, READ, True), (given, MADE, True)):
        assert read_statement(payload(make_statement(evidence, host, run))).stated is stated


def test_the_engines_are_those_of_this_program() -> None:
    assert default_engine().describe()["name"] in ENGINES


def test_this_machines_vendor_and_system_are_known_names() -> None:
    host = this_host()
    assert host.cpu_vendor in (known_vendor(host.cpu_vendor), "unknown")
    assert known_system(host.os) == platform.system()


def test_the_example_of_dsse() -> None:
    """protocol.md: "hello world" of the type http://example.com/HelloWorld."""
    envelope = Envelope(b"hello world", "http://example.com/HelloWorld", ())
    assert envelope.signed_bytes() == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_are_of_bytes() -> None:
    assert Envelope("é".encode(), "ü", ()).signed_bytes() == "DSSEv1 2 ü 2 é".encode()


def test_securesystemslib_reads_our_envelopes() -> None:
    from securesystemslib.dsse import Envelope as Theirs

    ours = Envelope(b"{}", PAYLOAD_TYPE, (Signature("a", b"\x01"), Signature("b", b"\xff\xfe")))
    theirs = Theirs.from_dict(json.loads(ours.to_json()))
    assert (theirs.payload, theirs.payload_type) == (b"{}", PAYLOAD_TYPE)
    assert {s.keyid: s.signature for s in theirs.signatures.values()} == {"a": "01", "b": "fffe"}


SIGNATURES = st.tuples(st.text(max_size=20), st.binary(max_size=40))


@given(st.binary(max_size=99), st.text(max_size=20), st.lists(SIGNATURES, min_size=1, max_size=3))
@settings(max_examples=40)
def test_envelopes_are_read_in_both_base64s(
    content: bytes, kind: str, signatures: list[tuple[str, bytes]]
) -> None:
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        rows = [{"keyid": k, "sig": encode(s).decode(), "more": 1} for k, s in signatures]
        document = {"payload": encode(content).decode(), "payloadType": kind, "signatures": rows}
        wanted = tuple(Signature(k, s) for k, s in signatures)
        data = json.dumps(document).encode()
        assert read_envelope(data) == Envelope(content, kind, wanted)


GOOD = {"payload": "e30=", "payloadType": "t", "signatures": [{"sig": ""}]}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (GOOD | {"signatures": []}, "has no signature"),
        ({"payload": "e30=", "payloadType": "t"}, "signatures is missing"),
        (GOOD | {"payload": "e30"}, "payload is no base64"),
        (GOOD | {"payload": "e 30="}, "payload is no bas"),
        (GOOD | {"signatures": [{}]}, "signatures[0].sig is missing"),
        (GOOD | {"payloadType": 1}, "payloadType must be a string"),
        (GOOD | {"signatures": [{"sig": ""}] * 65}, "65 signatures"),
        ({"_type": "x"}, "nobody signed"),
        ({"schema": "bootstrap-report/9"}, "is a report, which nobody signed"),
        (GOOD | {"payloadType": "\ud800"}, "is no Unicode text"),
    ],
)
def test_envelopes_that_are_none(document: dict[str, Any], says: str) -> None:
    with pytest.raises(BadValue) as caught:
        read_envelope(json.dumps(document).encode())
    assert says in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"[]", b'"x"', b"{}", b'{"_type": 1}', b"\xff"])
def test_what_is_no_statement_and_no_envelope(data: bytes) -> None:
    for read in (read_statement, read_envelope):
        with pytest.raises(BadValue):
            read(data)


@pytest.mark.parametrize(
    ("cpuinfo", "system", "machine", "vendor"),
    [
        ("vendor_id\t: AuthenticAMD\n" * 2, "Linux", "x86_64", "AuthenticAMD"),
        ("CPU implementer\t: 0x41\n", "Linux", "aarch64", "ARM"),
        ("CPU implementer\t: 0x99\n", "Linux", "aarch64", "unknown"),
        ("vendor_id\t: Acme\n", "Linux", "x86_64", "unknown"),
        ("vendor_id\t:   Shanghai  \n", "Linux", "x86_64", "Shanghai"),
        ("CPU implementer\t: ?\n", "Linux", "aarch64", "unknown"),
        ("mvendorid\t: 0x489\n", "Linux", "riscv64", "SiFive"),
        ("", "Darwin", "arm64", "Apple"),
        ("", "Darwin", "x86_64", "unknown"),
        ("CPU implementer: 0x41\nCPU implementer: 0x51\n", "Linux", "aarch64", "unknown"),
    ],
)
def test_cpu_vendors(cpuinfo: str, system: str, machine: str, vendor: str) -> None:
    assert cpu_vendor(cpuinfo, system, machine) == vendor
