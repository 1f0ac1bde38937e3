"""Holds what a step made against known-good values: we hash, whatever upstream's scripts said."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.handoff.checks import PACKAGES, read_sums, read_text
from bootstrap.handoff.containers.safe_paths import inside, open_anyway, require_folder
from bootstrap.handoff.plan import PlanStep, SeedProgram
from bootstrap.handoff.work import CheckedFile

REPOSITORY = "external/repo"
_PACKAGE = ".tar.bz2"


def sha256_in(root: Path, path: str) -> str | None:
    """Of a file of the root; None when there is none.  No link leads out of the root.

    Raises BadInput when it is there and cannot be read.
    """
    place = inside(root, path)
    if place is None:
        return None
    try:
        with open_anyway(place) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{place}: cannot be read: {error.strerror}") from None


def check_stage0(root: Path, known: Iterable[tuple[str, str, str]]) -> list[CheckedFile]:
    """Products of stage0: (path, sha256, where the value comes from), each held against the root.

    Values of several origins for one path are kept apart only where they differ.
    """
    rows: dict[tuple[str, str], CheckedFile] = {}
    for path, sha256, by in known:
        before = rows.get((path, sha256))
        if before is not None:
            by = f"{before.by}, {by}"
        rows[path, sha256] = CheckedFile(path, sha256_in(root, path), sha256, by)
    return list(rows.values())


def check_before(root: Path, before: Iterable[SeedProgram]) -> list[CheckedFile]:
    """The programs that are built before the manifest."""
    return [CheckedFile(b.name, sha256_in(root, b.name), b.sha256, b.where) for b in before]


def check_step(root: Path, checkout: Path, row: PlanStep) -> list[CheckedFile]:
    """What the checkout has values for, of this step: its package, or the files it installed."""
    checked = row.checked
    if row.step.era == "bash" and row.step.directive.kind == "build":
        name = checked.package
        found = sha256_in(root, f"{REPOSITORY}/{name}")
        return [CheckedFile(name, found, checked.sha256 or None, checked.value or PACKAGES)]
    if not checked.value:
        return []
    listed = read_sums(read_text(checkout, checked.value), str(checkout / checked.value))
    folder = f"steps/{row.step.directive.argument}"
    return [
        CheckedFile(
            path.lstrip("/"),
            sha256_in(root, path if path.startswith("/") else f"{folder}/{path}"),
            sha256,
            f"{checked.value}:{line}",
        )
        for path, (sha256, line) in listed.items()
    ]


def check_packages(root: Path, sums: Mapping[str, tuple[str, int]]) -> list[CheckedFile]:
    """Every package in the repository, hashed again, whoever made it and whatever was said of it.

    A package without a known-good value is there too: it is unchecked.
    """
    there = os.path.lexists(root / REPOSITORY)
    names = sorted(os.listdir(require_folder(root, REPOSITORY))) if there else []
    rows = []
    for name in names:
        if name.endswith(_PACKAGE):
            sha256, line = sums.get(name, (None, 0))
            by = f"{PACKAGES}:{line}" if line else PACKAGES
            rows.append(CheckedFile(name, sha256_in(root, f"{REPOSITORY}/{name}"), sha256, by))
    return rows
