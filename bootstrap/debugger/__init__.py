"""A stepping session in a recorded run, and what stands on it: the terminal interface, gdb."""

from bootstrap.debugger.looking import Line, SourceView
from bootstrap.debugger.session import Produced, Session
from bootstrap.debugger.stops import Breakpoint, Interrupted, Stop, Watchpoint

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
