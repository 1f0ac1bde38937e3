"""Counting by blocks against counting one by one: the same numbers, at the same places."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.core.process import Exec
from bootstrap.instruments import exit_checks
from bootstrap.instruments.blocks import UNSURE, BlockCounter
from bootstrap.instruments.counter import NEVER, TARGET, Travel
from bootstrap.instruments.instrumented import InstrumentedCpu
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.machine import LinuxMachine
from tests.instruments.guest import CODE, Program, R, W, X
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, engine_for
from tests.instruments.test_other_architectures import exit_with, program, words

ANY = R | W | X
LONGEST = 512
"""Instructions in one of QEMU's blocks at most (exec/exec-all.h, TCG_MAX_INSNS)."""


@dataclass
class Run:
    """One guest on one CPU that counts."""

    machine: LinuxMachine

    @property
    def cpu(self) -> InstrumentedCpu:
        return self.machine.tasks[-1].cpu

    def to(self, target: int) -> bool:
        """Run to a count; False at the program's end."""
        assert self.cpu.stepping is not None
        stepping = self.cpu.stepping
        stepping.run_to(target)
        while True:
            fault = self.cpu.run()
            if fault is None and self.cpu.reached:
                return True
            ended = self.machine.turn(fault)
            if ended is not None:
                self.executed, self.status = stepping.executed, ended.status
                return False

    executed: int = 0
    status: int = 0


def run(image: bytes, hot_path: str, travel: Travel) -> Run:
    fs = OverlayFileSystem(MemoryLower({b"/guest": LowerFile(0o755, image)}))
    machine = LinuxMachine(fs, engine_for(hot_path).travelling(travel))
    assert machine.start(Exec(b"/guest", (b"/guest",), ()), b"/", None) is None
    return Run(machine)


def total(image: bytes, hot_path: str, blocks: bool) -> int | None:
    """All instructions of the program; None where blocks are unsure."""
    one = run(image, hot_path, Travel(blocks=blocks))
    stepping = one.cpu.stepping
    assert stepping is not None
    if one.to(NEVER):
        assert stepping.reached == UNSURE
        return None
    return one.executed


BLOCKS, EACH = Travel(blocks=True), Travel()


@EACH_HOT_PATH
@pytest.mark.parametrize("times", [0, 1, 2, 7])
@EACH_ABI
def test_a_rep_counts_once(abi: str, times: int, hot_path: str) -> None:
    guest = Program(abi)
    source, target = guest.space(16), guest.space(16)
    guest.raw(b"\xbe" + struct.pack("<I", source) + b"\xbf" + struct.pack("<I", target))
    guest.raw(b"\xb9" + struct.pack("<I", times)).label("again").raw("f3a4")
    image = guest.exit(0).elf()
    # mov mov mov, rep movsb, and the two that set what exit needs with int or syscall
    assert total(image, hot_path, blocks=False) == total(image, hot_path, blocks=True) == 7


@EACH_HOT_PATH
@EACH_ABI
def test_a_loop_that_is_entered_in_the_middle_of_a_block(abi: str, hot_path: str) -> None:
    guest = Program(abi).raw("b905000000")  # mov ecx, 5
    guest.raw("83c002" + "83e901" + "75f8")  # add eax, 2; sub ecx, 1; jnz to the add
    image = guest.exit(0).elf()
    assert total(image, hot_path, blocks=True) == 1 + 3 * 5 + 3


