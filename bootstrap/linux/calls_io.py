"""System calls on open descriptors: read and write in other forms, duplicate, control.

The order in which errors win is Linux's: fs/read_write.c, fs/fcntl.c, fs/file.c, lib/iov_iter.c.
"""

from collections.abc import Callable
from functools import partial

from bootstrap.core import abi
from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import OpenFile, Stream
from bootstrap.core.memory import READ, WRITE
from bootstrap.core.syscalls import close, read, read_pieces, write, write_pieces
from bootstrap.linux.events import Changed
from bootstrap.linux.flags import (
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_GETFD,
    F_GETFL,
    F_SETFD,
    F_SETFL,
    FD_CLOEXEC,
)
from bootstrap.linux.inode import LazyFile
from bootstrap.linux.process import LinuxProcess
from bootstrap.linux.row import call, in_two_registers
from bootstrap.linux.structs import WORDS_OF

UIO_MAXIOV = 1024
"""Most buffers in one readv or writev (include/uapi/linux/uio.h)."""


def pread64(process: LinuxProcess, fd: int, buf: int, count: int, offset: int) -> int:
    """pread(2)."""
    return _positioned(process, fd, buf, count, offset, read)


def pwrite64(process: LinuxProcess, fd: int, buf: int, count: int, offset: int) -> int:
    """pwrite(2); a file opened with O_APPEND is appended to, as on Linux (its BUGS section)."""
    return _positioned(process, fd, buf, count, offset, write)


def _positioned(
    process: LinuxProcess, fd: int, buf: int, count: int, offset: int,
    act: Callable[[LinuxProcess, int, int, int], int],
) -> int:  # fmt: skip
    """read(2) or write(2), at another offset than the file's, which stays."""
    if offset < 0:
        raise LinuxError(Errno.EINVAL)
    file = process.fds.get(fd)
    if file.inode.__class__ is Stream:
        raise LinuxError(Errno.ESPIPE)
    kept, file.offset = file.offset, offset
    try:
        return act(process, fd, buf, count)
    finally:
        file.offset = kept


def _vector(process: LinuxProcess, iov: int, count: int) -> list[tuple[int, int]]:
    """The (address, length) pairs of an array of struct iovec, MAX_RW_COUNT bytes in all.

    Raises LinuxError: EINVAL, EFAULT. Each length is looked at as it is copied, all of them before
    the first buffer; a single buffer is cut before it is looked at (lib/iov_iter.c, import_iovec).
    """
    word = WORDS_OF[process.arch.word]
    if count > UIO_MAXIOV:
        raise LinuxError(Errno.EINVAL)
    raw = process.memory.read_upto(iov, count * word.iovec.size)
    whole = len(raw) - len(raw) % word.iovec.size
    pairs = list(word.iovec.iter_unpack(raw[:whole]))
    if any(length > word.max_signed for _, length in pairs):
        raise LinuxError(Errno.EINVAL)
    if len(pairs) < count:
        raise LinuxError(Errno.EFAULT)
    if count == 1:
        pairs = [(pairs[0][0], min(pairs[0][1], abi.MAX_RW_COUNT))]
    left = abi.MAX_RW_COUNT
    vector: list[tuple[int, int]] = []
    for base, length in pairs:
        if base + length > process.arch.access_end:
            raise LinuxError(Errno.EFAULT)
        taken = min(length, left)
        vector.append((base, taken))
        left -= taken
    return vector


def readv(process: LinuxProcess, fd: int, iov: int, count: int) -> int:
    """readv(2)."""
    file = process.fds.get(fd)
    if not file.readable:
        raise LinuxError(Errno.EBADF)  # before the vector since Linux 6.8 (vfs_readv)
    vector = _vector(process, iov, count)
    total = sum(length for _, length in vector)
    if not total:
        return 0
    if file.offset + total > abi.MAX_OFFSET:
        raise LinuxError(Errno.EINVAL)  # rw_verify_area
    return _each(vector, partial(read_pieces, process, file))


def writev(process: LinuxProcess, fd: int, iov: int, count: int) -> int:
    """writev(2)."""
    file = process.fds.get(fd)
    if not file.writable:
        raise LinuxError(Errno.EBADF)
    vector = _vector(process, iov, count)
    if file.offset + sum(length for _, length in vector) > abi.MAX_OFFSET:
        raise LinuxError(Errno.EINVAL)  # rw_verify_area
    readable = 0
    for base, length in vector:
        reached = process.memory.reachable(base, length, READ)
        readable += reached
        if reached < length:
            break
    file.room(readable)  # a limit is found before the first byte
    return _each(vector, partial(write_pieces, process, file))


