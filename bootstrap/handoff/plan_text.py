"""Plans, source files and runs: as text for people, as documents for machines, as graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import bootstrap
from bootstrap.core.errors import printable
from bootstrap.documents import encode
from bootstrap.graph import Arrow, Form, Group, Node, write_graph
from bootstrap.handoff.checks import HELPERS, UpstreamCheck
from bootstrap.handoff.distfiles import Audit, AuditedFile, Distfile
from bootstrap.handoff.plan import MANIFEST, PLACE, HandoffPlan, PlanStep, Stage0Pin
from bootstrap.handoff.stagex import CONTEXT, StagexPlan, StagexStage
from bootstrap.handoff.work import (
    STAGE0,
    CheckedFile,
    FinishedStep,
    HandoffTask,
    RunOutcome,
    StepFailure,
)
from bootstrap.known.lookup import known_files
from bootstrap.report.page import Page, visible
from bootstrap.sources.checkouts import Identity
from bootstrap.words import count

if TYPE_CHECKING:
    from bootstrap.handoff.stage0 import Stage0

_MARKS = {
    "checked": ("✓", "ok", "32"),
    "partly": ("~", "~~", "33"),
    "unchecked": ("?", "??", "33"),
    "none": (" ", "  ", "0"),
}
_NOWHERE = (
    "the scripts, patches and files below steps/ themselves: what holds them is the checkout's"
    " commit, where none is changed, or else its digest",
    "the root file system as it is in the end: upstream compares packages, not what is installed",
)
_SHOWN = 10
_STATES = ("verified", "mismatch", "unchecked")


def plan_text(plan: HandoffPlan, audit: Audit | None, *, verbose: bool, **how: Any) -> str:
    """The plan as text: configuration, steps, files, what is checked, and what is not.

    ``how`` is what a :class:`Page` is made with, here and below.
    """
    page = Page(**how)
    builds = sum(d.kind == "build" for d in plan.directives)
    page.heading("Plan of a hand-off to live-bootstrap")
    checkout_lines(page, plan.checkout)
    page.labelled("manifest", f"{MANIFEST}, sha256 {plan.manifest_sha256}")
    page.labelled(
        "",
        f"{len(plan.directives)} directives, {builds} of them build; {len(plan.distfiles)} files",
    )
    page.labelled("runs", " ".join(f"{name}={value}" for name, value in plan.configuration.items()))
    changed = {k: v for k, v in plan.variables.items() if plan.configuration.get(k) != v}
    if changed:
        page.labelled("defines", " ".join(f"{name}={value}" for name, value in changed.items()))
    page.labelled("stage0", pin_text(plan.pin))
    page.heading("Before the manifest")
    for before in plan.before:
        value = f"must have the sha256 {before.sha256}" if before.sha256 else "has no known value"
        page.wrapped(f"{before.name} {value} ({before.where})", hanging=2)
    _steps(page, plan, audit, verbose)
    _checks(page, plan)
    page.heading(
        f"Source files: {len(plan.distfiles)} in the manifest, {len(plan.needed)} for these steps"
    )
    if audit is None:
        page.wrapped("not read: give --distfiles DIR")
    else:
        _audit(page, audit)
    for note in plan.notes:
        page.wrapped(f"note: {visible(note)}", hanging=2)
    return page.text()


def checkout_lines(page: Page, checkout: Identity) -> None:
    """Which checkout it is: commit, what was changed, and the digest of all that is used."""
    page.labelled("checkout", visible(checkout.text))
    page.labelled("", f"{checkout.files} files are used, their digest is {checkout.digest}")


def document_head(name: str, kind: str, checkout: Identity) -> dict[str, Any]:
    """What every document begins with."""
    return {
        "schema": f"bootstrap-handoff-{name}/1",
        "tool": {"name": "bootstrap", "version": bootstrap.__version__},
        "kind": kind,
        "checkout": {**encode(checkout), "unknown": checkout.unknown or None},
    }


def pin_text(pin: Stage0Pin) -> str:
    """Which stage0-posix it is, in words."""
    commit = f"commit {pin.commit}" if pin.commit else "no git index here names the commit"
    release = f", which is release {pin.release_of_commit}" if pin.release_of_commit else ""
    if pin.commit and not pin.release_of_commit:
        release = ", which the catalogue does not know"
    files = pin.files or f"{PLACE} is empty (a run then takes it from the cache)"
    ours = {
        True: f"the one that bootstrap verify takes: {pin.ours}",
        False: f"NOT the one that bootstrap verify takes: {pin.ours}",
        None: f"whether it is the one that bootstrap verify takes ({pin.ours}) cannot be said",
    }[pin.same]
    return f"{commit}{release}; {files}; {ours}"


def _steps(page: Page, plan: HandoffPlan, audit: Audit | None, verbose: bool) -> None:
    page.heading(f"Steps: {len(plan.rows)}, and {len(plan.skipped)} lines passed over")
    found = {row.file.name: row for row in audit.rows} if audit else {}
    script = -1
    for row in plan.rows:
        step = row.step
        if step.script != script:
            script = step.script
            page.line(f"  /steps/{script}.sh ({step.era})")
        marks = "".join(
            page.sign(*_MARKS[check.state]) for check in (row.checked.sources, row.checked.products)
        )
        files = f", {count(len(row.files), 'file')}" if row.files else ""
        states = [found[name].state for name in row.files if name in found]
        if bad := [f"{states.count(s)} {s}" for s in ("missing", "wrong") if s in states]:
            files += f" ({', '.join(bad)})"
        page.line(f"  {step.number:>5} {marks} {step.title} (line {step.directive.line}){files}")
        if verbose:
            _details(page, row, found)
    if verbose:
        for directive in plan.skipped:
            what = f"{directive.kind} {directive.argument} {directive.predicate}"
            page.wrapped(f"passed over: {MANIFEST}:{directive.line} {what}", hanging=2)


def _details(page: Page, row: PlanStep, found: dict[str, AuditedFile]) -> None:
    for name in row.files:
        state = f": {found[name].state}" if name in found else ""
        page.wrapped(f"{name}{state}", indent=12, hanging=2)
    for label, check in (("in", row.checked.sources), ("out", row.checked.products)):
        if check.state != "none":
            page.wrapped(f"{label}: {check.state}, {_by(check)}", indent=12, hanging=2)


def _by(check: UpstreamCheck) -> str:
    return f"{check.text} ({check.by})" if check.by else check.text


def _checks(page: Page, plan: HandoffPlan) -> None:
    page.heading("What upstream checks, and by which file")
    for label, checks in (
        ("in", [row.checked.sources for row in plan.rows]),
        ("out", [row.checked.products for row in plan.rows]),
    ):
        states = Counter(check.state for check in checks)
        text = (
            f"{states['checked']} steps checked, {states['partly']} partly,"
            f" {states['unchecked']} not at all, {states['none']} have nothing to check"
        )
        page.labelled(label, text)
        places = Counter(
            check.by if check.by.startswith(HELPERS) else "passN.kaem of each package"
            for check in checks
            if check.state == "checked"
        )
        for place, number in places.most_common():
            page.wrapped(f"{number} by {place}", indent=13, hanging=2)
    page.heading("What is not checked")
    for text, titles in _unchecked(plan.rows).items():
        page.wrapped(f"{', '.join(titles)}: {text}", hanging=2)
    for package in plan.unused:
        page.wrapped(f"{package} has a known-good value, and no step here makes it", hanging=2)
    for text in _NOWHERE:
        page.wrapped(text, hanging=2)


def _unchecked(rows: Iterable[PlanStep]) -> dict[str, list[str]]:
    """What to say of steps that are not wholly checked -> the steps that it is said of."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for check in (row.checked.sources, row.checked.products):
            if check.state in ("partly", "unchecked"):
                kind = row.step.directive.kind
                # What runs a script of its own is known by its name; a build's place is named.
                text = _by(check) if kind == "build" else check.text
                found.setdefault(text, []).append(row.step.title)
    return found


