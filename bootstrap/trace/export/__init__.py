"""A trace, or a part of it, in the formats of other tools."""

from bootstrap.core.errors import BadInput
from bootstrap.trace.reader import ProgramRow, Trace


def chosen(trace: Trace, pid: int | None) -> list[ProgramRow]:
    """The programs of that process (in every run of the trace), or all of them.

    Raises BadInput where there is no such process.
    """
    found = [p for p in trace.programs if pid in (None, p.pid)]
    if not found:
        pids = sorted({p.pid for p in trace.programs})
        there = f"there are {pids[0]} to {pids[-1]}" if pids else "nothing ran in it"
        raise BadInput(f"{trace.name}: has no pid {pid}; {there}")
    return found


__all__ = ["chosen"]
