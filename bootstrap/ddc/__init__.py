"""Diverse double-compiling: one source tree, built along paths that share as little as can be.

David A. Wheeler, "Fully Countering Trusting Trust through Diverse Double-Compiling" (2009).
"""

from bootstrap.ddc.comparing import Comparison, Row, compare
from bootstrap.ddc.paths import Along, Path, along, models, ours, upstream
from bootstrap.ddc.plan import Step, plan
from bootstrap.ddc.telling import claim, to_json_text, to_text
from bootstrap.ddc.tools import our_tools

__all__ = [
    "Along",
    "Comparison",
    "Path",
    "Row",
    "Step",
    "along",
    "claim",
    "compare",
    "models",
    "our_tools",
    "ours",
    "plan",
    "to_json_text",
    "to_text",
    "upstream",
]
