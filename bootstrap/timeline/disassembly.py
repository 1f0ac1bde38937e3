"""Capstone for programs that run: instructions as text, which ones call and return, and where
jumps lead to.

Of x86 and AArch64 capstone says what calls. RISC-V has no call: an instruction that links is one,
and a jump to the link register without linking returns (RISC-V unprivileged ISA, 2.5.1, table 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import capstone

from bootstrap.linux.faults import MODES

CALL, RETURN, OTHER = "call", "return", "other"
LONGEST = 16
"""Bytes to give for one instruction: no instruction is longer."""


@cache
def disassembler(abi: str) -> capstone.Cs:
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


def _is_relative(code: bytes, abi: str) -> bool:
    """Whether an instruction of RISC-V jumps or branches by a distance (unprivileged ISA, 34)."""
    if code[0] & 3 == 3:
        return code[0] & 0x7F in (0x63, 0x6F)  # BRANCH, JAL
    # c.j, c.beqz, c.bnez; and c.jal, where RV64 has c.addiw
    kinds = (1, 5, 6, 7) if abi == "riscv32" else (5, 6, 7)
    return code[0] & 3 == 1 and code[1] >> 5 in kinds


class Decoder:
    """Capstone, for one ABI."""

    def __init__(self, abi: str) -> None:
        self._capstone = capstone.Cs(*MODES[abi])
        self._abi = abi
        self._mask = (1 << 32) - 1 if abi in ("i386", "riscv32") else (1 << 64) - 1
        self._smallest = {"aarch64": 4, "riscv64": 2, "riscv32": 2}.get(abi, 1)

    def one(self, code: bytes, guest_addr: int) -> Decoded:
        """The instruction at the start of `code`, which is not empty."""
        for found in self._capstone.disasm(code[:16], guest_addr, 1):
            raw, operands = bytes(found.bytes), found.op_str
            if self._abi.startswith("riscv") and _is_relative(raw, self._abi):
                # Capstone gives the distance; of other architectures, the address.
                rest, comma, distance = operands.rpartition(", ")
                operands = f"{rest}{comma}{guest_addr + int(distance, 0) & self._mask:#x}"
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


@cache
def kind(abi: str, code: bytes) -> tuple[str, int]:
    """CALL, RETURN or OTHER for the instruction that `code` begins with; and its size in bytes."""
    if abi.startswith("riscv"):
        return _riscv(code)
    found = next(disassembler(abi).disasm(code, 0, 1), None)
    if found is None:
        return OTHER, 1
    if found.group(capstone.CS_GRP_CALL):
        return CALL, found.size
    return (RETURN if found.group(capstone.CS_GRP_RET) else OTHER), found.size


def _riscv(code: bytes) -> tuple[str, int]:
    if len(code) < 2:
        return OTHER, 2
    half = int.from_bytes(code[:2], "little")
    if half & 3 != 3:
        links = half & 0xF07F == 0x9002 and half & 0xF80  # c.jalr
        returns = half == 0x8082  # c.jr ra
        return (CALL if links else RETURN if returns else OTHER), 2
    word = int.from_bytes(code[:4], "little")
    opcode, rd, rs1 = word & 0x7F, word >> 7 & 31, word >> 15 & 31
    if opcode in (0x6F, 0x67) and rd:
        return CALL, 4
    return (RETURN if opcode == 0x67 and rs1 == 1 else OTHER), 4


def target(abi: str, code: bytes, guest_addr: int) -> int | None:
    """Where the jump or call that `code` begins with leads; None: nowhere that its bytes say."""
    found = next(disassembler(abi).disasm(code, guest_addr, 1), None)
    if found is None:
        return None
    riscv = abi.startswith("riscv")
    jumps = (capstone.CS_GRP_BRANCH_RELATIVE, capstone.CS_GRP_CALL, capstone.CS_GRP_JUMP)
    # Capstone 5 gives c.j, c.beqz and their like no group.
    if not any(found.group(group) for group in jumps) and not (
        riscv and found.mnemonic in ("c.j", "c.jal", "c.beqz", "c.bnez", "j")
    ):
        return None
    values = [operand.imm for operand in found.operands if operand.type == capstone.CS_OP_IMM]
    if not values or (riscv and found.mnemonic in ("jalr", "jr", "c.jr", "c.jalr")):
        return None
    mask = (1 << (32 if abi in ("i386", "riscv32") else 64)) - 1
    return int(values[-1] + guest_addr if riscv else values[-1]) & mask


def leaves(kinds: Callable[[int], str], trail: list[int], depth: int = 0) -> int | None:
    """Where a trail of addresses first returns from `depth` calls deep to its caller: the index
    after the return. None: it does not."""
    for index, address in enumerate(trail):
        what = kinds(address)
        if what == CALL:
            depth += 1
        elif what == RETURN:
            depth -= 1
            if depth < 0:
                return index + 1
    return None


def entered(kinds: Callable[[int], str], trail: list[int], depth: int = 0) -> int | None:
    """The reverse: the index of the call, last in the trail, that leads to its end, when `depth`
    returns lie between. None: it is not in the trail."""
    for index in range(len(trail) - 1, -1, -1):
        what = kinds(trail[index])
        if what == RETURN:
            depth += 1
        elif what == CALL:
            if depth == 0:
                return index
            depth -= 1
    return None
