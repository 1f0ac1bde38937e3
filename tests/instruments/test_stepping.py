"""Counting, stopping and watching, in C and in Python, against ways worked out by hand."""

from __future__ import annotations

import ctypes
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from bootstrap.core.process import Exec
from bootstrap.instruments.counter import (
    BREAKPOINT,
    NEVER,
    READS,
    TARGET,
    WRITES,
    Access,
    InstructionCounter,
    Travel,
    is_repeat,
    jumps,
)
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.machine import LinuxMachine
from tests.instruments.guest import CODE, Program
from tests.instruments.runs import EACH_HOT_PATH, engine_for
from tests.instruments.test_other_architectures import BASE, CELL, exit_with, program, words
from tests.instruments.test_other_architectures import CODE as OFFSET

TIMES = 5


@dataclass
class Case:
    """A program, with what it does, worked out by hand."""

    image: bytes = b""
    trail: list[int] = field(default_factory=list)
    """The address of each instruction in the order in which they run."""
    accesses: list[tuple[int, int, int, bool]] = field(default_factory=list)
    """Which instruction, at what address, how many bytes, whether it writes; not on the stack."""

    def run(self, at: int, *accesses: tuple[int, int, bool]) -> None:
        """One more instruction."""
        self.accesses += [(len(self.trail), *access) for access in accesses]
        self.trail.append(at)

    def __len__(self) -> int:
        return len(self.trail)


def x86(abi: str) -> Case:
    """A loop with an access over the border of two pages, a call, and a copy of seven bytes."""
    case, guest = Case(), Program(abi)
    start = guest.space(8192)
    border = start + 0x1000 - 2
    source, dest = start + 0x1100, start + 0x1200
    at: list[int] = []

    def add(code: str) -> None:
        at.append(guest.here)
        guest.raw(code)

    def mov(register: str, value: int) -> None:
        add(register + struct.pack("<I", value).hex())

    mov("b9", TIMES)  # mov ecx
    loop = guest.here
    modrm = "05" if abi == "i386" else "0425"
    add("ff" + modrm + struct.pack("<I", border).hex())  # inc dword [border]
    add("51")  # push
    add("59")  # pop
    at.append(guest.here)
    guest.call_near("f")
    add("83e901")  # sub ecx, 1
    add("75" + struct.pack("<b", loop - guest.here - 2).hex())  # jnz loop
    mov("be", source)
    mov("bf", dest)
    mov("b9", 7)
    add("f3a4")  # rep movsb
    mov("b9", 0)
    add("f3a4")  # and none
    exits = guest.here
    guest.exit(0)
    guest.label("f")
    f = guest.here
    guest.raw("c3")
    case.run(at[0])
    for _ in range(TIMES):
        case.run(at[1], (border, 4, False), (border, 4, True))
        for address in (at[2], at[3], at[4], f, at[5], at[6]):
            case.run(address)
    for address in at[7:10]:
        case.run(address)
    copied = [((source + n, 1, False), (dest + n, 1, True)) for n in range(7)]
    case.run(at[10], *(one for pair in copied for one in pair))
    case.run(at[11])
    case.run(at[12])
    size = 5 if abi == "i386" else 10
    for address in (exits, exits + size, exits + 2 * size):
        case.run(address)
    case.image = guest.elf()
    return case


def aarch64() -> Case:
    """A loop with loads and stores that are not aligned, and of pairs."""
    cell = BASE + CELL
    back = 0x54000001 | (-5 & 0x7FFFF) << 5
    code = words(
        0xD2810001, 0xF2A00021, 0xD28000A2,  # mov x1, #0x800; movk x1, #1, lsl #16; mov x2, #5
        0xB8401023, 0x11000463, 0xB8001023,  # ldur w3, [x1, #1]; add w3, w3, #1; stur w3, [x1, #1]
        0xA9010C22, 0xF1000442, back,  # stp x2, x3, [x1, #16]; subs x2, x2, #1; b.ne
    )  # fmt: skip
    case = Case(program("aarch64", code + exit_with("aarch64", 0)))
    first = BASE + OFFSET
    for n in range(3):
        case.run(first + 4 * n)
    for _ in range(TIMES):
        case.run(first + 12, (cell + 1, 4, False))
        case.run(first + 16)
        case.run(first + 20, (cell + 1, 4, True))
        case.run(first + 24, (cell + 16, 8, True), (cell + 24, 8, True))
        case.run(first + 28)
        case.run(first + 32)
    for n in range(9, 12):
        case.run(first + 4 * n)
    return case


