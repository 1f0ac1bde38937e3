"""What is said of a report in words: why it is not `verified`, the result, and the claim.

The claim is one sentence that says what was verified, and what was not.
"""

from collections.abc import Mapping, Sequence

from bootstrap.report.lineage import Lineage
from bootstrap.report.model import (
    EXIT_CODES,
    SET_SCHEMA,
    Artifact,
    ChangedMaterial,
    Product,
    ReleaseFiles,
    Report,
    ReportSet,
    Result,
    RunFacts,
    SetTotals,
    Step,
    set_title,
)
from bootstrap.trace.lineage import tree_path
from bootstrap.words import count, listed, some, wait_status

_HOW = "(to verify it: bootstrap fetch stage0-posix --from PATH, then bootstrap verify)"
_EMBEDDED_TAIL = f"upstream's tree was not verified {_HOW}"


def result_of(artifacts: Sequence[Artifact], facts: RunFacts, reasons: Sequence[str]) -> Result:
    """`mismatch` outweighs `error`: what differs was there first, and often is the cause."""
    if any(a.status == "mismatch" for a in artifacts):
        return "mismatch"
    if facts.failure is not None or facts.exit_status != 0:
        return "error"
    return "incomplete" if reasons else "verified"


def differing_reasons(artifacts: Sequence[Artifact]) -> list[str]:
    """What differs."""
    differing = [a.path for a in artifacts if a.status == "mismatch"]
    if not differing:
        return []
    number = count(len(differing), "artifact", "differs", "differ")
    return [f"{number}, first in build order {differing[0]}"]


def missing_reasons(artifacts: Sequence[Artifact]) -> list[str]:
    """What is missing, and what nobody can judge."""
    reasons = []
    if missing := [a.path for a in artifacts if a.status == "missing"]:
        number = count(len(missing), "artifact", "is", "are")
        reasons.append(f"{number} missing: {some(missing)}")
    if torn := [a.path for a in artifacts if len({e.sha256 for e in a.expectations}) > 1]:
        reasons.append(f"the known-good values disagree with each other about {some(torn)}")
    if not any(a.is_answer for a in artifacts):
        why = "there is no known-good answer to compare with"
        if any(a.expectations for a in artifacts):
            why += ": upstream publishes no hash of these files"
        reasons.append(why)
    return reasons


def run_reason(facts: RunFacts, step: Step | None, status: int | None) -> str | None:
    """How the run ended, when it did not end well; `step` and `status`: where, and how there."""
    where = f"pid {step.process.pid} ({step.process.program})" if step else ""
    if facts.failure is not None:
        return f"the guest failed{f' in {where}' if where else ''}: {facts.failure.message}"
    if facts.exit_status is None:
        return "the first process never came to its end"
    if facts.exit_status == 0:
        return None
    reason = f"the first process {wait_status(facts.exit_status)}"
    if where and status is not None:
        reason += f"; before that, {where} {wait_status(status)}"
    return reason


def material_reasons(materials: ReleaseFiles, changed: Sequence[ChangedMaterial]) -> list[str]:
    """How the source tree differs from the release."""
    reasons = []
    if changed:
        number = count(len(changed), "source file", "differs", "differ")
        reasons.append(f"{number} from the release: {some(c.path for c in changed)}")
    if missing := materials.missing:
        verb = "is" if len(missing) == 1 else "are"
        number = count(len(missing), "source file")
        reasons.append(f"{number} of the release {verb} missing: {some(missing)}")
    return reasons


def record_reasons(
    artifacts: Sequence[Artifact],
    products: Mapping[str, Product],
    facts: RunFacts,
    lineage: Lineage,
) -> list[str]:
    """Where the record of the run does not account for what is there."""
    records = lineage.records
    # An answer may be a file of the release that the run has only to leave as it is.
    given = lineage.materials.known
    orphans = [
        a.path
        for a in artifacts
        if a.expectations and a.sha256 and a.producer is None and given.get(a.path) != a.sha256
    ]
    strangers = [
        a.path
        for a in artifacts
        if a.producer is not None and products[a.path].producer not in (None, a.producer.pid)
    ]
    running = [] if facts.failure else [r for r in records if not r.ended]
    foreign = {tree_path(v.path): None for r in records for v in r.inputs if lineage.is_foreign(v)}
    overwritten = sorted(
        path
        for path, product in products.items()
        if given.get(path, product.sha256) != product.sha256
    )
    names = {(r.pid, r.ordinal) for r in records}
    later = any(
        r.started_by is not None and not 0 <= r.started_by < i for i, r in enumerate(records)
    )
    of_running = [f"pid {r.pid} ({tree_path(r.exe_path)})" for r in running]
    found = (
        (orphans, f"no process in the record wrote this content of {some(orphans)}"),
        (strangers, f"the record names another writer than the run does for {some(strangers)}"),
        (len(names) != len(records), "the record holds one process twice"),
        (later, "the record holds a process that was started by a later one"),
        (running, f"the record holds processes that never ended: {some(of_running)}"),
        (
            foreign,
            "the run used what is neither a file of the release nor made by the run: "
            + some(foreign),
        ),
        (overwritten, f"the run changed files of the release: {some(overwritten)}"),
    )
    return [reason for holds, reason in found if holds]


