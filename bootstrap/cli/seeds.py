"""`bootstrap seeds`: what is known of seeds, what a file is, and what each byte of it means.

``show`` may ask LIEF, whose licence keeps it out of a program with Unicorn, and so imports
nothing that leads to the engine; ``check`` runs the engine, and imports nothing of the anatomy.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.cli.output import document, show
from bootstrap.cli.seed_files import STDIN, read_file
from bootstrap.core.errors import BadInput, printable

if TYPE_CHECKING:
    from bootstrap.anatomy.claims import Anatomy
    from bootstrap.known.seeds import KnownSeed, Place, SeedCatalogue
    from bootstrap.runs.seed_check import Difference, SeedResult


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its own commands; imports nothing heavy."""
    parser = subparsers.add_parser(
        "seeds",
        help="list the known seeds; identify, take apart and check a file",
        description="What is known of every seed that bootstrap-seeds ever published, and what a"
        " file is, byte by byte.",
    )
    from bootstrap.cli import identify

    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_list(commands)
    identify.add_parser(commands)
    _add_show(commands)
    _add_check(commands)


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "list", help="the known seeds", description="The known seeds, one row for each place."
    )
    parser.add_argument("--arch", help="only this architecture, by any usual name, or knight")
    parser.add_argument("--kind", help="only this kind (hex0-seed, kaem-optional-seed, ...), or"
                        " this family (POSIX, NATIVE, UEFI)")  # fmt: skip
    parser.add_argument("--release", metavar="R", help="only what this release of stage0-posix has")
    _add_json(parser)
    parser.set_defaults(run=run_list)


def _add_show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "show",
        help="the anatomy of a file: what each byte of it is",
        description="The anatomy of a seed, in file order: each header field with its meaning,"
        " each instruction, strings, padding, and what nothing uses. Every byte is in exactly one"
        " part; where several readings lie over one another, all are shown.",
    )
    parser.add_argument("file", metavar="FILE", help="a file, or - for stdin")
    parser.add_argument("--lines", type=int, default=20_000, metavar="N",
                        help="print at most N lines (default 20000; 0: all)")  # fmt: skip
    _add_json(parser)
    parser.set_defaults(run=run_show)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "check",
        help="hold a seed against its hex0 source",
        description="Assemble the source by the pure model and by a hex0 seed that runs in the"
        " emulator, and compare both with the file, byte by byte. A hex0 seed assembles its own"
        " source; for another seed the 181-byte x86 seed does, or the one that --by names.",
        epilog="Exit status: 0 all three agree, 1 they differ, 2 bad input, 3 the seed that was"
        " run failed.",
    )
    parser.add_argument("file", metavar="FILE", help="the seed, or - for stdin")
    parser.add_argument("--source", required=True, metavar="HEX0", help="its hex0 source")
    parser.add_argument("--by", metavar="SEED", help="the hex0 seed to run on the source")
    _add_json(parser)
    parser.set_defaults(run=run_check)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", help="write it as JSON ('-': standard output)")


SCHEMA = 1
DOWNSTREAMS = ("Guix", "nixpkgs", "StageX", "live-bootstrap")
_SURE = {"content": "the same content", "commit": "by a commit", "version": "by a version number"}


def run_list(args: argparse.Namespace) -> int:
    """Print the catalogue; 0.  Raises BadInput for a filter that names nothing."""
    from bootstrap.cli.verify import check_report_places
    from bootstrap.known.seeds import load

    check_report_places(args.json)
    catalogue = load()
    rows = _chosen(catalogue, args)
    listed = [{**seed_facts(seed), "place": place} for seed, place in rows]
    value = document(schema=SCHEMA, source=catalogue.source, seeds=listed)
    show(_table(catalogue, rows), args.json, value)
    return 0


def _table(catalogue: SeedCatalogue, rows: list[tuple[KnownSeed, Place]]) -> Iterator[str]:
    from bootstrap.known.lookup import ranges

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
    from bootstrap.known import arch_name
    from bootstrap.known.seeds import FAMILIES, KINDS

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
    from bootstrap.known.lookup import ranges

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


