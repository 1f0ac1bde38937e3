"""What `bootstrap step` steps through: a trace, or a run that is recorded for it first."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bootstrap.core.errors import BadInput, printable

if TYPE_CHECKING:
    from bootstrap.sources import Resolved

ONLY_PROGRAM = ("root", "cwd", "env")
ONLY_SOURCE = ("source", "release", "entry")


def add_options(parser: argparse.ArgumentParser, root: str = "") -> None:
    """TRACE, --source TREE, or -- PROGRAM ARG...; `root`: what else --root is for."""
    from bootstrap.cli.verify import ENTRIES, add_limits

    parser.add_argument(
        "words", nargs="*", metavar="TRACE | -- PROGRAM ARG...",
        help="a trace (`bootstrap trace record`); or, behind --, a program and its arguments, "
        "recorded as `bootstrap run` runs it. Without either: the sources that this program "
        "carries, from the hex0 seed to a hello, world",
    )  # fmt: skip
    tree = parser.add_argument_group("a bootstrap, recorded first")
    tree.add_argument("--source", metavar="TREE", help="a checkout, or a .tar.gz of a release")
    tree.add_argument("--release", metavar="R", help="that release of stage0-posix")
    tree.add_argument(
        "--arch", default="x86", help="x86 (default), AMD64, AArch64, riscv64, riscv32"
    )
    tree.add_argument("--entry", choices=ENTRIES, help="the way in, as for verify")
    one = parser.add_argument_group("with -- PROGRAM")
    one.add_argument("--root", metavar="DIR", help=f"the guest's / (default: .){root}")
    one.add_argument("--cwd", metavar="PATH", help="guest folder to start in (default: /)")
    one.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="the guest's environment"
    )
    add_limits(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress while recording")


def behind_dashes(args: argparse.Namespace) -> tuple[str | None, list[str]]:
    """The trace, and the program with its arguments; at most one of the two. Raises BadInput."""
    given: Sequence[str] = args.given
    words: list[str] = args.words
    count = len(given) - given.index("--") - 1 if "--" in given else 0
    before, program = words[: len(words) - count], words[len(words) - count :]
    if "--" in given and not program:
        raise BadInput("no program behind --: name one, as in -- ./hex0 in.hex0 out")
    if len(before) > 1:
        raise BadInput(f"{' '.join(before)}: one trace, please; a program to run goes behind --")
    if before and program:
        raise BadInput(f"{before[0]} and a program behind --: either of them")
    return (before[0] if before else None), program


@contextlib.contextmanager
def trace_of(args: argparse.Namespace, writes: bool = False) -> Iterator[str]:
    """The name of the trace: the given one, or a new one that is gone afterwards.

    `writes`: a trace may have --root too, where its program can be run again.
    Raises BootstrapError, KeyboardInterrupt.
    """
    trace, program = behind_dashes(args)
    again = writes and trace is not None
    for names, wanted, what in (
        (ONLY_PROGRAM[1:] if again else ONLY_PROGRAM, bool(program), "with -- PROGRAM"),
        (ONLY_SOURCE, trace is None and not program, "without a trace or a program"),
    ):
        for name in names:
            if getattr(args, name) and not wanted:
                raise BadInput(f"--{name} goes {what} only")
    if trace is not None:
        if args.limit:
            raise BadInput("--limit goes with a run to record: a trace has its limits")
        yield trace
        return
    from bootstrap.debug.opening import temporary

    with temporary() as name:
        if program:
            _record_program(args, name, program)
        else:
            _record_sources(args, name)
        yield name


def _record_program(args: argparse.Namespace, name: str, program: list[str]) -> None:
    from bootstrap.cli.run import standard_streams
    from bootstrap.debug.opening import record_program
    from bootstrap.instruments import default_engine
    from bootstrap.linux.limits import Limits

    limits = Limits().with_options(args.limit)
    record_program(
        name, program, default_engine(), args.root or ".", args.cwd or "/", args.env, limits,
        standard_streams(),
    )  # fmt: skip


def _record_sources(args: argparse.Namespace, name: str) -> None:
    from bootstrap.cli.progress import progress_of
    from bootstrap.cli.verify import default_entry
    from bootstrap.debug.opening import record_sources
    from bootstrap.instruments import default_engine
    from bootstrap.linux.limits import Limits

    limits = Limits().with_options(args.limit)
    resolved = _resolved(args)
    notes: list[str] = []
    # On a pipe nobody asked for a line per artifact: what is wanted is what comes after.
    with progress_of(resolved.step, args.quiet, only_live=True) as progress:
        record_sources(
            name, resolved, default_engine(), args.entry or default_entry(resolved), limits,
            [progress], notes.append,
        )  # fmt: skip
    if not args.quiet:
        for line in notes:
            print(f"recorded: {printable(line)}", file=sys.stderr)


def _resolved(args: argparse.Namespace) -> Resolved:
    from bootstrap.known import all_steps
    from bootstrap.sources import Cache, check_materials, embedded_source, resolve
    from bootstrap.sources import Resolved as Found

    if args.source or args.release:
        return resolve(args.source, args.release, args.arch, Cache(), args.entry)
    arch = args.arch.lower()
    for step in all_steps():
        if step.name == "embedded" and step.arch.lower() == arch:
            if args.entry and args.entry not in step.entries:
                raise BadInput(f"--entry {args.entry}: the embedded sources have no such entry")
            tree = embedded_source(step)
            return Found(tree, step, check_materials(tree, step))
    raise BadInput(f"--arch {args.arch}: there are no embedded sources for it; --source TREE")
