"""Runs to the first of several things, forwards and backwards, in one program's time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootstrap.debug.stops import KINDS, Watchpoint
from bootstrap.timeline.search import Access, Explorer
from bootstrap.timeline.travel import PastEnd

STRETCH = 1 << 12
"""Instructions that are searched for each thing in turn; then eight times as many."""
LONGEST = 1 << 27
APART = 1 << 11
"""Instructions between states that are kept where memory is watched."""


@dataclass(frozen=True, slots=True)
class Met:
    """What it came to: a watchpoint and the access, or (no watchpoint) an address."""

    watchpoint: Watchpoint | None = None
    access: Access | None = None


def forward(
    explorer: Explorer,
    addresses: Sequence[int],
    watchpoints: Sequence[Watchpoint],
    bound: int | None = None,
) -> Met | None:
    """On to the first; no further than `bound`, where it then is (None).

    Raises PastEnd where the program ends before; then it is somewhere in it.
    """
    at = explorer.at
    began = at.executed
    if not watchpoints:
        return Met() if explorer.run_within(addresses, began, bound) else None
    size = STRETCH
    while bound is None or at.executed < bound:
        row, start = at.row, at.executed
        at.keep(APART)  # for those who watch: they begin here, too
        found: tuple[Watchpoint, Access] | None = None
        end: PastEnd | None = None
        limit = start + size if bound is None else min(bound, start + size)
        try:
            met = explorer.run_within(addresses, began, limit)
            limit = at.executed
        except PastEnd as error:
            end, met = error, False
            limit = min(limit, error.total)
        for one in watchpoints:
            access = explorer.first_access(
                one.guest_addr, one.guest_addr + one.size, KINDS[one.kinds], row, start, limit
            )
            if access is not None:
                found, limit = (one, access), access.executed
        # The instruction that ends the program has no place behind it.
        if found is not None and (end is None or found[1].executed + 1 < end.total):
            at.seek(row, found[1].executed + 1)
            return Met(*found)
        if end is not None:
            raise end
        if met:
            return Met()
        size = min(size * 8, LONGEST)
    return None


def backward(
    explorer: Explorer,
    addresses: Sequence[int],
    watchpoints: Sequence[Watchpoint],
    bound: int = 0,
) -> Met | None:
    """Back to the last before, not beyond `bound`. None: there is none, and it did not move."""
    at = explorer.at
    if not watchpoints:
        return Met() if addresses and explorer.run_back_to(addresses, bound) else None
    row, began, size = at.row, at.executed, STRETCH
    end = began
    while end > bound:
        since = max(bound, end - size)
        found: tuple[Watchpoint, Access] | None = None
        met = bool(addresses) and explorer.run_back_to(addresses, since)
        if met:
            since = at.executed
        for one in watchpoints:
            access = explorer.last_access(
                one.guest_addr, one.guest_addr + one.size, KINDS[one.kinds], row, end, since
            )
            if access is not None:
                found, since = (one, access), access.executed
        if found is not None:
            at.seek(row, found[1].executed)
            return Met(*found)
        if met:
            return Met()
        end, size = since, min(size * 8, LONGEST)
        at.seek(row, end)
    at.seek(row, began)
    return None
