"""System calls on open descriptors: read, write, seek, duplicate, control.

The order in which errors win is Linux's: fs/read_write.c, fs/fcntl.c, fs/file.c, lib/iov_iter.c.
read and write run tens of millions of times in one bootstrap, so they take the short way first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bootstrap.core.abi import (
    MAX_NON_LFS,
    MAX_OFFSET,
    O_APPEND,
    O_ASYNC,
    O_CLOEXEC,
    O_DIRECT,
    O_LARGEFILE,
    O_NOATIME,
    O_NONBLOCK,
    SEEK_CUR,
    SEEK_HOLE,
    Errno,
    LinuxError,
)
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import OpenFile, Stream
from bootstrap.core.memory import READ, WRITE
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
from bootstrap.linux.structs import Word

if TYPE_CHECKING:
    from bootstrap.core.arches import Arch
    from bootstrap.linux.process import Process
    from bootstrap.linux.row import Handler

MAX_RW_COUNT = 0x7FFFF000
"""Bytes one read or write moves at most: INT_MAX rounded down to a page (include/linux/fs.h)."""

PIECE = 4 << 20
"""Bytes that are in the host's memory at once between guest and file. More than a pipe or terminal
ever has at once: a stream that fills it is a file or endless, and is read on."""

UIO_MAXIOV = 1024
"""Most buffers in one readv or writev (include/uapi/linux/uio.h)."""


def checked_count(proc: Process, buf: int, count: int, offset: int) -> int:
    """`count` as read and write use it at `offset`. Raises LinuxError: EFAULT, EINVAL.

    The whole range is looked at before the first byte (fs/read_write.c, vfs_read, rw_verify_area).
    """
    if buf + count > proc.abi.access_end:
        raise LinuxError(Errno.EFAULT)
    if count >> 31 and proc.abi.access_end < 1 << 32:
        raise LinuxError(Errno.EINVAL)  # a kernel of 32 bits takes it for negative
    if offset + count > MAX_OFFSET:
        raise LinuxError(Errno.EINVAL)
    return min(count, MAX_RW_COUNT)


def sys_read(proc: Process, fd: int, buf: int, count: int) -> int:
    """read(2)."""
    file = proc.fds.get(fd)
    if not file.readable:
        raise LinuxError(Errno.EBADF)
    if buf + count > proc.abi.access_end or file.offset + count > MAX_RW_COUNT:
        count = checked_count(proc, buf, count, file.offset)
    memory = proc.memory
    if count > PIECE:
        return _scatter(proc, file, [(buf, count)])
    if file.inode.__class__ is Stream:
        count = _room(proc, [(buf, count)])
    data = file.read(count)
    if data:
        try:
            memory.write(buf, data)
        except LinuxError:
            stored = memory.write_upto(buf, data)
            file.seek(stored - len(data), SEEK_CUR)
            if not stored:
                raise
            return stored
    return len(data)


def _room(proc: Process, vector: list[tuple[int, int]], need: int = WRITE) -> int:
    """How many bytes from the first buffer on have the right `need`. Raises LinuxError(EFAULT).

    That is what a stream may deliver: what it gave cannot be put back.
    """
    total = 0
    for base, length in vector:
        room = proc.memory.reachable(base, length, need)
        total += room
        if room < length:
            break
    if not total and any(length for _, length in vector):
        raise LinuxError(Errno.EFAULT)
    return total


def _pieces(vector: list[tuple[int, int]], total: int) -> Iterator[tuple[int, int]]:
    """The first `total` bytes of the buffers, none of the pieces larger than PIECE."""
    for base, length in vector:
        for at in range(0, min(length, total), PIECE):
            yield base + at, min(PIECE, length - at, total - at)
        total -= min(length, total)


def _scatter(proc: Process, file: OpenFile, vector: list[tuple[int, int]]) -> int:
    """Read into the buffers, until one cannot be stored to or there is no more."""
    if file.inode.__class__ is Stream:
        total = _room(proc, vector)
    else:
        total = sum(length for _, length in vector)
    done = 0
    for base, size in _pieces(vector, total):
        data = file.read(size)
        stored = proc.memory.write_upto(base, data)
        done += stored
        if stored < len(data):
            file.seek(stored - len(data), SEEK_CUR)
            if not done:
                raise LinuxError(Errno.EFAULT)
        if stored < size:
            break
    return done


def _gather(proc: Process, file: OpenFile, vector: list[tuple[int, int]]) -> int:
    """Write the buffers, up to what cannot be read; the limits are looked at before the first byte.

    What a stream does not take whole ends it (do_loop_readv_writev, fs/read_write.c).
    """
    total = file.room(_room(proc, vector, READ))
    done = 0
    for base, size in _pieces(vector, total):
        written = _stored(file, proc.memory.read(base, size), done)
        done += written
        if written < size:
            break
    return done


def _stored(file: OpenFile, data: bytes, done: int) -> int:
    try:
        return file.write(data)
    except LinuxError:
        if not done:
            raise
        return 0


def sys_write(proc: Process, fd: int, buf: int, count: int) -> int:
    """write(2)."""
    file = proc.fds.get(fd)
    if not file.writable:
        raise LinuxError(Errno.EBADF)
    if buf + count > proc.abi.access_end or file.offset + count > MAX_RW_COUNT:
        count = checked_count(proc, buf, count, file.offset)
    if not count:
        return 0
    if count > PIECE:
        return _gather(proc, file, [(buf, count)])
    try:
        data = proc.memory.read(buf, count)
    except LinuxError:
        data = proc.memory.read_upto(buf, count)
        if not data:
            raise
    return file.write(data)


def _positioned(proc: Process, fd: int, offset: int) -> OpenFile:
    if offset < 0:
        raise LinuxError(Errno.EINVAL)
    file = proc.fds.get(fd)
    if file.inode.__class__ is Stream:
        raise LinuxError(Errno.ESPIPE)
    return file


def sys_pread64(proc: Process, fd: int, buf: int, count: int, offset: int) -> int:
    """pread(2)."""
    file = _positioned(proc, fd, offset)
    if not file.readable:
        raise LinuxError(Errno.EBADF)
    count = checked_count(proc, buf, count, offset)
    if not isinstance(file.inode, LazyFile):
        raise LinuxError(Errno.EISDIR)
    inode, done = file.inode, 0
    for base, size in _pieces([(buf, count)], count):
        data = inode.read_at(offset + done, size)
        stored = proc.memory.write_upto(base, data)
        done += stored
        if data and not done:
            raise LinuxError(Errno.EFAULT)
        if stored < size:
            break
    return done


def sys_pwrite64(proc: Process, fd: int, buf: int, count: int, offset: int) -> int:
    """pwrite(2); a file opened with O_APPEND is appended to, as on Linux (its BUGS section)."""
    file = _positioned(proc, fd, offset)
    if not file.writable:
        raise LinuxError(Errno.EBADF)
    count = checked_count(proc, buf, count, offset)
    if not count:
        return 0
    total = _room(proc, [(buf, count)], READ)
    inode = file.inode
    assert isinstance(inode, LazyFile)
    if not file.flags & O_LARGEFILE and offset + total > MAX_NON_LFS:
        raise LinuxError(Errno.EFBIG)
    at = inode.size if file.append else offset
    inode.reserve(at + total)
    for base, size in _pieces([(buf, count)], total):
        at += inode.write_at(at, proc.memory.read(base, size))
    return total


def join_offset(low: int, high: int) -> int:
    """A signed 64-bit offset from two 32-bit registers."""
    return ((high << 32 | low) ^ 1 << 63) - (1 << 63)


def sys_pread64_32(proc: Process, fd: int, buf: int, count: int, low: int, high: int) -> int:
    """pread(2), the offset in two registers."""
    return sys_pread64(proc, fd, buf, count, join_offset(low, high))


def sys_pwrite64_32(proc: Process, fd: int, buf: int, count: int, low: int, high: int) -> int:
    """pwrite(2), the offset in two registers."""
    return sys_pwrite64(proc, fd, buf, count, join_offset(low, high))


def _vector(proc: Process, word: Word, iov: int, count: int) -> list[tuple[int, int]]:
    """The (address, length) pairs of an array of struct iovec, MAX_RW_COUNT bytes in all.

    Raises LinuxError: EINVAL, EFAULT. Each length is looked at as it is copied, all of them before
    the first buffer; a single buffer is cut before it is looked at (lib/iov_iter.c, import_iovec).
    """
    if count > UIO_MAXIOV:
        raise LinuxError(Errno.EINVAL)
    raw = proc.memory.read_upto(iov, count * word.iovec.size)
    whole = len(raw) - len(raw) % word.iovec.size
    pairs = list(word.iovec.iter_unpack(raw[:whole]))
    if any(length > word.max_signed for _, length in pairs):
        raise LinuxError(Errno.EINVAL)
    if len(pairs) < count:
        raise LinuxError(Errno.EFAULT)
    if count == 1:
        pairs = [(pairs[0][0], min(pairs[0][1], MAX_RW_COUNT))]
    left = MAX_RW_COUNT
    vector: list[tuple[int, int]] = []
    for base, length in pairs:
        if base + length > proc.abi.access_end:
            raise LinuxError(Errno.EFAULT)
        taken = min(length, left)
        vector.append((base, taken))
        left -= taken
    return vector


def readv_for(word: Word) -> Handler:
    """readv(2) for a word size."""

    def sys_readv(proc: Process, fd: int, iov: int, count: int) -> int:
        file = proc.fds.get(fd)
        if not file.readable:
            raise LinuxError(Errno.EBADF)  # before the vector since Linux 6.8 (vfs_readv)
        vector = _vector(proc, word, iov, count)
        total = sum(length for _, length in vector)
        if not total:
            return 0
        if file.offset + total > MAX_OFFSET:
            raise LinuxError(Errno.EINVAL)  # rw_verify_area
        return _scatter(proc, file, vector)

    return sys_readv


def writev_for(word: Word) -> Handler:
    """writev(2) for a word size."""

    def sys_writev(proc: Process, fd: int, iov: int, count: int) -> int:
        file = proc.fds.get(fd)
        if not file.writable:
            raise LinuxError(Errno.EBADF)
        vector = _vector(proc, word, iov, count)
        if file.offset + sum(length for _, length in vector) > MAX_OFFSET:
            raise LinuxError(Errno.EINVAL)  # rw_verify_area
        return _gather(proc, file, vector)

    return sys_writev


def sys_lseek(proc: Process, fd: int, offset: int, whence: int) -> int:
    """lseek(2)."""
    file = proc.fds.get(fd)
    if whence > SEEK_HOLE:
        raise LinuxError(Errno.EINVAL)
    return file.seek(offset, whence)


def sys_lseek_32(proc: Process, fd: int, offset: int, whence: int) -> int:
    """lseek(2) of a 32-bit process: a 64-bit kernel never answers EOVERFLOW, the register cuts."""
    return sys_lseek(proc, fd, offset, whence) & 0xFFFFFFFF


def sys_llseek(proc: Process, fd: int, high: int, low: int, result: int, whence: int) -> int:
    """_llseek(2)."""
    file = proc.fds.get(fd)
    if whence > SEEK_HOLE:
        raise LinuxError(Errno.EINVAL)
    position = file.seek(join_offset(low, high), whence)
    proc.memory.write(result, position.to_bytes(8, "little"))
    return 0


def sys_close(proc: Process, fd: int) -> int:
    """close(2)."""
    proc.fds.close(fd)
    return 0


def sys_dup(proc: Process, fd: int) -> int:
    """dup(2)."""
    return _duplicate(proc, proc.fds.get(fd), 0, False)


def _duplicate(proc: Process, file: OpenFile, lowest: int, cloexec: bool) -> int:
    new = proc.fds.install(file, lowest, cloexec)
    file.refs += 1
    return new


def sys_dup2(proc: Process, old: int, new: int) -> int:
    """dup2(2)."""
    proc.fds.get(old)
    if old == new:
        return new
    return proc.fds.dup_to(old, new)


def sys_dup3(proc: Process, old: int, new: int, flags: int) -> int:
    """dup3(2)."""
    if flags & ~O_CLOEXEC or old == new:
        raise LinuxError(Errno.EINVAL)
    return proc.fds.dup_to(old, new, bool(flags & O_CLOEXEC))


F_GETOWNER_UIDS = 17
KNOWN_FCNTL = frozenset((*range(5, 12), 15, 16, *range(36, 39), *range(1024, 1045))) - {1029}
"""Commands Linux has beyond those below: locks, owners, leases, pipes, seals, hints."""
LOCKS_64 = frozenset(range(12, 15))
"""F_GETLK64 to F_SETLKW64, of ABIs of 32 bits (include/uapi/asm-generic/fcntl.h)."""

SETTABLE = O_APPEND | O_NONBLOCK | O_NOATIME
"""Status flags that F_SETFL changes and that this kernel's files can have."""


