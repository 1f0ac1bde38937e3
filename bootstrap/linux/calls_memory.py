"""System calls on memory: brk and anonymous private mappings.

The arguments are checked in Linux's order (mm/mmap.c, arch/x86/kernel/sys_x86_64.c,
mm/mprotect.c); kernel.memory does the mapping.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from bootstrap.core.abi import PROT_EXEC, PROT_READ, PROT_WRITE, Errno, LinuxError
from bootstrap.core.arches import PAGE_MASK, page_up
from bootstrap.core.errors import GuestFailed
from bootstrap.linux.flags import (
    MAP_ANONYMOUS,
    MAP_DENYWRITE,
    MAP_EXECUTABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_STACK,
    MAP_TYPE,
    PROT_GROWSDOWN,
    PROT_GROWSUP,
)

if TYPE_CHECKING:
    from bootstrap.linux.process import Process

SUPPORTED = (
    MAP_TYPE
    | MAP_ANONYMOUS
    | MAP_FIXED
    | MAP_FIXED_NOREPLACE
    | MAP_NORESERVE
    | MAP_POPULATE
    | MAP_STACK
    | MAP_DENYWRITE
    | MAP_EXECUTABLE
)

MMAP_ARGUMENTS = struct.Struct("<IIIIiI")
"""struct mmap_arg_struct32: addr, len, prot, flags, fd, offset (arch/x86/kernel/sys_ia32.c)."""


def sys_brk(proc: Process, end: int) -> int:
    """brk as the system call has it: answers where the heap ends, whether it moved or not."""
    return proc.memory.brk(end)


def _mmap(proc: Process, hint: int, length: int, prot: int, flags: int, fd: int) -> int:
    anonymous = flags & MAP_ANONYMOUS
    file = None if anonymous else proc.fds.get(fd)
    start, end = proc.memory.place(hint, length, flags)
    kind = flags & MAP_TYPE
    if kind not in (MAP_SHARED, MAP_PRIVATE) and (anonymous or kind != MAP_SHARED_VALIDATE):
        raise LinuxError(Errno.EINVAL)
    if file is not None:
        if not file.readable:
            raise LinuxError(Errno.EACCES)
        if kind != MAP_PRIVATE and prot & PROT_WRITE and not file.writable:
            raise LinuxError(Errno.EACCES)
        raise LinuxError(Errno.ENODEV)
    if kind != MAP_PRIVATE:
        raise GuestFailed("mmap of shared anonymous memory is not supported")
    if flags & ~SUPPORTED:
        raise GuestFailed(f"mmap flags {flags & ~SUPPORTED:#x} are not supported")
    proc.memory.map(start, end, proc.memory.flags_for(prot))
    return start


def sys_mmap(
    proc: Process, hint: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """mmap(2), the offset in bytes."""
    if offset & PAGE_MASK:
        raise LinuxError(Errno.EINVAL)
    return _mmap(proc, hint, length, prot, flags, fd)


def sys_mmap2(
    proc: Process, hint: int, length: int, prot: int, flags: int, fd: int, page: int
) -> int:
    """mmap2(2), the offset in pages."""
    return _mmap(proc, hint, length, prot, flags, fd)


def sys_old_mmap(proc: Process, arguments: int) -> int:
    """The i386 mmap whose six arguments are in memory."""
    raw = proc.memory.read(arguments, MMAP_ARGUMENTS.size)
    hint, length, prot, flags, fd, offset = MMAP_ARGUMENTS.unpack(raw)
    return sys_mmap(proc, hint, length, prot, flags, fd, offset)


def sys_munmap(proc: Process, guest_addr: int, length: int) -> int:
    """munmap(2)."""
    proc.memory.munmap(guest_addr, length)
    return 0


PROT_KNOWN = PROT_READ | PROT_WRITE | PROT_EXEC
PROT_SEM = 0x8


def sys_mprotect(proc: Process, guest_addr: int, length: int, prot: int) -> int:
    """mprotect(2)."""
    grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP)
    if grows == PROT_GROWSDOWN | PROT_GROWSUP or guest_addr & PAGE_MASK:
        raise LinuxError(Errno.EINVAL)
    if not length:
        return 0
    # Up to the end of what the kernel itself can address: a process may have less.
    whole = 1 << (32 if proc.abi.access_end < 1 << 32 else 64)
    if guest_addr + page_up(length) >= whole:
        raise LinuxError(Errno.ENOMEM)
    if prot & ~grows & ~(PROT_KNOWN | PROT_SEM):
        raise LinuxError(Errno.EINVAL)
    if grows:
        raise GuestFailed(f"mprotect with prot {prot:#x}: PROT_GROWSDOWN and PROT_GROWSUP")
    proc.memory.mprotect(guest_addr, length, prot)
    return 0
