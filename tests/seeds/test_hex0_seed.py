"""The seed, its annotated source and the model of its language are each other: phase 0.

That each instruction is what the source says is tested for all sources (test_annotations). What
the seed does when something goes wrong is the last section of docs/hex0.md, line by line.
"""

from __future__ import annotations

import hashlib
import io
import itertools

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap.core.errors import GuestFailed
from bootstrap.instruments import default_engine
from bootstrap.languages.hex0 import assemble
from bootstrap.linux.limits import RunLimits
from tests.seeds import tools
from tests.seeds.tools import SEED

SHA256 = "f74dcf9cef2aee9eb7723eca755849d474fccd89662947021d1aa08429d23c13"
SOURCE = (tools.SOURCES / "hex0.hex0").read_bytes()


def test_it_is_the_published_seed() -> None:
    assert len(SEED) == 181
    assert hashlib.sha256(SEED).hexdigest() == SHA256
    assert (tools.SOURCES / "hex0-seed").stat().st_mode & 0o111


def test_the_model_turns_the_source_into_the_seed() -> None:
    assembly = assemble(SOURCE, "hex0.hex0")
    assert assembly.output == SEED
    assert assembly.oddities == ()
    assert [i for i, origin in enumerate(assembly.map) if not origin.comment] == []


def test_the_headers_are_what_the_source_says() -> None:
    # pyelftools: a reader that is not ours.
    elf = ELFFile(io.BytesIO(SEED))
    header = elf.header
    assert (header["e_type"], header["e_machine"]) == ("ET_EXEC", "EM_386")
    assert (header["e_entry"], header["e_phoff"], header["e_phnum"]) == (0x0804804C, 0x2C, 1)
    assert (header["e_ehsize"], header["e_phentsize"]) == (0x34, 0x20)
    assert (header["e_shoff"], header["e_shnum"], header["e_shentsize"]) == (0, 0, 0)
    (segment,) = elf.iter_segments()
    assert (segment["p_type"], segment["p_offset"]) == ("PT_LOAD", 0)
    assert (segment["p_vaddr"], segment["p_paddr"]) == (0x08048000, 0x08048000)
    assert (segment["p_filesz"], segment["p_memsz"]) == (181, 181)
    assert (segment["p_flags"], segment["p_align"]) == (1, 1)


def made(run: tools.Runner, source: bytes) -> bytes:
    ended = run(SEED, ["in", "out"], {"in": source})
    assert (ended.status, ended.stdout, ended.files["in"]) == (0, b"", source)
    return ended.files["out"]


@tools.ON_BOTH_HOT_PATHS
def test_the_seed_turns_the_source_into_itself(run: tools.Runner) -> None:
    assert made(run, SOURCE) == SEED


DIGITS = st.sampled_from(b"0123456789ABCDEFGabcdefg")
SIGNS = st.sampled_from(b"\n#;")
SOURCES = st.lists(st.one_of(DIGITS, DIGITS, SIGNS, st.integers(0, 255)), max_size=200).map(bytes)


@tools.EACH
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(source=SOURCES)
def test_any_source(run: tools.Runner, source: bytes) -> None:
    assert assemble(source, "any").output == made(run, source)


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


@tools.ON_BOTH_HOT_PATHS
def test_every_transition_of_the_state_machine(run: tools.Runner) -> None:
    source = every_transition()
    assert assemble(source, "all").output == made(run, source)


@pytest.mark.parametrize(
    "arguments, changed",
    [
        (["in", "out"], {"out": b"AB"}),  # a digit left over is dropped
        (["in", "out", "more"], {"out": b"AB"}),
        # Without an output, or one that cannot be opened, it ends as if all were well.
        (["in"], {}),
        (["in", "folder"], {}),
        (["in", "missing/out"], {}),
        (["in", ""], {}),
        (["in", "in"], {"in": b""}),  # emptied before it is read
    ],
)
def test_what_it_does_not_notice(arguments: list[str], changed: dict[str, bytes]) -> None:
    ended = tools.emulated(default_engine(), SEED, arguments, {"in": b"41 42 4"})
    assert (ended.status, ended.files) == (0, {"in": b"41 42 4"} | changed)


@pytest.mark.parametrize("arguments", [["missing", "out"], ["folder", "out"], []])
def test_an_input_that_cannot_be_read_makes_it_loop(arguments: list[str]) -> None:
    with pytest.raises(GuestFailed, match="instructions"):
        limits = RunLimits(instructions=100_000)
        tools.emulated(default_engine(), SEED, arguments, {}, limits=limits)