def sources_text(audit: Audit, checkout: Identity, *, verbose: bool, **how: Any) -> str:
    """What a folder of distfiles has, with the last word on whether it is whole."""
    page = Page(**how)
    page.heading(f"Source files: {len(audit.rows)}")
    checkout_lines(page, checkout)
    _audit(page, audit)
    if audit.whole:
        page.last_word("WHOLE", "1;32", "every file is there, with the sha256 that upstream lists")
    else:
        bad = len(audit.rows) - len(audit.having("present"))
        page.last_word("INCOMPLETE", "1;33", f"{count(bad, 'file')} missing or wrong")
    return page.text()


def sources_document(
    files: tuple[Distfile, ...], audit: Audit, checkout: Identity
) -> dict[str, Any]:
    """The same for machines."""
    return {
        **document_head("sources", "distfiles", checkout),
        "whole": audit.whole,
        "distfiles": _distfiles(files, audit),
        "others": list(audit.others),
    }


def _audit(page: Page, audit: Audit) -> None:
    """What a folder has, a line for each state, and each file that is not as it should be."""
    for state in ("present", "missing", "wrong"):
        page.labelled(state, str(len(audit.having(state))))
    for row in audit.having("wrong"):
        wrong = f"{row.detail}; it should have the sha256 {row.file.sha256}"
        page.wrapped(f"wrong: {row.file.name} {visible(wrong)}", hanging=2)
    missing = audit.having("missing")
    for row in missing[:_SHOWN]:
        urls = " or ".join(row.file.urls) or "no address, mirrors only"
        page.wrapped(f"missing: {row.file.name} ({visible(row.detail or urls)})", hanging=2)
    if len(missing) > _SHOWN:
        page.wrapped(f"missing: {len(missing) - _SHOWN} more (--json names all)", hanging=2)
    if audit.others:
        names = ", ".join(visible(name) for name in audit.others[:_SHOWN])
        page.wrapped(f"not in the manifest: {len(audit.others)} ({names})", hanging=2)


