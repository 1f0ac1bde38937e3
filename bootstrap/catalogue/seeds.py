"""The catalogue of all known seeds: seeds/catalogue.toml, read strictly into frozen values.

A seed is one content, known by its SHA-256.  Each error is a
:class:`~bootstrap.errors.BadInput` that names the file, the line where it can be told, and the key.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from bootstrap.catalogue.data import data_dir
from bootstrap.catalogue.reading import Table, line_of
from bootstrap.errors import BadInput

SCHEMA = 1
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
_SURE: tuple[Sure, ...] = ("content", "commit", "version")
_BLOB = re.compile(r"[0-9a-f]{40}")
_NAR = re.compile(r"sha256-[A-Za-z0-9+/]{43}=")
_HEADER = re.compile(r"\s*\[\[?\s*([A-Za-z.]+)\s*\]\]?\s*(?:#.*)?")


@dataclass(frozen=True)
class Place:
    """Where a seed stood in a repository.  Dates are ISO 8601 with their offset from UTC."""

    path: str
    first_commit: str
    first_date: str
    at_head: bool
    tags: tuple[str, ...]
    releases: tuple[str, ...]
    """Releases of stage0-posix, oldest first."""
    repository: str = "bootstrap-seeds"
    assembled: bool = False
    """What stood there is hex0 source; the seed is what it assembles to."""

    @property
    def day(self) -> str:
        """The date without time."""
        return self.first_date[:10]


@dataclass(frozen=True)
class Pin:
    """Someone downstream who names a seed, and how sure that is."""

    by: str
    sure: Sure
    cite: str
    nar_sha256: str = ""


@dataclass(frozen=True)
class KnownSeed:
    """One content that was published as a seed.  ``size`` is in bytes."""

    sha256: str
    size: int
    family: str
    arch: str
    kind: str
    git_blob: str
    places: tuple[Place, ...]
    pins: tuple[Pin, ...] = ()

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

    seeds: tuple[KnownSeed, ...]
    releases: Mapping[str, str]
    """Release of stage0-posix -> commit of bootstrap-seeds."""
    source: str
    by_sha256: Mapping[str, KnownSeed] = field(default_factory=dict)

    @property
    def largest(self) -> int:
        """Bytes in the largest seed: no file that is larger can be one."""
        return max((seed.size for seed in self.seeds), default=0)

    def rows(self) -> Iterator[tuple[KnownSeed, Place]]:
        """Every seed at every place where it stood."""
        for seed in self.seeds:
            for place in seed.places:
                yield seed, place


def parse(text: str, file: str) -> SeedCatalogue:
    """Read a catalogue from its text; ``file`` is its name, used in errors only."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{file}: not valid TOML: {error}") from None
    except RecursionError:
        raise BadInput(f"{file}: not valid TOML: nested too deep") from None
    lines = _Lines(text)
    top = Table(data, file, text)
    schema = top.integer("schema")
    if schema != SCHEMA:
        raise top.error("schema", f"is {schema}; this version reads schema {SCHEMA}")
    source = top.text("source")
    table = top.table("releases")
    releases = {release: table.commit(release) for release in table}
    seeds: list[KnownSeed] = []
    for number, row in enumerate(_array(top, data, "seed")):
        seeds.append(_seed(_Row(row, file, lines, "seed", (number,)), releases))
    _known_keys(data, top)
    by_sha256: dict[str, KnownSeed] = {}
    blobs: dict[str, int] = {}
    for number, seed in enumerate(seeds):
        place = _Row({}, file, lines, "seed", (number,))
        if seed.sha256 in by_sha256:
            first = next(i for i, other in enumerate(seeds) if other.sha256 == seed.sha256)
            said = _said(lines, first, "sha256")
            raise place.error("sha256", f"is the same as in {said}: {seed.sha256}")
        if seed.git_blob in blobs:
            other = _said(lines, blobs[seed.git_blob], "git_blob")
            raise place.error("git_blob", f"is the same as in {other}: {seed.git_blob}")
        by_sha256[seed.sha256] = seed
        blobs[seed.git_blob] = number
    return SeedCatalogue(
        tuple(seeds), MappingProxyType(releases), source, MappingProxyType(by_sha256)
    )


@functools.cache
def load() -> SeedCatalogue:
    """The catalogue that is shipped.  Raises BadInput when it cannot be read."""
    place = data_dir("seeds") / FILE
    name = f"seeds/{FILE}"
    try:
        return parse(place.read_bytes().decode("utf-8"), name)
    except OSError as error:
        raise BadInput(f"{name}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{name}: not UTF-8 at byte {error.start}") from None


def _known_keys(data: Mapping[str, Any], top: Table) -> None:
    known = ("schema", "source", "releases", "seed")
    for key in data:
        if key not in known:
            raise top.error(key, f"is not a key that is known here; known: {', '.join(known)}")


