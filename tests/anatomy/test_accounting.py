"""Every byte is in exactly one part, whatever is claimed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.anatomy.claims import Anatomy, Claim, Part, account, gaps, make

RANGES = st.lists(st.tuples(st.integers(-5, 60), st.integers(-5, 60)), max_size=20)


def claims_of(ranges: list[tuple[int, int]]) -> list[Claim]:
    return [Claim(a, b, "data", f"claim {i}") for i, (a, b) in enumerate(ranges)]


@given(st.binary(min_size=1, max_size=50), RANGES)
def test_parts_cover_every_byte_once(data: bytes, ranges: list[tuple[int, int]]) -> None:
    claims = claims_of(ranges)
    anatomy = make(data, "test", (claims, [], []))
    assert b"".join(part.data for part in anatomy.parts) == data
    assert sum(anatomy.totals().values()) == len(data)
    for part in anatomy.parts:
        for at in range(part.start, part.end):
            over = [claim for claim in claims if claim.start <= at < claim.end]
            first = over[0] if over else None
            assert part.claim.kind == "unused" if first is None else part.claim is first
            assert set(over[1:]) <= set(part.also)


@given(RANGES)
def test_gaps_are_what_no_claim_covers(ranges: list[tuple[int, int]]) -> None:
    claims = [claim for claim in claims_of(ranges) if 0 <= claim.start < claim.end]
    free = {at for start, end in gaps(40, claims) for at in range(start, end)}
    assert free == {
        at for at in range(40) if not any(claim.start <= at < claim.end for claim in claims)
    }


def test_a_hole_is_an_error_of_ours() -> None:
    part = Part(1, b"b", Claim(1, 2, "data", "second"))
    with pytest.raises(AssertionError, match="expected 0x0"):
        Anatomy(2, "", "test", (), (part,))
    with pytest.raises(AssertionError, match="add up to 1 bytes of 2"):
        Anatomy(2, "", "test", (), (Part(0, b"a", Claim(0, 1, "data", "first")),))


def test_what_lies_over_another_is_told_beside_it() -> None:
    field, code = Claim(0, 4, "header", "field", idle=True), Claim(2, 6, "code", "nop")
    first, second = account(b"abcdef", [field, code])
    assert (first.claim, first.also, first.size) == (field, (code,), 4)
    assert (second.claim, second.also, second.size) == (code, (), 2)
    anatomy = make(b"abcdef", "test", ([field, code], [], []))
    assert (anatomy.shared(), anatomy.idle()) == (2, 2)
