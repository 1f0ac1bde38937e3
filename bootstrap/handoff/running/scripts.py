"""The scripts that upstream's generator wrote in the container: held against the plan, then cut.

Each step is started alone, so that one can stop, look and go on after any of them.  What a step
would have from those before it, were all of them one process, it is given: in the era of kaem the
assignments of the scripts above it, in the era of bash what those before it exported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.handoff.manifest import Step
from bootstrap.handoff.running.within import text_inside

STEP = "handoff.step"
EXPORTED = "handoff.exported"
"""Names at the top of the root, while a step runs."""
SEED = "seed.kaem"
LAST = "kaem --file /steps/0.sh"
"""What ``seed.kaem`` ends with: it starts the first step."""

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")
_OF_THE_SHELL = frozenset({"_", "PWD", "OLDPWD", "SHLVL"})


@dataclass(frozen=True)
class Scripts:
    """Number of a script -> the lines above its first step."""

    heads: Mapping[int, tuple[str, ...]]


def without_last(text: str, file: str) -> str:
    """``seed.kaem`` without its last line, which starts the steps: we do.  Raises BadInput."""
    lines = text.rstrip().split("\n")
    if lines[-1].strip() != LAST:
        raise BadInput(
            f"{file}: ends with {lines[-1][:60]!r}, not with {LAST!r}: this checkout starts its"
            " steps in a way that is not known here"
        )
    return "\n".join(lines[:-1]) + "\n"


def lines_of(step: Step) -> tuple[str, ...]:
    """What the generator writes for a step (output_build and generate in script-generator.c)."""
    kind, argument = step.directive.kind, step.directive.argument
    if kind == "build" and step.era == "kaem":
        return (
            f"pkg={argument}",
            "cd ${pkg}",
            f"kaem --file pass{step.pass_number}.kaem",
            "cd ..",
        )
    if kind == "build":
        return (f"build {argument} pass{step.pass_number}.sh",)
    if kind == "improve":
        start = "kaem --file " if step.era == "kaem" else ". "
        return (f"{start}/steps/improve/{argument}.sh",)
    if kind == "uninstall":
        return (f"uninstall {argument}",)
    raise BadInput(
        f"line {step.directive.line} of the manifest: {step.title} starts another kernel, which"
        " no container can"
    )


def read_scripts(root: Path, steps: Sequence[Step]) -> Scripts:
    """Read ``/steps/N.sh``.  Raises BadInput where they are not what the plan expects."""
    heads = {}
    last = steps[-1].script if steps else 0
    for number in range(last + 1):
        mine = [step for step in steps if step.script == number]
        body = [line for step in mine for line in lines_of(step)]
        if number < last:
            body.append(f"bash /steps/{number + 1}.sh")
        heads[number] = _head(root, number, body, mine)
    return Scripts(heads)


def _head(root: Path, number: int, body: Sequence[str], steps: Sequence[Step]) -> tuple[str, ...]:
    name = f"/steps/{number}.sh"
    lines = text_inside(root, name.lstrip("/")).split("\n")
    while lines and not lines[-1]:
        lines.pop()
    # A new script after the last step of all: it has a head only.
    at = len(lines) - len(body)
    if at < 1 or lines[at:] != list(body):
        found = next(
            (
                line
                for line, wanted in zip(lines[max(at, 0) :], body, strict=False)
                if line != wanted
            ),
            "other lines",
        )
        raise BadInput(
            f"{name}, as upstream's script-generator wrote it, is not what the plan of the manifest"
            f" expects ({found[:80]!r}, where there are {len(steps)} steps): one of the two reads"
            " the manifest wrongly"
        )
    head = lines[:at]
    if any(line.startswith(("build ", "pkg=", "kaem --file", "uninstall ")) for line in head):
        raise BadInput(f"{name}: has a step that the plan does not have")
    return tuple(head)


def assignments(root: Path, names: Iterable[str]) -> list[str]:
    """Lines that set a variable, in files of kaem's language, in order.  Raises BadInput."""
    return [
        line
        for name in names
        for line in text_inside(root, name).split("\n")
        if _ASSIGNMENT.fullmatch(line)
    ]


def kaem_environment(root: Path, arch_dir: str) -> list[str]:
    """What kaem has in its environment when ``/steps/0.sh`` begins, as assignments."""
    names = (f"{arch_dir}/kaem.run", "after.kaem", "seed-full.kaem")
    return assignments(root, names)


def kaem_step(root: Path, arch_dir: str, scripts: Scripts, step: Step) -> str:
    """A kaem script of one step."""
    lines = ["set -e", *kaem_environment(root, arch_dir), *scripts.heads[0], *lines_of(step)]
    return "\n".join(lines) + "\n"


def first_bash_step(root: Path, arch_dir: str, scripts: Scripts) -> str:
    """A kaem script that starts the first step of bash, with kaem's environment."""
    lines = ["set -e", *kaem_environment(root, arch_dir), *scripts.heads[0], f"bash /{STEP}.sh"]
    return "\n".join(lines) + "\n"


def bash_step(scripts: Scripts, step: Step) -> str:
    """A bash script of one step, which at its end tells what it exports."""
    lines = [*scripts.heads[step.script], *lines_of(step), f"cat /proc/self/environ > /{EXPORTED}"]
    return "\n".join(lines) + "\n"


def read_exported(data: bytes) -> dict[str, str]:
    """What a program that bash started had in its environment (proc(5), ``/proc/PID/environ``).

    Raises BadInput for what is no environment.
    """
    found: dict[str, str] = {}
    for item in data.split(b"\0")[:-1]:
        name, equals, value = item.partition(b"=")
        if not equals or not name:
            raise BadInput(f"/{EXPORTED}: is no environment: {item[:80]!r}")
        if os.fsdecode(name) not in _OF_THE_SHELL:
            found[os.fsdecode(name)] = os.fsdecode(value)
    if not found or not data.endswith(b"\0"):
        raise BadInput(f"/{EXPORTED}: is no environment: it is cut off, or empty")
    return found