@EACH_HOT_PATH
@EACH_ABI
def test_code_that_changes_what_comes_next_is_not_counted_wrong(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    size = 7 if abi == "i386" else 8
    guest.poke(guest.here + size + 1, 9).raw("b801000000").raw("90" * 3)
    image = guest.exit(0).elf(code_flags=ANY)
    assert total(image, hot_path, blocks=False) == 8
    assert total(image, hot_path, blocks=True) in (None, 8)


@EACH_HOT_PATH
@EACH_ABI
def test_an_instruction_that_jumps_to_itself_counts_each_time(abi: str, hot_path: str) -> None:
    guest = Program(abi).raw("b905000000").raw("e2fe")  # mov ecx, 5; loop to itself
    image = guest.exit(0).elf()
    assert total(image, hot_path, blocks=False) == total(image, hot_path, blocks=True) == 9


@EACH_HOT_PATH
def test_an_instruction_that_loads_a_segment_counts_once(hot_path: str) -> None:
    guest = Program("i386")
    guest.thread_pointer(guest.space(8)).raw("1e07" * 3)  # push ds; pop es
    image = guest.exit(0).elf()
    assert total(image, hot_path, blocks=False) == 3 + 2 + 6 + 3
    assert total(image, hot_path, blocks=True) is None


@EACH_HOT_PATH
def test_an_instruction_that_faults_has_begun_once(hot_path: str) -> None:
    image = Program("i386").raw("90" + "a100000000").exit(0).elf()  # nop; mov eax, [0]
    assert total(image, hot_path, blocks=False) == 2


@EACH_HOT_PATH
@EACH_ABI
def test_code_that_was_changed_is_counted_as_it_is_now(abi: str, hot_path: str) -> None:
    guest = Program(abi).jmp("main")
    # f: two instructions of one byte each and a return; then one of two bytes.
    at = guest.here
    guest.label("f").raw("9090c3").label("main").call_near("f")
    guest.poke(at, 0x66).call_near("f").poke(at, 0x90).call_near("f")
    image = guest.exit(0).elf(code_flags=ANY)
    expected = total(image, hot_path, blocks=False)
    assert expected == 1 + 3 + 2 + (1 + 3) + (1 + 2) + (1 + 3)
    assert total(image, hot_path, blocks=True) in (None, expected)


@EACH_HOT_PATH
@pytest.mark.parametrize("abi", ["aarch64", "riscv64", "riscv32"])
def test_the_other_architectures(abi: str, hot_path: str) -> None:
    if abi == "aarch64":  # mov x1, #9; sub x1, x1, #1; cbnz x1, -4
        code = words(0xD2800121, 0xD1000421, 0xB5FFFFE1)
    else:  # addi a1, zero, 9; c.addi a1, -1 ; bne a1, zero, -2
        code = words(0x00900593) + bytes.fromhex("fd15") + words(0xFE059FE3)
    image = program(abi, code + exit_with(abi, 0))
    assert total(image, hot_path, blocks=False) == total(image, hot_path, blocks=True)


STORING = {  # nine rounds of a block that stores first: to the stack, whatever is there
    "i386": bytes.fromhex("b909000000" + "515883e901" + "75f9"),  # push, pop, sub, jnz
    "x86_64": bytes.fromhex("b909000000" + "515883e901" + "75f9"),
    "aarch64": words(0xD2800121, 0xF81F03E1, 0xD1000421, 0xB5FFFFC1),  # stur x1, [sp, #-16]
    "riscv64": words(0x00900593, 0xFEB12823) + bytes.fromhex("fd15") + words(0xFE059DE3),
    "riscv32": words(0x00900593, 0xFEB12823) + bytes.fromhex("fd15") + words(0xFE059DE3),
}  # sw a1, -16(sp)


@EACH_HOT_PATH
@pytest.mark.parametrize("left_out", [True, False], ids=["left out", "there"])
@pytest.mark.parametrize("abi", STORING)
def test_nothing_of_the_next_block_runs(
    abi: str, left_out: bool, hot_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not Unicorn looks for a stop after each access: see instruments/exit_checks.py."""
    if not left_out:
        monkeypatch.setattr(exit_checks, "offset", lambda: None)
    if abi in ("i386", "x86_64"):
        image = Program(abi).raw(STORING[abi].hex()).exit(0).elf()
    else:
        image = program(abi, STORING[abi] + exit_with(abi, 0))
    places = []
    for target in range(0, 28, 3):
        fast = run(image, hot_path, BLOCKS)
        assert fast.to(target)
        assert fast.cpu.stepping is not None
        places.append(fast.cpu.stepping.executed)
        slow = run(image, hot_path, EACH)
        assert slow.to(places[-1])
        assert seen(fast) == seen(slow)
    assert len(set(places)) >= 8


def seen(one: Run) -> tuple[object, ...]:
    """Registers, and the stack around its pointer."""
    registers = one.cpu.registers()
    sp = next(value for name, value in registers if name in ("esp", "rsp", "sp"))
    return one.cpu.pc, registers, one.machine.tasks[-1].process.memory.read_upto(sp - 64, 128)


PIECES = st.sampled_from(
    [
        "90",  # nop
        "83c003",  # add eax, 3
        "b903000000" + "83e901" + "75fb",  # mov ecx, 3; sub ecx, 1; jnz
        "b900000000" + "f3a4",  # mov ecx, 0; rep movsb
        "b904000000" + "f3a4",
        "b904000000" + "f3aa" + "f3aa",
        "eb00",  # jmp to the next
        "e800000000" + "58",  # call the next; pop
        "7500",
        "b902000000" + "5751" + "b903000000" + "f3aa" + "595f" + "83e901" + "75ef",
        # a loop whose body is a rep: push edi, ecx; mov ecx, 3; rep stosb; pop; sub; jnz
    ]
)


@settings(max_examples=40, deadline=None)
@given(pieces=st.lists(PIECES, min_size=1, max_size=30), data=st.data())
def test_random_programs_stop_where_single_steps_do(pieces: list[str], data: st.DataObject) -> None:
    for hot_path in ("native", "python"):
        guest = Program("i386")
        source, target = guest.space(256), guest.space(256)
        guest.raw(b"\xbe" + struct.pack("<I", source) + b"\xbf" + struct.pack("<I", target))
        for piece in pieces:
            guest.raw(piece)
        image = guest.exit(0).elf()
        one = run(image, hot_path, EACH)
        assert not one.to(NEVER)
        count = one.executed
        if one.status & 0x7F:
            continue  # its last block was not run whole
        assert total(image, hot_path, blocks=True) == count
        wanted = data.draw(st.integers(0, count - 1))
        fast = run(image, hot_path, BLOCKS)
        if not fast.to(wanted):
            continue
        stepping = fast.cpu.stepping
        assert isinstance(stepping, BlockCounter)
        assert stepping.reached == TARGET
        assert wanted <= stepping.executed <= wanted + LONGEST
        slow = run(image, hot_path, EACH)
        assert slow.to(stepping.executed)
        assert slow.cpu.pc == fast.cpu.pc
        assert slow.cpu.registers() == fast.cpu.registers()


@EACH_HOT_PATH
def test_how_often_each_instruction_ran(hot_path: str) -> None:
    guest = Program("i386").raw("b905000000").raw("83c002" + "83e901" + "75f8")
    image = guest.exit(0).elf()
    by_blocks, one_by_one = run(image, hot_path, BLOCKS), run(image, hot_path, EACH)
    blocks, each = by_blocks.cpu.stepping, one_by_one.cpu.stepping
    assert isinstance(blocks, BlockCounter)
    assert each is not None
    counts = each.count_each(CODE, 64)
    assert not by_blocks.to(NEVER)
    assert not one_by_one.to(NEVER)
    assert dict(blocks.ran()) == {CODE + i: n for i, n in enumerate(counts) if n}
    assert blocks.ran()[CODE + 5] == 5


@EACH_HOT_PATH
def test_more_blocks_than_the_table_has_room_for_at_first(hot_path: str) -> None:
    guest = Program("i386")
    for _ in range(20_000):
        guest.raw("eb00")
    image = guest.exit(0).elf()
    assert total(image, hot_path, blocks=True) == 20_003
