"""The anatomy of the seeds that are at hand, and of what becomes of them when bytes change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.anatomy import dissect
from bootstrap.anatomy.claims import KINDS, Anatomy
from bootstrap.anatomy.text import document, render
from bootstrap.known.seeds import load
from tests.anatomy import material

OURS = "f74dcf9cef2aee9eb7723eca755849d474fccd89662947021d1aa08429d23c13"
EACH = pytest.mark.parametrize(
    "sha256",
    [pytest.param(key, id=f"{seed.name} {key[:8]}") for key, seed in material.names().items()],
)


def anatomy_of(data: bytes, knight: bool = False) -> Anatomy:
    # LIEF is not asked: this process may have Unicorn loaded (test_second_opinion.py asks it).
    return dissect(data, knight, ask_lief=False)


def whole(anatomy: Anatomy, data: bytes) -> None:
    assert b"".join(part.data for part in anatomy.parts) == data
    assert sum(anatomy.totals().values()) == len(data) == anatomy.size
    lines = list(render(anatomy, colour=False))
    assert all(line.isprintable() for line in lines)
    assert "".join(part["bytes"] for part in document(anatomy)["parts"]) == data.hex()  # type: ignore[attr-defined]


@EACH
def test_every_byte_of_every_seed_at_hand(sha256: str) -> None:
    seed, data = load().by_sha256[sha256], material.seeds()[sha256]
    anatomy = anatomy_of(data, seed.arch == "knight")
    whole(anatomy, data)
    totals = anatomy.totals()
    if seed.family == "POSIX" and "source" not in seed.kind:
        assert anatomy.format == "ELF"
        assert totals.get("code", 0) > 80
        assert [opinion.verdict for opinion in anatomy.opinions] == ["agrees"]
    if seed.kind == "hex0-seed" and seed.family == "POSIX":
        # Small programs without indirect jumps: the whole flow can be followed.
        assert "unreached" not in totals
        assert anatomy.limits == ()
        assert any("exit: the program ends" in part.claim.meaning for part in anatomy.parts)
    if seed.family == "UEFI":
        assert (anatomy.format, "code" in totals) == ("PE", True)


def test_the_seed_that_we_carry() -> None:
    anatomy = anatomy_of(material.seeds()[OURS])
    assert anatomy.totals() == {"header": 76, "code": 105}
    assert (anatomy.shared(), anatomy.limits) == (8, ())
    parts = {part.start: part for part in anatomy.parts}
    assert (parts[0x18].claim.name, parts[0x18].claim.value) == ("ELF e_entry", "0x804804c")
    assert [claim.name for claim in parts[0x2C].also] == ["segment 0 p_type"]
    assert parts[0x55].claim.name == "int 0x80"
    assert parts[0x55].claim.meaning == "system call 5, open"
    assert parts[0x7E].claim.meaning == "system call 1, exit: the program ends"
    assert parts[0xB3].claim.name == "jmp 0x8048069"
    text = "\n".join(render(anatomy, colour=False))
    assert "181  together, of 181: every byte once" in text
    assert "inside the ELF header" in text
    assert "\x1b[" not in text
    assert "\x1b[" in "\n".join(render(anatomy, colour=True))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_changed_and_cut_seeds_still_add_up(draw: st.DataObject) -> None:
    """Nothing that is done to a file makes it crash or lose a byte."""
    sizes = {key: data for key, data in material.seeds().items() if len(data) < 2000}
    data = bytearray(sizes[draw.draw(st.sampled_from(sorted(sizes)))])
    for at, value in draw.draw(
        st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), max_size=8)
    ):
        data[at % len(data)] = value
    cut = bytes(data[: draw.draw(st.integers(1, len(data)))])
    whole(anatomy_of(cut), cut)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([b"", b"\x7fELF", b"\x7fELF\x01\x01", b"\x7fELF\x02\x01", b"MZ"]),
    st.binary(min_size=1, max_size=600),
)
def test_any_bytes_at_all(start: bytes, rest: bytes) -> None:
    data = start + rest
    whole(anatomy_of(data), data)
    sector = (data * 512)[:510] + b"\x55\xaa"
    whole(anatomy_of(sector), sector)


def test_kinds_have_words() -> None:
    assert set(KINDS) >= set(anatomy_of(bytes(100)).totals())
