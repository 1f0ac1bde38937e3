"""System calls by which a C library has thread-local storage on x86.

Source: Linux, arch/x86/kernel/process_64.c and process.c (arch_prctl), tls.c and
include/asm/desc.h (set_thread_area). On the other architectures the pointer is a plain register.
"""

import struct

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.errors import GuestFailed
from bootstrap.linux.process import LinuxProcess, OnRegisters
from bootstrap.linux.row import call

_SET_GS, _SET_FS, _GET_FS, _GET_GS = 0x1001, 0x1002, 0x1003, 0x1004
_BASES = {_SET_GS: "gs_base", _SET_FS: "fs_base", _GET_FS: "fs_base", _GET_GS: "gs_base"}
_GET_CPUID, _SET_CPUID = 0x1011, 0x1012
_OF_THE_CPU = range(0x1021, 0x1026)
"""ARCH_GET_XCOMP_SUPP to ARCH_REQ_XCOMP_GUEST_PERM (include/uapi/asm/prctl.h)."""
_MAPS_VDSO = range(0x2001, 0x2004)


def arch_prctl(process: LinuxProcess, option: int, arg: int) -> int | OnRegisters:
    """arch_prctl(2): a process of 32 bits has no bases to set."""
    is64 = process.arch.word == 8
    if is64 and option in _BASES:
        name = _BASES[option]
        if option in (_SET_GS, _SET_FS):
            return _set_base(process, name, arg)
        return _get_base(process, name, arg)
    if option == _GET_CPUID:
        return 1
    if option == _SET_CPUID:
        raise LinuxError(Errno.ENODEV)  # the guest's CPU cannot refuse it
    if option in _OF_THE_CPU or (is64 and option in _MAPS_VDSO):
        raise GuestFailed(f"arch_prctl with option {option:#x} is not supported")
    raise LinuxError(Errno.EINVAL)


def _set_base(process: LinuxProcess, name: str, guest_addr: int) -> OnRegisters:
    if guest_addr >= process.arch.task_size:
        raise LinuxError(Errno.EPERM)

    def change(saved: dict[str, bytes]) -> int:
        saved[name] = guest_addr.to_bytes(8, "little")
        return 0

    return OnRegisters(change)


def _get_base(process: LinuxProcess, name: str, guest_addr: int) -> OnRegisters:
    def change(saved: dict[str, bytes]) -> int:
        process.memory.put(guest_addr, saved[name].ljust(8, b"\0"))
        return 0

    return OnRegisters(change)


_USER_DESC = struct.Struct("<IIII")
"""struct user_desc: entry_number, base_addr, limit, flags (include/uapi/asm/ldt.h)."""
_ENTRIES = (12, 13, 14)
"""GDT_ENTRY_TLS_MIN to MAX of a 64-bit kernel (arch/x86/include/asm/segment.h)."""
_ANY = 0xFFFFFFFF
_IS_32BIT, _CONTENTS, _CODE, _READ_ONLY, _IN_PAGES, _NOT_PRESENT, _USEABLE = (
    1, 6, 4, 8, 0x10, 0x20, 0x40,
)  # fmt: skip
_KNOWN = 0x7F


def _descriptor(base: int, limit: int, flags: int) -> bytes:
    """As desc.h, fill_ldt, has it; empty for LDT_empty and LDT_zero. Raises LinuxError."""
    if (
        not base
        and not limit
        and (not flags & _KNOWN or flags & _KNOWN == _READ_ONLY | _NOT_PRESENT)
    ):
        return b""
    if not flags & _IS_32BIT or flags & _CODE or flags & _NOT_PRESENT:
        raise LinuxError(Errno.EINVAL)
    access = 0xF1 | (flags & _CONTENTS) << 1 | (0 if flags & _READ_ONLY else 2)
    high = limit >> 16 & 0xF | bool(flags & _USEABLE) << 4 | 0x40 | bool(flags & _IN_PAGES) << 7
    return struct.pack(
        "<HHBBBB", limit & 0xFFFF, base & 0xFFFF, base >> 16 & 0xFF, access, high, base >> 24
    )


def set_thread_area(process: LinuxProcess, u_info: int) -> OnRegisters:
    """set_thread_area(2) of a 32-bit process."""
    wanted, base, limit, flags = _USER_DESC.unpack(process.memory.read(u_info, _USER_DESC.size))
    descriptor = _descriptor(base, limit, flags)

    def change(saved: dict[str, bytes]) -> int:
        entry = wanted
        if entry == _ANY:
            free = [entry for entry in _ENTRIES if not saved[f"tls{entry}"]]
            if not free:
                raise LinuxError(Errno.ESRCH)
            entry = free[0]
            process.memory.put(u_info, entry.to_bytes(4, "little"))
        if entry not in _ENTRIES:
            raise LinuxError(Errno.EINVAL)
        saved[f"tls{entry}"] = descriptor
        return 0

    return OnRegisters(change)


_SEGMENTS = "The CPU does not enforce a segment's limit, nor that it is read only."
_ARCH = "ARCH_GET_XCOMP_SUPP and its kind, and ARCH_MAP_VDSO_64 and its, stop the run."
ROWS = (
    call("set_thread_area", "ptr u_info", set_thread_area, note=_SEGMENTS, only="i386"),
    call("arch_prctl", "int option, ptr addr", arch_prctl, note=_ARCH),
)
