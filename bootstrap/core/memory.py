"""The memory of a guest process.

Claims: what may be done with a page is what its flags say, and a page without flags is not there.
`read`, `write` and their kin never touch a page that the guest itself could not, and brk(2) moves
the heap's end as Linux does (mm/mmap.c), in Linux's order of errors. What is mapped is zero at
first, is counted against the limits, and is seen by no other process.
Relies on: the host's anonymous mappings being zero. The CPU (see `cpu`) asks the same flags.
Tests that would fail if it lied: tests/core/test_memory.py, test_limits.py, test_native.py.

Host memory comes in extents, larger than what is mapped: a heap that grows page by page within one
costs no new mapping in Unicorn.
"""

import contextlib
import mmap
import re
import sys
from bisect import bisect_left, bisect_right
from typing import Protocol, Self

from bootstrap.core.abi import PROT_EXEC, PROT_READ, PROT_WRITE, Errno, LinuxError
from bootstrap.core.arches import PAGE, PAGE_MASK, Arch, page_up
from bootstrap.core.errors import GuestFailed, Meter

READ, WRITE, EXEC = 1, 2, 4
"""What the guest may do with a page."""
DIRTY = 8
"""The page was written, by the guest or by the kernel; without this or KEPT it is zero."""
FETCHED = 16
"""The CPU has fetched an instruction from the page."""
MAPPED = 32
"""The page is there: a page may have no right at all (PROT_NONE)."""
BEYOND = 128
"""The page is mapped from a file and lies wholly beyond its end: to use a right there is SIGBUS
(mmap(2)), and EFAULT of a system call."""
KEPT = 64
"""The page was DIRTY when somebody outside the core took a snapshot, and DIRTY was taken off."""

WINDOW = 16 << 20
"""An extent reaches to multiples of this many bytes, where there is room: with each one more,
Unicorn takes longer for the next (for 2,000 of them 10 seconds)."""
LARGEST = 64 << 20
"""Bytes in one extent, about: what is done with one takes time by its pages."""

_WAS_DIRTY = bytes(flags & (DIRTY | KEPT) != 0 for flags in range(256))
_WAS_FETCHED = bytes(flags & FETCHED != 0 for flags in range(256))
"""For bytes.translate: flags become 1 where the page was, else 0."""
_RUNS, _ONE = re.compile(b"\1+"), re.compile(b"\1")
_USED = re.compile(rb"[^\0]")
# Only Linux promises zeroes after it, and only whole pages of the host can be given back.
_GIVE_BACK = mmap.MADV_DONTNEED if sys.platform == "linux" and mmap.PAGESIZE == PAGE else None


