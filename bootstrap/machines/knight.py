"""The knight: the 32-bit machine that the first stage0 was written for, without any system.

It has 16 registers, memory from address 0, where the ROM is, two tapes and a terminal. Its word is
the most significant byte first. Sources: https://github.com/oriansj/stage0, `Knight Reference/
ISA_HEX_Map.org`; where that leaves something open, what vm_instructions.c, the reference machine
there, does (it extends the sign of each immediate, for one). Of its two modes this is the one
without a system (not `--POSIX-MODE`).

The instructions are data: a pattern, how many registers follow it, a name, and what it does, in
words that become Python. A pattern is the first bytes in hexadecimal, up to the first register.
After `e0` and `e1` an immediate of two bytes follows the four of the instruction. The bytes of an
instruction become a function of Python once; they are read from memory each time.
"""

import functools
import itertools
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from bootstrap import signals
from bootstrap.core.errors import BadInput, GuestFailed

MASK = 0xFFFFFFFF
_LONGEST = 6
"""Bytes of an instruction, with its immediate."""
CARRY, BORROW, OVERFLOW, GREATER, EQUAL, LESS = 32, 16, 8, 4, 2, 1
"""Bits of a register that a comparison sets."""
TAPE1, TAPE2, TERMINAL = 0x1100, 0x1101, 0
_CHECKED = 1 << 16
"""Instructions between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class KnightLimits:
    """Most that a ROM may use; 0 is none."""

    memory: int = 1 << 20
    """Bytes of memory."""
    instructions: int = 0
    seconds: int = 3600
    """Host CPU seconds."""
    tape: int = 64 << 20
    """Bytes written to a tape."""

    def with_memory(self, memory: int) -> "KnightLimits":
        """The same with so many bytes of memory."""
        return replace(self, memory=memory)


@dataclass(slots=True)
class Tape:
    """What is on it, and where its head stands; None while it is not open."""

    data: bytearray = field(default_factory=bytearray)
    at: int | None = None


class Knight:
    """Runs a ROM from address 0. `console` gets each byte for the terminal, `key` gives one or -1.

    Raises GuestFailed for a ROM that is larger than the memory, BadInput for too much of this.
    """

    def __init__(
        self,
        rom: bytes,
        tape1: bytes = b"",
        console: Callable[[int], object] = lambda _byte: None,
        key: Callable[[], int] = lambda: -1,
        limits: KnightLimits = KnightLimits(),
    ) -> None:
        if limits.memory > MASK + 1:
            raise BadInput(f"memory: {limits.memory} bytes are more than 32 bits address")
        if len(rom) > limits.memory:
            raise GuestFailed(f"a ROM of {len(rom)} bytes, and {limits.memory} bytes of memory")
        self.limits = limits
        self.r = [0] * 16
        self.ip = 0
        self.memory = bytearray(rom.ljust(limits.memory, b"\0"))
        self.tapes = {TAPE1: Tape(bytearray(tape1)), TAPE2: Tape()}
        self.executed = 0
        self.halted = False
        self._console, self._key = console, key

    def run(self) -> bytes:
        """Until it halts; what is then on tape 2. Raises GuestFailed, KeyboardInterrupt."""
        limits, spent = self.limits, time.process_time()
        while not self.halted:
            left = limits.instructions - self.executed if limits.instructions else _CHECKED
            if left <= 0:
                raise self._failed(f"limit: {limits.instructions} instructions were executed")
            self.step(min(left, _CHECKED))
            signals.check()
            if limits.seconds and time.process_time() - spent > limits.seconds:
                raise self._failed(f"limit: it ran for {limits.seconds} seconds")
        return bytes(self.tapes[TAPE2].data)

    def step(self, count: int = 1) -> None:
        """Execute so many instructions, fewer if it halts. Raises GuestFailed."""
        at, done, end = self.ip, self.executed, self.executed + count
        memory, registers = self.memory, self.r
        try:
            while done < end and not self.halted:
                act = _function_of(bytes(memory[at : at + _LONGEST]))
                at = act(self, registers, at)
                done += 1
        except GuestFailed as error:
            self.ip, self.executed = at, done
            raise self._failed(str(error)) from None
        self.ip, self.executed = at, done

    def _failed(self, why: str) -> GuestFailed:
        registers = " ".join(f"r{i}={value:x}" for i, value in enumerate(self.r) if value)
        return GuestFailed(f"{why} [{self.ip:#x}, after {self.executed} instructions; {registers}]")

    # Memory and tapes.

    def load(self, at: int, size: int, signed: bool = False) -> int:
        """A number. Raises GuestFailed beyond the memory."""
        at &= MASK
        if at + size > len(self.memory):
            raise GuestFailed(f"a load of {size} bytes from {at:#x}, beyond the memory")
        return int.from_bytes(self.memory[at : at + size], "big", signed=signed) & MASK

    def store(self, at: int, size: int, value: int) -> None:
        """A number. Raises GuestFailed beyond the memory."""
        at &= MASK
        if at + size > len(self.memory):
            raise GuestFailed(f"a store of {size} bytes to {at:#x}, beyond the memory")
        self.memory[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "big")

    def after(self, at: int) -> int:
        """Where the instruction after this one begins."""
        return at + _size(self.memory[at : at + 1])

    def _tape(self, device: int) -> Tape | None:
        tape = self.tapes.get(device)
        if tape is not None and tape.at is None:
            raise GuestFailed(f"the tape {device:#x} is not open")
        return tape

    def open(self, write: bool) -> None:
        """FOPEN_READ, FOPEN_WRITE: the device in r0."""
        tape = self.tapes.get(self.r[0])
        if tape is not None:
            tape.at = 0
            if write:
                tape.data.clear()

    def close(self) -> None:
        """FCLOSE: the device in r0."""
        if (tape := self._tape(self.r[0])) is not None:
            tape.at = None

    def rewind(self) -> None:
        """REWIND: the device in r0."""
        if (tape := self._tape(self.r[0])) is not None:
            tape.at = 0

    def get(self) -> None:
        """FGETC: a byte of the device in r1 to r0; -1 at its end."""
        value, tape = -1, self._tape(self.r[1])
        if tape is not None and tape.at is not None and tape.at < len(tape.data):
            value = tape.data[tape.at]
            tape.at += 1
        elif self.r[1] == TERMINAL:
            value = self._key()
        self.r[0] = value & MASK

    def put(self) -> None:
        """FPUTC: the byte in r0 to the device in r1."""
        tape = self._tape(self.r[1])
        if self.r[1] == TERMINAL:
            self._console(self.r[0] & 0xFF)
        elif tape is not None and tape.at is not None:
            if tape.at >= self.limits.tape:
                raise GuestFailed(f"limit: more than {self.limits.tape} bytes on a tape")
            tape.data[tape.at : tape.at + 1] = bytes([self.r[0] & 0xFF])
            tape.at += 1


# What the instructions' words mean.


def _signed(value: int) -> int:
    """A register as a number with a sign."""
    return value - (1 << 32) if value >> 31 else value


def _bits(left: int, right: int) -> int:
    return GREATER if left > right else EQUAL if left == right else LESS


def _divided(left: int, right: int) -> int:
    """As C does it: towards 0."""
    if not right:
        raise GuestFailed("a division by 0")
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)


def _rest(left: int, right: int) -> int:
    return left - _divided(left, right) * right


def _right(value: int, count: int, ones: bool = False) -> int:
    count = min(count, 32)
    return value >> count | (MASK << 32 - count & MASK if ones else 0)


def _left(value: int, count: int, ones: bool = False) -> int:
    count = min(count, 32)
    return value << count | ((1 << count) - 1 if ones else 0)


def _rotated(value: int, count: int) -> int:
    """To the right, as the reference machine's ROL does; its ROR goes to the left."""
    count %= 32
    return value >> count | value << 32 - count