def plan_document(plan: HandoffPlan, audit: Audit | None) -> dict[str, Any]:
    """The plan for machines; docs/handoff.md says what the keys are."""
    return {
        **document_head("plan", "live-bootstrap", plan.checkout),
        "arch": plan.arch,
        "manifest": {
            "path": MANIFEST,
            "sha256": plan.manifest_sha256,
            "directives": [
                {
                    "line": d.line,
                    "kind": d.kind,
                    "names": list(d.names),
                    "value": str(d.logic or d.value) if d.kind == "define" else None,
                    "predicate": str(d.predicate) if d.predicate else None,
                }
                for d in plan.directives
            ],
        },
        "configuration": dict(plan.configuration),
        "variables": dict(plan.variables),
        "stage0_posix": {**encode(plan.pin), "is_ours": plan.pin.same},
        "before": encode(plan.before),
        "steps": [_row_document(row) for row in plan.rows],
        "passed_over": [d.line for d in plan.skipped],
        "distfiles": _distfiles(plan.distfiles, audit, plan.needed),
        "others": list(audit.others) if audit else None,
        "values_without_step": list(plan.unused),
        "notes": list(plan.notes),
    }


def _row_document(row: PlanStep) -> dict[str, Any]:
    step, checked = row.step, row.checked
    return {
        "number": step.number,
        "line": step.directive.line,
        "kind": step.directive.kind,
        "names": list(step.directive.names),
        "pass": step.pass_number or None,
        "script": step.script,
        "era": step.era,
        "distfiles": list(row.files),
        "sources": encode(checked.sources),
        "products": encode(checked.products),
        "value": checked.value or None,
        "sha256": checked.sha256 or None,
    }


def _distfiles(
    files: Iterable[Distfile], audit: Audit | None, needed: frozenset[str] | None = None
) -> list[dict[str, Any]]:
    """A document for each file, with what the audit found of it."""
    found = {row.file.name: row for row in audit.rows} if audit else {}
    rows = []
    for file in files:
        row: dict[str, Any] = {
            "name": file.name,
            "sha256": file.sha256,
            "urls": list(file.urls),
            "where": [line.where for line in file.lines],
        }
        if needed is not None:
            row["needed"] = file.name in needed
        if audit is not None:
            row["state"] = found[file.name].state
            row["detail"] = found[file.name].detail or None
        rows.append(row)
    return rows


# -- StageX ----------------------------------------------------------------------------------------