def _each(vector: list[tuple[int, int]], act: Callable[[int, int], int]) -> int:
    """Buffer by buffer, until one is not dealt with whole (do_loop_readv_writev)."""
    done = 0
    for base, length in vector:
        if length:
            try:
                count = act(base, length)
            except LinuxError:
                if not done:
                    raise
                break
            done += count
            if count < length:
                break
    return done


def dup(process: LinuxProcess, fd: int) -> int:
    """dup(2)."""
    return _duplicate(process, process.fds.get(fd), 0, False)


def _duplicate(process: LinuxProcess, file: OpenFile, lowest: int, cloexec: bool) -> int:
    new = process.fds.lowest_free(lowest)
    process.fds.put(new, file, cloexec)
    file.refs += 1
    return new


def dup2(process: LinuxProcess, old: int, new: int) -> int:
    """dup2(2)."""
    if old == new:
        process.fds.get(old)
        return new
    return _duplicate_to(process, old, new, False)


def _duplicate_to(process: LinuxProcess, old: int, new: int, cloexec: bool) -> int:
    file = process.fds.get(old)
    if not 0 <= new < process.fds.limit:
        raise LinuxError(Errno.EBADF)
    file.refs += 1
    if new in process.fds.files:
        close(process, new)
    process.fds.put(new, file, cloexec)
    return new


def dup3(process: LinuxProcess, old: int, new: int, flags: int) -> int:
    """dup3(2)."""
    if flags & ~abi.O_CLOEXEC or old == new:
        raise LinuxError(Errno.EINVAL)
    return _duplicate_to(process, old, new, bool(flags & abi.O_CLOEXEC))


F_GETOWNER_UIDS = 17
KNOWN_FCNTL = frozenset((*range(5, 12), 15, 16, *range(36, 39), *range(1024, 1045))) - {1029}
"""Commands Linux has beyond those below: locks, owners, leases, pipes, seals, hints."""
LOCKS_64 = frozenset(range(12, 15))
"""F_GETLK64 to F_SETLKW64, of ABIs of 32 bits (include/uapi/asm-generic/fcntl.h)."""

SETTABLE = abi.O_APPEND | abi.O_NONBLOCK | abi.O_NOATIME
"""Status flags that F_SETFL changes and that this kernel's files can have."""


def _mark(process: LinuxProcess, fd: int, cloexec: bool) -> int:
    if cloexec:
        process.fds.cloexec.add(fd)
    else:
        process.fds.cloexec.discard(fd)
    return 0


def fcntl(process: LinuxProcess, fd: int, command: int, argument: int) -> int:
    """fcntl(2): F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL."""
    fds = process.fds
    file = fds.get(fd)
    if command in (F_DUPFD, F_DUPFD_CLOEXEC):
        lowest = argument & 0xFFFFFFFF
        if lowest >= process.fds.limit:
            raise LinuxError(Errno.EINVAL)
        return _duplicate(process, file, lowest, command == F_DUPFD_CLOEXEC)
    if command == F_GETFD:
        return FD_CLOEXEC if fd in fds.cloexec else 0
    if command == F_SETFD:
        return _mark(process, fd, bool(argument & FD_CLOEXEC))
    if command == F_GETFL:
        return process.arch.open_flags(file.flags)
    if command == F_SETFL:
        argument = process.arch.open_flags(argument)
        if argument & (abi.O_ASYNC | abi.O_DIRECT):
            raise GuestFailed(
                f"fcntl F_SETFL {argument:#x}: O_ASYNC and O_DIRECT are not supported"
            )
        file.flags = file.flags & ~(SETTABLE | abi.O_DIRECT) | argument & SETTABLE
        file.append = bool(file.flags & abi.O_APPEND)
        return 0
    if command == F_GETOWNER_UIDS:
        # Nobody was made the owner, so both ids are 0; either is stored that can be
        # (fs/fcntl.c, f_getowner_uids).
        reachable = process.memory.reachable
        fits = [at for at in (argument, argument + 4) if reachable(at, 4, WRITE) == 4]
        for at in fits:
            process.memory.put(at, bytes(4))
        if len(fits) < 2:
            raise LinuxError(Errno.EFAULT)
        return 0
    if command in KNOWN_FCNTL or (command in LOCKS_64 and process.arch.word == 4):
        raise GuestFailed(f"fcntl command {command} is not supported")
    raise LinuxError(Errno.EINVAL)