def claim(report: Report) -> str:
    """The claim of a report (whatever it has for one); it never says more than was compared."""
    answers = report.answers
    others = [a for a in report.intermediates if a.expectations]
    embedded = report.source.kind == "embedded"
    what = f"{'the embedded sources' if embedded else report.title} for {report.arch}"
    if report.result not in ("verified", "embedded-only"):
        why = f"; {report.reasons[0]}" if report.reasons else ""
        if others and not answers:
            good = sum(a.status == "match" for a in others)
            return (
                f"Not verified: {why.removeprefix('; ')}; {good} of "
                f"{count(len(others), 'artifact')} of {what} "
                f"{'equals' if good == 1 else 'equal'} what a native run made."
            )
        good = sum(a.status == "match" for a in answers)
        tail = f"; {_EMBEDDED_TAIL}" if embedded else ""
        return (
            f"Not verified: {good} of {count(len(answers), 'answer')} of {what} "
            f"{'matches' if good == 1 else 'match'}{why}{tail}."
        )
    if embedded:
        modelled = sum(any(e.kind == "model" for e in a.expectations) for a in answers)
        also = " and the language models" if modelled == len(answers) else ""
        only, tail = "Embedded sources only", _EMBEDDED_TAIL
        if report.result == "embedded-only":
            only = "Embedded only, upstream not verified"
            tail = f"{report.source.in_place_of} could not be had {_HOW}"
        return (
            f"{only}: {count(len(answers), 'artifact')} for {report.arch} "
            f"{'matches its' if len(answers) == 1 else 'match their'} known-good "
            f"{'value' if len(answers) == 1 else 'values'}{also}, built from the "
            f"seed; {tail}."
        )
    number = "The 1 answer" if len(answers) == 1 else f"All {len(answers)} answers"
    also = f" and {count(len(others), 'intermediate artifact')}" if others else ""
    files = count(report.source.materials.known, "source file", "is that", "are those")
    return (
        f"{number} of {what}{also} match their known-good values, built through the entry "
        f"{report.entry} in a tree whose {files} of the release."
    )


def report_set(reports: Sequence[Report], wall_seconds: float) -> ReportSet:
    """The reports of several architectures as one; the worst decides."""
    worst_first = sorted(reports, key=lambda r: list(EXIT_CODES).index(r.result))
    reasons = tuple(f"{r.arch}: {reason}" for r in worst_first for reason in r.reasons)
    totals = SetTotals(
        reports=len(reports),
        verified=sum(r.result == "verified" for r in reports),
        answers=sum(len(r.answers) for r in reports),
        matching=sum(a.status == "match" for r in reports for a in r.answers),
        processes=sum(r.totals.processes for r in reports),
        syscalls=sum(r.totals.syscalls for r in reports),
        wall_seconds=wall_seconds,
    )
    return ReportSet(
        schema=SET_SCHEMA,
        result=worst_first[0].result,
        claim=_set_claim(reports, worst_first[0].result, reasons, totals),
        reasons=reasons,
        reports=tuple(reports),
        totals=totals,
    )


def _set_claim(
    reports: Sequence[Report], result: Result, reasons: Sequence[str], totals: SetTotals
) -> str:
    if len(reports) == 1 or any(r.source.kind == "embedded" for r in reports):
        # What they say of the embedded sources cannot be said shorter.
        return " ".join(r.claim for r in reports)
    title, good = set_title(reports), totals.verified
    if result != "verified":
        return (
            f"Not verified: {totals.matching} of {count(totals.answers, 'answer')} of {title} "
            f"{'matches' if totals.matching == 1 else 'match'}, and {good} of "
            f"{count(len(reports), 'architecture')} {'is' if good == 1 else 'are'} verified; "
            f"{reasons[0]}."
        )
    others = sum(a.expectations != () for r in reports for a in r.intermediates)
    also = f" and {count(others, 'intermediate artifact')}" if others else ""
    entries = listed(dict.fromkeys(r.entry for r in reports))
    return (
        f"All {totals.answers} answers of {title}{also} match their known-good values, built "
        f"through the entry {entries} in trees whose source files are those of the release."
    )
