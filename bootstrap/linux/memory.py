"""The memory of a guest process.

The page flags (see pages.py) are the single truth about what a guest may do with a page. The
engine's TLB hook and the native hot path read the same bytes, so protections, `brk` and `mmap`
cost no remapping. An extent may reach beyond what is mapped (the heap grows into one): a page whose
flags are 0 is not there.

Implements brk(2), mmap(2), munmap(2), mprotect(2) as Linux answers them (mm/mmap.c,
mm/mprotect.c), for anonymous private memory.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable

from bootstrap.core.abi import PROT_EXEC, PROT_READ, PROT_WRITE, Errno, LinuxError
from bootstrap.core.arches import PAGE, PAGE_MASK, Arch, page_down, page_up
from bootstrap.core.errors import GuestFailed
from bootstrap.linux.flags import MAP_FIXED, MAP_FIXED_NOREPLACE
from bootstrap.linux.limits import Limits, MemoryMeter
from bootstrap.linux.pages import (
    BEYOND,
    DIRTY,
    EXEC,
    FETCHED,
    KEPT,
    MAPPED,
    READ,
    WAS_WRITTEN,
    WRITE,
    Extent,
    MemoryListener,
)

WINDOW = 16 << 20
"""An extent reaches to multiples of this many bytes, where there is room: with each one more, the
engine takes longer for the next (for 2,000 of them 10 seconds), so mappings and heap share them."""
LARGEST = 64 << 20
"""Bytes in one extent, about: what is done with one takes time by its pages."""

_WAS_FETCHED = bytes(flags & FETCHED != 0 for flags in range(256))
_KEPT = bytes(flags | KEPT if flags & DIRTY else flags for flags in range(256))
_USED = re.compile(rb"[^\0]+")
_ONE_USED = re.compile(rb"[^\0]")
_WRITTEN, _FETCHED = re.compile(b"\1+"), re.compile(b"\1")

MMAP_BASE = {
    "i386": 0xF7FFE000,
    "x86_64": 0x7FFFF7FFF000,
    "aarch64": (1 << 48) - (128 << 20),
    "riscv64": (1 << 38) - (128 << 20),
    "riscv32": 0x95C00000,
}
"""mmap(2) places mappings downwards from here (arch/x86/mm/mmap.c, mm/util.c, mmap_base)."""


class AddressSpace:
    """The memory of one process."""

    def __init__(self, abi: Arch, limits: Limits, meter: MemoryMeter) -> None:
        self.abi = abi
        self.limits = limits
        self.meter = meter
        self.extents: list[Extent] = []
        self._starts: list[int] = []
        self._last: Extent | None = None
        self.listener: MemoryListener | None = None
        self.watcher: Callable[[int, int, bool], None] | None = None
        """Told of what calls read and write in the guest: address, size, whether written."""
        self.generation = 0
        """Counts changes of `extents`."""
        self.mapped = 0
        """Bytes mapped, which the memory limits count."""
        self.start_brk = 0
        self.brk_now = 0
        self.heap_end = 0
        """End of the extent the heap may grow into without a new one."""
        self.searched = (MMAP_BASE[abi.name], 0)
        """An address, and a size: no gap from there up to mmap_base has more bytes."""
        self.heap_flags = READ | WRITE | MAPPED
        self.read_implies_exec = False

    # Copies between the kernel and the guest (Linux: copy_from_user, copy_to_user).

    def find(self, guest_addr: int) -> Extent | None:
        """The extent that holds `guest_addr`, mapped or not."""
        last = self._last
        if last is not None and last.start <= guest_addr < last.end:
            return last
        index = bisect_right(self._starts, guest_addr) - 1
        if index >= 0:
            extent = self.extents[index]
            if guest_addr < extent.end:
                self._last = extent
                return extent
        return None

    def reachable(self, guest_addr: int, size: int, need: int) -> int:
        """How many of `size` bytes from `guest_addr` lie on pages that have the flags `need`."""
        done = 0
        while done < size:
            extent = self.find(guest_addr + done)
            if extent is None:
                return done
            offset = guest_addr + done - extent.start
            if extent.pages[offset // PAGE] & (need | BEYOND) != need:
                return done
            done += PAGE - (offset & PAGE_MASK)
        return size

    def is_beyond(self, guest_addr: int, right: int) -> bool:
        """Whether only the end of a file keeps `right` from being used there: SIGBUS."""
        extent = self.find(guest_addr)
        flags = extent.pages[(guest_addr - extent.start) // PAGE] if extent is not None else 0
        return flags & (right | BEYOND) == right | BEYOND

    def read(self, guest_addr: int, size: int) -> bytes:
        """`size` bytes at `guest_addr`. Raises LinuxError(EFAULT) if any cannot be read."""
        last = self._last
        if last is not None and last.start <= guest_addr and guest_addr + size <= last.end:
            offset = guest_addr - last.start
            inside = (offset & PAGE_MASK) + size <= PAGE and self.watcher is None
            if inside and last.pages[offset // PAGE] & (READ | BEYOND) == READ:
                return bytes(last.view[offset : offset + size])
        if self.reachable(guest_addr, size, READ) != size:
            raise LinuxError(Errno.EFAULT)
        if self.watcher is not None:
            self.watcher(guest_addr, size, False)
        return self._gather(guest_addr, size)

    def read_upto(self, guest_addr: int, size: int) -> bytes:
        """The readable bytes from `guest_addr` on: `size` of them, or fewer before a bad page."""
        return self._gather(guest_addr, self.reachable(guest_addr, size, READ))

    def _gather(self, guest_addr: int, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0:
            extent = self.find(guest_addr)
            assert extent is not None
            offset = guest_addr - extent.start
            part = bytes(extent.view[offset : min(offset + size, extent.end - extent.start)])
            parts.append(part)
            guest_addr += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, guest_addr: int, data: bytes) -> None:
        """Store `data`, as copy_to_user does. Raises LinuxError(EFAULT) if any byte cannot be
        stored; those before it are by then.
        """
        size = len(data)
        last = self._last
        if last is not None and last.start <= guest_addr and guest_addr + size <= last.end:
            offset = guest_addr - last.start
            if (offset & PAGE_MASK) + size <= PAGE:
                index = offset // PAGE
                flags = last.pages[index]
                if flags & (WRITE | FETCHED | BEYOND) == WRITE and self.watcher is None:
                    last.pages[index] = (flags | DIRTY) & ~KEPT
                    last.view[offset : offset + size] = data
                    return
        if self.write_upto(guest_addr, data) != size:
            raise LinuxError(Errno.EFAULT)

    def put(self, guest_addr: int, data: bytes) -> None:
        """Store a number, as put_user does: all of it, or nothing and LinuxError(EFAULT)."""
        if self.reachable(guest_addr, len(data), WRITE) != len(data):
            raise LinuxError(Errno.EFAULT)
        self.poke(guest_addr, data)

    def write_upto(self, guest_addr: int, data: bytes) -> int:
        """Store what fits before the first unwritable page; returns how many bytes that was."""
        size = self.reachable(guest_addr, len(data), WRITE)
        self.poke(guest_addr, data[:size])
        return size

    def poke(self, guest_addr: int, data: bytes) -> None:
        """Store `data` on mapped pages whatever their protection: the loader's and kernel's way."""
        done = 0
        if self.watcher is not None:
            self.watcher(guest_addr, len(data), True)
        while done < len(data):
            extent = self.find(guest_addr + done)
            assert extent is not None, "poke outside any extent"
            offset = guest_addr + done - extent.start
            part = data[done : done + (PAGE - (offset & PAGE_MASK))]
            index = offset // PAGE
            extent.pages[index] = (extent.pages[index] | DIRTY) & ~KEPT
            extent.view[offset : offset + len(part)] = part
            if extent.pages[index] & FETCHED and self.listener is not None:
                self.listener.code_written(guest_addr + done, len(part))
            done += len(part)

    def read_cstring(self, guest_addr: int, limit: int = 4096) -> bytes:
        """The NUL-terminated string at `guest_addr`, without its NUL.

        Raises LinuxError: EFAULT when it runs onto an unreadable page, ENAMETOOLONG when there is
        no NUL in the first `limit` bytes (Linux: strncpy_from_user, getname).
        """
        parts: list[bytes] = []
        room = limit
        while room > 0:
            chunk = self.read_upto(guest_addr, min(room, PAGE - (guest_addr & PAGE_MASK)))
            if not chunk:
                raise LinuxError(Errno.EFAULT)
            end = chunk.find(0)
            if end >= 0:
                parts.append(chunk[:end])
                return b"".join(parts)
            parts.append(chunk)
            guest_addr += len(chunk)
            room -= len(chunk)
        raise LinuxError(Errno.ENAMETOOLONG)

    # Mapping.

    def _add_extent(self, start: int, end: int) -> Extent:
        extent = Extent(start, end)
        index = bisect_right(self._starts, start)
        self.extents.insert(index, extent)
        self._starts.insert(index, start)
        self.generation += 1
        if self.listener is not None:
            self.listener.extent_added(extent)
        return extent

    def adopt(self, extent: Extent) -> None:
        """Take one that was made elsewhere, above all others."""
        self.extents.append(extent)
        self._starts.append(extent.start)
        self.generation += 1

    def _drop_extent(self, extent: Extent) -> None:
        # The listener first: while it lets go, the engine may look the extent up.
        if self.listener is not None:
            self.listener.extent_removed(extent)
        index = self.extents.index(extent)
        del self.extents[index], self._starts[index]
        self.generation += 1
        self._last = None

    def flags_for(self, prot: int) -> int:
        """Page flags for PROT_* bits: x86 has no write-only and no execute-only pages."""
        flags = MAPPED
        if prot & (PROT_READ | PROT_WRITE | PROT_EXEC):
            flags |= READ
        if prot & PROT_WRITE:
            flags |= WRITE
        if prot & PROT_EXEC or (self.read_implies_exec and prot & PROT_READ):
            flags |= EXEC
        return flags

    def _count(self, size: int) -> None:
        if self.mapped + size > self.limits.memory:
            raise GuestFailed(
                f"limit: the process asked for {self.mapped + size} bytes of memory, over the "
                f"limit of {self.limits.memory} (--limit memory=BYTES raises it)"
            )
        self.meter.add(size)
        self.mapped += size

    def map(self, start: int, end: int, flags: int) -> None:
        """Map the pages from `start` up to `end` (page addresses) with `flags`, zeroed."""
        self._clear(start, end)
        self._grant(start, end, flags)

    def _grant(self, start: int, end: int, flags: int) -> int:
        """Give unmapped pages these flags. Gives back where the last extent ends."""
        self._count(end - start)
        at = start
        while at < end:
            extent = self.find(at) or self._add_extent(*self._window(at, end))
            stop = min(end, extent.end)
            first, last = (at - extent.start) // PAGE, (stop - extent.start) // PAGE
            extent.pages[first:last] = bytes([flags]) * (last - first)
            at = extent.end
        return at

    def _window(self, start: int, end: int) -> tuple[int, int]:
        """Where a new extent for what begins at `start` begins and ends."""
        index = bisect_right(self._starts, start)
        floor = self.extents[index - 1].end if index else 0
        wall = self._starts[index] if index < len(self._starts) else self.abi.task_size
        low = start // WINDOW * WINDOW
        high = -(-min(end, low + LARGEST) // WINDOW) * WINDOW
        return max(low, floor), min(high, wall)

    def _clear(self, start: int, end: int) -> None:
        """Unmap whatever is mapped from `start` up to `end`; the bytes become zero."""
        gone = 0
        first_extent = max(0, bisect_right(self._starts, start) - 1)
        for extent in self.extents[first_extent : bisect_left(self._starts, end)]:
            if extent.end <= start:
                continue
            first = max(0, start - extent.start) // PAGE
            last = (min(end, extent.end) - extent.start) // PAGE
            pages = bytes(extent.pages[first:last])
            used = last - first - pages.count(0)
            if used:
                gone += used * PAGE
                extent.pages[first:last] = bytes(last - first)
                for run in _WRITTEN.finditer(pages.translate(WAS_WRITTEN)):
                    extent.wipe(first + run.start(), first + run.end())
                if self.listener is not None:
                    for page in _FETCHED.finditer(pages.translate(_WAS_FETCHED)):
                        at = extent.start + (first + page.start()) * PAGE
                        self.listener.code_written(at, PAGE)
            if extent.pages.count(0) == len(extent.pages) and not self._in_heap(extent):
                self._drop_extent(extent)
        if gone:
            self.meter.add(-gone)
            self.mapped -= gone
            top, widest = self.searched
            if end >= top:
                above = self._next_mapped(end)
                top = (
                    MMAP_BASE[self.abi.name]
                    if above is None
                    else min(above, MMAP_BASE[self.abi.name])
                )
                self.searched = top, widest
            if self.listener is not None:
                self.listener.pages_changed()

    def _in_heap(self, extent: Extent) -> bool:
        return self.start_brk <= extent.start < self.heap_end

    def areas(self) -> list[tuple[int, int]]:
        """The mapped ranges, as (start, end), in order of address."""
        found: list[tuple[int, int]] = []
        for extent in self.extents:
            for run in _USED.finditer(extent.pages):
                start = extent.start + run.start() * PAGE
                end = extent.start + run.end() * PAGE
                if found and found[-1][1] == start:
                    start = found.pop()[0]
                found.append((start, end))
        return found

    def set_brk_start(self, guest_addr: int) -> None:
        """Where the heap begins: the page after the program (Linux, fs/binfmt_elf.c)."""
        self.start_brk = self.brk_now = self.heap_end = page_up(guest_addr)
        self.heap_flags = self.flags_for(PROT_READ | PROT_WRITE)

    def brk(self, new: int) -> int:
        """Move the end of the heap as brk(2) does inside Linux: answers where it then is."""
        if new < self.start_brk:
            return self.brk_now
        old_page, new_page = page_up(self.brk_now), page_up(new)
        if new_page > old_page:
            # One page stays free below the next mapping (mm/mmap.c, brk).
            after = self._next_mapped(old_page)
            if new_page > self.abi.task_size or (after is not None and new_page + PAGE > after):
                return self.brk_now
            end = self._grant(old_page, new_page, self.heap_flags)
            self.heap_end = max(self.heap_end, end)
        elif new_page < old_page:
            after = self._next_mapped(new_page)
            if after is None or after >= old_page:
                return self.brk_now  # there is nothing to give back (the same place)
            self._clear(new_page, old_page)
        self.brk_now = new
        return new

    def _next_mapped(self, guest_addr: int) -> int | None:
        """The first page from `guest_addr` on, a page's address, that is mapped."""
        first = max(0, bisect_right(self._starts, guest_addr) - 1)
        for number in range(first, len(self.extents)):
            extent = self.extents[number]
            index = max(0, guest_addr - extent.start) // PAGE
            found = _ONE_USED.search(extent.pages, index)
            if found is not None:
                return extent.start + found.start() * PAGE
        return None

    def place(self, hint: int, length: int, flags: int) -> tuple[int, int]:
        """Where mmap(2) puts `length` bytes: first and end address (do_mmap, get_unmapped_area).

        Raises LinuxError: EINVAL (length 0, unaligned fixed address), ENOMEM (no room),
        EEXIST (MAP_FIXED_NOREPLACE over something).
        """
        if length == 0:
            raise LinuxError(Errno.EINVAL)
        size = page_up(length) & self.abi.word_mask
        if size == 0 or size > self.abi.task_size:
            raise LinuxError(Errno.ENOMEM)
        if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
            if hint + size > self.abi.task_size:
                raise LinuxError(Errno.ENOMEM)
            if hint & PAGE_MASK:
                raise LinuxError(Errno.EINVAL)
            if flags & MAP_FIXED_NOREPLACE and not self._free(hint, hint + size):
                raise LinuxError(Errno.EEXIST)
            return hint, hint + size
        start = page_down(hint)  # round_hint_to_min
        if not 0 < start <= self.abi.task_size - size or not self._free(start, start + size):
            start = self._gap_below(size)
        return start, start + size

    def _free(self, start: int, end: int) -> bool:
        after = self._next_mapped(start)
        return after is None or after >= end

    def _gap_below(self, size: int) -> int:
        """The highest gap below mmap_base that is wide enough (vm_unmapped_area, top-down).

        What was searched before is not searched again, as Linux had it before it kept its areas in
        a tree (free_area_cache and cached_hole_size, mm/mmap.c of 3.6).
        """
        top, widest = self.searched
        if size <= widest:
            top, widest = MMAP_BASE[self.abi.name], 0
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
        if guest_addr & PAGE_MASK or length == 0 or end > self.abi.task_size:
            raise LinuxError(Errno.EINVAL)
        self._clear(guest_addr, end)

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

    def mark(self) -> None:
        """From here on, pages that are written lose KEPT: all others are as they are now."""
        for extent in self.extents:
            extent.pages[:] = extent.pages.translate(_KEPT)
        if self.listener is not None:
            self.listener.pages_changed()

    def fork(self) -> "AddressSpace":
        """A copy for a child process (fork(2))."""
        self.meter.add(self.mapped)
        child = AddressSpace(self.abi, self.limits, self.meter)
        child.extents = [extent.copy() for extent in self.extents]
        child._starts = list(self._starts)
        child.mapped = self.mapped
        child.start_brk, child.brk_now = self.start_brk, self.brk_now
        child.heap_end, child.heap_flags = self.heap_end, self.heap_flags
        child.read_implies_exec = self.read_implies_exec
        return child

    def release(self) -> None:
        """Give the memory back: the process is gone or runs another program."""
        self.meter.add(-self.mapped)
        self.mapped = 0
        self.extents.clear()
        self._starts.clear()
        self._last = None


__all__ = [
    "BEYOND", "DIRTY", "EXEC", "FETCHED", "KEPT", "MAPPED", "READ", "WRITE",
    "AddressSpace", "Extent",
]  # fmt: skip
