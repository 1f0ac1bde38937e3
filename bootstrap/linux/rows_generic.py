"""The rows of the architectures with the generic system call numbers: one table, with differences.

Source: Linux, include/uapi/asm-generic/unistd.h and the arguments of kernel/, fs/ and mm/; what
differs between ABIs: arch/arm64/include/uapi/asm/fcntl.h, arch/arm64/Kconfig and arch/riscv/Kconfig
(CLONE_BACKWARDS), arch/riscv/kernel/sys_riscv.c. Which rows an ABI has follows from its numbers
(numbers_generic.py): riscv32 has no call that counts seconds in 32 bits, and RISC-V no renameat.
"""

from collections.abc import Mapping

from bootstrap.core.arches import AARCH64
from bootstrap.linux import calls_io as io
from bootstrap.linux import calls_path as path
from bootstrap.linux import calls_process as process
from bootstrap.linux import calls_stat as stat
from bootstrap.linux.numbers_generic import NEVER_ON_ARM64
from bootstrap.linux.row import Result, Row
from bootstrap.linux.rows import (
    CLOCK,
    CLONE,
    COMMON,
    OPEN,
    ROOT,
    UNAME,
    by_name,
    full,
    partial,
    probed,
    refused,
    word_rows,
)
from bootstrap.linux.rows_offsets import SPLIT_OFFSETS, WHOLE_OFFSETS
from bootstrap.linux.structs import STAT_GENERIC, WORD_32, WORD_64

NO_CALL = (
    "No call of arm64: ENOSYS, as on Linux. M2libc took it for unlink, mknod or mkdir until "
    "stage0-posix 1.7.0, and goes on."
)

_GENERIC: Mapping[str, Row] = {
    **COMMON,
    **by_name(
        partial(
            "clone",
            "clone_flags flags, ptr stack, ptr ptid, ptr tls, ptr ctid",
            process.sys_clone,
            CLONE,
        ),
        # O_LARGEFILE is implied on 32 bits too: no generic ABI ever had a 32-bit off_t.
        partial(
            "openat",
            "dirfd dirfd, path pathname, open_flags flags, mode mode",
            path.sys_openat_64,
            OPEN,
        ),
        full("uname", "utsname_out buf", process.sys_uname, note=UNAME),
        partial("setuid", "uid uid", process.set_id_for(0xFFFFFFFF), ROOT),
        partial("setgid", "uid gid", process.set_id_for(0xFFFFFFFF), ROOT),
    ),
}

_GENERIC_64: Mapping[str, Row] = {
    **_GENERIC,
    **word_rows(WORD_64),
    **WHOLE_OFFSETS,
    **by_name(
        full("fstat", "fd fd, stat_generic_out statbuf", stat.fstat_for(STAT_GENERIC)),
        full(
            "newfstatat",
            "dirfd dirfd, path pathname, stat_generic_out statbuf, at_flags flags",
            stat.fstatat_for(STAT_GENERIC),
        ),
    ),
}

AARCH64_ROWS: Mapping[str, Row] = {
    **_GENERIC_64,
    **by_name(
        partial(
            "openat",
            "dirfd dirfd, path pathname, open_flags_arm flags, mode mode",
            path.sys_openat_64,
            OPEN,
        ),
        partial(
            "fcntl",
            "fd fd, fcntl_cmd cmd, fcntl_arg_arm arg",
            io.fcntl_for(AARCH64),
            COMMON["fcntl"].note,
            Result.FCNTL_ARM,
        ),
        *(full(name, "", process.sys_no_such_call, note=NO_CALL) for name in NEVER_ON_ARM64),
    ),
}

RISCV64_ROWS: Mapping[str, Row] = _GENERIC_64

RISCV32_ROWS: Mapping[str, Row] = {
    **_GENERIC,
    **word_rows(WORD_32),
    **SPLIT_OFFSETS,
    **by_name(
        probed("clock_gettime64", "int clockid, ptr tp", CLOCK),
        refused("utimensat_time64", "dirfd dirfd, path pathname, ptr times, at_flags flags", CLOCK),
    ),
}
"""A kernel of 32 bits; offsets in two registers are never aligned to an even one."""
