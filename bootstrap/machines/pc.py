"""A PC as its firmware leaves it: one x86 CPU in real mode, RAM, a disk, a console, a keyboard.

The guest may change to protected mode and back, and bring its own interrupt table. Of the firmware
there is what boot sectors like builder-hex0's ask for; each other request stops the machine with
its name, the registers and the place. There is no clock and no timer.

Sources: Intel SDM volume 3, 6.11 to 6.12 (gates and their delivery), 20.1 (real mode); the BIOS
calls as in Ralf Brown's Interrupt List: INT 10H AH=0EH, INT 13H AH=00H, 02H, 42H and 43H, INT 15H
AX=E820H, 2400H and 2401H, INT 16H AH=00H and 01H.

Unicorn runs the CPU in its 32-bit mode with CR0.PE cleared: only so can it go on at an address
beyond 64 KiB. It calls the hook for each interrupt and exception; EIP is then after the `int`.
"""

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass

from unicorn import unicorn_const as uc
from unicorn import x86_const as x86

from bootstrap.core.errors import GuestFailed
from bootstrap.machines.disk import HEADS, PER_TRACK, SECTOR, Disk
from bootstrap.machines.emulation import MEGABYTE, PAGE, X86Machine, add_hook, positions
from bootstrap.machines.interrupts import (
    FRAME,
    NativeInterrupts,
    PlainCalls,
    Steps,
    load,
)

BOOT = 0x7C00
"""Where the firmware puts the boot sector, and starts it."""
BOOT_DRIVE = 0x80
RESET = 0xFFFF0
"""The CPU's first instruction after a reset: going there is to reboot."""
_NO_CODE = 0xA0000
"""From here to RESET a PC has video memory and its firmware: nothing to jump to."""
_PE, _CARRY, _IF_TF = 1, 1, 0x300
_REP_STOSB, _TO_CONTROL = b"\xf3\xaa", b"\x0f\x22"
_GENERAL = "eax ecx edx ebx esp ebp esi edi".split()
"""As instructions number them."""
_PACKET = struct.Struct("<BBHHHQ")
"""Disk address packet: size, reserved, sectors, offset, segment, first sector."""
_SMAP = 0x534D4150
_NO_SECTOR = 4
"""INT 13H's status: sector not found."""
_REGISTERS = ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "cs", "ds", "es", "ss")
_NAMES = {
    0: "divide error", 1: "debug exception", 3: "breakpoint", 4: "overflow", 5: "out of bounds",
    6: "invalid instruction", 7: "no coprocessor", 8: "double fault", 10: "invalid task state",
    11: "segment not present", 12: "stack fault", 13: "general protection fault", 14: "page fault",
    16: "floating-point error",
}  # fmt: skip
"""Exceptions of the CPU (Intel SDM volume 3, table 6-1)."""


@dataclass(frozen=True, slots=True)
class PcLimits:
    """Most that a guest may use; 0 seconds, or interrupts, is none."""

    memory: int = 3 << 30
    """Bytes of RAM. They are committed as the guest touches them."""
    disk: int = 1 << 30
    """Bytes of the disk that it may write over."""
    seconds: int = 3600
    """Host CPU seconds."""
    interrupts: int = 0


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A gate of the guest's own table that was gone through, as it was before the handler ran."""

    vector: int
    registers: tuple[int, ...]
    """EAX, EBX, ECX, EDX, ESI, EDI, EBP."""
    back: int
    """Linear address that the handler returns to."""
    esp: int


@dataclass(frozen=True)
class GateWatch:
    """What hears of each gate that is gone through, but for plain calls where those are in C."""

    taken: Callable[["Pc", Interrupt], object]
    plain: PlainCalls | None = None


