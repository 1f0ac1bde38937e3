"""Which stage0 a run begins with, and what is known of its products, and from whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bootstrap.attest.evidence import read_report
from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file
from bootstrap.handoff.plan import PLACE, Stage0Pin
from bootstrap.known import RELEASES, StepFile, find
from bootstrap.sources import Cache, Resolved, SourceTree, resolve

Compared = Literal["now", "report"]
Value = tuple[str, str, str]
"""Path, sha256, and where that value comes from."""


@dataclass(frozen=True)
class Stage0:
    """The tree to begin with.

    ``seeds`` are the paths of the binaries in it; ``known`` what its products must be, ``answers``
    those of them that upstream publishes; ``opinion`` says in a sentence where the values come
    from, ``emulated`` whether some are of a run in the emulator: one made now, or one that a report
    only speaks of.  ``products`` (path -> content and
    mode) are what emulation made, where a run begins after stage0.  ``pinned`` says what made it
    this release.
    """

    title: str
    tree: SourceTree
    seeds: tuple[str, ...]
    known: tuple[Value, ...]
    answers: frozenset[str]
    opinion: str
    products: Mapping[str, tuple[bytes, int]] | None = None
    emulated: Compared | None = None
    pinned: str = ""


def pinned(
    pin: Stage0Pin, arch_dir: str, given: str | None, checkout: Path, named: str | None = None
) -> Resolved:
    """The tree that the checkout pins, from ``given``, the checkout itself, or our cache.

    ``named`` is the release where nothing in the checkout pins one.  Raises BadInput, with the way
    out, when it is not to be had, or is another.
    """
    release = pin.release_of_commit
    if release is None and pin.commit is not None:
        raise BadInput(
            f"{checkout}: pins stage0-posix {pin.commit}, which the catalogue does not know, so"
            " nothing is known of its products; take a commit of live-bootstrap that pins a known"
            " one (bootstrap releases), or add it to steps/"
        )
    if release is None:
        release = pin.release_of_files
    if None not in (release, named) and release != named:
        raise BadInput(f"--stage0-release {named}: {checkout} pins {release}")
    release = release or named
    if release is None:
        raise BadInput(
            f"{checkout}: nothing says which stage0-posix it pins: name the release with"
            " --stage0-release (bootstrap releases lists them), or clone it with git, or lay out"
            f" {PLACE} in it (git submodule update --init --recursive)"
        )
    place = given or (str(checkout / PLACE) if pin.files else None)
    step = find(RELEASES, release, arch_dir)
    if place is None:
        try:
            resolved = resolve(None, release, arch_dir, Cache(), None, online=False)
        except BadInput as error:
            what = "pins" if named is None else "is to be run with"
            raise BadInput(
                f"{checkout}: {what} stage0-posix {release}, and {PLACE} in it is empty: give"
                f" --stage0 DIR, or fill it (git submodule update --init --recursive), or get it"
                f" with bootstrap fetch stage0-posix --release {release} ({error})"
            ) from None
    else:
        resolved = resolve(place, release, arch_dir, Cache(), None)
    materials = resolved.materials
    if not materials.whole:
        wrong = len(materials.changed) + len(materials.missing)
        raise BadInput(
            f"{place or 'the cache'}: is not stage0-posix {release}, which {checkout} needs:"
            f" {wrong} of {len(step.materials)} files differ ({'; '.join(materials.lines())})"
        )
    return resolved


def pin_words(pin: Stage0Pin) -> str:
    """What makes it this release, in words."""
    if pin.commit is not None:
        return f"pinned by the checkout: commit {pin.commit}"
    if pin.release_of_files is not None:
        return f"by the files in {PLACE} of the checkout, which names no commit"
    return "named by --stage0-release: nothing in the checkout pins one"


def of_catalogue(resolved: Resolved, pin_text: str = "") -> Stage0:
    """What the catalogue knows: values that ``bootstrap verify`` holds emulation against."""
    step = resolved.step
    checked = f"a run of bootstrap verify met them ({step.checked})" if step.checked else ""
    files = dict(resolved.tree.files)
    for path in (*resolved.materials.stale,):
        files.pop(path, None)
    return Stage0(
        step.title,
        replace(resolved.tree, files=files),
        tuple(seed.path for seed in step.seeds.values()),
        tuple((e.path, e.sha256, e.from_) for e in step.known()),
        frozenset(step.answers),
        f"the known-good values of {step.file}; "
        + (checked or "no run of bootstrap verify is on record that met them"),
        pinned=pin_text,
    )


def with_report(stage0: Stage0, file: Path, step: StepFile) -> Stage0:
    """With what emulation gave, as a report of ``bootstrap verify --json`` says.

    Raises BadInput when it is none, is about another release, was not verified, or is contradicted
    by the catalogue or by itself.
    """
    said = read_report(file)
    if said.title != step.title:
        raise BadInput(f"{file}: is about {said.title}; it should be about {step.title}")
    rows = [*said.artifacts.items(), *said.others.items()]
    by = f"emulation, as {file.name} says (sha256 {said.report_sha256})"
    return emulated(stage0, rows, by, "report")


def emulated(
    stage0: Stage0, rows: list[tuple[str, str]], by: str, compared: Compared = "now"
) -> Stage0:
    """With the sha256 of all that emulation made, besides the known-good values."""
    values = tuple((path, sha256, by) for path, sha256 in rows)
    return replace(
        stage0,
        known=(*stage0.known, *values),
        opinion=f"{stage0.opinion}; and {len(rows)} products of {by}",
        emulated=compared,
    )


def with_products(stage0: Stage0, products: Mapping[str, tuple[bytes, int]], by: str) -> Stage0:
    """To begin after stage0, with what emulation made."""
    return replace(stage0, products=products, opinion=f"{stage0.opinion}; the binaries are {by}")


def read_products(folder: Path, stage0: Stage0) -> dict[str, tuple[bytes, int]]:
    """What ``bootstrap verify --output`` wrote.  Raises BadInput when a product is not there."""
    found: dict[str, tuple[bytes, int]] = {}
    for path in dict.fromkeys(path for path, _, _ in stage0.known):
        place = folder / path
        if not place.is_file():
            raise BadInput(
                f"--products {folder}: has no {path}; it should be what bootstrap verify --output"
                f" wrote of {stage0.title}"
            )
        found[path] = (read_file(place, 1 << 30), place.stat().st_mode & 0o777)
    return found
