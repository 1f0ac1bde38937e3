"""A process of this room for handlers to act on, without a CPU."""

from __future__ import annotations

import re

from bootstrap.core.arches import AMD64, PAGE, X86, Arch
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, LowerLink, MemoryLower
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.memory import VirtualMemory
from bootstrap.linux.process import LinuxProcess
from tests.core import calls
from tests.core.calls import BAD, BUFFER, END, put

__all__ = ["ABIS", "BAD", "BUFFER", "END", "areas", "make", "put"]

ABIS = {"i386": X86, "x86_64": AMD64}
FILES: dict[bytes, LowerFile | LowerLink] = {
    b"/f": LowerFile(0o644, b"hello, world\n"),
    b"/d/inner": LowerFile(0o755, b"inner"),
    b"/link": LowerLink(b"d/inner"),
}


def make(abi: Arch = AMD64, limits: RunLimits | None = None) -> LinuxProcess:
    """The core's, on an overlay."""
    process = calls.make(
        abi,
        limits or RunLimits(),
        lambda limits: OverlayFileSystem(MemoryLower(FILES)),
        VirtualMemory,
        LinuxProcess,
    )
    assert isinstance(process, LinuxProcess)
    return process


def areas(memory: VirtualMemory) -> list[tuple[int, int]]:
    """The mapped ranges, as (start, end), in order of address."""
    found: list[tuple[int, int]] = []
    for extent in memory.extents:
        for run in re.finditer(rb"[^\0]+", extent.pages):
            start, end = (extent.start + at * PAGE for at in run.span())
            if found and found[-1][1] == start:
                start = found.pop()[0]
            found.append((start, end))
    return found
