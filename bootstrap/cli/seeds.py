"""`bootstrap seeds list`: the known seeds; and what is known of one, for people and as JSON.

Files that users say are seeds are read here, too: never more than a seed can have, never waiting.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from bootstrap import host
from bootstrap.cli.output import document, show
from bootstrap.core.errors import BadInput, printable
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


# -- files that users say are seeds ---------------------------------------------------------------


STDIN = "-"
MAX_FILES = 100_000
LARGEST = 2 << 20
"""Bytes of a file that is a seed; the largest known one has 1.4 MiB."""

_KINDS = (
    (stat.S_ISDIR, "is a folder"),
    (stat.S_ISFIFO, "is a pipe"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


def read_file(name: str, limit: int, why: str) -> bytes:
    """The content of a regular file of 1 to ``limit`` bytes, or of standard input for ``-``.

    ``why`` says what the limit is.  Raises BadInput, in one line, for anything else; no more
    than ``limit`` bytes are ever read, and a pipe or a device is not opened.
    """
    if name == STDIN:
        return _whole(sys.stdin.buffer.read(limit + 1), "standard input", limit, why)
    path = printable(name)
    try:
        # First without opening: to open a device or a pipe can do things, or wait.
        _refuse(os.stat(name), path, limit, why)
        handle = os.open(name, os.O_RDONLY | host.BINARY | host.NONBLOCK | host.CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            _refuse(os.fstat(handle), path, limit, why)
            data = file.read(limit + 1)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadInput(f"{path}: is no file name: it holds a NUL") from None
    return _whole(data, path, limit, why)


def _refuse(status: os.stat_result, path: str, limit: int, why: str) -> None:
    for test, words in _KINDS:
        if test(status.st_mode):
            hint = "; give its content on standard input, as -" if words == "is a pipe" else ""
            raise BadInput(f"{path}: {words}, not a file{hint}")
    if status.st_size > limit:
        raise BadInput(f"{path}: has {status.st_size} bytes; {why} ({limit})")


def _whole(data: bytes, path: str, limit: int, why: str) -> bytes:
    if not data:
        raise BadInput(f"{path}: is empty")
    if len(data) > limit:
        raise BadInput(f"{path}: has more than {limit} bytes; {why} ({limit})")
    return data


def files_below(folder: str) -> Iterator[str]:
    """Every entry below a folder that is no folder, sorted; links and .git are not followed.

    Raises BadInput when the folder cannot be read or has more than MAX_FILES entries.
    """
    count = 0

    def refuse(error: OSError) -> None:
        raise BadInput(f"{printable(str(error.filename))}: cannot be read: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(names):
            count += 1
            if count > MAX_FILES:
                raise BadInput(f"{printable(folder)}: has more than {MAX_FILES} files")
            path = Path(place, name)
            if not path.is_symlink():
                yield str(path)
