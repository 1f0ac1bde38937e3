"""StageX's plan in words, as a document and as a graph."""

from __future__ import annotations

from typing import Any

import bootstrap
from bootstrap.handoff.graph import Form, entity, quoted
from bootstrap.handoff.stagex import CONTEXT, StagexPlan, StagexStage
from bootstrap.handoff.told import checkout_document, checkout_lines
from bootstrap.report.page import Page, visible

SCHEMA = 1


def stagex_text(
    plan: StagexPlan, *, colour: bool, width: int | None, unicode: bool, verbose: bool
) -> str:
    """Each stage: what it is built from, its published digest, and what is not checked in it."""
    page = Page(colour, width, unicode)
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
            _details(page, stage)
    page.heading(f"Maintainers' keys: {len(plan.keys)}")
    for key in plan.keys:
        page.wrapped(visible(f"{key.fingerprint} {key.algorithm} {key.person} ({key.where})"))
    for note in plan.notes:
        page.wrapped(f"note: {visible(note)}", hanging=2)
    return page.text()


def _from(stage: StagexStage) -> str:
    images = ["the sources below" if image == CONTEXT else image for image in stage.images]
    return ", ".join(images) or "nothing but what is in its own folder and its sources"


def _details(page: Page, stage: StagexStage) -> None:
    for source in stage.sources:
        page.wrapped(visible(f"{source.sha256} {source.file} ({source.where})"), indent=4)
    for inner in stage.stages:
        for run in inner.runs:
            first = run.text.strip().splitlines()[0] if run.text.strip() else ""
            network = f", network {run.network}" if run.network else ""
            page.wrapped(visible(f"line {run.line}{network}: {first}"), indent=4, hanging=2)


def stagex_document(plan: StagexPlan) -> dict[str, Any]:
    """The plan for machines."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "bootstrap", "version": bootstrap.__version__},
        "kind": "stagex",
        "checkout": checkout_document(plan.checkout),
        "stage0_known": plan.stage0_known,
        "stages": [_stage_document(stage) for stage in plan.stages],
        "keys": [vars(key) for key in plan.keys],
        "notes": list(plan.notes),
    }


def _stage_document(stage: StagexStage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "images": stage.images,
        "digest": stage.digest,
        "digest_where": stage.digest_where,
        "sources": [{**vars(source), "mirrors": list(source.mirrors)} for source in stage.sources],
        "stages": [
            {
                "name": inner.name,
                "base": inner.base,
                "line": inner.line,
                "taken": [vars(taken) for taken in inner.taken],
                "runs": [vars(run) for run in inner.runs],
                "environment": {name: value for name, (value, _) in inner.environment.items()},
            }
            for inner in stage.stages
        ],
        "findings": [vars(finding) for finding in stage.findings],
    }


def stagex_graph(plan: StagexPlan, form: Form) -> str:
    """Stages as boxes, and what each is built from."""
    numbers = {f"stagex/bootstrap-{stage.name}": n for n, stage in enumerate(plan.stages)}
    edges = [
        (numbers[image], n)
        for n, stage in enumerate(plan.stages)
        for image in stage.images
        if image in numbers
    ]
    labels = [
        (stage.name, f"{len(stage.sources)} sources", f"{len(stage.findings)} not checked")
        for stage in plan.stages
    ]
    if form == "dot":
        lines = ["digraph stagex {", "  rankdir=LR;", "  node [shape=box];"]
        for n, label in enumerate(labels):
            text = "\\n".join(quoted(part) for part in label)
            lines.append(f'  s{n} [label="{text}"];')
        lines += [f"  s{a} -> s{b};" for a, b in edges]
        return "\n".join([*lines, "}"]) + "\n"
    lines = ["flowchart LR"]
    lines += [f'  s{n}["{"<br>".join(map(entity, label))}"]' for n, label in enumerate(labels)]
    lines += [f"  s{a} --> s{b}" for a, b in edges]
    return "\n".join(lines) + "\n"
