"""The 22 system calls that bootstraps make: what each does, and its row in the table.

Claims: each call does what Linux does for everything that a guest of this core can ask, errors and
their order included, or ends the run and says what it lacks (the row's note). No call does less and
reports success, and a number without a row ends the run.
Relies on: `memory`, `files`, `paths` and `process`, which do the work; here are the arguments.
Tests that would fail if it lied: tests/core/test_calls.py, test_table.py, test_native.py.

A handler is written like its manual page: `handler(process, *arguments)` returns a number, or an
Exit, Fork or Exec for the machine to carry out, and raises LinuxError for an errno. `dirfd` and the
like are names of the manual pages. Sources: Linux, the files named at each.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from bootstrap.core import abi
from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.arches import ARCHES, Arch
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import Directory, OpenFile, RegularFile, Stream
from bootstrap.core.memory import READ, WRITE
from bootstrap.core.paths import PathBase
from bootstrap.core.process import Control, Exec, Exit, Fork, Process

# Reading and writing: fs/read_write.c. These run tens of millions of times in one bootstrap, so
# the common case comes first.

PIECE = 4 << 20
"""Bytes that are in the host's memory at once between guest and file. More than a pipe or terminal
ever has at once: a stream that fills it is a file or endless, and is read on."""


def _checked_count(process: Process, buf: int, count: int, offset: int) -> int:
    """`count` as read and write use it at `offset`. Raises LinuxError: EFAULT, EINVAL.

    The whole range is checked before the first byte (vfs_read, rw_verify_area).
    """
    if buf + count > process.arch.access_end:
        raise LinuxError(Errno.EFAULT)
    if count >> 31 and process.arch.access_end < 1 << 32:
        raise LinuxError(Errno.EINVAL)  # a kernel of 32 bits takes it for negative
    if offset + count > abi.MAX_OFFSET:
        raise LinuxError(Errno.EINVAL)
    return min(count, abi.MAX_RW_COUNT)


def read(process: Process, fd: int, buf: int, count: int) -> int:
    """read(2)."""
    file = process.fds.get(fd)
    if not file.readable:
        raise LinuxError(Errno.EBADF)
    if buf + count > process.arch.access_end or file.offset + count > abi.MAX_RW_COUNT:
        count = _checked_count(process, buf, count, file.offset)
    if count > PIECE or file.inode.__class__ is Stream:
        return read_pieces(process, file, buf, count)
    data = file.read(count)
    if data:
        try:
            process.memory.write(buf, data)
        except LinuxError:
            file.offset -= len(data)
            return read_pieces(process, file, buf, count)
    return len(data)


def read_pieces(process: Process, file: OpenFile, buf: int, count: int) -> int:
    """Read until the end, or up to what cannot be stored: what a stream gave cannot be put back."""
    room = process.memory.reachable(buf, count, WRITE)
    if count and not room:
        # Linux finds it when there is a first byte to store; a stream is not asked for one.
        if file.inode.__class__ is not Stream:
            if not file.read(1):
                return 0
            file.offset -= 1
        raise LinuxError(Errno.EFAULT)
    done = 0
    while True:
        wanted = min(PIECE, room - done)
        data = file.read(wanted)
        process.memory.write(buf + done, data)
        done += len(data)
        if len(data) < wanted or done == room:
            return done


def write(process: Process, fd: int, buf: int, count: int) -> int:
    """write(2)."""
    file = process.fds.get(fd)
    if not file.writable:
        raise LinuxError(Errno.EBADF)
    if buf + count > process.arch.access_end or file.offset + count > abi.MAX_RW_COUNT:
        count = _checked_count(process, buf, count, file.offset)
    if not count:
        return 0
    if count > PIECE:
        return write_pieces(process, file, buf, count)
    try:
        data = process.memory.read(buf, count)
    except LinuxError:
        return write_pieces(process, file, buf, count)
    return file.write(data)


def write_pieces(process: Process, file: OpenFile, buf: int, count: int) -> int:
    """Write up to what cannot be read; the limits are checked before the first byte.

    What a stream does not take whole ends it.
    """
    readable = process.memory.reachable(buf, count, READ)
    if not readable:
        raise LinuxError(Errno.EFAULT)
    total, done = file.room(readable), 0
    while done < total:
        data = process.memory.read(buf + done, min(PIECE, total - done))
        try:
            written = file.write(data)
        except LinuxError:
            if not done:
                raise
            break
        done += written
        if written < len(data):
            break
    return done


def lseek(process: Process, fd: int, offset: int, whence: int) -> int:
    """lseek(2). A 64-bit kernel never has EOVERFLOW for 32-bit processes: the register cuts."""
    return process.fds.get(fd).seek(offset, whence) & process.arch.word_mask


def llseek(process: Process, fd: int, high: int, low: int, result: int, whence: int) -> int:
    """_llseek(2)."""
    position = process.fds.get(fd).seek(signed(high << 32 | low, 64), whence)
    process.memory.write(result, position.to_bytes(8, "little"))
    return 0


def close(process: Process, fd: int) -> int:
    """close(2)."""
    if process.fds.get(fd).refs == 1:
        process.emit("Closed", file=process.fds.get(fd))
    process.fds.close(fd)
    return 0


def close_each(process: Process, fds: Iterable[int]) -> None:
    """What execve(2) does with the descriptors that were marked, and an end with all."""
    for fd in sorted(fds):
        close(process, fd)


# Paths: fs/open.c, fs/namei.c.


def user_path(process: Process, guest_addr: int) -> bytes:
    """The path at `guest_addr`. Raises LinuxError: EFAULT, ENAMETOOLONG, ENOENT when empty."""
    path = process.memory.read_cstring(guest_addr, abi.PATH_MAX)
    if not path:
        raise LinuxError(Errno.ENOENT)
    return path


def directory_of(process: Process, dirfd: int, path: bytes) -> PathBase:
    """Where the look-up of `path` starts. Raises LinuxError: EBADF, ENOTDIR."""
    if dirfd == abi.AT_FDCWD or path.startswith(b"/"):
        return process.base
    inode = process.fds.get(dirfd).inode
    if not isinstance(inode, Directory):
        raise LinuxError(Errno.ENOTDIR)
    return PathBase(process.base.root, inode)


def openat(process: Process, dirfd: int, path: int, flags: int, mode: int) -> int:
    """openat(2). Raises GuestFailed for O_PATH."""
    # The old calls drop what they do not know (build_open_how, build_open_flags).
    flags = flags & abi.VALID_OPEN_FLAGS | process.arch.implied_open_flags
    if flags & abi.O_PATH:
        raise GuestFailed("open with O_PATH is not supported")
    if flags & abi.O_CREAT and flags & abi.O_DIRECTORY:
        raise LinuxError(Errno.EINVAL)
    if flags & abi.O_TMPFILE & ~abi.O_DIRECTORY:
        if not flags & abi.O_DIRECTORY or flags & abi.O_ACCMODE == abi.O_RDONLY:
            raise LinuxError(Errno.EINVAL)
        raise LinuxError(Errno.EOPNOTSUPP)
    if flags & abi.O_SYNC:
        flags |= abi.O_DSYNC
    name = user_path(process, path)
    # Linux takes the descriptor before it looks at the path: EMFILE wins, and nothing is made.
    fd = process.fds.lowest_free()
    base = directory_of(process, dirfd, name)
    permissions = mode & abi.PERMISSIONS & ~process.umask
    file, made = process.files.open(base, name, flags, permissions)
    process.fds.put(fd, file, close_on_exec=bool(flags & abi.O_CLOEXEC))
    if made is not None:
        process.emit("Changed", what="name", inode=file.inode, place=made)
    elif flags & abi.O_TRUNC and isinstance(file.inode, RegularFile):
        process.emit("Changed", what="truncate", inode=file.inode)
    process.emit("Opened", base=base, path=name, file=file, flags=flags, fd=fd)
    return fd


def faccessat(process: Process, dirfd: int, path: int, mode: int) -> int:
    """faccessat(2): the system call has no flags."""
    if mode & ~7:
        raise LinuxError(Errno.EINVAL)
    name = user_path(process, path)
    inode = process.files.resolve(directory_of(process, dirfd, name), name)
    executable = isinstance(inode, Directory) or inode.mode & abi.ANY_EXECUTE
    if mode & abi.X_OK and not executable:
        raise LinuxError(Errno.EACCES)  # all that may be denied to root
    return 0


def chdir(process: Process, path: int) -> int:
    """chdir(2)."""
    inode = process.files.resolve(process.base, user_path(process, path))
    if not isinstance(inode, Directory):
        raise LinuxError(Errno.ENOTDIR)
    process.base = PathBase(process.base.root, inode)
    return 0


def fchmodat(process: Process, dirfd: int, path: int, mode: int) -> int:
    """fchmodat(2): the system call has no flags."""
    name = user_path(process, path)
    inode = process.files.resolve(directory_of(process, dirfd, name), name)
    inode.mode = inode.mode & abi.S_IFMT | mode & abi.PERMISSIONS
    process.emit("Changed", what="mode", inode=inode)
    return 0


def unlinkat(process: Process, dirfd: int, path: int, flags: int = 0) -> int:
    """unlinkat(2). Raises GuestFailed for AT_REMOVEDIR."""
    if flags & ~abi.AT_REMOVEDIR:
        raise LinuxError(Errno.EINVAL)
    if flags:
        raise GuestFailed("unlinkat with AT_REMOVEDIR is not supported")
    name = user_path(process, path)
    base = directory_of(process, dirfd, name)
    inode, place = process.files.unlink(base, name)
    process.emit("Changed", what="unname", inode=inode, place=place)
    return 0


# Memory: mm/mmap.c.


def brk(process: Process, end: int) -> int:
    """brk as the system call has it: returns where the heap ends, whether it moved or not."""
    return process.memory.brk(end)


# Processes: kernel/fork.c, kernel/exit.c, fs/exec.c. A child runs before its parent goes on, so by
# the time a parent waits its children have ended: waiting never blocks.

ARGUMENT_BYTES = (8 << 20) // 4
"""Space for argument and environment strings and pointers: a quarter of an 8 MiB stack."""
STRING_BYTES = 32 * 4096
"""MAX_ARG_STRLEN, the longest argument, its NUL included (include/uapi/linux/binfmts.h)."""
_SIGINFO = {4: struct.Struct("<6i"), 8: struct.Struct("<3i4x3i")}
"""By word size, siginfo_t of SIGCHLD up to si_status: si_signo, si_errno, si_code, si_pid, si_uid,
si_status (include/uapi/asm-generic/siginfo.h)."""
_WAIT4_OPTIONS = (
    abi.WNOHANG | abi.WUNTRACED | abi.WCONTINUED | abi.WNOTHREAD | abi.WALL | abi.WCLONE
)
_WAITID_OPTIONS = _WAIT4_OPTIONS | abi.WEXITED | abi.WNOWAIT


def exit_process(process: Process, status: int) -> Exit:
    """_exit(2): the low eight bits reach the parent."""
    return Exit(status & 0xFF)


def fork(process: Process) -> Fork:
    """fork(2)."""
    return Fork()


def clone(process: Process, flags: int, stack: int, *_: int) -> Fork:
    """clone(2), where it does what fork(2) does."""
    if flags != abi.SIGCHLD:
        raise GuestFailed(
            f"clone with flags {flags:#x}: only SIGCHLD alone ({abi.SIGCHLD:#x}) is supported; "
            "threads and namespaces are not"
        )
    return Fork(stack)


def execve(process: Process, path: int, argv: int, envp: int) -> Exec:
    """execve(2): its arguments; the loader finds the other errors."""
    word = process.arch.word
    name = user_path(process, path)
    arguments = _strings(process, argv, ARGUMENT_BYTES)
    used = sum(len(text) + 1 + word for text in arguments)
    environment = _strings(process, envp, ARGUMENT_BYTES - used)
    # Since Linux 5.18 an empty argv becomes one empty string (fs/exec.c).
    return Exec(name, arguments or (b"",), environment)


def _strings(process: Process, guest_addr: int, room: int) -> tuple[bytes, ...]:
    """The strings of a NULL-terminated array of addresses; an array at 0 is empty."""
    if not guest_addr:
        return ()
    memory, size = process.memory, process.arch.word
    found: list[bytes] = []
    while True:
        string_addr = int.from_bytes(memory.read(guest_addr, size), "little")
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


def wait4(process: Process, pid: int, status: int, options: int, rusage: int = 0) -> int:
    """wait4(2): reaps an ended child, the one that ended first when any will do."""
    if options & 0xFFFFFFFF & ~_WAIT4_OPTIONS:
        raise LinuxError(Errno.EINVAL)
    if pid == -(1 << 31):
        raise LinuxError(Errno.ESRCH)
    if options & abi.WCLONE and not options & abi.WALL:
        raise LinuxError(Errno.ECHILD)
    if pid < -1:
        raise GuestFailed(f"wait for process group {-pid}: process groups are not supported")
    _check_rusage(process, "wait4", rusage)
    # All processes are in one group, so 0 (any child in the group) means any child, as -1 does.
    chosen = pid if pid > 0 else next(iter(process.zombies), 0)
    if chosen not in process.zombies:
        raise LinuxError(Errno.ECHILD)
    wait_status = process.zombies.pop(chosen)
    if status:
        process.memory.put(status, wait_status.to_bytes(4, "little"))
    if rusage:
        raise LinuxError(Errno.EFAULT)
    return chosen


def _check_rusage(process: Process, call: str, rusage: int) -> None:
    """Nothing is stored at a null rusage, and one that cannot be stored to gives EFAULT.

    That comes when the child is reaped already: so Linux does it (kernel/exit.c), and M2libc's
    waitpid for AArch64, which gives -1, lives by it.
    """
    if rusage and process.memory.reachable(rusage, 1, WRITE):
        raise GuestFailed(f"{call} with rusage: the guest has no clock to account by")


def waitid(
    process: Process, idtype: int, wanted: int, infop: int, options: int, rusage: int
) -> int:
    """waitid(2)."""
    _check_rusage(process, "waitid", rusage)
    fields, error = (0,) * 6, None
    try:
        pid = _waitid_chosen(process, idtype, wanted, options & 0xFFFFFFFF)
    except LinuxError as raised:
        pid, error = 0, raised
    if pid:
        zombies = process.zombies
        status = zombies[pid] if options & abi.WNOWAIT else zombies.pop(pid)
        signal = status & 0x7F
        code = abi.CLD_KILLED if signal else abi.CLD_EXITED
        fields = (abi.SIGCHLD, 0, code, pid, 0, signal or status >> 8 & 0xFF)
        if rusage:
            raise LinuxError(Errno.EFAULT)
    # Linux stores what it found, or zeros, whether it found anything or not (kernel/exit.c).
    if infop:
        _store_siginfo(process, infop, fields)
    if error is not None:
        raise error
    return 0


def _store_siginfo(process: Process, infop: int, fields: tuple[int, ...]) -> None:
    """The fields that waitid stores, and none of the bytes between or after them."""
    memory, raw = process.memory, _SIGINFO[process.arch.word].pack(*fields)
    rest = len(raw) - 12
    if memory.reachable(infop, len(raw), WRITE) != len(raw):
        raise LinuxError(Errno.EFAULT)
    memory.write(infop, raw[:12])
    memory.write(infop + rest, raw[rest:])


def _waitid_chosen(process: Process, idtype: int, wanted: int, options: int) -> int:
    """The ended child that waitid is asked for. Raises LinuxError."""
    if options & ~_WAITID_OPTIONS or not options & (abi.WEXITED | abi.WUNTRACED | abi.WCONTINUED):
        raise LinuxError(Errno.EINVAL)
    if idtype not in (abi.P_ALL, abi.P_PID, abi.P_PGID, abi.P_PIDFD):
        raise LinuxError(Errno.EINVAL)
    if (idtype == abi.P_PID and wanted <= 0) or (
        idtype in (abi.P_PGID, abi.P_PIDFD) and wanted < 0
    ):
        raise LinuxError(Errno.EINVAL)
    if idtype == abi.P_PIDFD:
        process.fds.get(wanted)  # EBADF when it is not open, and when it is no pidfd: none can be
        raise LinuxError(Errno.EBADF)
    if idtype == abi.P_PGID and wanted:
        raise GuestFailed(f"wait for process group {wanted}: process groups are not supported")
    chosen = wanted if idtype == abi.P_PID else next(iter(process.zombies), 0)
    # An ended child is waited for by WEXITED only: it neither stops nor continues any more.
    ended = options & abi.WEXITED and (options & abi.WALL or not options & abi.WCLONE)
    if chosen not in process.zombies or not ended:
        raise LinuxError(Errno.ECHILD)
    return chosen


def no_such_call(process: Process) -> int:
    """A number that no call has: Linux gives ENOSYS (kernel/sys_ni.c, sys_ni_syscall)."""
    raise LinuxError(Errno.ENOSYS)


# The table.

Handler = Callable[..., int | Control]
"""handler(process, *arguments); raises LinuxError, GuestFailed.

