"""Linux's error numbers, flags and signals, as far as the core's calls use them; and the error
numbers of calls that stand on the core, for one enumeration has all.

Claims: each value is the one of Linux for x86, ARM64 and RISC-V alike; where ARM differs (its open
flags), `arches` says so.
Relies on: nothing. Each block names the kernel header that it was taken from.
Tests that would fail if it lied: tests/core/test_abi.py (against the host's own headers by way of
Python's errno, os, stat and signal modules) and tests/core/test_native.py (against its kernel).
"""

from enum import IntEnum


class Errno(IntEnum):
    """An error number (include/uapi/asm-generic/errno-base.h, errno.h), and strerror(3)'s text."""

    text: str

    def __new__(cls, number: int, text: str) -> "Errno":
        self = int.__new__(cls, number)
        self._value_ = number
        self.text = text
        return self

    EPERM = 1, "Operation not permitted"
    ENOENT = 2, "No such file or directory"
    ESRCH = 3, "No such process"
    EIO = 5, "Input/output error"
    ENXIO = 6, "No such device or address"
    E2BIG = 7, "Argument list too long"
    ENOEXEC = 8, "Exec format error"
    EBADF = 9, "Bad file descriptor"
    ECHILD = 10, "No child processes"
    EAGAIN = 11, "Resource temporarily unavailable"
    ENOMEM = 12, "Cannot allocate memory"
    EACCES = 13, "Permission denied"
    EFAULT = 14, "Bad address"
    EBUSY = 16, "Device or resource busy"
    EEXIST = 17, "File exists"
    ENODEV = 19, "No such device"
    ENOTDIR = 20, "Not a directory"
    EISDIR = 21, "Is a directory"
    EINVAL = 22, "Invalid argument"
    EMFILE = 24, "Too many open files"
    ENOTTY = 25, "Inappropriate ioctl for device"
    ETXTBSY = 26, "Text file busy"
    EFBIG = 27, "File too large"
    ENOSPC = 28, "No space left on device"
    ESPIPE = 29, "Illegal seek"
    EPIPE = 32, "Broken pipe"
    ERANGE = 34, "Numerical result out of range"
    ENAMETOOLONG = 36, "File name too long"
    ENOSYS = 38, "Function not implemented"
    ENOTEMPTY = 39, "Directory not empty"
    ELOOP = 40, "Too many levels of symbolic links"
    EOVERFLOW = 75, "Value too large for defined data type"
    EOPNOTSUPP = 95, "Operation not supported"


class LinuxError(Exception):
    """A system call fails with `errno`; the machine gives it to the guest as -errno."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno)
        self.errno = errno

    def __str__(self) -> str:
        return f"{self.errno.name} ({self.errno.text})"


# open(2): include/uapi/asm-generic/fcntl.h

O_ACCMODE = 0o3
O_RDONLY, O_WRONLY, O_RDWR = 0, 1, 2
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
VALID_OPEN_FLAGS = (
    O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC | O_ASYNC
    | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_SYNC | O_PATH
    | O_TMPFILE
)  # fmt: skip
"""What open(2) knows (include/linux/fcntl.h)."""

# The calls that end in `at`: include/uapi/linux/fcntl.h

AT_FDCWD = -100
AT_REMOVEDIR = 0x200

# Files: include/uapi/linux/stat.h, fs.h, limits.h, include/linux/fs.h

S_IFMT = 0o170000
S_IFLNK, S_IFREG, S_IFDIR, S_IFCHR = 0o120000, 0o100000, 0o040000, 0o020000
PERMISSIONS = 0o7777
"""S_IALLUGO: the mode bits that chmod and open set."""
ANY_EXECUTE = 0o111
X_OK = 1
"""access(2)."""
SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE = 0, 1, 2, 3, 4
NAME_MAX = 255
"""Bytes in a file's name."""
PATH_MAX = 4096
"""Bytes in a path, with its NUL."""
MAX_OFFSET = (1 << 63) - 1
"""Largest file offset (MAX_LFS_FILESIZE)."""
MAX_NON_LFS = (1 << 31) - 1
"""Largest offset to write at, or file to open, without O_LARGEFILE."""
MAX_RW_COUNT = 0x7FFFF000
"""Bytes one read or write moves at most: INT_MAX rounded down to a page."""

# Memory: include/uapi/asm-generic/mman-common.h

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4

# Processes: include/uapi/linux/wait.h, include/uapi/asm-generic/siginfo.h

WNOHANG = 0x1
WUNTRACED = 0x2
WEXITED = 0x4
WCONTINUED = 0x8
WNOWAIT = 0x01000000
WNOTHREAD = 0x20000000
WALL = 0x40000000
WCLONE = 0x80000000
P_ALL, P_PID, P_PGID, P_PIDFD = 0, 1, 2, 3
CLD_EXITED, CLD_KILLED = 1, 2

# Signals: include/uapi/asm-generic/signal.h

SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGCHLD = 4, 5, 7, 8, 11, 17