_LARGEST = 2 << 20
"""Bytes of a file that is taken apart; the largest known seed has 1.4 MiB."""
_SOURCE = 1 << 20
"""Bytes of a hex0 source; upstream's largest has 32 KB."""


def run_show(args: argparse.Namespace) -> int:
    """Print the anatomy; 0.  Raises BadInput for a file that cannot be read."""
    from bootstrap.anatomy import dissect
    from bootstrap.anatomy.text import document as anatomy_document
    from bootstrap.cli.output import STDOUT, write_json
    from bootstrap.cli.verify import check_report_places
    from bootstrap.known.seeds import load

    check_report_places(args.json)
    if args.lines < 0:
        raise BadInput(f"--lines {args.lines}: must be 0 (all) or more")
    data = read_file(args.file, _LARGEST, "larger files are not taken apart")
    catalogue = load()
    seed = catalogue.by_sha256.get(hashlib.sha256(data).hexdigest())
    anatomy = dissect(data, knight=seed is not None and seed.arch == "knight")
    if args.json != STDOUT:
        # Escaped where it was made; here it may have colours.
        encoding = sys.stdout.encoding or "utf-8"
        for line in _anatomy(args, catalogue, seed, anatomy):
            print(line.encode(encoding, "backslashreplace").decode(encoding))
    name = None if seed is None else seed.name
    parts = anatomy_document(anatomy)
    value = document(schema=SCHEMA, file=printable(args.file), seed=name, **parts)
    write_json(args.json, value)
    return 0


def _anatomy(
    args: argparse.Namespace, catalogue: SeedCatalogue, seed: KnownSeed | None, anatomy: Anatomy
) -> Iterator[str]:
    from bootstrap.anatomy.text import render

    path = "standard input" if args.file == STDIN else printable(args.file)
    yield f"{path}: {'no known seed' if seed is None else seed.name}"
    if seed is not None:
        yield from (f"  {line}" for line in list(about(catalogue, seed))[1:])
    terminal = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    yield from _lines(render(anatomy, terminal), args.lines)


def _lines(lines: Iterator[str], most: int) -> Iterator[str]:
    left = 0
    for number, line in enumerate(lines):
        if most and number >= most:
            left += 1
        else:
            yield line
    if left:
        yield f"and {left} more lines: --lines 0 prints all"


def run_check(args: argparse.Namespace) -> int:
    """Hold a seed against its source: 0 three agree, 1 they differ, 3 the seed that ran failed."""
    from bootstrap.cli.verify import check_report_places
    from bootstrap.instruments import default_engine
    from bootstrap.known.seeds import load
    from bootstrap.runs.seed_check import check

    check_report_places(args.json)
    if STDIN == args.file == args.source:
        raise BadInput("the seed and its source cannot both be standard input")
    seed = read_file(args.file, _LARGEST, "no seed has that many")
    source = read_file(args.source, _SOURCE, "no hex0 source of a seed has that many")
    known = load().by_sha256.get(hashlib.sha256(seed).hexdigest())
    assembler, words, note = _assembler(seed, None if known is None else known.kind, args.by)
    checked = check(seed, source, printable(args.source), assembler, words, default_engine())
    name = "no known seed" if known is None else known.name
    first = f"{printable(args.file)}: {name}, {len(seed)} bytes, sha256 {_sha(seed)}"
    value = _document(args, seed, checked, note)
    show([first, *_outcome(args, checked, note)], args.json, value)
    if checked.same:
        return 0
    return 1 if checked.model_differs or checked.run.output is not None else 3


