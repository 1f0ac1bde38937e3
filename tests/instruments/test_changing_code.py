"""Code that changes under the CPU: every way of writing over instructions that already ran."""

from __future__ import annotations

import signal

import pytest

from bootstrap.core import cpu
from bootstrap.core.abi import PROT_EXEC, PROT_READ, PROT_WRITE
from bootstrap.linux.flags import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE
from tests.instruments import runs
from tests.instruments.guest import CODE, Cell, Program, R, W, X
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, Outcome, emulate, native, signalled

RETURN_1 = bytes.fromhex("b801000000c3")
RETURN_2 = bytes.fromhex("b802000000c3")
ANY = R | W | X
NEW = MAP_PRIVATE | MAP_ANONYMOUS


def answer(value: int) -> bytes:
    return value.to_bytes(4, "little")


def start(abi: str) -> Program:
    """A program whose subroutine `f`, at CODE + 5, returns 1; the program proper comes after."""
    return Program(abi).jmp("main").label("f").raw(RETURN_1).label("main")


F = CODE + 5


def ask(guest: Program) -> Program:
    """Call f and write what it returns."""
    cell = guest.space(8)
    return guest.call_near("f").store(cell).call("write", 1, cell, 4)


def check(guest: Program, hot_path: str, *expected: int, stdin: bytes = b"") -> Outcome:
    image = guest.elf(code_flags=ANY)
    outcome = emulate(image, hot_path, files={b"/new": RETURN_2}, stdin=stdin)
    assert outcome.fault is None
    assert outcome.output == b"".join(map(answer, expected))
    assert outcome.status == 0
    return outcome


@EACH_HOT_PATH
@EACH_ABI
def test_written_by_the_guest(abi: str, hot_path: str) -> None:
    guest = ask(start(abi))
    for value in (2, 3, 2):
        ask(guest.poke(F + 1, value))
    check(guest.exit(0), hot_path, 1, 2, 3, 2)


