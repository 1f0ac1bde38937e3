"""Compares what a run made with what it should have made. Pure: data in, a `Report` out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bootstrap.core.errors import ExitStatus
from bootstrap.report.claim import claim
from bootstrap.report.divergence import changed_materials, failing_process, first_divergence
from bootstrap.report.lineage import Lineage, Written, producer_of
from bootstrap.report.model import Expected, Materials, Product, Result, RunFacts, Status
from bootstrap.report.reasons import (
    differing_reasons,
    material_reasons,
    missing_reasons,
    record_reasons,
    result_of,
    run_reasons,
)
from bootstrap.report.report import Artifact, Report
from bootstrap.trace.lineage import ProcessRecord, tree_path


@dataclass(frozen=True, slots=True)
class _Placed:
    """An artifact, when it came to be, and the index of the program that made it."""

    artifact: Artifact
    order: int
    writer: int | None


def judge(
    expected: Sequence[Expected],
    products: Mapping[str, Product],
    records: Sequence[ProcessRecord],
    *,
    facts: RunFacts,
    materials: Materials,
    about: Callable[[str, str], Iterable[str]] = lambda path, sha256: (),
) -> Report:
    """Judge every expected artifact and every product.

    `products` is keyed by tree path (`x86/bin/M1`); `records` is the list of `Provenance`. The
    result is `verified` only when there is at least one answer, every expected artifact matches
    every value known for it, the release's files are all there and unchanged, the run came to its
    end with status 0, and the record accounts for every artifact and every input. Where the tree
    stands in for another, a run that meets all of this is `embedded-only`.
    """
    expectations = _by_path(expected)
    lineage = Lineage(records, materials, expectations)
    found = {tree_path(path): product for path, product in products.items()}
    placed = [
        _place(path, product, expectations.get(path, ()), lineage, about)
        for path, product in found.items()
    ]
    # What no process accounts for comes last: nobody knows when it was made.
    placed.sort(key=lambda p: (p.writer is None, p.order, p.artifact.path))
    artifacts = [p.artifact for p in placed if p.artifact.status != "missing"]
    unfinished = {p.artifact.path: p.artifact for p in placed if p.artifact.status == "missing"}
    artifacts += [
        unfinished.get(path) or Artifact(path, "missing", None, None, values, None)
        for path, values in expectations.items()
        if path not in found or path in unfinished
    ]
    writers = {p.artifact.path: p.writer for p in placed if p.writer is not None}
    changed = changed_materials(artifacts, lineage, writers)
    divergence = first_divergence(artifacts, lineage, writers)
    failing = failing_process(facts, lineage)
    differing, missing = differing_reasons(artifacts), missing_reasons(artifacts)
    reasons = [
        *differing,
        *run_reasons(facts, failing),
        *missing,
        *material_reasons(materials, changed),
        *record_reasons(artifacts, found, facts, lineage),
    ]
    result = result_of(artifacts, facts, reasons)
    if facts.source.in_place_of is not None:
        reasons.append(
            f"embedded only, upstream not verified: {facts.source.in_place_of} could not be had"
        )
        result = "embedded-only" if result == "verified" else result
    return Report(
        facts=facts,
        materials=materials,
        result=result,
        artifacts=tuple(artifacts),
        claim=claim(result, artifacts, facts, materials, reasons),
        reasons=tuple(reasons),
        artifact_reasons=(*differing, *missing),
        changed=changed,
        first_divergence=divergence,
        failing=failing,
    )


def lowered(report: Report, reason: str) -> Report:
    """The report, where something speaks against it that is not in the run: nothing that was
    verified stays so."""
    result: Result = "incomplete" if report.exit_code != ExitStatus.DIFFERS else report.result
    reasons = (reason, *report.reasons)
    said = claim(result, report.artifacts, report.facts, report.materials, reasons)
    return replace(report, result=result, reasons=reasons, claim=said)


def _by_path(expected: Sequence[Expected]) -> dict[str, tuple[Expected, ...]]:
    """Expectations by tree path in the order given, the answers' values before all others."""
    grouped: dict[str, list[Expected]] = {}
    for value in expected:
        values = grouped.setdefault(tree_path(value.path), [])
        if value not in values:
            values.append(value)
    return {
        path: tuple(sorted(values, key=lambda e: e.kind in ("native-run", "model")))
        for path, values in grouped.items()
    }


def _place(
    path: str,
    product: Product,
    expectations: tuple[Expected, ...],
    lineage: Lineage,
    about: Callable[[str, str], Iterable[str]],
) -> _Placed:
    written: Written | None = lineage.writer(path, product.sha256)
    record = lineage.records[written.index] if written else None
    values = {e.sha256 for e in expectations}
    notes = []
    if len(values) > 1:
        told = ", ".join(f"{e.from_} says {e.sha256[:12]}" for e in expectations)
        notes.append(f"the known-good values disagree: {told}")
    status: Status
    if not expectations:
        status = "unknown"
    else:
        status = "match" if values == {product.sha256} else "mismatch"
    unfinished = record is not None and not record.ended
    if unfinished and status != "match":
        notes.insert(0, f"unfinished: {product.size} bytes were written when the run stopped")
        if status == "mismatch":
            # A file that was never finished is not a wrong product; it is none.
            status = "missing"
    if status == "mismatch":
        notes.extend(about(path, product.sha256))
    artifact = Artifact(
        path=path,
        status=status,
        size=None if status == "missing" else product.size,
        sha256=None if status == "missing" else product.sha256,
        expectations=expectations,
        producer=producer_of(record) if record else None,
        note="; ".join(notes) or None,
    )
    return _Placed(artifact, written.order if written else 0, written.index if written else None)
