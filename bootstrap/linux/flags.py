"""Flags and small constants of the Linux system call interface, as on x86, i386 and x86-64 alike.

Each block names its kernel header. The tables at the end of a block are for printing: pairs of
value and name, in the order in which strace prints them.
"""

from functools import reduce
from operator import or_

Flags = tuple[tuple[int, str], ...]

# include/uapi/asm-generic/fcntl.h

O_ACCMODE = 0o3
O_RDONLY = 0o0
O_WRONLY = 0o1
O_RDWR = 0o2
O_CREAT = 0o100
O_EXCL = 0o200
O_NOCTTY = 0o400
O_TRUNC = 0o1000
O_APPEND = 0o2000
O_NONBLOCK = 0o4000
O_DSYNC = 0o10000
O_ASYNC = 0o20000
O_DIRECT = 0o40000
O_LARGEFILE = 0o100000
O_DIRECTORY = 0o200000
O_NOFOLLOW = 0o400000
O_NOATIME = 0o1000000
O_CLOEXEC = 0o2000000
O_SYNC = 0o4010000
O_PATH = 0o10000000
O_TMPFILE = 0o20200000

OPEN_ACCESS: Flags = ((O_RDONLY, "O_RDONLY"), (O_WRONLY, "O_WRONLY"), (O_RDWR, "O_RDWR"))
"""Values of the O_ACCMODE bits."""

OPEN_FLAGS: Flags = (
    (O_CREAT, "O_CREAT"),
    (O_EXCL, "O_EXCL"),
    (O_NOCTTY, "O_NOCTTY"),
    (O_TRUNC, "O_TRUNC"),
    (O_APPEND, "O_APPEND"),
    (O_NONBLOCK, "O_NONBLOCK"),
    (O_SYNC, "O_SYNC"),
    (O_DSYNC, "O_DSYNC"),
    (O_ASYNC, "O_ASYNC"),
    (O_DIRECT, "O_DIRECT"),
    (O_LARGEFILE, "O_LARGEFILE"),
    (O_NOFOLLOW, "O_NOFOLLOW"),
    (O_NOATIME, "O_NOATIME"),
    (O_CLOEXEC, "O_CLOEXEC"),
    (O_PATH, "O_PATH"),
    (O_TMPFILE, "O_TMPFILE"),
    (O_DIRECTORY, "O_DIRECTORY"),
)
"""The flags beside O_ACCMODE. One that holds another's bits stands before it: take its bits off."""

VALID_OPEN_FLAGS = reduce(or_, (flag for flag, _ in OPEN_FLAGS), O_ACCMODE)
"""What open(2) knows (include/linux/fcntl.h)."""

ARM_SWAPPED: tuple[tuple[int, int], ...] = (
    (O_DIRECTORY, O_DIRECT),
    (O_NOFOLLOW, O_LARGEFILE),
)
"""Pairs whose values arm and arm64 have the other way round.

Source: Linux, arch/arm64/include/uapi/asm/fcntl.h. RISC-V has the generic values, as x86 has.
"""


def swap_bits(value: int, pairs: tuple[tuple[int, int], ...]) -> int:
    """`value` with each pair of bits exchanged: from one ABI's flags to another's, and back."""
    for one, other in pairs:
        if bool(value & one) != bool(value & other):
            value ^= one | other
    return value


F_DUPFD = 0
F_GETFD = 1
F_SETFD = 2
F_GETFL = 3
F_SETFL = 4
F_DUPFD_CLOEXEC = 1030
FD_CLOEXEC = 1

