"""System calls that name files by path: link, rename, remove, change directory.

The order in which errors win is Linux's: fs/open.c, fs/namei.c. Looking up paths and changing
directories of the file system are bootstrap.linux.filesystem; here are the arguments.
"""

from bootstrap.core import abi
from bootstrap.core import syscalls as core
from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import Directory, Inode
from bootstrap.core.paths import ParentAndName, PathBase
from bootstrap.core.syscalls import directory_of, user_path
from bootstrap.linux.events import Changed, Renamed
from bootstrap.linux.flags import (
    AT_EMPTY_PATH,
    AT_SYMLINK_FOLLOW,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RENAME_WHITEOUT,
)
from bootstrap.linux.process import LinuxProcess
from bootstrap.linux.row import call, in_two_registers

_CREAT = abi.O_CREAT | abi.O_WRONLY | abi.O_TRUNC | abi.O_LARGEFILE


def _at(process: LinuxProcess, dirfd: int, path: int) -> tuple[PathBase, bytes]:
    """A path, and where its look-up starts. Raises LinuxError."""
    name = user_path(process, path)
    return directory_of(process, dirfd, name), name


def _named(process: LinuxProcess, inode: Inode, place: ParentAndName) -> int:
    process.emit(Changed, what="name", inode=inode, place=place)
    return 0


def creat(process: LinuxProcess, path: int, mode: int) -> int:
    """creat(2): O_LARGEFILE is implied, for there is no compat_sys_creat (fs/open.c)."""
    return core.openat(process, abi.AT_FDCWD, path, _CREAT, mode)


def fchdir(process: LinuxProcess, fd: int) -> int:
    """fchdir(2)."""
    inode = process.fds.get(fd).inode
    if not isinstance(inode, Directory):
        raise LinuxError(Errno.ENOTDIR)
    process.base = PathBase(process.base.root, inode)
    return 0


def chroot(process: LinuxProcess, path: int) -> int:
    """chroot(2): the current directory stays where it is, as on Linux."""
    inode = process.files.resolve(process.base, user_path(process, path))
    if not isinstance(inode, Directory):
        raise LinuxError(Errno.ENOTDIR)
    process.base = PathBase(inode, process.base.cwd)
    return 0


def getcwd(process: LinuxProcess, buf: int, size: int) -> int:
    """getcwd as the system call has it: returns the length, its NUL included."""
    path = process.files.getcwd(process.base) + b"\0"
    if len(path) > abi.PATH_MAX:
        raise LinuxError(Errno.ENAMETOOLONG)
    if len(path) > size:
        raise LinuxError(Errno.ERANGE)
    process.memory.write(buf, path)
    return len(path)


def fchmod(process: LinuxProcess, fd: int, mode: int) -> int:
    """fchmod(2)."""
    inode = process.fds.get(fd).inode
    inode.mode = inode.mode & abi.S_IFMT | mode & abi.PERMISSIONS
    process.emit(Changed, what="mode", inode=inode)
    return 0


def mkdirat(process: LinuxProcess, dirfd: int, path: int, mode: int) -> int:
    """mkdirat(2): of the mode, the permissions and the sticky bit count (fs/namei.c)."""
    base, name = _at(process, dirfd, path)
    return _named(process, *process.files.mkdir(base, name, mode & 0o1777 & ~process.umask))


def mknodat(process: LinuxProcess, dirfd: int, path: int, mode: int, device: int) -> int:
    """mknodat(2), for regular files."""
    if mode & abi.S_IFMT not in (0, abi.S_IFREG):
        raise GuestFailed(f"mknod with mode {mode:#o}: only regular files can be made")
    base, name = _at(process, dirfd, path)
    permissions = mode & abi.PERMISSIONS & ~process.umask
    return _named(process, *process.files.mknod(base, name, abi.S_IFREG | permissions))


def rmdir(process: LinuxProcess, path: int) -> int:
    """rmdir(2)."""
    return unlinkat(process, abi.AT_FDCWD, path, abi.AT_REMOVEDIR)


def unlinkat(process: LinuxProcess, dirfd: int, path: int, flags: int) -> int:
    """unlinkat(2), with AT_REMOVEDIR too."""
    if flags != abi.AT_REMOVEDIR:
        return core.unlinkat(process, dirfd, path, flags)
    inode, place = process.files.rmdir(*_at(process, dirfd, path))
    process.emit(Changed, what="unname", inode=inode, place=place)
    return 0


def renameat(process: LinuxProcess, old_dirfd: int, old: int, new_dirfd: int, new: int) -> int:
    """renameat(2)."""
    # What is wrong with the new path is found after the old one's folder (fs/namei.c).
    old_base, old_name = _at(process, old_dirfd, old)
    source = process.files.parent(old_base, old_name)
    new_base, new_name = _at(process, new_dirfd, new)
    target = process.files.parent(new_base, new_name)
    moved, replaced = process.files.rename(source, target)
    process.emit(Renamed, old_base=old_base, old=old_name, new_base=new_base, new=new_name)
    if moved is not replaced:
        if replaced is not None:
            process.emit(Changed, what="unname", inode=replaced, place=target)
        process.emit(Changed, what="unname", inode=moved, place=source)
        process.emit(Changed, what="name", inode=moved, place=target)
    return 0


