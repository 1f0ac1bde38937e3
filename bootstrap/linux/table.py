"""The system call tables: per ABI, number -> Row.

A table is an ABI's numbers (bootstrap.linux.numbers) joined with rows by name: the rows all ABIs
share, those that follow the size of a long, and the ABI's own. A new ABI is a new entry in _ROWS.
A number without a row stops the run, as does a row that is REFUSED; that one says why.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.linux import calls_io as io
from bootstrap.linux import calls_memory as mem
from bootstrap.linux import calls_path as path
from bootstrap.linux import calls_process as process
from bootstrap.linux import calls_stat as stat
from bootstrap.linux import calls_thread as thread
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.process import Process
from bootstrap.linux.row import Result, Row, Support
from bootstrap.linux.rows import (
    CLOCK,
    CLONE,
    COMMON,
    LIMITS,
    MMAP,
    OPEN,
    ROOT,
    SIGNALS,
    UNAME,
    by_name,
    full,
    partial,
    probed,
    refused,
    word_rows,
)
from bootstrap.linux.rows_generic import AARCH64_ROWS, RISCV32_ROWS, RISCV64_ROWS
from bootstrap.linux.rows_offsets import SPLIT_OFFSETS, WHOLE_OFFSETS
from bootstrap.linux.structs import STAT64_I386, STAT_I386, STAT_X86_64, WORD_32, WORD_64

SEGMENTS = "The CPU does not enforce a segment's limit, nor that it is read only."
ARCH = "ARCH_GET_XCOMP_SUPP and its kind, and ARCH_MAP_VDSO_64 and its, stop the run."

I386_ROWS: Mapping[str, Row] = {
    **COMMON,
    **word_rows(WORD_32),
    **SPLIT_OFFSETS,
    **by_name(
        partial(
            "clone",
            "clone_flags flags, ptr stack, ptr ptid, ptr tls, ptr ctid",
            process.sys_clone,
            CLONE,
        ),
        partial(
            "waitpid",
            "int pid, status_out wstatus, wait_options options",
            process.sys_waitpid,
            COMMON["wait4"].note,
        ),
        partial("open", "path pathname, open_flags flags, mode mode", path.sys_open, OPEN),
        partial(
            "openat",
            "dirfd dirfd, path pathname, open_flags flags, mode mode",
            path.sys_openat,
            OPEN,
        ),
        full("creat", "path pathname, mode mode", path.sys_creat),
        full("lseek", "fd fd, off32 offset, whence whence", io.sys_lseek_32),
        full("truncate", "path path, off32 length", path.sys_truncate),
        full("ftruncate", "fd fd, off32 length", io.sys_ftruncate),
        full("stat", "path pathname, stat_i386_out statbuf", stat.stat_for(STAT_I386)),
        full("lstat", "path pathname, stat_i386_out statbuf", stat.lstat_for(STAT_I386)),
        full("fstat", "fd fd, stat_i386_out statbuf", stat.fstat_for(STAT_I386)),
        full("stat64", "path pathname, stat64_i386_out statbuf", stat.stat_for(STAT64_I386)),
        full("lstat64", "path pathname, stat64_i386_out statbuf", stat.lstat_for(STAT64_I386)),
        full("fstat64", "fd fd, stat64_i386_out statbuf", stat.fstat_for(STAT64_I386)),
        full(
            "fstatat64",
            "dirfd dirfd, path pathname, stat64_i386_out statbuf, at_flags flags",
            stat.fstatat_for(STAT64_I386),
        ),
        partial(
            "fcntl",
            "fd fd, fcntl_cmd cmd, fcntl_arg arg",
            io.sys_fcntl64,
            COMMON["fcntl"].note,
            Result.FCNTL,
        ),
        partial("mmap", "mmap_arguments arguments", mem.sys_old_mmap, MMAP, Result.HEX),
        full("uname", "utsname_out buf", process.sys_uname, note=UNAME),
        full("olduname", "ptr buf", process.sys_olduname, note=UNAME),
        full("getuid32", "", process.sys_get_id),
        full("geteuid32", "", process.sys_get_id),
        full("getgid32", "", process.sys_get_id),
        full("getegid32", "", process.sys_get_id),
        partial("setuid", "uid uid", process.set_id_for(0xFFFF), ROOT),
        partial("setgid", "uid gid", process.set_id_for(0xFFFF), ROOT),
        partial("setuid32", "uid uid", process.set_id_for(0xFFFFFFFF), ROOT),
        partial("setgid32", "uid gid", process.set_id_for(0xFFFFFFFF), ROOT),
        partial("set_thread_area", "ptr u_info", thread.sys_set_thread_area, SEGMENTS),
        partial("arch_prctl", "int option, ptr addr", thread.arch_prctl_for(4), ARCH),
        probed("ugetrlimit", "uint resource, ptr rlim", LIMITS),
        probed("clock_gettime64", "int clockid, ptr tp", CLOCK),
        refused("stime", "ptr t", CLOCK),
        refused("signal", "int signum, ptr handler", SIGNALS),
        refused("sigaction", "int signum, ptr act, ptr oldact", SIGNALS),
    ),
}

X86_64_ROWS: Mapping[str, Row] = {
    **COMMON,
    **word_rows(WORD_64),
    **WHOLE_OFFSETS,
    **by_name(
        partial(
            "clone",
            "clone_flags flags, ptr stack, ptr ptid, ptr ctid, ptr tls",
            process.sys_clone,
            CLONE,
        ),
        partial("open", "path pathname, open_flags flags, mode mode", path.sys_open_64, OPEN),
        partial(
            "openat",
            "dirfd dirfd, path pathname, open_flags flags, mode mode",
            path.sys_openat_64,
            OPEN,
        ),
        full("creat", "path pathname, mode mode", path.sys_creat),
        full("stat", "path pathname, stat_x86_64_out statbuf", stat.stat_for(STAT_X86_64)),
        full("lstat", "path pathname, stat_x86_64_out statbuf", stat.lstat_for(STAT_X86_64)),
        full("fstat", "fd fd, stat_x86_64_out statbuf", stat.fstat_for(STAT_X86_64)),
        full(
            "newfstatat",
            "dirfd dirfd, path pathname, stat_x86_64_out statbuf, at_flags flags",
            stat.fstatat_for(STAT_X86_64),
        ),
        full("uname", "utsname_out buf", process.sys_uname, note=UNAME),
        partial("arch_prctl", "int option, ptr addr", thread.arch_prctl_for(8), ARCH),
        partial("setuid", "uid uid", process.set_id_for(0xFFFFFFFF), ROOT),
        partial("setgid", "uid gid", process.set_id_for(0xFFFFFFFF), ROOT),
    ),
}

_ROWS: Mapping[str, Mapping[str, Row]] = {
    "i386": I386_ROWS,
    "x86_64": X86_64_ROWS,
    "aarch64": AARCH64_ROWS,
    "riscv64": RISCV64_ROWS,
    "riscv32": RISCV32_ROWS,
}


@cache
def table_for(abi_name: str) -> dict[int, Row]:
    """The table of one ABI (bootstrap.linux.arch.Abi.name), in order of number.

    The same dict every time: do not change it. Raises KeyError for an ABI without one.
    """
    rows = _ROWS[abi_name]
    found = {number: rows[name] for name, number in NUMBERS[abi_name].items() if name in rows}
    return dict(sorted(found.items()))


def answering(rows: dict[int, Row], probes: Counter[str]) -> dict[int, Row]:
    """The same table, but that calls that are PROBED fail with ENOSYS, and are counted by name."""

    def served(row: Row) -> Row:
        def sys_probed(proc: Process, *_: int) -> int:
            probes[row.name] += 1
            raise LinuxError(Errno.ENOSYS)

        return replace(row, handler=sys_probed, level=Support.PARTIAL)

    return {n: served(row) if row.level is Support.PROBED else row for n, row in rows.items()}


def number_names(abi_name: str) -> dict[int, str]:
    """Every number Linux gives a name in one ABI, for messages about calls without a row."""
    return {number: name for name, number in NUMBERS[abi_name].items()}
