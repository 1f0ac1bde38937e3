"""Checks a certificate about a hex0 seed with the standard library alone: docs/proof.md.

`python -I -m bootstrap.prove.check CERTIFICATE SEED`: 0 proven, 1 not, 2 bad input.

In reading order: what hex0 is (`step`); what is known of a number (`Value`); a seed in memory, and
the four system calls that hex0 makes (`SeedMachine`); the few forms of instructions that seeds
contain, any other being refused (`X86`, `AArch64`, `RiscV`); and the proof: every state of the
certificate, with every byte and the end of the file, once more (`decide`).

Sources: Intel SDM volume 2; Arm ARM, C6.2; the RISC-V unprivileged specification; syscall(2).
"""

import copy
import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

FORMAT = "bootstrap-hex0-proof/1"
MAX_FILE = (1 << 22) - 1
MAX_PATH, MAX_WORK = 2_000, 3_000_000
"""Instructions from one read to the next; and in all, each value that is carried on being one."""


class Refused(Exception):
    """The certificate does not hold, or the checker cannot follow: never a proof."""


# hex0, one byte of input at a time.

Class = tuple[bool, int | None]
"""What hex0 remembers: is it in a comment, and which digit waits for its second."""
START: Class = (False, None)


def step(now: Class, byte: int, with_g: bool, cr_ends: bool) -> tuple[Class, bytes]:
    """The next class, and what is written.

    Two things differ between seeds, and a certificate names them: whether `G` and `g` count as a
    digit of value 16, and whether a carriage return ends a comment, as a newline does.
    """
    comment, held = now
    if comment:
        return (not (byte == 0x0A or (byte == 0x0D and cr_ends)), held), b""
    if byte in b"#;":
        return (True, held), b""
    digit = b"0123456789abcdefg".find(bytes((byte,)).lower())
    if digit < 0 or (digit == 16 and not with_g):
        return now, b""
    if held is None:
        return (False, digit % 16), b""  # 16 x 16 is 0 in a byte, so a first 16 is as good as 0
    return START, bytes(((held * 16 + digit) % 256,))


# What is known of a value: all, or nothing.

Value = tuple[str, int] | None
"""(symbol, number) stands for symbol + number. Symbols: none; `sp`, the first stack pointer;
`word N`, what stood N words above it; `in`, what the first open gave, and `out`, the second (1 to
2**31 - 1); `-out`, 2**32 - out."""
LOW = 0xFFFFFFFF
ZERO, OUT, MINUS_OUT = ("", 0), ("out", 0), ("-out", 0)

Flags = dict[str, bool | None]
"""Of a sum or difference: is it `zero`, did it `carry`, and is it `less` than zero, computed with
signs and without overflow. What is missing, or None, is not known."""


def number(value: Value, what: str) -> int:
    """The number that it is. Raises Refused."""
    if value is None or value[0]:
        raise Refused(f"{what} hangs on what has no value")
    return value[1]


def signed(number: int, mask: int) -> int:
    """``number`` as one with a sign, whose bits are ``mask``."""
    return number - mask - 1 if number > mask >> 1 else number


def total(a: Value, b: Value, sign: int, mask: int) -> tuple[Value, Flags]:
    """a + b, or a - b with ``sign`` -1, in the bits ``mask``."""
    if a is None or b is None or b[0]:
        return None, {}
    if a[0] == "":
        exact, small = a[1] + sign * b[1], signed(a[1], mask) + sign * signed(b[1], mask)
        result = exact & mask
        return ("", result), {"zero": not result, "carry": exact != result, "less": small < 0}
    if a[0] == "sp":
        return ("sp", (a[1] + sign * b[1]) & mask), {}
    if b[1]:
        return None, {}
    less = {OUT: False, MINUS_OUT: True if mask == LOW else None}.get(a)
    return a, {"zero": False if a in (OUT, MINUS_OUT) else None, "carry": False, "less": less}


# A seed, and one moment of its run.


class CallingConvention(NamedTuple):
    """An ELF machine, bytes of a word, and how Linux is called."""

    machine: int
    word: int
    calls: Mapping[int, str]
    sp: str
    call: tuple[str, ...]
    """Registers of the number and of the arguments."""
    result: str
    names: list[str]
    """Of the registers, in the order of their numbers; none for that which is zero."""
    trap_size: int = 4
    lost: tuple[str, ...] = ()
    """Other registers that a call leaves without a value."""


