"""Calls in columns come back as they were, whatever is in them and however they are cut."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.trace.columns import Calls, CallsHash, decode, encode

BRK = 45
ROW = st.tuples(st.sampled_from([3, 4, BRK]), *[st.integers(0, 2**64 - 1)] * 4)


def calls(word: int, rows: Sequence[tuple[int, ...]], more: list[tuple[int, int, int]]) -> Calls:
    mask, kind = (1 << 8 * word) - 1, "I" if word == 4 else "Q"
    columns = [struct.pack(f"<{len(rows)}I", *(row[0] for row in rows))]
    columns += [
        struct.pack(f"<{len(rows)}{kind}", *(row[c] & mask for row in rows)) for c in range(1, 5)
    ]
    return Calls(word, tuple(columns), tuple(more))


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.sampled_from([4, 8]), st.lists(ROW, min_size=1, max_size=50), st.data())
def test_there_and_back(word: int, rows: list[tuple[int, ...]], data: st.DataObject) -> None:
    index = st.integers(0, len(rows) - 1)
    value = st.integers(0, (1 << 8 * word) - 1)
    more = data.draw(st.lists(st.tuples(index, st.integers(3, 5), value), max_size=5))
    whole = calls(word, rows, more)
    assert decode(word, BRK, len(rows), encode(whole, BRK)) == whole
    cut = data.draw(index)
    parts = [
        calls(word, rows[:cut], [m for m in more if m[0] < cut]),
        calls(word, rows[cut:], [(i - cut, w, v) for i, w, v in more if i >= cut]),
    ]
    once, twice = CallsHash(), CallsHash()
    once.update(whole, 0)
    twice.update(parts[0], 0)
    twice.update(parts[1], cut)
    if more == [*sorted(more, key=lambda m: m[0])]:
        assert once.hexdigest() == twice.hexdigest()


def test_a_heap_that_grows_evenly_takes_no_room() -> None:
    rows = [(BRK, 0x8100000 + 16 * i, 0, 0, 0x8100000 + 16 * i) for i in range(60_000)]
    blobs = encode(calls(4, rows, []), BRK)
    assert sum(map(len, blobs)) < 2000


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_calls(count: int) -> None:
    blobs = encode(calls(4, [(3, 1, 2, 3, 4)] * 2, []), BRK)
    with pytest.raises(ValueError, match=r"a blob|a column"):
        decode(4, BRK, count, blobs)
