"""The core's CPU, with what others want of it than a verdict.

That is: to count instructions, to end a time slice, to save and restore all registers, to name the
exact address of a bad access, to give memory back, and set_thread_area(2) for i386 programs. All of
it stands on the core's own hooks; FastCpu (fastpath.py) puts others in their place.

The descriptor table of an i386 program has its two flat segments, and those of set_thread_area(2).
A program must not see the table, and a 32-bit CPU can only have it where the program's memory is.
So it is out of reach (its limit is 0) but for one instruction at a time: one that loads a segment
register is refused, having read all that it reads of memory, and runs once more with the table at
an address where no program has memory. As on Linux, a refused instruction is refused twice then.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial

from unicorn import (
    UC_ARCH_X86,
    UC_HOOK_CODE,
    UC_HOOK_MEM_UNMAPPED,
    UC_MEM_FETCH,
    UC_PROT_ALL,
)
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uc_tlb_entry, uclib

from bootstrap import signals
from bootstrap.core.abi import SIGSEGV
from bootstrap.core.arches import (
    CS32,
    DATA,
    PAGE,
    PAGE_MASK,
    SEGMENTS,
    Arch,
    in_user_mode,
    page_down,
)
from bootstrap.core.cpu import Cpu, OnTrap
from bootstrap.core.memory import EXEC, FETCHED, READ, AddressSpace, Extent
from bootstrap.instruments import exit_checks, registers
from bootstrap.instruments.blocks import UNSURE, BlockCounter
from bootstrap.instruments.counter import CODE, InstructionCounter, Travel
from bootstrap.linux.events import Faulted

TABLE = 0xFFFFF000
"""Above all that a process may map (bootstrap.core.arches, X86.task_size)."""
LIMIT = 16 * 8 - 1
"""Linux's has sixteen entries (arch/x86/include/asm/segment.h, GDT_ENTRIES)."""
_TLS = {f"tls{entry}": slice(8 * entry, 8 * entry + 8) for entry in (12, 13, 14)}


class Descriptors:
    """The table of one CPU. The 64-bit code segment is left out: there is one ABI per program."""

    def __init__(self) -> None:
        self.extent = Extent(TABLE, TABLE + PAGE)
        for selector in (CS32, DATA):
            self.extent.host[selector & ~7 : (selector & ~7) + 8] = SEGMENTS[selector]

    def save(self) -> dict[str, bytes]:
        """The entries that the program can set, without the zeros at their ends."""
        return {name: self.extent.host[at].rstrip(b"\0") for name, at in _TLS.items()}

    def take(self, saved: dict[str, bytes]) -> dict[str, bytes]:
        """Set those that are in `saved`; what is left of it. Raises ValueError for one too long."""
        for name, at in _TLS.items():
            if name in saved:
                raw = saved[name]
                if len(raw) > 8:
                    raise ValueError(f"segment {name} is too wide")
                self.extent.host[at] = raw.ljust(8, b"\0")
        return {name: raw for name, raw in saved.items() if name not in _TLS}


_REFUSED = 13
"""x86: general protection."""
_UNMAPPED = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64, ctypes.c_int, ctypes.c_int64,
    ctypes.c_void_p,
)  # fmt: skip
"""unicorn.h: uc_cb_eventmem_t."""


@cache
def _fresh(arch: Arch) -> object:
    """The state of a CPU that has not run yet."""
    return in_user_mode(arch).context_save()


