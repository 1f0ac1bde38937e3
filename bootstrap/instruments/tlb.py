"""The TLB's fill hook in Python: the specification of hot_tlb_fill in fastpath.c.

Guest-physical is guest-virtual: the hook only says what may be done with a page. A page becomes
writable in the TLB once it is dirty, and executable once code was fetched from it:
Unicorn takes its slow store path, which notices modified code, for executable pages only, and most
stores then take the fast one.
"""

import ctypes

from unicorn import UC_MEM_FETCH, UC_MEM_WRITE, UC_PROT_ALL
from unicorn.unicorn_py3.unicorn import uc_tlb_entry

from bootstrap.core.arches import PAGE
from bootstrap.core.memory import BEYOND, DIRTY, EXEC, FETCHED, READ, WRITE
from bootstrap.linux.memory import AddressSpace

NEEDED = {UC_MEM_WRITE: WRITE, UC_MEM_FETCH: EXEC}
"""The right that an access needs; a load needs READ."""


class PageRights:
    """Answers which pages of one address space may be reached, and how."""

    def __init__(self, memory: AddressSpace) -> None:
        self._memory = memory
        self.bad_page: tuple[int, int] | None = None
        """The page refused last, and the kind of access (uc_mem_type)."""
        self.nowhere: int | None = None
        """Where pages that would be refused are led instead."""

    def fill(
        self, _uc: int, addr: int, kind: int, out: "ctypes._Pointer[uc_tlb_entry]", _user: int
    ) -> bool:
        """unicorn.h: uc_cb_tlbevent_t. `addr` is the start of a page."""
        extent = self._memory.find(addr)
        if extent is not None:
            index = (addr - extent.start) // PAGE
            flags = extent.pages[index]
            need = NEEDED.get(kind, READ)
            if flags & (need | BEYOND) == need:
                if kind == UC_MEM_WRITE:
                    flags |= DIRTY
                elif kind == UC_MEM_FETCH:
                    flags |= FETCHED
                extent.pages[index] = flags
                entry = out.contents
                entry.paddr = addr
                entry.perms = (
                    (1 if flags & READ else 0)
                    | (2 if flags & WRITE and flags & DIRTY else 0)
                    | (4 if flags & EXEC and flags & FETCHED else 0)
                )
                return True
        self.bad_page = (addr, kind)
        if self.nowhere is not None:
            out.contents.paddr = self.nowhere
            out.contents.perms = UC_PROT_ALL
        return self.nowhere is not None
