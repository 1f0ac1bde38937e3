"""A seed in memory, and the four system calls that hex0 makes."""

from bootstrap.prove.check.values import LOW, NOTHING, Refused, Value, const, low, number

REACH = 256
"""Bytes on either side of the first stack pointer: Linux maps more than that there."""
_ELF = {"x86": (3, 1), "AMD64": (62, 2), "AArch64": (183, 2), "riscv64": (243, 2),
        "riscv32": (243, 1)}  # fmt: skip
_CALLS = {
    "x86": {1: "exit", 3: "read", 4: "write", 5: "open"},
    "AMD64": {60: "exit", 0: "read", 1: "write", 2: "open"},
}
_GENERIC = {93: "exit", 63: "read", 64: "write", 56: "openat"}


class Image:
    """The one segment of a seed, and what all paths together did with it."""

    def __init__(self, data: bytes, arch: str) -> None:
        machine, kind = _ELF[arch]
        word = self.word = 4 * kind

        def field(at: int, size: int) -> int:
            return int.from_bytes(data[at : at + size], "little")

        head = field(24 + word, word)
        count = field(44 if kind == 1 else 56, 2)
        about = data[:6], field(16, 2), field(18, 2), count, field(head, 4)
        if about != (b"\x7fELF" + bytes((kind, 1)), 2, machine, 1, 1):
            raise Refused(f"the seed is no program of one segment for {arch}")
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

    def fetch(self, addr: int, size: int) -> bytes:
        """Bytes of an instruction."""
        self.executed.update(range(addr, addr + size))
        return bytes(self.byte(addr + n) for n in range(size))

    def settle(self) -> None:
        """Raises Refused if anything was taken for constant that is not."""
        if changed := self.stored & (self.executed | self.constant):
            raise Refused(f"the seed changes its own byte at {min(changed):#x}")


class Machine:
    """Registers and memory at one moment. Memory is by bytes: (base, address) -> value, index."""

    def __init__(self, image: Image, arch: str) -> None:
        self.image, self.arch = image, arch
        self.word, self.mask = image.word, (1 << 8 * image.word) - 1
        self.calls = _CALLS.get(arch, _GENERIC)
        self.pc = image.entry
        self.registers: dict[str, Value] = {}
        self.memory: dict[tuple[str, int], tuple[Value, int]] = {}
        self.flags: dict[str, bool | None] = {}
        self.opened: list[tuple[tuple[str, int], int, int]] = []
        self.written = b""
        self.ended = ""
        self.buffer = NOTHING

    def copy(self) -> "Machine":
        """The same once more, with no calls made."""
        other = Machine(self.image, self.arch)
        other.pc, other.buffer = self.pc, self.buffer
        other.registers, other.memory = dict(self.registers), dict(self.memory)
        return other

    def byte(self, place: tuple[str, int]) -> Value:
        """Of memory; a byte of a symbol is that symbol with the byte's index."""
        value, n = self.memory.get(place, (NOTHING, 0))
        return (f"{value[0]}.{n}", *value[1:]) if value[0] else (
            "", value[1] >> 8 * n & 0xFF, value[2] >> 8 * n & 0xFF)  # fmt: skip

    def get(self, name: str) -> Value:
        """A register."""
        return self.registers.get(name, NOTHING)

    def _place(self, address: Value) -> tuple[str, int]:
        if address[0] == "sp":
            offset = address[1] - (self.mask + 1 if address[1] > self.mask >> 1 else 0)
            if abs(offset) > REACH - 8:
                raise Refused(f"the stack is used {offset} bytes from its start, at {self.pc:#x}")
            return "sp", offset
        return "", number(address, self.mask, f"an address, at {self.pc:#x},")

    def load(self, address: Value, size: int) -> Value:
        """Little-endian. Raises Refused."""
        base, at = self._place(address)
        parts: list[tuple[Value, int]] = []
        for place in ((base, at + n) for n in range(size)):
            if not base and not self.image.readable:
                raise Refused(f"a load from memory that may not be read, at {self.pc:#x}")
            if not base and place not in self.memory:
                self.image.constant.add(place[1])
                parts.append((const(self.image.byte(place[1]), 0xFF), 0))
            else:
                parts.append(self.memory.get(place, (NOTHING, 0)))
        first = parts[0][0]
        if first[0]:  # a symbol is whole, or nothing
            whole = size >= 4 and parts == [(first, n) for n in range(size)]
            return low(first, (1 << 8 * size) - 1) if whole else NOTHING
        found = known = 0
        for n, (value, index) in enumerate(parts):
            if not value[0]:
                found |= (value[1] >> 8 * index & 0xFF) << 8 * n
                known |= (value[2] >> 8 * index & 0xFF) << 8 * n
        return "", found, known

    def store(self, address: Value, value: Value, size: int) -> None:
        """Little-endian. Raises Refused."""
        base, at = self._place(address)
        value = low(value, (1 << 8 * size) - 1)
        for n in range(size):
            if not base:
                self.image.byte(at + n)
                self.image.stored.add(at + n)
                if not self.image.writable:
                    raise Refused(f"a store to memory that may not be written, at {self.pc:#x}")
            self.memory[base, at + n] = value, n

    def jump_if(self, taken: bool | None, target: int) -> None:
        """Raises Refused where nobody knows whether."""
        if taken is None:
            raise Refused(f"the branch before {self.pc:#x} hangs on what has no value")
        if taken:
            self.pc = target & self.mask

    def call(self, call: Value, *given: Value) -> Value | None:
        """A system call: its result, or None where the path ends. Raises Refused."""
        where = f"of the system call at {self.pc:#x}"
        which = number(call, self.mask, f"the number {where}")
        name, arguments = self.calls.get(which), list(given)
        at_fdcwd = const(-100, LOW)[1]
        if name == "openat" and number(arguments.pop(0), LOW, f"a folder {where}") != at_fdcwd:
            raise Refused(f"the folder {where} is not the current one")
        if name in ("open", "openat"):
            flags = number(arguments[1], LOW, f"a flag {where}")
            mode = number(arguments[2], 0o7777, f"the mode {where}") if flags & 0o100 else 0
            self.opened.append((arguments[0][:2], flags, mode))
            return ("in" if len(self.opened) == 1 else "out"), 0, self.mask
        if name == "exit":
            self.ended = f"exit {number(arguments[0], 0xFF, f'the status {where}')}"
            return None
        if name not in ("read", "write"):
            raise Refused(f"the number {where} is {which}, which hex0 does not need")
        if arguments[0][:2] != ("in" if name == "read" else "out", 0):
            raise Refused(f"the descriptor {where} is another than hex0 means")
        if number(arguments[2], self.mask, f"the size {where}") != 1:
            raise Refused(f"the size {where} is not 1")
        if name == "read":
            self.ended, self.buffer = "read", arguments[1]
            return None
        self.written += bytes((number(self.load(arguments[1], 1), 0xFF, f"the byte {where}"),))
        return NOTHING  # whatever write gives
