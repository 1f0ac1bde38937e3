"""Layouts of the structures that system calls store in guest memory.

All are little-endian: Linux, arch/x86/include/uapi/asm/stat.h (stat, stat64),
arch/x86/include/asm/compat.h (struct compat_stat), include/uapi/asm-generic/stat.h,
include/uapi/linux/stat.h (statx), include/uapi/asm-generic/siginfo.h, include/uapi/linux/utsname.h,
fs/readdir.c (struct linux_dirent, linux_dirent64), include/uapi/linux/uio.h (struct iovec).
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from bootstrap.linux.flags import STATX_BASIC_STATS


class StatFields(NamedTuple):
    """What stat(2) says of a file, in bytes and counts; owner, group and times are always 0."""

    dev: int
    ino: int
    mode: int
    nlink: int
    rdev: int
    size: int

    @property
    def blocks(self) -> int:
        """512-byte units, in whole blocks of BLOCK_SIZE bytes."""
        return (self.size + BLOCK_SIZE - 1) // BLOCK_SIZE * (BLOCK_SIZE // 512)


BLOCK_SIZE = 4096
"""st_blksize."""

_STAT_I386 = Struct("<IIHHHHIIII24x8x")
_STAT64_I386 = Struct("<Q4xIIIIIQ4xqIQ24xQ")
_STAT_X86_64 = Struct("<QQQIII4xQqqq48x24x")
_STAT_GENERIC = Struct("<QQIIIIQ8xqi4xq48x8x")
_STATX = Struct("<IIQIIIH2xQQQQ64xIIII112x")

MAX_NON_LFS = (1 << 31) - 1
"""Largest file that the 32-bit struct stat and off_t can describe (include/linux/fs.h)."""


def _pack_stat_i386(s: StatFields) -> bytes:
    if s.size > MAX_NON_LFS or s.ino >> 32 or s.nlink >> 16:
        raise OverflowError("a field does not fit the 32-bit struct stat")
    return _STAT_I386.pack(
        s.dev, s.ino, s.mode, s.nlink, 0, 0, s.rdev, s.size, BLOCK_SIZE, s.blocks
    )


def _pack_stat64_i386(s: StatFields) -> bytes:
    low_ino = s.ino & 0xFFFFFFFF
    return _STAT64_I386.pack(
        s.dev, low_ino, s.mode, s.nlink, 0, 0, s.rdev, s.size, BLOCK_SIZE, s.blocks, s.ino
    )


def _pack_stat_x86_64(s: StatFields) -> bytes:
    return _STAT_X86_64.pack(
        s.dev, s.ino, s.nlink, s.mode, 0, 0, s.rdev, s.size, BLOCK_SIZE, s.blocks
    )


def _pack_stat_generic(s: StatFields) -> bytes:
    return _STAT_GENERIC.pack(
        s.dev, s.ino, s.mode, s.nlink, 0, 0, s.rdev, s.size, BLOCK_SIZE, s.blocks
    )


def _pack_statx(s: StatFields) -> bytes:
    # st_dev and st_rdev have their minor number in the low byte here (new_encode_dev).
    return _STATX.pack(
        STATX_BASIC_STATS, BLOCK_SIZE, 0, s.nlink, 0, 0, s.mode, s.ino, s.size, s.blocks, 0,
        s.rdev >> 8, s.rdev & 0xFF, s.dev >> 8, s.dev & 0xFF,
    )  # fmt: skip


@dataclass(frozen=True)
class StatLayout:
    """One ABI's struct stat: how to pack it, and where a printer finds what it shows."""

    length: int
    pack: Callable[[StatFields], bytes]
    """Raises OverflowError for a file that the structure cannot describe."""
    mode_at: int
    mode_bytes: int
    size_at: int
    size_bytes: int
    rdev_at: int

    def mode_and_size(self, raw: bytes) -> tuple[int, int]:
        """(st_mode, st_size) of a packed structure."""
        mode = raw[self.mode_at : self.mode_at + self.mode_bytes]
        size = raw[self.size_at : self.size_at + self.size_bytes]
        return int.from_bytes(mode, "little"), int.from_bytes(size, "little")


STAT_I386 = StatLayout(64, _pack_stat_i386, 8, 2, 20, 4, 16)
STAT64_I386 = StatLayout(96, _pack_stat64_i386, 16, 4, 44, 8, 32)
STAT_X86_64 = StatLayout(144, _pack_stat_x86_64, 24, 4, 48, 8, 40)
STAT_GENERIC = StatLayout(128, _pack_stat_generic, 16, 4, 48, 8, 32)
"""Of architectures with the generic numbers and 64 bits."""
STAT_OF = {
    "i386": STAT_I386,
    "x86_64": STAT_X86_64,
    **dict.fromkeys(("aarch64", "riscv64", "riscv32"), STAT_GENERIC),
}
"""By Arch.name, what stat(2) and its kin store."""
STATX = StatLayout(256, _pack_statx, 28, 2, 40, 8, 128)
"""struct statx, the same everywhere: the basic fields, no time of birth, no mount."""


@dataclass(frozen=True)
class Word:
    """The structures whose layout follows the size of a C long and of a pointer."""

    size: int
    """Bytes in a pointer."""
    max_signed: int
    """LONG_MAX."""
    pointer: Struct
    iovec: Struct
    """iov_base, iov_len."""
    siginfo: Struct
    """siginfo_t of SIGCHLD up to si_status: si_signo, si_errno, si_code, si_pid, si_uid, it."""
    dirent: Struct
    """Head of struct linux_dirent: d_ino, d_off, d_reclen; the name follows."""


WORD_32 = Word(4, (1 << 31) - 1, Struct("<I"), Struct("<II"), Struct("<6i"), Struct("<IIH"))
WORD_64 = Word(8, (1 << 63) - 1, Struct("<Q"), Struct("<QQ"), Struct("<3i4x3i"), Struct("<QQH"))
WORDS_OF = {4: WORD_32, 8: WORD_64}
"""By Arch.word."""

_DIRENT64 = Struct("<QqHB")


def pack_dirent(word: Word, ino: int, cookie: int, name: bytes, kind: int) -> bytes:
    """One struct linux_dirent (getdents): the type is in the record's last byte."""
    size = -(-(word.dirent.size + len(name) + 2) // word.size) * word.size
    head = word.dirent.pack(ino, cookie, size) + name
    return head.ljust(size - 1, b"\0") + bytes([kind])


def pack_dirent64(ino: int, cookie: int, name: bytes, kind: int) -> bytes:
    """One struct linux_dirent64 (getdents64)."""
    size = -(-(_DIRENT64.size + len(name) + 1) // 8) * 8
    return (_DIRENT64.pack(ino, cookie, size, kind) + name).ljust(size, b"\0")


UTS_FIELD = 65
"""Bytes in each field of struct utsname, its NUL included (__NEW_UTS_LEN + 1)."""


def pack_utsname(fields: tuple[bytes, ...]) -> bytes:
    """struct new_utsname (six fields) or old_utsname (the first five)."""
    return b"".join(field.ljust(UTS_FIELD, b"\0") for field in fields)
