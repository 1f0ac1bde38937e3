"""A process for handlers to act on, without a CPU: real memory, descriptors and file system."""

from __future__ import annotations

import re

from bootstrap.core.arches import AMD64, PAGE, X86, Arch
from bootstrap.core.errors import Meter
from bootstrap.core.files import OpenFile, Stream
from bootstrap.core.memory import MAPPED, READ, WRITE
from bootstrap.core.paths import PathBase
from bootstrap.core.process import FdTable
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, LowerLink, MemoryLower
from bootstrap.linux.limits import Limits
from bootstrap.linux.memory import AddressSpace
from bootstrap.linux.process import LinuxProcess

BUFFER = 0x10000
"""Two pages; the one after them is not mapped."""
END = BUFFER + 0x2000
BAD = 16
ABIS = {"i386": X86, "x86_64": AMD64}

FILES: dict[bytes, LowerFile | LowerLink] = {
    b"/f": LowerFile(0o644, b"hello, world\n"),
    b"/d/inner": LowerFile(0o755, b"inner"),
    b"/link": LowerLink(b"d/inner"),
}


def make(abi: Arch = AMD64, limits: Limits | None = None) -> LinuxProcess:
    """A process at the root of a small file system, standard streams open."""
    limits = limits or Limits()
    memory = AddressSpace(abi, limits, Meter(limits))
    memory.map(BUFFER, END, READ | WRITE | MAPPED)
    memory.set_brk_start(0x100000)
    fs = OverlayFileSystem(MemoryLower(FILES))
    fds = FdTable(limits.open_files)
    chunks = [b"typed ", b"in"]
    taken = bytearray()

    def read(count: int) -> bytes:
        return chunks.pop(0)[:count] if chunks else b""

    def write(data: bytes) -> int:
        taken.extend(data)
        return len(data)

    for fd, flags in enumerate((0, 1, 1)):
        fds.put(fd, OpenFile(Stream(read=read, write=write), flags))
    base = PathBase(fs.root, fs.root)
    quiet = lambda kind, **fields: None  # noqa: E731
    return LinuxProcess(1, 0, abi, memory, fds, fs, base, 0o022, limits, quiet)


def put(process: LinuxProcess, data: bytes, guest_addr: int = BUFFER) -> int:
    """Store a C string, for a path argument; returns its address."""
    process.memory.write(guest_addr, data + b"\0")
    return guest_addr


def areas(memory: AddressSpace) -> list[tuple[int, int]]:
    """The mapped ranges, as (start, end), in order of address."""
    found: list[tuple[int, int]] = []
    for extent in memory.extents:
        for run in re.finditer(rb"[^\0]+", extent.pages):
            start, end = (extent.start + at * PAGE for at in run.span())
            if found and found[-1][1] == start:
                start = found.pop()[0]
            found.append((start, end))
    return found