The argument count differs from row to row, so the type cannot say more.
"""


WORDS: Mapping[str, str] = {
    **dict.fromkeys("fd dirfd int access_mode wait_id_type wait_options".split(), "int"),
    **dict.fromkeys("mode whence seek_high seek_low unlinkat_flags".split(), "unsigned"),
    **dict.fromkeys("ptr size path strings environment clone_flags".split(), "register"),
    **dict.fromkeys("buffer_in buffer_out offset_out status_out siginfo_out".split(), "register"),
    "offset": "long",
    "open_flags": "open_flags",
}
"""The words before the arguments' names in a row: to a printer a form, here how a register becomes
the argument, as C's conversion to its type does. int: the low 32 bits, signed; unsigned: the same,
unsigned; long: the register, signed; register: unsigned; open_flags: unsigned, in our values."""


def signed(value: int, bits: int) -> int:
    """The low `bits` of `value` as a signed number."""
    sign = 1 << (bits - 1)
    return ((value & (sign << 1) - 1) ^ sign) - sign


@dataclass(frozen=True)
class Syscall:
    """One row: all that is known of a call. After gVisor's table (pkg/sentry/syscalls/linux)."""

    name: str
    numbers: Mapping[str, int]
    """By the tables that an architecture has (Arch.call_tables)."""
    arguments: str
    """"word name, word name": for each argument a word of WORDS, and its name in the manual."""
    handler: Handler
    first: tuple[int, ...] = ()
    """Arguments for the handler before those of the call: `open` is `openat` at AT_FDCWD."""
    support: str = "full"
    """full: as Linux, for everything a guest can ask; partial: for the cases that the note gives,
    any other stops the run. Tables outside the core have further words."""
    note: str = ""
    result: str = "int"
    """How a printer shows a result."""


