"""The rows that Linux ABIs share: the same arguments, structures and meaning wherever they are."""

from bootstrap.linux import calls_io as io
from bootstrap.linux import calls_memory as mem
from bootstrap.linux import calls_path as path
from bootstrap.linux import calls_process as process
from bootstrap.linux import calls_stat as stat
from bootstrap.linux.row import Arg, Handler, Kind, Result, Row, Support
from bootstrap.linux.structs import Word

_KINDS = {kind.label: kind for kind in Kind}


def args(spec: str) -> tuple[Arg, ...]:
    """Arguments from "kind name, kind name"."""
    pairs = [part.split() for part in spec.split(",") if part.strip()]
    return tuple(Arg(_KINDS[kind], name) for kind, name in pairs)


def full(
    name: str, spec: str, handler: Handler, result: Result = Result.INT, note: str = ""
) -> Row:
    """A row that does all that Linux does."""
    return Row(name, args(spec), handler, Support.FULL, note, result)


def partial(name: str, spec: str, handler: Handler, note: str, result: Result = Result.INT) -> Row:
    """A row whose note says what it leaves out."""
    return Row(name, args(spec), handler, Support.PARTIAL, note, result)


def refused(name: str, spec: str, note: str) -> Row:
    """A row that stops the run, and says why."""
    return Row(name, args(spec), None, Support.REFUSED, note)


def probed(name: str, spec: str, note: str) -> Row:
    """A row that fails with ENOSYS where nobody judges the run, and says why that is enough."""
    return Row(name, args(spec), None, Support.PROBED, note)


def by_name(*rows: Row) -> dict[str, Row]:
    """Rows keyed by their names."""
    return {row.name: row for row in rows}


CLOCK = "The guest has no clock, so that every run is the same."
NO_THREADS = "A process has one thread."
RANDOM = "Every run is the same; nothing random comes from outside."
LIMITS = "The guest's limits are not Linux's (docs/guest.md)."
ADVICE = "Nobody takes advice on memory here."
REMAP = "C libraries copy instead."
SIGNALS = "The guest has no signals; a fault ends the process as its default signal would."
MOUNTS = "The guest has one file system and no namespaces."
WAIT = (
    "Children have ended before their parent runs on, so it never blocks and WNOHANG changes "
    "nothing. Process groups (pid below -1) stop the run"
)
RUSAGE = "an rusage that could be stored: the guest has no clock."
SYNC = "Files live in memory and no power can fail: there is nothing to wait for."
MKNOD = "Regular files only; any other type stops the run."
ROOT = "The guest is root: 0 changes nothing and succeeds, any other id stops the run."
OPEN = "O_PATH stops the run; O_TMPFILE fails with EOPNOTSUPP."
MMAP = (
    "Anonymous private mappings. A file gives ENODEV, as on a file system without mmap; shared "
    "anonymous memory and the flags MAP_GROWSDOWN, MAP_LOCKED, MAP_HUGETLB, MAP_32BIT stop the run."
)
UNAME = "Always the same: Linux 6.1.0 on node `bootstrap`, with the machine name of the ABI."
CLONE = "Flags SIGCHLD alone, which is fork(2); any other flag stops the run."
STATX = "The basic fields only: no time of birth, no mount, no attributes."

