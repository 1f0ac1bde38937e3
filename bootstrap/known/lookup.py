"""Whose content is this?  Looked up by SHA-256 in all releases; or which known one is nearest."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bootstrap.known.schema import StepFile
from bootstrap.known.seeds import load
from bootstrap.known.steps import EMBEDDED, all_steps, releases

Role = Literal["product", "material", "archive"]
_ROLES: tuple[Role, ...] = ("product", "material", "archive")
_SHOWN = 3
MOST = 4
"""Two contents resemble each other when at most one byte in this many differs."""


@dataclass(frozen=True)
class Use:
    """A file that has the content, and the releases in which that path has it.

    ``releases`` are oldest first; the embedded sources have none. ``arches`` are those whose
    bootstrap makes or reads it. Of an archive the path is its published address.
    """

    role: Role
    path: str
    name: str
    releases: tuple[str, ...]
    arches: tuple[str, ...]

    @property
    def text(self) -> str:
        """``x86/bin/M1 of stage0-posix 1.8.0 to 1.9.1``."""
        if self.role == "archive":
            return f"the published archive of {self.whose}"
        named = self.role == "material" or any(arch in self.path for arch in self.arches)
        return f"{self.path} of {self.whose}" + ("" if named else f" {', '.join(self.arches)}")

    @property
    def whose(self) -> str:
        """``stage0-posix 1.8.0 to 1.9.1``."""
        name = "the embedded sources" if self.name == EMBEDDED else self.name
        return f"{name} {ranges(self.releases, releases(self.name))}".strip()


class KnownFiles:
    """Every file with a known content: all materials, products and archives of ``steps``."""

    def __init__(self, steps: Sequence[StepFile]) -> None:
        self._found: dict[str, dict[tuple[Role, str, str], list[tuple[str | None, str]]]] = {}
        for step in steps:
            for role, path, sha256 in _contents(step):
                files = self._found.setdefault(sha256, {})
                files.setdefault((role, path, step.name), []).append((step.release, step.arch))

    def uses(self, sha256: str) -> tuple[Use, ...]:
        """Every file that has this content, products first."""
        found = []
        for (role, path, name), places in self._found.get(sha256, {}).items():
            has = {release for release, _ in places}
            order = tuple(release for release in releases(name) if release in has)
            arches = tuple(dict.fromkeys(arch for _, arch in places))
            found.append(Use(role, path, name, order, arches))
        return tuple(sorted(found, key=lambda use: _ROLES.index(use.role)))

    def text(self, sha256: str) -> str:
        """Whose content it is, in a few words; ``""`` when nobody's.

        A seed that no release has is named too.
        """
        texts = [use.text for use in self.uses(sha256)]
        if not texts and (seed := load().by_sha256.get(sha256)) is not None:
            texts = [f"the seed {seed.name} of {seed.first.day}"]
        more = len(texts) - _SHOWN
        return "; ".join(texts[:_SHOWN]) + (f"; and {more} more files" if more > 0 else "")


@functools.cache
def known_files() -> KnownFiles:
    """All that the step files of this installation know."""
    return KnownFiles(all_steps())


def _contents(step: StepFile) -> Iterator[tuple[Role, str, str]]:
    for path, sha256 in step.materials.items():
        yield "material", path, sha256
    for value in step.known():
        if step.materials.get(value.path) != value.sha256:
            yield "product", value.path, value.sha256
    if step.source.sha256 is not None:
        yield "archive", "".join(step.source.urls[:1]), step.source.sha256


def ranges(some: Collection[str], order: Sequence[str]) -> str:
    """Those of ``order`` that are in ``some``, in words: three neighbours make a range."""
    runs: list[list[str]] = []
    for release in order:
        if release not in some:
            continue
        before = order.index(release) - 1
        if runs and order[before] == runs[-1][-1]:
            runs[-1].append(release)
        else:
            runs.append([release])
    return ", ".join(", ".join(r) if len(r) < 3 else f"{r[0]} to {r[-1]}" for r in runs)


@dataclass(frozen=True)
class ChangedBytes:
    """A run of bytes at ``offset`` of the known content: what is there, and what is here."""

    offset: int
    known: bytes
    here: bytes


@dataclass(frozen=True)
class Nearest:
    """The known content (by SHA-256) that comes nearest, and the changes, in order."""

    sha256: str
    distance: int
    """Bytes that differ."""
    changes: tuple[ChangedBytes, ...]


def nearest(data: bytes, known: Mapping[str, bytes]) -> Nearest | None:
    """The nearest of ``known``, or None when none resembles ``data``.

    Contents of one size are compared byte by byte; of two sizes, what lies between their common
    beginning and their common end is what differs.
    """
    best: Nearest | None = None
    for sha256, content in sorted(known.items()):
        changes = _changes(content, data)
        distance = sum(max(len(change.known), len(change.here)) for change in changes)
        near = distance * MOST <= max(len(data), len(content))
        if near and (best is None or distance < best.distance):
            best = Nearest(sha256, distance, tuple(changes))
    return best


def _changes(known: bytes, here: bytes) -> list[ChangedBytes]:
    size = len(known)
    if size != len(here):
        shorter = min(size, len(here))
        start = next((i for i in range(shorter) if known[i] != here[i]), shorter)
        end = 0
        while end < shorter - start and known[-1 - end] == here[-1 - end]:
            end += 1
        return [ChangedBytes(start, known[start : size - end], here[start : len(here) - end])]
    changes: list[ChangedBytes] = []
    at = 0
    for differs, run in itertools.groupby(map(operator.ne, known, here)):
        end = at + len(list(run))
        if differs:
            changes.append(ChangedBytes(at, known[at:end], here[at:end]))
        at = end
    return changes
