"""The hex0 model against the seed itself, native and emulated: they must be the same function."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap.languages.hex0 import assemble
from tests.seeds import runners

DIGITS = st.sampled_from(b"0123456789ABCDEFGabcdefg")
SIGNS = st.sampled_from(b"\n#;")
SOURCES = st.lists(st.one_of(DIGITS, DIGITS, SIGNS, st.integers(0, 255)), max_size=200).map(bytes)


@runners.EACH
@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(source=SOURCES)
def test_any_source(seed: runners.Runner, source: bytes) -> None:
    assert assemble(source, "any").output == seed(source)


def every_transition() -> bytes:
    """A source that feeds each byte value to each state of the seed's state machine.

    The states are: in a comment or not, times no digit seen or one of 17 values seen.  After each
    byte under test come a digit and a newline, in which the states differ by what is written,
    then what leads back to the start, and a marker byte.
    """
    source = bytearray()
    seen = [b"", *(bytes([digit]) for digit in b"0123456789ABCDEFG")]
    for before, comment, byte in itertools.product(seen, (b"", b"#", b";"), range(256)):
        part = before + comment + bytes([byte]) + b"3\n"
        pending = any("dropped" in oddity.reason for oddity in assemble(part, "").oddities)
        source += part + (b"0" if pending else b"") + b"A5\n"
    return bytes(source)


@runners.EACH
def test_every_transition_of_the_state_machine(seed: runners.Runner) -> None:
    source = every_transition()
    assert assemble(source, "all").output == seed(source)
