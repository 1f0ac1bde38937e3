"""The structures that fastpath.c works on, field for field as it declares them."""

import ctypes

SLOW = ctypes.CFUNCTYPE(None)


class ExtentRow(ctypes.Structure):
    """hot_extent."""

    _fields_ = (
        ("start", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
        ("host", ctypes.c_void_p),
        ("pages", ctypes.c_void_p),
    )


class NativeInode(ctypes.Structure):
    """hot_inode."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
        ("capacity", ctypes.c_uint64),
        ("written", ctypes.c_uint64),
    )


class FileState(ctypes.Structure):
    """hot_file."""

    _fields_ = (
        ("inode", ctypes.POINTER(NativeInode)),
        ("offset", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


class HotState(ctypes.Structure):
    """hot_state."""

    _fields_ = (
        ("reg_read_batch", ctypes.c_void_p),
        ("reg_write_batch", ctypes.c_void_p),
        ("ctl", ctypes.c_void_p),
        ("remove_cache", ctypes.c_int64),
        ("slow", SLOW),
        ("arg_regs", ctypes.c_void_p),
        ("result_regs", ctypes.c_void_p),
        ("arg_values", ctypes.c_void_p),
        ("result_values", ctypes.c_void_p),
        ("args", ctypes.c_void_p),
        ("results", ctypes.c_void_p),
        ("arg_count", ctypes.c_int64),
        ("result_count", ctypes.c_int64),
        ("trap_size", ctypes.c_uint64),
        ("word_mask", ctypes.c_uint64),
        ("trap_number", ctypes.c_int64),
        ("interrupt", ctypes.c_int64),
        ("nr_read", ctypes.c_uint64),
        ("nr_write", ctypes.c_uint64),
        ("nr_brk", ctypes.c_uint64),
        ("nr_lseek", ctypes.c_uint64),
        ("extents", ctypes.c_void_p),
        ("extent_count", ctypes.c_int64),
        ("last_extent", ctypes.c_int64),
        ("brk_start", ctypes.c_uint64),
        ("brk_now", ctypes.c_uint64),
        ("brk_limit", ctypes.c_uint64),
        ("heap_flags", ctypes.c_uint64),
        ("access_end", ctypes.c_uint64),
        ("files", ctypes.c_void_p),
        ("file_count", ctypes.c_int64),
        ("served", ctypes.c_uint64),
        ("fault_addr", ctypes.c_uint64),
        ("fault_type", ctypes.c_int64),
        ("log_count", ctypes.c_void_p),
        ("log_numbers", ctypes.c_void_p),
        ("log_columns", ctypes.c_void_p * 4),
        ("nowhere", ctypes.c_uint64),
        ("nowhere_is_set", ctypes.c_int64),
        ("pause", ctypes.c_int64),
    )


class Block(ctypes.Structure):
    """step_block."""

    _fields_ = (
        ("addr", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("repeat", ctypes.c_uint64),
        ("entered", ctypes.c_uint64),
    )


class StepState(ctypes.Structure):
    """step_state, what counting works on: see counter.py and blocks.py."""

    _fields_ = (
        ("stop", ctypes.c_void_p),
        ("executed", ctypes.c_uint64),
        ("target", ctypes.c_uint64),
        ("began", ctypes.c_uint64),
        ("last_pc", ctypes.c_uint64),
        ("repeating", ctypes.c_uint64),
        ("is_x86", ctypes.c_uint64),
        ("reached", ctypes.c_int64),
        ("breakpoints", ctypes.c_void_p),
        ("breakpoint_count", ctypes.c_int64),
        ("hit_at", ctypes.c_uint64),
        ("passing", ctypes.c_int64),
        ("met", ctypes.c_int64),
        ("counts", ctypes.c_void_p),
        ("counts_base", ctypes.c_uint64),
        ("counts_size", ctypes.c_uint64),
        ("trail", ctypes.c_void_p),
        ("trail_base", ctypes.c_uint64),
        ("trail_size", ctypes.c_uint64),
        ("watch_start", ctypes.c_uint64),
        ("watch_end", ctypes.c_uint64),
        ("watch_kinds", ctypes.c_int64),
        ("watch_stops", ctypes.c_int64),
        ("accesses", ctypes.c_int64),
        ("access_at", ctypes.c_uint64),
        ("access_pc", ctypes.c_uint64),
        ("access_addr", ctypes.c_uint64),
        ("access_size", ctypes.c_uint64),
        ("access_kind", ctypes.c_int64),
        ("memory", ctypes.c_void_p),
        ("blocks", ctypes.c_void_p),
        ("block_mask", ctypes.c_uint64),
        ("unknown", SLOW),
        ("block_addr", ctypes.c_uint64),
        ("block_size", ctypes.c_uint64),
        ("last_addr", ctypes.c_uint64),
        ("last_size", ctypes.c_uint64),
        ("last_repeat", ctypes.c_uint64),
    )


STRUCTURES: dict[type[ctypes.Structure], str] = {
    ExtentRow: "hot_extent",
    NativeInode: "hot_inode",
    FileState: "hot_file",
    HotState: "hot_state",
    Block: "step_block",
    StepState: "step_state",
}
"""Each with its name in fastpath.c, which exports NAME_fields: each field's name, offset and size,
and the size of all."""