def riscv(abi: str) -> Case:
    """The same, with instructions of two bytes among those of four."""
    cell = BASE + CELL
    distance = -24
    branch = (
        0x63 | 1 << 12 | 12 << 15 | (distance >> 11 & 1) << 7 | (distance >> 1 & 15) << 8
        | (distance >> 5 & 63) << 25 | (distance >> 12 & 1) << 31
    )  # fmt: skip
    code = words(0x000115B7, 0x80058593, 0x00500613)  # lui a1, 0x11; addi a1, -2048; li a2, 5
    # lw a3, 1(a1); addi a3, 1; sw a3, 1(a1); sh a2, 7(a1); c.nop; c.nop; addi a2, -1; bne
    code += words(0x0015A683, 0x00168693, 0x00D5A0A3, 0x00C593A3) + b"\1\0\1\0"
    code += words(0xFFF60613, branch)
    case = Case(program(abi, code + exit_with(abi, 0)))
    first = BASE + OFFSET
    for n in range(3):
        case.run(first + 4 * n)
    for _ in range(TIMES):
        case.run(first + 12, (cell + 1, 4, False))
        case.run(first + 16)
        case.run(first + 20, (cell + 1, 4, True))
        case.run(first + 24, (cell + 7, 2, True))
        for offset in (28, 30, 32, 36):
            case.run(first + offset)
    for n in range(10, 13):
        case.run(first + 4 * n)
    return case


CASES = {
    "i386": x86("i386"),
    "x86_64": x86("x86_64"),
    "aarch64": aarch64(),
    "riscv64": riscv("riscv64"),
    "riscv32": riscv("riscv32"),
}
EACH = pytest.mark.parametrize("abi", CASES)


class Guest:
    """One program on one CPU that counts."""

    def __init__(self, case: Case, hot_path: str, watching: bool = False) -> None:
        fs = OverlayFileSystem(MemoryLower({b"/guest": LowerFile(0o755, case.image)}))
        self.machine = LinuxMachine(fs, engine_for(hot_path).travelling(Travel(watching)))
        assert self.machine.start(Exec(b"/guest", (b"/guest",), ()), b"/", None) is None
        self.cpu = self.machine.tasks[-1].cpu
        assert self.cpu.stepping is not None
        self.stepping: InstructionCounter = self.cpu.stepping

    def to(self, target: int = NEVER, began: int = NEVER) -> int:
        """Why it stopped; 0 at the program's end."""
        self.stepping.run_to(target, began)
        while True:
            fault = self.cpu.run()
            if fault is None and self.cpu.reached:
                return self.stepping.reached
            if self.machine.turn(fault) is not None:
                return 0


@EACH_HOT_PATH
@EACH
def test_each_place_is_reached_exactly(abi: str, hot_path: str) -> None:
    case = CASES[abi]
    guest = Guest(case, hot_path)
    for executed, pc in enumerate(case.trail):
        assert guest.to(executed) == TARGET
        assert (guest.stepping.executed, guest.cpu.pc) == (executed, pc)
    assert guest.to(len(case)) == 0
    assert guest.stepping.executed == len(case)
    far = Guest(case, hot_path)
    assert far.to(len(case) - 1) == TARGET
    assert far.cpu.pc == case.trail[-1]


@EACH_HOT_PATH
@EACH
def test_breakpoints(abi: str, hot_path: str) -> None:
    case = CASES[abi]
    for wanted in sorted(set(case.trail)):
        guest = Guest(case, hot_path)
        guest.stepping.set_breakpoints([wanted, 0x10])
        places = [n for n, pc in enumerate(case.trail) if pc == wanted]
        found = []
        began = NEVER
        while guest.to(began=began) == BREAKPOINT:
            began = guest.stepping.executed
            found.append(began)
            assert guest.cpu.pc == wanted
        assert found == places
        passing = Guest(case, hot_path)
        passing.stepping.set_breakpoints([0x10, wanted], passing=True)
        assert passing.to() == 0
        assert passing.stepping.last_met == places[-1]
        assert passing.stepping.state.met == len(places)
    none = Guest(case, hot_path)
    none.stepping.set_breakpoints([case.trail[0] + 1], passing=True)
    assert none.to() == 0
    assert none.stepping.last_met is None


