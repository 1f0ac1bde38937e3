"""Lays out the root file system as live-bootstrap has it for a chroot, from what is given alone.

The places are those of ``rootfs.py`` and ``lib/generator.py`` of the commit of 2026-02-14: the tree
of stage0-posix and the files of ``seed/`` at the top, ``steps/``, ``external/distfiles``, and
``init``, which is the kaem seed.

Upstream's generator writes scripts in the container: they are held against the plan, then cut.
Each step is started alone, so that one can stop, look and go on after any of them.  What a step
would have from those before it, were all of them one process, it is given: in the era of kaem the
assignments of the scripts above it, in the era of bash what those before it exported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile, Tree
from bootstrap.documents import decoded
from bootstrap.handoff.containers.container import MOUNTED
from bootstrap.handoff.containers.safe_paths import copy_file, require_folder, text_inside
from bootstrap.handoff.distfiles import AuditedFile, Distfile, look
from bootstrap.handoff.manifest import ManifestStep
from bootstrap.handoff.plan import ARCHITECTURES, HandoffPlan
from bootstrap.handoff.stage0 import Stage0
from bootstrap.sources import SourceTree
from bootstrap.sources.checkouts import CONFIGURATION, LIVE_BOOTSTRAP, read_used
from bootstrap.sources.tree import lay_out as lay_out_tree

DISTFILES = "external/distfiles"
HOOK = "after.kaem"
"""What stage0 ends with: its own says so, that of live-bootstrap goes on."""


def lay_out(root: Path, checkout: Path, plan: HandoffPlan, stage0: Stage0) -> None:
    """Make the root, which must not be there yet.  Raises BadInput."""
    of_checkout = read_same(checkout, plan)
    files, links = dict(stage0.tree.files), dict(stage0.tree.symlinks)
    for path in stage0.seeds:
        files[path] = replace(files[path], executable=True)
    for path, file in of_checkout.files.items():
        if path == f"seed/{SEED}":
            where = f"{of_checkout.label}/{path}"
            text = without_last(decoded(file.data, where), where)
            file = replace(file, data=text.encode("utf-8"))
        # What comes after stage0 is its own at first: see `put_hook`.
        if path != f"seed/{HOOK}":
            files[path.removeprefix("seed/")] = file
            links.pop(path.removeprefix("seed/"), None)
    for path, target in of_checkout.symlinks.items():
        links[path.removeprefix("seed/")] = target
        files.pop(path.removeprefix("seed/"), None)
    seed = f"bootstrap-seeds/POSIX/{ARCHITECTURES[plan.arch]}/kaem-optional-seed"
    if seed not in files:
        raise BadInput(f"{stage0.title}: has no {seed}")
    files["init"] = files[seed]
    configuration = "".join(f"{name}={value}\n" for name, value in plan.configuration.items())
    files[CONFIGURATION] = SourceFile(configuration.encode("ascii"), False)
    folders = frozenset((*stage0.tree.folders, *MOUNTED, DISTFILES))
    try:
        root.mkdir(parents=True)
        lay_out_tree(Tree(stage0.title, files, links, folders), root)
        for path, (data, mode) in (stage0.products or {}).items():
            _write(root, path, data, mode)
    except OSError as error:
        raise BadInput(
            f"{os.fsdecode(error.filename or root)}: cannot be laid out: {error.strerror}"
        ) from None


def _write(root: Path, path: str, data: bytes, mode: int) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    place.chmod(mode)


def read_same(checkout: Path, plan: HandoffPlan) -> SourceTree:
    """What is used of the checkout.  Raises BadInput when it is not what the plan was read of."""
    tree = read_used(LIVE_BOOTSTRAP, checkout)
    if tree.digest != plan.checkout.digest:
        raise BadInput(
            f"{checkout}: was changed while it was being run: the digest of its files was"
            f" {plan.checkout.digest}, and is {tree.digest} now; the last step does not count"
        )
    return tree


def put_hook(root: Path, tree: SourceTree) -> None:
    """Let what comes after stage0 be live-bootstrap's.  Raises BadInput."""
    file = tree.files.get(f"seed/{HOOK}")
    if file is None:
        raise BadInput(f"{tree.label}: has no seed/{HOOK}")
    try:
        (root / HOOK).unlink(missing_ok=True)
        _write(root, HOOK, file.data, 0o755 if file.executable else 0o644)
    except OSError as error:
        raise BadInput(f"{root / HOOK}: cannot be laid out: {error.strerror}") from None