_GENERIC = {93: "exit", 63: "read", 64: "write", 56: "openat"}
_NAMES = (" ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7"
          " s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6").split(" ")  # fmt: skip
_RISCV = _GENERIC, "sp", ("a7", "a0", "a1", "a2", "a3"), "a0", _NAMES
CONVENTIONS = {
    "x86": CallingConvention(3, 4, {1: "exit", 3: "read", 4: "write", 5: "open"},
                "esp", ("eax", "ebx", "ecx", "edx"), "eax",
                "eax ecx edx ebx esp ebp esi edi".split(), 2),
    "AMD64": CallingConvention(62, 8, {60: "exit", 0: "read", 1: "write", 2: "open"},
                "rsp", ("rax", "rdi", "rsi", "rdx"), "rax",
                "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split(),
                2, ("rcx", "r11")),
    "AArch64": CallingConvention(183, 8, _GENERIC, "sp", ("x8", "x0", "x1", "x2", "x3"), "x0",
                [*(f"x{n}" for n in range(31)), ""]),
    "riscv64": CallingConvention(243, 8, *_RISCV),
    "riscv32": CallingConvention(243, 4, *_RISCV),
}  # fmt: skip
REACH = 256
"""Bytes on either side of the first stack pointer: Linux maps more than that there."""
LOWEST, HIGHEST = 1 << 16, 1 << 30
"""Addresses of a segment: above what mmap_min_addr keeps free, below any stack."""


