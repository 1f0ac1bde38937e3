"""What the tests on random input share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SETTINGS = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def some(characters: bytes) -> st.SearchStrategy[bytes]:
    """Up to three of these bytes."""
    return st.lists(st.sampled_from(characters), max_size=3).map(bytes)


@st.composite
def spoilt(
    draw: st.DrawFn, programs: st.SearchStrategy[bytes], odd: st.SearchStrategy[bytes]
) -> bytes:
    """A program in which a few places have been overwritten, or something odd put in."""
    program = draw(programs)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(program)))
        end = at + draw(st.integers(0, 2))
        program = program[:at] + draw(odd) + program[end:]
    return program