FCNTL_COMMANDS: Flags = (
    (F_DUPFD, "F_DUPFD"),
    (F_GETFD, "F_GETFD"),
    (F_SETFD, "F_SETFD"),
    (F_GETFL, "F_GETFL"),
    (F_SETFL, "F_SETFL"),
    (5, "F_GETLK"),
    (6, "F_SETLK"),
    (7, "F_SETLKW"),
    (F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"),
)

# include/uapi/linux/fcntl.h

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EACCESS = 0x200
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
AT_NO_AUTOMOUNT = 0x800
AT_EMPTY_PATH = 0x1000

AT_FLAGS: Flags = (
    (AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"),
    (AT_SYMLINK_FOLLOW, "AT_SYMLINK_FOLLOW"),
    (AT_NO_AUTOMOUNT, "AT_NO_AUTOMOUNT"),
    (AT_EMPTY_PATH, "AT_EMPTY_PATH"),
)
"""Of fstatat and linkat; 0x200 means AT_REMOVEDIR to unlinkat and AT_EACCESS to faccessat2."""

UNLINKAT_FLAGS: Flags = ((AT_REMOVEDIR, "AT_REMOVEDIR"),)

AT_STATX_FORCE_SYNC = 0x2000
AT_STATX_DONT_SYNC = 0x4000
AT_STATX_SYNC_TYPE = 0x6000

STATX_FLAGS: Flags = (
    *AT_FLAGS,
    (AT_STATX_FORCE_SYNC, "AT_STATX_FORCE_SYNC"),
    (AT_STATX_DONT_SYNC, "AT_STATX_DONT_SYNC"),
)
"""Of statx; none of the two last is AT_STATX_SYNC_AS_STAT."""

# include/uapi/linux/stat.h

STATX_BASIC_STATS = 0x7FF
STATX_RESERVED = 0x80000000

STATX_MASK: Flags = (
    (0xFFF, "STATX_ALL"),
    (STATX_BASIC_STATS, "STATX_BASIC_STATS"),
    (0x001, "STATX_TYPE"),
    (0x002, "STATX_MODE"),
    (0x004, "STATX_NLINK"),
    (0x008, "STATX_UID"),
    (0x010, "STATX_GID"),
    (0x020, "STATX_ATIME"),
    (0x040, "STATX_MTIME"),
    (0x080, "STATX_CTIME"),
    (0x100, "STATX_INO"),
    (0x200, "STATX_SIZE"),
    (0x400, "STATX_BLOCKS"),
    (0x800, "STATX_BTIME"),
    (0x1000, "STATX_MNT_ID"),
)

S_IFMT = 0o170000
S_IFSOCK = 0o140000
S_IFLNK = 0o120000
S_IFREG = 0o100000
S_IFBLK = 0o060000
S_IFDIR = 0o040000
S_IFCHR = 0o020000
S_IFIFO = 0o010000
S_ISUID = 0o4000
S_ISGID = 0o2000
S_ISVTX = 0o1000
S_IRWXU = 0o700
S_IRUSR = 0o400
S_IWUSR = 0o200
S_IXUSR = 0o100
S_IRWXG = 0o070
S_IRGRP = 0o040
S_IWGRP = 0o020
S_IXGRP = 0o010
S_IRWXO = 0o007
S_IROTH = 0o004
S_IWOTH = 0o002
S_IXOTH = 0o001

FILE_TYPES: Flags = (
    (S_IFSOCK, "S_IFSOCK"),
    (S_IFLNK, "S_IFLNK"),
    (S_IFREG, "S_IFREG"),
    (S_IFBLK, "S_IFBLK"),
    (S_IFDIR, "S_IFDIR"),
    (S_IFCHR, "S_IFCHR"),
    (S_IFIFO, "S_IFIFO"),
)
"""Values of the S_IFMT bits. A directory entry's d_type is the value >> 12 (fs/readdir.c)."""

# include/uapi/linux/fs.h

SEEK_SET = 0
SEEK_CUR = 1
SEEK_END = 2
SEEK_DATA = 3
SEEK_HOLE = 4

SEEK_WHENCE: Flags = (
    (SEEK_SET, "SEEK_SET"),
    (SEEK_CUR, "SEEK_CUR"),
    (SEEK_END, "SEEK_END"),
    (SEEK_DATA, "SEEK_DATA"),
    (SEEK_HOLE, "SEEK_HOLE"),
)

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
RENAME_WHITEOUT = 4

RENAME_FLAGS: Flags = (
    (RENAME_NOREPLACE, "RENAME_NOREPLACE"),
    (RENAME_EXCHANGE, "RENAME_EXCHANGE"),
    (RENAME_WHITEOUT, "RENAME_WHITEOUT"),
)

# access(2); MAY_* of include/linux/fs.h

F_OK = 0
X_OK = 1
W_OK = 2
R_OK = 4

ACCESS_MODES: Flags = ((R_OK, "R_OK"), (W_OK, "W_OK"), (X_OK, "X_OK"))
"""F_OK is none of them."""

# include/uapi/asm-generic/mman-common.h, mman.h

PROT_NONE = 0
PROT_READ = 1
PROT_WRITE = 2
PROT_EXEC = 4
PROT_GROWSDOWN = 0x01000000
PROT_GROWSUP = 0x02000000

PROT_FLAGS: Flags = (
    (PROT_READ, "PROT_READ"),
    (PROT_WRITE, "PROT_WRITE"),
    (PROT_EXEC, "PROT_EXEC"),
    (PROT_GROWSDOWN, "PROT_GROWSDOWN"),
    (PROT_GROWSUP, "PROT_GROWSUP"),
)
"""PROT_NONE is none of them."""

MAP_SHARED = 0x01
MAP_PRIVATE = 0x02
MAP_SHARED_VALIDATE = 0x03
MAP_TYPE = 0x0F
MAP_FIXED = 0x10
MAP_ANONYMOUS = 0x20
MAP_32BIT = 0x40
MAP_GROWSDOWN = 0x0100
MAP_DENYWRITE = 0x0800
MAP_EXECUTABLE = 0x1000
MAP_LOCKED = 0x2000
MAP_NORESERVE = 0x4000
MAP_POPULATE = 0x8000
MAP_NONBLOCK = 0x10000
MAP_STACK = 0x20000
MAP_HUGETLB = 0x40000
MAP_SYNC = 0x80000
MAP_FIXED_NOREPLACE = 0x100000

MAP_TYPES: Flags = (
    (MAP_SHARED, "MAP_SHARED"),
    (MAP_PRIVATE, "MAP_PRIVATE"),
    (MAP_SHARED_VALIDATE, "MAP_SHARED_VALIDATE"),
)
"""Values of the MAP_TYPE bits."""

MAP_FLAGS: Flags = (
    (MAP_FIXED, "MAP_FIXED"),
    (MAP_ANONYMOUS, "MAP_ANONYMOUS"),
    (MAP_32BIT, "MAP_32BIT"),
    (MAP_GROWSDOWN, "MAP_GROWSDOWN"),
    (MAP_DENYWRITE, "MAP_DENYWRITE"),
    (MAP_EXECUTABLE, "MAP_EXECUTABLE"),
    (MAP_LOCKED, "MAP_LOCKED"),
    (MAP_NORESERVE, "MAP_NORESERVE"),
    (MAP_POPULATE, "MAP_POPULATE"),
    (MAP_NONBLOCK, "MAP_NONBLOCK"),
    (MAP_STACK, "MAP_STACK"),
    (MAP_HUGETLB, "MAP_HUGETLB"),
    (MAP_SYNC, "MAP_SYNC"),
    (MAP_FIXED_NOREPLACE, "MAP_FIXED_NOREPLACE"),
)

# include/uapi/linux/sched.h

CSIGNAL = 0x000000FF
CLONE_VM = 0x00000100
CLONE_FS = 0x00000200
CLONE_FILES = 0x00000400
CLONE_SIGHAND = 0x00000800
CLONE_PIDFD = 0x00001000
CLONE_PTRACE = 0x00002000
CLONE_VFORK = 0x00004000
CLONE_PARENT = 0x00008000
CLONE_THREAD = 0x00010000
CLONE_NEWNS = 0x00020000
CLONE_SYSVSEM = 0x00040000
CLONE_SETTLS = 0x00080000
CLONE_PARENT_SETTID = 0x00100000
CLONE_CHILD_CLEARTID = 0x00200000
CLONE_DETACHED = 0x00400000
CLONE_UNTRACED = 0x00800000
CLONE_CHILD_SETTID = 0x01000000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_IO = 0x80000000

CLONE_FLAGS: Flags = (
    (CLONE_VM, "CLONE_VM"),
    (CLONE_FS, "CLONE_FS"),
    (CLONE_FILES, "CLONE_FILES"),
    (CLONE_SIGHAND, "CLONE_SIGHAND"),
    (CLONE_PIDFD, "CLONE_PIDFD"),
    (CLONE_PTRACE, "CLONE_PTRACE"),
    (CLONE_VFORK, "CLONE_VFORK"),
    (CLONE_PARENT, "CLONE_PARENT"),
    (CLONE_THREAD, "CLONE_THREAD"),
    (CLONE_NEWNS, "CLONE_NEWNS"),
    (CLONE_SYSVSEM, "CLONE_SYSVSEM"),
    (CLONE_SETTLS, "CLONE_SETTLS"),
    (CLONE_PARENT_SETTID, "CLONE_PARENT_SETTID"),
    (CLONE_CHILD_CLEARTID, "CLONE_CHILD_CLEARTID"),
    (CLONE_DETACHED, "CLONE_DETACHED"),
    (CLONE_UNTRACED, "CLONE_UNTRACED"),
    (CLONE_CHILD_SETTID, "CLONE_CHILD_SETTID"),
    (CLONE_NEWCGROUP, "CLONE_NEWCGROUP"),
    (CLONE_NEWUTS, "CLONE_NEWUTS"),
    (CLONE_NEWIPC, "CLONE_NEWIPC"),
    (CLONE_NEWUSER, "CLONE_NEWUSER"),
    (CLONE_NEWPID, "CLONE_NEWPID"),
    (CLONE_NEWNET, "CLONE_NEWNET"),
    (CLONE_IO, "CLONE_IO"),
)
"""The bits beside CSIGNAL, which holds the signal that tells the parent of the child's end."""

# include/uapi/linux/wait.h

WNOHANG = 0x00000001
WUNTRACED = 0x00000002
WEXITED = 0x00000004
WCONTINUED = 0x00000008
WNOWAIT = 0x01000000
WNOTHREAD = 0x20000000
WALL = 0x40000000
WCLONE = 0x80000000

WAIT_OPTIONS: Flags = (
    (WNOHANG, "WNOHANG"),
    (WUNTRACED, "WUNTRACED"),
    (WEXITED, "WEXITED"),
    (WCONTINUED, "WCONTINUED"),
    (WNOWAIT, "WNOWAIT"),
    (WNOTHREAD, "__WNOTHREAD"),
    (WALL, "__WALL"),
    (WCLONE, "__WCLONE"),
)
"""WSTOPPED is waitid's name for WUNTRACED."""

P_ALL = 0
P_PID = 1
P_PGID = 2
P_PIDFD = 3

WAIT_ID_TYPES: Flags = (
    (P_ALL, "P_ALL"),
    (P_PID, "P_PID"),
    (P_PGID, "P_PGID"),
    (P_PIDFD, "P_PIDFD"),
)
"""What waitid waits for."""

# include/uapi/asm-generic/siginfo.h

CLD_EXITED = 1
CLD_KILLED = 2

CHILD_CODES: Flags = ((CLD_EXITED, "CLD_EXITED"), (CLD_KILLED, "CLD_KILLED"))
"""si_code of SIGCHLD: how the child ended. No guest process dumps core."""
