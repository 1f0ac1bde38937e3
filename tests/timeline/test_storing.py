"""`trace why` names the last instruction that stored a byte before it was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.linux.numbers import NUMBERS
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.origins import ByteOrigins
from bootstrap.timeline.stores import line, store_before, store_report
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace import coordinates
from bootstrap.trace.store import Trace
from tests.cli.command import bootstrap
from tests.instruments.guest import Program
from tests.instruments.runs import EACH_HOT_PATH, engine_for
from tests.trace import recorded


@pytest.mark.parametrize(
    ("hot_path", "product", "offsets"),
    [
        ("native", "hex0", (0, 180)),
        ("native", "hex1", (3, 440)),
        ("native", "M0", (0, 500)),
        # Where instructions are counted in Python, only what is soon reached.
        ("python", "hex0", (0,)),
        ("python", "hex1", (3,)),
    ],
)
def test_no_later_instruction_stores_to_the_byte_before_the_call(
    opened: Trace, hot_path: str, product: str, offsets: tuple[int, ...]
) -> None:
    """Another byte put there just before the instruction is written over; just behind it, it stays
    until the call."""
    engine, why, images = engine_for(hot_path), ByteOrigins(opened), ProgramImages(opened)
    traveller = Timeline(opened, engine)
    for offset in offsets:
        link = why.why(product, offset)[0]
        assert link.program is not None
        assert link.call is not None
        told = store_report(opened, engine, images, link)
        assert told is not None
        assert not told.by_call
        row, at, other = link.program.id, link.call.guest_addr, bytes((link.byte ^ 0xFF,))
        traveller.seek_call(row, link.call.ordinal - link.program.first_call)
        before_the_call = traveller.executed - 1
        for behind, expected in ((0, link.byte), (1, other[0])):
            # From a state of its own: a kept one would come without what we write.
            traveller = Timeline(opened, engine)
            traveller.go(coordinates.parse(told.coordinate))
            assert traveller.pc == told.guest_addr
            traveller.step(behind)
            assert traveller.executed <= before_the_call
            assert traveller.process.memory.read_upto(at, 1)[0] == link.byte or not behind
            traveller.process.memory.write(at, other)
            machine = traveller.machine
            traveller.seek(row, before_the_call)
            assert traveller.machine is machine
            assert traveller.process.memory.read_upto(at, 1)[0] == expected
    traveller.close()


def test_the_call_is_the_one_that_the_log_has(opened: Trace) -> None:
    """One too high was an error once."""
    why = ByteOrigins(opened)
    for product in ("hex0", "kaem", "hex1", "hex2", "catm", "M0"):
        link = why.why(product, 0)[0]
        assert link.program is not None
        assert link.call is not None
        write = NUMBERS[link.program.abi]["write"]
        for chunk in opened.chunks(link.program.id):
            index = link.call.ordinal - chunk.first_call
            if 0 <= index < chunk.count:
                calls = opened.calls(chunk)
                row = [calls.values(column)[index] for column in (0, 1, 2, 4)]
                assert row == [write, link.call.fd, link.call.guest_addr, link.call.size]
                assert chunk.first_event + index == link.call.event
                break
        else:
            raise AssertionError(f"{product}: the call is in no chunk")


@EACH_HOT_PATH
def test_a_system_call_stored_it_and_nobody_did(tmp_path: Path, hot_path: str) -> None:
    guest = Program("i386")
    buffer, given = guest.space(16), guest.data(b"given")
    guest.call("read", 0, buffer, 4)
    guest.call("open", guest.text(b"/out"), 0o102, 0o644)
    guest.call("write", 3, buffer, 4).call("write", 3, given, 5).exit(0)
    place = tmp_path / "t.trace"
    recorded.record(guest, place, stdin=[b"abcd"])
    with trace.open(place) as opened:
        engine = engine_for(hot_path)
        row = opened.programs[-1].id
        by_call = store_before(opened, engine, row, 3, buffer + 2)
        assert by_call is not None
        assert (by_call.by_call, by_call.calls) == (True, 0)
        assert by_call.code.startswith(b"\xcd\x80")
        assert store_before(opened, engine, row, 4, given + 1) is None
        why = ByteOrigins(opened)
        told = [
            line(store_report(opened, engine, ProgramImages(opened), why.why("/out", offset)[0]))
            for offset in (1, 6)
        ]
    assert told[0].startswith("by the system call of int 0x80, at 0x4000")
    assert told[1] == "by no instruction: it was in memory when the program began"


def test_on_the_command_line(place: Path) -> None:
    done = bootstrap("trace", "why", str(place), "hex1:0x20")
    assert done.status == 0
    assert done.stdout.count("    stored    by mov dword ptr [ecx], ebp, at 0x80480ab") == 1
    done = bootstrap("trace", "why", str(place), "hex1:0x20", "--stores", "none")
    assert (done.status, "stored" in done.stdout) == (0, False)
    done = bootstrap("trace", "why", str(place), "M0:7", "--stores", "all", "--json", "-")
    links = json.loads(done.stdout)["links"]
    assert [bool(link.get("stored")) for link in links] == [bool(link["call"]) for link in links]
    assert links[0]["path"] == "M0"
    assert links[0]["stored"]["coordinate"].startswith("8#")
