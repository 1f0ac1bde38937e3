"""`bootstrap seeds list`: the known seeds; and what is known of one, for people and as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from bootstrap.cli.output import document, show
from bootstrap.core.errors import BadInput
from bootstrap.known import arch_name
from bootstrap.known.lookup import ranges
from bootstrap.known.seeds import FAMILIES, KINDS, KnownSeed, Place, SeedCatalogue, load

SCHEMA = "bootstrap-seeds/1"
DOWNSTREAMS = ("Guix", "nixpkgs", "StageX", "live-bootstrap")
_SURE = {"content": "the same content", "commit": "by a commit", "version": "by a version number"}


def run_list(args: argparse.Namespace) -> int:
    """Print the catalogue; 0.  Raises BadInput for a filter that names nothing."""
    catalogue = load()
    rows = _chosen(catalogue, args)
    listed = [{**seed_facts(seed), "place": place} for seed, place in rows]
    value = document(schema=SCHEMA, source=catalogue.source, seeds=listed)
    show(_table(catalogue, rows), args.json, value)
    return 0


def _table(catalogue: SeedCatalogue, rows: list[tuple[KnownSeed, Place]]) -> Iterator[str]:
    yield f"{'arch':<8} {'kind':<26} {'size':>7}  {'first':<10}  {'sha256':<12}  path, releases"
    for seed, place in rows:
        kind = seed.kind if seed.family == "POSIX" else f"{seed.family} {seed.kind}"
        releases = ranges(place.releases, tuple(catalogue.releases)) or "in no release"
        yield (
            f"{seed.arch:<8} {kind:<26} {seed.size:>7}  {place.day}  {seed.sha256[:12]}"
            f"  {place.path}, {releases}"
        )
    contents = len({seed.sha256 for seed, _ in rows})
    yield f"{len(rows)} rows, {contents} different contents"


def _chosen(catalogue: SeedCatalogue, args: argparse.Namespace) -> list[tuple[KnownSeed, Place]]:
    rows = list(catalogue.rows())
    if args.arch is not None:
        arch = "knight" if args.arch.lower() == "knight" else arch_name(args.arch)
        rows = [row for row in rows if row[0].arch == arch]
    if args.kind is not None:
        families = {family.lower(): family for family in FAMILIES}
        family = families.get(args.kind.lower())
        if family is None and args.kind not in KINDS:
            known = ", ".join((*KINDS, *FAMILIES))
            raise BadInput(f"--kind {args.kind}: not known; known: {known}")
        rows = [row for row in rows if args.kind == row[0].kind or family == row[0].family]
    if args.release is not None:
        if args.release not in catalogue.releases:
            known = ", ".join(catalogue.releases)
            raise BadInput(f"--release {args.release}: no seeds are known of it; known: {known}")
        rows = [row for row in rows if args.release in row[1].releases]
    return rows


def about(catalogue: SeedCatalogue, seed: KnownSeed) -> Iterator[str]:
    """What is known of a seed, in lines."""
    yield f"{seed.size} bytes, sha256 {seed.sha256}"
    for place in sorted(seed.places, key=lambda place: place.first_date):
        what = "assembled from " if place.assembled else ""
        commit = f"commit {place.first_commit[:12]} of {place.repository}"
        yield f"{what}{place.path} since {place.day}, {commit}"
    releases = ranges(seed.releases, tuple(catalogue.releases))
    yield f"in stage0-posix {releases}" if releases else "in no release of stage0-posix"
    pins = {pin.by: pin for pin in seed.pins}
    for name in DOWNSTREAMS:
        if name in pins:
            yield f"used by {name} ({_SURE[pins[name].sure]})"
            yield f"  see {pins[name].cite}"
    unknown = [name for name in DOWNSTREAMS if name not in pins]
    if unknown:
        yield f"no pin known: {', '.join(unknown)}"


def seed_facts(seed: KnownSeed) -> dict[str, object]:
    """A seed as JSON, without its places."""
    return {
        "sha256": seed.sha256,
        "size": seed.size,
        "family": seed.family,
        "arch": seed.arch,
        "kind": seed.kind,
        "git_blob": seed.git_blob,
        "pins": seed.pins,
    }