class Pc(X86Machine):
    """Boots a disk; `run` it once, and `close` it.

    `console` gets each byte that is printed. `key` gives the next byte of the keyboard, None if
    there is none, and waits for one if it is asked to. `watch` hears of each gate that is gone
    through, and `steps` of instructions; both make it slow. Raises
    BadInput where there is not so much memory.
    """

    def __init__(
        self,
        disk: Disk,
        console: Callable[[int], object],
        key: Callable[[bool], int | None] = lambda _wait: None,
        limits: PcLimits = PcLimits(),
        watch: GateWatch | None = None,
        steps: Steps | None = None,
        native: bool = True,
    ) -> None:
        self.disk = disk
        self.limits = limits
        self._console, self._key = console, key
        self._peeked: int | None = None
        self._watch = watch
        super().__init__(uc.UC_MODE_32, "the machine", "eip", limits.memory)
        self._served |= {_REP_STOSB: self._clear, _TO_CONTROL: self._to_control}
        self.uc.ctl_set_exits([RESET])
        plain = None if watch is None else watch.plain
        library = load() if native else None
        if steps is not None:
            steps.hook(self.uc, library)
        library = library if watch is None or plain else None
        self.native = (
            None
            if library is None
            else NativeInterrupts(library, self._host, self._fetched, limits.interrupts, plain)
        )
        self.counts: dict[tuple[int, int], int] = {}
        """Interrupts through the guest's own gates, by vector and AL (counted in Python)."""
        self._add_hooks()
        if steps is None:  # no other hook ends the machine within a block
            self._stop_between_blocks()

    def _add_hooks(self) -> None:
        if self.native is None:
            self.uc.hook_add(uc.UC_HOOK_INTR, lambda _uc, vector, _: self._take(vector))
            add_hook(self.uc, uc.UC_HOOK_TLB_FILL, self._filled)
        else:
            self.native.hook(self.uc, self._take, self._filled)
        self.uc.hook_add(
            uc.UC_HOOK_CODE,
            lambda _uc, at, _size, _: self.refuse(f"the guest runs at {at:#x}: there is no code"),
            None, _NO_CODE, RESET - 1,
        )  # fmt: skip
        for number, name in ((x86.UC_X86_INS_IN, "in"), (x86.UC_X86_INS_OUT, "out")):
            self.uc.hook_add(
                uc.UC_HOOK_INSN,
                lambda _uc, port, *_, name=name: self.refuse(f"{name}: no device at {port:#x}"),
                None, 1, 0, number,
            )  # fmt: skip

    def _clear(self, _at: int) -> None:
        """`rep stosb` that clears: whole pages are dropped. What memory holds after it is the same.

        builder-hex0's kernel clears 654 MB at each execve.
        """
        read, write = self.register, self.set_register
        start, count = read("edi"), read("ecx")
        end = start + count
        if read("al") or read("eflags") & 0x400 or end > self.limits.memory or not self._flat:
            return
        if count < MEGABYTE:
            self.store(start, bytes(count))
        else:
            low = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
            high = end // mmap.PAGESIZE * mmap.PAGESIZE
            self.ram.madvise(mmap.MADV_DONTNEED, low, high - low)
            self.store(start, bytes(low - start))
            self.store(high, bytes(end - high))
            for page in positions(bytes(self._fetched)[: high // PAGE], b"\1"):
                if page >= low // PAGE:
                    self.uc.ctl_remove_cache(page * PAGE, (page + 1) * PAGE)
        write("edi", end)
        write("ecx", 0)

    def _to_control(self, at: int) -> None:
        """MOV to CR0: the TLB is filled as if there were no paging, so there is none to turn on."""
        code = self.read(at, 16)
        kind = code[code.index(_TO_CONTROL) + 2]
        if not kind >> 3 & 7 and self.register(_GENERAL[kind & 7]) >> 31:
            self.refuse(f"mov cr0 at {at:#x}: there is no paging")

    # Running.

    def run(self) -> str:
        """From the firmware's hand-over until the machine stops; how it stopped: reboot, halted.

        Raises GuestFailed (an exception, a request that is not served, a limit), BadInput (the
        image cannot be read), KeyboardInterrupt.
        """
        self._hand_over()
        try:
            self._emulate(BOOT, self.limits.seconds)
        finally:
            if self.native is not None:
                self.native.report()
        return "reboot" if self.pc == RESET else "halted"

    def _hand_over(self) -> None:
        """Real mode, segments 0, the boot sector at 0:7C00, the drive's number in DL."""
        sector = self.disk.read(0, 1)
        if sector[510:] != b"\x55\xaa":
            raise GuestFailed("the firmware finds no boot sector: bytes 510 and 511 are not 55 AA")
        self.set_register("cr0", 0x10)
        for name in ("cs", "ds", "es", "ss", "fs", "gs"):
            self.set_register(name, 0)
        self.set_register("esp", BOOT)
        self.set_register("edx", BOOT_DRIVE)
        self.store(BOOT, sector)
        self._look(BOOT, SECTOR)

    def close(self) -> None:
        """Give the memory back."""
        self.uc.mem_unmap(0, self.limits.memory)
        del self._host
        self.ram.close()

    @property
    def protected(self) -> bool:
        """Whether the CPU is in protected mode."""
        return bool(self.register("cr0") & _PE)

    @property
    def _flat(self) -> bool:
        """Protected mode, code of 32 bits, ES from 0 on: EDI is an address (SDM 3, 3.4.5)."""
        _, table, _, _ = self.uc.reg_read(x86.UC_X86_REG_GDTR)
        places = (table + (self.register(name) & 0xFFF8) for name in ("cs", "es"))
        code, extra = (self.ram[at : at + 8].ljust(8) for at in places)
        return self.protected and bool(code[6] & 0x40) and not any(extra[2:5] + extra[7:])

    @property
    def pc(self) -> int:
        """Linear address of the next instruction, for a flat or a real-mode code segment."""
        return self.register("eip") + (0 if self.protected else self.register("cs") << 4)

    def place(self) -> str:
        """Mode and registers in a line, for messages."""
        mode = "protected mode" if self.protected else "real mode"
        at = f"{self.register('cs'):04x}:{self.register('eip'):04x}"
        return f"{mode}, {at}; " + " ".join(f"{n}={self.register(n):x}" for n in _REGISTERS)

    # Interrupts and exceptions.

    def _take(self, vector: int) -> None:
        """The hook. What is raised in it is raised again by `run`."""
        try:
            if self.limits.interrupts and self.interrupts >= self.limits.interrupts:
                more = "(--limit interrupts=NUMBER raises it)"
                raise GuestFailed(f"limit: {self.limits.interrupts} interrupts were taken {more}")
            if self.protected:
                self._through_gate(vector)
            else:
                self._real_mode(vector)
        except BaseException as error:  # no exception can cross Unicorn
            self.fail(error)

    @property
    def interrupts(self) -> int:
        """How many went through the guest's own gates."""
        return sum(self.counts.values()) + (self.native.taken if self.native else 0)

    def counted(self, vector: int) -> dict[int, int]:
        """Interrupts of this vector through the guest's own gates, by AL."""
        found = {al: n for (v, al), n in self.counts.items() if v == vector}
        for al, number in self.native.counted(vector) if self.native else ():
            found[al] = found.get(al, 0) + number
        return found

    def _through_gate(self, vector: int) -> None:
        """Through the guest's interrupt table, in protected mode without a change of privilege."""
        _, base, limit, _ = self.uc.reg_read(x86.UC_X86_REG_IDTR)
        low, selector, kind, high = 0, 0, 0, 0
        if vector * 8 + 7 <= limit and base + vector * 8 + 8 <= self.limits.memory:
            low, selector, kind, high = struct.unpack_from("<4H", self.ram, base + vector * 8)
        if kind & 0x9F00 not in (0x8E00, 0x8F00):  # present, for ring 0: interrupt or trap, 32 bits
            self._unserved(vector, "the guest's interrupt table has no gate for it")
        if vector < 32 and not self._was_software(vector):
            self._unserved(vector, "an exception is not delivered")
        flags, esp = self.register("eflags"), self.register("esp") - FRAME.size
        back, code = self.register("eip"), self.register("cs")
        if self._watch is not None:
            if self.native is not None:
                self.native.report()
            values = tuple(self.register(n) for n in _REGISTERS[:7])
            self._watch.taken(self, Interrupt(vector, values, back, esp + FRAME.size))
            if self.native is not None:
                self.native.watch(self.uc, values[0] & 0xFF, back)
        self._count(vector)
        self.store(esp, FRAME.pack(back, code, flags))
        self.set_register("esp", esp)
        # A trap gate (type 15) leaves interrupts on.
        self.set_register("eflags", flags & ~(0x100 if kind & 0x100 else _IF_TF))
        if selector != code:
            self.set_register("cs", selector)
        self.set_register("eip", low | high << 16)

    def _real_mode(self, vector: int) -> None:
        """Through the guest's vector, if it set one; else the firmware serves it."""
        offset, segment = struct.unpack_from("<HH", self.ram, vector * 4)
        if not offset and not segment:
            self._firmware(vector)
            return
        sp = (self.register("sp") - 6) & 0xFFFF
        back, code, flags = self.register("ip"), self.register("cs"), self.register("eflags")
        self._count(vector)
        frame = struct.pack("<HHH", back, code, flags & 0xFFFF)
        self.store((self.register("ss") << 4) + sp, frame)
        self.set_register("sp", sp)
        self.set_register("eflags", flags & ~_IF_TF)
        self.set_register("cs", segment)
        self.set_register("eip", offset)

    def _count(self, vector: int) -> None:
        key = vector, self.register("eax") & 0xFF
        self.counts[key] = self.counts.get(key, 0) + 1

    def _unserved(self, vector: int, why: str) -> None:
        name = f"exception {vector} ({_NAMES[vector]})" if vector in _NAMES else f"int {vector:#x}"
        raise GuestFailed(f"{name}: {why}")

    # The firmware.

    def _firmware(self, vector: int) -> None:
        ax = self.register("ax")
        high, low = ax >> 8, ax & 0xFF
        if (vector, high) == (0x10, 0x0E):
            self._console(low)
        elif (vector, high) == (0x13, 0x00):
            self._done(0)
        elif (vector, high) == (0x13, 0x02):
            self._read_by_cylinder(low)
        elif (vector, high) in ((0x13, 0x42), (0x13, 0x43)):
            self._packet(write=high == 0x43)
        elif (vector, ax) in ((0x15, 0x2400), (0x15, 0x2401)):
            self._done(0)  # the address line A20 is always on
        elif (vector, ax) == (0x15, 0xE820):
            self._memory_map()
        elif vector == 0x16 and high in (0, 1):
            self._keyboard(wait=high == 0)
        elif vector in _NAMES and vector < 16 and not self._was_software(vector):
            self._unserved(vector, "an exception in real mode")
        else:
            what = f"int {vector:02x}h ah={high:02x}h al={low:02x}h"
            raise GuestFailed(f"{what}: this firmware does not have it")

    def _was_software(self, vector: int) -> bool:
        return self.ram[self.pc - 2 : self.pc] == bytes((0xCD, vector))

    def _done(self, status: int) -> None:
        """AH and the carry flag as INT 13H and INT 15H give them."""
        flags = self.register("eflags") & ~_CARRY
        self.set_register("ah", status)
        self.set_register("eflags", flags | (_CARRY if status else 0))

    def _read_by_cylinder(self, count: int) -> None:
        cx, head = self.register("cx"), self.register("dx") >> 8
        cylinder, sector = cx >> 8 | (cx & 0xC0) << 2, cx & 0x3F
        first = (cylinder * HEADS + head) * PER_TRACK + sector - 1
        address = (self.register("es") << 4) + self.register("bx")
        good = 0 < sector <= PER_TRACK and head < HEADS
        self._move(first, count, address, write=False, good=good)

    def _packet(self, write: bool) -> None:
        at = (self.register("ds") << 4) + self.register("si")
        size, _, count, offset, segment, first = _PACKET.unpack_from(self.ram, at)
        self._move(first, count, (segment << 4) + offset, write, good=size >= _PACKET.size)

    def _move(self, first: int, count: int, address: int, write: bool, good: bool) -> None:
        drive = self.register("dl")
        if drive != BOOT_DRIVE or not good or not self.disk.holds(first, count):
            self._done(_NO_SECTOR)
            return
        if write:
            data = self.ram[address : address + count * SECTOR]
            if len(data) != count * SECTOR:
                raise GuestFailed(f"{count} sectors at {address:#x} are beyond the memory")
            self.disk.write(first, data)
        else:
            self.store(address, self.disk.read(first, count))
        self._done(0)

    def _memory_map(self) -> None:
        """Low memory, what the firmware keeps for itself, and the rest (ACPI, 15.1)."""
        ranges = (
            (0, 0x9FC00, 1), (0x9FC00, 0x400, 2), (0xF0000, 0x10000, 2),
            (MEGABYTE, self.limits.memory - MEGABYTE, 1),
        )  # fmt: skip
        index = self.register("ebx")
        if self.register("edx") != _SMAP or index >= len(ranges):
            self._done(0x86)
            return
        at = (self.register("es") << 4) + self.register("di")
        self.store(at, struct.pack("<QQI", *ranges[index]))
        self.set_register("eax", _SMAP)
        self.set_register("ecx", 20)
        self.set_register("ebx", (index + 1) % len(ranges))
        flags = self.register("eflags") & ~_CARRY
        self.set_register("eflags", flags)

    def _keyboard(self, wait: bool) -> None:
        """AL is the byte, AH (the scan code) 0; the zero flag says that there is none."""
        if self._peeked is None:
            self._peeked = self._key(wait)
        key = self._peeked
        if wait:
            if key is None:
                raise GuestFailed("int 16h: the guest waits for a key, and there are no more")
            self._peeked = None
        flags = self.register("eflags") & ~0x40
        self.set_register("eflags", flags | (0x40 if key is None else 0))
        if key is not None:
            self.set_register("ax", key)
