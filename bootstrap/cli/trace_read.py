"""`bootstrap trace check`, `info`, `tree`, `files` and `log`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.timeline.origins import ByteOrigins, OriginStep
    from bootstrap.timeline.stores import StoreReport
    from bootstrap.trace.reader import Trace


def run_check(args: argparse.Namespace) -> int:
    """0: the same happened again; 1: something else did. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import say
    from bootstrap.cli.trace_travel import ReplayLine
    from bootstrap.instruments import default_engine
    from bootstrap.trace.replay import check

    with trace.open(args.trace) as opened:
        with ReplayLine(opened) as line:
            line.doing = "running it again: "
            divergence = check(opened, default_engine(), line.at_event)
        if divergence is None:
            programs = f"{len(opened.programs)} programs, {opened.events:,} system calls"
            say([f"{args.trace}: the same again: {programs}, trace digest {opened.digest}"])
            return 0
    say(divergence.lines())
    return 1


def run_info(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import say
    from bootstrap.trace.views import info

    with trace.open(args.trace) as opened:
        say(info(opened))
    return 0


def run_tree(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import say
    from bootstrap.cli.trace_travel import instructions
    from bootstrap.trace.views import tree

    counted = instructions(args.trace) if args.instructions else None
    with trace.open(args.trace) as opened:
        say(tree(opened, counted))
    return 0


def run_files(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import say
    from bootstrap.trace.files import as_graph, as_text

    with trace.open(args.trace) as opened:
        graph = args.graph and as_graph(opened, args.graph)
        say(graph.splitlines() if graph else as_text(opened))
    return 0


def run_log(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import say
    from bootstrap.trace.log import Wanted, log

    names = [name for names in args.call or () for name in names.split(",")]
    wanted = Wanted(frozenset(args.pid or ()), tuple(args.path or ()), frozenset(names))
    with trace.open(args.trace) as opened:
        say(log(opened, wanted))
    return 0


def run_why(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import STDOUT, say, write_text
    from bootstrap.core.errors import BadInput
    from bootstrap.timeline.origins import ByteOrigins, lines
    from bootstrap.timeline.render import why_json
    from bootstrap.timeline.stores import line

    path, colon, number = args.byte.rpartition(":")
    try:
        offset = int(number, 0)
    except ValueError:
        offset = -1
    if not path or not colon or offset < 0:
        raise BadInput(f"{args.byte}: name a file and an offset in it, like x86/bin/M1:0x200")
    with trace.open(args.trace) as opened:
        why = ByteOrigins(opened)
        links = why.why(path, offset)
        find = _stores(opened, why)
        told = {
            link: find(link)
            for number, link in enumerate(links)
            if link.call is not None and args.stores != "none"
            and (number == 0 or args.stores == "all")
        }  # fmt: skip
        if args.json != STDOUT:
            say(lines(links, lambda link: line(told[link]) if link in told else ""))
        if args.json is not None:
            value = {"schema": 1, "links": [why_json(link, told) for link in links]}
            write_text(args.json, json.dumps(value, indent=2) + "\n")
    return 0


def _stores(opened: Trace, why: ByteOrigins) -> Callable[[OriginStep], StoreReport | None]:
    from bootstrap.instruments import default_engine
    from bootstrap.timeline.images import ProgramImages
    from bootstrap.timeline.stores import store_report

    images = ProgramImages(opened, why)
    return lambda link: store_report(opened, default_engine(), images, link)


def run_where(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import say
    from bootstrap.core.errors import BadInput
    from bootstrap.timeline.line_outputs import lines, outputs_of_line

    path, _colon, number = args.line.rpartition(":")
    if not path or not number.isdecimal() or int(number) < 1:
        raise BadInput(f"{args.line}: name a source and a line of it, like x86/cc_x86.M1:1623")
    with trace.open(args.trace) as opened:
        found, stopped = outputs_of_line(opened, path, int(number))
        say(lines(path, int(number), found, stopped))
    return 0