def _mark(proc: Process, fd: int, cloexec: bool) -> int:
    if cloexec:
        proc.fds.cloexec.add(fd)
    else:
        proc.fds.cloexec.discard(fd)
    return 0


def fcntl_for(arch: Arch) -> Handler:
    """fcntl(2) of an architecture that has open flags of its own."""

    def sys_fcntl_swapped(proc: Process, fd: int, command: int, argument: int) -> int:
        if command == F_SETFL:
            argument = arch.open_flags(argument)
        result = sys_fcntl(proc, fd, command, argument)
        return arch.open_flags(result) if command == F_GETFL else result

    return sys_fcntl_swapped


def sys_fcntl(proc: Process, fd: int, command: int, argument: int) -> int:
    """fcntl(2): F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL."""
    fds = proc.fds
    file = fds.get(fd)
    if command in (F_DUPFD, F_DUPFD_CLOEXEC):
        lowest = argument & 0xFFFFFFFF
        if lowest >= proc.fds.limit:
            raise LinuxError(Errno.EINVAL)
        return _duplicate(proc, file, lowest, command == F_DUPFD_CLOEXEC)
    if command == F_GETFD:
        return FD_CLOEXEC if fd in fds.cloexec else 0
    if command == F_SETFD:
        return _mark(proc, fd, bool(argument & FD_CLOEXEC))
    if command == F_GETFL:
        return file.flags
    if command == F_SETFL:
        if argument & (O_ASYNC | O_DIRECT):
            raise GuestFailed(
                f"fcntl F_SETFL {argument:#x}: O_ASYNC and O_DIRECT are not supported"
            )
        file.flags = file.flags & ~(SETTABLE | O_DIRECT) | argument & SETTABLE
        file.append = bool(file.flags & O_APPEND)
        return 0
    if command == F_GETOWNER_UIDS:
        # Nobody was made the owner, so both ids are 0; either is stored that can be
        # (fs/fcntl.c, f_getowner_uids).
        fits = [at for at in (argument, argument + 4) if proc.memory.reachable(at, 4, WRITE) == 4]
        for at in fits:
            proc.memory.put(at, bytes(4))
        if len(fits) < 2:
            raise LinuxError(Errno.EFAULT)
        return 0
    if command in KNOWN_FCNTL:
        raise GuestFailed(f"fcntl command {command} is not supported")
    raise LinuxError(Errno.EINVAL)