class InstrumentedCpu(Cpu):
    """Runs one process image. `close` it when the process is gone or runs another program."""

    def __init__(
        self,
        arch: Arch,
        memory: AddressSpace,
        on_trap: OnTrap,
        instruction_limit: int = 0,
        travel: Travel | None = None,
    ) -> None:
        self._limit = instruction_limit
        self._travel = travel
        self.executed = 0
        """Instructions so far; counted only under an instruction limit."""
        self.over_limit = False
        self.stepping: InstructionCounter | None = None
        """Counts instructions and stops at them, on a CPU that is made for travelling."""
        self._paused = self._asked = self._refused = self._again = False
        self._exact_addr: int | None = None
        self._nowhere: int | None = None
        """Where pages that would be refused are led instead."""
        self._table = Descriptors() if arch.name == "i386" else None
        # Hooks on instructions and memory have to end a run within a block; no other does.
        by_blocks = travel is None or travel.blocks
        self._no_exit_checks = by_blocks and not instruction_limit
        super().__init__(arch, memory, on_trap)
        exit_checks.leave_out(self._handle, self._no_exit_checks)
        if self._table is not None:
            self.extent_added(self._table.extent)

    def _add_hooks(self) -> None:
        super()._add_hooks()
        if self._limit:
            self._hook(UC_HOOK_CODE, CODE(self._count))
        if self._travel is not None:
            is_x86 = self.arch.unicorn_arch == UC_ARCH_X86
            make = partial(BlockCounter, self.arch) if self._travel.blocks else InstructionCounter
            self.stepping = make(self.memory, is_x86, partial(uclib.uc_emu_stop, self._handle))
            self._add_counter(self.stepping, self._travel.watching)

    def _add_counter(self, counter: InstructionCounter, watching: bool) -> None:
        counter.install(self._hook, watching)

    # Memory.

    def extent_removed(self, extent: Extent) -> None:
        """Take it away again. Its flags mean nothing any more."""
        # Unicorn drops translations by fetching from the first page: see `code_written`.
        extent.pages[0] = READ | EXEC | FETCHED
        status = uclib.uc_mem_unmap(self._handle, extent.start, extent.end - extent.start)
        assert not status, f"Unicorn did not unmap {extent.start:#x}: error {status}"
        del self._hosts[extent.start]
        self.pages_changed()

    def code_written(self, guest_addr: int, size: int) -> None:
        """See the core's."""
        with signals.held:
            super().code_written(guest_addr, size)

    def _fill(
        self, machine: int, addr: int, kind: int, out: "ctypes._Pointer[uc_tlb_entry]", user: int
    ) -> bool:
        if super()._fill(machine, addr, kind, out, user):
            return True
        if self._nowhere is not None:
            out.contents.paddr = self._nowhere
            out.contents.perms = UC_PROT_ALL
        return self._nowhere is not None

    def _send_bad_pages_to(self, guest_addr: int | None) -> None:
        """From now on an access that is refused goes to this page; None: it is refused."""
        self._nowhere = guest_addr

    # Traps and exceptions.

    def _serve(self) -> None:
        super()._serve()
        if self._paused:
            super().stop()

    def _exception(self, number: int) -> None:
        if number == _REFUSED and self._table is not None and not self._again:
            self._refused = True
            self.stop()
        else:
            super()._exception(number)

    def _count(self, _uc: int, _addr: int, _size: int, _user: int) -> None:
        if self.executed >= self._limit:
            self.over_limit = True
            self.stop()
        else:
            self.executed += 1

    # Running.

    def pause(self) -> None:
        """From another thread: end `run` after the next system call, as at the end of a time slice.

        Unicorn itself cannot do that at any other place: stopped by another thread, it leaves
        a load or store that is done with pc still at it, and would do it again (tcg-op.c,
        check_exit_request).
        """
        self._paused = True

    def interrupt(self) -> None:
        """From another thread: end `run` at once, and for good. The guest cannot go on after it."""
        super().stop()

    def stop(self) -> None:
        """See the core's."""
        self._asked = True
        super().stop()

    @property
    def reached(self) -> bool:
        """Whether it was the counter that ended `run`, where there was no fault."""
        return self.stepping is not None and self.stepping.reached != 0 and not self._asked

    def run(self) -> Faulted | None:
        """Go on until a fault, a trap that must stop, a `pause`, an `interrupt` or where the
        counter is to stop.

        Raises KeyboardInterrupt; nobody knows then what the guest has done.
        """
        fault = super().run()
        while self._refused:
            fault = self._with_table()
            if fault is None and not (isinstance(self.stepping, BlockCounter) and self.reached):
                fault = super().run()
        assert fault is None or isinstance(fault, Faulted)
        return fault

    def _emulate(self) -> int:
        self._paused = self._asked = self._over = False
        with signals.held:
            status = super()._emulate()
        return 0 if self.reached else status

    def _describe(self, signal: int, reason: str, guest_addr: int | None = None) -> Faulted:
        pc = self.pc
        code = self.memory.read_upto(pc, 16)
        return Faulted(signal, reason, pc, guest_addr, self.registers(), code, self.arch.name)

    def _with_table(self) -> Faulted | None:
        """Run the present instruction once more, with the descriptor table: see above."""
        table, self._refused = self._table, False
        assert table is not None
        before = table.extent.host[:]
        self._asked, self._again = False, True
        # Of the exception it is only the registers that must not be forgotten: one that follows it
        # would be a double fault.
        state = self.save()
        self._uc.context_restore(_fresh(self.arch))
        self.restore(state)
        exit_checks.leave_out(self._handle, False)
        if self.stepping is not None:
            self.stepping.again(self.pc)
        with self._descriptors(), signals.held:
            self._uc.ctl_flush_tb()
            uclib.uc_emu_start(self._handle, self.pc, 0, 0, 1)
        exit_checks.leave_out(self._handle, self._no_exit_checks)
        self._uc.ctl_flush_tb()
        self._again = False
        fault = self._fault
        if fault is None and table.extent.host[:] != before:
            # A far call that has no stack: what it stored was led to the table.
            table.extent.host[:] = before
            self.restore(state)
            stack = self._read(self.arch.sp)
            fault = self._describe(SIGSEGV, "no stack for a far call", stack)
        if fault is None and isinstance(self.stepping, BlockCounter):
            # What was counted is the whole block. Who only passes here goes on all the same.
            self.stepping.state.reached = UNSURE
        assert fault is None or isinstance(fault, Faulted)
        return fault

    @contextmanager
    def _descriptors(self) -> Iterator[None]:
        """Where a program can load segment registers, the table is there."""
        if self._table is None:
            yield
            return
        self._uc.reg_write(x86.UC_X86_REG_GDTR, (0, TABLE, LIMIT, 0))
        self._send_bad_pages_to(TABLE)
        yield
        self._send_bad_pages_to(None)
        self._uc.reg_write(x86.UC_X86_REG_GDTR, (0, 0, 0, 0))
        self.pages_changed()

    def _bad_access(self, page_addr: int, kind: int) -> Faulted:
        exact = page_addr if kind == UC_MEM_FETCH else self._exact(page_addr)
        fault = super()._bad_access(exact, kind)
        assert isinstance(fault, Faulted)
        return fault

    def _exact(self, page_addr: int) -> int:
        """The address that the present instruction cannot reach; the TLB knows only the page.

        The process has ended, so the instruction may run once more: with every bad page led to
        where nothing is, Unicorn names the address.
        """
        nowhere = next(page for page in range(0, 1 << 31, PAGE) if self.memory.find(page) is None)
        self._exact_addr = None
        self._send_bad_pages_to(nowhere)
        # Not before: with a memory hook of any kind, every access takes Unicorn's slow path.
        self._hook(UC_HOOK_MEM_UNMAPPED, _UNMAPPED(self._unmapped))
        # And a store to nowhere ends the block by the check after it.
        exit_checks.leave_out(self._handle, False)
        self._uc.ctl_flush_tb()
        self._over = True
        self.pages_changed()
        if self.stepping is not None:
            self.stepping.again(self.pc)
        with signals.held:
            uclib.uc_emu_start(self._handle, self.pc, 0, 0, 1)
        if self._exact_addr is None:
            return page_addr
        # What Unicorn names lies in the page `nowhere`.
        return page_down(page_addr) | (self._exact_addr & PAGE_MASK)

    def _unmapped(
        self, _uc: int, _kind: int, addr: int, _size: int, _value: int, _user: int
    ) -> bool:
        """Only where `_exact` sent an access on purpose."""
        self._exact_addr = addr
        return False

    # Registers.

    def registers(self) -> tuple[tuple[str, int], ...]:
        """The general registers, by name, in the customary order."""
        general = registers.GENERAL[self.arch.name]
        return tuple((name, self._read(number)) for name, number in general)

    def save(self) -> dict[str, bytes]:
        """All registers, by name, as little-endian bytes: see registers.py."""
        table = {} if self._table is None else self._table.save()
        return {**registers.save(self._handle, self.arch.name), **table}

    def restore(self, saved: dict[str, bytes]) -> None:
        """What `save` gave. Raises ValueError."""
        rest = saved if self._table is None else self._table.take(saved)
        with self._descriptors():
            registers.restore(self._handle, self.arch.name, rest)

    @property
    def served(self) -> int:
        """System calls that were served without `on_trap`."""
        return 0

    def copy_state_to(self, child: Cpu) -> None:
        """See the core's."""
        assert isinstance(child, InstrumentedCpu)
        with signals.held:  # what a finaliser raises is lost: unicorn's have some
            super().copy_state_to(child)
        if self._table is not None and child._table is not None:
            child._table.take(self._table.save())

    def close(self) -> None:
        """See the core's."""
        with signals.held:
            super().close()