@dataclass(frozen=True, slots=True)
class BoundCall:
    """A row on one architecture."""

    row: Syscall
    handler: Handler
    end: int
    """The arguments are the registers from 1 up to this one; 0 is the call's number."""
    conversions: tuple[tuple[int, int, Callable[[int], int]], ...]
    """Of which argument, up to which value it is the register, what to do with a greater one."""

    def arguments(self, registers: Sequence[int]) -> Sequence[int]:
        """The handler's arguments, from the number and six argument registers."""
        # Every call comes through here: tens of millions in one bootstrap.
        values = registers[1 : self.end]
        for index, highest, convert in self.conversions:
            if values[index] > highest:
                values = [*values[:index], convert(values[index]), *values[index + 1 :]]
        return values


Tables = Mapping[str, Mapping[int, BoundCall]]
"""By Arch.name, the calls by their numbers."""


def tables(rows: Iterable[Syscall], words: Mapping[str, str] = WORDS) -> Tables:
    """Rows as tables.

    Raises ValueError where two rows have one number, KeyError for a word that is not in `words`.
    """
    found: dict[str, dict[int, BoundCall]] = {arch.name: {} for arch in ARCHES}
    for row, arch in product(rows, ARCHES):
        table = found[arch.name]
        for number in (row.numbers[key] for key in arch.call_tables if key in row.numbers):
            if number in table:
                raise ValueError(f"{row.name} and {table[number].row.name} have one number")
            table[number] = _bound(row, arch, words)
    return found


