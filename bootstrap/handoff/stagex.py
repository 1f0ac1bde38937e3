"""StageX's own way on from stage0: its stages, what each is built from, and what it does not check.

Read from a checkout of StageX: ``packages/bootstrap/stageN``, ``digests/bootstrap.txt`` and
``MAINTAINERS``.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from bootstrap.core.errors import BadInput
from bootstrap.documents import from_toml, line_of, matching
from bootstrap.handoff.checks import read_text
from bootstrap.known import STAGEX, find
from bootstrap.sources.checkouts import STAGEX_TREE, CheckedOut, Identity, identify_checkout
from bootstrap.sources.containerfile import StageOutline, images, read_outline
from bootstrap.sources.stagex import is_known, read_package, read_recipe
from bootstrap.words import some

FOLDER = "packages/bootstrap"
DIGESTS = "digests/bootstrap.txt"
MAINTAINERS = "MAINTAINERS"
CONTEXT = "fetch"
"""The build context with the fetched sources, which StageX's Makefile gives to every build."""

_DIGEST = re.compile(r"([0-9a-f]{64}) ([a-z0-9.-]+)")


@dataclass(frozen=True)
class StageSource:
    """A source as package.toml pins it; ``where`` is FILE:LINE."""

    name: str
    file: str
    sha256: str
    version: str
    mirrors: tuple[str, ...]
    where: str


@dataclass(frozen=True)
class StageFinding:
    """Something that is not checked, or open, and the FILE:LINE that makes it so."""

    where: str
    text: str


@dataclass(frozen=True)
class StagexStage:
    """One package of packages/bootstrap, in the order of building.

    ``images`` are what it takes from elsewhere -> FILE:LINE; ``digest`` is the sha256 of the image
    that StageX published, None where digests/bootstrap.txt has none.
    """

    name: str
    images: dict[str, str]
    digest: str | None
    digest_where: str
    sources: tuple[StageSource, ...]
    stages: tuple[StageOutline, ...]
    findings: tuple[StageFinding, ...]


@dataclass(frozen=True)
class MaintainerKey:
    """A maintainer's OpenPGP key: whose, fingerprint, algorithm, FILE:LINE."""

    person: str
    name: str
    fingerprint: str
    algorithm: str
    where: str


@dataclass(frozen=True)
class StagexPlan:
    """All that ``checkout`` says; ``stage0_known``: its stage0 is the one we have values for."""

    checkout: Identity = field(metadata={"key": None})
    stage0_known: bool
    stages: tuple[StagexStage, ...]
    keys: tuple[MaintainerKey, ...]
    notes: tuple[str, ...]


def read_stagex(checkout: Path, commit: str | None = None) -> StagexPlan:
    """Read a checkout; ``commit`` as :func:`.plan.read_plan` has it.

    Raises BadInput, with file and line where there is one.
    """
    folder = checkout / FOLDER
    if not (folder / "stage0" / "Containerfile").is_file():
        raise BadInput(f"{checkout}: no checkout of StageX, it has no {FOLDER}/stage0")
    notes = []
    digests: dict[str, tuple[str, int]] = {}
    if (checkout / DIGESTS).is_file():
        digests = _digests(checkout)
    else:
        notes.append(f"there is no {DIGESTS}: what StageX published is not known")
    names = sorted(p.name for p in folder.iterdir() if (p / "Containerfile").is_file())
    for name in ("stage1", "stage2", "stage3"):
        if name not in names:
            notes.append(f"there is no {FOLDER}/{name}: the checkout is not whole")
    keys: tuple[MaintainerKey, ...] = ()
    if (checkout / MAINTAINERS).is_file():
        keys = _keys(checkout)
    else:
        notes.append(f"there is no {MAINTAINERS}: whose keys count is not known")
    stages = [_stage(checkout, name, digests) for name in names]
    known = False
    try:
        known = is_known(read_recipe(str(checkout)), find(STAGEX, None, "x86"))
    except BadInput as error:
        notes.append(f"its stage0 could not be run by bootstrap verify: {error}")
    which = identify_checkout(STAGEX_TREE, CheckedOut(checkout, commit))
    return StagexPlan(which, known, _ordered(stages, checkout), keys, tuple(notes))


