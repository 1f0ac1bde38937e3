"""A stepping session in a recorded run, and what stands on it: the terminal interface, gdb."""

from bootstrap.debug.session import Produced, Session
from bootstrap.debug.stops import Breakpoint, Interrupted, StopReason, Watchpoint
from bootstrap.debug.views import CodeLine, SourceView

__all__ = [
    "Breakpoint",
    "CodeLine",
    "Interrupted",
    "Produced",
    "Session",
    "SourceView",
    "StopReason",
    "Watchpoint",
]