FIOCLEX, FIONCLEX, FIONBIO, FIOASYNC, FIOQSIZE = 0x5451, 0x5450, 0x5421, 0x5452, 0x5460
FIONREAD = 0x541B


def ioctl(process: LinuxProcess, fd: int, command: int, argument: int) -> int:
    """ioctl(2): the terminal commands (0x54xx) give ENOTTY, for no guest file is a terminal."""
    process.fds.get(fd)
    if command in (FIOCLEX, FIONCLEX):
        return _mark(process, fd, command == FIOCLEX)
    if command >> 8 != ord("T") or command in (FIONBIO, FIOASYNC, FIOQSIZE, FIONREAD):
        raise GuestFailed(f"ioctl command {command:#x} is not supported (argument {argument:#x})")
    raise LinuxError(Errno.ENOTTY)


def fsync(process: LinuxProcess, fd: int) -> int:
    """fsync(2), fdatasync(2)."""
    if isinstance(process.fds.get(fd).inode, Stream):
        raise LinuxError(Errno.EINVAL)
    return 0


def sync(process: LinuxProcess) -> int:
    """sync(2)."""
    return 0


def ftruncate(process: LinuxProcess, fd: int, length: int) -> int:
    """ftruncate(2)."""
    if length < 0:
        raise LinuxError(Errno.EINVAL)
    file = process.fds.get(fd)
    if not isinstance(file.inode, LazyFile) or not file.writable:
        raise LinuxError(Errno.EINVAL)
    file.inode.truncate(length)
    process.emit(Changed, what="truncate", inode=file.inode)
    return 0


_FCNTL = (
    "F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETOWNER_UIDS; other commands "
    "that Linux has stop the run."
)
_IOCTL = (
    "FIOCLEX and FIONCLEX; the terminal requests (0x54xx) fail with ENOTTY, for no guest file is a "
    "terminal; any other request stops the run."
)
_SYNC = "Files live in memory and no power can fail: there is nothing to wait for."
_IN, _OUT = "fd fd, buffer_in buf, size count,", "fd fd, buffer_out buf, size count,"
_SPLIT = "off_low offset, off_high offset_high"
_ON_64, _ON_32 = "x86_64 aarch64 riscv64", "i386 riscv32"
_FCNTL_ARGUMENTS = "fd fd, fcntl_cmd cmd, fcntl_arg arg"
# fmt: off
ROWS = (
    call("readv", "fd fd, iov_out iov, uint iovcnt", readv),
    call("writev", "fd fd, iov_in iov, uint iovcnt", writev),
    call("pread64", f"{_OUT} offset offset", pread64, only=_ON_64),
    call("pread64", f"{_OUT} {_SPLIT}", in_two_registers(pread64), only=_ON_32),
    call("pwrite64", f"{_IN} offset offset", pwrite64, only=_ON_64),
    call("pwrite64", f"{_IN} {_SPLIT}", in_two_registers(pwrite64), only=_ON_32),
    call("ftruncate", "fd fd, offset length", ftruncate),
    call("ftruncate64", "fd fd, off_low length, off_high length_high",
         in_two_registers(ftruncate)),
    call("dup", "fd oldfd", dup),
    call("dup2", "fd oldfd, fd newfd", dup2),
    call("dup3", "fd oldfd, fd newfd, dup_flags flags", dup3),
    call("fcntl", _FCNTL_ARGUMENTS, fcntl, note=_FCNTL, result="fcntl"),
    call("fcntl64", _FCNTL_ARGUMENTS, fcntl, note=_FCNTL, result="fcntl"),
    call("ioctl", "fd fd, ioctl_cmd request, ptr arg", ioctl, note=_IOCTL),
    call("fsync", "fd fd", fsync, note=_SYNC),
    call("fdatasync", "fd fd", fsync, note=_SYNC),
    call("sync", "", sync, note=_SYNC),
)
# fmt: on
