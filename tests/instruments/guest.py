"""Guest programs from raw machine code, with an ELF writer: no compiler is needed.

A program is the same list of calls for both ABIs; only the bytes differ. Instructions are from the
Intel SDM, volume 2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from bootstrap.linux import numbers_i386, numbers_x86_64

CODE = 0x40_0000
DATA = 0x80_0000
"""Where the two segments go; both fit in 31 bits, so every address is an imm32."""

EHDR = {
    "i386": struct.Struct("<16sHHIIIIIHHHHHH"),
    "x86_64": struct.Struct("<16sHHIQQQIHHHHHH"),
}
PHDR = {"i386": struct.Struct("<IIIIIIII"), "x86_64": struct.Struct("<IIQQQQQQ")}
NUMBERS = {"i386": numbers_i386.NUMBERS, "x86_64": numbers_x86_64.NUMBERS}
ABIS = ("i386", "x86_64")
R, W, X = 4, 2, 1
PT_LOAD, PT_INTERP, PT_GNU_STACK = 1, 3, 0x6474E551
MACHINE = {"i386": 3, "x86_64": 62}
PAGE = 4096


@dataclass(frozen=True)
class Cell:
    """A word in guest memory, given as an argument by its content."""

    guest_addr: int


@dataclass(frozen=True)
class Load:
    """A program header and the bytes of its part of the file."""

    vaddr: int
    data: bytes
    flags: int
    memory_size: int | None = None
    kind: int = PT_LOAD


def elf(
    abi: str, entry: int, segments: list[Load], kind: int = 2, machine: int | None = None
) -> bytes:
    """An ELF file: header, program headers, then each segment at a page's start."""
    ehdr, phdr = EHDR[abi], PHDR[abi]
    ident = b"\x7fELF" + bytes((1 if abi == "i386" else 2, 1, 1)) + bytes(9)
    head = ehdr.pack(
        ident, kind, MACHINE[abi] if machine is None else machine, 1, entry, ehdr.size, 0, 0,
        ehdr.size, phdr.size, len(segments), 0, 0, 0,
    )  # fmt: skip
    image = bytearray(head + bytes(phdr.size * len(segments)))
    for index, segment in enumerate(segments):
        image += bytes(-len(image) % PAGE)
        offset, size = len(image), len(segment.data)
        image += segment.data
        memory = size if segment.memory_size is None else segment.memory_size
        row = (
            (segment.kind, offset, segment.vaddr, segment.vaddr, size, memory, segment.flags, PAGE)
            if abi == "i386"
            else
            (segment.kind, segment.flags, offset, segment.vaddr, segment.vaddr, size, memory, PAGE)
        )  # fmt: skip
        phdr.pack_into(image, ehdr.size + index * phdr.size, *row)
    return bytes(image)


def tiny(size: int) -> bytes:
    """A program header from byte 4 on, within the ELF header; what is cut off is zero."""
    base = 0x10000
    text = b"\x7fELF" + struct.pack("<IIIHHIII", 1, 0, base, 2, 3, base + 32, base + 32, 4)
    text += bytes.fromhex("b32a 31c0 40 cd80 909090") + struct.pack("<HH", 32, 1)  # exit(42)
    return text.ljust(64, b"\0")[:size]


_Setters = tuple[bytes, bytes]
"""Into a register: mov from an immediate, mov from [disp32]; each without its operand."""
_NUMBER: dict[str, _Setters] = {
    "i386": (b"\xb8", b"\x8b\x05"),
    "x86_64": (b"\x48\xb8", b"\x48\x8b\x04\x25"),
}
_ARGUMENTS: dict[str, tuple[_Setters, ...]] = {
    "i386": (
        (b"\xbb", b"\x8b\x1d"), (b"\xb9", b"\x8b\x0d"), (b"\xba", b"\x8b\x15"),
        (b"\xbe", b"\x8b\x35"), (b"\xbf", b"\x8b\x3d"), (b"\xbd", b"\x8b\x2d"),
    ),
    "x86_64": (
        (b"\x48\xbf", b"\x48\x8b\x3c\x25"), (b"\x48\xbe", b"\x48\x8b\x34\x25"),
        (b"\x48\xba", b"\x48\x8b\x14\x25"), (b"\x49\xba", b"\x4c\x8b\x14\x25"),
        (b"\x49\xb8", b"\x4c\x8b\x04\x25"), (b"\x49\xb9", b"\x4c\x8b\x0c\x25"),
    ),
}  # fmt: skip


