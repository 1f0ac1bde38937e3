"""Tenet traces: replayed line by line, they make the registers and the memory of the program."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.core.errors import BadInput
from bootstrap.instruments import default_engine
from bootstrap.timeline.export.drcov import counts, drcov
from bootstrap.timeline.export.tenet import MOST, tenet, window
from bootstrap.timeline.timeline import PastEnd, Timeline
from tests.instruments.guest import Program
from tests.linux.guest_process import areas
from tests.timeline.export.readers import (
    TENET_AMD64,
    TENET_X86,
    Delta,
    read_drcov,
    read_tenet,
)
from tests.trace import recorded

KNOWN = {"i386": (TENET_X86, "eip"), "x86_64": (TENET_AMD64, "rip")}


def read(traveller: Timeline, row: int, start: int = 0, end: int | None = None) -> list[Delta]:
    """The lines of a window, as Tenet reads them."""
    end = window(traveller, row, start, end, MOST)
    text = b"".join(tenet(traveller, default_engine(), row, start, end))
    return read_tenet(text, *KNOWN[traveller.trace.program(row).abi])


def memory(traveller: Timeline) -> dict[int, int]:
    """All of the process's memory that is not zero."""
    found: dict[int, int] = {}
    for area in areas(traveller.process.memory):
        start, end = area[0], area[1]
        content = traveller.process.memory.read_upto(start, end - start)
        for run in re.finditer(rb"[^\0]+", content):
            found.update(enumerate(run[0], start + run.start()))
    return found


def replay(traveller: Timeline, row: int, start: int, deltas: list[Delta], every: int) -> None:
    """What was read is what was there, and all that changed is told."""
    abi = traveller.trace.program(row).abi
    pc = KNOWN[abi][1]
    traveller.seek(row, start)
    modelled = memory(traveller)
    registers: dict[str, int] = {}
    for index, delta in enumerate(deltas):
        registers.update(delta.registers)
        for address, byte in delta.reads.items():
            assert modelled.get(address, 0) == byte, f"line {index}: read at {address:#x}"
        modelled.update(delta.writes)
        if index % every == 0 or index == len(deltas) - 1:
            traveller.seek(row, start + index)
            there = {**dict(traveller.registers()), pc: traveller.pc}
            assert registers == {name: there[name] for name in registers}, f"line {index}"
    assert {a: byte for a, byte in modelled.items() if byte} == memory(traveller)


def row_of(traveller: Timeline, pid: int) -> int:
    return max(p.id for p in traveller.trace.programs if p.pid == pid)


def test_the_whole_of_kaem(traveller: Timeline) -> None:
    """With nine children, which are passed over."""
    row = row_of(traveller, 3)
    deltas = read(traveller, row)
    assert len(deltas) == traveller.total(row)
    replay(traveller, row, 0, deltas, every=97)


def test_a_window_in_the_middle(traveller: Timeline) -> None:
    row = row_of(traveller, 5)
    deltas = read(traveller, row, 100_000, 103_000)
    assert len(deltas) == 3_001
    replay(traveller, row, 100_000, deltas, every=50)


def test_drcov_covers_every_place_that_kaem_was_at(traveller: Timeline) -> None:
    """Single steps know nothing of counts and blocks."""
    row = row_of(traveller, 3)
    places = {delta.registers["eip"] for delta in read(traveller, row)}
    found = read_drcov(b"".join(drcov(counts(traveller, [traveller.trace.program(row)]))))
    base = found.modules[0].base
    starts = {base + start for _, start, _ in found.blocks}
    covered = {base + start + n for _, start, size in found.blocks for n in range(size)}
    assert starts <= places <= covered


def whole(place: Path) -> list[Delta]:
    """Of the first program of a trace, which is replayed line by line."""
    with trace.open(place) as opened:
        traveller = Timeline(opened, default_engine())
        deltas = read(traveller, 1)
        replay(traveller, 1, 0, deltas, every=1)
        traveller.close()
    return deltas