@EACH_HOT_PATH
@EACH_ABI
def test_the_very_next_instruction(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    size = 7 if abi == "i386" else 8
    cell = guest.space(8)
    guest.label("again")
    guest.poke(guest.here + size + 1, 9).raw("b801000000").store(cell).call("write", 1, cell, 4)
    check(guest.exit(0), hot_path, 9)


@EACH_HOT_PATH
@EACH_ABI
@pytest.mark.parametrize("times", [1, 3])
def test_read_from_a_file(abi: str, hot_path: str, times: int) -> None:
    guest = ask(start(abi))
    name = guest.text(b"/new")
    for _ in range(times):
        guest.call("open", name, 0).call("read", 3, F, 6)
        ask(guest)
        ask(guest.poke(F + 1, 4)).call("close", 3)
    check(guest.exit(0), hot_path, 1, *([2, 4] * times))


@EACH_HOT_PATH
@EACH_ABI
def test_read_from_a_stream(abi: str, hot_path: str) -> None:
    guest = ask(start(abi)).call("read", 0, F, 6)
    check(ask(guest).exit(0), hot_path, 1, 2, stdin=RETURN_2)


@EACH_HOT_PATH
@EACH_ABI
def test_one_byte_of_an_instruction_read(abi: str, hot_path: str) -> None:
    guest = ask(start(abi))
    for _ in range(3):
        ask(guest.call("read", 0, F + 1, 1))
    check(guest.exit(0), hot_path, 1, 7, 8, 9, stdin=bytes((7, 8, 9)))


@EACH_HOT_PATH
@EACH_ABI
def test_an_instruction_across_two_pages(abi: str, hot_path: str) -> None:
    guest = Program(abi).jmp("main")
    guest.raw(bytes(4096 - 2 - len(guest.code))).label("f").raw(RETURN_1)
    f = CODE + 4094
    guest.label("main")
    ask(guest)
    ask(guest.poke(f + 1, 2))
    ask(guest.poke(f + 2, 1))
    ask(guest.call("read", 0, f + 1, 2))
    check(guest.exit(0), hot_path, 1, 2, 0x102, 0x405, stdin=b"\5\4")


@EACH_HOT_PATH
@EACH_ABI
def test_a_forked_child_changes_only_its_own(abi: str, hot_path: str) -> None:
    guest = ask(start(abi))
    guest.call("fork").jump_if_zero("child")
    guest.call("wait4", -1, 0, 0, 0)
    ask(guest).exit(0)
    guest.label("child")
    ask(ask(guest).poke(F + 1, 6)).exit(0)
    check(guest, hot_path, 1, 1, 6, 1)


@EACH_HOT_PATH
@EACH_ABI
def test_written_where_it_may_not_run_and_then_may(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    size, cell, place = 4096, guest.space(8), guest.space(8)
    files = [guest.text(b"/one"), guest.text(b"/new")]
    mmap = "mmap2" if abi == "i386" else "mmap"
    guest.call(mmap, 0, size, PROT_READ | PROT_WRITE, NEW, -1, 0).store(place)
    for name in files:
        guest.call("open", name, 0).call("read", 3, Cell(place), 6).call("close", 3)
        guest.call("mprotect", Cell(place), size, PROT_READ | PROT_EXEC)
        guest.load(place).raw("ffd0").store(cell).call("write", 1, cell, 4)
        guest.call("mprotect", Cell(place), size, PROT_READ | PROT_WRITE)
    # Unmapped, mapped anew at the same place, and filled again.
    guest.call("munmap", Cell(place), size)
    guest.call(mmap, Cell(place), size, PROT_READ | PROT_WRITE | PROT_EXEC, NEW | MAP_FIXED, -1, 0)
    guest.call("open", files[0], 0).call("read", 3, Cell(place), 6).call("close", 3)
    guest.load(place).raw("ffd0").store(cell).call("write", 1, cell, 4)
    guest.call("mprotect", Cell(place), size, PROT_READ | PROT_WRITE)
    guest.load(place).raw("ffd0").exit(0)
    outcome = emulate(guest, hot_path, files={b"/one": RETURN_1, b"/new": RETURN_2})
    assert outcome.output == answer(1) + answer(2) + answer(1)
    assert outcome.status == signalled(signal.SIGSEGV)


@EACH_HOT_PATH
@EACH_ABI
@pytest.mark.parametrize("stack", [None, R | W, R | W | X], ids=["unsaid", "rw", "rwx"])
@pytest.mark.parametrize("where", ["data", "heap", "stack"])
def test_where_code_may_run(abi: str, hot_path: str, stack: int | None, where: str) -> None:
    runs.need_native(abi)
    guest = Program(abi)
    code, end = guest.data(RETURN_2), guest.space(8)
    add, subtract = ("05", "2d") if abi == "i386" else ("4805", "482d")
    write_it = "c700b8020000" + "c7400400c39090"  # RETURN_2 to where eax or rax points
    if where == "data":
        guest.raw(b"\xb8" + code.to_bytes(4, "little"))
    elif where == "heap":
        guest.call("brk", 0).raw(add + "00100000").store(end).call("brk", Cell(end))
        guest.raw(subtract + "00100000" + write_it)
    else:
        guest.raw("89e0" if abi == "i386" else "4889e0").raw(subtract + "00010000" + write_it)
    guest.raw("ffd0").exit_with_result()
    image = guest.elf(stack=stack)
    outcome = emulate(image, hot_path)
    assert outcome.status in (2, signalled(signal.SIGSEGV))
    assert outcome.status == native(image).status


@EACH_HOT_PATH
@EACH_ABI
def test_more_code_than_there_is_room_for(
    abi: str, hot_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8,000 blocks, three times: 1 MiB, the least that Unicorn takes, holds about 3,000."""
    monkeypatch.setattr(cpu, "TRANSLATED", 1 << 20)
    guest = Program(abi)
    rounds, blocks = guest.data(answer(3) + bytes(4)), guest.space(8)
    guest.label("again").load(blocks)
    guest.raw(bytes.fromhex("40eb00" if abi == "i386" else "48ffc0eb00") * 8000).store(blocks)
    guest.decrement(rounds).jump_if_not_zero("again").call("write", 1, blocks, 4)
    check(guest.exit(0), hot_path, 3 * 8000)
