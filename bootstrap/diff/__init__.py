"""Where two traces, two reports or two source trees part first, and what followed from it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from bootstrap.diff.comparison import SCHEMA, Comparison

Progress = Callable[[int, int], None]
Replaying = Callable[[], AbstractContextManager[Progress]]


@contextlib.contextmanager
def _quietly() -> Iterator[Progress]:
    yield lambda _row, _executed: None


@contextlib.contextmanager
def compare(
    a: str, b: str, replay: bool = True, replaying: Replaying = _quietly
) -> Iterator[Comparison]:
    """Compare two files or folders of one kind.

    `replay`: look for the first instruction too; while programs run again for that, `replaying`
    is entered. Raises BadInput.
    """
    from bootstrap.diff.kinds import same_kind

    one, _ = same_kind(a, b)
    if one.kind == "report":
        from bootstrap.diff import reports

        yield reports.compare_reports(a, b)
    elif one.kind == "tree":
        from bootstrap.diff import trees

        yield trees.compare_trees(a, b)
    else:
        with _traces(a, b, replay, replaying) as found:
            yield found


@contextlib.contextmanager
def _traces(a: str, b: str, replay: bool, replaying: Replaying) -> Iterator[Comparison]:
    from bootstrap import trace
    from bootstrap.diff.json_traces import trace_value
    from bootstrap.diff.tell_traces import claim, trace_text
    from bootstrap.diff.traces import diff

    engine = None
    if replay:
        from bootstrap.instruments import default_engine

        engine = default_engine()
    with trace.open(a) as one, trace.open(b) as other:
        found = diff(one, other, engine, replaying)
        yield Comparison(
            "trace", found.equal, claim(found),
            lambda page, every: trace_text(found, page, every), trace_value(found),
        )  # fmt: skip


__all__ = ["SCHEMA", "Comparison", "Progress", "Replaying", "compare"]
