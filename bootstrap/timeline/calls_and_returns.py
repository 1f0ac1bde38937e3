"""Which instructions call and which return, by architecture: what stepping over and out needs.

x86 and AArch64 are told by capstone. RISC-V has no call: an instruction that links is one, and a
jump to the link register without linking returns (RISC-V unprivileged ISA, 2.5.1, table 3).
"""

from collections.abc import Callable
from functools import cache

import capstone

CALL, RETURN, OTHER = "call", "return", "other"
LONGEST = 16
"""Bytes to give for one instruction: no instruction is longer."""

_CAPSTONE = {
    "i386": (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    "x86_64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
    "riscv64": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC),
    "riscv32": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC),
}


@cache
def disassembler(abi: str) -> capstone.Cs:
    """Capstone for an Abi.name, with details."""
    machine = capstone.Cs(*_CAPSTONE[abi])
    machine.detail = True
    return machine


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
    """Where the jump or call that `code` begins with leads; None: nowhere that its bytes tell."""
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
