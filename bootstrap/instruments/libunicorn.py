"""The functions of libunicorn that are called directly, past the Python binding.

The binding's own ways cost 3 to 30 us each, where a bootstrap makes 33 million system calls; these
cost about 1. Prototypes after unicorn.h of 2.1.4.
"""

import ctypes

from unicorn import UC_CTL_IO_WRITE, UC_CTL_TB_FLUSH, UC_CTL_TB_REMOVE_CACHE, UC_PROT_ALL
from unicorn.unicorn_py3.unicorn import uc_tlb_entry, uclib

INTERRUPT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
INSTRUCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
TLB_FILL = ctypes.CFUNCTYPE(
    ctypes.c_bool,
    ctypes.c_void_p,
    ctypes.c_uint64,
    ctypes.c_int,
    ctypes.POINTER(uc_tlb_entry),
    ctypes.c_void_p,
)
UNMAPPED = ctypes.CFUNCTYPE(
    ctypes.c_bool,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_uint64,
    ctypes.c_int,
    ctypes.c_int64,
    ctypes.c_void_p,
)
ACCESS = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_uint64,
    ctypes.c_int,
    ctypes.c_int64,
    ctypes.c_void_p,
)
CODE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)

TRANSLATED = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.c_void_p,
    ctypes.c_void_p,
)

REMOVE_CACHE = UC_CTL_IO_WRITE << 30 | 2 << 26 | UC_CTL_TB_REMOVE_CACHE
"""uc_ctl's word for dropping the translations of [start, end): UC_CTL_WRITE(type, 2 arguments)."""

FLUSH = UC_CTL_IO_WRITE << 30 | UC_CTL_TB_FLUSH
"""The same for all translations."""


def check(status: int, what: str) -> None:
    """Raise RuntimeError for an error status: nothing here can fail but by a mistake of ours."""
    if status:
        raise RuntimeError(f"Unicorn refused {what}: error {status}")


def add_hook(
    handle: ctypes.c_void_p, kind: int, callback: object, user_data: int | None, *more: int
) -> None:
    """uc_hook_add for all addresses. The caller keeps `callback` alive.

    It goes as it is: what ctypes.cast gives would refer to itself, and keep the callback with it.
    """
    hook = ctypes.c_size_t()
    arguments = (ctypes.c_int(number) for number in more)
    status = uclib.uc_hook_add(
        handle, ctypes.byref(hook), kind, callback, user_data, 1, 0, *arguments
    )
    check(status, "a hook")


def watch(
    handle: ctypes.c_void_p, kind: int, function: ctypes.c_void_p, user_data: int,
    first: int, last: int, before: int | None,
) -> int:  # fmt: skip
    """A hook on accesses that begin at these addresses, instead of the one `before`; its number.

    What was translated without a hook would not look for it, so all translations are dropped.
    """
    if before is not None:
        check(uclib.uc_hook_del(handle, ctypes.c_size_t(before)), "to remove a hook")
    hook = ctypes.c_size_t()
    bounds = ctypes.c_uint64(first), ctypes.c_uint64(last)
    status = uclib.uc_hook_add(handle, ctypes.byref(hook), kind, function, user_data, *bounds)
    check(status, "a watchpoint")
    check(uclib.uc_ctl(handle, FLUSH), "to drop translations")
    return hook.value


def map_host(handle: ctypes.c_void_p, guest_addr: int, size: int, host_addr: int) -> None:
    """uc_mem_map_ptr with all rights: who may do what is for the TLB hook to say."""
    status = uclib.uc_mem_map_ptr(handle, guest_addr, size, UC_PROT_ALL, host_addr)
    check(status, f"a mapping at {guest_addr:#x}")


def unmap(handle: ctypes.c_void_p, guest_addr: int, size: int) -> None:
    """uc_mem_unmap."""
    check(uclib.uc_mem_unmap(handle, guest_addr, size), f"to unmap {guest_addr:#x}")


def drop_translations(handle: ctypes.c_void_p, guest_addr: int, size: int) -> None:
    """uc_ctl_remove_cache; hex2 needs it often, for it keeps its read buffer beside its code."""
    start, end = ctypes.c_uint64(guest_addr), ctypes.c_uint64(guest_addr + size)
    uclib.uc_ctl(handle, REMOVE_CACHE, start, end)
