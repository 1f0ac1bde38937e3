"""System calls that name files by path: open, link, rename, remove, change directory.

The order in which errors win is Linux's: fs/open.c, fs/namei.c. Looking up paths and changing
directories of the file system are bootstrap.linux.filesystem; here are the arguments.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from bootstrap.core.abi import (
    AT_FDCWD,
    AT_REMOVEDIR,
    O_ACCMODE,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_DSYNC,
    O_LARGEFILE,
    O_PATH,
    O_RDONLY,
    O_SYNC,
    O_TMPFILE,
    O_TRUNC,
    O_WRONLY,
    PATH_MAX,
    S_IFMT,
    S_IFREG,
    VALID_OPEN_FLAGS,
    Errno,
    LinuxError,
)
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import Directory, Inode, Symlink
from bootstrap.core.paths import MAXSYMLINKS, PathBase
from bootstrap.linux.flags import (
    AT_EMPTY_PATH,
    AT_SYMLINK_FOLLOW,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RENAME_WHITEOUT,
)

if TYPE_CHECKING:
    from bootstrap.linux.process import Process

PERMISSIONS = 0o7777
"""S_IALLUGO: the mode bits that chmod and open set."""


def user_path(proc: Process, guest_addr: int) -> bytes:
    """The path at `guest_addr`. Raises LinuxError: EFAULT, ENAMETOOLONG, ENOENT when empty."""
    path = proc.memory.read_cstring(guest_addr, PATH_MAX)
    if not path:
        raise LinuxError(Errno.ENOENT)
    return path


def at_dirfd(proc: Process, dirfd: int, path: bytes) -> PathBase:
    """Where the lookup of `path` starts. Raises LinuxError: EBADF, ENOTDIR."""
    if dirfd == AT_FDCWD or path.startswith(b"/"):
        return proc.at
    inode = proc.fds.get(dirfd).inode
    if not isinstance(inode, Directory):
        raise LinuxError(Errno.ENOTDIR)
    return PathBase(proc.at.root, inode)


def _open(proc: Process, dirfd: int, path_addr: int, flags: int, mode: int) -> int:
    # The old calls drop what they do not know (fs/open.c, build_open_how, build_open_flags).
    flags &= VALID_OPEN_FLAGS
    if flags & O_PATH:
        raise GuestFailed("open with O_PATH is not supported")
    if flags & O_CREAT and flags & O_DIRECTORY:
        raise LinuxError(Errno.EINVAL)
    if flags & O_TMPFILE & ~O_DIRECTORY:
        if not flags & O_DIRECTORY or flags & O_ACCMODE == O_RDONLY:
            raise LinuxError(Errno.EINVAL)
        raise LinuxError(Errno.EOPNOTSUPP)
    if flags & O_SYNC:
        flags |= O_DSYNC
    path = user_path(proc, path_addr)
    # Linux takes the descriptor before it looks at the path: EMFILE wins, and nothing is made.
    fd = proc.fds.lowest_free()
    at = at_dirfd(proc, dirfd, path)
    file, _ = proc.fs.open(at, path, flags, mode & PERMISSIONS & ~proc.umask)
    proc.fds.install(file, cloexec=bool(flags & O_CLOEXEC))
    if proc.observers:
        where = _where_opened(proc, at, path, file.inode)
        for observer in proc.observers:
            observer.on_open(proc.pid, where, file.inode, flags, fd)
    return fd


def _where(proc: Process, at: PathBase, path: bytes) -> bytes:
    """The path from the top of the file system, for observers; a link at its end not followed."""
    seen = proc.fs.absolute(at, path)
    if at.root is proc.fs.root:
        return seen
    return posixpath.join(proc.fs.seen_path(at.root), seen.lstrip(b"/"))


def _where_opened(proc: Process, at: PathBase, path: bytes, inode: Inode) -> bytes:
    """The path of the file that was opened: links at the end of `path` followed."""
    for _ in range(MAXSYMLINKS):
        if isinstance(inode, Directory) and not inode.removed:
            return proc.fs.seen_path(inode)
        here = proc.fs.resolve(at, path, follow=False)
        if not isinstance(here, Symlink):
            break
        path = posixpath.join(posixpath.dirname(path), here.target)
    return _where(proc, at, path)


def sys_open(proc: Process, path: int, flags: int, mode: int) -> int:
    """open(2) of a 32-bit process."""
    return _open(proc, AT_FDCWD, path, flags, mode)


def sys_openat(proc: Process, dirfd: int, path: int, flags: int, mode: int) -> int:
    """openat(2) of a 32-bit process."""
    return _open(proc, dirfd, path, flags, mode)


def sys_open_64(proc: Process, path: int, flags: int, mode: int) -> int:
    """open(2) where O_LARGEFILE is implied (Linux, force_o_largefile)."""
    return _open(proc, AT_FDCWD, path, flags | O_LARGEFILE, mode)


def sys_openat_64(proc: Process, dirfd: int, path: int, flags: int, mode: int) -> int:
    """openat(2) where O_LARGEFILE is implied."""
    return _open(proc, dirfd, path, flags | O_LARGEFILE, mode)


def sys_creat(proc: Process, path: int, mode: int) -> int:
    """creat(2): O_LARGEFILE is implied, for there is no compat_sys_creat (fs/open.c)."""
    return _open(proc, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC | O_LARGEFILE, mode)


def sys_access(proc: Process, path: int, mode: int) -> int:
    """access(2)."""
    return sys_faccessat(proc, AT_FDCWD, path, mode)


def sys_faccessat(proc: Process, dirfd: int, path: int, mode: int) -> int:
    """faccessat(2): the system call has no flags."""
    if mode & ~7:
        raise LinuxError(Errno.EINVAL)
    name = user_path(proc, path)
    proc.fs.access(at_dirfd(proc, dirfd, name), name, mode)
    return 0


def _directory(proc: Process, path: int) -> Directory:
    inode = proc.fs.resolve(proc.at, user_path(proc, path))
    if not isinstance(inode, Directory):
        raise LinuxError(Errno.ENOTDIR)
    return inode


def sys_chdir(proc: Process, path: int) -> int:
    """chdir(2)."""
    proc.at = PathBase(proc.at.root, _directory(proc, path))
    return 0


def sys_fchdir(proc: Process, fd: int) -> int:
    """fchdir(2)."""
    inode = proc.fds.get(fd).inode
    if not isinstance(inode, Directory):
        raise LinuxError(Errno.ENOTDIR)
    proc.at = PathBase(proc.at.root, inode)
    return 0


def sys_chroot(proc: Process, path: int) -> int:
    """chroot(2): the current directory stays where it is, as on Linux."""
    proc.at = PathBase(_directory(proc, path), proc.at.cwd)
    return 0


def sys_getcwd(proc: Process, buf: int, size: int) -> int:
    """getcwd as the system call has it: answers the length, its NUL included."""
    path = proc.fs.getcwd(proc.at) + b"\0"
    if len(path) > PATH_MAX:
        raise LinuxError(Errno.ENAMETOOLONG)
    if len(path) > size:
        raise LinuxError(Errno.ERANGE)
    proc.memory.write(buf, path)
    return len(path)


def sys_chmod(proc: Process, path: int, mode: int) -> int:
    """chmod(2)."""
    return sys_fchmodat(proc, AT_FDCWD, path, mode)


def sys_fchmodat(proc: Process, dirfd: int, path: int, mode: int) -> int:
    """fchmodat(2): the system call has no flags."""
    name = user_path(proc, path)
    proc.fs.chmod(at_dirfd(proc, dirfd, name), name, mode & PERMISSIONS)
    return 0


def sys_fchmod(proc: Process, fd: int, mode: int) -> int:
    """fchmod(2)."""
    proc.fs.volume.set_mode(proc.fds.get(fd).inode, mode & PERMISSIONS)
    return 0


def sys_mkdir(proc: Process, path: int, mode: int) -> int:
    """mkdir(2)."""
    return sys_mkdirat(proc, AT_FDCWD, path, mode)


def sys_mkdirat(proc: Process, dirfd: int, path: int, mode: int) -> int:
    """mkdirat(2): of the mode, the permissions and the sticky bit count (fs/namei.c)."""
    name = user_path(proc, path)
    proc.fs.mkdir(at_dirfd(proc, dirfd, name), name, mode & 0o1777 & ~proc.umask)
    return 0


def sys_mknod(proc: Process, path: int, mode: int, device: int) -> int:
    """mknod(2), for regular files."""
    return sys_mknodat(proc, AT_FDCWD, path, mode, device)


def sys_mknodat(proc: Process, dirfd: int, path: int, mode: int, device: int) -> int:
    """mknodat(2), for regular files."""
    if mode & S_IFMT not in (0, S_IFREG):
        raise GuestFailed(f"mknod with mode {mode:#o}: only regular files can be made")
    name = user_path(proc, path)
    at = at_dirfd(proc, dirfd, name)
    proc.fs.mknod(at, name, S_IFREG | mode & PERMISSIONS & ~proc.umask)
    return 0


def sys_rmdir(proc: Process, path: int) -> int:
    """rmdir(2)."""
    proc.fs.rmdir(proc.at, user_path(proc, path))
    return 0


def sys_unlink(proc: Process, path: int) -> int:
    """unlink(2)."""
    return sys_unlinkat(proc, AT_FDCWD, path, 0)


def sys_unlinkat(proc: Process, dirfd: int, path: int, flags: int) -> int:
    """unlinkat(2)."""
    if flags & ~AT_REMOVEDIR:
        raise LinuxError(Errno.EINVAL)
    name = user_path(proc, path)
    at = at_dirfd(proc, dirfd, name)
    if flags & AT_REMOVEDIR:
        proc.fs.rmdir(at, name)
    else:
        proc.fs.unlink(at, name)
        for observer in proc.observers:
            observer.on_unlink(proc.pid, _where(proc, at, name))
    return 0


def sys_rename(proc: Process, old: int, new: int) -> int:
    """rename(2)."""
    return sys_renameat(proc, AT_FDCWD, old, AT_FDCWD, new)


def sys_renameat(proc: Process, old_dirfd: int, old: int, new_dirfd: int, new: int) -> int:
    """renameat(2)."""
    # What is wrong with the new path is found after the old one's folder (fs/namei.c).
    old_name = user_path(proc, old)
    old_at = at_dirfd(proc, old_dirfd, old_name)
    source = proc.fs.parent(old_at, old_name)
    new_name = user_path(proc, new)
    new_at = at_dirfd(proc, new_dirfd, new_name)
    proc.fs.rename(source, proc.fs.parent(new_at, new_name))
    if proc.observers:
        before, after = _where(proc, old_at, old_name), _where(proc, new_at, new_name)
        for observer in proc.observers:
            observer.on_rename(proc.pid, before, after)
    return 0


def sys_renameat2(
    proc: Process, old_dirfd: int, old: int, new_dirfd: int, new: int, flags: int
) -> int:
    """renameat2(2), without flags."""
    known = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT
    if flags & ~known or (flags & RENAME_EXCHANGE and flags != RENAME_EXCHANGE):
        raise LinuxError(Errno.EINVAL)
    if flags:
        raise GuestFailed(f"renameat2 with flags {flags:#x} is not supported")
    return sys_renameat(proc, old_dirfd, old, new_dirfd, new)


def sys_link(proc: Process, old: int, new: int) -> int:
    """link(2): a symbolic link is itself linked to, as on Linux."""
    return sys_linkat(proc, AT_FDCWD, old, AT_FDCWD, new, 0)


def sys_linkat(
    proc: Process, old_dirfd: int, old: int, new_dirfd: int, new: int, flags: int
) -> int:
    """linkat(2)."""
    if flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH):
        raise LinuxError(Errno.EINVAL)
    if flags & AT_EMPTY_PATH:
        raise GuestFailed("linkat with AT_EMPTY_PATH is not supported")
    # What is wrong with the new path is found after the old file (fs/namei.c, do_linkat).
    old_name = user_path(proc, old)
    old_at = at_dirfd(proc, old_dirfd, old_name)
    inode = proc.fs.resolve(old_at, old_name, follow=bool(flags & AT_SYMLINK_FOLLOW))
    new_name = user_path(proc, new)
    proc.fs.link(inode, at_dirfd(proc, new_dirfd, new_name), new_name)
    return 0


def sys_symlink(proc: Process, target: int, path: int) -> int:
    """symlink(2)."""
    return sys_symlinkat(proc, target, AT_FDCWD, path)


def sys_symlinkat(proc: Process, target: int, dirfd: int, path: int) -> int:
    """symlinkat(2)."""
    text = user_path(proc, target)
    name = user_path(proc, path)
    proc.fs.symlink(at_dirfd(proc, dirfd, name), name, text)
    return 0


def sys_readlink(proc: Process, path: int, buf: int, size: int) -> int:
    """readlink(2)."""
    return sys_readlinkat(proc, AT_FDCWD, path, buf, size)


def sys_readlinkat(proc: Process, dirfd: int, path: int, buf: int, size: int) -> int:
    """readlinkat(2)."""
    if size <= 0:
        raise LinuxError(Errno.EINVAL)
    name = proc.memory.read_cstring(path, PATH_MAX)
    if not name:  # the file of the descriptor, which no call here can have opened as a link
        if dirfd != AT_FDCWD:
            proc.fds.get(dirfd)
        raise LinuxError(Errno.ENOENT)
    target = proc.fs.readlink(at_dirfd(proc, dirfd, name), name)[:size]
    proc.memory.write(buf, target)
    return len(target)


def sys_truncate(proc: Process, path: int, length: int) -> int:
    """truncate(2)."""
    if length < 0:
        raise LinuxError(Errno.EINVAL)
    proc.fs.truncate(proc.at, user_path(proc, path), length)
    return 0


def sys_truncate64_32(proc: Process, path: int, low: int, high: int) -> int:
    """truncate(2), the length in two registers."""
    length = high << 32 | low
    return sys_truncate(proc, path, length - (length >> 63 << 64))
