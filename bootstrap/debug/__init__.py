"""A stepping session in a recorded run, and what stands on it: the terminal interface, gdb."""

from bootstrap.debug.looking import Line, SourceView
from bootstrap.debug.session import Produced, Session
from bootstrap.debug.stops import Breakpoint, Interrupted, Stop, Watchpoint

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
