"""How a run of ours comes to the core, and what the core's word does to a report.

The core decides (`core.verdict.decide`). Of a run that was made here with the fast path it makes a
`Proposal`. A report explains what happened; it may only say less than the core, never more.
"""

from __future__ import annotations

from dataclasses import replace

from bootstrap.core.errors import BadInput, ExitStatus
from bootstrap.core.release import Release, SourceFile, Tree, read_release
from bootstrap.core.verdict import Findings, Proposal, Runner, decide
from bootstrap.known import StepFile
from bootstrap.known.steps import data_dir, read_data
from bootstrap.report import Report, lowered
from bootstrap.sources import SourceTree

GOOD = (ExitStatus.DONE, ExitStatus.LESS_THAN_ASKED)


def release_of(step: StepFile) -> Release | None:
    """The step file as the core reads it; None for one that was never a file of ours.

    Raises BadInput.
    """
    if not step.sha256:
        return None
    name = step.file.rpartition("/")[2]
    release = read_release(read_data(data_dir("steps") / name), name)
    if release.sha256 != step.sha256:
        raise BadInput(f"{name}: is another file than the one that was read before")
    return release


def core_tree(tree: SourceTree) -> Tree:
    """The tree in the core's terms."""
    files = {path: SourceFile(file.data, file.executable) for path, file in tree.files.items()}
    return Tree(tree.label, files, tree.symlinks, tree.folders, tree.special)


def proposal(tree: SourceTree, step: StepFile, entry: str, run: Runner) -> Findings | None:
    """What the core makes of a run that `run` makes, or has made; None where no step file says what
    should come of it. A tree whose materials are not the release's is not run. Raises BadInput."""
    release = release_of(step)
    if release is None:
        return None
    found = decide(core_tree(tree), release, entry, run)
    assert isinstance(found, Proposal)
    return found.findings


def settled(report: Report, findings: Findings | None, ran: bool) -> Report:
    """The report, with what the core says of the same run. `ran`: it was the core that had it run.

    Where the core decided nothing, the report says more than the core, or they saw different files,
    it is not verified.
    """
    if findings is None or not ran:
        if report.exit_code not in GOOD:
            return report
        why = findings.reasons[0] if findings else "no step file of ours says what should come"
        return lowered(report, f"the core decided nothing: {why}")
    report = replace(report, decided_by="core with the fast path")
    differing = _differing(report, findings)
    if report.exit_code in GOOD and findings.result != "verified":
        differing.append(f"the report says {report.result}, the core {findings.result}")
    if not differing:
        return report
    return lowered(report, f"the core and the report disagree: {'; '.join(differing)}")


def _differing(report: Report, findings: Findings) -> list[str]:
    judged = {artifact.path: artifact for artifact in report.artifacts}
    texts = []
    for file in findings.artifacts:
        artifact = judged.get(file.path)
        if artifact is None:
            texts.append(f"the report has no {file.path}")
        elif artifact.sha256 is not None and artifact.sha256 != file.sha256:
            texts.append(f"{file.path} is {artifact.sha256}, or {file.sha256}")
        elif artifact.status == "match" and not file.matches:
            texts.append(f"{file.path} matches, or not")
    return texts
