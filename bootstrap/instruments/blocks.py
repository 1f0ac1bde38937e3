"""Counts the instructions of one CPU by blocks, four times as fast as one by one (counter.py).

Unicorn translates code in blocks, which end with a jump or a trap, and reports each before it
runs. How many instructions are in one is found out when it is met first, and again when it was
translated anew. The CPU stops only between blocks, and not within a REP. The count is that of
counter.py, but for two cases:

- Code that changes itself just behind where it runs makes Unicorn leave a block in the middle. That
  is noticed: `reached` is UNSURE, and who asked counts one by one instead.
- A program that a fault ends has not run the whole of its last block.

`_block` and `_translated` in Python are the specification of step_block_count and step_translated
in fastpath.c.
"""

import ctypes
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import capstone
from unicorn import UC_HOOK_BLOCK, UC_HOOK_EDGE_GENERATED
from unicorn.unicorn_py3.unicorn import uc_tb, uclib

from bootstrap.core.arches import TRANSLATION, Arch
from bootstrap.core.memory import AddressSpace
from bootstrap.instruments.counter import CODE, NEVER, TARGET, InstructionCounter, is_repeat, jumps
from bootstrap.instruments.structures import SLOW, Block

UNSURE = 3
_ROOM = 1 << 14
"""Places in the table at first. It grows before three in four are taken."""
_MODES = {"i386": capstone.CS_MODE_32, "x86_64": capstone.CS_MODE_64}


class BlockCounter(InstructionCounter):
    """The counter of one CPU, by blocks: it knows no breakpoints, watchpoints or trails."""

    def __init__(
        self, abi: Arch, memory: AddressSpace, x86: bool, stop: Callable[[], None]
    ) -> None:  # fmt: skip
        super().__init__(memory, x86, stop)
        self._abi = abi
        self._capstone = None
        if x86:
            self._capstone = capstone.Cs(capstone.CS_ARCH_X86, _MODES[abi.name])
            self._capstone.detail = True
        self._known = 0
        self._parts: dict[int, tuple[int, ...]] = {}
        self._ran: Counter[int] = Counter()
        self._table = self._new(_ROOM)
        self._unknown_callback = SLOW(self._unknown)
        self.state.unknown = self._unknown_callback
        self.state.last_addr = NEVER

    def install(self, hook: Callable[..., None], watching: bool) -> None:
        """Add the hooks: these methods."""
        assert not watching, "blocks are not watched"
        hook(UC_HOOK_BLOCK, CODE(self._block))
        hook(UC_HOOK_EDGE_GENERATED, TRANSLATION(self._translated))

    def install_native(
        self, hook: Callable[..., None], handle: ctypes.c_void_p, watching: bool,
        functions: Mapping[str, ctypes.c_void_p], memory: int,
    ) -> None:  # fmt: skip
        """The same in C."""
        assert not watching, "blocks are not watched"
        self.state.stop = ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p)
        hook(UC_HOOK_BLOCK, functions["step_block_count"], ctypes.addressof(self.state))
        hook(UC_HOOK_EDGE_GENERATED, functions["step_translated"], ctypes.addressof(self.state))

    def _new(self, room: int) -> "ctypes.Array[Block]":
        table = (Block * room)()
        ctypes.memset(table, 0xFF, ctypes.sizeof(table))
        self.state.blocks, self.state.block_mask = ctypes.addressof(table), room - 1
        return table

    def _at(self, addr: int) -> Block:
        mask = self.state.block_mask
        index = (addr ^ addr >> 13) & mask
        while True:
            block: Block = self._table[index]
            if block.addr in (addr, NEVER):
                return block
            index = index + 1 & mask

    def _unknown(self) -> None:
        """Find out what is in the block that begins now."""
        s = self.state
        block = self._at(s.block_addr)
        if block.addr == NEVER:
            self._known += 1
            if self._known * 4 > 3 * len(self._table):
                old = self._table
                self._table = self._new(2 * len(old))
                for one in old:
                    if one.addr != NEVER:
                        place = self._at(one.addr)
                        ctypes.memmove(ctypes.byref(place), ctypes.byref(one), ctypes.sizeof(one))
                block = self._at(s.block_addr)
        else:
            self._flush(block)
        block.addr, block.size = s.block_addr, s.block_size
        block.repeat, block.entered = NEVER, 0
        code = self._memory.read_upto(block.addr, block.size)
        parts = self._parts[block.addr] = self._instructions(code, block)
        block.count = len(parts)

    def _instructions(self, code: bytes, block: Block) -> tuple[int, ...]:
        """Where the instructions of a block begin."""
        begin, size = block.addr, len(code)
        if self._abi.name == "aarch64":
            return tuple(range(begin, begin + size, 4))
        if self._capstone is None:
            return tuple(begin + at for at in _riscv(code))
        found = [(at, length) for at, length, _, _ in self._capstone.disasm_lite(code, begin)]
        last, length = found[-1] if found else (begin, 0)
        if length and is_repeat(code[last - begin :][:length]):
            block.repeat = last
        s = self.state
        cut = (
            len(found) == 1
            and block.repeat == NEVER
            and not (jumps(code) or self._traps(code))
            and s.last_addr <= begin < s.last_addr + s.last_size
        )
        if cut or last + length != begin + block.size:
            # Unicorn left the block before this one in the middle, to run one instruction alone
            # after code was changed (QEMU, accel/tcg/translate-all.c: precise self-modifying code);
            # or capstone reads it otherwise than Unicorn.
            s.reached = UNSURE
            self._stop()
        return tuple(at for at, _ in found) or (begin,)

    def _traps(self, code: bytes) -> bool:
        assert self._capstone is not None
        return any(one.group(capstone.CS_GRP_INT) for one in self._capstone.disasm(code, 0))

    def _flush(self, block: Block) -> None:
        if block.entered:
            for address in self._parts[block.addr]:
                self._ran[address] += block.entered
            block.entered = 0

    def ran(self) -> Counter[int]:
        """How often the instruction at each address has begun."""
        for block in self._table:
            if block.addr != NEVER:
                self._flush(block)
        return self._ran

    def go_on_counting(self, other: "BlockCounter") -> None:
        """Take over what another CPU of the same program has counted by address."""
        self._ran = other.ran()

    # In Python: the specification of fastpath.c.

    def _block(self, _uc: int, addr: int, size: int, _user: int) -> None:
        s = self.state
        if addr == s.last_repeat:
            return
        if s.executed >= s.target:
            s.reached = TARGET
            self._stop()
            return
        block = self._at(addr)
        if block.addr != addr or block.size != size or not block.count:
            s.block_addr, s.block_size = addr, size
            self._unknown()
            block = self._at(addr)
        s.executed += block.count
        block.entered += 1
        s.last_addr, s.last_size, s.last_repeat = addr, size, block.repeat

    def _translated(
        self, _uc: int, now: "ctypes._Pointer[uc_tb]", _before: object, _user: int
    ) -> None:
        block = self._at(now.contents.pc)
        if block.addr == now.contents.pc:
            block.count = 0


def _riscv(code: bytes) -> Iterator[int]:
    at = 0
    while at < len(code):
        yield at
        at += 4 if code[at] & 3 == 3 else 2
