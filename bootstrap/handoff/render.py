"""Plans, source files and runs: as text for people, as documents for machines, as graphs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby, pairwise
from typing import Any

import bootstrap
from bootstrap.core.errors import printable
from bootstrap.documents import encode
from bootstrap.graph import Arrow, Form, Group, Node, write_graph
from bootstrap.handoff.audit import Audit, Found
from bootstrap.handoff.checks import Check, count
from bootstrap.handoff.pin import PLACE, Stage0Pin
from bootstrap.handoff.plan import MANIFEST, Plan, Row
from bootstrap.handoff.sourcelist import Distfile
from bootstrap.handoff.stagex import CONTEXT, StagexPlan, StagexStage
from bootstrap.report.page import Page, visible
from bootstrap.sources.checkouts import Identity

SCHEMA = 1
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


def plan_text(plan: Plan, audit: Audit | None, *, verbose: bool, **how: Any) -> str:
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
        page.wrapped("not looked at: give --distfiles DIR")
    else:
        _audit(page, audit)
    for note in plan.notes:
        page.wrapped(f"note: {visible(note)}", hanging=2)
    return page.text()


def checkout_lines(page: Page, checkout: Identity) -> None:
    """Which checkout it is: commit, what was changed, and the digest of all that is used."""
    page.labelled("checkout", visible(checkout.text))
    page.labelled("", f"{checkout.files} files are used, their digest is {checkout.digest}")


def document_head(kind: str, checkout: Identity) -> dict[str, Any]:
    """What every document begins with."""
    changed = checkout.changed
    return {
        "schema": SCHEMA,
        "tool": {"name": "bootstrap", "version": bootstrap.__version__},
        "kind": kind,
        "checkout": {
            "commit": checkout.commit,
            "changed": None if changed is None else list(changed),
            "unknown": checkout.unknown or None,
            "digest": checkout.digest,
            "files": checkout.files,
        },
    }


def pin_text(pin: Stage0Pin) -> str:
    """Which stage0-posix it is, in words."""
    commit = f"commit {pin.commit}" if pin.commit else "no git index here names the commit"
    release = f", which is release {pin.release_of_commit}" if pin.release_of_commit else ""
    if pin.commit and not pin.release_of_commit:
        release = ", which the catalogue does not know"
    files = pin.files or f"{PLACE} is empty (a run then takes it from our cache)"
    ours = {
        True: f"the one that bootstrap verify takes: {pin.ours}",
        False: f"NOT the one that bootstrap verify takes: {pin.ours}",
        None: f"whether it is the one that bootstrap verify takes ({pin.ours}) cannot be said",
    }[pin.same]
    return f"{commit}{release}; {files}; {ours}"


def _steps(page: Page, plan: Plan, audit: Audit | None, verbose: bool) -> None:
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
        files = f", {_files(len(row.files))}" if row.files else ""
        files += _bad(row, found)
        page.line(f"  {step.number:>5} {marks} {step.title} (line {step.directive.line}){files}")
        if verbose:
            _details(page, row, found)
    if verbose:
        for directive in plan.skipped:
            what = f"{directive.kind} {directive.argument} {directive.predicate}"
            page.wrapped(f"passed over: {MANIFEST}:{directive.line} {what}", hanging=2)


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def _bad(row: Row, found: dict[str, Found]) -> str:
    states = [found[name].state for name in row.files if name in found]
    parts = [f"{states.count(s)} {s}" for s in ("missing", "wrong") if s in states]
    return f" ({', '.join(parts)})" if parts else ""


def _details(page: Page, row: Row, found: dict[str, Found]) -> None:
    for name in row.files:
        state = f": {found[name].state}" if name in found else ""
        page.wrapped(f"{name}{state}", indent=12, hanging=2)
    for label, check in (("in", row.checked.sources), ("out", row.checked.products)):
        if check.state != "none":
            page.wrapped(f"{label}: {check.state}, {_by(check)}", indent=12, hanging=2)


def _by(check: Check) -> str:
    return f"{check.text} ({check.by})" if check.by else check.text


def _checks(page: Page, plan: Plan) -> None:
    page.heading("What upstream checks, and by which file")
    for label, checks in (
        ("in", [row.checked.sources for row in plan.rows]),
        ("out", [row.checked.products for row in plan.rows]),
    ):
        states = count(checks)
        text = (
            f"{states['checked']} steps checked, {states['partly']} partly,"
            f" {states['unchecked']} not at all, {states['none']} have nothing to check"
        )
        page.labelled(label, text)
        for by, number in _most(check.by for check in checks if check.state == "checked"):
            page.wrapped(f"{number} by {by}", indent=13, hanging=2)
    page.heading("What is not checked")
    for text, titles in _unchecked(plan.rows).items():
        page.wrapped(f"{', '.join(titles)}: {text}", hanging=2)
    for package in plan.unused:
        page.wrapped(f"{package} has a known-good value, and no step here makes it", hanging=2)
    for text in _NOWHERE:
        page.wrapped(text, hanging=2)


def _unchecked(rows: Iterable[Row]) -> dict[str, list[str]]:
    """What to say of steps that are not wholly checked -> the steps that it is said of."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for check in (row.checked.sources, row.checked.products):
            if check.state in ("partly", "unchecked"):
                kind = row.step.directive.kind
                # What runs a script of its own is known by its name; a build's place is told.
                text = _by(check) if kind == "build" else check.text
                found.setdefault(text, []).append(row.step.title)
    return found


def _most(places: Iterable[str]) -> list[tuple[str, int]]:
    """Files by how many checks stand in them, the most first."""
    found: dict[str, int] = {}
    for place in places:
        file = place if place.startswith("steps/helpers.sh") else "passN.kaem of each package"
        found[file] = found.get(file, 0) + 1
    return sorted(found.items(), key=lambda item: -item[1])


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
        page.last_word("INCOMPLETE", "1;33", f"{_files(bad)} missing or wrong")
    return page.text()


def sources_document(
    files: tuple[Distfile, ...], audit: Audit, checkout: Identity
) -> dict[str, Any]:
    """The same for machines."""
    return {
        **document_head("distfiles", checkout),
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


def plan_document(plan: Plan, audit: Audit | None) -> dict[str, Any]:
    """The plan for machines; docs/handoff.md says what the keys are."""
    return {
        **document_head("live-bootstrap", plan.checkout),
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


def _row_document(row: Row) -> dict[str, Any]:
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


# -- StageX --------------------------------------------------------------------------------------


def stagex_text(plan: StagexPlan, *, verbose: bool, **how: Any) -> str:
    """Each stage: what it is built from, its published digest, and what is not checked in it."""
    page = Page(**how)
    page.heading("StageX: stages, in the order they are built")
    checkout_lines(page, plan.checkout)
    known = "is" if plan.stage0_known else "is NOT"
    page.wrapped(f"its stage0 {known} the one that bootstrap verify has values for")
    for stage in plan.stages:
        page.heading(stage.name)
        page.labelled("from", _from(stage))
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


def _from(stage: StagexStage) -> str:
    images = ["the sources below" if image == CONTEXT else image for image in stage.images]
    return ", ".join(images) or "nothing but what is in its own folder and its sources"


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
    return {**document_head("stagex", plan.checkout), **encode(plan)}


# -- graphs --------------------------------------------------------------------------------------


def plan_graph(plan: Plan, form: Form) -> str:
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


def _node(row: Row) -> Node:
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
