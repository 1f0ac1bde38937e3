"""The knight: the 32-bit machine that the first stage0 was written for, without any system.

It has 16 registers, memory from address 0, where the ROM is, two tapes and a terminal. Its word is
the most significant byte first. Sources: https://github.com/oriansj/stage0, `Knight Reference/
ISA_HEX_Map.org`; where that leaves something open, what vm_instructions.c, the reference machine
there, does (it extends the sign of each immediate, for one). Of its two modes this is the one
without a system (not `--POSIX-MODE`).

The table of instructions is data: pattern, name, operands, and what makes its handler. A pattern is
the first bytes in hexadecimal, up to the first register. After `e0` and `e1` an immediate of two
bytes follows the four of the instruction.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bootstrap import signals
from bootstrap.core.errors import GuestFailed

MASK = 0xFFFFFFFF
WORD = 4
CARRY, BORROW, OVERFLOW, GREATER, EQUAL, LESS = 32, 16, 8, 4, 2, 1
"""Bits of a register that a comparison sets."""
TAPE1, TAPE2, TERMINAL = 0x1100, 0x1101, 0
_CHECKED = 1 << 16
"""Instructions between two looks at the clock."""

Handler = Callable[["Knight", int, int, int, int, int], object]
"""The machine, up to four registers, and the immediate."""


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

    Raises GuestFailed for a ROM that is larger than the memory.
    """

    def __init__(
        self,
        rom: bytes,
        tape1: bytes = b"",
        console: Callable[[int], object] = lambda _byte: None,
        key: Callable[[], int] = lambda: -1,
        limits: KnightLimits = KnightLimits(),
    ) -> None:
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
        self._decoded: dict[int, tuple[Handler, int, int, int, int, int, int]] = {}
        self._is_code = bytearray(limits.memory + 8)

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
        decoded, done = self._decoded, 0
        try:
            while done < count and not self.halted:
                entry = decoded.get(self.ip)
                if entry is None:
                    entry = self._decode(self.ip)
                handler, a, b, c, d, immediate, self.ip = entry
                done += 1
                handler(self, a, b, c, d, immediate)
        finally:
            self.executed += done

    def _decode(self, at: int) -> tuple[Handler, int, int, int, int, int, int]:
        instruction = decode(self.memory, at)
        if instruction is None:
            if at >= len(self.memory):
                raise self._failed("an instruction beyond the memory")
            raise self._failed(f"no instruction: {bytes(self.memory[at : at + 4]).hex(' ')}")
        a, b, c, d = (*instruction.registers, 0, 0, 0, 0)[:4]
        end = at + instruction.size
        entry = (instruction.row.handler, a, b, c, d, instruction.immediate, end)
        self._decoded[at] = entry
        self._is_code[at:end] = b"\1" * instruction.size
        return entry

    def _failed(self, why: str) -> GuestFailed:
        registers = " ".join(f"r{i}={value:x}" for i, value in enumerate(self.r) if value)
        return GuestFailed(f"{why} [{self.ip:#x}, after {self.executed} instructions; {registers}]")

    # Memory and tapes.

    def load(self, at: int, size: int, signed: bool) -> int:
        """A number. Raises GuestFailed beyond the memory."""
        at &= MASK
        if at + size > len(self.memory):
            raise self._failed(f"a load of {size} bytes from {at:#x}, beyond the memory")
        return int.from_bytes(self.memory[at : at + size], "big", signed=signed) & MASK

    def store(self, at: int, size: int, value: int) -> None:
        """A number. Raises GuestFailed beyond the memory."""
        at &= MASK
        if at + size > len(self.memory):
            raise self._failed(f"a store of {size} bytes to {at:#x}, beyond the memory")
        self.memory[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "big")
        if 1 in self._is_code[at : at + size]:
            self._decoded.clear()
            self._is_code = bytearray(len(self._is_code))

    def skip(self) -> None:
        """Leave out the next instruction."""
        self.ip += 6 if self.memory[self.ip] in (0xE0, 0xE1) else 4

    def _tape(self, device: int) -> Tape | None:
        tape = self.tapes.get(device)
        if tape is not None and tape.at is None:
            raise self._failed(f"the tape {device:#x} is not open")
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
                raise self._failed(f"limit: more than {self.limits.tape} bytes on a tape")
            tape.data[tape.at : tape.at + 1] = bytes([self.r[0] & 0xFF])
            tape.at += 1


# What makes handlers.


def signed(value: int) -> int:
    """A register as a number with a sign."""
    return value - (1 << 32) if value >> 31 else value


