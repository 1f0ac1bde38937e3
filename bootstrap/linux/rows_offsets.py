"""The rows that carry file offsets: in one register, or in two where registers have 32 bits.

Source: Linux, fs/read_write.c and fs/open.c; mm/mmap.c (mmap2 counts its offset in pages).
"""

from collections.abc import Mapping

from bootstrap.linux import calls_io as io
from bootstrap.linux import calls_memory as mem
from bootstrap.linux import calls_path as path
from bootstrap.linux.row import Result, Row
from bootstrap.linux.rows import COMMON, MMAP, by_name, full, partial

WHOLE_OFFSETS: Mapping[str, Row] = by_name(
    full("lseek", "fd fd, off64 offset, whence whence", io.sys_lseek),
    full("pread64", "fd fd, buffer_out buf, size count, off64 offset", io.sys_pread64),
    full("pwrite64", "fd fd, buffer_in buf, size count, off64 offset", io.sys_pwrite64),
    full("truncate", "path path, off64 length", path.sys_truncate),
    full("ftruncate", "fd fd, off64 length", io.sys_ftruncate),
    partial(
        "mmap",
        "ptr addr, size length, prot prot, map_flags flags, fd fd, map_offset offset",
        mem.sys_mmap,
        MMAP,
        Result.HEX,
    ),
)
"""Of the ABIs of 64 bits."""

SPLIT_OFFSETS: Mapping[str, Row] = by_name(
    full(
        "_llseek",
        "fd fd, seek_high offset_high, seek_low offset_low, offset_out result, whence whence",
        io.sys_llseek,
    ),
    full(
        "pread64",
        "fd fd, buffer_out buf, size count, off_low offset, off_high offset_high",
        io.sys_pread64_32,
    ),
    full(
        "pwrite64",
        "fd fd, buffer_in buf, size count, off_low offset, off_high offset_high",
        io.sys_pwrite64_32,
    ),
    full("truncate64", "path path, off_low length, off_high length_high", path.sys_truncate64_32),
    full("ftruncate64", "fd fd, off_low length, off_high length_high", io.sys_ftruncate64_32),
    partial(
        "mmap2",
        "ptr addr, size length, prot prot, map_flags flags, fd fd, page_offset offset",
        mem.sys_mmap2,
        MMAP,
        Result.HEX,
    ),
    partial(
        "fcntl64",
        "fd fd, fcntl_cmd cmd, fcntl_arg arg",
        io.sys_fcntl64,
        COMMON["fcntl"].note,
        Result.FCNTL,
    ),
)
"""Of the ABIs of 32 bits; none of ours aligns the two registers to an even one."""
