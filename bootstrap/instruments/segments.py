"""The descriptor table of an i386 program: its two flat segments, and those of set_thread_area(2).

A program must not see the table, and a 32-bit CPU can only have it where the program's memory is.
So it is out of reach (its limit is 0) but for one instruction at a time: one that loads a segment
register is refused, having read all that it reads of memory, and runs once more with the table at
an address where no program has memory. As on Linux, a refused instruction is refused twice then.
"""

import struct

from bootstrap.linux.arch import PAGE
from bootstrap.linux.pages import Extent

TABLE = 0xFFFFF000
"""Above all that a process may map (bootstrap.linux.arch, I386.task_size)."""
LIMIT = 16 * 8 - 1
"""Linux's has sixteen entries (arch/x86/include/asm/segment.h, GDT_ENTRIES)."""
CS32, DATA, CS64 = 0x23, 0x2B, 0x33
"""Linux's user selectors (the same file)."""
_TLS = {f"tls{entry}": slice(8 * entry, 8 * entry + 8) for entry in (12, 13, 14)}


def flat_segment(access: int, flags: int) -> bytes:
    """A segment descriptor over all memory (Intel SDM volume 3, figure 3-8)."""
    return struct.pack("<HHBBBB", 0xFFFF, 0, 0, access, 0xF | flags << 4, 0)


FLAT = {CS32: flat_segment(0xFB, 0xC), DATA: flat_segment(0xF3, 0xC), CS64: flat_segment(0xFB, 0xA)}
"""By selector."""


class Descriptors:
    """The table of one CPU. The 64-bit code segment is left out: there is one ABI per program."""

    def __init__(self) -> None:
        self.extent = Extent(TABLE, TABLE + PAGE)
        for selector in (CS32, DATA):
            self.extent.view[selector & ~7 :][:8] = FLAT[selector]

    def save(self) -> dict[str, bytes]:
        """The entries that the program can set, without the zeros at their ends."""
        return {name: bytes(self.extent.view[at]).rstrip(b"\0") for name, at in _TLS.items()}

    def take(self, saved: dict[str, bytes]) -> dict[str, bytes]:
        """Set those that are in `saved`; what is left of it. Raises ValueError for one too long."""
        for name, at in _TLS.items():
            if name in saved:
                raw = saved[name]
                if len(raw) > 8:
                    raise ValueError(f"segment {name} is too wide")
                self.extent.view[at] = raw.ljust(8, b"\0")
        return {name: raw for name, raw in saved.items() if name not in _TLS}