def _digests(checkout: Path) -> dict[str, tuple[str, int]]:
    rows: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(read_text(checkout, DIGESTS).splitlines(), 1):
        match = _DIGEST.fullmatch(line.strip())
        if match is None or match[2] in rows:
            raise BadInput(f"{checkout / DIGESTS}:{number}: no SHA256 NAME, or a name again")
        rows[match[2]] = (match[1], number)
    return rows


def _stage(checkout: Path, name: str, digests: dict[str, tuple[str, int]]) -> StagexStage:
    path = f"{FOLDER}/{name}/Containerfile"
    stages = read_outline(read_text(checkout, path), str(checkout / path))
    outside = {image: f"{path}:{line}" for image, line in images(stages).items()}
    digest, line = digests.get(f"bootstrap-{name}", (None, 0))
    return StagexStage(
        name,
        outside,
        digest,
        f"{DIGESTS}:{line}" if line else DIGESTS,
        _sources(checkout, f"{FOLDER}/{name}/package.toml"),
        tuple(stages.values()),
        tuple(_findings(stages, outside, path)),
    )


def _sources(checkout: Path, path: str) -> tuple[StageSource, ...]:
    text = read_text(checkout, path)
    rows = []
    for name, pin in read_package(text, str(checkout / path)).items():
        where = f"{path}:{line_of(text, ('sources', name, 'hash'))}"
        rows.append(StageSource(name, pin.file, pin.sha256, pin.version, pin.mirrors, where))
    return tuple(rows)


@dataclass(frozen=True)
class _MaintainerKey:
    id: Annotated[str, matching("[0-9A-F]{40}", "OpenPGP fingerprint")]
    algorithm: str = ""


@dataclass(frozen=True)
class _Maintainers:
    keys: Mapping[str, Mapping[str, _MaintainerKey]]


def _keys(checkout: Path) -> tuple[MaintainerKey, ...]:
    text = read_text(checkout, MAINTAINERS)
    said = from_toml(_Maintainers, text, str(checkout / MAINTAINERS), lenient=True)
    found = []
    for person, rows in said.keys.items():
        for name, row in rows.items():
            where = f"{MAINTAINERS}:{line_of(text, ('keys', person, name, 'id'))}"
            found.append(MaintainerKey(person, name, row.id, row.algorithm, where))
    return tuple(found)


def _findings(
    stages: dict[str, StageOutline], outside: dict[str, str], path: str
) -> list[StageFinding]:
    found = []
    for stage in stages.values():
        if stage.environment.get("UPDATE_CHECKSUMS") == "True":
            text = (
                "UPDATE_CHECKSUMS=True: live-bootstrap compares nothing that it builds with its"
                " own values, it writes them anew"
            )
            found.append(StageFinding(f"{path}:{stage.set_at['UPDATE_CHECKSUMS']}", text))
    runs = [run for stage in stages.values() for run in stage.runs]
    open_ = [run for run in runs if run.network != "none"]
    if open_:
        lines = some(str(run.line) for run in open_)
        text = (
            f"the network is on, unless the builder is set otherwise, in {len(open_)} of"
            f" {len(runs)} RUN, which have no --network=none (lines {lines})"
        )
        found.append(StageFinding(f"{path}:{open_[0].line}", text))
    for image, where in outside.items():
        if image != CONTEXT and "@sha256:" not in image:
            text = f"{image} is named without a digest: whoever builds decides which image it is"
            found.append(StageFinding(where, text))
    return found


def _ordered(stages: list[StagexStage], checkout: Path) -> tuple[StagexStage, ...]:
    by_image = {f"stagex/bootstrap-{stage.name}": stage for stage in stages}
    needs: dict[str, list[str]] = {
        stage.name: [by_image[image].name for image in stage.images if image in by_image]
        for stage in stages
    }
    try:
        order = tuple(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        ring = list(reversed(error.args[1]))
        first = next(stage for stage in stages if stage.name == ring[0])
        where = first.images[f"stagex/bootstrap-{ring[1]}"]
        raise BadInput(f"{checkout / where}: a cycle of images: {' <- '.join(ring)}") from None
    names = [stage.name for stage in stages]
    return tuple(stages[names.index(name)] for name in order)
