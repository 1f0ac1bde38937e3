"""The hex0 model against the seed itself, on the host's kernel: they must be the same function."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap.languages.hex0 import assemble
from tests.seeds import host

pytestmark = pytest.mark.skipif(host.why_not() is not None, reason=str(host.why_not()))

NEWLINE_AND_SIGNS = st.sampled_from(b"\n#;")
DIGITS = st.sampled_from(b"0123456789ABCDEFGabcdefg")
ANY = st.integers(0, 255)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(DIGITS, DIGITS, NEWLINE_AND_SIGNS, ANY), max_size=200).map(bytes))
def test_any_source(source: bytes) -> None:
    assert assemble(source, "any").output == host.run(source)


def every_transition() -> bytes:
    """A source that feeds each byte value to each state of the seed's state machine.

    The states are: in a comment or not, times no digit seen or one of 17 values seen.  After each
    byte under test come a digit and a newline, which tell the states apart in what is written,
    then what leads back to the start, and a marker byte.
    """
    source = bytearray()
    seen = [b"", *(bytes([digit]) for digit in b"0123456789ABCDEFG")]
    for before, comment, byte in itertools.product(seen, (b"", b"#", b";"), range(256)):
        part = before + comment + bytes([byte]) + b"3\n"
        pending = any("dropped" in oddity.reason for oddity in assemble(part, "").oddities)
        source += part + (b"0" if pending else b"") + b"A5\n"
    return bytes(source)


def test_every_transition_of_the_state_machine() -> None:
    source = every_transition()
    assert assemble(source, "all").output == host.run(source)
