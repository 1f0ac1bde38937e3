"""A seed in memory, and the four system calls that hex0 makes."""

from bootstrap.prove.check.values import LOW, Refused, Value, low, number

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
    """Registers and memory at one moment."""

    def __init__(self, image: Image, arch: str) -> None:
        self.image, self.arch = image, arch
        self.word, self.mask = image.word, (1 << 8 * image.word) - 1
        self.calls = _CALLS.get(arch, _GENERIC)
        self.pc = image.entry
        self.registers: dict[str, Value] = {}
        self.memory: dict[tuple[str, int], int | tuple[Value, int] | None] = {}
        """(base, address) -> a byte; which byte of a symbol; or nothing."""
        self.flags: dict[str, bool | None] = {}
        self.opened: list[tuple[Value, int, int]] = []
        self.written = b""
        self.ended = ""
        self.buffer: Value = None

    def copy(self) -> "Machine":
        """The same once more, with no calls made."""
        other = Machine(self.image, self.arch)
        other.pc, other.buffer = self.pc, self.buffer
        other.registers, other.memory = dict(self.registers), dict(self.memory)
        return other

    def get(self, name: str) -> Value:
        """A register."""
        return self.registers.get(name)

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

    def call(self, call: Value, *given: Value) -> Value:
        """A system call: its result; with `ended`, the path ends. Raises Refused."""
        where = f"of the system call at {self.pc:#x}"
        which = number(call, f"the number {where}")
        name, arguments = self.calls.get(which), list(given)
        at_fdcwd = -100 & self.mask
        if name == "openat" and number(arguments.pop(0), f"the folder {where}") != at_fdcwd:
            raise Refused(f"the folder {where} is not the current one")
        if name in ("open", "openat"):
            flags = number(arguments[1], f"a flag {where}") & LOW
            mode = number(arguments[2], f"the mode {where}") & 0o7777 if flags & 0o100 else 0
            self.opened.append((arguments[0], flags, mode))
            return ("in" if len(self.opened) == 1 else "out"), 0
        if name == "exit":
            self.ended = f"exit {number(arguments[0], f'the status {where}') & 0xFF}"
            return None
        if name not in ("read", "write"):
            raise Refused(f"the number {where} is {which}, which hex0 does not need")
        if arguments[0] != ("in" if name == "read" else "out", 0):
            raise Refused(f"the descriptor {where} is another than hex0 means")
        if number(arguments[2], f"the size {where}") != 1:
            raise Refused(f"the size {where} is not 1")
        if name == "read":
            self.ended, self.buffer = "read", arguments[1]
            return None
        self.written += bytes((number(self.load(arguments[1], 1), f"the byte {where}"),))
        return None  # whatever write gives
