"""Every seed of two repositories' histories, and seeds/catalogue.toml written from them.

    python -m tests.seeds_catalogue.history BOOTSTRAP-SEEDS BUILDER-HEX0

For whoever adds a release: look at the difference before it is committed. Each blob of each commit
that a branch or tag leads to is asked whether it is a seed, whatever its name: of bootstrap-seeds
those that are no text, and the script of kaem-optional-seed as it was published once; of
builder-hex0, which keeps sources only, what each hex0 source assembles to, by the pure model.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bootstrap.known.seeds import KnownSeed, Place, SeedCatalogue, load
from bootstrap.languages import hex0

CATALOGUE = Path(__file__).resolve().parents[2] / "seeds" / "catalogue.toml"
SEEDS, BUILDER = "bootstrap-seeds", "builder-hex0"
_ARCHES = {"amd64": "AMD64", "RV64": "riscv64"}
_KINDS = {
    "builder-hex0-x86-stage1": "builder-hex0-stage1",
    "builder-hex0-x86-stage2": "builder-hex0-stage2",
    "stage0_monitor": "stage0-monitor",
    "kaem-optional-seed.hex0": "kaem-optional-seed-source",
}


@dataclass(frozen=True)
class Found:
    """A seed's content, and where it is in a history."""

    data: bytes
    place: Place


def git(folder: Path, *words: str) -> bytes:
    """What a git command writes."""
    return subprocess.run(["git", "-C", folder, *words], capture_output=True, check=True).stdout


def _tree(folder: Path, commit: str) -> dict[tuple[str, str], None]:
    """(path, blob) of each file of a commit."""
    rows = (row.partition(b"\t") for row in git(folder, "ls-tree", "-rz", commit).split(b"\0"))
    return {(path.decode(), head.split()[2].decode()): None for head, _, path in rows if path}


def seeds_of(folder: Path, repository: str, releases: dict[str, str]) -> Iterator[Found]:
    """Each seed of the history at each of its places, those that were first, first."""
    first: dict[tuple[str, str], str] = {}
    order = "--all", "--topo-order", "--reverse", "--format=%H"
    for commit in git(folder, "log", *order).decode().split():
        for row in _tree(folder, commit):
            first.setdefault(row, commit)
    head = _tree(folder, "HEAD")
    tags = {tag: _tree(folder, tag) for tag in git(folder, "tag").decode().split()}
    released = {release: _tree(folder, commit) for release, commit in releases.items()}
    for row, commit in first.items():
        data = git(folder, "cat-file", "blob", row[1])
        assembled = repository == BUILDER and row[0].endswith(".hex0")
        if assembled:
            data = hex0.assemble(data, row[0]).output
            if not data:
                continue
        elif not _binary(data) and not row[0].endswith("kaem-optional-seed.hex0"):
            continue
        yield Found(
            data,
            Place(
                path=row[0],
                first_commit=commit,
                first_date=git(folder, "show", "-s", "--format=%cI", commit).decode().strip(),
                at_head=row in head,
                tags=tuple(tag.removeprefix("Release_") for tag in tags if row in tags[tag]),
                releases=tuple(name for name in released if row in released[name]),
                repository=repository,
                assembled=assembled,
            ),
        )


def _binary(data: bytes) -> bool:
    try:
        return b"\0" in data or not data.decode()
    except UnicodeDecodeError:
        return True


def merged(known: SeedCatalogue, found: Sequence[Found]) -> list[KnownSeed]:
    """What was found as seeds: the known ones in their order, with their pins, then the others."""
    places: dict[str, list[Place]] = {seed.sha256: [] for seed in known.seeds}
    contents: dict[str, bytes] = {}
    for one in found:
        digest = hashlib.sha256(one.data).hexdigest()
        contents[digest] = one.data
        rows = places.setdefault(digest, [])
        # Sources that differ in their comments only assemble to the same.
        for number, place in enumerate(rows):
            if (place.repository, place.path) == (one.place.repository, one.place.path):
                rows[number] = replace(place, at_head=place.at_head or one.place.at_head)
                break
        else:
            rows.append(one.place)
    return [_seed(contents[sha256], rows, known) for sha256, rows in places.items() if rows]


def _seed(data: bytes, places: list[Place], known: SeedCatalogue) -> KnownSeed:
    sha256 = hashlib.sha256(data).hexdigest()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    before = known.by_sha256.get(sha256)
    order = [place.path for place in before.places] if before else []
    places.sort(key=lambda p: order.index(p.path) if p.path in order else len(order))
    path = places[0].path
    *folders, name = path.split("/")
    family = folders[0] if folders else "NATIVE" if places[0].assembled else "POSIX"
    arch = folders[1] if len(folders) > 1 else "x86"
    stem = name if name in _KINDS else name.rpartition(".")[0] or name
    kind = _KINDS.get(stem, stem)
    pins = before.pins if before else ()
    return KnownSeed(
        sha256, len(data), family, _ARCHES.get(arch, arch), kind, blob, tuple(places), pins
    )


def written(seeds: Sequence[KnownSeed]) -> str:
    """The tables of the catalogue."""
    return "".join("\n".join(_table(seed)) + "\n" for seed in seeds)


def _table(seed: KnownSeed) -> Iterator[str]:
    values = {key: value for key, value in vars(seed).items() if key not in ("places", "pins")}
    yield from ("\n[[seed]]", *_pairs(values))
    for place in seed.places:
        facts = dict(vars(place))
        if place.repository == SEEDS:
            del facts["repository"]
        if not place.assembled:
            del facts["assembled"]
        yield from ("\n[[seed.at]]", *_pairs(facts))
    for pin in seed.pins:
        order = "by", "sure", "nar_sha256", "cite"
        facts = {key: vars(pin)[key] for key in order if vars(pin)[key]}
        yield from ("\n[[seed.pin]]", *_pairs(facts))


def _pairs(values: dict[str, object]) -> Iterator[str]:
    # JSON's strings, numbers, lists and truth values are TOML's.
    for key, value in values.items():
        yield f"{key} = {json.dumps(value, ensure_ascii=False)}"


def main(seeds: str, builder: str) -> None:
    """Write the catalogue again; what stands above its first seed stays."""
    known = load()
    found = [
        *seeds_of(Path(seeds), SEEDS, dict(known.releases)),
        *seeds_of(Path(builder), BUILDER, {}),
    ]
    head = CATALOGUE.read_text(encoding="utf-8").partition("\n[[seed]]")[0]
    CATALOGUE.write_text(head + written(merged(known, found)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
