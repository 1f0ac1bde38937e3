"""``bootstrap seeds list`` and ``identify``: what the catalogue knows."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bootstrap.cli.seed_files import STDIN, files_below, read_file, shown
from bootstrap.errors import BadInput

if TYPE_CHECKING:
    from bootstrap.catalogue.nearest import Nearest
    from bootstrap.catalogue.seeds import KnownSeed, Place, SeedCatalogue

SCHEMA = 1
DOWNSTREAMS = ("Guix", "nixpkgs", "StageX", "live-bootstrap")
_SURE = {"content": "the same content", "commit": "by a commit", "version": "by a version number"}
_LINES = 100
"""Unknown files of a folder that are listed; the rest is counted."""


def run_list(args: argparse.Namespace) -> int:
    """Print the catalogue; 0.  Raises BadInput for a filter that names nothing."""
    from bootstrap.catalogue.seeds import load

    catalogue = load()
    rows = _chosen(catalogue, args)
    if args.json is not None:
        listed = [{**seed_facts(seed), "place": _place_facts(place)} for seed, place in rows]
        write_json(args.json, {"source": catalogue.source, "seeds": listed})
        if args.json == "-":
            return 0
    print(f"{'arch':<8} {'kind':<26} {'size':>7}  {'first':<10}  {'sha256':<12}  path, releases")
    for seed, place in rows:
        kind = seed.kind if seed.family == "POSIX" else f"{seed.family} {seed.kind}"
        releases = ranges(place.releases, tuple(catalogue.releases)) or "in no release"
        print(
            f"{seed.arch:<8} {kind:<26} {seed.size:>7}  {place.day}  {seed.sha256[:12]}"
            f"  {place.path}, {releases}"
        )
    contents = len({seed.sha256 for seed, _ in rows})
    print(f"{len(rows)} rows, {contents} different contents")
    return 0


def _chosen(catalogue: SeedCatalogue, args: argparse.Namespace) -> list[tuple[KnownSeed, Place]]:
    from bootstrap.catalogue import arch_name
    from bootstrap.catalogue.seeds import FAMILIES, KINDS

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


def ranges(releases: Sequence[str], order: Sequence[str]) -> str:
    """Releases in words: neighbours in ``order`` are told as a range."""
    runs: list[list[str]] = []
    for release in order:
        if release not in releases:
            continue
        before = order.index(release) - 1
        if runs and order[before] == runs[-1][-1]:
            runs[-1].append(release)
        else:
            runs.append([release])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


@dataclass(frozen=True)
class _Answer:
    """What is to be said of one file.  ``fault`` says why it cannot be a seed, or be read."""

    name: str
    named: bool = True
    """Whether the user named this file, and not a folder it is in."""
    fault: str = ""
    size: int = 0
    sha256: str = ""
    seed: KnownSeed | None = None
    nearest: Nearest | None = None

    @property
    def status(self) -> str:
        if self.seed is not None:
            return "known"
        return "unreadable" if self.fault and self.named else "unknown"


class _Known:
    """The bytes of known seeds, looked for once and only when an unknown file asks for them."""

    def __init__(self, catalogue: SeedCatalogue) -> None:
        self.catalogue = catalogue
        self.found: Mapping[str, bytes] | None = None

    def nearest(self, data: bytes) -> Nearest | None:
        from bootstrap.catalogue.nearest import nearest
        from bootstrap.sources.seeds_at_hand import at_hand

        if self.found is None:
            self.found = at_hand(self.catalogue)
        return nearest(data, self.found)


def run_identify(args: argparse.Namespace) -> int:
    """Say what each file is: 0 all known, 1 one is not, 2 one cannot be read."""
    from bootstrap.catalogue.seeds import load

    catalogue = load()
    known = _Known(catalogue)
    answers = [
        answer for name in dict.fromkeys(args.file) for answer in _answers(catalogue, known, name)
    ]
    if args.json is not None:
        write_json(args.json, {"files": [_answer_facts(answer) for answer in answers]})
    if args.json != "-":
        for line in _said(answers, known):
            print(line)
    sys.stdout.flush()
    for answer in answers:
        if answer.status == "unreadable":
            print(f"bootstrap: {answer.fault}", file=sys.stderr)
    found = {answer.status for answer in answers}
    return 2 if "unreadable" in found else 1 if "unknown" in found or not answers else 0


def _answers(catalogue: SeedCatalogue, known: _Known, name: str) -> Iterator[_Answer]:
    if name == STDIN or not os.path.isdir(name):
        yield _answer(catalogue, known, name, True)
        return
    try:
        for path in files_below(name):
            yield _answer(catalogue, known, path, False)
    except BadInput as error:
        yield _Answer(name, fault=str(error))


def _answer(catalogue: SeedCatalogue, known: _Known, name: str, named: bool) -> _Answer:
    try:
        data = read_file(name, catalogue.largest, "the largest known seed is smaller")
    except BadInput as error:
        return _Answer(name, named, str(error))
    digest = hashlib.sha256(data).hexdigest()
    seed = catalogue.by_sha256.get(digest)
    if seed is not None:
        return _Answer(name, named, "", len(data), digest, seed)
    return _Answer(name, named, "", len(data), digest, nearest=known.nearest(data))


def _said(answers: Sequence[_Answer], known: _Known) -> Iterator[str]:
    from bootstrap.sources.seeds_at_hand import where_from

    catalogue, folded = known.catalogue, 0
    for answer in answers:
        path = "standard input" if answer.name == STDIN else shown(answer.name)
        if answer.seed is not None:
            yield f"{path}: {answer.seed.name}"
            yield from (f"  {line}" for line in about(catalogue, answer.seed))
        elif answer.status == "unknown":
            folded += not answer.named
            if answer.named or folded <= _LINES:
                yield from _unknown(catalogue, answer, path)
    if folded > _LINES:
        yield f"and {folded - _LINES} more unknown files"
    if len(answers) != 1:
        counts = [sum(a.status == word for a in answers) for word in ("known", "unknown")]
        yield f"{len(answers)} files: {counts[0]} known, {counts[1]} unknown"
    missing = len(catalogue.seeds) - len(known.found) if known.found is not None else 0
    if missing:
        yield f"not compared with {missing} of {len(catalogue.seeds)} known seeds, which are not"
        yield f"at hand: {where_from()}"


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


def _unknown(catalogue: SeedCatalogue, answer: _Answer, path: str) -> Iterator[str]:
    if answer.fault:
        yield f"{answer.fault}: no seed"
        return
    line = f"{path}: unknown, {answer.size} bytes, sha256 {answer.sha256}"
    yield line
    near = answer.nearest
    if near is None:
        if answer.named:
            same = [seed for seed in catalogue.seeds if seed.size == answer.size]
            names = ", ".join(f"{seed.name} {seed.sha256[:12]}" for seed in same)
            yield f"  known seeds of this size: {names or 'none'}"
            yield "  it resembles no known seed that is at hand"
        return
    seed = catalogue.by_sha256[near.sha256]
    yield f"  nearest: {seed.name}, {seed.size} bytes, sha256 {seed.sha256[:12]}...,"
    yield f"  from which {near.distance} byte{'s differ' if near.distance > 1 else ' differs'}"
    for change in near.changes[:8]:
        there, here = _hex(change.known), _hex(change.here)
        yield f"    at byte {change.offset:#x}: there {there}, here {here}"
    if len(near.changes) > 8:
        yield f"    and at {len(near.changes) - 8} more places"


def _hex(data: bytes) -> str:
    if not data:
        return "nothing"
    more = f" ... ({len(data)} bytes)" if len(data) > 16 else ""
    return data[:16].hex(" ") + more


def _answer_facts(answer: _Answer) -> dict[str, object]:
    facts: dict[str, object] = {"file": shown(answer.name), "status": answer.status}
    if answer.fault:
        facts["fault"] = answer.fault
    else:
        facts.update(size=answer.size, sha256=answer.sha256)
    if answer.seed is not None:
        seed = answer.seed
        facts["seed"] = {
            **seed_facts(seed), "places": [_place_facts(place) for place in seed.places]
        }  # fmt: skip
    if answer.nearest is not None:
        facts["nearest"] = {
            "sha256": answer.nearest.sha256,
            "distance": answer.nearest.distance,
            "changes": [
                {"offset": c.offset, "known": c.known.hex(), "here": c.here.hex()}
                for c in answer.nearest.changes
            ],
        }
    return facts


def seed_facts(seed: KnownSeed) -> dict[str, object]:
    """A seed as JSON, without its places."""
    return {
        "sha256": seed.sha256,
        "size": seed.size,
        "family": seed.family,
        "arch": seed.arch,
        "kind": seed.kind,
        "git_blob": seed.git_blob,
        "pins": [vars(pin) for pin in seed.pins],
    }


def _place_facts(place: Place) -> dict[str, object]:
    return {**vars(place), "tags": list(place.tags), "releases": list(place.releases)}


def write_json(dest: str, document: Mapping[str, object]) -> None:
    """Write a document with its schema and tool in front."""
    import bootstrap
    from bootstrap.cli.output import write_text

    tool = {"name": "bootstrap", "version": bootstrap.__version__}
    whole = {"schema": SCHEMA, "tool": tool, **document}
    write_text(dest, json.dumps(whole, indent=2) + "\n")
