"""Every reason for which a run is not `verified`, in words; and the result they lead to."""

from collections.abc import Mapping, Sequence

from bootstrap.report.lineage import Lineage
from bootstrap.report.model import Materials, Product, Result, RunFacts
from bootstrap.report.report import Artifact, ChangedMaterial, Failing
from bootstrap.report.words import count, some, wait_status
from bootstrap.trace.lineage import tree_path


def result_of(artifacts: Sequence[Artifact], facts: RunFacts, reasons: Sequence[str]) -> Result:
    """`mismatch` outweighs `error`: what differs was there first, and often is the cause."""
    if any(a.status == "mismatch" for a in artifacts):
        return "mismatch"
    if facts.failure is not None or facts.exit_status != 0:
        return "error"
    return "incomplete" if reasons else "verified"


def differing_reasons(artifacts: Sequence[Artifact]) -> list[str]:
    """What differs."""
    differing = [a for a in artifacts if a.status == "mismatch"]
    if not differing:
        return []
    verb = "differs" if len(differing) == 1 else "differ"
    number = count(len(differing), "artifact")
    return [f"{number} {verb}, first in build order {differing[0].path}"]


def missing_reasons(artifacts: Sequence[Artifact]) -> list[str]:
    """What is missing, and what nobody can judge."""
    reasons = []
    missing = [a for a in artifacts if a.status == "missing"]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        names = some(a.path for a in missing)
        reasons.append(f"{count(len(missing), 'artifact')} {verb} missing: {names}")
    torn = [a.path for a in artifacts if len({e.sha256 for e in a.expectations}) > 1]
    if torn:
        reasons.append(f"the known-good values disagree with each other about {some(torn)}")
    if not any(a.is_answer for a in artifacts):
        why = "there is no known-good answer to compare with"
        if any(a.expectations for a in artifacts):
            why += ": upstream publishes no hash of these files"
        reasons.append(why)
    return reasons


def run_reasons(facts: RunFacts, failing: Failing | None) -> list[str]:
    """How the run ended, when it did not end well."""
    process = failing.step.producer if failing else None
    where = f"pid {process.pid} ({process.program})" if process else ""
    if facts.failure is not None:
        return [f"the guest failed{f' in {where}' if where else ''}: {facts.failure.message}"]
    if facts.exit_status is None:
        return ["the first process never came to its end"]
    if facts.exit_status == 0:
        return []
    reason = f"the first process {wait_status(facts.exit_status)}"
    if failing is not None and failing.status is not None:
        reason += f"; before that, {where} {wait_status(failing.status)}"
    return [reason]


def material_reasons(materials: Materials, changed: Sequence[ChangedMaterial]) -> list[str]:
    """How the source tree differs from the release."""
    reasons = []
    if changed:
        names = some(c.path for c in changed)
        verb = "differs" if len(changed) == 1 else "differ"
        reasons.append(f"{count(len(changed), 'source file')} {verb} from the release: {names}")
    if materials.missing:
        verb = "is" if len(materials.missing) == 1 else "are"
        number = count(len(materials.missing), "source file")
        reasons.append(f"{number} of the release {verb} missing: {some(materials.missing)}")
    return reasons


def record_reasons(
    artifacts: Sequence[Artifact],
    products: Mapping[str, Product],
    facts: RunFacts,
    lineage: Lineage,
) -> list[str]:
    """Where the record of the run does not account for what is there."""
    records = lineage.records
    reasons = []
    # An answer may be a file of the release that the run has only to leave as it is.
    given = lineage.materials.known
    orphans = [
        a.path
        for a in artifacts
        if a.expectations and a.sha256 and a.producer is None and given.get(a.path) != a.sha256
    ]
    if orphans:
        reasons.append(f"no process in the record wrote this content of {some(orphans)}")
    strangers = [
        a.path
        for a in artifacts
        if a.producer is not None
        and (told := products[a.path].producer) is not None
        and told != a.producer.pid
    ]
    if strangers:
        reasons.append(f"the record names another writer than the run does for {some(strangers)}")
    names = [(r.pid, r.ordinal) for r in records]
    if len(set(names)) != len(names):
        reasons.append("the record holds one process twice")
    if any(r.started_by is not None and not 0 <= r.started_by < i for i, r in enumerate(records)):
        reasons.append("the record holds a process that was started by a later one")
    running = [r for r in records if not r.ended]
    if running and facts.failure is None:
        names_of = some(f"pid {r.pid} ({tree_path(r.exe_path)})" for r in running)
        reasons.append(f"the record holds processes that never ended: {names_of}")
    foreign = {tree_path(v.path): None for r in records for v in r.inputs if lineage.is_foreign(v)}
    if foreign:
        reasons.append(
            "the run used what is neither a file of the release nor made by the run: "
            + some(foreign)
        )
    overwritten = sorted(
        path
        for path, product in products.items()
        if lineage.materials.known.get(path, product.sha256) != product.sha256
    )
    if overwritten:
        reasons.append(f"the run changed files of the release: {some(overwritten)}")
    return reasons