def _array(table: Table, data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    rows = data.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise table.error(key, f"must be a list of tables: [[{key}]]")
    return rows


def _seed(row: _Row, releases: Mapping[str, str]) -> KnownSeed:
    seed = KnownSeed(
        sha256=row.sha256("sha256"),
        size=row.size("size"),
        family=row.one_of("family", FAMILIES),
        arch=row.one_of("arch", ARCHES),
        kind=row.one_of("kind", KINDS),
        git_blob=row.blob("git_blob"),
        places=tuple(_place(place, releases) for place in row.rows("at")),
        pins=tuple(_pin(pin) for pin in row.rows("pin")),
    )
    row.done()
    if not seed.places:
        raise row.error("at", "is missing: a seed stood in at least one place")
    places = [(place.repository, place.path) for place in seed.places]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise list(row.rows("at"))[number].error("path", f"is there twice: {place[1]}")
    return seed


def _place(row: _Row, releases: Mapping[str, str]) -> Place:
    place = Place(
        path=row.path("path"),
        first_commit=row.commit("first_commit"),
        first_date=row.date("first_date"),
        at_head=row.truth("at_head"),
        tags=row.texts("tags"),
        releases=row.texts("releases"),
        repository=row.word("repository") if "repository" in row else "bootstrap-seeds",
        assembled=row.truth("assembled") if "assembled" in row else False,
    )
    row.done()
    for release in place.releases:
        if release not in releases:
            raise row.error("releases", f"has {release!r}, which [releases] does not")
    return place


def _pin(row: _Row) -> Pin:
    sure = row.one_of("sure", _SURE)
    pin = Pin(
        by=row.word("by"),
        sure=next(word for word in _SURE if word == sure),
        cite=row.text("cite"),
        nar_sha256=row.text("nar_sha256", ""),
    )
    row.done()
    if pin.nar_sha256 and not _NAR.fullmatch(pin.nar_sha256):
        raise row.error("nar_sha256", f"is no sha256 as Nix writes it: {pin.nar_sha256!r}")
    return pin


class _Lines:
    """Where the tables of an array begin: [[seed]] number 3, its [[seed.at]] number 0, ..."""

    def __init__(self, text: str) -> None:
        self.text = text.splitlines()
        self.starts: dict[tuple[str, tuple[int, ...]], tuple[int, int]] = {}
        seed, inner = -1, dict[str, int]()
        open_at: tuple[str, tuple[int, ...], int] | None = None
        for number, line in enumerate([*self.text, "[end]"]):
            header = _HEADER.fullmatch(line)
            if not header:
                continue
            if open_at is not None:
                self.starts[open_at[0], open_at[1]] = (open_at[2], number)
            name = header.group(1)
            if name == "seed":
                seed, inner = seed + 1, {}
                open_at = name, (seed,), number
            elif name.startswith("seed."):
                inner[name] = inner.get(name, -1) + 1
                open_at = name, (seed, inner[name]), number
            else:
                open_at = None

    def find(self, name: str, index: tuple[int, ...], key: str) -> int | None:
        """The line (from 1) of a key in a table of an array, else of the table's header."""
        if (name, index) not in self.starts:
            return None
        start, end = self.starts[name, index]
        line = line_of("\n".join(self.text[start + 1 : end]), "", key) if key else None
        return start + 1 if line is None else start + 1 + line


def _said(lines: _Lines, number: int, key: str) -> str:
    line = lines.find("seed", (number,), key)
    return f"seed {number + 1}" if line is None else f"line {line}"


class _Row(Table):
    """A table of an array of tables; errors name its own lines."""

    def __init__(
        self, data: Mapping[str, Any], file: str, lines: _Lines, name: str, index: tuple[int, ...]
    ) -> None:
        super().__init__(data, file, "", name)
        self._row, self._lines, self._index = data, lines, index

    def error(self, key: str, fault: str) -> BadInput:
        line = self._lines.find(self._name, self._index, key)
        place = self._file if line is None else f"{self._file}:{line}"
        number = "" if line is not None else f" {'.'.join(str(i + 1) for i in self._index)}"
        return BadInput(f"{place}: {self._name}{number}.{key} {fault}")

    def rows(self, key: str) -> Iterator[_Row]:
        """The tables of an inner array; an absent one is empty."""
        self._asked.add(key)
        name = f"{self._name}.{key}"
        for number, row in enumerate(_array(self, self._row, key)):
            yield _Row(row, self._file, self._lines, name, (*self._index, number))

    def one_of(self, key: str, words: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in words:
            raise self.error(key, f"is {value!r}; known: {', '.join(words)}")
        return value

    def size(self, key: str) -> int:
        value = self.integer(key)
        if not value:
            raise self.error(key, "is 0: no seed is empty")
        return value

    def blob(self, key: str) -> str:
        value = self.text(key)
        if not _BLOB.fullmatch(value):
            raise self.error(key, f"is no git object (40 lower-case hexadecimal digits): {value!r}")
        return value

    def date(self, key: str) -> str:
        value = self.text(key)
        try:
            known = datetime.fromisoformat(value).tzinfo is not None
        except ValueError:
            known = False
        if not known:
            raise self.error(key, f"is no date and time with its offset from UTC: {value!r}")
        return value

    def truth(self, key: str) -> bool:
        self._asked.add(key)
        value = self._row.get(key)
        if not isinstance(value, bool):
            raise self.error(key, "is missing" if value is None else "must be true or false")
        return value
