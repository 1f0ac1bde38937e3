"""The first divergence: which artifact went wrong first, and where to look for the fault."""

from collections.abc import Mapping, Sequence

from bootstrap.report.lineage import Lineage
from bootstrap.report.model import (
    Artifact,
    ChangedMaterial,
    FirstMismatch,
    GuestFailure,
    Input,
    RunFacts,
    Step,
    Suspect,
)
from bootstrap.report.reasons import run_reason


def first_divergence(
    artifacts: Sequence[Artifact], lineage: Lineage, writers: Mapping[str, int]
) -> FirstMismatch | None:
    """The first artifact (they come in build order) that differs; None when none does.

    `writers`: tree path -> index of the program that wrote the final content.
    """
    artifact = next((a for a in artifacts if a.status == "mismatch"), None)
    if artifact is None:
        return None
    index = writers.get(artifact.path)
    step: Step | None = None
    drivers: tuple[Step, ...] = ()
    trail: tuple[Step, ...] = ()
    suspect: Suspect = "unknown"
    verdict = (
        f"No process in the record wrote this content of {artifact.path}: "
        "the record is inconsistent, and nothing can be said about the cause."
    )
    if index is not None:
        step = lineage.step(index)
        path, accounted = lineage.trail_to_bad(index)
        trail = tuple(lineage.step(i) for i in path)
        drivers = tuple(
            driven
            for driver, moment in lineage.drivers(index)
            if _bad(driven := lineage.step(driver, before=moment))
        )
        suspect, verdict = _verdict(artifact, step, trail, drivers, accounted, artifacts, lineage)
    return FirstMismatch(
        path=artifact.path,
        size=artifact.size,
        sha256=artifact.sha256,
        expected=artifact.expected,
        expected_from=artifact.expected_from,
        suspect=suspect,
        verdict=verdict,
        step=step,
        drivers=drivers,
        trail=trail,
    )


def _bad(step: Step) -> list[Input]:
    return [i for i in step.inputs if i.state == "bad"]


def _verdict(
    artifact: Artifact,
    step: Step,
    trail: Sequence[Step],
    drivers: Sequence[Step],
    accounted: bool,
    artifacts: Sequence[Artifact],
    lineage: Lineage,
) -> tuple[Suspect, str]:
    if bad := _bad(step):
        return "input", _already_wrong(bad, lineage)
    if trail:
        bad = _bad(trail[-1])
        between = "step" if len(trail) == 1 else "steps"
        return "input", (
            f"{_named(bad)} already wrong: {_what_bad(bad[0], lineage)}. It came in {len(trail)} "
            f"{between} earlier, through files for which there is no known-good value."
        )
    if drivers:
        bad = _bad(drivers[0])
        return "commands", (
            f"Its own inputs were good, but the command came from {drivers[0].process.program}, "
            f"and {_named(bad, start=False)} already wrong there: {_what_bad(bad[0], lineage)}."
        )
    unknown = [i for i in step.inputs if i.state == "unknown"]
    if not accounted:
        foreign = [i.path for i in unknown if i.origin == "foreign"]
        names = ", ".join(foreign) or "something earlier"
        return "unknown", (
            f"None of its inputs is known to be wrong, but {names} is neither a file of the "
            "release nor made by this run, so the fault may lie there or in this step."
        )
    agreeing = [e.from_ for e in artifact.expectations if e.sha256 == artifact.sha256]
    if agreeing:
        return "expected-value", (
            f"The inputs were all good, and the artifact equals the value of {agreeing[0]}: "
            "the known-good values disagree with each other, so one of them is wrong."
        )
    if built := _good_descendants(artifact, artifacts, lineage):
        shown = ", ".join(built[:3]) + (f" and {len(built) - 3} more" if len(built) > 3 else "")
        return "expected-value", (
            f"The inputs were all good, and what was built from it matches ({shown}): "
            f"suspect the expected value ({artifact.expected_from})."
        )
    if unknown:
        return "step", (
            "None of its inputs is known to be wrong: those without a known-good value were made "
            "from good ones. The fault lies in this step or in one that made them "
            "(tool, emulator or expected value)."
        )
    return "step", (
        "The inputs were all good, so the fault lies in this step (tool, emulator or "
        "expected value)."
    )