@pytest.mark.parametrize("abi", ["i386", "x86_64"])
def test_what_system_calls_write(tmp_path: Path, abi: str) -> None:
    place = tmp_path / "t"
    recorded.record(recorded.busy(abi), place, files=recorded.busy_files(abi), stdin=[b"12345678"])
    deltas = whole(place)
    written = [bytes(delta.writes.values()) for delta in deltas if delta.writes]
    source = recorded.busy_files(abi)[b"/source"]
    # One byte three times, then 40; the status that wait4 stores (exit 4); what is on stdin.
    assert written == [b"t", b"h", b"e", source[:40], b"\0\4\0\0", b"12345678"]
    read_back = [bytes(delta.reads.values()) for delta in deltas if delta.reads]
    assert b"12345678" in read_back and source[:5] in read_back


def test_several_accesses_of_one_instruction(tmp_path: Path) -> None:
    guest = Program("i386")
    source, dest = guest.data(b"abcdefgh"), guest.space(16)
    guest.raw(b"\xff\x35" + source.to_bytes(4, "little"))  # push dword [source]
    guest.raw(b"\xfe\x05" + source.to_bytes(4, "little"))  # inc byte [source]
    guest.raw(b"\xbe" + source.to_bytes(4, "little"))  # mov esi, source
    guest.raw(b"\xbf" + dest.to_bytes(4, "little"))  # mov edi, dest
    guest.raw("b905000000").raw("f3a4")  # mov ecx, 5; rep movsb
    # Onto itself, one further: each byte that is read was written by the round before.
    guest.raw(b"\xbe" + dest.to_bytes(4, "little")).raw(b"\xbf" + (dest + 1).to_bytes(4, "little"))
    guest.raw("b903000000").raw("f3a4").exit(0)
    place = tmp_path / "t"
    recorded.record(guest, place)
    deltas = whole(place)
    push, increment, copy, smear = deltas[1], deltas[2], deltas[6], deltas[10]
    assert bytes(push.reads.values()) == bytes(push.writes.values()) == b"abcd"
    assert (increment.reads, increment.writes) == ({source: ord("a")}, {source: ord("b")})
    assert copy.reads == dict(enumerate(b"bbcde", source))
    assert copy.writes == dict(enumerate(b"bbcde", dest))
    # Only what was there before the instruction is read from outside of it.
    assert smear.reads == {dest: ord("b")}
    assert smear.writes == dict(enumerate(b"bbb", dest + 1))


def test_a_wrong_line_is_noticed(traveller: Timeline) -> None:
    row = row_of(traveller, 3)
    deltas = read(traveller, row, 0, 500)
    at = next(i for i, delta in enumerate(deltas) if delta.writes)
    address = next(iter(deltas[at].writes))
    right = deltas[at]
    for delta in (
        dataclasses.replace(right, writes={address: right.writes[address] ^ 1}),
        dataclasses.replace(right, reads={address: 0xEE}),
        dataclasses.replace(right, registers={**right.registers, "eip": 1}),
    ):
        wrong = deltas[: at + 2]
        wrong[at] = delta
        with pytest.raises(AssertionError):
            replay(traveller, row, 0, wrong, every=1)


def test_windows_that_are_refused(traveller: Timeline) -> None:
    row = row_of(traveller, 3)
    total = traveller.total(row)
    assert window(traveller, row, 0, total, MOST) == total - 1
    with pytest.raises(PastEnd):
        window(traveller, row, 0, total + 1, MOST)
    with pytest.raises(PastEnd):
        window(traveller, row, total, None, MOST)
    with pytest.raises(BadInput, match="is empty"):
        window(traveller, row, 7, 7, MOST)
    with pytest.raises(BadInput, match="has no line: there is nothing after it"):
        window(traveller, row, total - 1, None, MOST)
    for end in (18, None):
        with pytest.raises(BadInput, match=r"longer than 10 .* --count, or allow more with --most"):
            window(traveller, row, 7, end, 10)
    assert window(traveller, row, total - 11, None, 10) == total - 1
    assert window(traveller, row, 7, 17, 10) == 17
    programs = traveller.trace.programs
    programs[row - 1] = dataclasses.replace(programs[row - 1], abi="aarch64")
    with pytest.raises(BadInput, match="of aarch64: Tenet reads traces of x86 and AMD64 only"):
        window(traveller, row, 0, None, MOST)