COMMON = by_name(
    full("exit", "int status", process.sys_exit, Result.NONE),
    full("exit_group", "int status", process.sys_exit, Result.NONE),
    full("fork", "", process.sys_fork),
    partial(
        "vfork",
        "",
        process.sys_fork,
        "The child gets a copy of the memory: the parent does not "
        "see what it stored before it called execve or exit.",
    ),
    partial(
        "wait4",
        "int pid, status_out wstatus, wait_options options, ptr rusage",
        process.sys_wait4,
        f"{WAIT}, as does {RUSAGE}",
    ),
    full("getpid", "", process.sys_getpid),
    full("gettid", "", process.sys_getpid),
    full("getppid", "", process.sys_getppid),
    full("getuid", "", process.sys_get_id),
    full("geteuid", "", process.sys_get_id),
    full("getgid", "", process.sys_get_id),
    full("getegid", "", process.sys_get_id),
    full("set_tid_address", "ptr tidptr", process.sys_set_tid_address),
    full("umask", "mode mask", process.sys_umask, Result.OCTAL),
    full("brk", "ptr addr", mem.sys_brk, Result.HEX),
    full("munmap", "ptr addr, size length", mem.sys_munmap),
    partial(
        "mprotect",
        "ptr addr, size length, prot prot",
        mem.sys_mprotect,
        "PROT_GROWSDOWN and PROT_GROWSUP stop the run.",
    ),
    full("read", "fd fd, buffer_out buf, size count", io.sys_read),
    full("write", "fd fd, buffer_in buf, size count", io.sys_write),
    full("close", "fd fd", io.sys_close),
    full("dup", "fd oldfd", io.sys_dup),
    full("dup2", "fd oldfd, fd newfd", io.sys_dup2),
    full("dup3", "fd oldfd, fd newfd, dup_flags flags", io.sys_dup3),
    partial(
        "fcntl",
        "fd fd, fcntl_cmd cmd, fcntl_arg arg",
        io.sys_fcntl,
        "F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETOWNER_UIDS; other "
        "commands that Linux has stop the run.",
        Result.FCNTL,
    ),
    partial(
        "ioctl",
        "fd fd, ioctl_cmd request, ptr arg",
        io.sys_ioctl,
        "FIOCLEX and FIONCLEX; the terminal requests (0x54xx) fail with ENOTTY, for no guest file "
        "is a terminal; any other request stops the run.",
    ),
    partial("fsync", "fd fd", io.sys_fsync, SYNC),
    partial("fdatasync", "fd fd", io.sys_fsync, SYNC),
    partial("sync", "", io.sys_sync, SYNC),
    full("access", "path pathname, access_mode mode", path.sys_access),
    full("faccessat", "dirfd dirfd, path pathname, access_mode mode", path.sys_faccessat),
    full("chdir", "path path", path.sys_chdir),
    full("fchdir", "fd fd", path.sys_fchdir),
    full("chroot", "path path", path.sys_chroot),
    full("getcwd", "string_out buf, size size", path.sys_getcwd),
    full("chmod", "path pathname, mode mode", path.sys_chmod),
    full("fchmod", "fd fd, mode mode", path.sys_fchmod),
    full("fchmodat", "dirfd dirfd, path pathname, mode mode", path.sys_fchmodat),
    full("mkdir", "path pathname, mode mode", path.sys_mkdir),
    full("mkdirat", "dirfd dirfd, path pathname, mode mode", path.sys_mkdirat),
    partial("mknod", "path pathname, file_mode mode, uint dev", path.sys_mknod, MKNOD),
    partial(
        "mknodat",
        "dirfd dirfd, path pathname, file_mode mode, uint dev",
        path.sys_mknodat,
        MKNOD,
    ),
    full("rmdir", "path pathname", path.sys_rmdir),
    full("unlink", "path pathname", path.sys_unlink),
    full("unlinkat", "dirfd dirfd, path pathname, unlinkat_flags flags", path.sys_unlinkat),
    full("rename", "path oldpath, path newpath", path.sys_rename),
    full(
        "renameat", "dirfd olddirfd, path oldpath, dirfd newdirfd, path newpath", path.sys_renameat
    ),
    partial(
        "renameat2",
        "dirfd olddirfd, path oldpath, dirfd newdirfd, path newpath, rename_flags flags",
        path.sys_renameat2,
        "Without flags; RENAME_NOREPLACE, RENAME_EXCHANGE and RENAME_WHITEOUT stop the run.",
    ),
    full("link", "path oldpath, path newpath", path.sys_link),
    partial(
        "linkat",
        "dirfd olddirfd, path oldpath, dirfd newdirfd, path newpath, at_flags flags",
        path.sys_linkat,
        "AT_EMPTY_PATH stops the run.",
    ),
    full("symlink", "path target, path linkpath", path.sys_symlink),
    full("symlinkat", "path target, dirfd newdirfd, path linkpath", path.sys_symlinkat),
    full("readlink", "path pathname, string_out buf, int bufsiz", path.sys_readlink),
    full(
        "readlinkat", "dirfd dirfd, path pathname, string_out buf, int bufsiz", path.sys_readlinkat
    ),
    full("getdents64", "fd fd, dirents64_out dirp, uint count", stat.getdents_for(None)),
    partial(
        "statx",
        "dirfd dirfd, path pathname, statx_flags flags, statx_mask mask, statx_out statxbuf",
        stat.sys_statx,
        STATX,
    ),
    refused("mount", "path source, path target, path type, long flags, ptr data", MOUNTS),
    refused("unshare", "clone_flags flags", MOUNTS),
    refused("time", "ptr tloc", CLOCK),
    refused("gettimeofday", "ptr tv, ptr tz", CLOCK),
    probed("clock_gettime", "int clockid, ptr tp", CLOCK),
    probed("set_robust_list", "ptr head, size len", NO_THREADS),
    probed("rseq", "ptr rseq, uint rseq_len, int flags, uint sig", NO_THREADS),
    probed("getrandom", "ptr buf, size buflen, uint flags", RANDOM),
    probed("prlimit64", "int pid, uint resource, ptr new_limit, ptr old_limit", LIMITS),
    probed("madvise", "ptr addr, size length, int advice", ADVICE),
    probed("mremap", "ptr old, size old_size, size new_size, int flags, ptr new", REMAP),
    refused("nanosleep", "ptr req, ptr rem", CLOCK),
    refused("alarm", "uint seconds", CLOCK),
    refused("utime", "path filename, ptr times", CLOCK),
    refused("utimensat", "dirfd dirfd, path pathname, ptr times, at_flags flags", CLOCK),
    refused("kill", "int pid, int sig", SIGNALS),
    refused("pause", "", SIGNALS),
    refused("rt_sigaction", "int signum, ptr act, ptr oldact, size sigsetsize", SIGNALS),
    refused("rt_sigprocmask", "int how, ptr set, ptr oldset, size sigsetsize", SIGNALS),
)


def word_rows(word: Word) -> dict[str, Row]:
    """Rows whose arrays and structures are made of longs and pointers."""
    return by_name(
        full("execve", "path pathname, strings argv, environment envp", process.execve_for(word)),
        full("readv", "fd fd, iov_out iov, uint iovcnt", io.readv_for(word)),
        full("writev", "fd fd, iov_in iov, uint iovcnt", io.writev_for(word)),
        full("getdents", "fd fd, dirents_out dirp, uint count", stat.getdents_for(word)),
        partial(
            "waitid",
            "wait_id_type idtype, int id, siginfo_out infop, wait_options options, ptr rusage",
            process.waitid_for(word),
            f"{WAIT}, as does {RUSAGE} P_PIDFD gives EBADF.",
        ),
    )
