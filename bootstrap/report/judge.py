"""Compares what a run made with what it should have made. Pure: data in, a `Report` out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bootstrap.core.errors import ExitStatus
from bootstrap.known.schema import Known
from bootstrap.report.divergence import changed_materials, first_divergence, guest_failure
from bootstrap.report.lineage import Lineage, producer_of
from bootstrap.report.model import (
    SCHEMA,
    Artifact,
    Materials,
    Product,
    ReleaseFiles,
    Report,
    Result,
    RunFacts,
    Source,
    Status,
)
from bootstrap.report.reasons import (
    claim,
    differing_reasons,
    material_reasons,
    missing_reasons,
    record_reasons,
    result_of,
)
from bootstrap.trace.lineage import ProcessRecord, tree_path


@dataclass(frozen=True, slots=True)
class _Placed:
    """An artifact, when it came to be, and the index of the program that made it."""

    artifact: Artifact
    order: int
    writer: int | None


def judge(
    expected: Sequence[Known],
    products: Mapping[str, Product],
    records: Sequence[ProcessRecord],
    *,
    facts: RunFacts,
    materials: ReleaseFiles,
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
        unfinished.get(path) or _artifact(path, "missing", None, values)
        for path, values in expectations.items()
        if path not in found or path in unfinished
    ]
    writers = {p.artifact.path: p.writer for p in placed if p.writer is not None}
    changed = changed_materials(artifacts, lineage, writers)
    failure = guest_failure(facts, lineage)
    differing, missing = differing_reasons(artifacts), missing_reasons(artifacts)
    reasons = [
        *differing,
        *([failure.message] if failure else ()),
        *missing,
        *material_reasons(materials, changed),
        *record_reasons(artifacts, found, facts, lineage),
    ]
    result = result_of(artifacts, facts, reasons)
    source = facts.source
    if source.in_place_of is not None:
        reasons.append(
            f"embedded only, upstream not verified: {source.in_place_of} could not be had"
        )
        result = "embedded-only" if result == "verified" else result
    report = Report(
        schema=SCHEMA,
        tool=facts.tool,
        source=Source(
            **vars(source),
            materials=Materials(
                len(materials.known),
                tuple(sorted(materials.missing)),
                changed,
                tuple(sorted(materials.extra)),
            ),
        ),
        catalogue=facts.catalogue,
        arch=facts.arch,
        entry=facts.entry,
        result=result,
        claim="",
        reasons=tuple(reasons),
        artifacts=tuple(artifacts),
        first_divergence=first_divergence(artifacts, lineage, writers),
        failure=failure,
        totals=facts.totals,
        name=facts.name,
        artifact_reasons=(*differing, *missing),
    )
    return replace(report, claim=claim(report))


def lowered(report: Report, reason: str) -> Report:
    """The report, where something speaks against it that is not in the run: nothing that was
    verified stays so."""
    result: Result = "incomplete" if report.exit_code != ExitStatus.DIFFERS else report.result
    report = replace(report, result=result, reasons=(reason, *report.reasons))
    return replace(report, claim=claim(report))


def _by_path(expected: Sequence[Known]) -> dict[str, tuple[Known, ...]]:
    """Expectations by tree path in the order given, the answers' values before all others."""
    grouped: dict[str, list[Known]] = {}
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
    expectations: tuple[Known, ...],
    lineage: Lineage,
    about: Callable[[str, str], Iterable[str]],
) -> _Placed:
    written = lineage.writer(path, product.sha256)
    record = lineage.records[written.index] if written else None
    values = {e.sha256 for e in expectations}
    notes = []
    if len(values) > 1:
        said = ", ".join(f"{e.from_} says {e.sha256[:12]}" for e in expectations)
        notes.append(f"the known-good values disagree: {said}")
    status: Status = "unknown"
    if expectations:
        status = "match" if values == {product.sha256} else "mismatch"
    if record is not None and not record.ended and status != "match":
        notes.insert(0, f"unfinished: {product.size} bytes were written when the run stopped")
        if status == "mismatch":
            # A file that was never finished is not a wrong product; it is none.
            status = "missing"
    if status == "mismatch":
        notes.extend(about(path, product.sha256))
    artifact = _artifact(path, status, product, expectations, record, "; ".join(notes) or None)
    return _Placed(artifact, written.order if written else 0, written.index if written else None)


def _artifact(
    path: str,
    status: Status,
    product: Product | None,
    expectations: tuple[Known, ...],
    record: ProcessRecord | None = None,
    note: str | None = None,
) -> Artifact:
    product = None if status == "missing" else product
    return Artifact(
        path=path,
        size=product.size if product else None,
        sha256=product.sha256 if product else None,
        expected=expectations[0].sha256 if expectations else None,
        expected_from=" and ".join(e.from_ for e in expectations) or None,
        status=status,
        producer=producer_of(record) if record else None,
        expectations=expectations,
        note=note,
    )
