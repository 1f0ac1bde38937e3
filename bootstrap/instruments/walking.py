"""A CPU without a kernel, whose registers are set before each run: the one door of `prove`.

It lists each instruction that it executes and each access to memory.
"""

from collections.abc import Sequence

from unicorn import UC_HOOK_CODE, UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE, UC_MEM_WRITE

from bootstrap.core.arches import Arch
from bootstrap.core.cpu import OnTrap, RegisterBatch
from bootstrap.core.memory import AddressSpace
from bootstrap.instruments import exit_checks, registers
from bootstrap.instruments.counter import ACCESS, CODE
from bootstrap.instruments.instrumented import InstrumentedCpu

Event = tuple[str, str, int, int]
"""("x" executed, "r" read or "w" written, "", guest address, size in bytes); near `stack`, with
"sp" and the offset from it in place of "" and the address."""
_NEAR = 0x8000


class WalkingCpu(InstrumentedCpu):
    """Give it registers with `set_registers`, `run` it, and look at `events`."""

    def __init__(self, arch: Arch, memory: AddressSpace, on_trap: OnTrap, most: int) -> None:
        """`most`: events after which a run ends, without a fault."""
        super().__init__(arch, memory, on_trap)
        exit_checks.leave_out(self._handle, False)  # these hooks end a run within a block
        self.events: list[Event] = []
        self.stack = -2 * _NEAR
        self.names, self.numbers = zip(*registers.GENERAL[arch.name], strict=True)
        self._most = most
        self._general = RegisterBatch(self._handle, self.numbers)
        self._hook(UC_HOOK_CODE, CODE(self._executes))
        self._hook(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, ACCESS(self._accesses))

    def _executes(self, _uc: int, addr: int, size: int, _user: int) -> None:
        if size <= 16:  # Unicorn has a very large number for what is no instruction
            self.events.append(("x", "", addr, size))
        if len(self.events) > self._most:
            self.stop()

    def _accesses(self, _uc: int, kind: int, addr: int, size: int, _value: int, _user: int) -> None:
        how, offset = "w" if kind == UC_MEM_WRITE else "r", addr - self.stack
        near = abs(offset) < _NEAR
        self.events.append((how, "sp", offset, size) if near else (how, "", addr, size))

    def set_registers(self, values: Sequence[int]) -> None:
        """One for each of `names`, in that order."""
        self._general.values[:] = list(values)
        self._general.write()

    def get_registers(self) -> list[int]:
        """In the order of `names`."""
        self._general.read()
        return [value & self._mask for value in self._general.values]
