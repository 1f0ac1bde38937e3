"""`bootstrap ddc`: build the first programs along unrelated paths, and compare bit for bit."""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Callable, Sequence

from bootstrap import ddc
from bootstrap.cli.live import LiveLine
from bootstrap.cli.machines import knight_roms
from bootstrap.cli.output import each, for_people, print_page, write_text
from bootstrap.core.errors import BadInput
from bootstrap.ddc import BuildPath, BuildStep
from bootstrap.instruments import default_engine
from bootstrap.linux.limits import RunLimits
from bootstrap.machines.knight import KnightLimits
from bootstrap.runs.rebuild import source_info, tool_info
from bootstrap.sources import Cache, resolve

_EXIT = {"agree": 0, "differ": 1, "incomplete": 1}


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError; returns the exit status."""
    limits = RunLimits().with_options(args.limit)
    engine = default_engine()
    release = args.release
    if args.knight is not None:
        release = release or ddc.KNIGHT_RELEASE
        if release != ddc.KNIGHT_RELEASE:
            raise BadInput(
                f"--knight does not go with --release {release}: stage0's cc_x86 compiles the "
                f"M2-Planet of {ddc.KNIGHT_RELEASE} (docs/ddc.md says why)"
            )
    resolved = resolve(args.source, release, "x86", Cache())
    if resolved.step.release is None:
        raise BadInput(
            "there is no tree of upstream's to build: name one with --source, or put a release "
            "into the cache with: bootstrap fetch stage0-posix --from PATH"
        )
    notes = (*resolved.tree.notes, *resolved.materials.lines())
    steps = ddc.plan(resolved.tree, resolved.step)
    paths = ddc.paths(ddc.our_tools(engine, limits), engine, limits)
    with LiveLine(args.quiet) as line:
        if args.knight is not None:
            paths.append(_knight(args.knight or None, line))
        found = [ddc.along(path, steps, resolved.tree, _shown(line, path, steps)) for path in paths]
    remarks = (remark for path in paths for remark in path.remarks)
    comparison = ddc.compare(steps, found, resolved.step, (*notes, *remarks))
    source = source_info(resolved.tree, resolved.step)
    tool = tool_info(engine.describe())
    out = for_people(args.json)
    if args.quiet and comparison.result == "agree":
        view = functools.partial(print, ddc.claim(comparison, paths), file=out, flush=True)
    else:
        page = functools.partial(ddc.to_text, comparison, paths, source, tool)
        view = functools.partial(print_page, page, out)
    each(
        view,
        args.json
        and (lambda: write_text(args.json, ddc.to_json_text(comparison, paths, source, tool))),
    )
    return _EXIT[comparison.result]


def _knight(given: str | None, line: LiveLine) -> BuildPath:
    """The path on the knight, whose compiler a checkout of stage0 makes first."""
    limits = KnightLimits()
    identity, roms = knight_roms(given, "--knight", limits, line, "cc_x86")
    facts = {
        "stage0_commit": identity.commit,
        "stage0_tree": identity.digest,
        "cc_x86_sha256": roms[-1].sha256,
        "cc_x86_published": roms[-1].matches,
    }
    path = ddc.knight_path(roms[-1].data, limits, facts)
    path.remarks.append(f"stage0 for the path knight: {identity.text}")
    if not roms[-1].matches:
        path.remarks.append(
            f"the knight's cc_x86 is {roms[-1].sha256}, not what stage0's own list has"
        )
    return path


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
