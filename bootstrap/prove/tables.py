"""Which registers, or parts of them, an instruction reads and writes: capstone's tables.

Where they are wrong or silent (capstone 5.0: compares and returns of AArch64, all of RISC-V) it is
said here. Nothing rests on them alone: what they call dead is also perturbed, and checked anew.
"""

from __future__ import annotations

from typing import NamedTuple

import capstone
from capstone import x86

Parts = tuple[tuple[str, int], ...]
"""(register by its name in the engine, mask of bits)."""
_ALL = (1 << 64) - 1
_FLAGS = {"CF": 0x1, "PF": 0x4, "AF": 0x10, "ZF": 0x40, "SF": 0x80, "OF": 0x800, "DF": 0x400}
_MODES = {
    "i386": (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    "x86_64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
    "riscv64": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC),
    "riscv32": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC),
}
_STORES = frozenset(("sb", "sh", "sw", "sd"))


class Effect(NamedTuple):
    """One instruction."""

    text: str
    reads: Parts
    writes: Parts


class Tables:
    """The instructions of one program."""

    def __init__(self, abi: str) -> None:
        self._disassembler = capstone.Cs(*_MODES[abi])
        self._disassembler.detail = True
        self._family = {"i386": "x86", "x86_64": "x86", "aarch64": "arm"}.get(abi, "riscv")
        self._parts: dict[str, tuple[str, int, int]] = {}
        if self._family == "x86":
            self._name_x86("e" if abi == "i386" else "r")
        for n in range(31):
            self._parts[f"w{n}"] = (f"x{n}", 0xFFFFFFFF, _ALL)
        self._parts |= {"lr": ("x30", _ALL, _ALL), "fp": ("x29", _ALL, _ALL)}
        self._none = {"xzr", "wzr", "zero", "eip", "rip", "eflags", "eiz", "riz"}

    def _name_x86(self, wide: str) -> None:
        """Parts of registers; what is 32 bits wide clears the rest of 64."""
        for letter in "abcd":
            whole = f"{wide}{letter}x"
            self._parts |= {
                f"{letter}l": (whole, 0xFF, 0xFF),
                f"{letter}h": (whole, 0xFF00, 0xFF00),
            }
        for name in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp"):
            whole = f"{wide}{name}"
            self._parts |= {name: (whole, 0xFFFF, 0xFFFF), f"e{name}": (whole, 0xFFFFFFFF, _ALL)}
            if len(name) == 2 and name[1] != "x":
                self._parts[f"{name}l"] = (whole, 0xFF, 0xFF)
        for n in range(8, 16):
            self._parts |= {
                f"r{n}b": (f"r{n}", 0xFF, 0xFF),
                f"r{n}w": (f"r{n}", 0xFFFF, 0xFFFF),
                f"r{n}d": (f"r{n}", 0xFFFFFFFF, _ALL),
            }

    def effect(self, code: bytes, addr: int) -> Effect:
        """Of the instruction in ``code``. Raises ValueError where capstone has none."""
        item = next(self._disassembler.disasm(code, addr, 1), None)
        if item is None:
            raise ValueError(f"no instruction that capstone knows: {code.hex()}")
        text = f"{item.mnemonic} {item.op_str}".strip()
        if self._family == "riscv":
            return self._riscv(item, text)
        reads, writes = (
            [item.reg_name(number) for number in group] for group in item.regs_access()
        )
        operands = [item.reg_name(o.reg) for o in item.operands if o.type == capstone.CS_OP_REG]
        if self._family == "x86":
            if item.id in (x86.X86_INS_XOR, x86.X86_INS_SUB) and operands[:1] == operands[1:]:
                reads = []  # the result is 0 whatever was there
            more, less = self._flags(item.eflags)
        else:
            more = less = ()
            if item.mnemonic in ("cmp", "cmn", "tst"):
                reads, writes = operands, ["nzcv"]  # capstone has the first operand as written
            elif item.mnemonic == "ret":
                reads = operands or ["lr"]
            elif item.mnemonic == "svc":
                writes = []
        return Effect(text, self._of(reads, 1) + more, self._of(writes, 2) + less)

    def _of(self, names: list[str], which: int) -> Parts:
        rows = (self._parts.get(name, (name, _ALL, _ALL)) for name in names)
        return tuple((row[0], row[which]) for row in rows if row[0] not in self._none)  # type: ignore[misc]

    @staticmethod
    def _flags(bits: int) -> tuple[Parts, Parts]:
        """Each flag by itself: `dec` leaves the carry as it is."""

        def mask(*words: str) -> int:
            return sum(
                bit
                for flag, bit in _FLAGS.items()
                if any(bits & getattr(x86, f"X86_EFLAGS_{word}_{flag}", 0) for word in words)
            )

        read, written = mask("TEST", "PRIOR"), mask("MODIFY", "RESET", "SET", "UNDEFINED")
        return (("eflags", read),) if read else (), (("eflags", written),) if written else ()

    def _riscv(self, item: capstone.CsInsn, text: str) -> Effect:
        """Capstone 5.0 has no table; the first operand is written but by stores and branches."""
        name = item.mnemonic.removeprefix("c.")
        registers = [
            item.reg_name(o.reg if o.type == capstone.CS_OP_REG else o.mem.base)
            for o in item.operands
            if o.type != capstone.CS_OP_IMM
        ]
        written = not (name in _STORES or name.startswith("b") or name in ("ecall", "j", "jr"))
        if name == "ret":
            registers = ["ra"]
        elif name in ("jal", "jalr") and len(registers) < (1 if name == "jal" else 2):
            registers.insert(0, "ra")
        reads = registers[1:] if written and name != "ret" else registers
        writes = registers[:1] if written and name != "ret" else []
        return Effect(text, self._of(reads, 1), self._of(writes, 2))