def stagex_text(plan: StagexPlan, *, verbose: bool, **how: Any) -> str:
    """Each stage: what it is built from, its published digest, and what is not checked in it."""
    page = Page(**how)
    page.heading("StageX: stages, in the order they are built")
    checkout_lines(page, plan.checkout)
    known = "is" if plan.stage0_known else "is NOT"
    page.wrapped(f"its stage0 {known} the one that bootstrap verify has values for")
    for stage in plan.stages:
        page.heading(stage.name)
        images = ["the sources below" if image == CONTEXT else image for image in stage.images]
        nothing = "nothing but what is in its own folder and its sources"
        page.labelled("from", ", ".join(images) or nothing)
        page.labelled("sources", f"{len(stage.sources)}, each with a sha256 in package.toml")
        runs = sum(len(inner.runs) for inner in stage.stages)
        names = ", ".join(inner.name for inner in stage.stages)
        page.labelled("runs", f"{runs} programs in {len(stage.stages)} stages: {names}")
        digest = f"sha256 {stage.digest}" if stage.digest else "none"
        page.labelled("published", f"{digest} ({stage.digest_where})")
        for finding in stage.findings:
            mark = page.sign("?", "??", "33")
            page.wrapped(
                f"{mark} not checked: {visible(finding.text)} ({finding.where})", hanging=2
            )
        if verbose:
            _stage_details(page, stage)
    page.heading(f"Maintainers' keys: {len(plan.keys)}")
    for key in plan.keys:
        page.wrapped(visible(f"{key.fingerprint} {key.algorithm} {key.person} ({key.where})"))
    for note in plan.notes:
        page.wrapped(f"note: {visible(note)}", hanging=2)
    return page.text()


def _stage_details(page: Page, stage: StagexStage) -> None:
    for source in stage.sources:
        page.wrapped(visible(f"{source.sha256} {source.file} ({source.where})"), indent=4)
    for inner in stage.stages:
        for run in inner.runs:
            first = run.text.strip().splitlines()[0] if run.text.strip() else ""
            network = f", network {run.network}" if run.network else ""
            page.wrapped(visible(f"line {run.line}{network}: {first}"), indent=4, hanging=2)


def stagex_document(plan: StagexPlan) -> dict[str, Any]:
    """The plan for machines."""
    return {**document_head("stagex", "stagex", plan.checkout), **encode(plan)}


# -- graphs ----------------------------------------------------------------------------------------


def plan_graph(plan: HandoffPlan, form: Form) -> str:
    """Steps as boxes in order, grouped by script; source files as ellipses that lead into them."""
    parts: list[Node | Group | Arrow] = []
    for script, rows in groupby(plan.rows, key=lambda row: row.step.script):
        parts.append(Group(str(script), f"/steps/{script}.sh", tuple(map(_node, rows))))
    parts += [Arrow(f"s{a.step.number}", f"s{b.step.number}") for a, b in pairwise(plan.rows)]
    needed = [file.name for file in plan.distfiles if file.name in plan.needed]
    numbers = {name: f"f{number}" for number, name in enumerate(needed, 1)}
    parts += [Node(number, (name,), ellipse=True) for name, number in numbers.items()]
    for row in plan.rows:
        parts += [Arrow(numbers[name], f"s{row.step.number}") for name in row.files]
    of = printable(f"{plan.checkout.text}; digest {plan.checkout.digest}")
    return f"{'//' if form == 'dot' else '%%'} {of}\n{write_graph('handoff', parts, form)}"


def _node(row: PlanStep) -> Node:
    state = row.checked.products.state
    words = {"checked": "checked", "partly": "partly checked", "unchecked": "not checked"}
    text = (f"{row.step.number} {row.step.title}", words[state])
    return Node(f"s{row.step.number}", text, dashed=state != "checked")


def stagex_graph(plan: StagexPlan, form: Form) -> str:
    """Stages as boxes, and what each is built from."""
    numbers = {f"stagex/bootstrap-{stage.name}": f"s{n}" for n, stage in enumerate(plan.stages)}
    nodes = [
        Node(
            f"s{n}",
            (stage.name, f"{len(stage.sources)} sources", f"{len(stage.findings)} not checked"),
        )
        for n, stage in enumerate(plan.stages)
    ]
    arrows = [
        Arrow(numbers[image], f"s{n}")
        for n, stage in enumerate(plan.stages)
        for image in stage.images
        if image in numbers
    ]
    return write_graph("stagex", [*nodes, *arrows], form)


