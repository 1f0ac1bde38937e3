"""`trace why`: the way from a byte back to its source agrees with the models and with the bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.core.errors import BadInput
from bootstrap.languages import hex0, hex2
from bootstrap.languages.source import SourceText
from bootstrap.timeline.origins import ByteOrigins, lines
from bootstrap.trace.store import Trace
from tests.cli.command import bootstrap
from tests.instruments.guest import Program
from tests.seeds.tools import SOURCES
from tests.trace import recorded


@pytest.mark.parametrize(("product", "source"), [("hex1", "hex1.hex0"), ("kaem", "kaem.hex0")])
def test_every_byte_of_a_hex0_product(opened: Trace, product: str, source: str) -> None:
    text = (SOURCES / source).read_bytes()
    origins = hex0.assemble(text, source).map
    why = ByteOrigins(opened)
    for offset, origin in enumerate(origins):
        made, given = why.why(product, offset)
        assert (made.path, made.model, made.ends) == (product, "hex0", "")
        assert made.place is not None
        assert (made.place.line, made.place.column) == (origin.line, origin.columns[0])
        assert made.place.comment == origin.comment
        assert (given.path, given.line, given.column) == (source, origin.line, origin.columns[0])
        assert given.ends == "a file of the source tree"
        assert int(given.text[given.column - 1], 16) == made.byte >> 4


def test_every_byte_of_catm(opened: Trace) -> None:
    text = (SOURCES / "catm.hex2").read_bytes()
    assembly = hex2.assemble([SourceText("catm.hex2", text)])
    why = ByteOrigins(opened)
    for offset, origin in enumerate(assembly.map):
        made, given = why.why("catm", offset)
        assert made.byte == assembly.output[offset]
        assert made.place is not None
        assert (given.line, given.column) == (origin.line, origin.columns[0])
        assert made.place.label == origin.label


def test_the_write_calls_are_those_that_wrote_the_bytes(opened: Trace) -> None:
    """hex0-seed writes byte by byte; our tools write a file at once."""
    why = ByteOrigins(opened)
    ordinals = [why.why("hex0", offset)[0].call for offset in range(181)]
    assert all(call is not None and call.size == 1 for call in ordinals)
    found = [call.ordinal for call in ordinals if call is not None]
    assert found == sorted(set(found))
    first, last = why.why("hex2", 0)[0].call, why.why("hex2", 868)[0].call
    assert first is not None
    assert last is not None
    assert (first.ordinal, first.size) == (last.ordinal, 869)
    assert last.guest_addr - first.guest_addr == 868


def test_through_hex2_catm_and_m0(opened: Trace) -> None:
    """`hello` was written in M1: each of its bytes comes from hello.M1, or from the header."""
    why = ByteOrigins(opened)
    ends: dict[str, int] = {}
    for offset in range(155):
        links = why.why("hello", offset)
        assert [link.path for link in links[:2]] == ["hello", "hello-whole.hex2"]
        assert [link.model for link in links[:2]] == ["hex2", "catm"]
        last = links[-1]
        assert last.ends == "a file of the source tree"
        if last.path == "hello.M1":
            assert [link.path for link in links[2:]] == ["hello.hex2", "hello.M1"]
            assert links[2].model == "M0"
        ends[last.path] = ends.get(last.path, 0) + 1
    assert ends == {"elf.hex2": 84, "hello.M1": 155 - 84}


def test_a_program_without_a_model_ends_the_way(tmp_path: Path) -> None:
    guest = Program("i386")
    out = guest.text(b"/out")
    guest.call("open", out, 0o101, 0o644).call("write", 3, guest.data(b"ab\n:x\ncd\n"), 9).exit(0)
    recorded.record(guest, tmp_path / "t")
    with trace.open(tmp_path / "t") as found:
        (link,) = ByteOrigins(found).why("out", 7)
    assert link.ends == "there is no model of /guest"
    assert (link.line, link.column, link.text, link.label) == (3, 2, "cd", "x")


def test_a_model_that_makes_another_file_is_not_believed(place: Path, tmp_path: Path) -> None:
    """The trace is changed so that a tool seems to have read another source."""
    changed = tmp_path / "changed.trace"
    changed.write_bytes(place.read_bytes())
    recorded.change(
        changed,
        "UPDATE opens SET version = (SELECT version FROM opens WHERE path = '/kaem.hex0' LIMIT 1) "
        "WHERE path = '/hex1.hex0'",
    )
    with trace.open(changed) as found:
        (link,) = ByteOrigins(found).why("hex1", 0x60)
    assert link.ends == "the model of /hex0 makes another file of what it read"


@pytest.mark.parametrize(
    ("path", "offset", "says"),
    [
        ("nothing", 0, "no program wrote or read nothing"),
        ("hex1", 441, "/hex1 has 441 bytes; there is no byte at 0x1b9"),
        ("hex1.hex0", 1 << 40, "there is no byte at"),
    ],
)
def test_what_is_not_there(opened: Trace, path: str, offset: int, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        ByteOrigins(opened).why(path, offset)


def test_the_answer_for_people(opened: Trace) -> None:
    text = "\n".join(lines(ByteOrigins(opened).why("M0", 0x60)))
    assert "M0 + 0x60: byte" in text
    assert "model     hex2, which makes this file byte for byte" in text
    assert "the way ends here: a file of the source tree" in text


def test_on_the_command_line(place: Path) -> None:
    done = bootstrap("trace", "why", place, "hex1:0x60")
    assert (done.status, done.stderr) == (0, "")
    assert "from      hex1.hex0:" in done.stdout
    for wrong in ("hex1", "hex1:", ":3", "hex1:-1", "hex1:x"):
        bad = bootstrap("trace", "why", place, wrong)
        assert bad.status == 2
        assert "name a file and an offset in it" in bad.one_line()
