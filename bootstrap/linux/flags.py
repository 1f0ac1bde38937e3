"""Flags of the system calls that the core does not have, and the names of all, for printing.

As on x86, ARM64 and RISC-V alike; each block names its kernel header. A table is pairs of value and
name, in the order in which strace prints them; one that holds another's bits stands before it. What
the core uses is in bootstrap.core.abi.
"""

from bootstrap.core import abi

Flags = tuple[tuple[int, str], ...]


def _table(names: str = "", **values: int) -> Flags:
    """The constants of bootstrap.core.abi with these names, then these values by name."""
    return (
        *((getattr(abi, name.removeprefix("__")), name) for name in names.split()),
        *((value, name) for name, value in values.items()),
    )


# include/uapi/asm-generic/fcntl.h

OPEN_ACCESS = _table("O_RDONLY O_WRONLY O_RDWR")
"""Values of the O_ACCMODE bits."""
OPEN_FLAGS = _table(
    "O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_SYNC O_DSYNC O_ASYNC O_DIRECT "
    "O_LARGEFILE O_NOFOLLOW O_NOATIME O_CLOEXEC O_PATH O_TMPFILE O_DIRECTORY"
)
"""The flags beside O_ACCMODE."""

F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL = range(5)
F_DUPFD_CLOEXEC = 1030
FD_CLOEXEC = 1
FCNTL_COMMANDS = _table(
    F_DUPFD=F_DUPFD, F_GETFD=F_GETFD, F_SETFD=F_SETFD, F_GETFL=F_GETFL, F_SETFL=F_SETFL,
    F_GETLK=5, F_SETLK=6, F_SETLKW=7, F_DUPFD_CLOEXEC=F_DUPFD_CLOEXEC,
)  # fmt: skip

# include/uapi/linux/fcntl.h

AT_SYMLINK_NOFOLLOW = 0x100
AT_SYMLINK_FOLLOW = 0x400
AT_NO_AUTOMOUNT = 0x800
AT_EMPTY_PATH = 0x1000
AT_STATX_SYNC_TYPE = 0x6000
AT_FLAGS = _table(
    AT_SYMLINK_NOFOLLOW=AT_SYMLINK_NOFOLLOW, AT_SYMLINK_FOLLOW=AT_SYMLINK_FOLLOW,
    AT_NO_AUTOMOUNT=AT_NO_AUTOMOUNT, AT_EMPTY_PATH=AT_EMPTY_PATH,
)  # fmt: skip
"""Of fstatat and linkat; 0x200 means AT_REMOVEDIR to unlinkat and AT_EACCESS to faccessat2."""
UNLINKAT_FLAGS = _table("AT_REMOVEDIR")
STATX_FLAGS = (*AT_FLAGS, *_table(AT_STATX_FORCE_SYNC=0x2000, AT_STATX_DONT_SYNC=0x4000))
"""Of statx; none of the two last is AT_STATX_SYNC_AS_STAT."""

# include/uapi/linux/stat.h

STATX_BASIC_STATS = 0x7FF
STATX_RESERVED = 0x80000000
STATX_MASK = _table(
    STATX_ALL=0xFFF, STATX_BASIC_STATS=STATX_BASIC_STATS, STATX_TYPE=0x1, STATX_MODE=0x2,
    STATX_NLINK=0x4, STATX_UID=0x8, STATX_GID=0x10, STATX_ATIME=0x20, STATX_MTIME=0x40,
    STATX_CTIME=0x80, STATX_INO=0x100, STATX_SIZE=0x200, STATX_BLOCKS=0x400, STATX_BTIME=0x800,
    STATX_MNT_ID=0x1000,
)  # fmt: skip

S_IFSOCK, S_IFBLK, S_IFIFO = 0o140000, 0o060000, 0o010000
S_ISGID = 0o2000
FILE_TYPES: Flags = (
    (S_IFSOCK, "S_IFSOCK"),
    *_table("S_IFLNK S_IFREG", S_IFBLK=S_IFBLK),
    *_table("S_IFDIR S_IFCHR", S_IFIFO=S_IFIFO),
)
"""Values of the S_IFMT bits. A directory entry's d_type is the value >> 12 (fs/readdir.c)."""

# include/uapi/linux/fs.h

