"""The system calls as text in strace's notation (strace(1), with -f and -y), and the graph of the
file versions in Graphviz's language: what `trace log` and `trace files --graph dot` print.
"""

from collections.abc import Iterator

from bootstrap.trace.export import chosen
from bootstrap.trace.files import as_graph
from bootstrap.trace.log import Wanted, log
from bootstrap.trace.reader import Trace


def strace(trace: Trace, pid: int | None = None) -> Iterator[bytes]:
    """The lines, of one process or of all. Raises BadInput for a pid that is not there."""
    chosen(trace, pid)
    wanted = Wanted(frozenset() if pid is None else frozenset((pid,)))
    return (f"{line}\n".encode() for line in log(trace, wanted))


def dot(trace: Trace) -> Iterator[bytes]:
    """The lines of the graph."""
    return iter(as_graph(trace, "dot").encode().splitlines(keepends=True))