def _bits(left: int, right: int) -> int:
    return GREATER if left > right else EQUAL if left == right else LESS


def _three(value: Callable[[int, int], int]) -> Handler:
    def handler(m: Knight, a: int, b: int, c: int, _d: int, _i: int) -> None:
        m.r[a] = value(m.r[b], m.r[c]) & MASK

    return handler


def _two(value: Callable[[int], int]) -> Handler:
    def handler(m: Knight, a: int, b: int, _c: int, _d: int, _i: int) -> None:
        m.r[a] = value(m.r[b]) & MASK

    return handler


def _immediate(value: Callable[[int, int], int]) -> Handler:
    def handler(m: Knight, a: int, b: int, _c: int, _d: int, i: int) -> None:
        m.r[a] = value(m.r[b], i) & MASK

    return handler


def _one(value: Callable[["Knight", int, int], int]) -> Handler:
    def handler(m: Knight, a: int, _b: int, _c: int, _d: int, i: int) -> None:
        m.r[a] = value(m, m.r[a], i) & MASK

    return handler


def _jump(condition: Callable[[int, int], bool]) -> Handler:
    def handler(m: Knight, a: int, b: int, _c: int, _d: int, i: int) -> None:
        if condition(m.r[a], m.r[b]):
            m.ip = m.ip + i & MASK

    return handler


def _jump_to(condition: Callable[[int, int], bool]) -> Handler:
    def handler(m: Knight, a: int, b: int, c: int, _d: int, _i: int) -> None:
        if condition(m.r[a], m.r[b]):
            m.ip = m.r[c]

    return handler


def _skip(condition: Callable[[int, int], bool]) -> Handler:
    def handler(m: Knight, a: int, b: int, _c: int, _d: int, _i: int) -> None:
        if condition(m.r[a], m.r[b]):
            m.skip()

    return handler


def _skip_immediate(condition: Callable[[int, int], bool], unsigned: bool = False) -> Handler:
    def handler(m: Knight, a: int, _b: int, _c: int, _d: int, i: int) -> None:
        if condition(m.r[a], i & 0xFFFF if unsigned else i & MASK):
            m.skip()

    return handler


def _set(condition: Callable[[int], object]) -> Handler:
    def handler(m: Knight, a: int, b: int, _c: int, _d: int, i: int) -> None:
        m.r[b] = i & MASK if condition(m.r[a]) else 0

    return handler


def _load(size: int, sign: bool) -> tuple[Handler, Handler, Handler]:
    """By two registers, by a register and the immediate, relative to the instruction's end."""
    return (
        lambda m, a, b, c, d, i: m.r.__setitem__(a, m.load(m.r[b] + m.r[c], size, sign)),
        lambda m, a, b, c, d, i: m.r.__setitem__(a, m.load(m.r[b] + i, size, sign)),
        lambda m, a, b, c, d, i: m.r.__setitem__(a, m.load(m.ip + i, size, sign)),
    )


def _store(size: int) -> tuple[Handler, Handler, Handler]:
    return (
        lambda m, a, b, c, d, i: m.store(m.r[b] + m.r[c], size, m.r[a]),
        lambda m, a, b, c, d, i: m.store(m.r[b] + i, size, m.r[a]),
        lambda m, a, b, c, d, i: m.store(m.ip + i, size, m.r[a]),
    )


def _push(m: Knight, stack: int, value: int, size: int = WORD) -> None:
    m.store(m.r[stack], size, value)
    m.r[stack] = m.r[stack] + size & MASK


def _pop(m: Knight, stack: int, size: int = WORD, sign: bool = False) -> int:
    m.r[stack] = m.r[stack] - size & MASK
    value = m.load(m.r[stack], size, sign)
    m.store(m.r[stack], size, 0)
    return value


def _pushes(size: int) -> Handler:
    return lambda m, a, b, c, d, i: _push(m, b, m.r[a], size)


def _pops(size: int, sign: bool) -> Handler:
    return lambda m, a, b, c, d, i: m.r.__setitem__(a, _pop(m, b, size, sign))


def _call(m: Knight, stack: int, to: int) -> None:
    _push(m, stack, m.ip)
    m.ip = to & MASK


def _branch(m: Knight, a: int, b: int, *_: int) -> None:
    m.store(m.r[b], WORD, m.ip)
    m.ip = m.r[a]


def _move(m: Knight, a: int, b: int, *_: int) -> None:
    m.r[a] = m.r[b]
    m.r[b] = 0