def _assembler(seed: bytes, kind: str | None, by: str | None) -> tuple[bytes, str, str]:
    """The hex0 seed to run, its name, and why it is not the file itself ("" if it is)."""
    from bootstrap.known import data_dir
    from bootstrap.runs.seed_check import abi_of

    program, words, note = seed, "the file itself", ""
    if by is not None:
        program = read_file(by, _LARGEST, "no seed has that many")
        words = printable(by)
    abi = abi_of(program)
    runs = abi is not None
    if by is not None:
        if not runs:
            raise BadInput(f"--by {by}: no program of an architecture that is emulated here")
        return program, words, "--by names another"
    if kind in (None, "hex0-seed") and runs:
        return program, words, note
    if kind not in (None, "hex0-seed"):
        note = f"a {kind} is no assembler"
    elif abi is not None:
        note = f"the engine does not have {abi.upstream} yet"
    else:
        note = "it is no Linux program of an architecture that is emulated here"
    carried = Path("x86", "hex0-seed")
    program = (data_dir("seeds") / carried.parts[0] / carried.parts[1]).read_bytes()
    return program, f"the {len(program)}-byte x86 hex0-seed", note


def _outcome(args: argparse.Namespace, checked: SeedResult, note: str) -> Iterator[str]:
    run = checked.run
    yield f"  source          {printable(args.source)}"
    yield f"  pure model      {_verdict(checked.model_differs)}, sha256 {_sha(checked.model)}"
    ran = f"{run.assembler}, emulated" + (f" ({note})" if note else "")
    if run.output is None:
        yield f"  emulated seed   failed: {run.failure[0]}"
        yield from (f"                  {line}" for line in run.failure[1:])
    else:
        yield f"  emulated seed   {_verdict(checked.run_differs)}, sha256 {_sha(run.output)}"
    yield f"  that ran        {ran}"
    for who, differs in (("model", checked.model_differs), ("emulated seed", checked.run_differs)):
        if differs is not None:
            yield from _first(who, differs)
    for oddity in checked.oddities[:5]:
        place = f"{oddity.file}:{oddity.position.line}:{oddity.position.column}"
        yield f"  note: {place}: {oddity.reason}"
    if len(checked.oddities) > 5:
        yield f"  note: and {len(checked.oddities) - 5} more places like these"
    if checked.same:
        yield "  three opinions, one content: the file is what its source says"


def _verdict(differs: Difference | None) -> str:
    return "the same" if differs is None else f"DIFFERS at byte {differs.offset:#x}"


def _first(who: str, differs: Difference) -> Iterator[str]:
    file = "the file ends" if differs.expected is None else f"the file has {differs.expected:02x}"
    there = "ends" if differs.found is None else f"has {differs.found:02x}"
    yield f"  first difference: byte {differs.offset:#x}: {file}, the {who} {there}"
    origin = differs.origin
    if origin is None:
        yield "    the source writes no byte there"
    else:
        comment = "".join(letter for letter in origin.comment if letter.isprintable())
        place = f"{origin.file}:{origin.line}:{origin.columns[0]}"
        yield f"    written at {place}{f'  # {comment}' if comment else ''}"


def _document(
    args: argparse.Namespace, seed: bytes, checked: SeedResult, note: str
) -> dict[str, object]:
    run = checked.run
    return document(
        schema=SCHEMA,
        file=printable(args.file),
        source=printable(args.source),
        same=checked.same,
        sha256=_sha(seed),
        model={"sha256": _sha(checked.model), "differs": _facts(checked.model_differs)},
        emulated={
            "assembler": run.assembler,
            "note": note,
            "sha256": None if run.output is None else _sha(run.output),
            "failure": run.failure,
            "differs": _facts(checked.run_differs),
        },
        oddities=[
            {"line": o.position.line, "column": o.position.column, "reason": o.reason}
            for o in checked.oddities
        ],
    )


def _facts(differs: Difference | None) -> dict[str, object] | None:
    if differs is None:
        return None
    origin = differs.origin
    return {
        "offset": differs.offset,
        "file": differs.expected,
        "found": differs.found,
        "line": None if origin is None else origin.line,
        "columns": None if origin is None else list(origin.columns),
        "comment": None if origin is None else origin.comment,
    }


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
