"""Recording a run and travelling in it: `bootstrap.trace.open(path)` gives a `Trace`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from bootstrap.trace.reader import Trace


def open(path: "str | os.PathLike[str]") -> "Trace":
    """Open a trace for reading: see bootstrap.trace.reader. Raises BadInput."""
    from bootstrap.trace.reader import open_trace

    return open_trace(path)


__all__ = ["open"]
