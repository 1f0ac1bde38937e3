"""Compares what a run made with what it should have made. Pure: data in, a `Report` out."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

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
    written = {path: lineage.writer(path, product.sha256) for path, product in found.items()}
    writers = {path: one.index for path, one in written.items() if one is not None}

    def moment(path: str) -> tuple[bool, int, str]:
        """What no process accounts for comes last: nobody knows when it was made."""
        one = written[path]
        return one is None, 0 if one is None else one.order, path

    judged = {
        path: _artifact(
            path,
            found.get(path),
            expectations.get(path, ()),
            records[writers[path]] if path in writers else None,
            about,
        )
        for path in dict.fromkeys((*sorted(found, key=moment), *expectations))
    }
    artifacts = [a for a in judged.values() if a.status != "missing"]
    artifacts += [judged[path] for path in expectations if judged[path].status == "missing"]
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
        jobs=facts.jobs,
        memo=facts.memo,
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


def believing(report: Report) -> Report:
    """The report, where parts of the run were taken from a memo: what was verified is less."""
    memo = report.memo
    if (
        memo is None
        or memo.believed <= memo.checked
        or report.exit_code not in (ExitStatus.DONE, ExitStatus.LESS_THAN_ASKED)
    ):
        return report
    day = time.strftime("%Y-%m-%d", time.gmtime(memo.oldest or 0))
    reason = (
        f"{memo.believed - memo.checked} of {memo.believed + memo.ran} programs that kaem starts "
        f"were not run, but taken from the memo {memo.name} (oldest of {day}; made by user and "
        f"version {', '.join(memo.makers)}; code {memo.code[:12]})"
    )
    report = replace(report, result="with-memo", reasons=(reason, *report.reasons))
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


def _artifact(
    path: str,
    product: Product | None,
    expectations: tuple[Known, ...],
    record: ProcessRecord | None,
    about: Callable[[str, str], Iterable[str]],
) -> Artifact:
    values = {e.sha256 for e in expectations}
    notes = []
    status: Status = "unknown" if product else "missing"
    if product and expectations:
        status = "match" if values == {product.sha256} else "mismatch"
    if product and len(values) > 1:
        said = ", ".join(f"{e.from_} says {e.sha256[:12]}" for e in expectations)
        notes.append(f"the known-good values disagree: {said}")
    if product and record is not None and not record.ended and status != "match":
        notes.insert(0, f"unfinished: {product.size} bytes were written when the run stopped")
        if status == "mismatch":
            # A file that was never finished is not a wrong product; it is none.
            status = "missing"
    if product and status == "mismatch":
        notes.extend(about(path, product.sha256))
    there = None if status == "missing" else product
    return Artifact(
        path=path,
        size=there.size if there else None,
        sha256=there.sha256 if there else None,
        expected=expectations[0].sha256 if expectations else None,
        expected_from=" and ".join(e.from_ for e in expectations) or None,
        status=status,
        producer=producer_of(record) if record else None,
        expectations=expectations,
        note="; ".join(notes) or None,
    )