_WORDS = {
    "s": _signed, "bits": _bits, "div": _divided, "mod": _rest, "right": _right, "left": _left,
    "rotated": _rotated, "MASK": MASK,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """An instruction: `pattern` is its first half bytes, then `registers` of them follow."""

    pattern: str
    name: str
    registers: int
    effect: str
    """Statements. a, b, c and d are its registers, i the immediate, ip the address after it, s() a
    register as a number with a sign, t and u are temporary; what a register gets is cut to 32 bits.
    """


_TABLE = """
00000000 0 NOP
ff       0 HALT           m.halted = True; jump ip
010c     4 MULTIPLY       t = s(c) * s(d); a = t; b = t >> 32
010d     4 MULTIPLYU      t = c * d; a = t; b = t >> 32
010e     4 DIVIDE         t = div(s(c), s(d)); u = mod(s(c), s(d)); a = t; b = u
010f     4 DIVIDEU        t = div(c, d); u = mod(c, d); a = t; b = u
0110     4 MUX            a = c & ~b | d & b
0111     4 NMUX           a = c & b | d & ~b
0112     4 SORT           t = max(s(c), s(d)); u = min(s(c), s(d)); a = t; b = u
0113     4 SORTU          t = max(c, d); u = min(c, d); a = t; b = u
05000    3 ADD            a = b + c
05001    3 ADDU           a = b + c
05002    3 SUB            a = b - c
05003    3 SUBU           a = b - c
05004    3 CMP            a = bits(s(b), s(c))
05005    3 CMPU           a = bits(b, c)
05006    3 MUL            a = b * c
05007    3 MULH           a = s(b) * s(c) >> 32
05008    3 MULU           a = b * c
05009    3 MULUH          a = b * c >> 32
0500a    3 DIV            a = div(s(b), s(c))
0500b    3 MOD            a = mod(s(b), s(c))
0500c    3 DIVU           a = div(b, c)
0500d    3 MODU           a = mod(b, c)
05010    3 MAX            a = max(s(b), s(c))
05011    3 MAXU           a = max(b, c)
05012    3 MIN            a = min(s(b), s(c))
05013    3 MINU           a = min(b, c)
05020    3 AND            a = b & c
05021    3 OR             a = b | c
05022    3 XOR            a = b ^ c
05023    3 NAND           a = ~(b & c)
05024    3 NOR            a = ~(b | c)
05025    3 XNOR           a = ~(b ^ c)
05026    3 MPQ            a = ~b & c
05027    3 LPQ            a = b & ~c
05028    3 CPQ            a = ~b | c
05029    3 BPQ            a = b | ~c
05030    3 SAL            a = left(b, c)
05031    3 SAR            a = right(b, c)
05032    3 SL0            a = left(b, c)
05033    3 SR0            a = right(b, c)
05034    3 SL1            a = left(b, c, True)
05035    3 SR1            a = right(b, c, True)
05036    3 ROL            a = rotated(b, c)
05037    3 ROR            a = rotated(b, -c)
090000   2 NEG            a = -b
090001   2 ABS            a = abs(s(b))
090002   2 NABS           a = -abs(s(b))
090003   2 SWAP           t = a; a = b; b = t
090004   2 COPY           a = b
090005   2 MOVE           a = b; b = 0
090006   2 NOT            a = ~b
090100   2 BRANCH         store(b, 4, ip); jump a
090101   2 CALL           t = a; store(b, 4, ip); b = b + 4; jump t
0d00000  1 READPC         a = ip
0d00001  1 READSCID       a = 2
0d00002  1 FALSE          a = 0
0d00003  1 TRUE           a = -1
0d01000  1 JSR_COROUTINE  jump a
0d01001  1 RET            a = a - 4; t = load(a, 4); store(a, 4, 0); jump t
0d02000  1 PUSHPC         store(a, 4, ip); a = a + 4
0d02001  1 POPPC          a = a - 4; t = load(a, 4); store(a, 4, 0); jump t
3c00     0 JUMP           jump ip + i
42100000 0 FOPEN_READ     m.open(False)
42100001 0 FOPEN_WRITE    m.open(True)
42100002 0 FCLOSE         m.close()
42100003 0 REWIND         m.rewind()
42100100 0 FGETC          m.get()
42100200 0 FPUTC          m.put()
42110000 0 HAL_MEM        r[0] = len(m.memory)
e0002d0  1 CALLI          store(a, 4, ip); a = a + 4; jump ip + i
e0002d1  1 LOADI          a = i
e0002d2  1 LOADUI         a = i
e0002d3  1 SALI           a = left(a, i & MASK)
e0002d4  1 SARI           a = right(a, i & MASK)
e0002d5  1 SL0I           a = left(a, i & MASK)
e0002d6  1 SR0I           a = right(a, i & MASK)
e0002d7  1 SL1I           a = left(a, i & MASK, True)
e0002d8  1 SR1I           a = right(a, i & MASK, True)
e1000e   2 ADDI           a = b + i
e1000f   2 ADDUI          a = b + i
e10010   2 SUBI           a = b - i
e10011   2 SUBUI          a = b - i
e10012   2 CMPI           a = bits(s(b), i)
e1001f   2 CMPUI          a = bits(b, i & MASK)
e100b0   2 ANDI           a = b & i
e100b1   2 ORI            a = b | i
e100b2   2 XORI           a = b ^ i
e100b3   2 NANDI          a = ~(b & i)
e100b4   2 NORI           a = ~(b | i)
e100b5   2 XNORI          a = ~(b ^ i)
"""
_CONDITIONS = {"G": ">", "GE": ">=", "E": "==", "NE": "!=", "LE": "<=", "L": "<"}
_TESTS = {
    "C": "a & 32", "B": "a & 16", "O": "a & 8", "G": "a & 4", "GE": "a & 6", "E": "a & 2",
    "NE": "not a & 2", "LE": "a & 3", "L": "a & 1", "Z": "not a", "NZ": "a", "P": "not a >> 31",
    "NP": "a >> 31",
}  # fmt: skip
_SIZES = ("4", "1, True", "1", "2, True", "2", "4", "4")
_KINDS = ("", "8", "U8", "16", "U16", "32", "U32")
"""Of loads and pops, in the order of their codes; of stores and pushes those without U."""
_OVER = ("t >> 31 == 1", "not -(1 << 31) <= t < 1 << 31", "not 0 <= t <= MASK")
"""What sets a carry or borrow: of signed sums (as the reference machine has it), differences, and
of all without a sign."""


def _rows() -> Iterator[Row]:
    for line in _TABLE.strip().splitlines():
        pattern, number, name, *words = line.split(maxsplit=3)
        yield Row(pattern, name, int(number), "".join(words))
    for code, (kind, size) in enumerate(zip(_KINDS, _SIZES, strict=True)):
        for first, registers, name, place in (
            (0x05038, 3, "LOADX", "b + c"), (0xE10013, 2, "LOAD", "b + i"),
            (0xE0002E0, 1, "LOADR", "ip + i"),
        ):  # fmt: skip
            pattern = f"{first + code:0{8 - registers}x}"
            yield Row(pattern, name + kind, registers, f"a = load({place}, {size})")
        pop = f"b = b - {size[0]}; t = load(b, {size}); store(b, {size[0]}, 0); a = t"
        name = f"POP{kind}" if kind else "POPR"
        yield Row(f"09028{code}", name, 2, pop)
    for code, kind in enumerate(kind for kind in _KINDS if "U" not in kind):
        size = str(int(kind or 32) // 8)
        for first, registers, name, place in (
            (0x05048, 3, "STOREX", "b + c"), (0xE10020, 2, "STORE", "b + i"),
            (0xE0002F0, 1, "STORER", "ip + i"),
        ):  # fmt: skip
            pattern = f"{first + code:0{8 - registers}x}"
            yield Row(pattern, name + kind, registers, f"store({place}, {size}, a)")
        name = f"PUSH{kind}" if kind else "PUSHR"
        yield Row(f"09020{code}", name, 2, f"store(b, {size}, a); b = b + {size}")
    for code, (name, sign) in enumerate(_CONDITIONS.items()):
        for u in ("", "U"):
            if u and name in ("E", "NE"):
                continue
            x, y = ("a", "b") if u else ("s(a)", "s(b)")
            # No sign where it is compared without one, or for equality.
            half = "(i & 0xFFFF)" if u or name in ("E", "NE") else "i"
            one = x if half == "i" else "a"
            yield Row(
                f"050{5 + len(u)}{code}", f"CMPJUMP{u}.{name}", 3, f"if {x} {sign} {y}: jump c"
            )
            yield Row(
                f"0903{8 * len(u)}{code}", f"CMPSKIP{u}.{name}", 2, f"if {x} {sign} {y}: skip"
            )
            yield Row(f"e100{'d' if u else 'c'}{code}", f"CMPJUMP{u}I.{name}", 2,
                      f"if {x} {sign} {y}: jump ip + i")  # fmt: skip
            yield Row(f"e000a{len(u)}{code}", f"CMPSKIP{u}I.{name}", 1,
                      f"if {one} {sign} {half}: skip")  # fmt: skip
        yield Row(f"e1000{code}", f"SET.{name}", 2, f"b = i if {_TESTS[name]} else 0")
    for code, (name, test) in enumerate(_TESTS.items()):
        yield Row(f"e0002c{code:x}", f"JUMP.{name}", 1, f"if {test}: jump ip + i")
    for code, (name, sign, bit) in enumerate([("ADD", "+", 5), ("SUB", "-", 4)]):
        for unsigned, how in itertools.product((0, 1), ("I", "O", "IO")):
            carry = f"(d >> {bit} & 1)" if "I" in how else "0"
            x, y = ("b", "c") if unsigned else ("s(b)", "s(c)")
            sets = f"d = d | {1 << bit} if {_OVER[2 if unsigned else code]} else d & ~{1 << bit}; "
            effect = f"t = {x} {sign} {y}; u = {carry}; {sets if 'O' in how else ''}a = t {sign} u"
            pattern = f"01{code * 6 + unsigned * 3 + ('I', 'O', 'IO').index(how):02x}"
            yield Row(pattern, f"{name}{'U' * unsigned}.{'CB'[code]}{how}", 4, effect)


ROWS = {row.pattern: row for row in _rows()}
"""The instructions, by pattern."""


@dataclass(frozen=True, slots=True)
class KnightInstruction:
    """An instruction of a ROM."""

    row: Row
    registers: tuple[int, ...]
    immediate: int
    size: int

    @property
    def text(self) -> str:
        """As the assembler has it."""
        words = [f"R{number}" for number in self.registers]
        if self.size == 6 or self.row.name == "JUMP":
            words.append(str(self.immediate))
        return " ".join([self.row.name, *words])


def decode(memory: bytes | bytearray, at: int) -> KnightInstruction | None:
    """The instruction at an address; None where there is none."""
    halves = memory[at : at + 4].hex()
    row = next((ROWS[p] for n in (8, 7, 6, 5, 4, 2) if (p := halves[:n]) in ROWS), None)
    if row is None or len(halves) < 8:
        return None
    first = len(row.pattern)
    registers = tuple(int(half, 16) for half in halves[first : first + row.registers])
    size = _size(memory[at : at + 1])
    tail = memory[at + 4 : at + 6] if size == 6 else memory[at + 2 : at + 4]
    if len(tail) < 2:
        return None
    return KnightInstruction(row, registers, int.from_bytes(tail, "big", signed=True), size)


def _size(first: bytes | bytearray) -> int:
    """Of an instruction that begins with this byte."""
    return 6 if first in (b"\xe0", b"\xe1") else 4


_OPERAND = re.compile(r"\b(?:[abcdi]|load|store)\b")


@functools.lru_cache(1 << 16)
def _function_of(code: bytes) -> Callable[[Knight, list[int], int], int]:
    """What an instruction does: to the machine and its registers, at an address; its result is
    where the machine goes on. Raises GuestFailed."""
    instruction = decode(code, 0)
    if instruction is None:
        where = f"no instruction: {code[:4].hex(' ')}"
        raise GuestFailed(where if code else "an instruction beyond the memory")
    what = {"i": f"({instruction.immediate})", "load": "m.load", "store": "m.store"}
    what |= {name: f"r[{n}]" for name, n in zip("abcd", instruction.registers, strict=False)}
    lines = [f"ip = at + {instruction.size}"]
    for words in instruction.row.effect.split("; "):
        text = _OPERAND.sub(lambda found: what[found[0]], words)
        condition, colon, act = text.rpartition(": ")
        target, is_set, value = act.partition(" = ")
        if act.startswith("jump "):
            act = f"return {act[5:]} & MASK"
        elif act == "skip":
            act = "return m.after(ip)"
        elif is_set and target.startswith("r["):
            act = f"{target} = ({value}) & MASK"
        lines.append(condition + colon + act)
    made: dict[str, Callable[[Knight, list[int], int], int]] = {}
    exec("\n  ".join(["def run(m, r, at):", *lines, "return ip"]), _WORDS, made)
    return made["run"]
