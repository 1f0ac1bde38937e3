"""System calls that describe files and list directories: the stat and getdents families.

Source: Linux, fs/stat.c, fs/readdir.c.
"""

from collections.abc import Callable
from functools import partial

from bootstrap.core.abi import AT_FDCWD, PATH_MAX, Errno, LinuxError
from bootstrap.core.files import Directory, Inode, RegularFile, Symlink
from bootstrap.core.syscalls import directory_of, user_path
from bootstrap.linux.flags import (
    AT_EMPTY_PATH,
    AT_NO_AUTOMOUNT,
    AT_STATX_SYNC_TYPE,
    AT_SYMLINK_NOFOLLOW,
    STATX_RESERVED,
)
from bootstrap.linux.inode import OpenInode, nlink
from bootstrap.linux.process import LinuxProcess
from bootstrap.linux.row import call
from bootstrap.linux.structs import (
    STAT64_I386,
    STAT_OF,
    STATX,
    WORDS_OF,
    StatFields,
    StatLayout,
    pack_dirent,
    pack_dirent64,
)

ST_DEV = 1
"""The one device that all guest files are on."""

DIRECTORY_SIZE = 4096
"""st_size of a directory: one block, whatever it holds."""


def fields_of(inode: Inode) -> StatFields:
    """What stat says of `inode`."""
    size = 0
    if isinstance(inode, RegularFile):
        size = inode.size
    elif isinstance(inode, Symlink):
        size = len(inode.target)
    elif isinstance(inode, Directory):
        size = DIRECTORY_SIZE
    return StatFields(ST_DEV, inode.ino, inode.mode, nlink(inode), 0, size)


def _store(process: LinuxProcess, layout: StatLayout, inode: Inode, buf: int) -> int:
    try:
        raw = layout.pack(fields_of(inode))
    except OverflowError:
        raise LinuxError(Errno.EOVERFLOW) from None
    process.memory.write(buf, raw)
    return 0


def stat(
    process: LinuxProcess, path: int, buf: int, layout: StatLayout | None = None,
    follow: bool = True,
) -> int:  # fmt: skip
    """stat(2), and lstat(2) where a link at the end is not followed; `layout` where it is not the
    architecture's."""
    inode = process.files.resolve(process.base, user_path(process, path), follow)
    return _store(process, layout or STAT_OF[process.arch.name], inode, buf)


def fstat(process: LinuxProcess, fd: int, buf: int, layout: StatLayout | None = None) -> int:
    """fstat(2)."""
    inode = process.fds.get(fd).inode
    return _store(process, layout or STAT_OF[process.arch.name], inode, buf)


def fstatat(
    process: LinuxProcess, dirfd: int, path: int, buf: int, flags: int,
    layout: StatLayout | None = None,
) -> int:  # fmt: skip
    """fstatat(2)."""
    inode = _stat_at(process, dirfd, path, flags)
    return _store(process, layout or STAT_OF[process.arch.name], inode, buf)


def _stat_at(process: LinuxProcess, dirfd: int, path: int, flags: int) -> Inode:
    """What fstatat and statx say of (vfs_statx). Raises LinuxError."""
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE):
        raise LinuxError(Errno.EINVAL)
    if flags & AT_EMPTY_PATH and not process.memory.read_cstring(path, PATH_MAX):
        return process.base.cwd if dirfd == AT_FDCWD else process.fds.get(dirfd).inode
    name = user_path(process, path)
    at = directory_of(process, dirfd, name)
    return process.files.resolve(at, name, follow=not flags & AT_SYMLINK_NOFOLLOW)


def statx(process: LinuxProcess, dirfd: int, path: int, flags: int, mask: int, buf: int) -> int:
    """statx(2): the basic fields, whatever `mask` asks for, as on a file system without others."""
    if mask & STATX_RESERVED or flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE:
        raise LinuxError(Errno.EINVAL)
    return _store(process, STATX, _stat_at(process, dirfd, path, flags), buf)


def getdents64(process: LinuxProcess, fd: int, buf: int, size: int) -> int:
    """getdents64(2)."""
    return _list(process, fd, buf, size, pack_dirent64)


def getdents(process: LinuxProcess, fd: int, buf: int, size: int) -> int:
    """getdents(2)."""
    return _list(process, fd, buf, size, partial(pack_dirent, WORDS_OF[process.arch.word]))


def _list(process: LinuxProcess, fd: int, buf: int, size: int, pack: Callable[..., bytes]) -> int:
    file = process.fds.get(fd)
    if not isinstance(file, OpenInode):
        raise LinuxError(Errno.ENOTDIR)
    room = size
    cookie = file.offset
    for ino, after, name, kind in file.entries():
        record = pack(ino, after, name, kind)
        # What the room or the memory is too small for comes with the next call (filldir64).
        failed = Errno.EINVAL if len(record) > room else None
        if failed is None and process.memory.write_upto(buf + size - room, record) < len(record):
            failed = Errno.EFAULT
        if failed is not None:
            if room == size:
                raise LinuxError(failed)
            break
        room -= len(record)
        cookie = after
    file.offset = cookie
    return size - room


_STATX = "The basic fields only: no time of birth, no mount, no attributes."
_PATH, _AT = "path pathname,", "dirfd dirfd, path pathname,"
_STAT_64 = partial(stat, layout=STAT64_I386)
# fmt: off
ROWS = (
    call("stat", f"{_PATH} stat_out statbuf", stat),
    call("lstat", f"{_PATH} stat_out statbuf", partial(stat, follow=False)),
    call("fstat", "fd fd, stat_out statbuf", fstat),
    call("newfstatat", f"{_AT} stat_out statbuf, at_flags flags", fstatat),
    call("stat64", f"{_PATH} stat64_i386_out statbuf", _STAT_64),
    call("lstat64", f"{_PATH} stat64_i386_out statbuf", partial(_STAT_64, follow=False)),
    call("fstat64", "fd fd, stat64_i386_out statbuf", partial(fstat, layout=STAT64_I386)),
    call("fstatat64", f"{_AT} stat64_i386_out statbuf, at_flags flags",
         partial(fstatat, layout=STAT64_I386)),
    call("statx", f"{_AT} statx_flags flags, statx_mask mask, statx_out statxbuf", statx,
         note=_STATX),
    call("getdents", "fd fd, dirents_out dirp, uint count", getdents),
    call("getdents64", "fd fd, dirents64_out dirp, uint count", getdents64),
)
# fmt: on
