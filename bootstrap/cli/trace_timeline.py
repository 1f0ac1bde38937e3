"""`bootstrap trace show`, `index`, `hot`, `coverage`, `export`; the instructions in `tree`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bootstrap.cli import output
from bootstrap.cli.live import LiveLine
from bootstrap.core.errors import BadInput

if TYPE_CHECKING:
    from bootstrap.timeline.timeline import Timeline
    from bootstrap.trace.store import ProgramRow, Trace

SCHEMA = 1


def add_parsers(reader: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; `reader(name, run, help, description)` makes one that reads a trace."""
    from_ = "the same as JSON ('-': standard output)"
    show = reader(
        "show",
        run_show,
        "a process at any instruction: registers, code, stack, memory, files",
        "Go to a place and show the process as it was there: registers, the instructions that ran "
        "last and those that come next, with labels and source lines where a language model "
        "knows them, stack, mapped memory, open files with their offsets, the system call before "
        "and the one after. A place is PID@N (after N instructions of the last program of that "
        "process), PID.EXEC@N (of a certain one: 0 as forked, 1 its first execve), PID#K (just "
        "after its K-th system call), PID#K+N, or eEVENT (after that system call of the run).",
    )
    show.add_argument("place", metavar="COORD", help="such as 17@5000, 17#12, 17#12+3 or e4711")
    show.add_argument(
        "--memory", metavar="ADDR[:LEN]", help="show so many bytes there too (default: 64)"
    )
    show.add_argument("--json", metavar="FILE", help=from_)
    reader(
        "index",
        run_index,
        "make every place of a trace quick to reach",
        "Run every program of the trace again, once, and keep the machine every 50 million "
        "instructions in TRACE.index, from which all commands that go to a place then start, and "
        "`tree --instructions` has its numbers. It takes minutes for a whole architecture, and "
        "some hundred megabytes. The trace is not changed; the index can be deleted.",
    )
    hot = reader(
        "hot",
        run_hot,
        "which functions or labels the instructions went to",
        "Run every program of the trace again, count its instructions, and show the hottest "
        "functions, or labels, or addresses where no language model knows the image. An "
        "instruction counts once, one with a REP prefix too.",
    )
    hot.add_argument("--pid", type=int, action="append", metavar="N", help="only this process")
    hot.add_argument(
        "--top", type=int, default=20, metavar="N", help="how many to show (default: 20)"
    )
    hot.add_argument("--json", metavar="FILE", help=from_)
    coverage = reader(
        "coverage",
        run_coverage,
        "which bytes of a program ever ran, and what never did",
        "Run every program of the trace that ran this image again, and show which bytes of the "
        "file were ever executed. What never was is listed, with labels and source lines where a "
        "language model knows them. Data that a program only reads counts as not run.",
    )
    coverage.add_argument(
        "binary", metavar="BINARY", help="its path, or 8 or more digits of its SHA-256"
    )
    coverage.add_argument(
        "--all", action="store_true", help="list all of what never ran, however long"
    )
    coverage.add_argument("--json", metavar="FILE", help=from_)
    _add_export(reader)


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
    from bootstrap import trace
    from bootstrap.cli.output import say
    from bootstrap.instruments import default_engine
    from bootstrap.timeline.checkpoints import beside, checkpoints_of, is_stale
    from bootstrap.timeline.timeline import Timeline

    with trace.open(name) as opened, ReplayLine(opened) as line:
        if indexed and is_stale(opened):
            text = f"bootstrap: {beside(opened)}: is not of this trace, and is not used; "
            say([f"{text}`bootstrap trace index` makes it anew"], sys.stderr)
        kept = checkpoints_of(opened) if indexed else None
        traveller = Timeline(opened, default_engine(), line.at_instruction, checkpoints=kept)
        try:
            yield opened, traveller, line
        finally:
            traveller.close()