def _already_wrong(bad: Sequence[Input], lineage: Lineage) -> str:
    return f"{_named(bad)} already wrong: {_what_bad(bad[0], lineage)}."


def _named(bad: Sequence[Input], *, start: bool = True) -> str:
    word = "Input" if start else "input"
    if len(bad) == 1:
        return f"{word} {bad[0].path} was"
    return f"{word}s {', '.join(i.path for i in bad)} were"


def _what_bad(bad: Input, lineage: Lineage) -> str:
    if bad.origin == "release" and bad.path in lineage.materials.seeds:
        return "it is a seed that differs from the release"
    if bad.origin == "release":
        return "it is a source that differs from the release"
    return "the run made it, and it was not what it should have been"


def _good_descendants(
    artifact: Artifact, artifacts: Sequence[Artifact], lineage: Lineage
) -> list[str]:
    """Artifacts that were made directly from this one; empty unless every judged one matches.

    Intermediate files without a known-good value are followed until an artifact is judged.
    """
    if artifact.sha256 is None:
        return []
    final = {(a.path, a.sha256): a for a in artifacts}
    todo = [(artifact.path, artifact.sha256)]
    seen = set(todo)
    found: dict[str, bool] = {}
    while todo:
        for index in lineage.consumers(*todo.pop()):
            for write in lineage.records[index].writes:
                key = (write.path.lstrip("/"), write.sha256)
                if key in seen:
                    continue
                seen.add(key)
                judged = final.get(key)
                if judged is not None and judged.status in ("match", "mismatch"):
                    found[judged.path] = judged.status == "match"
                else:
                    todo.append(key)
    return [a.path for a in artifacts if a.path in found] if all(found.values()) else []


def changed_materials(
    artifacts: Sequence[Artifact], lineage: Lineage, writers: Mapping[str, int]
) -> tuple[ChangedMaterial, ...]:
    """Files of the release that were not as the release has them, named by the caller or read so.

    Each with the first artifact in build order that was made from it.
    """
    materials = lineage.materials
    read: dict[str, str] = {}
    for record in lineage.records:
        for version in record.inputs:
            path = version.path.lstrip("/")
            known = materials.known.get(path)
            if known and known != version.sha256 and lineage.source_of(version) is None:
                read.setdefault(path, version.sha256)
    changed = sorted({*materials.changed, *read})
    first: dict[str, str] = {}
    for path in changed:
        reached = lineage.reached_by(path)
        made = (a.path for a in artifacts if writers.get(a.path) in reached)
        first[path] = next(made, "")
    return tuple(
        ChangedMaterial(
            path=path,
            seed=path in materials.seeds,
            expected=materials.known.get(path),
            sha256=read.get(path),
            first_artifact=first[path] or None,
        )
        for path in changed
    )


def guest_failure(facts: RunFacts, lineage: Lineage) -> GuestFailure | None:
    """How and where the run failed, as far as the record shows it; None when it did not.

    With a failure: in the program of the pid it names, else the last that never ended. Without one,
    but with a bad end: in the first program that ended badly though all it started ended well.
    """
    records, failure = lineage.records, facts.failure
    index = None
    if failure is not None:
        pid = failure.pid
        found = [i for i, r in enumerate(records) if (r.pid == pid if pid else not r.ended)]
        index = found[-1] if found else None
    elif facts.exit_status:
        bad = [i for i, r in enumerate(records) if r.status]
        parents = {records[i].started_by for i in bad}
        index = next((i for i in bad if i not in parents), None)
    step = None if index is None else lineage.step(index)
    status = None if index is None else records[index].status
    message = run_reason(facts, step, status)
    if message is None:
        return None
    details = failure.details if failure is not None else ()
    if step is None:
        return GuestFailure(message, details=details)
    wrong = _bad(step)
    verdict = _already_wrong(wrong, lineage) if wrong else None
    return GuestFailure(message, step.process, step.inputs, status, verdict, details)
