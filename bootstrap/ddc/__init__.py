"""Diverse double-compiling: one source tree, built along paths that share as little as can be.

David A. Wheeler, "Fully Countering Trusting Trust through Diverse Double-Compiling" (2009).
"""

from bootstrap.ddc.build_paths import (
    KNIGHT_RELEASE,
    Along,
    BuildPath,
    along,
    knight_path,
    our_tools,
    paths,
)
from bootstrap.ddc.comparing import BuildComparison, PathRow, claim, compare, to_json_text, to_text
from bootstrap.runs.build_plan import BuildStep, plan

__all__ = [
    "KNIGHT_RELEASE",
    "Along",
    "BuildComparison",
    "BuildPath",
    "BuildStep",
    "PathRow",
    "along",
    "claim",
    "compare",
    "knight_path",
    "our_tools",
    "paths",
    "plan",
    "to_json_text",
    "to_text",
]
