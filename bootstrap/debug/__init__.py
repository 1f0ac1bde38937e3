"""A stepping session in a recorded run, and what stands on it: the terminal interface, gdb."""

from bootstrap.debug.session import Produced, Session
from bootstrap.debug.stops import Breakpoint, Interrupted, Stop, Watchpoint
from bootstrap.debug.views import Line, SourceView

__all__ = [
    "Breakpoint",
    "Interrupted",
    "Line",
    "Produced",
    "Session",
    "SourceView",
    "Stop",
    "Watchpoint",
]
