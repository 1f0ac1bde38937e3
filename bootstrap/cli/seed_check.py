"""`bootstrap seeds check`: a seed held against its source. It imports nothing of the anatomy."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator

from bootstrap.cli.output import document, show
from bootstrap.cli.seeds import LARGEST, STDIN, read_file
from bootstrap.core.errors import BadInput, printable
from bootstrap.instruments import default_engine
from bootstrap.known import data_dir
from bootstrap.known.seeds import load
from bootstrap.runs.seed_check import Difference, SeedResult, abi_of, check

_SOURCE = 1 << 20
"""Bytes of a hex0 source; upstream's largest has 32 KB."""


def run(args: argparse.Namespace) -> int:
    """Hold a seed against its source: 0 three agree, 1 they differ, 3 the seed that ran failed."""
    if STDIN == args.file == args.hex0:
        raise BadInput("the seed and its source cannot both be standard input")
    seed = read_file(args.file, LARGEST, "no seed has that many")
    source = read_file(args.hex0, _SOURCE, "no hex0 source of a seed has that many")
    known = load().by_sha256.get(hashlib.sha256(seed).hexdigest())
    assembler, words, note = _assembler(seed, None if known is None else known.kind, args.by)
    checked = check(seed, source, printable(args.hex0), assembler, words, default_engine())
    name = "no known seed" if known is None else known.name
    first = f"{printable(args.file)}: {name}, {len(seed)} bytes, sha256 {_sha(seed)}"
    value = _document(args, seed, checked, note)
    show([first, *_outcome(args, checked, note)], args.json, value)
    if checked.same:
        return 0
    return 1 if checked.model_differs or checked.run.output is not None else 3


def _assembler(seed: bytes, kind: str | None, by: str | None) -> tuple[bytes, str, str]:
    """The hex0 seed to run, its name, and why it is not the file itself ("" if it is)."""
    program, words, note = seed, "the file itself", ""
    if by is not None:
        program = read_file(by, LARGEST, "no seed has that many")
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
        note = f"a {kind} is not an assembler"
    elif abi is not None:
        note = f"the engine does not have {abi.upstream} yet"
    else:
        note = "it is no Linux program of an architecture that is emulated here"
    program = (data_dir("seeds") / "x86" / "hex0-seed").read_bytes()
    return program, f"the {len(program)}-byte x86 hex0-seed", note


def _outcome(args: argparse.Namespace, checked: SeedResult, note: str) -> Iterator[str]:
    run = checked.run
    yield f"  source          {printable(args.hex0)}"
    yield f"  pure model      {_verdict(checked.model_differs)}, sha256 {_sha(checked.model)}"
    if run.output is None:
        yield f"  emulated seed   failed: {run.failure[0]}"
        yield from (f"                  {line}" for line in run.failure[1:])
    else:
        yield f"  emulated seed   {_verdict(checked.run_differs)}, sha256 {_sha(run.output)}"
    yield f"  that ran        {run.assembler}, emulated{f' ({note})' if note else ''}"
    for who, differs in (("model", checked.model_differs), ("emulated seed", checked.run_differs)):
        if differs is not None:
            yield from _first(who, differs, printable(args.hex0))
    for oddity in checked.oddities[:5]:
        place = f"{oddity.file}:{oddity.position.line}:{oddity.position.column}"
        yield f"  note: {place}: {oddity.reason}"
    if len(checked.oddities) > 5:
        yield f"  note: and {len(checked.oddities) - 5} more places like these"
    if checked.same:
        yield "  all three agree: the file is what its source says"


def _verdict(differs: Difference | None) -> str:
    return "the same" if differs is None else f"DIFFERS at byte {differs.offset:#x}"


def _first(who: str, differs: Difference, source: str) -> Iterator[str]:
    file = "the file ends" if differs.file is None else f"the file has {differs.file:02x}"
    there = "ends" if differs.found is None else f"has {differs.found:02x}"
    yield f"  first difference: byte {differs.offset:#x}: {file}, the {who} {there}"
    if differs.columns is None:
        yield "    the source writes no byte there"
    else:
        comment = "".join(letter for letter in differs.comment or "" if letter.isprintable())
        place = f"{source}:{differs.line}:{differs.columns[0]}"
        yield f"    written at {place}{f'  # {comment}' if comment else ''}"


def _document(
    args: argparse.Namespace, seed: bytes, checked: SeedResult, note: str
) -> dict[str, object]:
    run = checked.run
    return document(
        schema="bootstrap-seed-check/1",
        file=printable(args.file),
        source=printable(args.hex0),
        same=checked.same,
        sha256=_sha(seed),
        model={"sha256": _sha(checked.model), "differs": checked.model_differs},
        emulated={
            "assembler": run.assembler,
            "note": note,
            "sha256": None if run.output is None else _sha(run.output),
            "failure": run.failure,
            "differs": checked.run_differs,
        },
        oddities=[
            {"line": o.position.line, "column": o.position.column, "reason": o.reason}
            for o in checked.oddities
        ],
    )


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