# -- runs ------------------------------------------------------------------------------------------


def run_text(
    outcome: RunOutcome, plan: HandoffPlan, stage0: Stage0, *, verbose: bool, **how: Any
) -> str:
    """Engine, stage0, steps; what was verified, mismatched, not checked, apart; the last word."""
    page = Page(**how)
    page.heading("Run of a hand-off to live-bootstrap")
    checkout_lines(page, plan.checkout)
    now = str(outcome.choice.engine)
    page.labelled("engine", now)
    for text in sorted({row.engine for row in outcome.finished if row.engine} - {now}):
        page.labelled("", f"and, for steps finished before, {text} (--json says which)")
    for name, reason in outcome.choice.others:
        page.labelled("", f"not {name}: {reason}")
    title = f"{stage0.title} ({stage0.pinned})" if stage0.pinned else stage0.title
    page.labelled("stage0", f"{title}; {stage0.opinion}")
    total = len(outcome.tasks)
    page.labelled(
        "steps", f"{len(outcome.finished)} of {total} finished, {outcome.before} of them before"
    )
    for row in outcome.finished if verbose else ():
        page.wrapped(f"{row.title}: {row.seconds:.1f} s, {counted(row.checked)}", 4, 2)
    _run_checks(page, outcome, stage0)
    if outcome.packages:
        page.heading("Packages, hashed again at the end")
    for state in _STATES if outcome.packages else ():
        files = [file for file in outcome.packages if file.state == state]
        page.labelled(state, str(len(files)))
        for file in files if state != "verified" else ():
            value = f" ({file.by} wants {file.expected})" if file.expected else ""
            page.wrapped(f"{visible(file.path)}: {file.found}{value}", 4, 2)
    if outcome.failure is not None:
        _stopped(page, outcome.failure)
    page.last_word(*_last_word(outcome, plan))
    return page.text()


def counted(rows: Sequence[CheckedFile]) -> str:
    """``13 verified``, ``nothing is known to check``."""
    states = Counter(row.state for row in rows)
    shown = (f"{states[state]} {state}" for state in _STATES if states[state])
    return ", ".join(shown) or "nothing is known to check it by"


def _run_checks(page: Page, outcome: RunOutcome, stage0: Stage0) -> None:
    page.heading("What was checked, by hashing it here")
    rows = [row for done in outcome.finished for row in done.checked]
    verified = sum(row.state == "verified" for row in rows)
    steps = sum(any(row.state == "verified" for row in done.checked) for done in outcome.finished)
    page.labelled("verified", f"{verified} files of {steps} steps")
    failed = outcome.failure.checked if outcome.failure is not None else ()
    wrong = [row for row in failed if row.state == "mismatch"]
    page.labelled("mismatch", f"{len(wrong)} files")
    for row in wrong:
        known = known_files().text(row.found or "")
        found = f"{row.found or 'is not there'}{known and f' (this is {known})'}"
        page.wrapped(f"{visible(row.path)}: {found}, not {row.expected} ({row.by})", 4, 2)
    unknown = [row for row in rows if row.state == "unchecked"]
    none = [done.title for done in outcome.finished if not done.checked]
    page.labelled("unchecked", f"{len(unknown)} files without a value, {len(none)} steps")
    for row in unknown[:_SHOWN]:
        page.wrapped(f"{visible(row.path)}: {row.by}", 4, 2)
    if len(unknown) > _SHOWN:
        page.wrapped(f"{len(unknown) - _SHOWN} more (--json names all)", 4, 2)
    if none:
        page.wrapped(", ".join(none), 4, 2)
    for done in outcome.finished:
        if done.key == STAGE0:
            page.labelled("stage0", agreement(done, stage0))


def agreement(done: FinishedStep, stage0: Stage0) -> str:
    """How many answers and products of stage0 are what they should be, by every value known."""
    held = {(row.path, row.expected) for row in done.checked if row.state == "verified"}
    known = {path for path, _, _ in stage0.known}
    good = known - {path for path, sha256, _ in stage0.known if (path, sha256) not in held}
    answers = stage0.answers
    if stage0.products is not None:
        between = "emulation and the known-good values"
    elif stage0.emulated:
        what = "emulation" if stage0.emulated == "now" else "what the report says of emulation"
        between = f"the container and {what}, and with the known-good values"
    else:
        between = "the container and the known-good values"
    return (
        f"{len(good & answers)} of {len(answers)} answers and {len(good)} of {len(known)} products"
        f" agree between {between}"
    )


