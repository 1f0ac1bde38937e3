"""`bootstrap diff` of the embedded path with one thing changed: source lines on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.languages import hex0
from bootstrap.timeline.source_maps import offset_of
from tests.diff.pairs import compared, embedded_with, first_byte_of, first_of, flipped, source
from tests.trace import recorded


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("diff") / "embedded.trace"
    recorded.record_embedded(place, "native")
    return place


def test_a_comment_of_a_source(embedded: Path, tmp_path: Path) -> None:
    """It is read by every program that reads the file, and changes nothing that is made."""
    text = source("hex2.hex1")
    offset = text.index(b"#") + 2
    other = embedded_with(tmp_path / "b", hex2_hex1=flipped(text, offset))
    with compared(embedded, other) as found:
        assert first_of(found) == "hex2.hex1"
        assert first_byte_of(found).offset == offset
        assert found.call is None and found.left == []
        one = found.instruction
        assert one is not None
        assert one.a.program == "hex1"
        assert (one.a.source or "").startswith("hex1.hex0:")
        assert one.a.line is not None and one.a.line in source("hex1.hex0").decode()
        assert one.reads is not None and one.reads.a == text[offset : offset + 1]


def test_a_byte_of_a_source(embedded: Path, tmp_path: Path) -> None:
    """hex1 is another program, and so is what it makes of its source."""
    text = source("hex1.hex0")
    digit = hex0.assemble(text, "hex1.hex0").map[-1]
    offset = offset_of(text, digit.line, digit.columns[1])
    other = embedded_with(tmp_path / "b", hex1_hex0=flipped(text, offset))
    with compared(embedded, other) as found:
        assert first_of(found) == "hex1.hex0"
        assert [one.path for one in found.given] == ["hex1.hex0"]
        assert found.left[0][0].path == "hex1"
        assert found.left[0][0].because == ("hex1.hex0",)
        first_left = found.first_left
        assert first_left is not None and first_left.from_.a is not None
        # The way back from the product's byte ends where the source was changed.
        assert first_left.from_.a.path == "hex1.hex0"
        assert first_left.from_.a.line == text.count(b"\n", 0, offset) + 1


def test_a_byte_of_the_seed(embedded: Path, tmp_path: Path) -> None:
    seed = source("hex0-seed")
    place = seed.index(b"\xcd\x80")  # the first system call
    other = embedded_with(tmp_path / "b", hex0__seed=flipped(seed, place + 1, 0x10))
    with compared(embedded, other) as found:
        assert first_of(found) == "hex0-seed"
        first, one = found.first, found.instruction
        assert first is not None and first.file is not None
        assert first_byte_of(found).offset == place + 1
        # hex0 of the good run is the same bytes as the seed: so their source is known.
        assert first.file.from_.a is not None and first.file.from_.a.path == "hex0.hex0"
        assert one is not None
        assert one.a.instruction == "int 0x80"
        assert one.b.instruction == "int 0x90"
        lonely = [pair.a for pair in found.flow.lonely if pair.a is not None]
        assert {"/kaem", "/hex1"} <= {str(program.path) for program in lonely}
        assert (one.ends, found.ends[0][1].b) == ("b", "killed by SIGSEGV")