SEEK_WHENCE = _table("SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE")
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
RENAME_FLAGS = _table(
    RENAME_NOREPLACE=RENAME_NOREPLACE, RENAME_EXCHANGE=RENAME_EXCHANGE,
    RENAME_WHITEOUT=RENAME_WHITEOUT,
)  # fmt: skip

ACCESS_MODES = _table(R_OK=4, W_OK=2, X_OK=abi.X_OK)
"""access(2); F_OK, 0, is none of them."""

# include/uapi/asm-generic/mman-common.h, mman.h

PROT_GROWSDOWN, PROT_GROWSUP = 0x01000000, 0x02000000
PROT_FLAGS = _table(
    "PROT_READ PROT_WRITE PROT_EXEC", PROT_GROWSDOWN=PROT_GROWSDOWN, PROT_GROWSUP=PROT_GROWSUP
)
"""PROT_NONE, 0, is none of them."""

MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE = 1, 2, 3
MAP_TYPE = 0x0F
MAP_FIXED = 0x10
MAP_ANONYMOUS = 0x20
MAP_GROWSDOWN = 0x0100
MAP_DENYWRITE = 0x0800
MAP_EXECUTABLE = 0x1000
MAP_NORESERVE = 0x4000
MAP_POPULATE = 0x8000
MAP_STACK = 0x20000
MAP_FIXED_NOREPLACE = 0x100000
MAP_TYPES = _table(
    MAP_SHARED=MAP_SHARED, MAP_PRIVATE=MAP_PRIVATE, MAP_SHARED_VALIDATE=MAP_SHARED_VALIDATE
)
"""Values of the MAP_TYPE bits."""
MAP_FLAGS = _table(
    MAP_FIXED=MAP_FIXED, MAP_ANONYMOUS=MAP_ANONYMOUS, MAP_32BIT=0x40, MAP_GROWSDOWN=MAP_GROWSDOWN,
    MAP_DENYWRITE=MAP_DENYWRITE, MAP_EXECUTABLE=MAP_EXECUTABLE, MAP_LOCKED=0x2000,
    MAP_NORESERVE=MAP_NORESERVE, MAP_POPULATE=MAP_POPULATE, MAP_NONBLOCK=0x10000,
    MAP_STACK=MAP_STACK, MAP_HUGETLB=0x40000, MAP_SYNC=0x80000,
    MAP_FIXED_NOREPLACE=MAP_FIXED_NOREPLACE,
)  # fmt: skip

# include/uapi/linux/sched.h

CSIGNAL = 0xFF
CLONE_FLAGS = _table(
    CLONE_VM=0x100, CLONE_FS=0x200, CLONE_FILES=0x400, CLONE_SIGHAND=0x800, CLONE_PIDFD=0x1000,
    CLONE_PTRACE=0x2000, CLONE_VFORK=0x4000, CLONE_PARENT=0x8000, CLONE_THREAD=0x10000,
    CLONE_NEWNS=0x20000, CLONE_SYSVSEM=0x40000, CLONE_SETTLS=0x80000,
    CLONE_PARENT_SETTID=0x100000, CLONE_CHILD_CLEARTID=0x200000, CLONE_DETACHED=0x400000,
    CLONE_UNTRACED=0x800000, CLONE_CHILD_SETTID=0x1000000, CLONE_NEWCGROUP=0x2000000,
    CLONE_NEWUTS=0x4000000, CLONE_NEWIPC=0x8000000, CLONE_NEWUSER=0x10000000,
    CLONE_NEWPID=0x20000000, CLONE_NEWNET=0x40000000, CLONE_IO=0x80000000,
)  # fmt: skip
"""The bits beside CSIGNAL, which holds the signal that the parent gets at the child's end."""

# include/uapi/linux/wait.h

WAIT_OPTIONS = _table("WNOHANG WUNTRACED WEXITED WCONTINUED WNOWAIT __WNOTHREAD __WALL __WCLONE")
"""WSTOPPED is waitid's name for WUNTRACED."""
WAIT_ID_TYPES = _table("P_ALL P_PID P_PGID P_PIDFD")
"""What waitid waits for."""

# include/uapi/asm-generic/siginfo.h

CHILD_CODES = _table("CLD_EXITED CLD_KILLED")
"""si_code of SIGCHLD: how the child ended. No guest process dumps core."""
