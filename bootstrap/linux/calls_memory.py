"""System calls on memory: anonymous private mappings.

The arguments are checked in Linux's order (mm/mmap.c, arch/x86/kernel/sys_x86_64.c,
mm/mprotect.c); `memory` does the mapping.
"""

import struct

from bootstrap.core.abi import PROT_EXEC, PROT_READ, PROT_WRITE, Errno, LinuxError
from bootstrap.core.arches import PAGE_MASK, page_up
from bootstrap.core.errors import GuestFailed
from bootstrap.linux import flags as abi
from bootstrap.linux.process import LinuxProcess
from bootstrap.linux.row import call

_SUPPORTED = (
    abi.MAP_TYPE | abi.MAP_ANONYMOUS | abi.MAP_FIXED | abi.MAP_FIXED_NOREPLACE
    | abi.MAP_NORESERVE | abi.MAP_POPULATE | abi.MAP_STACK | abi.MAP_DENYWRITE | abi.MAP_EXECUTABLE
)  # fmt: skip
MMAP_ARGUMENTS = struct.Struct("<IIIIiI")
"""struct mmap_arg_struct32: addr, len, prot, flags, fd, offset (arch/x86/kernel/sys_ia32.c)."""


def mmap2(
    process: LinuxProcess, hint: int, length: int, prot: int, flags: int, fd: int, page: int
) -> int:
    """mmap2(2), the offset in pages."""
    anonymous = flags & abi.MAP_ANONYMOUS
    file = None if anonymous else process.fds.get(fd)
    start, end = process.memory.place(hint, length, flags)
    kind = flags & abi.MAP_TYPE
    if kind not in (abi.MAP_SHARED, abi.MAP_PRIVATE) and (
        anonymous or kind != abi.MAP_SHARED_VALIDATE
    ):
        raise LinuxError(Errno.EINVAL)
    if file is not None:
        if not file.readable:
            raise LinuxError(Errno.EACCES)
        if kind != abi.MAP_PRIVATE and prot & PROT_WRITE and not file.writable:
            raise LinuxError(Errno.EACCES)
        raise LinuxError(Errno.ENODEV)
    if kind != abi.MAP_PRIVATE:
        raise GuestFailed("mmap of shared anonymous memory is not supported")
    if flags & ~_SUPPORTED:
        raise GuestFailed(f"mmap flags {flags & ~_SUPPORTED:#x} are not supported")
    process.memory.map(start, end, process.memory.flags_for(prot))
    return start


def mmap(
    process: LinuxProcess, hint: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """mmap(2), the offset in bytes."""
    if offset & PAGE_MASK:
        raise LinuxError(Errno.EINVAL)
    return mmap2(process, hint, length, prot, flags, fd, 0)


def old_mmap(process: LinuxProcess, arguments: int) -> int:
    """The i386 mmap whose six arguments are in memory."""
    raw = process.memory.read(arguments, MMAP_ARGUMENTS.size)
    return mmap(process, *MMAP_ARGUMENTS.unpack(raw))


def munmap(process: LinuxProcess, guest_addr: int, length: int) -> int:
    """munmap(2)."""
    process.memory.munmap(guest_addr, length)
    return 0


PROT_KNOWN = PROT_READ | PROT_WRITE | PROT_EXEC
PROT_SEM = 0x8


def mprotect(process: LinuxProcess, guest_addr: int, length: int, prot: int) -> int:
    """mprotect(2)."""
    grows = prot & (abi.PROT_GROWSDOWN | abi.PROT_GROWSUP)
    if grows == abi.PROT_GROWSDOWN | abi.PROT_GROWSUP or guest_addr & PAGE_MASK:
        raise LinuxError(Errno.EINVAL)
    if not length:
        return 0
    # Up to the end of what the kernel itself can address: a process may have less.
    whole = 1 << (32 if process.arch.access_end < 1 << 32 else 64)
    if guest_addr + page_up(length) >= whole:
        raise LinuxError(Errno.ENOMEM)
    if prot & ~grows & ~(PROT_KNOWN | PROT_SEM):
        raise LinuxError(Errno.EINVAL)
    if grows:
        raise GuestFailed(f"mprotect with prot {prot:#x}: PROT_GROWSDOWN and PROT_GROWSUP")
    process.memory.mprotect(guest_addr, length, prot)
    return 0


_MMAP = (
    "Anonymous private mappings. A file gives ENODEV, as on a file system without mmap; shared "
    "anonymous memory and the flags MAP_GROWSDOWN, MAP_LOCKED, MAP_HUGETLB, MAP_32BIT stop the run."
)
_GROWS = "PROT_GROWSDOWN and PROT_GROWSUP stop the run."
_MAP = "ptr addr, size length, prot prot, map_flags flags, fd fd,"
# fmt: off
ROWS = (
    call("munmap", "ptr addr, size length", munmap),
    call("mprotect", "ptr addr, size length, prot prot", mprotect, note=_GROWS),
    call("mmap", f"{_MAP} map_offset offset", mmap, note=_MMAP, result="hex", but="i386"),
    call("mmap", "mmap_arguments arguments", old_mmap, note=_MMAP, result="hex", only="i386"),
    call("mmap2", f"{_MAP} page_offset offset", mmap2, note=_MMAP, result="hex"),
)
# fmt: on
