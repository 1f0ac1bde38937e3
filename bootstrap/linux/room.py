"""The memory of a file's content: zeroed, and not the host's until it is written to."""

import mmap
import sys

Room = bytearray | mmap.mmap

_MAPPED = 1 << 20
"""From so many bytes on, pages of the host, which can be given back one by one."""
_GIVE_BACK = mmap.MADV_DONTNEED if sys.platform == "linux" else None
"""Only Linux promises that the pages are zero after it (madvise(2))."""


def room(size: int) -> Room:
    """`size` zero bytes."""
    if size < _MAPPED:
        return bytearray(size)
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def moved(old: Room, used: int, size: int) -> Room:
    """The first `used` bytes of `old`, whose memory is given back, in a room of `size` bytes."""
    new = room(size)
    with memoryview(old) as source:
        for at in range(0, used, _MAPPED):
            end = min(at + _MAPPED, used)
            new[at:end] = source[at:end]
            if isinstance(old, mmap.mmap):
                wipe(old, at, end)
    return new


def wipe(data: Room, start: int, end: int) -> None:
    """Make these bytes zero; whole pages of them go back to the host, where it takes them."""
    if isinstance(data, mmap.mmap) and _GIVE_BACK is not None:
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        last = end // mmap.PAGESIZE * mmap.PAGESIZE
        if first < last:
            data.madvise(_GIVE_BACK, first, last - first)
            data[start:first] = bytes(first - start)
            start = last
    data[start:end] = bytes(end - start)