def _swap(m: Knight, a: int, b: int, *_: int) -> None:
    m.r[a], m.r[b] = m.r[b], m.r[a]


def _return(m: Knight, a: int, *_: int) -> None:
    m.ip = _pop(m, a)


def _go(m: Knight, a: int, *_: int) -> None:
    m.ip = m.r[a]


def _halt(m: Knight, *_: int) -> None:
    m.halted = True


def _carrying(sign: int, bit: int, uses: bool, sets: bool, as_signed: bool) -> Handler:
    """Addition (sign 1) and subtraction (-1) with a carry or borrow, in register d."""

    def handler(m: Knight, a: int, b: int, c: int, d: int, _i: int) -> None:
        left, right, more = m.r[b], m.r[c], m.r[d] & bit and uses
        exact = signed(left) + sign * signed(right) if as_signed else left + sign * right
        if sets:
            over = (exact >> 31 == 1) if as_signed and sign > 0 else not 0 <= exact <= MASK
            if as_signed and sign < 0:
                over = not -(1 << 31) <= exact < 1 << 31
            m.r[d] = m.r[d] | bit if over else m.r[d] & ~bit
        m.r[a] = exact + (sign if more else 0) & MASK

    return handler


def _wide(value: Callable[[int, int], tuple[int, int]], as_signed: bool) -> Handler:
    """Two results, to a and to b, of c and d."""

    def handler(m: Knight, a: int, b: int, c: int, d: int, _i: int) -> None:
        left, right = m.r[c], m.r[d]
        first, second = value(signed(left), signed(right)) if as_signed else value(left, right)
        m.r[a] = first & MASK
        m.r[b] = second & MASK

    return handler


def _mux(m: Knight, a: int, b: int, c: int, d: int, _i: int) -> None:
    m.r[a] = m.r[c] & ~m.r[b] | m.r[d] & m.r[b]


def _nmux(m: Knight, a: int, b: int, c: int, d: int, _i: int) -> None:
    m.r[a] = m.r[c] & m.r[b] | m.r[d] & ~m.r[b] & MASK


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


