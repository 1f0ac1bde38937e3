"""`bootstrap ddc`: build the first programs along three paths, and compare bit for bit."""

from __future__ import annotations

import argparse
import itertools
from typing import TYPE_CHECKING

from bootstrap.cli.live import LiveLine
from bootstrap.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bootstrap.ddc import BuildPath, BuildStep

_EXIT = {"agree": 0, "differ": 1, "incomplete": 1}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options; imports nothing heavy."""
    from bootstrap.cli.verify import add_limits

    parser = subparsers.add_parser(
        "ddc",
        help="build upstream's first programs along three unrelated paths and compare them",
        description="Diverse double-compiling: assemble upstream's own sources of hex1, hex2-0, "
        "catm, M0 and the C compiler cc_x86 along three paths, and with each path's compiler "
        "M2-Planet. The paths are: upstream's own tools; ours, built from the same seed on sources "
        "that we wrote apart from upstream's; and the language models, which are Python functions. "
        "What a tool hid in what it assembles would show as a difference. docs/ddc.md says what "
        "agreement proves, and what it does not.",
        epilog="Exit status: 0 all paths agree, and with the known-good values; 1 they differ, or "
        "something was not made; 2 usage or bad input; 3 our own tools could not be built; "
        "130 interrupted.",
    )
    parser.add_argument(
        "--source",
        metavar="PATH",
        help="a checkout, or a .tar.gz of a release (default: the release in the cache)",
    )
    parser.add_argument("--release", metavar="R", help="the release (default: the newest known)")
    parser.add_argument("--json", metavar="FILE", help="write the comparison as JSON ('-': stdout)")
    parser.add_argument(
        "--quiet", action="store_true", help="no progress, and one line if they agree"
    )
    add_limits(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError; returns the exit status."""
    from bootstrap import ddc
    from bootstrap.cli.output import STDOUT, each, write_text
    from bootstrap.cli.verify import check_report_places, print_view
    from bootstrap.instruments import default_engine
    from bootstrap.linux.limits import Limits
    from bootstrap.runs.rebuild import source_info, tool_info
    from bootstrap.sources import Cache, resolve

    limits = Limits().with_options(args.limit)
    engine = default_engine()
    check_report_places(args.json)
    resolved = resolve(args.source, args.release, "x86", Cache())
    if resolved.step.release is None:
        raise BadInput(
            "there is no tree of upstream's to build: name one with --source, or put a release "
            "into the cache with: bootstrap fetch stage0-posix --from PATH"
        )
    notes = (*resolved.tree.notes, *resolved.materials.lines())
    steps = ddc.plan(resolved.tree, resolved.step)
    tools = ddc.our_tools(engine, limits)
    paths = [
        ddc.upstream(engine, limits),
        ddc.ours(tools, engine, limits),
        ddc.models(engine, limits),
    ]
    with LiveLine(args.quiet) as line:
        found = [ddc.along(path, steps, resolved.tree, _shown(line, path, steps)) for path in paths]
    comparison = ddc.compare(steps, found, resolved.step, notes)
    source = source_info(resolved.tree, resolved.step)
    tool = tool_info(engine.describe())
    good = args.quiet and comparison.result == "agree"
    each(
        lambda: print_view(
            lambda verbose, **how: ddc.to_text(comparison, paths, source, tool, **how),
            False,
            args.json == STDOUT,
            ddc.claim(comparison, paths) if good else None,
        ),
        args.json
        and (lambda: write_text(args.json, ddc.to_json_text(comparison, paths, source, tool))),
    )
    return _EXIT[comparison.result]


def _shown(
    line: LiveLine, path: BuildPath, steps: Sequence[BuildStep]
) -> Callable[[BuildStep], None]:
    """What shows each step of a path: in the live line; elsewhere a line for the whole path."""
    if not line.style.terminal:
        line.line(f"path {path.name}: {len(steps)} steps")
    numbers = itertools.count(1)
    return lambda step: line.show(
        f"path {path.name}: {next(numbers)} of {len(steps)}, {step.output}"
    )
