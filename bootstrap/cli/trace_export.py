"""`bootstrap trace export`: a trace in the formats of other tools."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bootstrap.core.errors import BadInput

if TYPE_CHECKING:
    from bootstrap.timeline.travel import Timeline
    from bootstrap.trace.reader import ProgramRow, Trace

FORMATS = ("strace", "drcov", "perfetto", "tenet", "dot")


def add_parser(reader: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `reader(name, run, help, description)` makes one that reads a trace."""
    parser = reader(
        "export",
        run,
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
        help="where it begins: 17@5000, 17.1@5000, 17#12, ... (default: the begin of the last "
        "program of --pid)",
    )
    window.add_argument(
        "--count", type=int, metavar="N", help="instructions in it (default: to the program's end)"
    )
    window.add_argument(
        "--most", type=int, metavar="N", help="how many are allowed (default: 100000)"
    )


def run(args: argparse.Namespace) -> int:
    """Write it. Raises BootstrapError, KeyboardInterrupt."""
    from bootstrap import trace
    from bootstrap.cli.output import write_pieces

    _check(args)
    if args.format in ("strace", "dot"):
        with trace.open(args.trace) as opened:
            write_pieces(args.output, _read(args, opened))
        return 0
    from bootstrap.cli.trace_travel import travelling
    from bootstrap.trace.export import chosen

    with travelling(args.trace) as (opened, traveller, line):
        programs = chosen(opened, args.pid)
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
    from bootstrap.trace.export.strace import dot, strace

    return strace(opened, args.pid) if args.format == "strace" else dot(opened)


def _travelled(
    args: argparse.Namespace, traveller: Timeline, programs: list[ProgramRow]
) -> Iterator[bytes]:
    from bootstrap.instruments import default_engine
    from bootstrap.trace.coordinates import go, parse
    from bootstrap.trace.export.drcov import counts, drcov
    from bootstrap.trace.export.perfetto import perfetto
    from bootstrap.trace.export.tenet import MOST, tenet, window

    if args.format == "perfetto":
        yield from perfetto(traveller)
        return
    if args.format == "drcov":
        yield from drcov(counts(traveller, programs))
        return
    go(traveller, parse(args.start or f"{args.pid}@0"))
    row, start = traveller.row, traveller.executed
    wanted = None if args.count is None else start + args.count
    end = window(traveller, row, start, wanted, args.most or MOST)
    yield from tenet(traveller, default_engine(), row, start, end)
