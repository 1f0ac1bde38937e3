"""The parts that what is told of all three kinds has: a place in two contents."""

from __future__ import annotations

from typing import Any

from bootstrap.diff.model import At, Spot, short


def spot_text(spot: Spot | None) -> str:
    """Where two contents differ first."""
    return "" if spot is None else f": the first byte that differs is at {spot.offset:#x}"


def at_text(at: At) -> str:
    """A byte and its line."""
    if at.byte is None:
        end = "it ends there"
        return end if at.text is None else f"{end}, in line {at.line}: {short(at.text)}"
    byte = f"byte {at.byte:02x}"
    return byte if at.text is None else f"{byte}, line {at.line}:{at.column}: {short(at.text)}"


def spot_value(spot: Spot) -> dict[str, Any]:
    """The same for machines."""
    return {"offset": spot.offset, "a": _at(spot.sides.a), "b": _at(spot.sides.b)}


def _at(at: At | None) -> dict[str, Any] | None:
    if at is None:
        return None
    return {"byte": at.byte, "line": at.line, "column": at.column, "text": at.text}