def sys_fcntl64(proc: Process, fd: int, command: int, argument: int) -> int:
    """fcntl(2) and fcntl64(2) of 32 bits: they have locks of 64 bits, which stop the run."""
    if command in LOCKS_64:
        proc.fds.get(fd)
        raise GuestFailed(f"fcntl command {command} is not supported")
    return sys_fcntl(proc, fd, command, argument)


FIOCLEX, FIONCLEX, FIONBIO, FIOASYNC, FIOQSIZE = 0x5451, 0x5450, 0x5421, 0x5452, 0x5460
FIONREAD = 0x541B


def sys_ioctl(proc: Process, fd: int, command: int, argument: int) -> int:
    """ioctl(2): the terminal commands (0x54xx) answer ENOTTY, for no guest file is a terminal."""
    proc.fds.get(fd)
    if command in (FIOCLEX, FIONCLEX):
        return _mark(proc, fd, command == FIOCLEX)
    if command >> 8 != ord("T") or command in (FIONBIO, FIOASYNC, FIOQSIZE, FIONREAD):
        raise GuestFailed(f"ioctl command {command:#x} is not supported (argument {argument:#x})")
    raise LinuxError(Errno.ENOTTY)


def sys_fsync(proc: Process, fd: int) -> int:
    """fsync(2), fdatasync(2)."""
    if isinstance(proc.fds.get(fd).inode, Stream):
        raise LinuxError(Errno.EINVAL)
    return 0


def sys_sync(proc: Process) -> int:
    """sync(2)."""
    return 0


def sys_ftruncate(proc: Process, fd: int, length: int) -> int:
    """ftruncate(2)."""
    if length < 0:
        raise LinuxError(Errno.EINVAL)
    file = proc.fds.get(fd)
    if not isinstance(file.inode, LazyFile) or not file.writable:
        raise LinuxError(Errno.EINVAL)
    file.inode.truncate(length)
    return 0


def sys_ftruncate64_32(proc: Process, fd: int, low: int, high: int) -> int:
    """ftruncate(2), the length in two registers."""
    return sys_ftruncate(proc, fd, join_offset(low, high))
