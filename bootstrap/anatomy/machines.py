"""What an instruction does to the flow, per architecture, from what capstone says of it.

Sources: Intel SDM volume 2; Arm ARM, A64; RISC-V unprivileged specification, chapters 2 and 27
(C); syscall(2) for the registers and Linux' tables for the numbers of exit and exit_group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import capstone
from capstone import arm64, riscv, x86

from bootstrap.linux.numbers import NUMBERS

Family = Literal["x86", "arm64", "riscv"]


@dataclass(frozen=True)
class InstructionSet:
    """How to read an architecture's instructions.  Sizes in bytes."""

    name: str
    family: Family
    arch: int
    mode: int
    step: int
    """Where no instruction is, the next may begin this much later."""
    longest: int
    exits: frozenset[int] = frozenset()
    """System call numbers that do not return."""
    calls: Mapping[int, str] = field(default_factory=dict)
    """Names of system calls."""
    wrap: int | None = None
    """Addresses wrap at this number (16-bit code)."""


def _names(abi: str) -> Mapping[int, str]:
    return MappingProxyType({number: name for name, number in NUMBERS[abi].items()})


_X86, _ARM, _RISCV = capstone.CS_ARCH_X86, capstone.CS_ARCH_ARM64, capstone.CS_ARCH_RISCV
_RV32 = capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC
_RV64 = capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC
_ENDS = frozenset({93, 94})

X86_16 = InstructionSet("x86, 16-bit", "x86", _X86, capstone.CS_MODE_16, 1, 15, wrap=0x10000)
X86_32 = InstructionSet("x86, 32-bit", "x86", _X86, capstone.CS_MODE_32, 1, 15,
                        frozenset({1, 252}), _names("i386"))  # fmt: skip
X86_64 = InstructionSet("x86, 64-bit", "x86", _X86, capstone.CS_MODE_64, 1, 15,
                        frozenset({60, 231}), _names("x86_64"))  # fmt: skip
UEFI_64 = InstructionSet("x86, 64-bit", "x86", _X86, capstone.CS_MODE_64, 1, 15)
AARCH64 = InstructionSet("AArch64", "arm64", _ARM, capstone.CS_MODE_ARM, 4, 4, _ENDS,
                         _names("aarch64"))  # fmt: skip
RISCV32 = InstructionSet("RISC-V, 32-bit", "riscv", _RISCV, _RV32, 2, 4, _ENDS,
                         _names("riscv32"))  # fmt: skip
RISCV64 = InstructionSet("RISC-V, 64-bit", "riscv", _RISCV, _RV64, 2, 4, _ENDS,
                         _names("riscv64"))  # fmt: skip

BY_ELF = {(3, 1): X86_32, (62, 2): X86_64, (183, 2): AARCH64, (243, 1): RISCV32,
          (243, 2): RISCV64}  # fmt: skip
"""(e_machine, EI_CLASS) -> machine."""


@dataclass(frozen=True, slots=True)
class PathState:
    """The little that is known on a path: enough to know exit from other system calls."""

    number: int | None = None
    """The system call number register, if its value is known."""
    pushed: int | None = None
    """The number pushed by the instruction before."""
    zero_tested: bool = False
    """The flags say whether the number register is 0."""
    upper: tuple[int, int] | None = None
    """RISC-V: a register and the address that auipc has just put there."""


@dataclass(frozen=True, slots=True)
class InstructionFacts:
    """What one instruction does: where it goes on, and which addresses it names."""

    text: str
    next: tuple[tuple[int, PathState], ...]
    target: int | None = None
    reads: tuple[tuple[int, int, bool], ...] = ()
    """Addresses named: (address, size or 0, whether it is surely an address)."""
    indirect: bool = False
    note: str = ""


def understand(
    machine: InstructionSet, item: capstone.CsInsn, state: PathState
) -> InstructionFacts:
    """What ``item`` does when reached with ``state``."""
    if machine.family == "x86":
        return _x86(machine, item, state)
    if machine.family == "arm64":
        return _arm64(machine, item, state)
    return _riscv(machine, item, state)


def _text(item: capstone.CsInsn) -> str:
    return f"{item.mnemonic} {item.op_str}".strip()


def _call(
    machine: InstructionSet, item: capstone.CsInsn, state: PathState, then: PathState
) -> InstructionFacts:
    """A system call: exit(2) ends the path, any other goes on in ``then``."""
    name = machine.calls.get(state.number) if state.number is not None else None
    note = f"system call {state.number}" + (f", {name}" if name else "")
    if state.number is None:
        note = "system call; the code before it does not say its number"
    if state.number in machine.exits:
        return InstructionFacts(_text(item), (), note=f"{note}: the program ends")
    return InstructionFacts(_text(item), ((_after(item), then),), note=note)


