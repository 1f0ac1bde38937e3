"""Capstone for programs that run: instructions as text, which ones call, return and jump, and where
jumps lead to.

Of x86 and AArch64 capstone says so. RISC-V has no call: an instruction that links is one, and a
jump to the link register without linking returns (RISC-V unprivileged ISA, 2.5.1, table 3); and
capstone 5 gives its compressed jumps no group.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import capstone

from bootstrap.linux.faults import MODES

CALL, RETURN, OTHER = "call", "return", "other"
LONGEST = 16
"""Bytes to give for one instruction: no instruction is longer."""
_LEADS = (capstone.CS_GRP_BRANCH_RELATIVE, capstone.CS_GRP_CALL, capstone.CS_GRP_JUMP)
_ENDS = (*_LEADS, capstone.CS_GRP_RET, capstone.CS_GRP_INT, capstone.CS_GRP_IRET)
_TRAPS = frozenset(("syscall", "sysenter", "svc", "ecall", "hlt", "ud2", "ebreak", "brk"))


@cache
def _disassembler(abi: str) -> capstone.Cs:
    """Capstone for an Abi.name, with details."""
    machine = capstone.Cs(*MODES[abi])
    machine.detail = True
    return machine


@dataclass(frozen=True, slots=True)
class Decoded:
    """An instruction, or a byte that is none."""

    guest_addr: int
    code: bytes
    text: str

    @property
    def is_instruction(self) -> bool:
        """Whether capstone takes it for one."""
        return not self.text.startswith(".byte")


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a program goes on after an instruction."""

    size: int
    kind: str
    """CALL, RETURN or OTHER."""
    target: int | None
    """Where it leads; None: nowhere that its bytes say."""
    ends: bool
    """Whether it may go elsewhere than to the next instruction: it jumps, or traps."""


def flow(abi: str, code: bytes, guest_addr: int) -> Flow | None:
    """Of the instruction that `code` begins with; None where it is none that capstone knows."""
    found = next(_disassembler(abi).disasm(code, guest_addr, 1), None)
    if found is None:
        return None
    ends = any(map(found.group, _ENDS)) or found.mnemonic in _TRAPS
    if abi.startswith("riscv"):
        kind, relative = _riscv(code, abi)
        leads, ends, base = relative, ends or relative or kind != OTHER, guest_addr
    else:
        returns = RETURN if found.group(capstone.CS_GRP_RET) else OTHER
        kind = CALL if found.group(capstone.CS_GRP_CALL) else returns
        leads, base = any(map(found.group, _LEADS)), 0
    # Of an indirect one the operands are registers or memory: none of these.
    values = [operand.imm for operand in found.operands if operand.type == capstone.CS_OP_IMM]
    target = int(base + values[-1]) & _mask(abi) if leads and values else None
    return Flow(found.size, kind, target, ends)


@cache
def kind(abi: str, code: bytes) -> str:
    """CALL, RETURN or OTHER for the instruction that `code` begins with."""
    found = flow(abi, code, 0)
    return OTHER if found is None else found.kind


def _riscv(code: bytes, abi: str) -> tuple[str, bool]:
    """Its kind, and whether it jumps or branches by a distance (unprivileged ISA, 34)."""
    half = int.from_bytes(code[:2], "little")
    if half & 3 != 3:
        links = half & 0xF07F == 0x9002 and half & 0xF80  # c.jalr
        # c.j, c.beqz, c.bnez; and c.jal, where RV64 has c.addiw
        relative = half & 3 == 1 and half >> 13 in ((1, 5, 6, 7) if abi == "riscv32" else (5, 6, 7))
        return CALL if links else RETURN if half == 0x8082 else OTHER, relative  # c.jr ra
    word = int.from_bytes(code[:4], "little")
    opcode, rd, rs1 = word & 0x7F, word >> 7 & 31, word >> 15 & 31
    relative = opcode in (0x63, 0x6F)  # BRANCH, JAL
    if opcode in (0x6F, 0x67) and rd:
        return CALL, relative
    return RETURN if opcode == 0x67 and rs1 == 1 else OTHER, relative


def _mask(abi: str) -> int:
    return (1 << (32 if abi in ("i386", "riscv32") else 64)) - 1


class Decoder:
    """Capstone, for one ABI."""

    def __init__(self, abi: str) -> None:
        self._capstone = capstone.Cs(*MODES[abi])
        self._abi = abi
        self._smallest = {"aarch64": 4, "riscv64": 2, "riscv32": 2}.get(abi, 1)

    def one(self, code: bytes, guest_addr: int) -> Decoded:
        """The instruction at the start of `code`, which is not empty."""
        for found in self._capstone.disasm(code[:LONGEST], guest_addr, 1):
            raw, operands = bytes(found.bytes), found.op_str
            if self._abi.startswith("riscv") and _riscv(raw, self._abi)[1]:
                # Capstone gives the distance; of other architectures, the address.
                rest, comma, distance = operands.rpartition(", ")
                operands = f"{rest}{comma}{guest_addr + int(distance, 0) & _mask(self._abi):#x}"
            return Decoded(guest_addr, raw, f"{found.mnemonic} {operands}".strip())
        raw = code[: self._smallest]
        return Decoded(guest_addr, raw, f".byte {', '.join(f'{byte:#04x}' for byte in raw)}")

    def several(self, code: bytes, guest_addr: int, most: int) -> list[Decoded]:
        """Up to `most` instructions, one after the other."""
        found: list[Decoded] = []
        at = 0
        while at < len(code) and len(found) < most:
            one = self.one(code[at:], guest_addr + at)
            found.append(one)
            at += len(one.code)
        return found
