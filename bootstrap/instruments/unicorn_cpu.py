"""One guest process on one Unicorn CPU.

Unicorn's own TLB mode with a fill hook (UC_TLB_VIRTUAL, UC_HOOK_TLB_FILL) decides every page
access from the page flags of kernel.memory. A page becomes executable in the TLB only once code
was fetched from it: Unicorn takes its slow store path, which notices modified code, for executable
pages only, and most stores then take the fast one. Never use that mode without the hook.

Two ways to service a trap: in Python, which is the specification, and through fastpath.c, which
serves the plain cases itself and hands everything else to the same Python function.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial

from unicorn import (
    UC_ARCH_X86,
    UC_CTL_IO_WRITE,
    UC_CTL_TLB_FLUSH,
    UC_ERR_INSN_INVALID,
    UC_HOOK_CODE,
    UC_HOOK_INSN,
    UC_HOOK_INTR,
    UC_HOOK_MEM_UNMAPPED,
    UC_HOOK_TLB_FILL,
    UC_MEM_FETCH,
    UC_MEM_WRITE,
    Uc,
)
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uclib

from bootstrap import signals
from bootstrap.core.abi import SIGBUS, SIGILL, SIGSEGV, SIGTRAP
from bootstrap.core.arches import PAGE, PAGE_MASK, Arch, enter_user_mode, page_down
from bootstrap.core.memory import EXEC, FETCHED, READ, Extent
from bootstrap.instruments import Cpu, OnTrap, Stop, Travel, exit_checks, libunicorn, registers
from bootstrap.instruments.blocks import UNSURE, Blocks
from bootstrap.instruments.callbuffer import CallLog
from bootstrap.instruments.counter import Stepping
from bootstrap.instruments.fastpath import HotCpu, HotPath
from bootstrap.instruments.segments import LIMIT, TABLE, Descriptors
from bootstrap.instruments.tlb import NEEDED, PageRights
from bootstrap.linux.events import Fault
from bootstrap.linux.memory import AddressSpace
from bootstrap.linux.process import FdTable

_REFUSED = 13
"""x86: general protection."""

TRANSLATED = 32 << 20
"""Bytes for translated code; when they are full, Unicorn drops all translations and begins anew.