def _after(item: capstone.CsInsn) -> int:
    return int(item.address) + int(item.size)


_ACCUMULATOR = {x86.X86_REG_AL, x86.X86_REG_AH, x86.X86_REG_AX, x86.X86_REG_EAX, x86.X86_REG_RAX}
_WIDE = {x86.X86_REG_EAX, x86.X86_REG_RAX}


def _x86(machine: InstructionSet, item: capstone.CsInsn, state: PathState) -> InstructionFacts:
    text, after = _text(item), _after(item)
    operands = list(item.operands)
    flow = _x86_flow(machine, item, state, operands)
    if flow is not None:
        return flow
    exits = item.id in (x86.X86_INS_SYSCALL, x86.X86_INS_SYSENTER) or (
        item.id == x86.X86_INS_INT and operands[0].imm == 0x80
    )
    if exits and machine.exits:
        return _call(machine, item, state, PathState())
    reads = tuple(_x86_reads(machine, item, operands, after))
    return InstructionFacts(text, ((after, _x86_state(item, operands, state)),), reads=reads)


def _x86_flow(
    machine: InstructionSet, item: capstone.CsInsn, state: PathState, operands: list[x86.X86Op]
) -> InstructionFacts | None:
    text, after = _text(item), _after(item)
    if item.group(capstone.CS_GRP_RET) or item.group(capstone.CS_GRP_IRET):
        return InstructionFacts(text, ())
    jumps = item.group(capstone.CS_GRP_JUMP) or item.id in (
        x86.X86_INS_LOOP, x86.X86_INS_LOOPE, x86.X86_INS_LOOPNE)  # fmt: skip
    calls = item.group(capstone.CS_GRP_CALL)
    if not jumps and not calls:
        return None
    returns = ((after, PathState()),) if calls else ()
    if not operands or operands[-1].type != x86.X86_OP_IMM:
        return InstructionFacts(text, returns, indirect=True)
    if len(operands) == 2 and not (machine.wrap and operands[0].imm == 0):
        # A far jump or call, whose segment says where and in which mode it goes on.
        return InstructionFacts(
            text, returns, note="to another segment: not followed", indirect=True
        )
    target = operands[-1].imm
    if machine.wrap:
        target %= machine.wrap
    if calls:
        return InstructionFacts(text, ((after, PathState()), (target, PathState())), target)
    if item.id in (x86.X86_INS_JMP, x86.X86_INS_LJMP):
        return InstructionFacts(text, ((target, _forget(state)),), target)
    zero = PathState(number=0)
    taken = zero if state.zero_tested and item.id == x86.X86_INS_JE else _forget(state)
    falls = zero if state.zero_tested and item.id == x86.X86_INS_JNE else _forget(state)
    return InstructionFacts(text, ((after, falls), (target, taken)), target)


def _forget(state: PathState) -> PathState:
    return PathState(number=state.number)


def _x86_state(item: capstone.CsInsn, operands: list[x86.X86Op], state: PathState) -> PathState:
    """What is known of the accumulator after a plain instruction."""
    first = operands[0] if operands else None
    second = operands[1] if len(operands) > 1 else None
    if item.id == x86.X86_INS_PUSH and first is not None and first.type == x86.X86_OP_IMM:
        return PathState(number=state.number, pushed=first.imm)
    register = first.reg if first is not None and first.type == x86.X86_OP_REG else None
    if item.id == x86.X86_INS_POP and register in _WIDE:
        return PathState(number=state.pushed)
    if register in _ACCUMULATOR and first is not None and second is not None:
        same = second.type == x86.X86_OP_REG and second.reg == register
        if item.id == x86.X86_INS_TEST:
            return PathState(number=state.number, zero_tested=same and register in _WIDE)
        if item.id in (x86.X86_INS_XOR, x86.X86_INS_SUB) and same and register in _WIDE:
            return PathState(number=0)
        if item.id == x86.X86_INS_MOV and second.type == x86.X86_OP_IMM:
            if register in _WIDE:
                return PathState(number=second.imm)
            if register == x86.X86_REG_AL and state.number is not None and state.number < 256:
                return PathState(number=second.imm & 0xFF)
    if item.id == x86.X86_INS_INC and register in _WIDE and state.number is not None:
        return PathState(number=state.number + 1)
    if item.id == x86.X86_INS_CDQ:  # fills edx; capstone counts eax as written too
        return PathState(number=state.number)
    _, written = item.regs_access()
    return PathState(number=None if _ACCUMULATOR & set(written) else state.number)


