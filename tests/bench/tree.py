"""The release that is measured, from the product's cache, and how it is laid out on the host."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bootstrap.core.errors import BootstrapError
from bootstrap.known import StepFile
from bootstrap.sources import Cache, Resolved, SourceTree, guest_view, resolve
from tests.bench.timing import Failed

RELEASE = "1.9.1"
ENTRY = "kaem-optional-seed"
ENTRY_BY_HAND = "hex0-seed"
"""The entry that starts each program by itself: it can be stopped half-way."""


def release(arch: str) -> Resolved:
    """The release, from the cache only. Raises Failed, saying how to get it there."""
    try:
        return resolve(None, RELEASE, arch, Cache(), online=False)
    except BootstrapError as error:
        raise Failed(str(error)) from None


def view(resolved: Resolved, entry: str) -> SourceTree:
    """What the guest sees of the release."""
    step = resolved.step
    return guest_view(resolved.tree, step, step.entry(entry), resolved.materials)


def first_half(step: StepFile) -> tuple[tuple[str, ...], ...]:
    """The commands of the first half: hex0, kaem-0, and with them phases 1 to 11, up to kaem."""
    return step.entry(ENTRY_BY_HAND).commands[:3]


def wrong_products(step: StepFile, folder: Path) -> list[str]:
    """Known products that a run in `folder` did not make, or made differently."""
    return [
        value.path for value in step.known() if file_sha256(folder / value.path) != value.sha256
    ]


def file_sha256(path: Path) -> str:
    """SHA-256 of a host file; the empty text when there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
