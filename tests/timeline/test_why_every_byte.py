"""`why` for every byte of every program of the embedded path, against the models' source maps."""

from __future__ import annotations

import dataclasses

import pytest

from bootstrap.languages import hex0, hex1, hex2
from bootstrap.languages.assembly import Assembly
from bootstrap.languages.source import SourceText
from bootstrap.timeline.origins import ByteOrigins
from bootstrap.trace.store import Trace
from bootstrap.trace.views import is_at
from tests.seeds.tools import SOURCES


@pytest.fixture(scope="module")
def why(opened: Trace) -> ByteOrigins:
    return ByteOrigins(opened)


def source(name: str) -> SourceText:
    return SourceText(name, (SOURCES / name).read_bytes())


def assembled(product: str) -> Assembly:
    """What the model of its language says of a product."""
    match product:
        case "hex2":
            return hex1.assemble(source("hex2.hex1").text, "hex2.hex1")
        case "catm":
            return hex2.assemble([source("catm.hex2")])
        case "M0":
            return hex2.assemble([source("elf.hex2"), source("M0.hex2")])
    return hex0.assemble(source(f"{product}.hex0").text, f"{product}.hex0")


PRODUCTS = {"hex0": 181, "kaem": 654, "hex1": 441, "hex2": 869, "catm": 217, "M0": 871}


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_byte(why: ByteOrigins, product: str) -> None:
    """The last link of the way is the place that the model tells, in a file of the tree."""
    assembly = assembled(product)
    assert len(assembly.map) == PRODUCTS[product]
    for offset, origin in enumerate(assembly.map):
        links = why.why(product, offset)
        first, last = links[0], links[-1]
        assert first.byte == assembly.output[offset]
        assert first.call is not None
        told = (last.path, last.line, last.column, last.ends)
        assert told == (
            origin.file, origin.line, origin.columns[0], "a file of the source tree"
        )  # fmt: skip
        assert first.place is not None
        assert (first.place.label, first.place.comment) == (origin.label, origin.comment)


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_write_of_every_byte(opened: Trace, why: ByteOrigins, product: str) -> None:
    """Followed by hand: the calls of the program that wrote it, in their order."""
    written: dict[int, tuple[int, int]] = {}
    at = 0
    row = next(r for r in why.writers if is_at(r, product))
    program = opened.program(row.process)
    links = [why.write_call(row, offset) for offset in range(PRODUCTS[product])]
    for chunk in opened.chunks(program.id):
        calls = opened.calls(chunk)
        for index in range(chunk.count):
            number, fd, guest_addr, _size, result = (calls.values(c)[index] for c in range(5))
            if number == 4 and fd > 2:
                for n in range(result):
                    written[at + n] = (chunk.first_call + index, guest_addr + n)
                at += result
    found = {n: (c.ordinal, c.guest_addr) for n, c in enumerate(links) if c is not None}
    assert found == written


def test_a_wrong_map_is_noticed(why: ByteOrigins) -> None:
    """The comparison above can fail: one line further is another place."""
    origin = assembled("catm").map[100]
    last = why.why("catm", 100)[-1]
    other = dataclasses.replace(origin, digits=assembled("catm").map[101].digits)
    assert (last.line, last.column) == (origin.line, origin.columns[0])
    assert (last.line, last.column) != (other.line, other.columns[0])