def _stopped(page: Page, failure: StepFailure) -> None:
    page.heading(f"Where it stopped: {failure.task.title}")
    page.wrapped(visible(failure.message), hanging=2)
    if failure.given:
        page.wrapped("it was given:")
        for text in failure.given:
            page.wrapped(visible(text), 4, 2)
    if failure.lines:
        page.wrapped("its last lines:")
        for line in failure.lines:
            page.line(f"    {visible(line.expandtabs())}")
    if failure.enter:
        page.wrapped(f"to enter the container as it is now: {failure.enter}", hanging=2)


def _last_word(outcome: RunOutcome, plan: HandoffPlan) -> tuple[str, str, str]:
    """The word, its colour, and a sentence."""
    bad = any(row.state == "mismatch" for row in outcome.packages)
    if outcome.result == "mismatch" or bad:
        return "MISMATCH", "1;31", "not everything is what it should be: see above"
    if outcome.result == "failed":
        return "STEP FAILED", "1;31", "what was finished before is kept, for --resume"
    if outcome.result == "missing":
        return "WAITING", "1;33", "a source file is missing; go on with --resume"
    if outcome.result == "until":
        name = outcome.tasks[len(outcome.finished) - 1].title if outcome.finished else "nothing"
        return "STOPPED", "1;32", f"as asked, after {name}; --resume goes on"
    return "FINISHED", "1;32", f"all {len(plan.rows)} steps; what is not checked is said above"


def run_document(outcome: RunOutcome, plan: HandoffPlan, stage0: Stage0) -> dict[str, Any]:
    """The same for machines; docs/handoff.md says what the keys are."""
    engine, failure = outcome.choice.engine, outcome.failure
    return {
        **document_head("run", "handoff-run", plan.checkout),
        "arch": plan.arch,
        "until": outcome.order.until,
        "limits": encode(outcome.order.limits),
        "result": outcome.result,
        "exit_code": outcome.exit_code,
        "manifest_sha256": plan.manifest_sha256,
        "configuration": dict(plan.configuration),
        "engine": {
            "name": engine.name,
            "version": engine.version,
            "notes": list(engine.notes),
            "not_taken": [{"name": name, "reason": text} for name, text in outcome.choice.others],
        },
        "stage0": {
            "title": stage0.title,
            "tree_digest": stage0.tree.digest,
            "pinned": stage0.pinned,
            "from": "seed" if stage0.products is None else "stage0",
            "opinion": stage0.opinion,
            "compared_with_emulation": stage0.emulated,
            "answers": sorted(stage0.answers),
        },
        "finished_before": outcome.before,
        "steps": [_task_document(task, outcome, plan) for task in outcome.tasks],
        "packages": _checked_files(outcome.packages),
        "failure": failure
        and {
            "step": failure.task.key,
            "message": failure.message,
            "lines": list(failure.lines),
            "given": list(failure.given),
            "enter": failure.enter or None,
        },
    }


def _task_document(task: HandoffTask, outcome: RunOutcome, plan: HandoffPlan) -> dict[str, Any]:
    done = next((row for row in outcome.finished if row.key == task.key), None)
    failed = outcome.failure if outcome.failure and outcome.failure.task.key == task.key else None
    checked = done.checked if done else failed.checked if failed else ()
    sha256 = {file.name: file.sha256 for file in plan.distfiles}
    return {
        "key": task.key,
        "title": task.title,
        "state": "finished" if done else "stopped" if failed else "not begun",
        "seconds": done.seconds if done else None,
        "engine": (done.engine or None) if done else None,
        "distfiles": [
            {"name": name, "sha256": sha256[name]} for name in (task.row.files if task.row else ())
        ],
        "log": (done.log or None) if done else None,
        "checked": _checked_files(checked),
    }


def _checked_files(rows: Iterable[CheckedFile]) -> list[dict[str, Any]]:
    return [{**encode(row), "state": row.state} for row in rows]