def _bound(row: Syscall, arch: Arch, words: Mapping[str, str]) -> BoundCall:
    kinds = [words[part.split()[0]] for part in row.arguments.split(",") if part]
    conversions = tuple(
        (index, *_conversion(kind, arch)) for index, kind in enumerate(kinds) if kind != "register"
    )
    handler, first = row.handler, row.first
    if first:
        handler = lambda process, *rest: row.handler(process, *first, *rest)  # noqa: E731
    return BoundCall(row, handler, 1 + len(kinds), conversions)


def _conversion(kind: str, arch: Arch) -> tuple[int, Callable[[int], int]]:
    """Up to which value an argument is its register, and what to do with a greater one."""
    if kind == "unsigned":
        return 0xFFFFFFFF, lambda value: value & 0xFFFFFFFF
    if kind == "open_flags":
        lowest = min((bit for pair in arch.swapped_open_flags for bit in pair), default=1 << 32)
        return lowest - 1, lambda value: arch.open_flags(value & 0xFFFFFFFF)
    bits = 32 if kind == "int" else 8 * arch.word
    return (1 << (bits - 1)) - 1, lambda value: signed(value, bits)


_OPEN_NOTE = "O_PATH stops the run; O_TMPFILE fails with EOPNOTSUPP."
_CLONE_NOTE = "Flags SIGCHLD alone, which is fork(2); any other flag stops the run."
_WAIT_NOTE = (
    "Children have ended before their parent runs on, so it never blocks and WNOHANG changes "
    "nothing. Process groups (pid below -1) stop the run, as does an rusage that could be stored: "
    "the guest has no clock."
)
_NO_CALL_NOTE = (
    "No call of arm64: ENOSYS, as on Linux. M2libc took it for unlink, mknod or mkdir until "
    "stage0-posix 1.7.0, and goes on."
)
_OPENAT = "dirfd dirfd, path pathname, open_flags flags, mode mode"
_WAIT4 = "int pid, status_out wstatus, wait_options options, ptr rusage"
_WAITID = "wait_id_type idtype, int id, siginfo_out infop, wait_options options, ptr rusage"
_LLSEEK = "fd fd, seek_high offset_high, seek_low offset_low, offset_out result, whence whence"
_CLONE, _CLONE_X86_64 = (
    f"clone_flags flags, ptr stack, ptr ptid, {rest}"
    for rest in ("ptr tls, ptr ctid", "ptr ctid, ptr tls")
)
_AT_CWD = (abi.AT_FDCWD,)

