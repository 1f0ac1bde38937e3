"""Our hex1, hex2 and M0, each of which makes one output of one input, and random input for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from bootstrap.languages.fault import Kind, LanguageError
from bootstrap.languages.source import SourceText
from bootstrap.runs.modelled import MODELS
from tests.seeds import tools

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


@dataclass(frozen=True, eq=False)
class Assembler:
    """A tool that reads the file of its first argument and makes that of its second."""

    name: str
    """Of the tool, and of its language in MODELS."""

    tool: bytes

    good: Mapping[str, tuple[bytes, bytes]]
    """Why, a program, and its output."""

    bad: Mapping[Kind, Sequence[bytes]]
    """Programs by what is wrong with them."""

    programs: st.SearchStrategy[bytes]
    """Random programs without an error."""

    common: st.SearchStrategy[bytes]
    """The same, without what upstream's tool reads in a way of its own."""

    odd: st.SearchStrategy[bytes]
    """What is put into such programs to spoil them."""

    noise: st.SearchStrategy[bytes]
    """Random bytes."""

    statuses: frozenset[int] = frozenset({0})
    """What ``programs`` may end with all the same."""

    def expected(self, program: bytes) -> tuple[int, bytes | None]:
        """The exit status and the output, if there is one, as the model says."""
        try:
            return 0, MODELS[self.name]([SourceText("in", program)])
        except LanguageError as error:
            return int(error.kind), None

    def made(
        self, run: tools.Runner, program: bytes, tool: bytes | None = None
    ) -> tuple[int, bytes | None]:
        """The same, as the tool does it, or another ``tool``."""
        ended = run(tool or self.tool, ["in", "out"], {"in": program})
        assert ended.files["in"] == program
        return ended.status, ended.files.get("out")
