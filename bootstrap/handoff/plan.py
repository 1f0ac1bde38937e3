"""The plan of a hand-off: what a live-bootstrap checkout would do, read and not run.

The ``bootstrap.cfg`` of it is for a chroot, without mirrors, checksums enforced: names and meaning
are those of live-bootstrap's ``rootfs.py`` (create_configuration_file, with --chroot and
--external-sources) and ``steps/configurator``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file
from bootstrap.handoff.checks import MAX_TEXT, CheckReader, StepChecks, read_sums, read_text
from bootstrap.handoff.distfiles import Distfile, SourceLine, distfiles, read_sources
from bootstrap.handoff.manifest import (
    Directive,
    ManifestStep,
    evaluate,
    read_manifest,
    unset_variables,
)
from bootstrap.known import RELEASES, StepFile, all_steps, default_release
from bootstrap.sources.checkouts import (
    LIVE_BOOTSTRAP,
    CheckedOut,
    Identity,
    identify_checkout,
)
from bootstrap.sources.git import GITLINK, read_index
from bootstrap.sources.identity import KnownRelease, Likeness, nearest, no_release
from bootstrap.sources.materials import check_materials
from bootstrap.sources.tree import read_folder

ARCHITECTURES = {"x86": "x86", "amd64": "AMD64", "riscv64": "riscv64"}
"""Upstream's name of an architecture -> its folder in stage0-posix."""

_VALUE = re.compile(r"[A-Za-z0-9._/-]+")


def chroot_configuration(arch: str, changes: Iterable[str] = ()) -> dict[str, str]:
    """Names and values in the order they are written; ``changes`` are NAME=VALUE.

    Raises BadInput for a name that is none of them, or a value that is no plain word.
    """
    values = {
        "ARCH": arch,
        "ARCH_DIR": ARCHITECTURES[arch],
        "FORCE_TIMESTAMPS": "False",
        "CHROOT": "True",
        "UPDATE_CHECKSUMS": "False",
        "JOBS": "2",
        "SWAP_SIZE": "0",
        "FINAL_JOBS": "2",
        "INTERNAL_CI": "False",
        "INTERACTIVE": "False",
        "QEMU": "False",
        "BARE_METAL": "False",
        "DISK": "sda1",
        "KERNEL_BOOTSTRAP": "False",
        "BUILD_KERNELS": "False",
        "CONFIGURATOR": "False",
    }
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name in ("ARCH", "ARCH_DIR") or name not in values:
            names = ", ".join(name for name in values if not name.startswith("ARCH"))
            raise BadInput(f"--set {change}: give NAME=VALUE, with NAME one of {names}")
        if not _VALUE.fullmatch(value):
            raise BadInput(f"--set {change}: {value!r} is no plain word")
        values[name] = value
    return values


MANIFEST = "steps/manifest"
_ADDRESS = "https://github.com/fosslinux/live-bootstrap"


@dataclass(frozen=True)
class SeedProgram:
    """A program that ``seed/seed.kaem`` builds before the manifest, and the value it must have."""

    name: str
    sha256: str | None
    where: str


@dataclass(frozen=True)
class PlanStep:
    """A step, with the names of the distfiles it needs and what is checked of it."""

    step: ManifestStep
    files: tuple[str, ...]
    checked: StepChecks


@dataclass(frozen=True)
class HandoffPlan:
    """All that the checkout says.  Places are FILE:LINE, relative to the checkout.

    ``directives`` are all lines of the manifest, ``rows`` the steps of this ``configuration``;
    ``variables`` are what the defines make of it.  ``distfiles`` are those of every build in the
    manifest; ``needed`` names those that ``rows`` need.  ``unused`` are packages that have a
    known-good value although no step makes them.  ``checkout`` is which one it all was read of.
    """

    checkout: Identity
    arch: str
    manifest_sha256: str
    directives: tuple[Directive, ...]
    configuration: Mapping[str, str]
    variables: Mapping[str, str]
    before: tuple[SeedProgram, ...]
    rows: tuple[PlanStep, ...]
    distfiles: tuple[Distfile, ...]
    needed: frozenset[str]
    unused: tuple[str, ...]
    pin: Stage0Pin
    notes: tuple[str, ...]

    @property
    def skipped(self) -> tuple[Directive, ...]:
        """Lines that this configuration passes over; a define is none."""
        kept = {row.step.directive.line for row in self.rows}
        return tuple(d for d in self.directives if d.kind != "define" and d.line not in kept)


def read_plan(
    checkout: Path, arch: str = "x86", changes: Iterable[str] = (), commit: str | None = None
) -> HandoffPlan:
    """Read a checkout; ``commit`` is its, where that is known and it has no store of git's.

    Raises BadInput, with file and line where there is one.
    """
    configuration = chroot_configuration(arch, changes)
    directives, manifest_sha256 = read_directives(checkout)
    place = str(checkout / MANIFEST)
    unset = unset_variables(directives, configuration, place)
    steps, variables = evaluate(directives, configuration)
    lines = _all_sources(checkout, directives)
    reader = CheckReader(checkout, variables, {name for name, rows in lines.items() if rows})
    rows = []
    for step in steps:
        used = lines[step.directive.argument] if step.directive.kind == "build" else ()
        names = tuple(dict.fromkeys(line.name for line in used))
        rows.append(PlanStep(step, names, reader.read(step)))
    notes = [
        f"{MANIFEST}:{line} reads {name}, which nothing sets: it counts as empty"
        for name, line in unset.items()
    ]
    notes += [*reader.notes, *_notes(checkout, directives, rows, variables)]
    return HandoffPlan(
        identify_checkout(LIVE_BOOTSTRAP, CheckedOut(checkout, commit)),
        arch,
        manifest_sha256,
        directives,
        configuration,
        variables,
        _before(checkout, arch),
        tuple(rows),
        distfiles(line for rows in lines.values() for line in rows),
        frozenset(name for row in rows for name in row.files),
        reader.unused(),
        read_pin(checkout, ARCHITECTURES[arch]),
        tuple(notes),
    )


