"""`bootstrap diff`: two traces, two reports or two source trees, and where they part first."""

from __future__ import annotations

import argparse
import contextlib
import functools
import shlex
from collections.abc import Callable, Iterator

import bootstrap
from bootstrap.cli import output
from bootstrap.cli.live import LiveLine
from bootstrap.cli.output import STDOUT, check_places, each, for_people, print_page
from bootstrap.core.errors import BadInput
from bootstrap.diff import compare
from bootstrap.diff.comparison import Comparison


def run(args: argparse.Namespace) -> int:
    """0: equal; 1: different. Raises BootstrapError, KeyboardInterrupt."""
    if args.json == args.html == STDOUT:
        raise BadInput("--json - and --html - cannot both have standard output")
    check_places(args.json, args.html)
    with compare(args.a, args.b, not args.no_replay, _replaying) as found:
        out = for_people(args.json, args.html)
        each(
            functools.partial(print_page, functools.partial(found.text, args.all), out),
            args.json and (lambda: output.write_json(args.json, found.value())),
            args.html and (lambda: output.write_text(args.html, _html(args, found))),
        )
        return 0 if found.equal else 1


def _html(args: argparse.Namespace, found: Comparison) -> str:
    # Imported late: who asks for no page does without it.
    from bootstrap.report.html import HtmlPage, to_html

    words = ["bootstrap", "diff", args.a, args.b]
    page = HtmlPage(
        title="bootstrap diff",
        word="EQUAL" if found.equal else "DIFFERENT",
        tone="good" if found.equal else "bad",
        claim=found.claim,
        facts=[("A", args.a), ("B", args.b), ("kind", found.kind),
               ("made with", f"bootstrap {bootstrap.__version__}")],
        texts=[("Where they part", found.text(True, colour=False, width=100, unicode=True))],
        notes=[f"To repeat it: {shlex.join(words)}"],
    )  # fmt: skip
    return to_html(page)


@contextlib.contextmanager
def _replaying() -> Iterator[Callable[[int, int], None]]:
    with LiveLine() as line:
        yield lambda row, executed: line.show(
            f"running program {row} again: {executed:,} instructions"
        )
