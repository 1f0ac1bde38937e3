"""`bootstrap trace show`, `index`, `hot`, `coverage`, `export`; the instructions in `tree`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator

from bootstrap import trace
from bootstrap.cli import output
from bootstrap.cli.live import LiveLine
from bootstrap.cli.output import say, write_pieces
from bootstrap.core.errors import BadInput
from bootstrap.instruments import default_engine
from bootstrap.timeline.checkpoints import beside, checkpoints_of, is_stale
from bootstrap.timeline.export.drcov import counts, drcov
from bootstrap.timeline.export.perfetto import perfetto
from bootstrap.timeline.export.tenet import MOST, tenet, window
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.indexing import build
from bootstrap.timeline.profile import count, coverage, hot_spots
from bootstrap.timeline.render import (
    coverage_json,
    coverage_lines,
    hot_json,
    hot_lines,
    show_json,
    show_lines,
)
from bootstrap.timeline.state import memory_wanted, show
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.calls import CallFilter
from bootstrap.trace.coordinates import have_pid, parse, programs_of
from bootstrap.trace.log import log
from bootstrap.trace.store import ProgramRow, Trace
from bootstrap.trace.views import files_graph

SCHEMA = "bootstrap-trace-coverage/1"


class ReplayLine(LiveLine):
    """The live line of what runs a trace again."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace
        self.doing = ""

    def at_instruction(self, row: int, executed: int) -> None:
        """A program has come to that instruction."""
        self.show(f"{self.doing}{self._trace.program(row).label}: {executed:,} instructions")

    def at_event(self, event: int) -> None:
        """A run of all of it has come to that system call."""
        self.show(f"{self.doing}{event:,} of {self._trace.events:,} system calls")


@contextlib.contextmanager
def travelling(name: str, indexed: bool = True) -> Iterator[tuple[Trace, Timeline, ReplayLine]]:
    """An open trace, and who travels in it.

    `indexed` False does without the index beside the trace.
    """
    with trace.open(name) as opened, ReplayLine(opened) as line:
        if indexed and is_stale(opened):
            text = f"bootstrap: {beside(opened)}: is not of this trace, and is not used; "
            say([f"{text}`bootstrap trace index` makes a new one"], sys.stderr)
        kept = checkpoints_of(opened) if indexed else None
        traveller = Timeline(opened, default_engine(), line.at_instruction, checkpoints=kept)
        try:
            yield opened, traveller, line
        finally:
            traveller.close()


def run_show(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError, KeyboardInterrupt."""
    place = parse(args.place)
    memory = None if args.memory is None else memory_wanted(args.memory)
    with travelling(args.trace) as (opened, traveller, _line):
        traveller.go(place)
        found = show(traveller, ProgramImages(opened), memory)
    output.show(show_lines(found), args.json, show_json(found))
    return 0


def run_index(args: argparse.Namespace) -> int:
    """Make it. Raises BootstrapError, KeyboardInterrupt."""
    with travelling(args.trace, indexed=False) as (opened, traveller, line):

        def progress(row: int, executed: int) -> None:
            line.doing = f"program {row} of {len(opened.programs)}, "
            traveller.progress(row, executed)

        name = beside(opened)
        total = build(opened, default_engine(), name, progress)
        programs = len(opened.programs)
    size = os.stat(name).st_size
    found = {
        "schema": "bootstrap-trace-indexed/1",
        "file": name, "size": size, "programs": programs, "instructions": total,
    }  # fmt: skip
    text = f"{name}: {total:,} instructions in {programs} programs; {size:,} bytes"
    output.show([text], args.json, found)
    return 0


def run_hot(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError, KeyboardInterrupt."""
    if args.top < 1:
        raise BadInput(f"--top {args.top}: at least 1")
    with travelling(args.trace) as (opened, traveller, line):
        programs = opened.programs
        if args.pid:
            programs = [p for pid in dict.fromkeys(args.pid) for p in programs_of(opened, pid)]
        line.doing = f"counting {len(programs)} programs: "
        found = list(count(traveller, ProgramImages(opened), programs).values())
        rows = hot_spots(found)
        hashes = opened.hashes()
    lines = hot_lines(found, rows, args.top)
    output.show(lines, args.json, hot_json(found, rows, args.top, hashes))
    return 0


def run_coverage(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError, KeyboardInterrupt."""
    with travelling(args.trace) as (opened, traveller, line):
        images = ProgramImages(opened)
        versions = images.find(args.binary)
        programs = [p for p in opened.programs if p.image in versions]
        line.doing = f"counting {len(programs)} programs: "
        found = [coverage(one) for one in count(traveller, images, programs).values()]
        hashes = opened.hashes()
    parts = [(one, hashes[one.counted.version][0]) for one in found]
    value = {"schema": SCHEMA, "images": [coverage_json(*one) for one in parts]}
    lines = (text for one in parts for text in coverage_lines(*one, args.all))
    output.show(lines, args.json, value)
    return 0


def instructions(name: str) -> dict[int, int]:
    """Of every program of a trace, how many instructions it executes: runs all of them again.

    Raises BootstrapError, KeyboardInterrupt.
    """
    with travelling(name) as (opened, traveller, line):
        found = {}
        for program in opened.programs:
            line.doing = f"counting program {program.id} of {len(opened.programs)}: "
            found[program.id] = traveller.total(program.id)
        return found


def run_export(args: argparse.Namespace) -> int:
    """Write it. Raises BootstrapError, KeyboardInterrupt."""
    _check(args)
    if args.format in ("strace", "dot"):
        with trace.open(args.trace) as opened:
            write_pieces(args.output, _read(args, opened))
        return 0

    with travelling(args.trace) as (opened, traveller, line):
        programs = opened.programs if args.pid is None else have_pid(opened, args.pid)
        line.doing = f"{args.format}: "
        write_pieces(args.output, _travelled(args, traveller, programs))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises BadInput for options that do not go together."""
    if args.format != "tenet":
        for value, option in (
            (args.from_, "--from"), (args.count, "--count"), (args.most, "--most"),
        ):  # fmt: skip
            if value is not None:
                raise BadInput(f"{option} goes with --format tenet only")
    elif (args.from_ is None) == (args.pid is None):
        raise BadInput("--format tenet: name a program with --pid N, or a place with --from PLACE")
    if args.format in ("perfetto", "dot") and args.pid is not None:
        raise BadInput(f"--pid: {args.format} shows all processes together; leave it out")
    for value, option in ((args.count, "--count"), (args.most, "--most")):
        if value is not None and value < 1:
            raise BadInput(f"{option} {value}: at least 1")


def _read(args: argparse.Namespace, opened: Trace) -> Iterator[bytes]:
    if args.format == "dot":
        return iter(files_graph(opened, "dot").encode().splitlines(keepends=True))
    wanted = CallFilter(opened, pids=() if args.pid is None else (args.pid,))
    return (f"{line}\n".encode() for line in log(opened, wanted))


def _travelled(
    args: argparse.Namespace, traveller: Timeline, programs: list[ProgramRow]
) -> Iterator[bytes]:
    if args.format == "perfetto":
        yield from perfetto(traveller)
        return
    if args.format == "drcov":
        yield from drcov(counts(traveller, programs))
        return
    traveller.go(parse(args.from_ or f"{args.pid}@0"))
    row, start = traveller.row, traveller.executed
    wanted = None if args.count is None else start + args.count
    end = window(traveller, row, start, wanted, args.most or MOST)
    yield from tenet(traveller, default_engine(), row, start, end)
