"""A seed in memory, what is known of each value there, and the four system calls that hex0 makes.

Of a value all is known, `(symbol, number)`, which stands for symbol + number; or nothing, None.
Symbols: none; `sp`, the first stack pointer; `word N`, what stood N words above it; `in`, what the
first open gave, and `out`, the second (1 to 2**31 - 1); `-out`, 2**32 - out.
"""

import copy
from collections.abc import Mapping
from typing import NamedTuple

Value = tuple[str, int] | None
LOW = 0xFFFFFFFF
REACH = 256
"""Bytes on either side of the first stack pointer: Linux maps more than that there."""


class Refused(Exception):
    """The certificate does not hold, or the checker cannot follow: never a proof."""


class CallingConvention(NamedTuple):
    """An ELF machine, bytes of a word, and how Linux is called (syscall(2))."""

    machine: int
    word: int
    calls: Mapping[int, str]
    sp: str
    call: tuple[str, ...]
    """Registers of the number and of the arguments."""
    result: str
    trap_size: int = 4
    lost: tuple[str, ...] = ()
    """Other registers that a call leaves without a value."""


_GENERIC = {93: "exit", 63: "read", 64: "write", 56: "openat"}
_RISCV = _GENERIC, "sp", ("a7", "a0", "a1", "a2", "a3"), "a0"
ARCHES = {
    "x86": CallingConvention(3, 4, {1: "exit", 3: "read", 4: "write", 5: "open"},
                "esp", ("eax", "ebx", "ecx", "edx"), "eax", 2),
    "AMD64": CallingConvention(62, 8, {60: "exit", 0: "read", 1: "write", 2: "open"},
                  "rsp", ("rax", "rdi", "rsi", "rdx"), "rax", 2, ("rcx", "r11")),
    "AArch64": CallingConvention(183, 8, _GENERIC, "sp", ("x8", "x0", "x1", "x2", "x3"), "x0"),
    "riscv64": CallingConvention(243, 8, *_RISCV),
    "riscv32": CallingConvention(243, 4, *_RISCV),
}  # fmt: skip


def number(value: Value, what: str) -> int:
    """The number that it is. Raises Refused."""
    if value is None or value[0]:
        raise Refused(f"{what} hangs on what has no value")
    return value[1]


def low(a: Value, mask: int, full: int) -> Value:
    """The low part of a register, whose bits are ``full``. `out` and `-out` fit into 32 bits."""
    if a is None or not a[0]:
        return a and ("", a[1] & mask)
    return a if mask == full or (mask == LOW and a[0] in ("out", "-out")) else None


def sign_of(a: Value, mask: int) -> bool | None:
    """Whether the top bit of ``mask`` is set; None: not known."""
    if a is None or a[0]:
        return {"out": False, "-out": True if mask == LOW else None}.get(a[0] if a else "")
    return a[1] > mask >> 1


def is_zero(a: Value) -> bool | None:
    """None: not known."""
    return None if a is None or a[0] not in ("", "out", "-out") else a == ("", 0)


class SeedImage:
    """The one segment of a seed, and what all paths together did with it."""

    def __init__(self, data: bytes, name: str) -> None:
        self.arch = arch = ARCHES[name]
        word, kind = arch.word, arch.word // 4

        def field(at: int, size: int) -> int:
            return int.from_bytes(data[at : at + size], "little")

        head = field(24 + word, word)
        count = field(44 if kind == 1 else 56, 2)
        about = data[:6], field(16, 2), field(18, 2), count, field(head, 4)
        if about != (b"\x7fELF" + bytes((kind, 1)), 2, arch.machine, 1, 1):
            raise Refused(f"the seed is no program of one segment for {name}")
        first = head + (4 if kind == 1 else 8)
        offset, self.addr, _, size, memory = (field(first + n * word, word) for n in range(5))
        flags = field(head + (24 if kind == 1 else 4), 4)
        if offset + size > len(data) or size != memory or not flags & 1:
            raise Refused("the seed's segment is not code that its file holds")
        self.entry, self.bytes = field(24, word), data[offset : offset + size]
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

    def settle(self) -> None:
        """Raises Refused if anything was taken for constant that is not."""
        if changed := self.stored & (self.executed | self.constant):
            raise Refused(f"the seed changes its own byte at {min(changed):#x}")


