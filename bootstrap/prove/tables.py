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
_ALL, _LOW = (1 << 64) - 1, (1 << 32) - 1
_FLAGS = {"CF": 0x1, "PF": 0x4, "AF": 0x10, "ZF": 0x40, "SF": 0x80, "OF": 0x800, "DF": 0x400}
_MODES = {
    "i386": (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    "x86_64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
    "riscv64": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC),
    "riscv32": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC),
}
_STORES = frozenset(("sb", "sh", "sw", "sd"))
_NONE = frozenset(("xzr", "wzr", "zero", "eip", "rip", "eflags", "eiz", "riz"))
"""Names of what holds nothing, or is accounted for elsewhere."""


def disassembler(abi: str) -> capstone.Cs:
    """With details."""
    found = capstone.Cs(*_MODES[abi])
    found.detail = True
    return found


def parts(abi: str) -> dict[str, tuple[str, int]]:
    """Names of parts of registers: the whole register, and the bits. Others are whole."""
    found: dict[str, tuple[str, int]] = {}
    if abi == "aarch64":
        found |= {f"w{n}": (f"x{n}", _LOW) for n in range(31)}
        found |= {"lr": ("x30", _ALL), "fp": ("x29", _ALL)}
    if abi in ("i386", "x86_64"):
        for name in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp"):
            whole = f"{'e' if abi == 'i386' else 'r'}{name}"
            short = name[0] if name[1] == "x" else name
            found |= {f"{short}l": (whole, 0xFF), f"{short}h": (whole, 0xFF00)}
            found |= {name: (whole, 0xFFFF), f"e{name}": (whole, _LOW), f"r{name}": (whole, _ALL)}
        for n in range(8, 16):
            found |= {f"r{n}b": (f"r{n}", 0xFF), f"r{n}w": (f"r{n}", 0xFFFF)}
            found |= {f"r{n}d": (f"r{n}", _LOW), f"r{n}": (f"r{n}", _ALL)}
    return found


class Effect(NamedTuple):
    """One instruction."""

    text: str
    reads: Parts
    writes: Parts


class Tables:
    """The instructions of one program."""

    def __init__(self, abi: str) -> None:
        self._disassembler, self._parts = disassembler(abi), parts(abi)
        self._abi = abi

    def effect(self, code: bytes, addr: int) -> Effect:
        """Of the instruction in ``code``. Raises ValueError where capstone has none."""
        item = next(self._disassembler.disasm(code, addr, 1), None)
        if item is None:
            raise ValueError(f"no instruction that capstone knows: {code.hex()}")
        more: Parts = ()
        less: Parts = ()
        if self._abi.startswith("riscv"):
            reads, writes = _riscv(item)
        else:
            reads, writes = ([item.reg_name(n) for n in group] for group in item.regs_access())
            operands = [item.reg_name(o.reg) for o in item.operands if o.type == capstone.CS_OP_REG]
            if self._abi != "aarch64":
                if item.id in (x86.X86_INS_XOR, x86.X86_INS_SUB) and operands[:1] == operands[1:]:
                    reads = []  # the result is 0 whatever was there
                more = _flags(item.eflags, "TEST", "PRIOR")
                less = _flags(item.eflags, "MODIFY", "RESET", "SET", "UNDEFINED")
            elif item.mnemonic in ("cmp", "cmn", "tst"):
                reads, writes = operands, ["nzcv"]  # capstone has the first operand as written
            elif item.mnemonic == "ret":
                reads = operands or ["lr"]
            elif item.mnemonic == "svc":
                writes = []
        written = ((name, _ALL if bits == _LOW else bits) for name, bits in self._of(writes))
        text = f"{item.mnemonic} {item.op_str}".strip()
        return Effect(text, (*self._of(reads), *more), (*written, *less))

    def _of(self, names: list[str]) -> Parts:
        return tuple(self._parts.get(name, (name, _ALL)) for name in names if name not in _NONE)


def _flags(bits: int, *words: str) -> Parts:
    """Each flag by itself: `dec` leaves the carry as it is."""
    mask = sum(
        bit
        for flag, bit in _FLAGS.items()
        if any(bits & getattr(x86, f"X86_EFLAGS_{word}_{flag}", 0) for word in words)
    )
    return (("eflags", mask),) if mask else ()


def _riscv(item: capstone.CsInsn) -> tuple[list[str], list[str]]:
    """Capstone 5.0 has no table; the first operand is written but by stores and branches."""
    name = item.mnemonic.removeprefix("c.")
    registers = [
        item.reg_name(o.reg if o.type == capstone.CS_OP_REG else o.mem.base)
        for o in item.operands
        if o.type != capstone.CS_OP_IMM
    ]
    if name == "ret":
        return ["ra"], []
    if name in _STORES or name.startswith("b") or name in ("ecall", "j", "jr"):
        return registers, []
    if name in ("jal", "jalr") and len(registers) < (1 if name == "jal" else 2):
        registers.insert(0, "ra")
    return registers[1:], registers[:1]