@dataclass
class Program:
    """A guest program under construction."""

    abi: str
    code: bytearray = field(default_factory=bytearray)
    memory: bytearray = field(default_factory=bytearray)
    labels: dict[str, int] = field(default_factory=dict)
    _jumps: list[tuple[int, str]] = field(default_factory=list)

    @property
    def word(self) -> int:
        return 4 if self.abi == "i386" else 8

    @property
    def here(self) -> int:
        """Address of the next instruction."""
        return CODE + len(self.code)

    # Data.

    def data(self, content: bytes) -> int:
        """Put bytes into the data segment; their address, a multiple of 16."""
        self.memory += bytes(-len(self.memory) % 16)
        at = DATA + len(self.memory)
        self.memory += content
        return at

    def text(self, content: bytes) -> int:
        """A C string."""
        return self.data(content + b"\0")

    def space(self, size: int) -> int:
        return self.data(bytes(size))

    def words(self, *values: int) -> int:
        """An array of words, for argv and envp."""
        mask = (1 << (8 * self.word)) - 1
        return self.data(b"".join((v & mask).to_bytes(self.word, "little") for v in values))

    # Code.

    def raw(self, content: bytes | str) -> Program:
        """Machine code, as bytes or in hex."""
        self.code += bytes.fromhex(content) if isinstance(content, str) else content
        return self

    def label(self, name: str) -> Program:
        assert name not in self.labels
        self.labels[name] = len(self.code)
        return self

    def _jump(self, opcode: bytes, name: str) -> Program:
        self.code += opcode
        self._jumps.append((len(self.code), name))
        self.code += bytes(4)
        return self

    def jmp(self, name: str) -> Program:
        return self._jump(b"\xe9", name)

    def call_near(self, name: str) -> Program:
        """Call a subroutine."""
        return self._jump(b"\xe8", name)

    def poke(self, guest_addr: int, byte: int) -> Program:
        """Write one byte of memory."""
        modrm = b"\xc6\x05" if self.abi == "i386" else b"\xc6\x04\x25"
        return self.raw(modrm + struct.pack("<IB", guest_addr, byte))

    def jump_if_zero(self, name: str) -> Program:
        """Jump when the result register is 0 (the child, after fork)."""
        return self._test()._jump(b"\x0f\x84", name)

    def jump_if_not_zero(self, name: str) -> Program:
        return self._test()._jump(b"\x0f\x85", name)

    def jump_if_negative(self, name: str) -> Program:
        """Jump when the result is an error."""
        return self._test()._jump(b"\x0f\x88", name)

    def _test(self) -> Program:
        return self.raw("85c0" if self.abi == "i386" else "4885c0")

    def store(self, guest_addr: int) -> Program:
        """The result register into a word of memory."""
        if self.abi == "i386":
            return self.raw(b"\xa3" + struct.pack("<I", guest_addr))
        return self.raw(b"\x48\xa3" + struct.pack("<Q", guest_addr))

    def load(self, guest_addr: int) -> Program:
        """A word of memory into the result register."""
        if self.abi == "i386":
            return self.raw(b"\xa1" + struct.pack("<I", guest_addr))
        return self.raw(b"\x48\xa1" + struct.pack("<Q", guest_addr))

    def decrement(self, guest_addr: int) -> Program:
        """One less in a word of memory; the new value is in the result register."""
        return self.load(guest_addr).raw("48" if self.abi == "i386" else "48ffc8").store(guest_addr)

    def call(self, name: str | int, *args: int | Cell) -> Program:
        """A system call by name or number; an argument is a number or a Cell."""
        for arg, setters in zip(args, _ARGUMENTS[self.abi], strict=False):
            self._set(setters, arg)
        number = NUMBERS[self.abi][name] if isinstance(name, str) else name
        self._set(_NUMBER[self.abi], number)
        return self.raw("cd80" if self.abi == "i386" else "0f05")

    def _set(self, setters: _Setters, value: int | Cell) -> None:
        immediate, memory = setters
        if isinstance(value, Cell):
            self.raw(memory + struct.pack("<I", value.guest_addr))
        else:
            mask = (1 << (8 * self.word)) - 1
            self.raw(immediate + (value & mask).to_bytes(self.word, "little"))

    def call_and_report(self, name: str | int, *args: int | Cell) -> Program:
        """A system call whose result is then written to descriptor 1, a word."""
        cell = self.space(8)
        return self.call(name, *args).store(cell).call("write", 1, cell, self.word)

    def thread_pointer(self, guest_addr: int) -> Program:
        """What lies there is at gs:0 from here on, or on x86-64 at fs:0."""
        if self.abi == "x86_64":
            return self.call("arch_prctl", 0x1002, guest_addr)
        # struct user_desc: entry 12, all memory, 32-bit, limit in pages, useable
        area = self.data(struct.pack("<4I", 12, guest_addr, 0xFFFFF, 0x51))
        return self.call("set_thread_area", area).raw("b863000000" + "8ee8")  # mov gs, 0x63

    def load_from_thread(self, offset: int) -> Program:
        """A word from there into the result register."""
        if self.abi == "i386":
            return self.raw(b"\x65\xa1" + struct.pack("<I", offset))
        return self.raw(b"\x64\x48\x8b\x04\x25" + struct.pack("<I", offset))

    def exit(self, code: int | Cell = 0) -> Program:
        return self.call("exit", code)

    def exit_with_result(self) -> Program:
        """Exit with the low byte of the result register."""
        if self.abi == "i386":
            return self.raw("89c3" + "b801000000" + "cd80")
        return self.raw("4889c7" + "48b83c00000000000000" + "0f05")

    # The file.

    def elf(self, code_flags: int = R | X, stack: int | None = R | W) -> bytes:
        """The program as an ELF file; `stack` None leaves PT_GNU_STACK out."""
        for at, name in self._jumps:
            self.code[at : at + 4] = struct.pack("<i", self.labels[name] - at - 4)
        segments = [Load(CODE, bytes(self.code), code_flags)]
        if self.memory:
            segments.append(Load(DATA, bytes(self.memory), R | W))
        if stack is not None:
            segments.append(Load(0, b"", stack, kind=PT_GNU_STACK))
        return elf(self.abi, CODE, segments)
