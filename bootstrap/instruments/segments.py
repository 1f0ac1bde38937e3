"""The descriptor table of an i386 program: its two flat segments, and those of set_thread_area(2).

A program must not see the table, and a 32-bit CPU can only have it where the program's memory is.
So it is out of reach (its limit is 0) but for one instruction at a time: one that loads a segment
register is refused, having read all that it reads of memory, and runs once more with the table at
an address where no program has memory. As on Linux, a refused instruction is refused twice then.
"""

from bootstrap.core.arches import CS32, DATA, PAGE, SEGMENTS
from bootstrap.core.memory import Extent

TABLE = 0xFFFFF000
"""Above all that a process may map (bootstrap.core.arches, X86.task_size)."""
LIMIT = 16 * 8 - 1
"""Linux's has sixteen entries (arch/x86/include/asm/segment.h, GDT_ENTRIES)."""
_TLS = {f"tls{entry}": slice(8 * entry, 8 * entry + 8) for entry in (12, 13, 14)}


class Descriptors:
    """The table of one CPU. The 64-bit code segment is left out: there is one ABI per program."""

    def __init__(self) -> None:
        self.extent = Extent(TABLE, TABLE + PAGE)
        for selector in (CS32, DATA):
            self.extent.host[selector & ~7 : (selector & ~7) + 8] = SEGMENTS[selector]

    def save(self) -> dict[str, bytes]:
        """The entries that the program can set, without the zeros at their ends."""
        return {name: self.extent.host[at].rstrip(b"\0") for name, at in _TLS.items()}

    def take(self, saved: dict[str, bytes]) -> dict[str, bytes]:
        """Set those that are in `saved`; what is left of it. Raises ValueError for one too long."""
        for name, at in _TLS.items():
            if name in saved:
                raw = saved[name]
                if len(raw) > 8:
                    raise ValueError(f"segment {name} is too wide")
                self.extent.host[at] = raw.ljust(8, b"\0")
        return {name: raw for name, raw in saved.items() if name not in _TLS}
