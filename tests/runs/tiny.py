"""Runs of a tenth of a second: the embedded sources, as if they were of several architectures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bootstrap.cli.several import Task
from bootstrap.core import verdict
from bootstrap.core.release import Release, read_release
from bootstrap.known import EMBEDDED, StepFile, find
from bootstrap.linux.limits import Limits
from bootstrap.runs import deciding
from bootstrap.sources import Resolved, check_materials, embedded_source

ENTRY = "hex0-seed"


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


def known_to_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the steps above were files of ours: the core judges by them, in this process."""

    def release_of(step: StepFile) -> Release:
        return read_release(_text(step), f"{step.name}-{step.arch}.toml")

    monkeypatch.setattr(deciding, "release_of", release_of)
    monkeypatch.setattr(verdict, "shipped", lambda arch: (release_of(step_for(arch)),))


def _text(step: StepFile) -> bytes:
    """The step file, as far as the core reads it."""
    lines = [
        "schema = 1", f'name = "{step.name}"', f'arch = "{step.arch}"',
        f"directories = {json.dumps(step.directories)}", 'catalogue_from = "the sample"',
    ]  # fmt: skip
    for name, seed in step.seeds.items():
        lines += [f"[seeds.{name}]", f'path = "{seed.path}"', f'sha256 = "{seed.sha256}"']
    for name, entry in step.entries.items():
        lines += [f"[entries.{name}]", f"commands = {json.dumps(entry.commands)}"]
    for table in ("materials", "catalogue"):
        lines += [f"[{table}]", *(f'"{p}" = "{h}"' for p, h in getattr(step, table).items())]
    return "\n".join(lines).encode()


def resolved_for(arch: str) -> Resolved:
    tree = replace(embedded_source(find(EMBEDDED, None, "x86")), kind="folder")
    step = step_for(arch)
    return Resolved(tree, step, check_materials(tree, step))


def tasks_for(arches: Sequence[str], keep_products: bool = False) -> list[Task]:
    return [Task(resolved_for(arch), ENTRY, Limits(), keep_products) for arch in arches]
