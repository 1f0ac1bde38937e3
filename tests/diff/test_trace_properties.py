"""Whatever byte is changed: the same place from both sides, and the right instruction."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap import trace
from bootstrap.diff.aligning import pairs
from bootstrap.diff.traces import TraceDiff
from tests.diff.pairs import Run, compared, executed_of, first_byte_of, flipped, one_by_one, swapped
from tests.instruments.guest import Program
from tests.trace import recorded

SOURCE = bytes(range(0x40, 0x60))
O_NEW = 0o1101


def reader(abi: str, step: int, looks_at: int, buffer: int) -> Program:
    """Reads /source `step` bytes at a time into a buffer; loads one of its bytes after each, pushes
    another, which changes no register but the stack's, and writes the buffer to /out."""
    guest = Program(abi)
    name, out, space = guest.text(b"/source"), guest.text(b"/out"), guest.space(buffer)
    guest.call("open", name, 0, 0).call("open", out, O_NEW, 0o644)
    for _ in range(len(SOURCE) // step):
        guest.call("read", 3, space, step)
        for load in (
            b"\xff\x34\x25",
            b"\x0f\xb6\x0c\x25",
        ):  # push [space]; movzx ecx, [space + ...]
            at = space + (looks_at if load[0] == 0x0F else 0)
            guest.raw(load + at.to_bytes(4, "little"))
        guest.call("write", 4, space, step)
    return guest.exit(0)


def place(found: TraceDiff) -> int | None:
    if found.instruction is None:
        return None
    one = found.instruction.a
    assert one is not None
    return -1 if found.instruction.before_the_first else executed_of(one.coordinate)


@settings(max_examples=12, deadline=None)
@given(
    step=st.sampled_from([1, 2, 4, 8]),
    looks_at=st.integers(0, 7),
    flip=st.integers(0, len(SOURCE) - 1),
    mask=st.sampled_from([1, 0x20, 0x80]),
    more=st.booleans(),
)
def test_a_byte_of_a_file(step: int, looks_at: int, flip: int, mask: int, more: bool) -> None:
    guest = reader("i386", step, looks_at, 16)
    other = flipped(SOURCE, flip, mask) + (b"more" if more else b"")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        a = Run(guest, {b"/source": SOURCE}).record(folder / "a")
        b = Run(guest, {b"/source": other}).record(folder / "b")
        _hold(a, b, flip)


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_byte_of_a_program(data: st.DataObject) -> None:
    """Most such programs fail, and some never end: a limit stops them."""
    from bootstrap.linux.limits import RunLimits

    guest = reader("i386", 4, 2, 16)
    at = data.draw(st.integers(0, len(guest.code) - 1))
    mask = data.draw(st.sampled_from([1, 2, 8, 0x40, 0x80]))
    broken = reader("i386", 4, 2, 16)
    broken.code[at] ^= mask
    files, limits = {b"/source": SOURCE}, RunLimits(instructions=5000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        a = Run(guest, files, limits=limits).record(folder / "a")
        b = Run(broken, files, limits=limits).record(folder / "b")
        _hold(a, b, None)


def _hold(a: Path, b: Path, offset: int | None) -> None:
    with compared(a, a) as same:
        assert same.equal
    with compared(a, b) as found:
        assert not found.equal
        assert offset in (None, first_byte_of(found).offset)
        assert place(found) == one_by_one(found.traces.a, found.traces.b, 1, 1), found.searched
        there = swapped(found)
    with compared(b, a) as back:
        assert swapped(back) == there


@pytest.mark.parametrize("hot_path", ["native", "python"])
def test_both_hot_paths_find_the_same(hot_path: str, tmp_path: Path) -> None:
    guest = reader("x86_64", 4, 3, 16)
    a = Run(guest, {b"/source": SOURCE}, hot_path=hot_path).record(tmp_path / "a")
    b = Run(guest, {b"/source": flipped(SOURCE, 19)}, hot_path=hot_path).record(tmp_path / "b")
    with compared(a, b, hot_path) as found:
        assert place(found) == one_by_one(found.traces.a, found.traces.b, 1, 1)
        assert found.instruction is not None
        assert list(found.instruction.registers) == ["rcx"]


def test_programs_of_the_embedded_path_are_aligned_with_themselves(tmp_path: Path) -> None:
    recorded.record_embedded(tmp_path / "t", "native")
    with trace.open(tmp_path / "t") as opened:
        found = list(pairs(opened, opened))
        assert [pair.a for pair in found] == [pair.b for pair in found]
        assert {pair.a.id for pair in found if pair.a} == {p.id for p in opened.programs}
