"""Step files that a test has made, as if they were files of ours: the core judges by them.

In this process only: a worker and a recheck have nothing to do with it, or read real files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bootstrap.core import verdict
from bootstrap.core.release import Release, read_release
from bootstrap.known import StepFile
from bootstrap.runs import deciding


def known_to_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on every step file is one of ours."""
    made: list[Release] = []

    def release_of(step: StepFile) -> Release:
        made.append(read_release(text_of(step), f"{step.title.replace(' ', '-')}.toml"))
        return made[-1]

    monkeypatch.setattr(deciding, "release_of", release_of)
    monkeypatch.setattr(verdict, "shipped", lambda arch: tuple(made))


def for_a_module() -> Iterator[None]:
    """For an autouse fixture of a module."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        known_to_the_core(monkeypatch)
        yield


def text_of(step: StepFile) -> bytes:
    """The step file, as far as the core reads it."""
    lines = ["schema = 1", f'name = "{step.name}"', f'arch = "{step.arch}"']
    lines += [f'release = "{step.release}"'] if step.release else []
    lines.append(f"directories = {json.dumps(step.directories)}")
    lines += [f'{kind}_from = "a test"' for kind in ("answers", "native", "catalogue")]
    for name, seed in step.seeds.items():
        lines += [f"[seeds.{name}]", f'path = "{seed.path}"', f'sha256 = "{seed.sha256}"']
    for name, entry in step.entries.items():
        lines += [
            f"[entries.{name}]",
            f"commands = {json.dumps(entry.commands)}",
            f"hidden = {json.dumps(entry.hidden)}",
            f'cwd = "{entry.cwd}"',
            f"[entries.{name}.environment]",
            *(f"{key} = {json.dumps(value)}" for key, value in entry.environment.items()),
        ]
    for table in ("materials", "answers", "native", "catalogue"):
        lines += [f"[{table}]", *(f'"{p}" = "{h}"' for p, h in getattr(step, table).items())]
    return "\n".join(lines).encode()