@EACH_HOT_PATH
@EACH
def test_how_often_each_ran_and_in_what_order(abi: str, hot_path: str) -> None:
    case = CASES[abi]
    guest = Guest(case, hot_path)
    low, high = min(case.trail), max(case.trail)
    counts = guest.stepping.count_each(low, high - low)  # but for the last address
    trail = (ctypes.c_uint64 * 9)(*[7] * 9)
    guest.stepping.lend_trail(4, trail)
    assert guest.to() == 0
    expected = Counter(case.trail)
    assert list(counts) == [expected[address] for address in range(low, high)]
    assert list(trail) == case.trail[4:13]
    behind = Guest(case, hot_path)
    trail = (ctypes.c_uint64 * 9)(*[7] * 9)
    behind.stepping.lend_trail(len(case) - 2, trail)
    assert behind.to() == 0
    assert list(trail) == case.trail[-2:] + [7] * 7


def _ranges(case: Case) -> Iterator[tuple[int, int]]:
    """Of the bytes that are accessed, at their borders and one beside them."""
    places = sorted({(at, size) for _, at, size, _ in case.accesses})
    for at, size in (*places[:3], *places[-3:]):
        yield at, at + 1
        yield at + size - 1, at + size
        yield at - 1, at
        yield at + size, at + size + 1
        yield at - 3, at + size + 3


@EACH_HOT_PATH
@EACH
def test_accesses(abi: str, hot_path: str) -> None:
    case = CASES[abi]
    for start, end in _ranges(case):
        for kinds in (READS, WRITES, READS | WRITES):
            wanted = [
                Access(n, case.trail[n], at, size, writes)
                for n, at, size, writes in case.accesses
                if at < end and start < at + size and kinds & (WRITES if writes else READS)
            ]
            guest = Guest(case, hot_path, watching=True)
            guest.stepping.watch(start + 1, end + 3, READS | WRITES, stops=True)
            guest.stepping.watch(start, end, kinds, stops=False)  # instead of that
            assert guest.to() == 0
            assert guest.stepping.state.accesses == len(wanted)
            assert guest.stepping.last_access == (wanted[-1] if wanted else None)
            if not wanted:
                continue
            stopped = Guest(case, hot_path, watching=True)
            stopped.stepping.watch(start, end, kinds, stops=True)
            assert stopped.to() == TARGET
            first = wanted[0].executed
            # Just after the instruction, which ends: a REP with all its rounds.
            assert stopped.stepping.executed == first + 1
            assert stopped.cpu.pc == case.trail[first + 1]
            last = [access for access in wanted if access.executed == first][-1]
            assert stopped.stepping.last_access == last


@pytest.mark.parametrize(
    ("code", "repeats", "may_jump"),
    [
        ("f3a4", True, False),  # rep movsb
        ("f348ab", True, False),  # rep stosq
        ("66f3a5", True, False),  # rep movsw
        ("f2ae", True, False),  # repne scasb
        ("f36f", True, False),  # rep outsd
        ("a4", False, False),
        ("f390", False, False),  # pause
        ("f30fb8c1", False, False),  # popcnt
        ("f3c3", False, True),  # rep ret
        ("66a5", False, False),
        ("ebfe", False, True),
        ("0f84f9ffffff", False, True),
        ("e2fe", False, True),
        ("ffe0", False, True),
        ("ff00", False, False),  # inc
        ("cd80", False, False),
    ],
)
def test_what_instructions_are(code: str, repeats: bool, may_jump: bool) -> None:
    """Intel SDM, REP and A.3."""
    assert is_repeat(bytes.fromhex(code)) == repeats
    assert jumps(bytes.fromhex(code)) == may_jump


def test_where_the_code_is() -> None:
    """What was worked out by hand is of the programs that ran."""
    assert CASES["i386"].trail[0] == CODE