def renameat2(
    process: LinuxProcess, old_dirfd: int, old: int, new_dirfd: int, new: int, flags: int
) -> int:
    """renameat2(2), without flags."""
    known = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT
    if flags & ~known or (flags & RENAME_EXCHANGE and flags != RENAME_EXCHANGE):
        raise LinuxError(Errno.EINVAL)
    if flags:
        raise GuestFailed(f"renameat2 with flags {flags:#x} is not supported")
    return renameat(process, old_dirfd, old, new_dirfd, new)


def rename(process: LinuxProcess, old: int, new: int) -> int:
    """rename(2)."""
    return renameat(process, abi.AT_FDCWD, old, abi.AT_FDCWD, new)


def linkat(
    process: LinuxProcess, old_dirfd: int, old: int, new_dirfd: int, new: int, flags: int
) -> int:
    """linkat(2)."""
    if flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH):
        raise LinuxError(Errno.EINVAL)
    if flags & AT_EMPTY_PATH:
        raise GuestFailed("linkat with AT_EMPTY_PATH is not supported")
    # What is wrong with the new path is found after the old file (fs/namei.c, do_linkat).
    old_base, old_name = _at(process, old_dirfd, old)
    inode = process.files.resolve(old_base, old_name, follow=bool(flags & AT_SYMLINK_FOLLOW))
    new_base, new_name = _at(process, new_dirfd, new)
    return _named(process, inode, process.files.link(inode, new_base, new_name))


def link(process: LinuxProcess, old: int, new: int) -> int:
    """link(2): a symbolic link is itself linked to, as on Linux."""
    return linkat(process, abi.AT_FDCWD, old, abi.AT_FDCWD, new, 0)


def symlinkat(process: LinuxProcess, target: int, dirfd: int, path: int) -> int:
    """symlinkat(2)."""
    text = user_path(process, target)
    base, name = _at(process, dirfd, path)
    return _named(process, *process.files.symlink(base, name, text))


def symlink(process: LinuxProcess, target: int, path: int) -> int:
    """symlink(2)."""
    return symlinkat(process, target, abi.AT_FDCWD, path)


def readlinkat(process: LinuxProcess, dirfd: int, path: int, buf: int, size: int) -> int:
    """readlinkat(2)."""
    if size <= 0:
        raise LinuxError(Errno.EINVAL)
    name = process.memory.read_cstring(path, abi.PATH_MAX)
    if not name:  # the file of the descriptor, which no call here can have opened as a link
        if dirfd != abi.AT_FDCWD:
            process.fds.get(dirfd)
        raise LinuxError(Errno.ENOENT)
    target = process.files.readlink(directory_of(process, dirfd, name), name)[:size]
    process.memory.write(buf, target)
    return len(target)


def truncate(process: LinuxProcess, path: int, length: int) -> int:
    """truncate(2)."""
    if length < 0:
        raise LinuxError(Errno.EINVAL)
    inode = process.files.truncate(process.base, user_path(process, path), length)
    process.emit(Changed, what="truncate", inode=inode)
    return 0


_MKNOD = "Regular files only; any other type stops the run."
_RENAME = "Without flags; RENAME_NOREPLACE, RENAME_EXCHANGE and RENAME_WHITEOUT stop the run."
_TWO_AT = "dirfd olddirfd, path oldpath, dirfd newdirfd, path newpath"
_CWD = (abi.AT_FDCWD,)
# fmt: off
ROWS = (
    call("creat", "path pathname, mode mode", creat),
    call("fchdir", "fd fd", fchdir),
    call("chroot", "path path", chroot),
    call("getcwd", "string_out buf, size size", getcwd),
    call("fchmod", "fd fd, mode mode", fchmod),
    call("mkdir", "path pathname, mode mode", mkdirat, _CWD),
    call("mkdirat", "dirfd dirfd, path pathname, mode mode", mkdirat),
    call("mknod", "path pathname, file_mode mode, uint dev", mknodat, _CWD, note=_MKNOD),
    call("mknodat", "dirfd dirfd, path pathname, file_mode mode, uint dev", mknodat, note=_MKNOD),
    call("rmdir", "path pathname", rmdir),
    call("unlinkat", "dirfd dirfd, path pathname, unlinkat_flags flags", unlinkat),
    call("rename", "path oldpath, path newpath", rename),
    call("renameat", _TWO_AT, renameat),
    call("renameat2", f"{_TWO_AT}, rename_flags flags", renameat2, note=_RENAME),
    call("link", "path oldpath, path newpath", link),
    call("linkat", f"{_TWO_AT}, at_flags flags", linkat, note="AT_EMPTY_PATH stops the run."),
    call("symlink", "path target, path linkpath", symlink),
    call("symlinkat", "path target, dirfd newdirfd, path linkpath", symlinkat),
    call("readlink", "path pathname, string_out buf, int bufsiz", readlinkat, _CWD),
    call("readlinkat", "dirfd dirfd, path pathname, string_out buf, int bufsiz", readlinkat),
    call("truncate", "path path, offset length", truncate),
    call("truncate64", "path path, off_low length, off_high length_high",
         in_two_registers(truncate)),
)
# fmt: on
