"""What came of a run, in words for people, and as a document for machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from bootstrap.handoff.plan import Plan
from bootstrap.handoff.render import checkout_lines, document_head
from bootstrap.handoff.running.box import engine_text
from bootstrap.handoff.running.order import STAGE0, Failure, Outcome
from bootstrap.handoff.running.stage0 import Stage0
from bootstrap.handoff.running.state import CheckedFile, Finished
from bootstrap.known.lookup import known_files
from bootstrap.report.page import Page, visible

_SHOWN = 10


def run_text(
    outcome: Outcome,
    plan: Plan,
    stage0: Stage0,
    *,
    colour: bool,
    width: int | None,
    unicode: bool,
    verbose: bool,
) -> str:
    """Engine, stage0, steps; what was verified, mismatched, not checked, apart; the last word."""
    page = Page(colour, width, unicode)
    page.heading("Run of a hand-off to live-bootstrap")
    checkout_lines(page, plan.checkout)
    page.labelled("engine", engine_text(outcome.choice.engine))
    now = engine_text(outcome.choice.engine)
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
    if verbose:
        _steps(page, outcome.finished)
    _checks(page, outcome, stage0)
    _packages(page, outcome)
    if outcome.failure is not None:
        _failure(page, outcome.failure)
    _last_word(page, outcome, plan)
    return page.text()


def _steps(page: Page, finished: Iterable[Finished]) -> None:
    for row in finished:
        page.wrapped(f"{row.title}: {row.seconds:.1f} s, {counted(row.checked)}", 4, 2)


def counted(rows: Sequence[CheckedFile]) -> str:
    """``13 verified``, ``nothing is known to check``."""
    if not rows:
        return "nothing is known to check it by"
    states = [row.state for row in rows]
    return ", ".join(
        f"{states.count(state)} {state}"
        for state in ("verified", "mismatch", "unchecked")
        if state in states
    )


def _checks(page: Page, outcome: Outcome, stage0: Stage0) -> None:
    page.heading("What was checked, by our own hashing")
    rows = [(done, row) for done in outcome.finished for row in done.checked]
    failed = outcome.failure.checked if outcome.failure is not None else ()
    verified = [row for _, row in rows if row.state == "verified"]
    page.labelled("verified", f"{len(verified)} files of {_steps_with(outcome, 'verified')} steps")
    wrong = [row for row in failed if row.state == "mismatch"]
    page.labelled("mismatch", f"{len(wrong)} files")
    for row in wrong:
        known = known_files().text(row.found or "")
        found = f"{row.found or 'is not there'}{known and f' (this is {known})'}"
        page.wrapped(f"{visible(row.path)}: {found}, not {row.expected} ({row.by})", 4, 2)
    unknown = [row for _, row in rows if row.state == "unchecked"]
    none = [done.title for done in outcome.finished if not done.checked]
    page.labelled("unchecked", f"{len(unknown)} files without a value, {len(none)} steps")
    for row in unknown[:_SHOWN]:
        page.wrapped(f"{visible(row.path)}: {row.by}", 4, 2)
    if len(unknown) > _SHOWN:
        page.wrapped(f"{len(unknown) - _SHOWN} more (--json names all)", 4, 2)
    if none:
        page.wrapped(", ".join(none), 4, 2)
    done = next((done for done in outcome.finished if done.key == STAGE0), None)
    if done is not None:
        page.labelled("stage0", agreement(done, stage0))


def _steps_with(outcome: Outcome, state: str) -> int:
    return sum(any(row.state == state for row in done.checked) for done in outcome.finished)


def agreement(done: Finished, stage0: Stage0) -> str:
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


def _packages(page: Page, outcome: Outcome) -> None:
    if not outcome.packages:
        return
    page.heading("Packages, hashed again at the end")
    for state in ("verified", "mismatch", "unchecked"):
        rows = [row for row in outcome.packages if row.state == state]
        page.labelled(state, str(len(rows)))
        if state != "verified":
            for row in rows:
                value = f" ({row.by} wants {row.expected})" if row.expected else ""
                page.wrapped(f"{visible(row.path)}: {row.found}{value}", 4, 2)


def _failure(page: Page, failure: Failure) -> None:
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


def _last_word(page: Page, outcome: Outcome, plan: Plan) -> None:
    bad = [row for row in outcome.packages if row.state == "mismatch"]
    name = outcome.tasks[len(outcome.finished) - 1].title if outcome.finished else "nothing"
    if outcome.result == "mismatch" or bad:
        page.last_word("MISMATCH", "1;31", "not everything is what it should be: see above")
    elif outcome.result == "failed":
        page.last_word("STEP FAILED", "1;31", "what was finished before is kept, for --resume")
    elif outcome.result == "missing":
        page.last_word("WAITING", "1;33", "a source file is missing; go on with --resume")
    elif outcome.result == "until":
        page.last_word("STOPPED", "1;32", f"as asked, after {name}; --resume goes on")
    else:
        steps = len(plan.rows)
        page.last_word("FINISHED", "1;32", f"all {steps} steps; what is not checked is said above")


def run_document(outcome: Outcome, plan: Plan, stage0: Stage0) -> dict[str, Any]:
    """The same for machines; docs/handoff.md says what the keys are."""
    engine = outcome.choice.engine
    done = {row.key: row for row in outcome.finished}
    failure = outcome.failure
    sha256 = {file.name: file.sha256 for file in plan.distfiles}
    return {
        **document_head("handoff-run", plan.checkout),
        "arch": plan.arch,
        "until": outcome.order.until,
        "limits": asdict(outcome.order.limits),
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
        "steps": [
            {
                "key": task.key,
                "title": task.title,
                "state": _state(task.key, done, failure),
                "seconds": done[task.key].seconds if task.key in done else None,
                "engine": (done[task.key].engine or None) if task.key in done else None,
                "distfiles": [
                    {"name": name, "sha256": sha256[name]}
                    for name in (task.row.files if task.row else ())
                ],
                "log": (done[task.key].log or None) if task.key in done else None,
                "checked": _files(_rows(task.key, done, failure)),
            }
            for task in outcome.tasks
        ],
        "packages": _files(outcome.packages),
        "failure": None
        if failure is None
        else {
            "step": failure.task.key,
            "message": failure.message,
            "lines": list(failure.lines),
            "given": list(failure.given),
            "enter": failure.enter or None,
        },
    }


def _state(key: str, done: dict[str, Finished], failure: Failure | None) -> str:
    if key in done:
        return "finished"
    return "stopped" if failure is not None and failure.task.key == key else "not begun"


def _rows(key: str, done: dict[str, Finished], failure: Failure | None) -> Sequence[CheckedFile]:
    if key in done:
        return done[key].checked
    return failure.checked if failure is not None and failure.task.key == key else ()


def _files(rows: Iterable[CheckedFile]) -> list[dict[str, Any]]:
    return [{**asdict(row), "state": row.state} for row in rows]