# fmt: off
ROWS: tuple[Syscall, ...] = (
    Syscall("exit", {"i386": 1, "x86_64": 60, "generic": 93}, "int status", exit_process,
            result="none"),
    Syscall("fork", {"i386": 2, "x86_64": 57}, "", fork),
    Syscall("clone", {"i386": 120, "generic": 220}, _CLONE, clone,
            support="partial", note=_CLONE_NOTE),
    Syscall("clone", {"x86_64": 56}, _CLONE_X86_64, clone, support="partial", note=_CLONE_NOTE),
    Syscall("execve", {"i386": 11, "x86_64": 59, "generic": 221},
            "path pathname, strings argv, environment envp", execve),
    Syscall("waitpid", {"i386": 7}, "int pid, status_out wstatus, wait_options options", wait4,
            support="partial", note=_WAIT_NOTE),
    Syscall("wait4", {"i386": 114, "x86_64": 61, "generic-64": 260}, _WAIT4, wait4,
            support="partial", note=_WAIT_NOTE),
    Syscall("waitid", {"i386": 284, "x86_64": 247, "generic": 95}, _WAITID, waitid,
            support="partial", note=f"{_WAIT_NOTE} P_PIDFD gives EBADF."),
    Syscall("brk", {"i386": 45, "x86_64": 12, "generic": 214}, "ptr addr", brk, result="hex"),
    Syscall("read", {"i386": 3, "x86_64": 0, "generic": 63}, "fd fd, buffer_out buf, size count",
            read),
    Syscall("write", {"i386": 4, "x86_64": 1, "generic": 64}, "fd fd, buffer_in buf, size count",
            write),
    Syscall("open", {"i386": 5, "x86_64": 2}, "path pathname, open_flags flags, mode mode", openat,
            _AT_CWD, support="partial", note=_OPEN_NOTE),
    Syscall("openat", {"i386": 295, "x86_64": 257, "generic": 56}, _OPENAT, openat,
            support="partial", note=_OPEN_NOTE),
    Syscall("close", {"i386": 6, "x86_64": 3, "generic": 57}, "fd fd", close),
    Syscall("lseek", {"i386": 19, "x86_64": 8, "generic-64": 62},
            "fd fd, offset offset, whence whence", lseek),
    Syscall("_llseek", {"i386": 140, "generic-32": 62}, _LLSEEK, llseek),
    Syscall("access", {"i386": 33, "x86_64": 21}, "path pathname, access_mode mode", faccessat,
            _AT_CWD),
    Syscall("faccessat", {"i386": 307, "x86_64": 269, "generic": 48},
            "dirfd dirfd, path pathname, access_mode mode", faccessat),
    Syscall("chdir", {"i386": 12, "x86_64": 80, "generic": 49}, "path path", chdir),
    Syscall("chmod", {"i386": 15, "x86_64": 90}, "path pathname, mode mode", fchmodat, _AT_CWD),
    Syscall("fchmodat", {"i386": 306, "x86_64": 268, "generic": 53},
            "dirfd dirfd, path pathname, mode mode", fchmodat),
    Syscall("unlink", {"i386": 10, "x86_64": 87}, "path pathname", unlinkat, _AT_CWD),
    Syscall("unlinkat", {"i386": 301, "x86_64": 263, "generic": 35},
            "dirfd dirfd, path pathname, unlinkat_flags flags", unlinkat,
            support="partial", note="AT_REMOVEDIR stops the run."),
    *(Syscall(f"syscall_{number:#x}", {"aarch64": number}, "", no_such_call, note=_NO_CALL_NOTE)
      for number in (1026, 1027, 1030)),
)
# fmt: on
"""The calls of the core: 22, and three numbers that arm64 never had."""

CALLS = tables(ROWS)
