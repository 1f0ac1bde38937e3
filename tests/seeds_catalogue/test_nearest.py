"""Which known content is nearest, and the bytes that differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bootstrap.known.lookup import ChangedBytes, nearest

KNOWN = {"a": bytes(range(100)), "b": b"x" * 40}


def test_one_size() -> None:
    data = bytearray(range(100))
    data[10:12], data[99] = b"\xff\xfe", 0
    near = nearest(bytes(data), KNOWN)
    assert near is not None
    assert (near.sha256, near.distance) == ("a", 3)
    assert near.changes == (
        ChangedBytes(10, b"\x0a\x0b", b"\xff\xfe"),
        ChangedBytes(99, b"\x63", b"\0"),
    )


def test_two_sizes() -> None:
    data = bytes(range(50)) + b"new" + bytes(range(52, 100))
    near = nearest(data, KNOWN)
    assert near is not None
    assert near.changes == (ChangedBytes(50, b"\x32\x33", b"new"),)


def test_nothing_resembles_it() -> None:
    assert nearest(b"y" * 40, KNOWN) is None
    assert nearest(b"anything", {}) is None


@given(st.binary(min_size=1, max_size=60), st.binary(min_size=1, max_size=60))
def test_the_changes_lead_from_one_to_the_other(known: bytes, here: bytes) -> None:
    near = nearest(here, {"k": known})
    if near is None:
        return
    made, at = b"", 0
    for change in near.changes:
        assert known[change.offset : change.offset + len(change.known)] == change.known
        made += known[at : change.offset] + change.here
        at = change.offset + len(change.known)
    assert made + known[at:] == here