def host_memory(size: int) -> mmap.mmap:
    """`size` zero bytes of the host that cost nothing until touched, and then by the page."""
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
    """Host memory for the guest addresses from `start` up to `end`; `pages` holds a flag byte for
    each page of it, mapped or not."""

    __slots__ = ("end", "host", "pages", "size", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.size = end - start
        self.host = host_memory(self.size)
        self.pages = bytearray(self.size // PAGE)

    def wipe(self, first: int, last: int) -> None:
        """Make the pages from number `first` up to `last` zero, and give their memory back."""
        start, size = first * PAGE, (last - first) * PAGE
        if _GIVE_BACK is None:
            self.host[start : start + size] = bytes(size)
        else:
            self.host.madvise(_GIVE_BACK, start, size)

    def copy(self) -> "Extent":
        """A copy for a forked child. Pages never written are zero on both sides."""
        new = Extent(self.start, self.end)
        new.pages[:] = self.pages
        with memoryview(self.host) as content:
            for run in _RUNS.finditer(self.pages.translate(_WAS_DIRTY)):
                start, end = run.start() * PAGE, run.end() * PAGE
                new.host[start:end] = content[start:end]
        return new


class MemoryListener(Protocol):
    """The CPU that runs on an address space, which keeps things of its own about it."""

    def extent_added(self, extent: Extent) -> None:
        """There is new host memory to reach."""

    def pages_changed(self) -> None:
        """Some page lost a right."""

    def code_written(self, guest_addr: int, size: int) -> None:
        """The kernel wrote over bytes, of one page, that instructions were fetched from."""


class AddressSpace:
    """The memory of one process."""

    def __init__(self, arch: Arch, meter: Meter) -> None:
        self.arch = arch
        self.meter = meter
        self.extents: list[Extent] = []
        """In order of address; none overlaps another."""
        self._starts: list[int] = []
        self._last: Extent | None = None
        self.listener: MemoryListener | None = None
        self.mapped = 0
        """Bytes mapped, which the memory limits count."""
        self.start_brk = self.brk_now = 0
        """Where the heap begins and ends."""
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
        # The common case first, for tens of millions of calls: within one page.
        extent = self._last
        if extent is not None:
            offset = guest_addr - extent.start
            inside = 0 <= offset < extent.size and (offset & PAGE_MASK) + size <= PAGE
            if inside and extent.pages[offset // PAGE] & (READ | BEYOND) == READ:
                return extent.host[offset : offset + size]
        if self.reachable(guest_addr, size, READ) != size:
            raise LinuxError(Errno.EFAULT)
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
            part = extent.host[offset : min(offset + size, extent.size)]
            parts.append(part)
            guest_addr += len(part)
            size -= len(part)
        return b"".join(parts)

    def write(self, guest_addr: int, data: bytes) -> None:
        """Store `data`, as copy_to_user does. Raises LinuxError(EFAULT) if any byte cannot be
        stored; those before it are by then.
        """
        # The common case first: one page, which was written before and holds no code.
        size = len(data)
        extent = self._last
        if extent is not None:
            offset = guest_addr - extent.start
            if 0 <= offset < extent.size and (offset & PAGE_MASK) + size <= PAGE:
                flags = extent.pages[offset // PAGE]
                if flags & (WRITE | DIRTY | FETCHED | BEYOND) == WRITE | DIRTY:
                    extent.host[offset : offset + size] = data
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
        while done < len(data):
            extent = self.find(guest_addr + done)
            assert extent is not None, "poke outside any extent"
            offset = guest_addr + done - extent.start
            part = data[done : done + (PAGE - (offset & PAGE_MASK))]
            index = offset // PAGE
            extent.pages[index] |= DIRTY
            extent.host[offset : offset + len(part)] = part
            if extent.pages[index] & FETCHED and self.listener is not None:
                self.listener.code_written(guest_addr + done, len(part))
            done += len(part)

    def read_cstring(self, guest_addr: int, limit: int) -> bytes:
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

    def map(self, start: int, end: int, flags: int) -> None:
        """Map the pages from `start` up to `end` (page addresses) with `flags`, zeroed.

        Whatever was mapped there is gone. Raises GuestFailed over a limit.
        """
        self.unmap(start, end)
        self._grant(start, end, flags)

    def _grant(self, start: int, end: int, flags: int) -> None:
        """Give unmapped pages these flags."""
        size = end - start
        if self.mapped + size > self.meter.limits.memory:
            raise GuestFailed(
                f"limit: the process asked for {self.mapped + size} bytes of memory, over the "
                f"limit of {self.meter.limits.memory} (--limit memory=BYTES raises it)"
            )
        self.meter.add_memory(size)
        self.mapped += size
        at = start
        while at < end:
            extent = self.find(at) or self._add_extent(at, end)
            stop = min(end, extent.end)
            first, last = (at - extent.start) // PAGE, (stop - extent.start) // PAGE
            extent.pages[first:last] = bytes([flags]) * (last - first)
            at = stop

    def _add_extent(self, start: int, end: int) -> Extent:
        """A new extent for what begins at `start`, as large as there is room between others."""
        index = bisect_right(self._starts, start)
        floor = self.extents[index - 1].end if index else 0
        wall = self._starts[index] if index < len(self._starts) else self.arch.task_size
        low = start // WINDOW * WINDOW
        high = -(-min(end, low + LARGEST) // WINDOW) * WINDOW
        extent = Extent(max(low, floor), min(high, wall))
        self.extents.insert(index, extent)
        self._starts.insert(index, extent.start)
        if self.listener is not None:
            self.listener.extent_added(extent)
        return extent

    def unmap(self, start: int, end: int) -> None:
        """Unmap whatever is mapped from `start` up to `end`; the bytes become zero.

        The extents stay, for what is mapped there next.
        """
        gone = 0
        first_extent = max(0, bisect_right(self._starts, start) - 1)
        for extent in self.extents[first_extent : bisect_left(self._starts, end)]:
            first = max(0, start - extent.start) // PAGE
            last = (min(end, extent.end) - extent.start) // PAGE
            pages = bytes(extent.pages[first:last])
            used = len(pages) - pages.count(0)
            if not used:
                continue
            gone += used * PAGE
            extent.pages[first:last] = bytes(last - first)
            for run in _RUNS.finditer(pages.translate(_WAS_DIRTY)):
                extent.wipe(first + run.start(), first + run.end())
            if self.listener is not None:
                for page in _ONE.finditer(pages.translate(_WAS_FETCHED)):
                    self.listener.code_written(extent.start + (first + page.start()) * PAGE, PAGE)
        if gone:
            self.meter.add_memory(-gone)
            self.mapped -= gone
            if self.listener is not None:
                self.listener.pages_changed()

    def next_mapped(self, guest_addr: int) -> int | None:
        """The first page from `guest_addr` on, a page's address, that is mapped."""
        first = max(0, bisect_right(self._starts, guest_addr) - 1)
        for extent in self.extents[first:]:
            index = max(0, guest_addr - extent.start) // PAGE
            found = _USED.search(extent.pages, index)
            if found is not None:
                return extent.start + found.start() * PAGE
        return None

    def set_brk_start(self, guest_addr: int) -> None:
        """Where the heap begins: the page after the program (Linux, fs/binfmt_elf.c)."""
        self.start_brk = self.brk_now = page_up(guest_addr)
        self.heap_flags = self.flags_for(PROT_READ | PROT_WRITE)

    def brk(self, new: int) -> int:
        """Move the end of the heap as brk(2) does inside Linux: returns where it then is."""
        if new < self.start_brk:
            return self.brk_now
        old_page, new_page = page_up(self.brk_now), page_up(new)
        if new_page > old_page:
            # One page stays free below the next mapping (mm/mmap.c, brk).
            after = self.next_mapped(old_page)
            if new_page > self.arch.task_size or (after is not None and new_page + PAGE > after):
                return self.brk_now
            self._grant(old_page, new_page, self.heap_flags)
        elif new_page < old_page:
            after = self.next_mapped(new_page)
            if after is None or after >= old_page:
                return self.brk_now  # there is nothing to give back (the same place)
            self.unmap(new_page, old_page)
        self.brk_now = new
        return new

    # Processes.

    def fork(self) -> Self:
        """A copy for a child process (fork(2)). Raises GuestFailed over a limit."""
        self.meter.add_memory(self.mapped)
        child = self.__class__(self.arch, self.meter)
        child.extents = [extent.copy() for extent in self.extents]
        child._starts = list(self._starts)
        child.mapped = self.mapped
        child.start_brk, child.brk_now = self.start_brk, self.brk_now
        child.heap_flags = self.heap_flags
        child.read_implies_exec = self.read_implies_exec
        return child

    def release(self) -> None:
        """Give the memory back: the process is gone or runs another program."""
        self.meter.add_memory(-self.mapped)
        self.mapped = 0
        self.extents.clear()
        self._starts.clear()
        self._last = None
