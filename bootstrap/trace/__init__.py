"""Recording a run and travelling in it: `bootstrap.trace.open(path)` gives a `Trace`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from bootstrap.trace.store import Trace


def open(path: "str | os.PathLike[str]") -> "Trace":
    """Open a trace for reading: see bootstrap.trace.store. Raises BadInput."""
    from bootstrap.trace.store import Trace

    return Trace(path)


__all__ = ["open"]
