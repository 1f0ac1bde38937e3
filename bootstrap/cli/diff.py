"""`bootstrap diff`: two traces, two reports or two source trees, and where they part first."""

from __future__ import annotations

import argparse
import contextlib
import functools
from collections.abc import Callable, Iterator

from bootstrap.cli.live import LiveLine
from bootstrap.cli.output import show_page
from bootstrap.diff import compare


def run(args: argparse.Namespace) -> int:
    """0: equal; 1: different. Raises BootstrapError, KeyboardInterrupt."""
    with compare(args.a, args.b, not args.no_replay, _replaying) as found:
        show_page(functools.partial(found.text, args.all), args.json, found.value)
        return 0 if found.equal else 1


@contextlib.contextmanager
def _replaying() -> Iterator[Callable[[int, int], None]]:
    with LiveLine() as line:
        yield lambda row, executed: line.show(
            f"running program {row} again: {executed:,} instructions"
        )
