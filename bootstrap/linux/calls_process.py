"""System calls on processes: identity, and other names of what the core has.

Source: Linux, kernel/fork.c, kernel/exit.c, kernel/sys.c.
"""

from functools import partial

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.errors import GuestFailed
from bootstrap.core.syscalls import exit_process, fork
from bootstrap.linux.process import LinuxProcess
from bootstrap.linux.row import call
from bootstrap.linux.structs import pack_utsname

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
