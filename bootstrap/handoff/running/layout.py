"""Lays out the root file system as live-bootstrap has it for a chroot, from what is given alone.

The places are those of ``rootfs.py`` and ``lib/generator.py`` of the commit of 2026-02-14: the tree
of stage0-posix and the files of ``seed/`` at the top, ``steps/``, ``external/distfiles``, and
``init``, which is the kaem seed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.documents import decoded
from bootstrap.handoff.audit import Found, look
from bootstrap.handoff.configuration import ARCHITECTURES
from bootstrap.handoff.plan import Plan
from bootstrap.handoff.running.box import MOUNTED
from bootstrap.handoff.running.saving import copy_file
from bootstrap.handoff.running.scripts import SEED, without_last
from bootstrap.handoff.running.stage0 import Stage0
from bootstrap.handoff.running.within import require_folder, text_inside
from bootstrap.handoff.sourcelist import Distfile
from bootstrap.sources import SourceTree
from bootstrap.sources.checkouts import CONFIGURATION, LIVE_BOOTSTRAP, read_used

DISTFILES = "external/distfiles"
HOOK = "after.kaem"
"""What stage0 ends with: its own says so, that of live-bootstrap goes on."""


def lay_out(root: Path, checkout: Path, plan: Plan, stage0: Stage0) -> None:
    """Make the root, which must not be there yet.  Raises BadInput."""
    try:
        root.mkdir(parents=True)
        _tree(root, stage0)
        of_checkout = read_same(checkout, plan)
        seed = f"bootstrap-seeds/POSIX/{ARCHITECTURES[plan.arch]}/kaem-optional-seed"
        if not (root / seed).is_file():
            raise BadInput(f"{stage0.title}: has no {seed}")
        shutil.copy(root / seed, root / "init")
        _checkout(root, of_checkout)
        text = "".join(f"{name}={value}\n" for name, value in plan.configuration.items())
        (root / CONFIGURATION).write_text(text, encoding="ascii")
        for folder in (*MOUNTED, DISTFILES):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for path, (data, mode) in (stage0.products or {}).items():
            _write(root, path, data, mode)
    except OSError as error:
        raise BadInput(
            f"{os.fsdecode(error.filename or root)}: cannot be laid out: {error.strerror}"
        ) from None


def _tree(root: Path, stage0: Stage0) -> None:
    for folder in stage0.tree.folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for path, file in stage0.tree.files.items():
        _write(root, path, file.data, 0o755 if file.executable else 0o644)
    for path, target in stage0.tree.symlinks.items():
        (root / path).symlink_to(target)
    for path in stage0.seeds:
        (root / path).chmod(0o755)


def _write(root: Path, path: str, data: bytes, mode: int) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    place.chmod(mode)


def read_same(checkout: Path, plan: Plan) -> SourceTree:
    """What is used of the checkout.  Raises BadInput when it is not what the plan was read of."""
    tree = read_used(LIVE_BOOTSTRAP, checkout)
    if tree.digest != plan.checkout.digest:
        raise BadInput(
            f"{checkout}: was changed while it was being run: the digest of its files was"
            f" {plan.checkout.digest}, and is {tree.digest} now; the last step does not count"
        )
    return tree


def _checkout(root: Path, tree: SourceTree) -> None:
    for path, file in tree.files.items():
        if path == f"seed/{HOOK}":
            continue
        data = file.data
        if path == f"seed/{SEED}":
            where = f"{tree.label}/{path}"
            data = without_last(decoded(data, where), where).encode("utf-8")
        _write(root, _place(path), data, 0o755 if file.executable else 0o644)
    for path, target in tree.symlinks.items():
        place = root / _place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(target)


def _place(path: str) -> str:
    """Where in the root a file of the checkout goes."""
    return path.removeprefix("seed/")


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
    tell: Callable[[Found], None] | None = None,
) -> dict[str, Found]:
    """Copy files that the root does not have, each hashed as it is there; what became of each.

    A file that is missing is told by its row.  Raises BadInput for a wrong one, which is not left
    in the root.
    """
    found: dict[str, Found] = {}
    target = require_folder(root, DISTFILES)
    for file in files:
        row = look(file, target)
        if row.state != "present":
            row = _bring(file, folder, target)
        found[file.name] = row
        if tell is not None:
            tell(row)
    return found


def _bring(file: Distfile, folder: Path, target: Path) -> Found:
    source = look(file, folder)
    if source.state == "present":
        try:
            (target / file.name).unlink(missing_ok=True)
            copy_file(folder / file.name, target / file.name)
            (target / file.name).chmod(0o644)
        except OSError as error:
            raise BadInput(f"{target / file.name}: cannot be written: {error.strerror}") from None
        # What a step will see is the copy.
        source = look(file, target)
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
