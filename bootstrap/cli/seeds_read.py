"""``bootstrap seeds show`` and ``check``: what each byte of a seed is, and whether it is right.

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

from bootstrap.cli.seed_files import STDIN, read_file
from bootstrap.cli.seeds_known import about, show
from bootstrap.core.errors import BadInput, printable

if TYPE_CHECKING:
    from bootstrap.anatomy.model import Anatomy
    from bootstrap.known.seeds import KnownSeed, SeedCatalogue
    from bootstrap.runs.seed_check import Checked, Difference

_LARGEST = 2 << 20
"""Bytes of a file that is taken apart; the largest known seed has 1.4 MiB."""
_SOURCE = 1 << 20
"""Bytes of a hex0 source; upstream's largest has 32 KB."""


def run_show(args: argparse.Namespace) -> int:
    """Print the anatomy; 0.  Raises BadInput for a file that cannot be read."""
    from bootstrap.anatomy import dissect
    from bootstrap.anatomy.text import document
    from bootstrap.cli.output import STDOUT
    from bootstrap.cli.verify import check_report_places
    from bootstrap.known.seeds import load

    check_report_places(args.json)
    if args.lines < 0:
        raise BadInput(f"--lines {args.lines}: must be 0 (all) or more")
    data = read_file(args.file, _LARGEST, "larger files are not taken apart")
    catalogue = load()
    seed = catalogue.by_sha256.get(hashlib.sha256(data).hexdigest())
    anatomy = dissect(data, knight=seed is not None and seed.arch == "knight")
    facts = {"file": printable(args.file), "seed": None if seed is None else seed.name}
    if args.json != STDOUT:
        # Escaped where it was made; here it may have colours.
        encoding = sys.stdout.encoding or "utf-8"
        for line in _anatomy(args, catalogue, seed, anatomy):
            print(line.encode(encoding, "backslashreplace").decode(encoding))
    show((), args.json, {**facts, **document(anatomy)})
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
    show([first, *_told(args, checked, note)], args.json, _document(args, seed, checked, note))
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


def _told(args: argparse.Namespace, checked: Checked, note: str) -> Iterator[str]:
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
    args: argparse.Namespace, seed: bytes, checked: Checked, note: str
) -> dict[str, object]:
    run = checked.run
    return {
        "file": printable(args.file),
        "source": printable(args.source),
        "same": checked.same,
        "sha256": _sha(seed),
        "model": {"sha256": _sha(checked.model), "differs": _facts(checked.model_differs)},
        "emulated": {
            "assembler": run.assembler,
            "note": note,
            "sha256": None if run.output is None else _sha(run.output),
            "failure": list(run.failure),
            "differs": _facts(checked.run_differs),
        },
        "oddities": [
            {"line": o.position.line, "column": o.position.column, "reason": o.reason}
            for o in checked.oddities
        ],
    }


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
