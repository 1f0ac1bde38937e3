"""`bootstrap diff`: two traces, two reports or two source trees, and where they part first."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator

from bootstrap.cli.live import LiveLine

_DESCRIPTION = """\
Compare two runs or two sources, and say where they part first and what followed from it.
This is what to run when a checksum is not what it should be.

A and B are of one kind, which is known by their content:
  two traces         of `bootstrap trace record`: the first process, file, system call and
                     instruction that differ, with the source line; then every content that
                     programs left and that differs because of it
  two JSON reports   of `bootstrap verify --json`: the artifacts that differ, in build order
  two source trees   folders or archives: the files that differ, those first that the
                     bootstrap reads

Two traces are compared as they stand in the files, which takes seconds for a whole
architecture. Only for the instruction are the two programs in question run again, from the
traces alone; --no-replay leaves that out.
"""
_EPILOG = """\
exit status: 0 equal, 1 different, 2 usage or bad input, 130 interrupted

examples:
  bootstrap diff good.trace bad.trace
  bootstrap diff mine.json theirs.json
  bootstrap diff ~/stage0-posix-1.9.1.tar.gz ~/stage0-posix
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options; imports nothing heavy."""
    parser = subparsers.add_parser(
        "diff",
        help="where two traces, two reports or two source trees part first, and what followed",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B")
    parser.add_argument("--all", action="store_true", help="show lists whole, however long")
    parser.add_argument(
        "--no-replay",
        action="store_true",
        help="of traces: run nothing again; leaves out the first instruction that differs",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write the comparison as JSON too ('-': standard output)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0: equal; 1: different. Raises BootstrapError, KeyboardInterrupt."""
    from bootstrap.cli.output import STDOUT, view_and_json
    from bootstrap.cli.verify import check_report_places, print_view
    from bootstrap.diff import compare

    check_report_places(args.json)
    with compare(args.a, args.b, not args.no_replay, _replaying) as found:
        to_stderr = args.json == STDOUT
        view_and_json(
            lambda: print_view(
                lambda verbose, **how: found.text(verbose, **how), args.all, to_stderr
            ),
            args.json,
            found.value,
        )
        return 0 if found.equal else 1


@contextlib.contextmanager
def _replaying() -> Iterator[Callable[[int, int], None]]:
    with LiveLine() as line:
        yield lambda row, executed: line.show(
            f"running program {row} again: {executed:,} instructions"
        )
