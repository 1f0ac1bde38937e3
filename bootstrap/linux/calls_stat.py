"""System calls that describe files and list directories: the stat and getdents families.

Source: Linux, fs/stat.c, fs/readdir.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootstrap.core.abi import AT_FDCWD, PATH_MAX, Errno, LinuxError
from bootstrap.core.files import Directory, Inode, RegularFile, Symlink
from bootstrap.linux.calls_path import at_dirfd, user_path
from bootstrap.linux.flags import (
    AT_EMPTY_PATH,
    AT_NO_AUTOMOUNT,
    AT_STATX_SYNC_TYPE,
    AT_SYMLINK_NOFOLLOW,
    STATX_RESERVED,
)
from bootstrap.linux.inode import nlink
from bootstrap.linux.openfile import OpenInode
from bootstrap.linux.structs import STATX, StatFields, StatLayout, Word, pack_dirent, pack_dirent64

if TYPE_CHECKING:
    from bootstrap.linux.process import Process
    from bootstrap.linux.row import Handler

ST_DEV = 1
"""The one device that all guest files are on."""

DIRECTORY_SIZE = 4096
"""st_size of a directory: one block, whatever it holds."""


def fields_of(inode: Inode) -> StatFields:
    """What stat tells of `inode`."""
    size = 0
    if isinstance(inode, RegularFile):
        size = inode.size
    elif isinstance(inode, Symlink):
        size = len(inode.target)
    elif isinstance(inode, Directory):
        size = DIRECTORY_SIZE
    return StatFields(ST_DEV, inode.ino, inode.mode, nlink(inode), 0, size)


def _store(proc: Process, layout: StatLayout, inode: Inode, buf: int) -> int:
    try:
        raw = layout.pack(fields_of(inode))
    except OverflowError:
        raise LinuxError(Errno.EOVERFLOW) from None
    proc.memory.write(buf, raw)
    return 0


def stat_for(layout: StatLayout) -> Handler:
    """stat(2) that stores `layout`."""

    def sys_stat(proc: Process, path: int, buf: int) -> int:
        return _store(proc, layout, proc.fs.resolve(proc.at, user_path(proc, path)), buf)

    return sys_stat


def lstat_for(layout: StatLayout) -> Handler:
    """lstat(2) that stores `layout`."""

    def sys_lstat(proc: Process, path: int, buf: int) -> int:
        inode = proc.fs.resolve(proc.at, user_path(proc, path), follow=False)
        return _store(proc, layout, inode, buf)

    return sys_lstat


def fstat_for(layout: StatLayout) -> Handler:
    """fstat(2) that stores `layout`."""

    def sys_fstat(proc: Process, fd: int, buf: int) -> int:
        return _store(proc, layout, proc.fds.get(fd).inode, buf)

    return sys_fstat


def fstatat_for(layout: StatLayout) -> Handler:
    """fstatat(2) that stores `layout`."""

    def sys_fstatat(proc: Process, dirfd: int, path: int, buf: int, flags: int) -> int:
        return _store(proc, layout, _stat_at(proc, dirfd, path, flags), buf)

    return sys_fstatat


def _stat_at(proc: Process, dirfd: int, path: int, flags: int) -> Inode:
    """What fstatat and statx tell of (vfs_statx). Raises LinuxError."""
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE):
        raise LinuxError(Errno.EINVAL)
    if flags & AT_EMPTY_PATH and not proc.memory.read_cstring(path, PATH_MAX):
        return proc.at.cwd if dirfd == AT_FDCWD else proc.fds.get(dirfd).inode
    name = user_path(proc, path)
    at = at_dirfd(proc, dirfd, name)
    return proc.fs.resolve(at, name, follow=not flags & AT_SYMLINK_NOFOLLOW)


def sys_statx(proc: Process, dirfd: int, path: int, flags: int, mask: int, buf: int) -> int:
    """statx(2): the basic fields, whatever `mask` asks for, as on a file system without others."""
    if mask & STATX_RESERVED or flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE:
        raise LinuxError(Errno.EINVAL)
    return _store(proc, STATX, _stat_at(proc, dirfd, path, flags), buf)


def getdents_for(word: Word | None) -> Handler:
    """getdents(2) for a word size; getdents64 for None."""

    def sys_getdents(proc: Process, fd: int, buf: int, size: int) -> int:
        file = proc.fds.get(fd)
        if not isinstance(file, OpenInode):
            raise LinuxError(Errno.ENOTDIR)
        room = size
        cookie = file.offset
        for ino, after, name, kind in file.entries():
            if word is None:
                record = pack_dirent64(ino, after, name, kind)
            else:
                record = pack_dirent(word, ino, after, name, kind)
            # What the room or the memory is too small for comes with the next call (filldir64).
            failed = Errno.EINVAL if len(record) > room else None
            if failed is None and proc.memory.write_upto(buf + size - room, record) < len(record):
                failed = Errno.EFAULT
            if failed is not None:
                if room == size:
                    raise LinuxError(failed)
                break
            room -= len(record)
            cookie = after
        file.offset = cookie
        return size - room

    return sys_getdents
