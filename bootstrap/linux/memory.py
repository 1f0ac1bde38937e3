"""The memory of a guest process: the core's, with mappings, watching, and pages since a mark.

Implements mmap(2), munmap(2) and mprotect(2) for anonymous private memory, as Linux has them
(mm/mmap.c, mm/mprotect.c).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Protocol

from bootstrap.core import memory as core
from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.arches import PAGE, PAGE_MASK, Arch, page_down, page_up
from bootstrap.core.errors import Meter
from bootstrap.core.memory import BEYOND, DIRTY, FETCHED, KEPT, Extent
from bootstrap.linux.flags import MAP_FIXED, MAP_FIXED_NOREPLACE

_MARKED = bytes(flags & ~DIRTY | KEPT if flags & (DIRTY | KEPT) else flags for flags in range(256))
MMAP_BASE = {
    "i386": 0xF7FFE000,
    "x86_64": 0x7FFFF7FFF000,
    "aarch64": (1 << 48) - (128 << 20),
    "riscv64": (1 << 38) - (128 << 20),
    "riscv32": 0x95C00000,
}
"""mmap(2) places mappings downwards from here (arch/x86/mm/mmap.c, mm/util.c, mmap_base)."""


class LinuxMemoryListener(core.MemoryListener, Protocol):
    """The CPU that runs on an address space, where extents can go too."""

    def extent_removed(self, extent: Extent) -> None:
        """Host memory is not to be reached any more."""


class VirtualMemory(core.AddressSpace):
    """The memory of one process."""

    listener: LinuxMemoryListener | None

    def __init__(self, arch: Arch, meter: Meter) -> None:
        super().__init__(arch, meter)
        self.watcher: Callable[[int, int, bool], None] | None = None
        """Gets what calls read and write in the guest: address, size, whether written."""
        self.searched = (MMAP_BASE[arch.name], 0)
        """An address, and a size: no gap from there up to mmap's base has more bytes."""

    # Who watches sees each access of a call before it is made.

    def read(self, guest_addr: int, size: int) -> bytes:
        """See the core's."""
        data = super().read(guest_addr, size)
        if self.watcher is not None:
            self.watcher(guest_addr, size, False)
        return data

    def write(self, guest_addr: int, data: bytes) -> None:
        """See the core's."""
        if self.watcher is None:
            super().write(guest_addr, data)
        elif self.write_upto(guest_addr, data) != len(data):
            raise LinuxError(Errno.EFAULT)

    def poke(self, guest_addr: int, data: bytes) -> None:
        """See the core's."""
        if self.watcher is not None:
            self.watcher(guest_addr, len(data), True)
        super().poke(guest_addr, data)

    def _grant(self, start: int, end: int, flags: int) -> None:
        """See the core's: for who watches, the call makes these bytes zero."""
        super()._grant(start, end, flags)
        if self.watcher is not None:
            self.watcher(start, end - start, True)

    # Extents.

    @property
    def heap_end(self) -> int:
        """The end of the extent that the heap may grow into without a new one."""
        top = page_up(self.brk_now)
        extent = self.find(top - 1) if top > self.start_brk else None
        return top if extent is None else extent.end

    def adopt(self, extent: Extent) -> None:
        """Take one that was made elsewhere, above all others."""
        self.extents.append(extent)
        self._starts.append(extent.start)

    def unmap(self, start: int, end: int) -> None:
        """Unmap whatever is mapped from `start` up to `end`; the bytes become zero.

        An extent in which nothing is left goes, unless the heap may grow into it.
        """
        before = self.mapped
        super().unmap(start, end)
        if self.mapped == before:
            return
        first = max(0, bisect_right(self._starts, start) - 1)
        for extent in self.extents[first : bisect_left(self._starts, end)]:
            in_heap = self.start_brk <= extent.start < self.heap_end
            if not in_heap and extent.pages.count(0) == len(extent.pages):
                self._drop_extent(extent)
        top, widest = self.searched
        if end >= top:
            base, above = MMAP_BASE[self.arch.name], self.next_mapped(end)
            self.searched = base if above is None else min(above, base), widest

    def _drop_extent(self, extent: Extent) -> None:
        # The listener first: while it lets go, the engine may look the extent up.
        if self.listener is not None:
            self.listener.extent_removed(extent)
        index = self.extents.index(extent)
        del self.extents[index], self._starts[index]
        self._last = None

    def mark(self) -> None:
        """From here on, pages that are written become DIRTY: all others are as they are now."""
        for extent in self.extents:
            extent.pages[:] = extent.pages.translate(_MARKED)
        if self.listener is not None:
            self.listener.pages_changed()

    # mmap and its kin.

    def place(self, hint: int, length: int, flags: int) -> tuple[int, int]:
        """Where mmap(2) puts `length` bytes: first and end address (do_mmap, get_unmapped_area).

        Raises LinuxError: EINVAL (length 0, unaligned fixed address), ENOMEM (no room),
        EEXIST (MAP_FIXED_NOREPLACE over something).
        """
        if length == 0:
            raise LinuxError(Errno.EINVAL)
        size = page_up(length) & self.arch.word_mask
        if size == 0 or size > self.arch.task_size:
            raise LinuxError(Errno.ENOMEM)
        if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
            if hint + size > self.arch.task_size:
                raise LinuxError(Errno.ENOMEM)
            if hint & PAGE_MASK:
                raise LinuxError(Errno.EINVAL)
            if flags & MAP_FIXED_NOREPLACE and not self._free(hint, hint + size):
                raise LinuxError(Errno.EEXIST)
            return hint, hint + size
        start = page_down(hint)  # round_hint_to_min
        if not 0 < start <= self.arch.task_size - size or not self._free(start, start + size):
            start = self._gap_below(size)
        return start, start + size

    def _free(self, start: int, end: int) -> bool:
        after = self.next_mapped(start)
        return after is None or after >= end

    def _gap_below(self, size: int) -> int:
        """The highest gap below mmap's base that is wide enough (vm_unmapped_area, top-down).

        What was searched before is not searched again, as Linux had it before it kept its areas in
        a tree (free_area_cache and cached_hole_size, mm/mmap.c of 3.6).
        """
        top, widest = self.searched
        if size <= widest:
            top, widest = MMAP_BASE[self.arch.name], 0
        while True:
            start, end = self._mapped_below(top)
            if top - end >= size:
                self.searched = top, widest
                return top - size
            widest = max(widest, top - end)
            if not start:
                self.searched = top, widest
                raise LinuxError(Errno.ENOMEM)
            top = start

    def _mapped_below(self, guest_addr: int) -> tuple[int, int]:
        """The highest run of mapped pages below an address; the first page counts as the lowest."""
        for number in range(bisect_left(self._starts, guest_addr) - 1, -1, -1):
            extent = self.extents[number]
            pages = extent.pages[: (min(guest_addr, extent.end) - extent.start) // PAGE]
            last = len(pages.rstrip(b"\0"))
            if last:
                first = pages.rfind(0, 0, last) + 1
                return extent.start + first * PAGE, extent.start + last * PAGE
        return 0, PAGE

    def munmap(self, guest_addr: int, length: int) -> None:
        """munmap(2). Raises LinuxError(EINVAL) for an unaligned, empty or impossible range."""
        end = guest_addr + page_up(length)
        if guest_addr & PAGE_MASK or length == 0 or end > self.arch.task_size:
            raise LinuxError(Errno.EINVAL)
        self.unmap(guest_addr, end)

    def mprotect(self, guest_addr: int, length: int, prot: int) -> None:
        """mprotect(2). Raises LinuxError: EINVAL (unaligned), ENOMEM.

        That is at the first page that is not mapped, and those before it have changed by then
        (mm/mprotect.c, do_mprotect_pkey).
        """
        if guest_addr & PAGE_MASK:
            raise LinuxError(Errno.EINVAL)
        wanted = self.flags_for(prot)
        try:
            for at in range(guest_addr, guest_addr + page_up(length), PAGE):
                extent = self.find(at)
                index = (at - extent.start) // PAGE if extent is not None else 0
                if extent is None or not extent.pages[index]:
                    raise LinuxError(Errno.ENOMEM)
                kept = extent.pages[index] & (DIRTY | FETCHED | KEPT | BEYOND)
                extent.pages[index] = wanted | kept
        finally:
            if self.listener is not None:
                self.listener.pages_changed()