By default it takes 1 GiB for each CPU. The code of a process that is nested three deep is then more
than 2 GiB away from libunicorn, out of reach of a direct call; every block begins with a call into
it, and these calls alone cost a quarter of the time of a whole bootstrap (docs/speed.md).
"""


def _closed(_args: Sequence[int]) -> None:
    raise AssertionError("a closed CPU made a system call")


def _in_user_mode(abi: Arch) -> Uc:
    uc = Uc(abi.unicorn_arch, abi.unicorn_mode)
    if abi.model is not None:
        uc.ctl_set_cpu_model(abi.model)
    if abi.page_size is not None:
        uc.ctl_set_page_size(abi.page_size)
    uc.ctl_set_tcg_buffer_size(TRANSLATED)
    enter_user_mode(uc, abi)
    return uc


@cache
def _fresh(abi: Arch) -> object:
    """The state of a CPU that has not run yet."""
    return _in_user_mode(abi).context_save()


class UnicornCpu:
    """Runs one process image. `close` it when the process is gone or runs another program."""

    def __init__(
        self,
        abi: Arch,
        memory: AddressSpace,
        fds: FdTable,
        on_trap: OnTrap,
        hot: HotPath | None,
        instruction_limit: int = 0,
        log: CallLog | None = None,
        travel: Travel | None = None,
    ) -> None:
        self.abi = abi
        self.memory = memory
        self._on_trap = on_trap
        self._asked = self._paused = self._over = False
        self._fault: Fault | None = None
        self._rights = PageRights(memory)
        self._exact_addr: int | None = None
        self._hooks: list[object] = []
        self._hot: HotCpu | None = None
        self._hosts: dict[int, object] = {}
        self._limit = instruction_limit
        self.executed = 0
        """Instructions so far; counted only under an instruction limit."""
        self.over_limit = False

        self._uc = _in_user_mode(abi)
        # No address ends the run: not even the one that emu_start insists on being told.
        self._uc.ctl_exits_enabled(True)
        self._handle = self._uc._uch
        # Hooks on instructions and memory have to end a run within a block; no other does.
        by_blocks = travel is None or travel.blocks
        self._no_exit_checks = by_blocks and not instruction_limit
        exit_checks.leave_out(self._handle, self._no_exit_checks)
        self._prepare_registers()
        memory.listener = self
        for extent in memory.extents:
            self.extent_added(extent)
        self._table = Descriptors() if abi.name == "i386" else None
        self._refused = self._again = False
        if self._table is not None:
            self.extent_added(self._table.extent)
        if hot is not None:
            self._hot = hot.attach(abi, memory, fds, self._trap, log)
        self.stepping: Stepping | None = None
        self._add_hooks()
        if travel is not None:
            is_x86 = abi.unicorn_arch == UC_ARCH_X86
            make = partial(Blocks, abi) if travel.blocks else Stepping
            self.stepping = make(memory, is_x86, lambda: uclib.uc_emu_stop(self._handle))
            self.stepping.install(self._handle, self._hook, hot, self._hot, travel.watching)

    # Set-up.

    def _prepare_registers(self) -> None:
        d = self.abi
        read = (d.number, *d.arguments, *(source for source, _ in d.saved))
        wrote = (d.result, *(target for _, target in d.saved))
        self.arg_regs = (ctypes.c_int * len(read))(*read)
        self.args = (ctypes.c_uint64 * len(read))()
        self.arg_values = self._pointers(self.args)
        self.result_regs = (ctypes.c_int * len(wrote))(*wrote)
        self.results = (ctypes.c_uint64 * len(wrote))()
        self.result_values = self._pointers(self.results)
        self._mask = self.abi.word_mask

    @staticmethod
    def _pointers(array: "ctypes.Array[ctypes.c_uint64]") -> "ctypes.Array[ctypes.c_void_p]":
        base = ctypes.addressof(array)
        return (ctypes.c_void_p * len(array))(*(base + 8 * i for i in range(len(array))))

    def _add_hooks(self) -> None:
        hot = self._hot
        if hot is not None:
            self._hook(UC_HOOK_TLB_FILL, hot.tlb_fill, hot.user_data)
            self._hook(UC_HOOK_INTR, hot.interrupt, hot.user_data)
        else:
            self._hook(UC_HOOK_TLB_FILL, libunicorn.TLB_FILL(self._rights.fill))
            self._hook(UC_HOOK_INTR, libunicorn.INTERRUPT(self._interrupt))
        # The trap comes first among the instruction hooks: once a stop is asked for from another
        # thread, Unicorn calls the first of them only, and a later one would lose a system call
        # (qemu/target/i386/seg_helper.c, helper_syscall).
        instruction = self.abi.trap_instruction
        if instruction is not None and hot is not None:
            self._hook(UC_HOOK_INSN, hot.syscall, hot.user_data, instruction)
        elif instruction is not None:
            self._hook(UC_HOOK_INSN, libunicorn.INSTRUCTION(self._instruction), None, instruction)
        for refuse in self.abi.refusals:
            refuse(self._hook, self._end, self.memory.read_upto)
        if self._limit:
            self._hook(UC_HOOK_CODE, libunicorn.CODE(self._count))

    def _hook(self, kind: int, callback: object, user_data: int | None = None, *more: int) -> None:
        libunicorn.add_hook(self._handle, kind, callback, user_data, *more)
        self._hooks.append(callback)

    # MemoryListener.

    def extent_added(self, extent: Extent) -> None:
        """Let the CPU reach the host memory of `extent`; the fill hook says which pages."""
        size = extent.end - extent.start
        host = (ctypes.c_char * size).from_buffer(extent.host)
        self._hosts[extent.start] = host
        libunicorn.map_host(self._handle, extent.start, size, ctypes.addressof(host))
        if self._hot is not None:
            self._hot.extents_changed = True

    def extent_removed(self, extent: Extent) -> None:
        """Take it away again. Its flags mean nothing any more."""
        # Unicorn drops translations by fetching from the first page: see `code_written`.
        extent.pages[0] = READ | EXEC | FETCHED
        libunicorn.unmap(self._handle, extent.start, extent.end - extent.start)
        del self._hosts[extent.start]
        if self._hot is not None:
            self._hot.extents_changed = True
        self.pages_changed()

    def pages_changed(self) -> None:
        """Some page lost a right: forget what the TLB remembers."""
        self._uc.ctl(UC_CTL_TLB_FLUSH, UC_CTL_IO_WRITE)

    def code_written(self, guest_addr: int, size: int) -> None:
        """Drop translations of bytes that the kernel overwrote."""
        # Unicorn finds them by asking the fill hook to fetch, and takes a refusal for a fault of
        # the guest: grant it for the moment, also where the page may not be executed any more.
        extent = self.memory.find(guest_addr)
        assert extent is not None
        index = (guest_addr - extent.start) // PAGE
        flags = extent.pages[index]
        with signals.held:
            extent.pages[index] = flags | READ | EXEC | FETCHED
            libunicorn.drop_translations(self._handle, guest_addr, size)
            extent.pages[index] = flags
            if not flags & EXEC:
                self.pages_changed()

    # Hooks in Python: the specification of fastpath.c.

    def _interrupt(self, _uc: int, number: int, _user: int) -> None:
        if number == self.abi.trap_interrupt:
            uclib.uc_reg_read_batch(
                self._handle, self.arg_regs, self.arg_values, len(self.arg_regs)
            )
            self._serve(self.args[:7])
        else:
            self._exception(number)

    def _instruction(self, _uc: int, _user: int) -> None:
        uclib.uc_reg_read_batch(self._handle, self.arg_regs, self.arg_values, len(self.arg_regs))
        self._serve(self.args[:7])

    def _serve(self, args: Sequence[int]) -> None:
        if self._over:
            self.stop()
            return
        result = self._on_trap(args)
        if result is None:
            self.stop()
        else:
            self.set_result(result)
            if self._paused:
                uclib.uc_emu_stop(self._handle)

    def _trap(self, interrupt: int) -> None:
        """fastpath.c declined: a system call it leaves to Python, or an exception."""
        if interrupt < 0 or interrupt == self.abi.trap_interrupt:
            assert self._hot is not None
            ctypes.memmove(self.args, self._hot.args, ctypes.sizeof(self.args))
            self._hot.sync_in()
            self._serve(self.args[:7])
            if not self._asked:
                self._hot.sync_out()
        else:
            self._exception(interrupt)

    def _exception(self, number: int) -> None:
        if number == _REFUSED and self._table is not None and not self._again:
            self._refused = True
            self.stop()
            return
        known = self.abi.exceptions
        signal, reason = known.get(number, (SIGSEGV, f"interrupt {number:#x}"))
        if self.abi.pc_after_exception:
            self._write(self.abi.pc, self.pc - self.abi.pc_after_exception)
        self._end(signal, reason)

    def _unmapped(
        self, _uc: int, _kind: int, addr: int, _size: int, _value: int, _user: int
    ) -> bool:
        """Only where `_exact` sent an access on purpose."""
        self._exact_addr = addr
        return False

    def _count(self, _uc: int, _addr: int, _size: int, _user: int) -> None:
        if self.executed >= self._limit:
            self.over_limit = True
            self.stop()
        else:
            self.executed += 1

    def _end(self, signal: int, reason: str) -> None:
        """From inside a hook: a fault of the present instruction.

        What is left of its block may still run, but changes nothing that outlives the process.
        """
        self._fault = self._describe(signal, reason, None)
        self._serve_no_more()
        self.stop()

    def _serve_no_more(self) -> None:
        """The process has ended, whatever of its code still runs."""
        self._over = True
        if self._hot is not None:
            self._hot.pause(True)

    # Running.

    def set_result(self, result: int) -> None:
        """Give the trap's result to the guest, and overwrite what the trap overwrites."""
        results = self.results
        results[0] = result & self._mask
        if len(results) > 1:
            results[1] = self.args[7] + self.abi.trap_size
            results[2] = self.args[8]
        uclib.uc_reg_write_batch(
            self._handle, self.result_regs, self.result_values, len(self.result_regs)
        )

    def stop(self) -> None:
        """From inside a hook: end `run` after this instruction."""
        self._asked = True
        uclib.uc_emu_stop(self._handle)

    def pause(self) -> None:
        """From another thread: end `run` after the next system call, as at the end of a time slice.

        Unicorn itself cannot do that at any other place: told to stop by another thread, it leaves
        a load or store that is done with pc still at it, and would do it again (tcg-op.c,
        check_exit_request).
        """
        self._paused = True
        if self._hot is not None:
            self._hot.pause(True)

    def interrupt(self) -> None:
        """From another thread: end `run` at once, and for good. The guest cannot go on after it."""
        uclib.uc_emu_stop(self._handle)

    def run(self) -> Stop:
        """Go on until a fault, a trap that must stop, a `pause` or an `interrupt`.

        Raises KeyboardInterrupt; nobody knows then what the guest has done.
        """
        stop = self._run()
        while self._refused:
            stop = self._with_table() or self._run()
        return stop

    def _run(self) -> Stop:
        self._asked = self._paused = self._over = False
        self._fault = self._rights.bad_page = None
        if self._hot is not None:
            self._hot.pause(False)
            self._hot.sync_out()
        with signals.held:
            status = uclib.uc_emu_start(self._handle, self.pc, 0, 0, 0)
        if self._hot is not None:
            self._hot.sync_in()
            self._rights.bad_page = self._hot.bad_page()
        if self._fault is not None:
            return Stop(fault=self._fault)
        if self._asked and not status:
            return Stop(asked=True)
        if self.stepping is not None and self.stepping.reached:
            return Stop(reached=True)
        if not status:
            return Stop()
        if self._rights.bad_page is not None:
            addr, kind = self._rights.bad_page
            addr = self.pc if kind == UC_MEM_FETCH else self._exact(addr)
            verb = {UC_MEM_WRITE: "write to", UC_MEM_FETCH: "fetch from"}.get(kind, "read from")
            signal, why = SIGSEGV, ""
            if self.memory.is_beyond(addr, NEEDED.get(kind, READ)):
                signal, why = SIGBUS, ", which is beyond the end of the file that is mapped there"
            return Stop(fault=self._describe(signal, f"cannot {verb} {addr:#x}{why}", addr))
        if status == UC_ERR_INSN_INVALID:
            if self.memory.read_upto(self.pc, 4).startswith(self.abi.breakpoints):
                return Stop(fault=self._describe(SIGTRAP, "breakpoint", None))
            return Stop(fault=self._describe(SIGILL, "invalid instruction", None))
        return Stop(fault=self._describe(SIGSEGV, f"CPU exception (Unicorn error {status})", None))

    def _with_table(self) -> Stop | None:
        """Run the present instruction once more, with the descriptor table: see segments.py."""
        table, self._refused = self._table, False
        assert table is not None
        before = table.extent.host[:]
        self._asked = False
        self._again = True
        # Of the exception it is only the registers that must not be forgotten: one that follows it
        # would be a double fault.
        state = self.save()
        self._uc.context_restore(_fresh(self.abi))
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
        if self._fault is None and table.extent.host[:] != before:
            # A far call that has no stack: what it stored was led to the table.
            table.extent.host[:] = before
            self.restore(state)
            stack = self._read(self.abi.sp)
            self._fault = self._describe(SIGSEGV, "no stack for a far call", stack)
        if self._fault is not None:
            return Stop(fault=self._fault)
        if isinstance(self.stepping, Blocks):
            # What was counted is the whole block. Who only passes here goes on all the same.
            self.stepping.state.reached = UNSURE
            return Stop(reached=True)
        return None

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

    def _send_bad_pages_to(self, guest_addr: int | None) -> None:
        self._rights.nowhere = guest_addr
        if self._hot is not None:
            self._hot.send_bad_pages_to(guest_addr)

    def _exact(self, page_addr: int) -> int:
        """The address that the present instruction cannot reach, of which the TLB told the page.

        The process has ended, so the instruction may run once more: with every bad page led to
        where nothing is, Unicorn names the address.
        """
        nowhere = next(page for page in range(0, 1 << 31, PAGE) if self.memory.find(page) is None)
        self._exact_addr = None
        self._send_bad_pages_to(nowhere)
        # Not before: with a memory hook of any kind, every access takes Unicorn's slow path.
        self._hook(UC_HOOK_MEM_UNMAPPED, libunicorn.UNMAPPED(self._unmapped))
        # And a store to nowhere ends the block by the check after it.
        exit_checks.leave_out(self._handle, False)
        self._uc.ctl_flush_tb()
        self._serve_no_more()
        self.pages_changed()
        if self.stepping is not None:
            self.stepping.again(self.pc)
        with signals.held:
            uclib.uc_emu_start(self._handle, self.pc, 0, 0, 1)
        if self._exact_addr is None:
            return page_addr
        # What Unicorn names lies in the page `nowhere`.
        return page_down(page_addr) | (self._exact_addr & PAGE_MASK)

    def _describe(self, signal: int, reason: str, guest_addr: int | None) -> Fault:
        pc = self.pc
        return Fault(
            signal=signal,
            reason=reason,
            pc=pc,
            guest_addr=guest_addr,
            registers=self.registers(),
            code=self.memory.read_upto(pc, 16),
            abi=self.abi.name,
        )

    # Registers.

    def _read(self, register: int) -> int:
        value = ctypes.c_uint64(0)
        uclib.uc_reg_read(self._handle, register, ctypes.byref(value))
        return value.value & self._mask

    def _write(self, register: int, value: int) -> None:
        cell = ctypes.c_uint64(value & self._mask)
        uclib.uc_reg_write(self._handle, register, ctypes.byref(cell))

    @property
    def pc(self) -> int:
        """Address of the next instruction."""
        return self._read(self.abi.pc)

    def start_at(self, pc: int, sp: int) -> None:
        """Registers as execve(2) leaves them: all zero but these two."""
        self._write(self.abi.pc, pc)
        self._write(self.abi.sp, sp)

    def set_sp(self, sp: int) -> None:
        """The stack pointer, for clone(2)."""
        self._write(self.abi.sp, sp)

    def registers(self) -> tuple[tuple[str, int], ...]:
        """The general registers, by name."""
        general = registers.GENERAL[self.abi.name]
        return tuple((name, self._read(number)) for name, number in general)

    def save(self) -> dict[str, bytes]:
        """All registers: see registers.py."""
        table = {} if self._table is None else self._table.save()
        return {**registers.save(self._handle, self.abi.name), **table}

    def restore(self, saved: dict[str, bytes]) -> None:
        """What `save` gave. Raises ValueError."""
        rest = saved if self._table is None else self._table.take(saved)
        with self._descriptors():
            registers.restore(self._handle, self.abi.name, rest)

    @property
    def served(self) -> int:
        """System calls that the native hot path served without `on_trap`."""
        return 0 if self._hot is None else int(self._hot.state.served)

    def copy_state_to(self, child: Cpu) -> None:
        """Give a forked child all registers."""
        assert isinstance(child, UnicornCpu)
        with signals.held:  # what a finaliser raises is lost: unicorn's have some
            context = self._uc.context_save()
            child._uc.context_restore(context)
            del context
        child.pages_changed()
        if self._table is not None and child._table is not None:
            child._table.take(self._table.save())
        ctypes.memmove(child.args, self.args, ctypes.sizeof(self.args))

    def close(self) -> None:
        """Let go of the CPU and of the memory it points to."""
        self.memory.listener = None
        if self._hot is not None:
            self._hot.detach()
        # No cycles stay: Python looks for them seldom, 3.13 more so than its elders.
        self._on_trap = _closed
        self._hooks.clear()
        with signals.held:
            del self._uc
        self._hosts.clear()