class SeedMachine:
    """Registers and memory at one moment."""

    def __init__(self, image: SeedImage) -> None:
        self.image, self.arch, self.word = image, image.arch, image.arch.word
        self.mask = (1 << 8 * self.word) - 1
        self.pc = image.entry
        self.registers: dict[str, Value] = {}
        self.memory: dict[tuple[str, int], int | tuple[Value, int] | None] = {}
        """(base, address) -> a byte; which byte of a symbol; or nothing."""
        self.flags: dict[str, bool | None] = {}
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

    def const(self, number: int) -> Value:
        """A number, as a register holds it."""
        return "", number & self.mask

    def add(self, a: Value, b: Value, sign: int = 1, mask: int = 0) -> Value:
        """a + b, or a - b with ``sign`` -1; ``mask``: of fewer bits than a register has."""
        if a is None or b is None or b[0] or a[0] not in ("", "sp"):
            return None
        return a[0], (a[1] + sign * b[1]) & (mask or self.mask)

    def left(self, a: Value, by: int, mask: int = 0) -> Value:
        """a << by; ``mask`` as above."""
        return None if a is None or a[0] else ("", a[1] << by & (mask or self.mask))

    def widened(self, a: Value, mask: int) -> Value:
        """A low part, whose bits are ``mask``, with its sign above it."""
        sign = sign_of(a, mask)
        if a is None or sign is None or (sign and a[0]):
            return None
        return a[0], a[1] | (self.mask - mask if sign else 0)

    def fetch(self, size: int) -> int:
        """The next bytes of an instruction."""
        places = range(self.pc, self.pc + size)
        self.image.executed.update(places)
        self.pc += size
        return int.from_bytes(bytes(map(self.image.byte, places)), "little")

    def _place(self, address: Value) -> tuple[str, int]:
        if address and address[0] == "sp":
            offset = address[1] - (self.mask + 1 if address[1] > self.mask >> 1 else 0)
            if abs(offset) > REACH - 8:
                raise Refused(f"the stack is used {offset} bytes from its start, at {self.pc:#x}")
            return "sp", offset
        return "", number(address, f"an address, at {self.pc:#x},")

    def load(self, address: Value, size: int) -> Value:
        """Little-endian. Raises Refused."""
        base, at = self._place(address)
        if not base and not self.image.readable:
            raise Refused(f"a load from memory that may not be read, at {self.pc:#x}")
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
        return low(whole, (1 << 8 * size) - 1, self.mask) if same else None

    def store(self, address: Value, value: Value, size: int) -> None:
        """Little-endian. Raises Refused."""
        base, at = self._place(address)
        if not base and not self.image.writable:
            raise Refused(f"a store to memory that may not be written, at {self.pc:#x}")
        for n in range(size):
            if not base:
                self.image.byte(at + n)
                self.image.stored.add(at + n)
        self.put((base, at), low(value, (1 << 8 * size) - 1, self.mask), size)

    def put(self, place: tuple[str, int], value: Value, size: int) -> None:
        """Byte by byte."""
        for n in range(size):
            byte = value and ((value, n) if value[0] else value[1] >> 8 * n & 0xFF)
            self.memory[place[0], place[1] + n] = byte

    def jump_if(self, taken: bool | None, target: int) -> None:
        """Raises Refused where nobody knows whether."""
        if taken is None:
            raise Refused(f"the branch before {self.pc:#x} hangs on what has no value")
        if taken:
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
            self.go_on(("in" if len(self.opened) == 1 else "out", 0))
        elif name == "exit":
            self.ended = f"exit {number(given[0], f'the status {where}') & 0xFF}"
        elif name not in ("read", "write"):
            raise Refused(f"the number {where} is {which}, which hex0 does not need")
        elif given[0] != ("in" if name == "read" else "out", 0):
            raise Refused(f"the descriptor {where} is another than hex0 means")
        elif number(given[2], f"the size {where}") != 1:
            raise Refused(f"the size {where} is not 1")
        elif name == "read":
            self.ended, self.buffer = "read", given[1]
        else:
            self.written += bytes((number(self.load(given[1], 1), f"the byte {where}"),))
            self.go_on(None)  # whatever write gives
