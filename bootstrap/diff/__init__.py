"""Where two traces, two reports or two source trees diverge first, and what followed from it."""

from bootstrap.diff.comparison import SCHEMA, Comparison, Progress, Replaying, compare

__all__ = ["SCHEMA", "Comparison", "Progress", "Replaying", "compare"]
