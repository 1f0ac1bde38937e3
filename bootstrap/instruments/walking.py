"""A CPU without a kernel, whose registers are set before each run: the one door of `prove`.

It lists each instruction that it executes and each access to memory.
"""

import ctypes
from collections.abc import Sequence

from unicorn import UC_HOOK_CODE, UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE, UC_MEM_WRITE
from unicorn.unicorn_py3.unicorn import uclib

from bootstrap.core.arches import Arch
from bootstrap.instruments import OnTrap, exit_checks, libunicorn, registers
from bootstrap.instruments.unicorn_cpu import UnicornCpu
from bootstrap.linux.memory import AddressSpace
from bootstrap.linux.process import FdTable

Event = tuple[str, int, int]
"""("x" executed, "r" read or "w" written, guest address, size in bytes)."""


class WalkingCpu(UnicornCpu):
    """Give it registers with `set_registers`, `run` it, and look at `events`."""

    def __init__(self, abi: Arch, memory: AddressSpace, on_trap: OnTrap, most: int) -> None:
        """`most`: events after which a run ends (its Stop says nothing then)."""
        super().__init__(abi, memory, FdTable(0), on_trap, None)
        exit_checks.leave_out(self._handle, False)  # these hooks end a run within a block
        self.events: list[Event] = []
        self.names, self.numbers = zip(*registers.GENERAL[abi.name], strict=True)
        self._most = most
        self._numbers = (ctypes.c_int * len(self.numbers))(*self.numbers)
        self._cells = (ctypes.c_uint64 * len(self.numbers))()
        self._places = self._pointers(self._cells)
        self._hook(UC_HOOK_CODE, libunicorn.CODE(self._executes))
        self._hook(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, libunicorn.ACCESS(self._accesses))

    def _executes(self, _uc: int, addr: int, size: int, _user: int) -> None:
        if size <= 16:  # Unicorn has a very large number for what is no instruction
            self.events.append(("x", addr, size))
        if len(self.events) > self._most:
            uclib.uc_emu_stop(self._handle)

    def _accesses(self, _uc: int, kind: int, addr: int, size: int, _value: int, _user: int) -> None:
        self.events.append(("w" if kind == UC_MEM_WRITE else "r", addr, size))

    def set_registers(self, values: Sequence[int]) -> None:
        """One for each of `names`, in that order."""
        self._cells[:] = list(values)
        uclib.uc_reg_write_batch(self._handle, self._numbers, self._places, len(self._cells))

    def get_registers(self) -> list[int]:
        """In the order of `names`."""
        uclib.uc_reg_read_batch(self._handle, self._numbers, self._places, len(self._cells))
        return [value & self._mask for value in self._cells]