_SIGNED: dict[str, Callable[[int, int], bool]] = {
    "G": lambda x, y: signed(x) > signed(y), "GE": lambda x, y: signed(x) >= signed(y),
    "E": lambda x, y: x == y, "NE": lambda x, y: x != y,
    "LE": lambda x, y: signed(x) <= signed(y), "L": lambda x, y: signed(x) < signed(y),
}  # fmt: skip
_UNSIGNED: dict[str, Callable[[int, int], bool]] = {
    "G": lambda x, y: x > y, "GE": lambda x, y: x >= y,
    "LE": lambda x, y: x <= y, "L": lambda x, y: x < y,
}  # fmt: skip
_CODES = {"G": 0, "GE": 1, "E": 2, "NE": 3, "LE": 4, "L": 5}
_TESTS: dict[str, Callable[[int], object]] = {
    "C": lambda x: x & CARRY, "B": lambda x: x & BORROW, "O": lambda x: x & OVERFLOW,
    "G": lambda x: x & GREATER, "GE": lambda x: x & (GREATER | EQUAL), "E": lambda x: x & EQUAL,
    "NE": lambda x: not x & EQUAL, "LE": lambda x: x & (LESS | EQUAL), "L": lambda x: x & LESS,
    "Z": lambda x: not x, "NZ": lambda x: x, "P": lambda x: not x >> 31, "NP": lambda x: x >> 31,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """An instruction: `pattern` is its first half bytes, then `registers` of them follow."""

    pattern: str
    name: str
    registers: int
    handler: Handler


def _rows() -> list[Row]:
    rows = [Row("00000000", "NOP", 0, lambda *_: None), Row("ff", "HALT", 0, _halt)]

    def add(prefix: str, registers: int, *named: tuple[str, Handler]) -> None:
        """Instructions whose last half bytes count up from those of `prefix`."""
        first = int(prefix, 16)
        for number, (name, handler) in enumerate(named):
            if name:
                rows.append(Row(f"{first + number:0{len(prefix)}x}", name, registers, handler))

    carrying = (
        (f"{name}{'' if s else 'U'}.{bit_name}{how}",
         _carrying(sign, bit, "I" in how, "O" in how, s))
        for name, sign, bit, bit_name in (("ADD", 1, CARRY, "C"), ("SUB", -1, BORROW, "B"))
        for s in (True, False) for how in ("I", "O", "IO")
    )  # fmt: skip
    product = lambda x, y: (x * y, x * y >> 32)  # noqa: E731
    quotient = lambda x, y: (_divided(x, y), _rest(x, y))  # noqa: E731
    sort = lambda x, y: (max(x, y), min(x, y))  # noqa: E731
    add("0100", 4, *carrying,
        ("MULTIPLY", _wide(product, True)), ("MULTIPLYU", _wide(product, False)),
        ("DIVIDE", _wide(quotient, True)), ("DIVIDEU", _wide(quotient, False)),
        ("MUX", _mux), ("NMUX", _nmux), ("SORT", _wide(sort, True)),
        ("SORTU", _wide(sort, False)))  # fmt: skip
    s = signed
    add("05000", 3,
        ("ADD", _three(lambda x, y: x + y)), ("ADDU", _three(lambda x, y: x + y)),
        ("SUB", _three(lambda x, y: x - y)), ("SUBU", _three(lambda x, y: x - y)),
        ("CMP", _three(lambda x, y: _bits(s(x), s(y)))), ("CMPU", _three(_bits)),
        ("MUL", _three(lambda x, y: x * y)), ("MULH", _three(lambda x, y: s(x) * s(y) >> 32)),
        ("MULU", _three(lambda x, y: x * y)), ("MULUH", _three(lambda x, y: x * y >> 32)),
        ("DIV", _three(lambda x, y: _divided(s(x), s(y)))),
        ("MOD", _three(lambda x, y: _rest(s(x), s(y)))),
        ("DIVU", _three(_divided)), ("MODU", _three(_rest)))  # fmt: skip
    add("05010", 3,
        ("MAX", _three(lambda x, y: max(s(x), s(y)))), ("MAXU", _three(max)),
        ("MIN", _three(lambda x, y: min(s(x), s(y)))), ("MINU", _three(min)))  # fmt: skip
    add("05020", 3,
        ("AND", _three(lambda x, y: x & y)), ("OR", _three(lambda x, y: x | y)),
        ("XOR", _three(lambda x, y: x ^ y)), ("NAND", _three(lambda x, y: ~(x & y))),
        ("NOR", _three(lambda x, y: ~(x | y))), ("XNOR", _three(lambda x, y: ~(x ^ y))),
        ("MPQ", _three(lambda x, y: ~x & y)), ("LPQ", _three(lambda x, y: x & ~y)),
        ("CPQ", _three(lambda x, y: ~x | y)), ("BPQ", _three(lambda x, y: x | ~y)))  # fmt: skip
    shifts: tuple[tuple[str, Callable[[int, int], int]], ...] = (
        ("SAL", _left), ("SAR", _right), ("SL0", _left), ("SR0", _right),
        ("SL1", lambda x, y: _left(x, y, True)), ("SR1", lambda x, y: _right(x, y, True)),
    )  # fmt: skip
    add("05030", 3, *((name, _three(value)) for name, value in shifts),
        ("ROL", _three(_rotated)), ("ROR", _three(lambda x, y: _rotated(x, -y))))  # fmt: skip
    loads = (("", WORD, False), ("8", 1, True), ("U8", 1, False), ("16", 2, True),
             ("U16", 2, False), ("32", WORD, False), ("U32", WORD, False))  # fmt: skip
    stores = (("", WORD), ("8", 1), ("16", 2), ("32", WORD))
    groups = (("05038", 3, "LOADX"), ("e10013", 2, "LOAD"), ("e0002e0", 1, "LOADR"))
    for way, (prefix, registers, name) in enumerate(groups):
        add(prefix, registers, *((name + how, _load(n, sign)[way]) for how, n, sign in loads))
    groups = (("05048", 3, "STOREX"), ("e10020", 2, "STORE"), ("e0002f0", 1, "STORER"))
    for way, (prefix, registers, name) in enumerate(groups):
        add(prefix, registers, *((name + how, _store(n)[way]) for how, n in stores))
    for name, code in _CODES.items():
        conditions = [("", _SIGNED[name])] + [("U", _UNSIGNED[n]) for n in _UNSIGNED if n == name]
        for u, condition in conditions:
            group = bool(u)
            rows += [
                Row(f"050{5 + group}{code:x}", f"CMPJUMP{u}.{name}", 3, _jump_to(condition)),
                Row(f"0903{'8' if u else '0'}{code:x}", f"CMPSKIP{u}.{name}", 2, _skip(condition)),
                Row(f"e100{'d' if u else 'c'}{code:x}", f"CMPJUMP{u}I.{name}", 2,
                    _jump(condition)),
                Row(f"e000a{int(group)}{code:x}", f"CMPSKIP{u}I.{name}", 1,
                    _skip_immediate(condition, bool(u) or name in ("E", "NE"))),
            ]  # fmt: skip
    add("090000", 2,
        ("NEG", _two(lambda x: -x)), ("ABS", _two(lambda x: abs(s(x)))),
        ("NABS", _two(lambda x: -abs(s(x)))), ("SWAP", _swap), ("COPY", _two(lambda x: x)),
        ("MOVE", _move), ("NOT", _two(lambda x: ~x)))  # fmt: skip
    add("090100", 2, ("BRANCH", _branch), ("CALL", lambda m, a, b, *_: _call(m, b, m.r[a])))
    add("090200", 2, ("PUSHR", _pushes(WORD)), ("PUSH8", _pushes(1)), ("PUSH16", _pushes(2)),
        ("PUSH32", _pushes(WORD)))  # fmt: skip
    add("090280", 2, ("POPR", _pops(WORD, False)), ("POP8", _pops(1, True)),
        ("POPU8", _pops(1, False)), ("POP16", _pops(2, True)), ("POPU16", _pops(2, False)),
        ("POP32", _pops(WORD, False)), ("POPU32", _pops(WORD, False)))  # fmt: skip
    add("0d00000", 1, ("READPC", _one(lambda m, _x, _i: m.ip)), ("READSCID", _one(lambda *_: 2)),
        ("FALSE", _one(lambda *_: 0)), ("TRUE", _one(lambda *_: MASK)))  # fmt: skip
    add("0d01000", 1, ("JSR_COROUTINE", _go), ("RET", _return))
    add("0d02000", 1, ("PUSHPC", lambda m, a, *_: _push(m, a, m.ip)), ("POPPC", _return))
    add("3c00", 0, ("JUMP", _jump(lambda _x, _y: True)))
    halcodes: dict[str, Callable[[Knight], object]] = {
        "42100000 FOPEN_READ": lambda m: m.open(False),
        "42100001 FOPEN_WRITE": lambda m: m.open(True),
        "42100002 FCLOSE": Knight.close, "42100003 REWIND": Knight.rewind,
        "42100100 FGETC": Knight.get, "42100200 FPUTC": Knight.put,
        "42110000 HAL_MEM": lambda m: m.r.__setitem__(0, len(m.memory)),
    }  # fmt: skip
    for text, act in halcodes.items():
        pattern, name = text.split()
        rows.append(Row(pattern, name, 0, lambda m, *_, act=act: act(m)))
    for number, (name, test) in enumerate(_TESTS.items()):
        rows.append(Row(f"e0002c{number:x}", f"JUMP.{name}", 1,
                        _jump(lambda x, _y, test=test: bool(test(x)))))  # type: ignore[misc]  # fmt: skip
    add("e0002d0", 1, ("CALLI", lambda m, a, b, c, d, i: _call(m, a, m.ip + i)),
        ("LOADI", _one(lambda _m, _x, i: i)), ("LOADUI", _one(lambda _m, _x, i: i)),
        *((f"{name}I", _one(lambda _m, x, i, value=value: value(x, i & MASK)))  # type: ignore[misc]
          for name, value in shifts))  # fmt: skip
    add("e10000", 2, *((f"SET.{name}", _set(_TESTS[name])) for name in _CODES))
    add("e1000e", 2, ("ADDI", _immediate(lambda x, i: x + i)),
        ("ADDUI", _immediate(lambda x, i: x + i)), ("SUBI", _immediate(lambda x, i: x - i)),
        ("SUBUI", _immediate(lambda x, i: x - i)),
        ("CMPI", _immediate(lambda x, i: _bits(s(x), i))))  # fmt: skip
    add("e1001f", 2, ("CMPUI", _immediate(lambda x, i: _bits(x, i & MASK))))
    add("e100b0", 2, ("ANDI", _immediate(lambda x, i: x & i)),
        ("ORI", _immediate(lambda x, i: x | i)), ("XORI", _immediate(lambda x, i: x ^ i)),
        ("NANDI", _immediate(lambda x, i: ~(x & i))), ("NORI", _immediate(lambda x, i: ~(x | i))),
        ("XNORI", _immediate(lambda x, i: ~(x ^ i))))  # fmt: skip
    return rows


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
    size = 6 if halves[:2] in ("e0", "e1") else 4
    tail = memory[at + 4 : at + 6] if size == 6 else memory[at + 2 : at + 4]
    if len(tail) < 2:
        return None
    return KnightInstruction(row, registers, int.from_bytes(tail, "big", signed=True), size)
