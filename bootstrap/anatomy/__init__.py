"""The full anatomy of a binary: every byte accounted for, in file order.

This room runs nothing, and neither imports nor is imported by what does: LIEF, which it asks for
a second opinion, may not be in one program with Unicorn (docs/dependencies.md).
"""

from bootstrap.anatomy.claims import KINDS, Anatomy, Claim, FieldDifference, Opinion, Part
from bootstrap.anatomy.dissecting import dissect

__all__ = ["KINDS", "Anatomy", "Claim", "FieldDifference", "Opinion", "Part", "dissect"]
