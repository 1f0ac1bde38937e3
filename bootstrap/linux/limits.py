"""How much a guest may use. A limit ends the run and is named; it never changes what a guest sees.

So a run either is what it would be without limits, or fails with exit status 3. The defaults are
several times what the largest known bootstrap needs.
"""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from bootstrap.core import errors as core
from bootstrap.core.errors import BadInput

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_SUFFIX = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_Limits = TypeVar("_Limits", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class RunLimits(core.Limits):
    """The core's, and two that need a clock or a count; 0 is none."""

    instructions: int = 0
    """Instructions of one process, across execve; 0 is none. Exact, and slow (docs/guest.md)."""
    seconds: int = 3600
    """Host CPU seconds of one process, children not counted; 0 is none. A net for loops."""

    def with_options(self, options: list[str]) -> "RunLimits":
        """These limits with options applied. Raises BadInput."""
        return with_options(self, options)


def with_options(limits: _Limits, options: list[str]) -> _Limits:
    """Limits with `NAME=VALUE` options applied; K, M and G are powers of 1024.

    Raises BadInput naming the option that is not of that form.
    """
    changes: dict[str, Any] = {}
    known = [field.name for field in fields(limits)]
    for option in options:
        name, sep, text = option.partition("=")
        name = name.replace("-", "_")
        if not sep or name not in known or not text:
            raise BadInput(f"--limit {option}: not NAME=NUMBER; the names are {', '.join(known)}")
        changes[name] = as_number(text, f"--limit {option}")
    return replace(limits, **changes)


def as_number(text: str, option: str) -> int:
    """A number of at most 18 digits, perhaps with K, M or G. Raises BadInput naming the option."""
    factor = _SUFFIX.get(text[-1:].lower(), 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isdecimal() or len(digits) > 18:
        raise BadInput(
            f"{option}: {text} is no number: digits (at most 18), and perhaps K, M or G after them"
        )
    return int(digits) * factor
