"""The core's guest programs for i386 and x86_64, by name, with more calls and instructions.

Instructions are from the Intel SDM, volume 2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

from bootstrap.core.arches import AMD64, X86
from bootstrap.linux.numbers import NUMBERS
from tests.core import guest as core
from tests.core.guest import CODE, DATA, Cell, Load, R, W, X, tiny

ARCHES = {"i386": X86, "x86_64": AMD64}
ABIS = ("i386", "x86_64")


def elf(
    abi: str, entry: int, segments: list[Load], kind: int = 2, machine: int | None = None
) -> bytes:
    """An ELF file: header, program headers, then each segment at a page's start."""
    return core.elf(ARCHES[abi], entry, segments, kind, machine)


@dataclass(init=False)
class Program(core.Program):
    """A guest program under construction."""

    def __init__(self, abi: str) -> None:
        super().__init__(ARCHES[abi])
        self.abi = abi
        self.word = self.arch.word

    def call(self, name: str | int, *args: int | Cell) -> Self:
        """A system call by name or number; an argument is a number or a Cell."""
        return super().call(NUMBERS[self.abi][name] if isinstance(name, str) else name, *args)

    def call_and_report(self, name: str | int, *args: int | Cell) -> Self:
        """A system call whose result is then written to descriptor 1, a word."""
        return self.call(name, *args).report()

    def jmp(self, name: str) -> Self:
        return self.jump(name)

    def call_near(self, name: str) -> Self:
        """Call a subroutine."""
        return self.jump(name, "call")

    def jump_if_zero(self, name: str) -> Self:
        """Jump when the result register is 0 (the child, after fork)."""
        return self.jump(name, "zero")

    def jump_if_not_zero(self, name: str) -> Self:
        return self.jump(name, "not zero")

    def jump_if_negative(self, name: str) -> Self:
        """Jump when the result is an error."""
        return self.jump(name, "negative")

    def load(self, guest_addr: int, register: int = core.RESULT) -> Self:
        """A word of memory, which may be anywhere, into the result register."""
        if register != core.RESULT:
            return super().load(guest_addr, register)
        if self.abi == "i386":
            return self.raw(b"\xa1" + struct.pack("<I", guest_addr))
        return self.raw(b"\x48\xa1" + struct.pack("<Q", guest_addr))

    def poke(self, guest_addr: int, byte: int) -> Self:
        """Write one byte of memory."""
        modrm = b"\xc6\x05" if self.abi == "i386" else b"\xc6\x04\x25"
        return self.raw(modrm + struct.pack("<IB", guest_addr, byte))

    def decrement(self, guest_addr: int) -> Self:
        """One less in a word of memory; the new value is in the result register."""
        return self.load(guest_addr).raw("48" if self.abi == "i386" else "48ffc8").store(guest_addr)

    def thread_pointer(self, guest_addr: int) -> Self:
        """What lies there is at gs:0 from here on, or on x86-64 at fs:0."""
        if self.abi == "x86_64":
            return self.call("arch_prctl", 0x1002, guest_addr)
        # struct user_desc: entry 12, all memory, 32-bit, limit in pages, useable
        area = self.data(struct.pack("<4I", 12, guest_addr, 0xFFFFF, 0x51))
        return self.call("set_thread_area", area).raw("b863000000" + "8ee8")  # mov gs, 0x63

    def load_from_thread(self, offset: int) -> Self:
        """A word from there into the result register."""
        if self.abi == "i386":
            return self.raw(b"\x65\xa1" + struct.pack("<I", offset))
        return self.raw(b"\x64\x48\x8b\x04\x25" + struct.pack("<I", offset))

    def exit_with_result(self) -> Self:
        """Exit with the low byte of the result register."""
        if self.abi == "i386":
            return self.raw("89c3" + "b801000000" + "cd80")
        return self.raw("4889c7" + "48b83c00000000000000" + "0f05")


__all__ = [
    "ABIS",
    "CODE",
    "DATA",
    "NUMBERS",
    "Cell",
    "Load",
    "Program",
    "R",
    "W",
    "X",
    "elf",
    "tiny",
]