class SeedImage:
    """The one segment of a seed, and what all paths together did with it."""

    def __init__(self, data: bytes, name: str) -> None:
        self.arch = CONVENTIONS[name]
        word, wide = self.arch.word, self.arch.word == 8

        def field(at: int, size: int) -> int:
            return int.from_bytes(data[at : at + size], "little")

        head, each, count = field(24 + word, word), *((54, 56) if wide else (42, 44))
        about = data[:6], *(field(at, 2) for at in (16, 18, each, count)), field(head, 4)
        due = b"\x7fELF" + bytes((word // 4, 1)), 2, self.arch.machine, 56 if wide else 32, 1, 1
        if about != due:
            raise Refused(f"the seed is no program of one segment for {name}")
        first = head + (8 if wide else 4)
        offset, self.addr, _, size, memory = (field(first + n * word, word) for n in range(5))
        flags = field(head + (4 if wide else 24), 4)
        if size != memory or not flags & 1 or head + due[3] > len(data):
            raise Refused("the seed's segment is not code, or it or its header is cut off")
        if not LOWEST <= self.addr <= HIGHEST - size:
            raise Refused("the seed's segment is not where every Linux puts one")
        self.entry, self.bytes = field(24, word), data[offset : offset + size]
        if (offset - self.addr) % 4096:
            raise Refused("Linux does not start it: its segment is not aligned")
        self.readable, self.writable = bool(flags & 4), bool(flags & 2)
        self.executed: set[int] = set()
        self.stored: set[int] = set()
        self.constant: set[int] = set()
        """Bytes that were read as the file has them."""

    def byte(self, addr: int) -> int:
        """Of the file. Raises Refused."""
        if not self.addr <= addr < self.addr + len(self.bytes):
            raise Refused(f"{addr:#x} lies outside the seed")
        return self.bytes[addr - self.addr]


class SeedMachine:
    """Registers and memory at one moment. A subclass executes one instruction with `step`."""

    def __init__(self, image: SeedImage) -> None:
        self.image, self.arch, self.word = image, image.arch, image.arch.word
        self.mask = (1 << 8 * self.word) - 1
        self.pc = image.entry
        self.registers: dict[str, Value] = {}
        self.memory: dict[tuple[str, int], int | tuple[Value, int] | None] = {}
        """(base, address) -> a byte; which byte of a symbol; or nothing."""
        self.flags: Flags = {}
        self.opened: list[tuple[Value, int, int]] = []
        self.written = b""
        self.ended = ""
        self.buffer: Value = None

    def copy(self) -> "SeedMachine":
        """The same once more: only of one that has made no call yet."""
        other = copy.copy(self)
        other.registers, other.memory = dict(self.registers), dict(self.memory)
        other.flags, other.opened = {}, []
        return other

    def get(self, register: int) -> Value:
        """What a register holds."""
        name = self.arch.names[register]
        return self.registers.get(name) if name else ZERO

    def set(self, register: int, value: Value) -> None:
        """Let it hold this."""
        if name := self.arch.names[register]:
            self.registers[name] = value

    def unknown(self, code: str, at: int) -> Refused:
        """What to raise where no form fits."""
        return Refused(f"the checker does not know the instruction {code} at {at:#x}")

    def const(self, number: int) -> Value:
        """A number, as a register holds it."""
        return "", number & self.mask

    def low(self, a: Value, mask: int) -> Value:
        """The low part of a register. `out` and `-out` fit into 32 bits."""
        if a is None or not a[0]:
            return a and ("", a[1] & mask)
        return a if mask == self.mask or (mask == LOW and a in (OUT, MINUS_OUT)) else None

    def of(self, a: Value, function: Callable[[int], int]) -> Value:
        """``function`` of a number; of nothing else."""
        return None if a is None or a[0] else self.const(function(a[1]))

    def widened(self, a: Value, mask: int) -> Value:
        """A low part, whose bits are ``mask``, with its sign above it."""
        return a if a == OUT else self.of(a, lambda number: signed(number, mask))

    def add(self, a: Value, b: Value | int, sign: int = 1) -> Value:
        """a + b or a - b, of whole registers; b may be a plain number."""
        return total(a, self.const(b) if isinstance(b, int) else b, sign, self.mask)[0]

    def fetch(self, size: int) -> int:
        """The next bytes of an instruction."""
        if self.arch.trap_size == 4 and self.pc % 4:
            raise Refused(f"an instruction is not aligned, at {self.pc:#x}")
        places = range(self.pc, self.pc + size)
        self.image.executed.update(places)
        self.pc += size
        return int.from_bytes(bytes(map(self.image.byte, places)), "little")

    def _place(self, address: Value, allowed: bool) -> tuple[str, int]:
        """Whether the seed's own memory is ``allowed``. Raises Refused."""
        if address and address[0] == "sp":
            offset = signed(address[1], self.mask)
            if abs(offset) > REACH - 8:
                raise Refused(f"the stack is used {offset} bytes from its start, at {self.pc:#x}")
            return "sp", offset
        if not allowed:
            raise Refused(f"memory that may not be read, or written, at {self.pc:#x}")
        return "", number(address, f"an address, at {self.pc:#x},")

    def load(self, address: Value, size: int) -> Value:
        """Little-endian. Raises Refused."""
        base, at = self._place(address, self.image.readable)
        parts: list[int | tuple[Value, int] | None] = []
        for place in ((base, at + n) for n in range(size)):
            if not base and place not in self.memory:
                self.image.constant.add(place[1])
                parts.append(self.image.byte(place[1]))
            else:
                parts.append(self.memory.get(place))
        numbers = [part for part in parts if isinstance(part, int)]
        if len(numbers) == size:
            return "", int.from_bytes(bytes(numbers), "little")
        whole = parts[0][0] if isinstance(parts[0], tuple) else None
        same = size >= 4 and parts == [(whole, n) for n in range(size)]
        return self.low(whole, (1 << 8 * size) - 1) if same else None

    def store(self, address: Value, value: Value, size: int) -> None:
        """Little-endian. Raises Refused."""
        base, at = self._place(address, self.image.writable)
        for n in range(0 if base else size):
            self.image.byte(at + n)
            self.image.stored.add(at + n)
        self.put((base, at), self.low(value, (1 << 8 * size) - 1), size)

    def put(self, place: tuple[str, int], value: Value, size: int) -> None:
        """Byte by byte."""
        for n in range(size):
            byte = value and ((value, n) if value[0] else value[1] >> 8 * n & 0xFF)
            self.memory[place[0], place[1] + n] = byte

    def jump(self, target: int, flag: bool | None = True, unless: int = 0) -> None:
        """If ``flag``; or, with ``unless``, if not. Raises Refused where nobody knows whether."""
        if flag is None:
            raise Refused(f"the branch before {self.pc:#x} hangs on what has no value")
        if flag != bool(unless):
            self.pc = target & self.mask

    def go_on(self, value: Value) -> None:
        """After the system call at ``pc``, with its result."""
        self.pc += self.arch.trap_size
        self.registers |= dict.fromkeys(self.arch.lost) | {self.arch.result: value}

    def trap(self, at: int) -> None:
        """The system call at ``at``; with `ended`, the path ends there. Raises Refused."""
        self.pc, where = at, f"of the system call at {at:#x}"
        call, *given = map(self.registers.get, self.arch.call)
        which = number(call, f"the number {where}")
        name = self.arch.calls.get(which)
        if name == "openat" and number(given.pop(0), f"the folder {where}") != -100 & self.mask:
            raise Refused(f"the folder {where} is not the current one")
        if name in ("open", "openat"):
            flags = number(given[1], f"a flag {where}") & LOW
            mode = number(given[2], f"the mode {where}") & 0o7777 if flags & 0o100 else 0
            self.opened.append((given[0], flags, mode))
            self.go_on(("in", 0) if len(self.opened) == 1 else OUT)
        elif name == "exit":
            self.ended = f"exit {number(given[0], f'the status {where}') & 0xFF}"
        elif name not in ("read", "write"):
            raise Refused(f"the number {where} is {which}, which hex0 does not need")
        elif (given[0], given[2]) != (("in" if name == "read" else "out", 0), ("", 1)):
            raise Refused(f"the descriptor or the size {where} is another than hex0 means")
        elif name == "read":
            self.ended, self.buffer = "read", given[1]
        else:
            self.written += bytes((number(self.load(given[1], 1), f"the byte {where}"),))
            self.go_on(None)  # whatever write gives


# Instructions.


class X86(SeedMachine):
    """x86, and AMD64, where a REX prefix makes 64 bits of 32, and registers of 8 to 15."""

    TWO_BYTES = bytes.fromhex("01 0f 31 66 83 85 88 89 8a c1 c7 cd f7 ff")
    """Opcodes that a second byte follows, of the form mod, reg, r/m."""
    MOVZX = 0xFB6
    WITH_REX = (0x01, 0x31, 0x83, 0x85, 0x89, 0xC1, 0xC7, MOVZX)

    def _get(self, register: int, mask: int = LOW) -> Value:
        return self.low(self.get(register), mask)

    def _set(self, register: int, value: Value, mask: int = LOW) -> None:
        """Of 64 bits, 32 clear the rest; fewer leave it."""
        if mask < LOW:
            old = self.get(register)
            known = old and value and not old[0] and not value[0]
            value = ("", old[1] & ~mask | value[1] & mask) if known and old and value else None
        self.set(register, value)

    def _sum(self, to: int | None, a: Value, b: Value, sign: int = 1, mask: int = LOW) -> None:
        """A register becomes a + b or a - b; with None only the flags are set."""
        value, self.flags = total(a, b, sign, mask)
        if to is not None:
            self._set(to, value, mask)

    def _constant(self, size: int) -> int:
        return signed(self.fetch(size), (1 << 8 * size) - 1)

    def _address(self, first: int) -> Value:
        """Of a memory operand without a displacement: in a register, or a number."""
        if first == (4 if self.word == 8 else 5):
            plain = self.word == 4 or self.fetch(1) == 0x25
            return self.const(self._constant(4)) if plain else None
        return None if first in (4, 5) else self.get(first)

    def _push(self, value: Value) -> None:
        self.set(4, self.add(self.get(4), -self.word))
        self.store(self.get(4), value, self.word)

    def _pop(self) -> Value:
        value = self.load(self.get(4), self.word)
        self.set(4, self.add(self.get(4), self.word))
        return value

    def step(self) -> None:
        at, rex = self.pc, 0
        op = self.fetch(1)
        if self.word == 8 and op >> 4 == 4:
            rex, op = op, self.fetch(1)
        more = self.fetch(1) if op in self.TWO_BYTES else 0
        if (op, more) == (0x0F, 0xB6):
            op, more = self.MOVZX, self.fetch(1)
        reg, mask = op & 7, self.mask if rex & 8 else LOW
        second, first = more >> 3 & 7 | (rex & 4) << 1, more & 7 | (rex & 1) << 3
        form = more & 0xC0
        both, same = form == 0xC0, form == 0xC0 and second == first
        if rex and not (op in self.WITH_REX and both):
            raise self.unknown(f"{rex:02x}{op:02x}", at)
        if (0x40 <= op < 0x50 and self.word == 4) or (op == 0xFF and both and second < 2):
            reg, down = (reg, op & 8) if op < 0x50 else (first, second)  # inc, dec
            carry = self.flags.get("carry")
            self._sum(reg, self._get(reg), ("", 1), -1 if down else 1)
            self.flags["carry"] = carry
        elif op >> 3 == 10:  # push
            self._push(self.get(reg))
        elif op == 0x6A:
            self._push(self.const(self._constant(1)))
        elif op >> 3 == 11:
            self.set(reg, self._pop())
        elif op in (0xE8, 0xEB):  # call, jmp
            distance = self._constant(4 if op == 0xE8 else 1)
            if op == 0xE8:
                self._push(self.const(self.pc))
            self.jump(self.pc + distance)
        elif op == 0xC3:
            self.pc = number(self._pop(), f"the return at {at:#x}")
        elif op >> 1 in (0x39, 0x3A, 0x3E):  # jb, jae, je, jne, jl, jge
            flag = {0x39: "carry", 0x3A: "zero", 0x3E: "less"}[op >> 1]
            distance = self._constant(1)
            self.jump(self.pc + distance, self.flags.get(flag), op & 1)
        elif 0x90 < op < 0x98:  # xchg with eax
            old = self._get(0)
            self._set(0, self._get(reg))
            self._set(reg, old)
        elif op == 0x99:  # cdq
            less = total(self._get(0), ZERO, 1, LOW)[1].get("less")
            self._set(2, None if less is None else ("", LOW if less else 0))
        elif 0xB0 <= op < 0xB4:  # mov
            self._set(reg, ("", self.fetch(1)), 0xFF)
        elif op >> 3 == 0x17:
            self._set(reg, ("", self.fetch(4)))
        elif op == 0x66 and more >> 3 == 0x17:
            self._set(first, ("", self.fetch(2)), 0xFFFF)
        elif op == 0xC7 and both and second == 0:
            self._set(first, ("", self._constant(4) & mask), mask)
        elif op == 0x89 and both:
            self._set(first, self._get(second, mask), mask)
        elif form == 0 and (op == 0x89 or (op == 0x88 and second < 4)):
            self.store(self._address(first), self._get(second), 4 if op == 0x89 else 1)
        elif op == 0x8A and form == 0 and second < 4:
            self._set(second, self.load(self._address(first), 1), 0xFF)
        elif op == self.MOVZX and both and first < 4:
            self._set(second, self._get(first, 0xFF), mask)
        elif op in (0x04, 0x2C, 0x3C):  # add, sub, cmp al
            to, sign = 0 if op != 0x3C else None, 1 if op == 0x04 else -1
            self._sum(to, self._get(0, 0xFF), ("", self.fetch(1)), sign, 0xFF)
        elif op == 0x83 and both and second in (5, 7):  # sub, cmp
            to, given = first if second == 5 else None, ("", self._constant(1) & mask)
            self._sum(to, self._get(first, mask), given, -1, mask)
        elif op == 0x24:  # and al
            bits, al = self.fetch(1), self._get(0, 0xFF)
            self._sum(0, al and ("", al[1] & bits), ZERO, 1, 0xFF)
        elif op == 0x31 and same:  # xor with itself
            self._sum(first, ZERO, ZERO, 1, mask)
        elif op == 0x85 and same:  # test with itself
            self._sum(None, self._get(first, mask), ZERO, 1, mask)
        elif op == 0x01 and both:  # add
            self._sum(first, self._get(first, mask), self._get(second, mask), 1, mask)
        elif op == 0xC1 and both and second == 4:  # shl
            count = self.fetch(1) & (63 if rex & 8 else 31)
            self._set(first, self.low(self.of(self.get(first), lambda n: n << count), mask), mask)
            self.flags = {}
        elif op == 0xF7 and both and second == 3:  # neg, of a descriptor
            other = {OUT: MINUS_OUT, MINUS_OUT: OUT}.get(self._get(first) or ZERO)
            self._sum(first, other, ZERO)
            self.flags["carry"] = True if other else None
        elif (op, more) == ((0x0F, 0x05) if self.word == 8 else (0xCD, 0x80)):
            self.trap(at)
        else:
            raise self.unknown(f"{op:02x}", at)


class AArch64(SeedMachine):
    """Register 31 is zero, but in an address the stack pointer. That stays a multiple of 16."""

    def step(self) -> None:
        at, word = self.pc, self.fetch(4)
        to, one, two = word & 31, word >> 5 & 31, word >> 16 & 31
        base = self.registers.get("sp") if one == 31 else self.get(one)
        short, nine = word >> 10 & 0xFFF, signed(word >> 12 & 0x1FF, 0x1FF)
        near, size = at + 4 * signed(word >> 5 & 0x7FFFF, 0x7FFFF), 1 << (word >> 30)
        if word >> 23 in (0x125, 0x1A5) and not word >> 21 & 3:  # movn, movz
            given = word >> 5 & 0xFFFF
            self.set(to, self.const(~given if word >> 23 == 0x125 else given))
        elif word >> 21 == 0x550 and one == 31 and not word >> 10 & 63:  # mov
            self.set(to, self.get(two))
        elif word >> 21 == 0x458:  # add, with a shift to the left
            shifted = self.of(self.get(two), lambda n: n << (short & 63))
            self.set(to, self.add(self.get(one), shifted))
        elif word >> 22 == 0x344 and 31 not in (to, one):  # sub
            self.set(to, self.add(self.get(one), ("", short), -1))
        elif word >> 22 == 0x3C4 and to == 31 and one != 31:  # cmp
            self.flags = total(self.get(one), ("", short), -1, self.mask)[1]
        elif word >> 22 in (0x0E5, 0x3E5):  # ldrb, ldr x
            self.set(to, self.load(self.add(base, size * short), size))
        elif word >> 22 == 0x0E4:  # strb
            self.store(self.add(base, short), self.get(to), 1)
        elif word >> 21 in (0x7C0, 0x7C2) and one == 31 and word >> 10 & 1 and not nine % 16:
            moved = self.add(base, nine)  # str and ldr x that move sp, by a multiple of 16
            place = moved if word >> 10 & 3 == 3 else base
            if word >> 21 == 0x7C0:
                self.store(place, self.get(to), 8)
            else:
                self.set(to, self.load(place, 8))
            self.registers["sp"] = moved
        elif word >> 24 in (0x18, 0x98):  # ldr w and ldrsw from a place near by
            value = self.load(self.const(near), 4)
            self.set(to, self.widened(value, LOW) if word >> 24 == 0x98 else value)
        elif word >> 26 in (0x05, 0x25):  # b, bl
            if word >> 26 == 0x25:
                self.set(30, self.const(at + 4))
            self.jump(at + 4 * signed(word & 0x3FFFFFF, 0x3FFFFFF))
        elif word >> 24 == 0x54 and to in (0, 1, 10, 11):  # b.eq, b.ne, b.ge, b.lt
            self.jump(near, self.flags.get("zero" if to < 2 else "less"), to in (1, 10))
        elif word == 0xD65F03C0:  # ret
            self.pc = number(self.registers.get("x30"), f"the return at {at:#x}")
        elif word == 0xD4000001:  # svc #0
            self.trap(at)
        else:
            raise self.unknown(f"{word:08x}", at)


class RiscV(SeedMachine):
    """Of 32 and 64 bits."""

    def step(self) -> None:
        at, word = self.pc, self.fetch(4)
        op, kind, to = word & 0x7F, word >> 12 & 7, word >> 7 & 31
        one, two, upper = self.get(word >> 15 & 31), self.get(word >> 20 & 31), word >> 25
        immediate, wide = signed(word >> 20, 0xFFF), self.word == 8
        size = 1 << (kind & 3)  # of loads and stores
        if op == 0x13 and kind == 0:  # addi
            self.set(to, self.add(one, immediate))
        elif op == 0x13 and kind == 1 and word >> 20 < 8 * self.word:  # slli
            self.set(to, self.of(one, lambda n: n << (word >> 20)))
        elif op == 0x33 and kind == 0 and upper in (0, 0x20):  # add, sub
            self.set(to, self.add(one, two, -1 if upper else 1))
        elif op == 0x03 and kind in ((0, 1, 2, 3, 4, 5, 6) if wide else (0, 1, 2, 4, 5)):  # loads
            value = self.load(self.add(one, immediate), size)
            extends = kind < 4 and size < self.word
            self.set(to, self.widened(value, (1 << 8 * size) - 1) if extends else value)
        elif op == 0x23 and kind <= (3 if wide else 2):  # stores
            self.store(self.add(one, signed(upper << 5 | to, 0xFFF)), two, size)
        elif op == 0x63 and kind in (0, 1, 4, 5):  # beq, bne, blt, bge
            far = (upper >> 6) << 12 | (to & 1) << 11 | (upper & 63) << 5 | to & 30
            flag = total(one, two, -1, self.mask)[1].get("less" if kind & 4 else "zero")
            self.jump(at + signed(far, 0x1FFF), flag, kind & 1)
        elif op == 0x6F and to == 0:  # j
            far = (word >> 31) << 20 | word & 0xFF000 | (word >> 20 & 1) << 11 | word >> 20 & 0x7FE
            self.jump(at + signed(far, 0x1FFFFF))
        elif word == 0x73:  # ecall
            self.trap(at)
        else:
            raise self.unknown(f"{word:08x}", at)


MACHINES: dict[str, Any] = {
    "x86": X86, "AMD64": X86, "riscv32": RiscV, "riscv64": RiscV, "AArch64": AArch64,
}  # fmt: skip


# The proof.

_VALUE = re.compile(r"(sp|in|out|-out|word [0-3])([+-]\d{1,4})?|(0x[0-9a-f]{1,16})")
_WRONG = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
_WORDS = ("G is a digit of value 16", "a carriage return ends a comment")


def decide(text: bytes, seed: bytes) -> tuple[int, str]:
    """Exit status, and what it means in one line: 0 proven, 1 not proven, 2 no certificate."""
    digest = hashlib.sha256(seed).hexdigest()
    try:
        if max(len(text), len(seed)) > MAX_FILE:
            raise ValueError("larger than a certificate is")
        return 0, _check(text, seed, digest)
    except Refused as error:
        return 1, f"NOT proven: {error}"
    except _WRONG as error:
        return 2, f"no certificate of this kind: {type(error).__name__}: {str(error)[:80]!r}"


def _check(text: bytes, seed: bytes, digest: str) -> str:
    found = json.loads(text, object_pairs_hook=_once)
    if found["format"] != FORMAT or found["arch"] not in MACHINES:
        raise ValueError("another format or architecture")
    if found["sha256"] != digest:
        raise Refused("the certificate is of another seed")
    if not set(found["zero"]) <= {*CONVENTIONS[found["arch"]].names} - {"esp", "rsp", *_NAMES}:
        raise ValueError("no names of registers that Linux clears")  # on RISC-V it clears none
    proof = _Proof(found, seed)
    proof.start(found["zero"])
    for number, row in enumerate(proof.rows):
        for byte in range(256):
            (target,) = (to for first, last, to in row["next"] if first <= byte <= last)
            proof.go(number, byte, target)
        proof.go(number, None, 0)
    if changed := proof.image.stored & (proof.image.executed | proof.image.constant):
        raise Refused(f"the seed changes its own byte at {min(changed):#x}")
    notes = [text for text, on in zip(_WORDS, proof.dialect, strict=True) if on]
    notes += [f"{name} is 0 at the start" for name in found["zero"]]
    return (
        f"proven for all inputs: the {len(seed)} bytes {digest} are hex0 for {proof.arch}"
        f"{', where ' * bool(notes)}{' and '.join(notes)}: {len(proof.rows)} states, "
        f"{257 * len(proof.rows)} transitions recomputed"
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _value(text: str, mask: int) -> tuple[str, int]:
    if not (found := _VALUE.fullmatch(text)):
        raise ValueError(f"no value: {text}")
    return found[1] or "", int(found[3] or found[2] or "0", 16 if found[3] else 10) & mask


class _Proof:
    def __init__(self, proof: Any, seed: bytes) -> None:
        self.arch, self.rows = proof["arch"], proof["states"]
        self.dialect = bool(proof["language"]["G"]), bool(proof["language"]["CR"])
        self.image = SeedImage(seed, self.arch)
        self.classes: list[Class] = [(row["comment"], row["held"]) for row in self.rows]
        self.states = list(map(self._state, self.rows))
        self.work = 0

    def _state(self, row: Any) -> SeedMachine:
        """A state of the certificate: what it does not list has no value."""
        m: SeedMachine = MACHINES[self.arch](self.image)
        m.pc, m.buffer = int(row["at"], 16), _value(row["buffer"], m.mask)
        for name, text in row["values"].items():
            value = _value(text, m.mask)
            if name[:1] == "[" and name[-1:] == "]":
                base, at = _value(name[1:-1], m.mask)
                m.put((base, signed(at, m.mask) if base else at), value, m.word)
            else:
                m.registers[name] = value
        return m

    def _run(self, m: Any) -> None:
        self.work += len(m.registers) + len(m.memory)
        most = min(self.work + MAX_PATH, MAX_WORK)
        while not m.ended:
            self.work += 1
            if self.work > most:
                raise Refused(f"{MAX_PATH} instructions without a read, or {MAX_WORK} in all")
            m.step()

    def _arrive(self, m: SeedMachine, target: int, now: Class) -> None:
        """Raises Refused unless ``m`` is an instance of the state ``target``, of the class."""
        wide = self.states[target]
        reached = m.ended, m.pc, m.buffer, now
        holds = reached == ("read", wide.pc, wide.buffer, self.classes[target])
        holds = holds and wide.registers.items() <= m.registers.items()
        if not holds or not wide.memory.items() <= m.memory.items():
            raise Refused(f"what is reached at {m.pc:#x} is no state {target} of the certificate")

    def start(self, zero: list[str]) -> None:
        """From the first instruction to the first read."""
        m = MACHINES[self.arch](self.image)
        m.registers |= dict.fromkeys(zero, ZERO) | {m.arch.sp: ("sp", 0)}
        for n in range(4):
            m.put(("sp", n * m.word), (f"word {n}", 0), m.word)
        self._run(m)
        self._arrive(m, 0, START)
        if m.written:
            raise Refused("it writes before it reads")
        if any(base and at >= 4 * m.word for base, at in m.memory):
            raise Refused("it stores above its arguments, where their text may stand")
        if m.opened != [(("word 2", 0), 0, 0), (("word 3", 0), 0x241, 0o700)]:
            raise Refused("it does not open argv[1] to be read and argv[2] to be written")

    def go(self, number: int, byte: int | None, target: int) -> None:
        """One transition; byte None: the end of the file. Raises Refused."""
        m = self.states[number].copy()
        m.go_on(("", 0 if byte is None else 1))
        now, due = self.classes[number], b""
        if byte is not None:
            m.store(m.buffer, ("", byte), 1)
            now, due = step(now, byte, *self.dialect)
        self._run(m)
        if m.written != due or m.opened:
            raise Refused(
                f"state {number}, byte {byte}: it writes '{m.written.hex()}', not '{due.hex()}'"
            )
        if byte is not None:
            self._arrive(m, target, now)
        elif m.ended != "exit 0":
            raise Refused(f"state {number}: it does not end well at the end of the file")


def main() -> int:
    """The command."""
    if len(sys.argv) != 3:
        print("usage: python -I -m bootstrap.prove.check CERTIFICATE SEED", file=sys.stderr)
        return 2
    try:
        files = [open(name, "rb").read(MAX_FILE + 1) for name in sys.argv[1:]]  # noqa: SIM115
    except OSError as error:
        print(f"{error.filename!r}: cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    status, line = decide(*files)
    print(line, file=sys.stderr if status else sys.stdout)
    return status


if __name__ == "__main__":
    sys.exit(main())
