"""The catalogue of all known seeds: seeds/catalogue.toml, read strictly into frozen values.

A seed is one content, known by its SHA-256.  Each error is a
BadInput that names the file, the line where it is known, and the key.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from bootstrap.documents import (
    BadValue,
    Commit,
    Sha256,
    Texts,
    TreePath,
    Word,
    at_least,
    filled,
    from_toml,
    key,
    matching,
    one_of,
)
from bootstrap.known.steps import data_dir, read_data

FILE = "catalogue.toml"
FAMILIES = ("POSIX", "NATIVE", "UEFI")
ARCHES = ("x86", "AMD64", "AArch64", "riscv64", "riscv32", "knight")
KINDS = (
    "hex0-seed",
    "kaem-optional-seed",
    "kaem-optional-seed-source",
    "builder-hex0-stage1",
    "builder-hex0-stage2",
    "builder-hex0",
    "builder-hex0-mini",
    "stage0-monitor",
)
Sure = Literal["content", "commit", "version"]
_BLOB = matching("[0-9a-f]{40}", "git object (40 lower-case hexadecimal digits)")
_NAR = matching("sha256-[A-Za-z0-9+/]{43}=", "sha256 as Nix writes it")


def _dated(text: str) -> None:
    try:
        known = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        known = False
    if not known:
        raise BadValue(f"is no date and time with its offset from UTC: {text!r}")


@dataclass(frozen=True)
class Place:
    """Where a seed stood in a repository.  Dates are ISO 8601 with their offset from UTC."""

    path: TreePath
    first_commit: Commit
    first_date: Annotated[str, _dated]
    at_head: bool
    tags: Texts = ()
    releases: Texts = ()
    """Releases of stage0-posix, oldest first."""
    repository: Word = "bootstrap-seeds"
    assembled: bool = False
    """What stood there is hex0 source; the seed is what it assembles to."""

    @property
    def day(self) -> str:
        """The date without time."""
        return self.first_date[:10]


@dataclass(frozen=True)
class Pin:
    """Someone downstream who names a seed, and how sure that is."""

    by: Word
    sure: Sure
    cite: str
    nar_sha256: Annotated[str, _NAR] = ""


@dataclass(frozen=True)
class KnownSeed:
    """One content that was published as a seed.  ``size`` is in bytes."""

    sha256: Sha256
    size: Annotated[int, at_least(1)]
    family: Annotated[str, one_of(*FAMILIES)]
    arch: Annotated[str, one_of(*ARCHES)]
    kind: Annotated[str, one_of(*KINDS)]
    git_blob: Annotated[str, _BLOB]
    places: Annotated[tuple[Place, ...], filled] = key("at")
    pins: tuple[Pin, ...] = key("pin", default=())

    def __post_init__(self) -> None:
        seen = set()
        for number, place in enumerate(self.places):
            if (place.repository, place.path) in seen:
                raise BadValue(f"is there twice: {place.path}", "at", number, "path")
            seen.add((place.repository, place.path))

    @property
    def name(self) -> str:
        """What users see: ``x86 hex0-seed``, with the family where it is not POSIX."""
        family = "" if self.family == "POSIX" else f"{self.family} "
        return f"{family}{self.arch} {self.kind}"

    @property
    def first(self) -> Place:
        """The place where it stood first."""
        return min(self.places, key=lambda place: datetime.fromisoformat(place.first_date))

    @property
    def releases(self) -> tuple[str, ...]:
        """The releases of stage0-posix that have it anywhere, oldest first."""
        return tuple(dict.fromkeys(release for place in self.places for release in place.releases))


@dataclass(frozen=True)
class SeedCatalogue:
    """All known seeds, in the file's order."""

    schema: Literal[1]
    source: str
    releases: Mapping[str, Commit]
    """Release of stage0-posix -> commit of bootstrap-seeds."""
    seeds: tuple[KnownSeed, ...] = key("seed", default=())

    def __post_init__(self) -> None:
        for name in ("sha256", "git_blob"):
            first: dict[str, int] = {}
            for number, seed in enumerate(self.seeds):
                value = getattr(seed, name)
                other = first.setdefault(value, number)
                if other != number:
                    raise BadValue(
                        f"is the same as seed[{other}].{name}: {value}", "seed", number, name
                    )
        for number, seed in enumerate(self.seeds):
            for at, place in enumerate(seed.places):
                for release in place.releases:
                    if release not in self.releases:
                        fault = f"has {release!r}, which [releases] does not"
                        raise BadValue(fault, "seed", number, "at", at, "releases")

    @functools.cached_property
    def by_sha256(self) -> Mapping[str, KnownSeed]:
        return {seed.sha256: seed for seed in self.seeds}

    @property
    def largest(self) -> int:
        """Bytes in the largest seed: no file that is larger can be one."""
        return max((seed.size for seed in self.seeds), default=0)

    def rows(self) -> Iterator[tuple[KnownSeed, Place]]:
        """Every seed at every place where it stood."""
        for seed in self.seeds:
            for place in seed.places:
                yield seed, place


def parse(data: bytes | str, file: str) -> SeedCatalogue:
    """Read a catalogue from its text; ``file`` is its name, used in errors only."""
    return from_toml(SeedCatalogue, data, file)


@functools.cache
def load() -> SeedCatalogue:
    """The catalogue that is shipped.  Raises BadInput when it cannot be read."""
    return parse(read_data(data_dir("seeds") / FILE), f"seeds/{FILE}")