def _x86_reads(
    machine: InstructionSet, item: capstone.CsInsn, operands: list[x86.X86Op], after: int
) -> list[tuple[int, int, bool]]:
    reads = []
    for operand in operands:
        if operand.type == x86.X86_OP_IMM:
            reads.append((int(operand.imm), 0, False))
        elif operand.type == x86.X86_OP_MEM:
            memory = operand.mem
            if memory.base == x86.X86_REG_RIP:
                reads.append((after + int(memory.disp), 0, True))
            elif memory.base == 0 and memory.index == 0:
                reads.append((int(memory.disp), int(operand.size), False))
    return reads


def _arm64(machine: InstructionSet, item: capstone.CsInsn, state: PathState) -> InstructionFacts:
    text, after = _text(item), _after(item)
    operands = list(item.operands)
    target = next((o.imm for o in reversed(operands) if o.type == arm64.ARM64_OP_IMM), None)
    plain = ((after, _forget(state)),)
    if item.id == arm64.ARM64_INS_RET:
        return InstructionFacts(text, ())
    if item.id in (arm64.ARM64_INS_BR, arm64.ARM64_INS_BLR):
        calls = item.id == arm64.ARM64_INS_BLR
        return InstructionFacts(text, ((after, PathState()),) if calls else (), indirect=True)
    if item.id == arm64.ARM64_INS_BL and target is not None:
        return InstructionFacts(text, ((after, PathState()), (target, PathState())), target)
    if item.group(capstone.CS_GRP_JUMP) and target is not None:
        going = ((target, _forget(state)),)
        unconditional = item.mnemonic == "b"
        return InstructionFacts(text, going if unconditional else (*plain, *going), target)
    if item.id == arm64.ARM64_INS_SVC:
        return _call(machine, item, state, _forget(state))
    reads: tuple[tuple[int, int, bool], ...] = ()
    if target is not None and item.mnemonic in ("ldr", "ldrsw") and len(operands) == 2:
        size = 4 if text.startswith(("ldr w", "ldrsw")) else 8
        reads = ((target, size, True),)
    elif target is not None and item.mnemonic == "adr":
        reads = ((target, 0, True),)
    number = state.number
    if operands and operands[0].type == arm64.ARM64_OP_REG and operands[0].reg in (
        arm64.ARM64_REG_X8, arm64.ARM64_REG_W8):  # fmt: skip
        number = target if item.mnemonic in ("mov", "movz") and len(operands) == 2 else None
    return InstructionFacts(text, ((after, PathState(number=number)),), reads=reads)


_RISCV_ENDS = {"ret", "mret", "sret", "uret"}


def _riscv(machine: InstructionSet, item: capstone.CsInsn, state: PathState) -> InstructionFacts:
    after = _after(item)
    operands = list(item.operands)
    name = item.mnemonic.removeprefix("c.")
    immediate = next((o.imm for o in reversed(operands) if o.type == riscv.RISCV_OP_IMM), None)
    register = operands[0].reg if operands and operands[0].type == riscv.RISCV_OP_REG else None
    target = None if immediate is None else int(item.address) + immediate
    goes = name in ("j", "jal") or (name.startswith("b") and target is not None)
    # Capstone prints the distance; the place is what a reader wants.
    text = f"{_text(item)} (to {target:#x})" if goes and target is not None else _text(item)
    if name in _RISCV_ENDS:
        return InstructionFacts(text, ())
    if name in ("jr", "jalr"):
        return InstructionFacts(
            text, ((after, PathState()),) if name == "jalr" else (), indirect=True
        )
    if goes and target is not None:
        going = (target, _forget(state) if name != "jal" else PathState())
        if name == "j" or (name == "jal" and register == riscv.RISCV_REG_X0):
            return InstructionFacts(text, (going,), target)
        falls = PathState() if name == "jal" else _forget(state)
        return InstructionFacts(text, ((after, falls), going), target)
    if name == "ecall":
        return _call(machine, item, state, _forget(state))
    if name == "auipc" and register is not None and immediate is not None:
        upper = (register, int(item.address) + _signed20(immediate) * 4096)
        return InstructionFacts(text, ((after, PathState(number=state.number, upper=upper)),))
    reads: tuple[tuple[int, int, bool], ...] = ()
    added = name == "addi" and len(operands) == 3 and immediate is not None
    if added and state.upper is not None and operands[1].reg == state.upper[0]:
        reads = ((state.upper[1] + (immediate or 0), 0, True),)
    number = state.number
    if register == riscv.RISCV_REG_A7 and not name.startswith("s"):
        zero = len(operands) == 3 and operands[1].reg == riscv.RISCV_REG_X0
        number = immediate if name == "li" or (name == "addi" and zero) else None
    return InstructionFacts(text, ((after, PathState(number=number)),), reads=reads)


def _signed20(value: int) -> int:
    value &= 0xFFFFF
    return value - 0x100000 if value & 0x80000 else value
