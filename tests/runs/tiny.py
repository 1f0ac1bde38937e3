"""Runs of a tenth of a second: the embedded sources, as if they were of several architectures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bootstrap.cli.several import VerifyTask
from bootstrap.known import EMBEDDED, StepFile, find
from bootstrap.linux.limits import RunLimits
from bootstrap.sources import Resolved, check_materials, embedded_source

ENTRY = "hex0-seed"


def embedded() -> Resolved:
    """The embedded sources, as they are."""
    step = find(EMBEDDED, None, "x86")
    tree = embedded_source(step)
    return Resolved(tree, step, check_materials(tree, step))


def step_for(arch: str) -> StepFile:
    """The seed turns its source into itself at `<arch>/hex0`, but under a fake name."""
    step = find(EMBEDDED, None, "x86")
    entry = step.entry(ENTRY)
    command = entry.commands[0]
    return replace(
        step,
        name="tiny",
        arch=arch,
        directories=(arch,),
        entries={ENTRY: replace(entry, commands=((*command[:-1], f"{arch}/hex0"),))},
        catalogue={f"{arch}/hex0": step.catalogue["hex0"]},
        models={},
    )


def resolved_for(arch: str) -> Resolved:
    tree = replace(embedded_source(find(EMBEDDED, None, "x86")), kind="folder")
    step = step_for(arch)
    return Resolved(tree, step, check_materials(tree, step))


def tasks_for(arches: Sequence[str], keep_products: bool = False) -> list[VerifyTask]:
    return [VerifyTask(resolved_for(arch), ENTRY, RunLimits(), keep_products) for arch in arches]
