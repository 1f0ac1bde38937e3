"""Pages of guest memory: host memory in extents, with one byte of flags per page.

DIRTY is set at the first write to a page, by the TLB hook or by the kernel, and lets fork copy only
what was written. FETCHED is set when the CPU fetched an instruction from the page. MAPPED tells a
page without any right (PROT_NONE) from one that is not there. KEPT is set on pages whose content is
kept elsewhere as it is now; the next write takes it away (AddressSpace.mark). BEYOND is set on
pages that are mapped from a file and lie wholly beyond its end: to use a right there is SIGBUS
(mmap(2)), and EFAULT of a system call.
"""

import contextlib
import mmap
import re
import sys
from typing import Protocol

from bootstrap.core.arches import PAGE
from bootstrap.core.errors import GuestFailed

READ, WRITE, EXEC, DIRTY, FETCHED, MAPPED, KEPT, BEYOND = 1, 2, 4, 8, 16, 32, 64, 128
WAS_WRITTEN = bytes(flags & DIRTY != 0 for flags in range(256))
"""For bytes.translate: flags become 1 where the page was written, else 0."""


# Only Linux promises zeroes after it, and only whole pages of the host can be given back.
_GIVE_BACK = mmap.MADV_DONTNEED if sys.platform == "linux" and mmap.PAGESIZE == PAGE else None


def host_memory(size: int) -> mmap.mmap:
    """`size` bytes of zeroed host memory that costs nothing until touched, and then by the page.

    Raises GuestFailed where the host has none.
    """
    try:
        if sys.platform == "win32":
            return mmap.mmap(-1, size)
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise GuestFailed(
            f"the host has no {size} bytes of memory for the guest ({error.strerror}); "
            "a smaller --limit memory=BYTES ends the guest sooner"
        ) from None
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a kernel that knows no huge pages
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


class Extent:
    """Host memory behind the guest addresses from `start` up to `end`; `pages` holds the flags."""

    __slots__ = ("end", "host", "pages", "start", "view")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.host = host_memory(end - start)
        self.view = memoryview(self.host)
        self.pages = bytearray((end - start) // PAGE)

    def wipe(self, first: int, last: int) -> None:
        """Make the pages from number `first` up to `last` zero, and give their memory back."""
        start, size = first * PAGE, (last - first) * PAGE
        if _GIVE_BACK is None:
            self.view[start : start + size] = bytes(size)
        else:
            self.host.madvise(_GIVE_BACK, start, size)

    def copy(self) -> "Extent":
        """A copy for a forked child. Pages never written are zero on both sides."""
        new = Extent(self.start, self.end)
        new.pages[:] = self.pages
        for run in re.finditer(b"\1+", self.pages.translate(WAS_WRITTEN)):
            part = slice(run.start() * PAGE, run.end() * PAGE)
            new.view[part] = self.view[part]
        return new


class MemoryListener(Protocol):
    """What the engine must hear of (see engine.unicorn_cpu)."""

    def extent_added(self, extent: Extent) -> None: ...
    def extent_removed(self, extent: Extent) -> None: ...
    def pages_changed(self) -> None:
        """Flags were taken away: cached translations must go."""

    def code_written(self, guest_addr: int, size: int) -> None:
        """The kernel wrote over bytes that the CPU has fetched instructions from."""