def run_show(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError, KeyboardInterrupt."""
    from bootstrap.timeline.images import ProgramImages
    from bootstrap.timeline.render import show_json, show_lines
    from bootstrap.timeline.state import memory_wanted, show
    from bootstrap.trace.coordinates import parse

    place = parse(args.place)
    memory = None if args.memory is None else memory_wanted(args.memory)
    with travelling(args.trace) as (opened, traveller, _line):
        traveller.go(place)
        found = show(traveller, ProgramImages(opened), memory)
    output.show(show_lines(found), args.json, show_json(found))
    return 0


def run_index(args: argparse.Namespace) -> int:
    """Make it. Raises BootstrapError, KeyboardInterrupt."""
    from bootstrap.cli.output import say
    from bootstrap.instruments import default_engine
    from bootstrap.timeline.checkpoints import beside
    from bootstrap.timeline.indexing import build

    with travelling(args.trace, indexed=False) as (opened, traveller, line):

        def progress(row: int, executed: int) -> None:
            line.doing = f"program {row} of {len(opened.programs)}, "
            traveller.progress(row, executed)

        name = beside(opened)
        total = build(opened, default_engine(), name, progress)
        programs = len(opened.programs)
    size = os.stat(name).st_size
    say([f"{name}: {total:,} instructions in {programs} programs; {size:,} bytes"])
    return 0


def run_hot(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError, KeyboardInterrupt."""
    from bootstrap.core.errors import BadInput
    from bootstrap.timeline.images import ProgramImages
    from bootstrap.timeline.profile import count, hot_spots
    from bootstrap.timeline.render import hot_json, hot_lines
    from bootstrap.trace.coordinates import programs_of

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
    from bootstrap.timeline.images import ProgramImages
    from bootstrap.timeline.profile import count, coverage
    from bootstrap.timeline.render import coverage_json, coverage_lines

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


FORMATS = ("strace", "drcov", "perfetto", "tenet", "dot")


def _add_export(reader: Callable[..., argparse.ArgumentParser]) -> None:
    parser = reader(
        "export",
        run_export,
        "for other tools: strace, drcov, perfetto, tenet, dot",
        "Write the trace, or a part of it, in another tool's format. strace: the system calls as "
        "text. dot: who wrote and read which file, for Graphviz. perfetto: the process tree with "
        "instructions as time, for ui.perfetto.dev and chrome://tracing. drcov: which basic blocks "
        "ran, for Lighthouse and others. tenet: registers and memory, instruction by instruction, "
        "of a window of one program. The last three run the programs again: docs/trace-export.md.",
    )
    parser.add_argument("--format", required=True, choices=FORMATS, help="what to write")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="where ('-': standard output)"
    )
    parser.add_argument(
        "--pid", type=int, metavar="N", help="only this process: strace, drcov, and tenet's program"
    )
    window = parser.add_argument_group("the window of --format tenet")
    window.add_argument(
        "--from",
        dest="start",
        metavar="COORD",
        help="where it begins: 17@5000, 17.1@5000, 17#12, ... (default: the start of the last "
        "program of --pid)",
    )
    window.add_argument(
        "--count", type=int, metavar="N", help="instructions in it (default: to the program's end)"
    )
    window.add_argument(
        "--most", type=int, metavar="N", help="how many are allowed (default: 100000)"
    )


def run_export(args: argparse.Namespace) -> int:
    """Write it. Raises BootstrapError, KeyboardInterrupt."""
    from bootstrap import trace
    from bootstrap.cli.output import write_pieces

    _check(args)
    if args.format in ("strace", "dot"):
        with trace.open(args.trace) as opened:
            write_pieces(args.output, _read(args, opened))
        return 0
    from bootstrap.trace.coordinates import have_pid

    with travelling(args.trace) as (opened, traveller, line):
        programs = opened.programs if args.pid is None else have_pid(opened, args.pid)
        line.doing = f"{args.format}: "
        write_pieces(args.output, _travelled(args, traveller, programs))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises BadInput for options that do not go together."""
    if args.format != "tenet":
        for value, option in (
            (args.start, "--from"), (args.count, "--count"), (args.most, "--most"),
        ):  # fmt: skip
            if value is not None:
                raise BadInput(f"{option} goes with --format tenet only")
    elif (args.start is None) == (args.pid is None):
        raise BadInput("--format tenet: name a program with --pid N, or a place with --from COORD")
    if args.format in ("perfetto", "dot") and args.pid is not None:
        raise BadInput(f"--pid: {args.format} shows how processes hang together, so all of them")
    for value, option in ((args.count, "--count"), (args.most, "--most")):
        if value is not None and value < 1:
            raise BadInput(f"{option} {value}: at least 1")


def _read(args: argparse.Namespace, opened: Trace) -> Iterator[bytes]:
    from bootstrap.trace.log import LogFilter, log
    from bootstrap.trace.views import files_graph

    if args.format == "dot":
        return iter(files_graph(opened, "dot").encode().splitlines(keepends=True))
    pids = frozenset(() if args.pid is None else (args.pid,))
    return (f"{line}\n".encode() for line in log(opened, LogFilter(pids)))


def _travelled(
    args: argparse.Namespace, traveller: Timeline, programs: list[ProgramRow]
) -> Iterator[bytes]:
    from bootstrap.instruments import default_engine
    from bootstrap.timeline.export.drcov import counts, drcov
    from bootstrap.timeline.export.perfetto import perfetto
    from bootstrap.timeline.export.tenet import MOST, tenet, window
    from bootstrap.trace.coordinates import parse

    if args.format == "perfetto":
        yield from perfetto(traveller)
        return
    if args.format == "drcov":
        yield from drcov(counts(traveller, programs))
        return
    traveller.go(parse(args.start or f"{args.pid}@0"))
    row, start = traveller.row, traveller.executed
    wanted = None if args.count is None else start + args.count
    end = window(traveller, row, start, wanted, args.most or MOST)
    yield from tenet(traveller, default_engine(), row, start, end)
