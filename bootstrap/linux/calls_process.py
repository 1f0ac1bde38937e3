"""System calls on processes: begin, end, wait, identity.

Source: Linux, kernel/fork.c, kernel/exit.c, kernel/sys.c, fs/exec.c. A child runs before its parent
goes on, so by the time a parent waits its children have ended: waiting never blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootstrap.core.abi import (
    CLD_EXITED,
    CLD_KILLED,
    P_ALL,
    P_PGID,
    P_PID,
    P_PIDFD,
    WALL,
    WCLONE,
    WCONTINUED,
    WEXITED,
    WNOHANG,
    WNOTHREAD,
    WNOWAIT,
    WUNTRACED,
    Errno,
    LinuxError,
)
from bootstrap.core.errors import GuestFailed
from bootstrap.core.memory import WRITE
from bootstrap.linux.calls_path import user_path
from bootstrap.linux.process import Exec, Exit, Fork
from bootstrap.linux.structs import Word, pack_utsname

if TYPE_CHECKING:
    from bootstrap.linux.process import Process
    from bootstrap.linux.row import Handler

UTS_RELEASE = b"6.1.0"
UTS_VERSION = b"#1 SMP"
UTS_NODENAME = b"bootstrap"
UTS_DOMAINNAME = b"(none)"
MACHINE = {"i386": b"i686"}
"""What uname(2) calls a machine that is not called as its ABI."""

SIGCHLD = 17

ARGUMENT_BYTES = (8 << 20) // 4
"""Space for argument and environment strings and pointers: a quarter of an 8 MiB stack."""

STRING_BYTES = 32 * 4096
"""MAX_ARG_STRLEN, the longest argument, its NUL included (include/uapi/linux/binfmts.h)."""


def sys_exit(proc: Process, status: int) -> Exit:
    """_exit(2): the low eight bits reach the parent."""
    return Exit(status & 0xFF)


def sys_fork(proc: Process) -> Fork:
    """fork(2)."""
    return Fork()


def sys_clone(proc: Process, flags: int, stack: int, ptid: int, a: int, b: int) -> Fork:
    """clone(2), where it does what fork(2) does."""
    if flags != SIGCHLD:
        raise GuestFailed(
            f"clone with flags {flags:#x}: only SIGCHLD alone ({SIGCHLD:#x}) is supported; "
            "threads and namespaces are not"
        )
    return Fork(stack)


def _strings(proc: Process, word: Word, guest_addr: int, room: int) -> tuple[bytes, ...]:
    """The strings of a NULL-terminated array of addresses; an array at 0 is empty."""
    if not guest_addr:
        return ()
    memory, size = proc.memory, word.size
    found: list[bytes] = []
    while True:
        (string_addr,) = word.pointer.unpack(memory.read(guest_addr, size))
        if not string_addr:
            return tuple(found)
        try:
            text = memory.read_cstring(string_addr, STRING_BYTES)
        except LinuxError as error:
            too_long = error.errno == Errno.ENAMETOOLONG
            raise LinuxError(Errno.E2BIG if too_long else Errno.EFAULT) from None
        room -= len(text) + 1 + size
        if room < 0:
            raise LinuxError(Errno.E2BIG)
        found.append(text)
        guest_addr += size


def execve_for(word: Word) -> Handler:
    """execve(2) for a word size: reads its arguments; the loader finds the other errors."""

    def sys_execve(proc: Process, path: int, argv: int, envp: int) -> Exec:
        name = user_path(proc, path)
        arguments = _strings(proc, word, argv, ARGUMENT_BYTES)
        used = sum(len(text) + 1 + word.size for text in arguments)
        environment = _strings(proc, word, envp, ARGUMENT_BYTES - used)
        # Since Linux 5.18 an empty argv becomes one empty string (fs/exec.c).
        return Exec(name, arguments or (b"",), environment)

    return sys_execve


WAIT4_OPTIONS = WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | WCLONE


def sys_wait4(proc: Process, pid: int, status: int, options: int, rusage: int) -> int:
    """wait4(2): reaps an ended child, the one that ended first when any will do."""
    if options & 0xFFFFFFFF & ~WAIT4_OPTIONS:
        raise LinuxError(Errno.EINVAL)
    if pid == -(1 << 31):
        raise LinuxError(Errno.ESRCH)
    if options & WCLONE and not options & WALL:
        raise LinuxError(Errno.ECHILD)
    if pid < -1:
        raise GuestFailed(f"wait for process group {-pid}: process groups are not supported")
    _check_rusage(proc, "wait4", rusage)
    # All processes are in one group, so 0 (any child in the group) means any child, as -1 does.
    chosen = pid if pid > 0 else next(iter(proc.zombies), 0)
    if chosen not in proc.zombies:
        raise LinuxError(Errno.ECHILD)
    wait_status = proc.zombies.pop(chosen)
    if status:
        proc.memory.put(status, wait_status.to_bytes(4, "little"))
    if rusage:
        raise LinuxError(Errno.EFAULT)
    return chosen


def _check_rusage(proc: Process, call: str, rusage: int) -> None:
    """A null rusage is not told anything, and one that cannot be stored to gives EFAULT.

    That comes when the child is reaped already: so Linux does it (kernel/exit.c), and M2libc's
    waitpid for AArch64, which gives -1, lives by it.
    """
    if rusage and proc.memory.reachable(rusage, 1, WRITE):
        raise GuestFailed(f"{call} with rusage: the guest has no clock to account by")


def sys_waitpid(proc: Process, pid: int, status: int, options: int) -> int:
    """waitpid(2)."""
    return sys_wait4(proc, pid, status, options, 0)


WAITID_OPTIONS = WAIT4_OPTIONS | WEXITED | WNOWAIT


def waitid_for(word: Word) -> Handler:
    """waitid(2) for a word size: siginfo_t differs."""

    def sys_waitid(
        proc: Process, kind: int, wanted: int, infop: int, options: int, rusage: int
    ) -> int:
        _check_rusage(proc, "waitid", rusage)
        told, error = (0,) * 6, None
        try:
            pid = _waitid_chosen(proc, kind, wanted, options & 0xFFFFFFFF)
        except LinuxError as raised:
            pid, error = 0, raised
        if pid:
            status = proc.zombies[pid] if options & WNOWAIT else proc.zombies.pop(pid)
            signal = status & 0x7F
            code, value = (CLD_KILLED, signal) if signal else (CLD_EXITED, status >> 8 & 0xFF)
            told = (SIGCHLD, 0, code, pid, 0, value)
            if rusage:
                raise LinuxError(Errno.EFAULT)
        # Linux stores what it found, or zeros, whether it found anything or not (kernel/exit.c).
        if infop:
            _store_siginfo(proc, word, infop, told)
        if error is not None:
            raise error
        return 0

    return sys_waitid


def _store_siginfo(proc: Process, word: Word, infop: int, told: tuple[int, ...]) -> None:
    """The fields that waitid stores, and none of the bytes between or after them."""
    memory, raw = proc.memory, word.siginfo.pack(*told)
    rest = word.siginfo.size - 12
    if memory.reachable(infop, len(raw), WRITE) != len(raw):
        raise LinuxError(Errno.EFAULT)
    memory.write(infop, raw[:12])
    memory.write(infop + rest, raw[rest:])


def _waitid_chosen(proc: Process, kind: int, wanted: int, options: int) -> int:
    """The ended child that waitid is to tell of. Raises LinuxError."""
    if options & ~WAITID_OPTIONS or not options & (WEXITED | WUNTRACED | WCONTINUED):
        raise LinuxError(Errno.EINVAL)
    if kind not in (P_ALL, P_PID, P_PGID, P_PIDFD):
        raise LinuxError(Errno.EINVAL)
    if (kind == P_PID and wanted <= 0) or (kind in (P_PGID, P_PIDFD) and wanted < 0):
        raise LinuxError(Errno.EINVAL)
    if kind == P_PIDFD:
        proc.fds.get(wanted)  # EBADF when it is not open, and when it is no pidfd: none can be
        raise LinuxError(Errno.EBADF)
    if kind == P_PGID and wanted:
        raise GuestFailed(f"wait for process group {wanted}: process groups are not supported")
    chosen = wanted if kind == P_PID else next(iter(proc.zombies), 0)
    # An ended child is waited for by WEXITED only: it neither stops nor continues any more.
    wanted_so = options & WEXITED and (options & WALL or not options & WCLONE)
    if chosen not in proc.zombies or not wanted_so:
        raise LinuxError(Errno.ECHILD)
    return chosen


def sys_getpid(proc: Process) -> int:
    """getpid(2), and gettid(2): a process has one thread."""
    return proc.pid


def sys_set_tid_address(proc: Process, guest_addr: int) -> int:
    """set_tid_address(2): the address matters only where memory is shared between processes."""
    return proc.pid


def sys_getppid(proc: Process) -> int:
    """getppid(2)."""
    return proc.ppid


def sys_no_such_call(proc: Process) -> int:
    """A number that no call has: Linux answers ENOSYS (kernel/sys_ni.c, sys_ni_syscall)."""
    raise LinuxError(Errno.ENOSYS)


def sys_get_id(proc: Process) -> int:
    """getuid(2), geteuid(2), getgid(2), getegid(2): the guest is root."""
    return 0


def set_id_for(invalid: int) -> Handler:
    """setuid(2) and setgid(2); `invalid` is the id that is never one, (uid_t) -1."""

    def sys_set_id(proc: Process, wanted: int) -> int:
        value = wanted & invalid
        if value == invalid:
            raise LinuxError(Errno.EINVAL)
        if value:
            raise GuestFailed(f"changing the user or group to {value}: the guest is always root")
        return 0

    return sys_set_id


def sys_umask(proc: Process, mask: int) -> int:
    """umask(2)."""
    old = proc.umask
    proc.umask = mask & 0o777
    return old


def _utsname(proc: Process) -> tuple[bytes, ...]:
    return (
        b"Linux",
        UTS_NODENAME,
        UTS_RELEASE,
        UTS_VERSION,
        MACHINE.get(proc.abi.name, proc.abi.name.encode("ascii")),
        UTS_DOMAINNAME,
    )


def sys_uname(proc: Process, buf: int) -> int:
    """uname(2): struct new_utsname."""
    proc.memory.write(buf, pack_utsname(_utsname(proc)))
    return 0


def sys_olduname(proc: Process, buf: int) -> int:
    """The i386 call that Linux names olduname: struct old_utsname, without the domain name."""
    proc.memory.write(buf, pack_utsname(_utsname(proc)[:5]))
    return 0
