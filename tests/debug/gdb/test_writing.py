"""Packets that write into a live program, and the installed gdb that does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.debug import Session
from bootstrap.debug.gdb.registers import DESCRIPTIONS
from tests.debug.gdb.clients import (
    HELLO,
    NATIVE,
    NO_MORE,
    SHOW,
    connected,
    natively,
    registers_of,
    repeated,
    same,
    talk,
)
from tests.debug.material import LOOP, STORED, record_image, record_loop
from tests.instruments.guest import DATA, Program

INTERRUPT = b"\x03"
PECULIAR = ("eflags", "cpsr", "fctrl", "fstat", "ftag", "mxcsr", "fpsr", "fpcr", "fcsr")
NUMBERS = {"aarch64": "x1", "riscv64": "a1", "riscv32": "a1"}
"""The register that counts the loop."""


def counting(abi: str) -> bytes:
    """Counts 5 down to 0 in memory, three instructions for each, and exits with 7."""
    guest = Program(abi)
    cell = guest.data(bytes([5]) + bytes(7))
    assert cell == DATA
    guest.label("again").decrement(cell).jump_if_not_zero("again")
    return guest.exit(7).elf()


def record(folder: Path, abi: str) -> Path:
    return record_image(folder, counting(abi)) if abi in NATIVE else record_loop(folder, abi)


@pytest.fixture(params=sorted(DESCRIPTIONS))
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Session]:
    with Session.open(str(record(tmp_path, request.param))) as session:
        session.make_live(str(tmp_path / "root"))
        yield session


def test_registers_are_what_they_were_set_to(live: Session) -> None:
    described = DESCRIPTIONS[live.program.abi].registers
    pc, packets = live.pc, []
    for number, register in enumerate(described):
        value = (b"\x01" + bytes(register.bits // 8 - 1)).hex().encode()
        if register.name not in ("eip", "rip", "pc"):
            packets += [b"p%x" % number, b"P%x=%b" % (number, value), b"p%x" % number, value]
    replies = iter(talk(live, HELLO, *(packet for packet in packets if packet[:1] in b"pP"))[1:])
    for ask, _, _, value in zip(*(iter(packets),) * 4, strict=True):
        register = described[int(ask[1:], 16)]
        was, stored, found = next(replies), next(replies), next(replies)
        if register.store is None:
            assert stored == f"E.register {register.name} cannot be set".encode()
            assert found == was
        else:
            assert stored == b"OK", register.name
        # Of some not all bits exist.
        if register.store is not None and register.name not in PECULIAR:
            assert found == value, register.name
    assert (live.pc, live.versions) == (pc, 0)


def test_all_registers_at_once(live: Session) -> None:
    described = DESCRIPTIONS[live.program.abi]
    number = described.number(described.sp)
    before, _, stored, same_ = talk(live, b"g", HELLO, b"G" + talk(live, b"g")[0], b"g")
    assert (stored, same_) == (b"OK", before)
    assert live.versions == 0
    width = described.registers[number].bits // 4
    start = sum(register.bits // 4 for register in described.registers[:number])
    changed = bytearray(before)
    changed[start : start + width] = b"10" + b"20" + b"00" * (width // 2 - 2)
    stored, found, short = talk(live, b"G" + changed, b"g", b"G00")
    assert (stored, found, short) == (b"OK", bytes(changed), b"E.malformed packet")


def test_memory_and_what_follows(live: Session) -> None:
    at = live.pc
    raw = live.read(at, 3)
    assert talk(
        live, b"X%x,0:" % at, b"M%x,2:1337" % at, b"m%x,3" % at, b"X%x,1:}\x03" % at, b"m%x,3" % at,
        b"M%x,2:00" % at, b"X%x,2:a" % at, b"M10,1:00", b"M%x,1" % at,
        b"M%x,3:%b" % (at, raw.hex().encode()),
    ) == [
        b"OK", b"OK", b"1337" + raw[2:].hex().encode(), b"OK",
        b"2337" + raw[2:].hex().encode(), b"E.malformed packet", b"E.malformed packet",
        b"E.there is no memory for 1 bytes at 0x10", b"E.malformed packet", b"OK",
    ]  # fmt: skip
    assert live.cont().reason == "end"
    assert live.versions == 1


def test_ctrl_c_where_it_never_ends(tmp_path: Path) -> None:
    with Session.open(str(record(tmp_path, "i386"))) as session:
        session.make_live(str(tmp_path / "root"))
        loop = b"M%x,2:ebfe" % session.pc
        hello, stored, stopped, end, there = talk(
            session, HELLO, loop, b"vCont;c:p1.1", b"vCont;c:p1.1", b"?", meanwhile=[INTERRUPT]
        )
        assert (hello != b"", stored) == (True, b"OK")
        assert stopped.startswith(b"T02")
        assert b"replaylog:end" in end
        assert there.startswith(b"T05")
        assert session.failure == "interrupted while it ran"


def test_processes_after_a_write(tmp_path: Path) -> None:
    guest = Program("i386").call("fork").jump_if_zero("child").call("waitpid", -1, 0, 0)
    guest.exit(1).label("child").exit(2)
    with Session.open(str(record_image(tmp_path, guest.elf()))) as session:
        session.make_live(str(tmp_path / "root"))
        _, forked, begin, known, stored, end, left, gone = talk(
            session, HELLO, b"vCont;c:p1.1", b"bc", b"qfThreadInfo",
            b"M400001,1:01",  # it does not fork, it exits
            b"vCont;c:p1.1", b"qfThreadInfo", b"Hgp2.2",
        )  # fmt: skip
        assert b"fork:p2.2" in forked
        assert b"replaylog:begin" in begin
        assert (known, stored) == (b"mp1.1,p2.2", b"OK")
        assert b"replaylog:end" in end
        assert (left, gone) == (b"mp1.1", b"E.no such process")


@pytest.mark.parametrize("abi", sorted(LOOP))
def test_gdb_writes(abi: str, tmp_path: Path) -> None:
    trace = record_loop(tmp_path, abi)
    output = connected(
        trace, tmp_path,
        [f"watch *(int *){STORED:#x}", "continue", "continue", f"set ${NUMBERS[abi]} = 9",
         "continue", "continue", "delete", f"set var *(int *){STORED:#x} = 77",
         f"print *(int *){STORED:#x}", "reverse-continue", f"print *(int *){STORED:#x}",
         "continue", f"print ${NUMBERS[abi]}", "reverse-continue", f"print *(int *){STORED:#x}"],
        abi, root=tmp_path / "root",
    )  # fmt: skip
    assert [line.split(" = ")[1] for line in output.splitlines() if line.startswith("$")] == [
        "77", "0", "0", "0"]  # fmt: skip
    # 5 and 4 were stored; then what was set, and so on down.
    assert [line for line in output.splitlines() if line.startswith("New value")] == [
        f"New value = {n}" for n in (5, 4, 9, 8)]  # fmt: skip
    assert output.count(NO_MORE) == 3


@pytest.mark.parametrize("abi", NATIVE)
def test_what_follows_is_as_on_this_machine(abi: str, tmp_path: Path) -> None:
    register = "eax" if abi == "i386" else "rax"
    commands = [
        *SHOW, *repeated(5, "stepi"), f"set var *(char *){DATA:#x} = 3",
        *repeated(3, "stepi", *SHOW), f"set ${register} = 0x12340", *SHOW,
        *repeated(6, "stepi", *SHOW), "set $eflags = 0x246", *repeated(3, "stepi", *SHOW),
    ]  # fmt: skip
    trace = record(tmp_path, abi)
    theirs = registers_of(natively(tmp_path / "root" / "guest", tmp_path, commands))
    ours = registers_of(connected(trace, tmp_path, commands, abi, root=tmp_path / "root"))
    sp = "esp" if abi == "i386" else "rsp"
    sps = ours[0][sp], theirs[0][sp]
    assert len(ours) == len(theirs) == 14
    assert ours[-1][register] == (1 if abi == "i386" else 60)  # exit: the loop was left
    for mine, native in zip(ours, theirs, strict=True):
        assert same(mine, native, sps), (mine, native)
