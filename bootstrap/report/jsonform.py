"""The report as JSON, schema `bootstrap-report/2` (docs/report.md, docs/report.schema.json).

Deterministic: keys in a fixed order, no host paths, no clock but `totals.wall_seconds`.
"""

import json
from dataclasses import asdict
from typing import Any

from bootstrap.report.model import Catalogue, SourceInfo
from bootstrap.report.reasons import run_reasons
from bootstrap.report.report import (
    SCHEMA,
    Artifact,
    ChangedMaterial,
    Divergence,
    Input,
    Producer,
    Recheck,
    Report,
    Step,
)

Json = dict[str, Any]


def to_json(report: Report) -> Json:
    """The report as JSON-able data."""
    facts, tool = report.facts, report.facts.tool
    return {
        "schema": SCHEMA,
        "tool": {
            "name": tool.name,
            "version": tool.version,
            "engine": {"name": tool.engine_name, "version": tool.engine_version},
            "hot_path": tool.hot_path,
        },
        "source": _source(facts.source, report),
        "catalogue": None if facts.catalogue is None else _catalogue(facts.catalogue),
        "arch": facts.arch,
        "entry": facts.entry,
        "result": report.result,
        "claim": report.claim,
        "reasons": list(report.reasons),
        "artifacts": [_artifact(a) for a in report.artifacts],
        "first_divergence": (
            _divergence(report.first_divergence) if report.first_divergence else None
        ),
        "failure": _failure(report),
        "decided_by": report.decided_by,
        "recheck": _recheck(report.recheck) if report.recheck else None,
        "totals": {
            "processes": facts.totals.processes,
            "syscalls": facts.totals.syscalls,
            "wall_seconds": round(facts.totals.wall_seconds, 3),
        },
    }


def to_json_text(report: Report) -> str:
    """The report as JSON text, ASCII only, ending in a newline."""
    return json.dumps(to_json(report), indent=2, ensure_ascii=True) + "\n"


def _recheck(recheck: Recheck) -> Json:
    return {**asdict(recheck), "differences": list(recheck.differences)}


def _catalogue(catalogue: Catalogue) -> Json:
    return {"steps": catalogue.steps, "sha256": catalogue.sha256}


def _source(source: SourceInfo, report: Report) -> Json:
    materials = report.materials
    return {
        "kind": source.kind,
        "release": source.release,
        "sha256": source.sha256,
        "tree_digest": source.tree_digest,
        "in_place_of": source.in_place_of,
        "materials": {
            "known": len(materials.known),
            "missing": sorted(materials.missing),
            "changed": [_changed(c) for c in report.changed],
            "extra": sorted(materials.extra),
        },
    }


def _changed(changed: ChangedMaterial) -> Json:
    return {
        "path": changed.path,
        "seed": changed.seed,
        "expected": changed.expected,
        "sha256": changed.sha256,
        "first_artifact": changed.first_artifact,
    }


def _artifact(artifact: Artifact) -> Json:
    return {
        "path": artifact.path,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "expected": artifact.expected,
        "expected_from": artifact.expected_from,
        "status": artifact.status,
        "producer": _producer(artifact.producer) if artifact.producer else None,
        "expectations": [
            {"sha256": e.sha256, "from": e.from_, "kind": e.kind} for e in artifact.expectations
        ],
        "note": artifact.note,
    }


def _producer(producer: Producer) -> Json:
    return {
        "pid": producer.pid,
        "ordinal": producer.ordinal,
        "program": producer.program,
        "argv": list(producer.argv),
        "cwd": producer.cwd,
    }


def _input(judged: Input) -> Json:
    return {
        "path": judged.path,
        "role": judged.role,
        "size": judged.size,
        "sha256": judged.sha256,
        "expected": judged.expected,
        "state": judged.state,
        "why": judged.why,
        "origin": judged.origin,
    }


def _step(step: Step) -> Json:
    return {
        "process": _producer(step.producer),
        "inputs": [_input(i) for i in step.inputs],
    }


def _divergence(divergence: Divergence) -> Json:
    return {
        "path": divergence.artifact.path,
        "size": divergence.artifact.size,
        "sha256": divergence.artifact.sha256,
        "expected": divergence.artifact.expected,
        "expected_from": divergence.artifact.expected_from,
        "suspect": divergence.suspect,
        "verdict": divergence.verdict,
        "step": _step(divergence.step) if divergence.step else None,
        "drivers": [_step(s) for s in divergence.drivers],
        "trail": [_step(s) for s in divergence.trail],
    }


def _failure(report: Report) -> Json | None:
    failure, failing = report.facts.failure, report.failing
    if failure is None and report.facts.exit_status == 0:
        return None
    return {
        "message": run_reasons(report.facts, failing)[0],
        "process": _producer(failing.step.producer) if failing else None,
        "inputs": [_input(i) for i in failing.step.inputs] if failing else [],
        "status": failing.status if failing else None,
        "verdict": failing.verdict if failing else None,
        "details": list(failure.details) if failure else [],
    }
