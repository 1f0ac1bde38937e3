"""`bootstrap seeds show`: what each byte of a file means.

It may ask LIEF, whose licence keeps it out of a program with Unicorn: nothing that is imported here
leads to the engine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Iterator

from bootstrap.anatomy import dissect
from bootstrap.anatomy.claims import Anatomy
from bootstrap.anatomy.text import document as anatomy_document
from bootstrap.anatomy.text import render
from bootstrap.cli.live import has_colours
from bootstrap.cli.output import STDOUT, document, write_json
from bootstrap.cli.seeds import LARGEST, STDIN, about, read_file
from bootstrap.core.errors import BadInput, printable
from bootstrap.known.seeds import KnownSeed, SeedCatalogue, load


def run(args: argparse.Namespace) -> int:
    """Print the anatomy; 0.  Raises BadInput for a file that cannot be read."""
    if args.lines < 0:
        raise BadInput(f"--lines {args.lines}: must be 0 (all) or more")
    data = read_file(args.file, LARGEST, "larger files are not shown")
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
    value = document(schema="bootstrap-anatomy/1", file=printable(args.file), seed=name, **parts)
    write_json(args.json, value)
    return 0


def _anatomy(
    args: argparse.Namespace, catalogue: SeedCatalogue, seed: KnownSeed | None, anatomy: Anatomy
) -> Iterator[str]:
    path = "standard input" if args.file == STDIN else printable(args.file)
    yield f"{path}: {'no known seed' if seed is None else seed.name}"
    if seed is not None:
        yield from (f"  {line}" for line in list(about(catalogue, seed))[1:])
    yield from _lines(render(anatomy, has_colours(sys.stdout, os.environ)), args.lines)


def _lines(lines: Iterator[str], most: int) -> Iterator[str]:
    left = 0
    for number, line in enumerate(lines):
        if most and number >= most:
            left += 1
        else:
            yield line
    if left:
        yield f"and {left} more lines: --lines 0 prints all"
