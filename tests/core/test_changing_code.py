"""Code that changes under the CPU: every way of writing over instructions that already ran."""

from __future__ import annotations

import signal
import struct

import pytest

from bootstrap.core import arches
from bootstrap.core.arches import X86, Arch
from tests.core.guest import CODE, ON_X86, Cell, Program, R, W, X, native, need_native, run

RETURN_1, RETURN_2 = bytes.fromhex("b801000000c3"), bytes.fromhex("b802000000c3")
F = CODE + 5
"""Where the subroutine is that changes."""


def start(arch: Arch) -> Program:
    """A program whose subroutine at F returns 1; the program proper comes after."""
    return Program(arch).raw(b"\xe9\6\0\0\0").raw(RETURN_1)


def ask(guest: Program, f: int = F) -> Program:
    """Call the subroutine and write what it returns."""
    cell = guest.space()
    guest.raw(b"\xe8" + struct.pack("<i", f - guest.here - 5))
    return guest.store(cell).call("write", 1, cell, 4)


def poke(guest: Program, guest_addr: int, byte: int) -> Program:
    """Write one byte of memory."""
    modrm = b"\xc6\x05" if guest.arch is X86 else b"\xc6\x04\x25"
    return guest.raw(modrm + struct.pack("<IB", guest_addr, byte))


def check(guest: Program, *expected: int, stdin: bytes = b"") -> None:
    ran = run(guest.exit(0).elf(R | W | X), files={b"/new": RETURN_2}, stdin=stdin)
    assert ran.result.fault is None
    assert (ran.status, ran.words(4)) == (0, list(expected))


@ON_X86
def test_written_by_the_guest(arch: Arch) -> None:
    guest = ask(start(arch))
    for value in (2, 3, 2):
        ask(poke(guest, F + 1, value))
    check(guest, 1, 2, 3, 2)


@ON_X86
def test_the_very_next_instruction(arch: Arch) -> None:
    guest = Program(arch)
    size = 7 if arch is X86 else 8
    cell = guest.space()
    poke(guest, guest.here + size + 1, 9).raw("b801000000").store(cell).call("write", 1, cell, 4)
    check(guest, 9)


@ON_X86
@pytest.mark.parametrize("times", [1, 3])
def test_read_from_a_file(arch: Arch, times: int) -> None:
    guest = ask(start(arch))
    name = guest.text(b"/new")
    for _ in range(times):
        ask(guest.call("open", name, 0).call("read", 3, F, 6))
        ask(poke(guest, F + 1, 4)).call("close", 3)
    check(guest, 1, *([2, 4] * times))


@ON_X86
def test_read_from_a_stream_also_one_byte_of_an_instruction(arch: Arch) -> None:
    guest = ask(ask(start(arch)).call("read", 0, F, 6))
    for _ in range(3):
        ask(guest.call("read", 0, F + 1, 1))
    check(guest, 1, 2, 7, 8, 9, stdin=RETURN_2 + bytes((7, 8, 9)))


@ON_X86
def test_an_instruction_across_two_pages(arch: Arch) -> None:
    f = CODE + 4094
    guest = Program(arch).raw(b"\xe9" + struct.pack("<i", 4094 + 6 - 5))
    guest.raw(bytes(4094 - 5)).raw(RETURN_1)
    ask(guest, f)
    ask(poke(guest, f + 1, 2), f)
    ask(poke(guest, f + 2, 1), f)
    ask(guest.call("read", 0, f + 1, 2), f)
    check(guest, 1, 2, 0x102, 0x405, stdin=b"\5\4")


@ON_X86
def test_a_page_that_is_read_before_it_is_run(arch: Arch) -> None:
    """To be read is not to be run: what runs later must be known when the kernel writes there."""
    f = CODE + 4096
    guest = Program(arch).load(f)
    ask(guest, f).call("read", 0, f, 6)
    ask(guest, f).exit(0)
    guest.raw(bytes(f - guest.here)).raw(RETURN_1)
    check(guest, 1, 2, stdin=RETURN_2)


@ON_X86
def test_a_forked_child_changes_only_its_own(arch: Arch) -> None:
    guest = ask(start(arch)).fork().jump("child", "zero").wait()
    ask(guest).exit(0).label("child")
    check(poke(ask(guest), F + 1, 6).raw(b"") and ask(guest), 1, 1, 6, 1)


@ON_X86
def test_a_heap_that_is_given_back_and_comes_again(arch: Arch) -> None:
    """The same place with other code in it, written by read(2): also where brk gave it back."""
    guest = Program(arch)
    base, end, cell = guest.space(), guest.space(), guest.space()
    add = "05" if arch is X86 else "4805"
    call_it = "ffd0"  # call eax or rax
    guest.call("brk", 0).store(base).raw(add + "00100000").store(end)
    for name in (b"/one", b"/new"):
        guest.call("brk", Cell(end)).call("open", guest.text(name), 0)
        guest.call("read", 3, Cell(base), 6).call("close", 3)
        guest.load(base).raw(call_it).store(cell).call("write", 1, cell, 4)
        guest.call("brk", Cell(base))
    files = {b"/one": RETURN_1, b"/new": RETURN_2}
    # Without PT_GNU_STACK, on x86 even the heap may be executed.
    ran = run(guest.exit(0).elf(stack=None), files=files)
    if arch is X86:
        assert (ran.status, ran.words(4)) == (0, [1, 2])
    else:
        assert ran.status == 128 + signal.SIGSEGV


@ON_X86
@pytest.mark.parametrize("stack", [None, R | W, R | W | X], ids=["unsaid", "rw", "rwx"])
@pytest.mark.parametrize("where", ["data", "heap", "stack"])
def test_where_code_may_run(arch: Arch, stack: int | None, where: str) -> None:
    need_native(arch)
    guest = Program(arch)
    code, end, cell = guest.data(RETURN_2), guest.space(), guest.space()
    add, subtract = ("05", "2d") if arch is X86 else ("4805", "482d")
    write_it = "c700b8020000" + "c7400400c39090"  # RETURN_2 to where eax or rax points
    if where == "data":
        guest.raw(b"\xb8" + code.to_bytes(4, "little"))
    elif where == "heap":
        guest.call("brk", 0).raw(add + "00100000").store(end).call("brk", Cell(end))
        guest.raw(subtract + "00100000" + write_it)
    else:
        guest.raw("89e0" if arch is X86 else "4889e0").raw(subtract + "00010000" + write_it)
    image = guest.raw("ffd0").store(cell).exit(Cell(cell)).elf(stack=stack)
    ran = run(image)
    assert ran.status in (2, 128 + signal.SIGSEGV)
    assert ran.status == native(image).status


@ON_X86
def test_more_code_than_there_is_room_for(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> None:
    """8,000 blocks, three times: 1 MiB, the least that Unicorn takes, holds about 3,000."""
    monkeypatch.setattr(arches, "TRANSLATED", 1 << 20)
    guest = Program(arch)
    rounds, blocks = guest.words(3), guest.space()
    decrement = "48" if arch is X86 else "48ffc8"
    guest.label("again").load(blocks)
    guest.raw(bytes.fromhex("40eb00" if arch is X86 else "48ffc0eb00") * 8000).store(blocks)
    guest.load(rounds).raw(decrement).store(rounds).jump("again", "not zero")
    check(guest.call("write", 1, blocks, 4), 3 * 8000)