def read_directives(checkout: Path) -> tuple[tuple[Directive, ...], str]:
    """The manifest's directives and its sha256.  Raises BadInput."""
    place = checkout / MANIFEST
    if not place.is_file():
        raise BadInput(
            f"{checkout}: no checkout of live-bootstrap, it has no {MANIFEST}"
            f" (git clone --recursive {_ADDRESS})"
        )
    data = read_file(place, MAX_TEXT)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{place}:{line}: not UTF-8 at byte {error.start}") from None
    return read_manifest(text, str(place)), hashlib.sha256(data).hexdigest()


def read_distfiles(checkout: Path) -> tuple[Distfile, ...]:
    """The files that the builds of the manifest need, whatever the configuration."""
    lines = _all_sources(checkout, read_directives(checkout)[0])
    return distfiles(line for rows in lines.values() for line in rows)


def _all_sources(
    checkout: Path, directives: tuple[Directive, ...]
) -> dict[str, tuple[SourceLine, ...]]:
    """Package -> its source lines, in the manifest's order; a package may have none."""
    found: dict[str, tuple[SourceLine, ...]] = {}
    for directive in directives:
        package = directive.argument
        if directive.kind != "build" or package in found:
            continue
        if not (checkout / "steps" / package).is_dir():
            where = f"{checkout / MANIFEST}:{directive.line}"
            raise BadInput(f"{where}: there is no folder steps/{package}")
        path = f"steps/{package}/sources"
        found[package] = ()
        if (checkout / path).exists():
            text = read_text(checkout, path)
            found[package] = read_sources(text, str(checkout / path), package)
    return found


def _before(checkout: Path, arch: str) -> tuple[SeedProgram, ...]:
    found = []
    for name in ("configurator", "script-generator"):
        path = f"seed/{name}.{arch}.checksums"
        if not (checkout / path).is_file():
            found.append(SeedProgram(name, None, path))
            continue
        rows = read_sums(read_text(checkout, path), str(checkout / path))
        sha256, line = rows.get(name, (None, 0))
        found.append(SeedProgram(name, sha256, f"{path}:{line}" if line else path))
    return tuple(found)


def _notes(
    checkout: Path,
    directives: tuple[Directive, ...],
    rows: list[PlanStep],
    variables: Mapping[str, str],
) -> list[str]:
    notes = []
    if (checkout / "steps/bootstrap.cfg").exists():
        notes.append("steps/bootstrap.cfg is there, and is not used: the configuration is ours")
    again = [row for row in rows if row.step.title == "improve reconfigure"]
    if again and evaluate(directives, variables)[0] != tuple(row.step for row in rows):
        line = again[0].step.directive.line
        notes.append(f"{MANIFEST}:{line} writes the scripts anew, and they would differ")
    return notes


# -- which stage0-posix it pins --------------------------------------------------------------------

PLACE = "seed/stage0-posix"


@dataclass(frozen=True)
class Stage0Pin:
    """What is pinned.  ``commit`` is git's, None where there is no index that has it.

    ``release_of_commit`` is the catalogue's release with that commit; ``release_of_files`` the one
    whose materials are all below seed/stage0-posix, unchanged; ``files`` says so in words, and
    ``files_digest`` is their tree digest; both are None where there are none.  ``ours`` is the
    release that ``bootstrap verify`` takes by default.
    """

    commit: str | None
    release_of_commit: str | None
    release_of_files: str | None
    files: str | None
    files_digest: str | None
    ours: str

    @property
    def same(self) -> bool | None:
        """Whether it is ours; None when nothing can be said."""
        found = {self.release_of_commit, self.release_of_files} - {None}
        if self.files and self.release_of_files is None:
            return False
        if not found:
            return None if self.commit is None else False
        return found == {self.ours}


def read_pin(checkout: Path, arch: str) -> Stage0Pin:
    """Look at index and files.  Raises BadInput when either is there and cannot be read."""
    steps = [step for step in all_steps() if step.name == RELEASES and step.release]
    entry = next((row for row in read_index(checkout) or () if row.path == PLACE), None)
    commit = entry.sha1 if entry and entry.mode == GITLINK else None
    by_commit = {step.source.commit: step.release for step in steps if step.source.commit}
    release_of_files, files, digest = _files(checkout / PLACE, [s for s in steps if s.arch == arch])
    known = by_commit.get(commit) if commit else None
    return Stage0Pin(commit, known, release_of_files, files, digest, default_release(RELEASES))


def _files(folder: Path, steps: list[StepFile]) -> tuple[str | None, str | None, str | None]:
    if not folder.is_dir() or not any(folder.iterdir()):
        return None, None, None
    tree = read_folder(folder)
    if not steps:
        return None, "the catalogue knows no release for this architecture", tree.digest
    among = [KnownRelease.of([step]) for step in steps]
    found = nearest([tree], among)
    if found is None:
        return None, f"{PLACE} {no_release(Likeness(tree, among))}", tree.digest
    step = found.steps[0]
    report = check_materials(tree, step)
    total = len(step.materials)
    if report.whole:
        text = f"all {total} files that the bootstrap reads are {step.title}'s"
        return step.release, text, tree.digest
    wrong = len(report.missing) + len(report.changed)
    text = f"nearest is {step.title}, from which {wrong} of {total} files differ"
    return None, text, tree.digest