def bring_distfiles(
    root: Path,
    folder: Path,
    files: Iterable[Distfile],
    notify: Callable[[AuditedFile], None] | None = None,
) -> dict[str, AuditedFile]:
    """Copy files that the root does not have, each hashed as it is there; what became of each.

    One that is missing has a row that says so.  Raises BadInput for a wrong one, which is not left
    in the root.
    """
    found: dict[str, AuditedFile] = {}
    target = require_folder(root, DISTFILES)
    for file in files:
        row = look(file, target, follow=False)
        if row.state != "present":
            row = _bring(file, folder, target)
        found[file.name] = row
        if notify is not None:
            notify(row)
    return found


def _bring(file: Distfile, folder: Path, target: Path) -> AuditedFile:
    source = look(file, folder)
    if source.state == "present":
        try:
            (target / file.name).unlink(missing_ok=True)
            copy_file(folder / file.name, target / file.name)
            (target / file.name).chmod(0o644)
        except OSError as error:
            raise BadInput(f"{target / file.name}: cannot be written: {error.strerror}") from None
        # What a step will see is the copy.
        source = look(file, target, follow=False)
    if source.state == "wrong":
        (target / file.name).unlink(missing_ok=True)
        raise BadInput(
            f"{folder / file.name}: {source.detail}; {file.lines[0].where} wants the sha256"
            f" {file.sha256} (bootstrap handoff sources --replace gets it again)"
        )
    return source


def require_enforced(root: Path, variables: Mapping[str, str]) -> None:
    """Raise BadInput unless the configuration in the root still says what the plan says."""
    lines = text_inside(root, CONFIGURATION).split("\n")
    pairs = dict(line.partition("=")[::2] for line in lines if "=" in line)
    if pairs.get("UPDATE_CHECKSUMS") != "False" or variables.get("UPDATE_CHECKSUMS") != "False":
        raise BadInput(
            f"/{CONFIGURATION} in the root says UPDATE_CHECKSUMS={pairs.get('UPDATE_CHECKSUMS')}:"
            " with that, upstream checks nothing that it builds"
        )


# -- the scripts in it -----------------------------------------------------------------------------

STEP = "handoff.step"
EXPORTED = "handoff.exported"
"""Names at the top of the root, while a step runs."""
SEED = "seed.kaem"
LAST = "kaem --file /steps/0.sh"
"""What ``seed.kaem`` ends with: it starts the first step."""

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")
_OF_THE_SHELL = frozenset({"_", "PWD", "OLDPWD", "SHLVL"})


Heads = Mapping[int, tuple[str, ...]]
"""Number of a script -> the lines above its first step."""


def without_last(text: str, file: str) -> str:
    """``seed.kaem`` without its last line, which starts the steps: we do.  Raises BadInput."""
    lines = text.rstrip().split("\n")
    if lines[-1].strip() != LAST:
        raise BadInput(
            f"{file}: ends with {lines[-1][:60]!r}, not with {LAST!r}: this checkout starts its"
            " steps in a way that is not known here"
        )
    return "\n".join(lines[:-1]) + "\n"


def lines_of(step: ManifestStep) -> tuple[str, ...]:
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


def read_scripts(root: Path, steps: Sequence[ManifestStep]) -> Heads:
    """Read ``/steps/N.sh``.  Raises BadInput where they are not what the plan expects."""
    heads = {}
    last = steps[-1].script if steps else 0
    for number in range(last + 1):
        mine = [step for step in steps if step.script == number]
        body = [line for step in mine for line in lines_of(step)]
        if number < last:
            body.append(f"bash /steps/{number + 1}.sh")
        heads[number] = _head(root, number, body, mine)
    return heads


def _head(
    root: Path, number: int, body: Sequence[str], steps: Sequence[ManifestStep]
) -> tuple[str, ...]:
    name = f"/steps/{number}.sh"
    lines = text_inside(root, name.lstrip("/")).split("\n")
    while lines and not lines[-1]:
        lines.pop()
    # A new script after the last step of all: it has a head only.
    at = len(lines) - len(body)
    if at < 1 or lines[at:] != list(body):
        pairs = zip(lines[max(at, 0) :], body, strict=False)
        found = next((line for line, wanted in pairs if line != wanted), "other lines")
        raise BadInput(
            f"{name}, as upstream's script-generator wrote it, is not what the plan of the manifest"
            f" expects ({found[:80]!r}, where there are {len(steps)} steps): one of the two reads"
            " the manifest wrongly"
        )
    head = lines[:at]
    if any(line.startswith(("build ", "pkg=", "kaem --file", "uninstall ")) for line in head):
        raise BadInput(f"{name}: has a step that the plan does not have")
    return tuple(head)


def assignments(root: Path, *names: str) -> list[str]:
    """Lines that set a variable, in files of kaem's language, in order.  Raises BadInput."""
    return [
        line
        for name in names
        for line in text_inside(root, name).split("\n")
        if _ASSIGNMENT.fullmatch(line)
    ]


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
