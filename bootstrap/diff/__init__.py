"""Where two traces, two reports or two source trees diverge first, and what followed from it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bootstrap.core.errors import BadInput
from bootstrap.diff.comparison import KNOWN, NAMES, Comparison, Progress, Replaying, recognise


@contextlib.contextmanager
def _quietly() -> Iterator[Progress]:
    yield lambda _row, _executed: None


@contextlib.contextmanager
def compare(
    a: str, b: str, replay: bool = True, replaying: Replaying = _quietly
) -> Iterator[Comparison]:
    """Compare two files or folders of one kind.

    `replay`: find the first instruction too; while programs run again for that, `replaying` is
    entered. Raises BadInput.
    """
    kind, other = recognise(a), recognise(b)
    if {kind, other} in ({"effects", "trace"}, {"effects"}):
        from bootstrap.diff.effects import compare_effects

        yield compare_effects(a, b)
        return
    if kind != other:
        raise BadInput(f"{a} is {NAMES[kind]} and {b} is {NAMES[other]}: {KNOWN}")
    if kind == "report":
        from bootstrap.diff.reports import compare_reports

        yield compare_reports(a, b)
    elif kind == "tree":
        from bootstrap.diff.trees import compare_trees

        yield compare_trees(a, b)
    else:
        from bootstrap.diff.render_traces import compare_traces

        with compare_traces(a, b, replay, replaying) as found:
            yield found
