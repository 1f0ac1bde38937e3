"""System calls on processes: identity, other names of what the core has, and those by which a C
library has thread-local storage on x86 (elsewhere the pointer is a plain register).

Source: Linux, kernel/fork.c, kernel/exit.c, kernel/sys.c; arch/x86/kernel/process_64.c and
process.c (arch_prctl), tls.c and include/asm/desc.h (set_thread_area).
"""

import struct
from functools import partial

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.errors import GuestFailed
from bootstrap.core.syscalls import exit_process, fork
from bootstrap.linux.process import LinuxProcess, OnRegisters
from bootstrap.linux.row import call
from bootstrap.linux.structs import pack_utsname

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
_THREADS = (
    call("set_thread_area", "ptr u_info", set_thread_area, note=_SEGMENTS, only="i386"),
    call("arch_prctl", "int option, ptr addr", arch_prctl, note=_ARCH),
)


UTS_RELEASE = b"6.1.0"
UTS_VERSION = b"#1 SMP"
UTS_NODENAME = b"bootstrap"
UTS_DOMAINNAME = b"(none)"
MACHINE = {"i386": b"i686"}
"""What uname(2) calls a machine that is not called as its ABI."""


def getpid(process: LinuxProcess, *_: int) -> int:
    """getpid(2), and gettid(2): a process has one thread. set_tid_address(2): the address matters
    only where memory is shared between processes."""
    return process.pid


def getppid(process: LinuxProcess) -> int:
    """getppid(2)."""
    return process.ppid


def get_id(process: LinuxProcess) -> int:
    """getuid(2), geteuid(2), getgid(2), getegid(2): the guest is root."""
    return 0


def set_id(process: LinuxProcess, wanted: int, invalid: int = 0xFFFFFFFF) -> int:
    """setuid(2) and setgid(2); `invalid` is the id that is never one, (uid_t) -1."""
    value = wanted & invalid
    if value == invalid:
        raise LinuxError(Errno.EINVAL)
    if value:
        raise GuestFailed(f"changing the user or group to {value}: the guest is always root")
    return 0


def umask(process: LinuxProcess, mask: int) -> int:
    """umask(2)."""
    old = process.umask
    process.umask = mask & 0o777
    return old


def uname(process: LinuxProcess, buf: int, fields: int = 6) -> int:
    """uname(2): struct new_utsname; and the i386 call that Linux names olduname: struct
    old_utsname, without the domain name."""
    name = process.arch.name
    machine = MACHINE.get(name, name.encode("ascii"))
    whole = (b"Linux", UTS_NODENAME, UTS_RELEASE, UTS_VERSION, machine, UTS_DOMAINNAME)
    process.memory.write(buf, pack_utsname(whole[:fields]))
    return 0


_UNAME = "Always the same: Linux 6.1.0 on node `bootstrap`, with the machine name of the ABI."
_ROOT = "The guest is root: 0 changes nothing and succeeds, any other id stops the run."
_VFORK = (
    "The child gets a copy of the memory: the parent does not see what it stored before it called "
    "execve or exit."
)
_OLD_ID = partial(set_id, invalid=0xFFFF)
# fmt: off
ROWS = (
    *_THREADS,
    call("exit_group", "int status", exit_process, result="none"),
    call("vfork", "", fork, note=_VFORK),
    call("getpid", "", getpid),
    call("gettid", "", getpid),
    call("getppid", "", getppid),
    *(call(f"get{kind}id{bits}", "", get_id)
      for kind in ("u", "eu", "g", "eg") for bits in ("", "32")),
    *(call(f"set{kind}id", f"uid {kind}id", set_id, note=_ROOT, but="i386") for kind in "ug"),
    *(call(f"set{kind}id", f"uid {kind}id", _OLD_ID, note=_ROOT, only="i386") for kind in "ug"),
    *(call(f"set{kind}id32", f"uid {kind}id", set_id, note=_ROOT) for kind in "ug"),
    call("set_tid_address", "ptr tidptr", getpid),
    call("umask", "mode mask", umask, result="octal"),
    call("uname", "utsname_out buf", uname, note=_UNAME, support="full"),
    call("olduname", "ptr buf", partial(uname, fields=5), note=_UNAME, support="full"),
)
# fmt: on
