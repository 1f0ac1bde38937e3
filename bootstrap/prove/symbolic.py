"""x86 and AMD64 programs of the first steps, run on numbers and, where these are not known, terms.

A value is an int or a term of z3; where a branch or an address hangs on a term, the run ends. The
instructions are decoded by capstone; what they do stands here (Intel SDM, volume 2), for the forms
that hex1 has. Needs z3 (the extra `prove`).
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import capstone
import z3
from capstone import x86

from bootstrap.core.arches import Arch
from bootstrap.linux.numbers import NUMBERS
from bootstrap.prove.check import CONVENTIONS, Refused, SeedImage
from bootstrap.prove.tables import disassembler, parts
from bootstrap.prove.values import REACH
from bootstrap.prove.walk import NotProven

Term = Any
"""An int, or a z3.BitVecRef, which has no types."""
Place = tuple[str, int]
"""A byte of memory: ("", address), or ("sp", offset from the first stack pointer)."""
_TWO: dict[str, Callable[[Term, Term], Term]] = {
    "add": operator.add, "sub": operator.sub, "xor": operator.xor, "shl": operator.lshift,
    "cmp": operator.sub, "test": operator.and_,
}  # fmt: skip


def plain(term: Term) -> Term:
    """Simplified: an int or bool where it is one."""
    if isinstance(term, int):
        return term
    term = z3.simplify(term)
    if isinstance(term, z3.BoolRef):
        return z3.is_true(term) if z3.is_true(term) or z3.is_false(term) else term
    return term.as_long() if isinstance(term, z3.BitVecNumRef) else term


def part(value: Term, first: int, bits: int) -> Term:
    """So many bits from bit ``first``."""
    if isinstance(value, int):
        return value >> first & (1 << bits) - 1
    if not first and bits == value.size():
        return value
    return plain(z3.Extract(first + bits - 1, first, value))


def joined(parts: list[Term], bits: int) -> Term:
    """Parts of so many bits, the lowest first."""
    if all(isinstance(one, int) for one in parts):
        return sum(one << bits * n for n, one in enumerate(parts))
    terms = [z3.BitVecVal(one, bits) if isinstance(one, int) else one for one in parts]
    return plain(z3.Concat(*reversed(terms))) if len(terms) > 1 else terms[0]


def same(a: Term, b: Term) -> bool:
    """Whether two values are equal, whatever their symbols are. Raises NotProven if z3 gives up."""
    different = plain(a != b)
    if isinstance(different, bool):
        return not different
    solver = z3.Solver()
    solver.add(different)
    found = solver.check()
    if found == z3.unknown:
        raise NotProven("z3 does not know whether two values are equal")
    return bool(found == z3.unsat)


class SymbolicMachine:
    """Registers and memory at one moment. What nobody set is a symbol of its own."""

    def __init__(self, program: bytes, arch: Arch) -> None:
        """At its start. Raises NotProven."""
        try:
            image = SeedImage(program, arch.upstream)
        except Refused as error:
            raise NotProven(str(error)) from None
        if image.bytes != program or not (image.readable and image.writable):
            raise NotProven("its memory is not its file, to be read, written and executed")
        self._code, self.base, self.pc = program, image.addr, image.entry
        self.word, self.bits, self.sp = arch.word, 8 * arch.word, image.arch.sp
        self.stack = z3.BitVec("sp", self.bits)
        self.registers: dict[str, Term] = {self.sp: self.stack}
        self.memory: dict[Place, Term] = {}
        self.executed: set[int] = set()
        self.stored: set[Place] = set()
        self._convention = CONVENTIONS[arch.upstream]
        self._calls = {number: name for name, number in NUMBERS[arch.name].items()}
        self._flags: tuple[Term, Term, Term, int] | None = None
        """What was compared, the result, and the bits of the first."""
        self._capstone, self._parts = disassembler(arch.name), parts(arch.name)
        self._decoded: dict[int, Any] = {}

    def copy(
        self, pc: int, registers: dict[str, Term], memory: dict[Place, Term]
    ) -> SymbolicMachine:
        """The same program there with these registers and bytes, and nothing else known."""
        other = copy.copy(self)
        other.pc, other.registers, other.memory = pc, dict(registers), dict(memory)
        other.stored, other._flags = set(), None
        return other

    # Registers and memory.

    def _part(self, name: str) -> tuple[str, int]:
        """The whole register, and how many of its low bits. Raises KeyError."""
        whole, mask = self._parts[name]
        if not mask & 1:
            raise KeyError(name)  # ah
        return whole, min(mask.bit_length(), self.bits)

    def register(self, name: str) -> Term:
        """Or a part of one."""
        whole, bits = self._part(name)
        if whole not in self.registers:
            self.registers[whole] = z3.FreshConst(z3.BitVecSort(self.bits), whole)
        return part(self.registers[whole], 0, bits)

    def set_register(self, name: str, value: Term) -> None:
        """Of 64 bits, 32 clear the rest; fewer leave it."""
        whole, bits = self._part(name)
        if bits == 32 < self.bits:
            value = joined([value, 0], 32)
        elif bits < 32:
            rest = [part(self.register(whole), at, bits) for at in range(bits, self.bits, bits)]
            value = joined([value, *rest], bits)
        self.registers[whole] = value

    def place(self, address: Term) -> Place:
        """Raises NotProven for an address that is neither a number nor on the stack."""
        if isinstance(address, int):
            return "", address
        offset = plain(address - self.stack)
        if not isinstance(offset, int):
            raise NotProven(f"an address hangs on what has no value, at {self.pc:#x}")
        offset -= offset >> self.bits - 1 << self.bits
        if abs(offset) > REACH - 8:
            raise NotProven(f"it uses the stack {offset:+d} bytes from its start, at {self.pc:#x}")
        return "sp", offset

    def byte(self, place: Place) -> Term:
        """Of memory: the file's, or zero up to the end of its last page. Raises NotProven."""
        if place not in self.memory:
            offset = place[1] - self.base
            if place[0]:
                self.memory[place] = z3.FreshConst(z3.BitVecSort(8), "stack")
            elif 0 <= offset < -(-len(self._code) // 4096) * 4096:
                self.memory[place] = self._code[offset] if offset < len(self._code) else 0
            else:
                raise NotProven(f"it uses {place[1]:#x}, outside of its memory")
        return self.memory[place]

    def load(self, address: Term, size: int) -> Term:
        """Little-endian. Raises NotProven."""
        base, at = self.place(address)
        return joined([self.byte((base, at + n)) for n in range(size)], 8)

    def store(self, address: Term, value: Term, size: int) -> None:
        """Little-endian. Raises NotProven."""
        base, at = self.place(address)
        for n in range(size):
            self.byte((base, at + n))
            self.memory[base, at + n] = part(value, 8 * n, 8)
            self.stored.add((base, at + n))

    # Instructions.

    def _decode(self) -> Any:
        if self.pc not in self._decoded:
            at = self.pc - self.base
            code = self._code[max(at, 0) : at + 15] if at >= 0 else b""
            item = next(self._capstone.disasm(code, self.pc, 1), None)
            if item is None:
                raise NotProven(f"no instruction, at {self.pc:#x}")
            self._decoded[self.pc] = item
        item = self._decoded[self.pc]
        self.executed.update(range(item.address, item.address + item.size))
        return item

    def _address(self, item: Any, operand: Any) -> Term:
        if operand.mem.index or operand.mem.segment:
            raise self._unknown(item)
        at = operand.mem.disp
        if operand.mem.base == x86.X86_REG_RIP:
            at += item.address + item.size
        elif operand.mem.base:
            at = plain(self.register(item.reg_name(operand.mem.base)) + at)
        return at & (1 << self.bits) - 1 if isinstance(at, int) else at

    def _unknown(self, item: Any) -> NotProven:
        text = f"{item.mnemonic} {item.op_str}".strip()
        return NotProven(f"the instruction {text} is not known here, at {item.address:#x}")

    def _read(self, item: Any, operand: Any) -> Term:
        if operand.type == capstone.CS_OP_IMM:
            return operand.imm
        if operand.type == capstone.CS_OP_REG:
            return self.register(item.reg_name(operand.reg))
        return self.load(self._address(item, operand), operand.size)

    def _write(self, item: Any, operand: Any, value: Term) -> None:
        if isinstance(value, int):
            value &= (1 << 8 * operand.size) - 1
        if operand.type == capstone.CS_OP_REG:
            self.set_register(item.reg_name(operand.reg), value)
        else:
            self.store(self._address(item, operand), value, operand.size)

    def _push(self, value: Term) -> None:
        self.registers[self.sp] = plain(self.registers[self.sp] - self.word)
        self.store(self.registers[self.sp], value, self.word)

    def _pop(self) -> Term:
        value = self.load(self.registers[self.sp], self.word)
        self.registers[self.sp] = plain(self.registers[self.sp] + self.word)
        return value

    def _taken(self, item: Any) -> bool:
        """Of je, jne and jl."""
        if self._flags is None:
            raise NotProven(f"flags that have no value, at {item.address:#x}")
        a, b, result, bits = self._flags
        if item.mnemonic == "jl":
            sign = 1 << bits - 1
            holds = (a ^ sign) < (b ^ sign) if isinstance(a, int) and isinstance(b, int) else a < b
        else:
            holds = result == 0 if item.mnemonic == "je" else result != 0
        holds = plain(holds)
        if not isinstance(holds, bool):
            raise NotProven(f"the branch hangs on what has no value, at {item.address:#x}")
        return holds

    def run(self, most: int = 500) -> tuple[str, tuple[Term, ...]]:
        """Name and three arguments of the next system call, at which `pc` then is.

        Raises NotProven.
        """
        for _ in range(most):
            item = self._decode()
            if any(item.prefix):
                raise self._unknown(item)
            if (item.mnemonic, item.op_str) == (
                ("int", "0x80") if self.word == 4 else ("syscall", "")
            ):
                number, *given = map(self.register, self._convention.call[:4])
                name = self._calls.get(number) if isinstance(number, int) else None
                if name is None:
                    raise NotProven(f"a system call that Linux does not have, at {self.pc:#x}")
                return name, tuple(given)
            self.pc += item.size
            try:
                self._step(item)
            except (KeyError, z3.Z3Exception):  # other registers, or sizes that do not fit
                raise self._unknown(item) from None
        raise NotProven(f"no system call in {most} instructions, at {self.pc:#x}")

    def resume(self, result: Term) -> None:
        """After the system call at `pc`."""
        self.pc += self._decoded[self.pc].size
        self.registers[self._convention.result] = result
        for name in self._convention.lost:
            self.registers.pop(name, None)

    def _step(self, item: Any) -> None:
        name, operands = item.mnemonic, item.operands
        if name in ("mov", "movabs", "movzx") and len(operands) == 2:
            value = self._read(item, operands[1])
            if name == "movzx":
                value = joined([value] + [0] * (operands[0].size // operands[1].size - 1),
                               8 * operands[1].size)  # fmt: skip
            self._write(item, operands[0], value)
        elif name == "lea":
            address = self._address(item, operands[1])
            self._write(item, operands[0], part(address, 0, 8 * operands[0].size))
        elif name in _TWO:
            bits = 8 * operands[0].size
            a, b = self._read(item, operands[0]), self._read(item, operands[1])
            b = b & (1 << bits) - 1 if isinstance(b, int) else b
            if name == "shl" and not (isinstance(b, int) and b < 32):
                raise self._unknown(item)  # of a count, the CPU takes 5 or 6 bits
            equal = operands[0].type == operands[1].type and operands[0].reg == operands[1].reg
            result = 0 if name == "xor" and equal else _TWO[name](a, b)
            result = result & (1 << bits) - 1 if isinstance(result, int) else plain(result)
            self._flags = (a, b, result, bits) if name == "cmp" else (result, 0, result, bits)
            if name in ("add", "sub", "shl"):
                self._flags = None  # nobody asks for these
            if name not in ("cmp", "test"):
                self._write(item, operands[0], result)
        elif name == "not":
            self._write(item, operands[0], plain(~self._read(item, operands[0])))
        elif name == "push":
            self._push(self._read(item, operands[0]))
        elif name == "pop":
            self._write(item, operands[0], self._pop())
        elif name in ("jmp", "call") and operands[0].type == capstone.CS_OP_IMM:
            if name == "call":
                self._push(self.pc)
            self.pc = operands[0].imm
        elif name in ("je", "jne", "jl"):
            if self._taken(item):
                self.pc = operands[0].imm
        elif name == "ret" and not operands:
            target = self._pop()
            if not isinstance(target, int):
                raise NotProven(f"the return hangs on what has no value, at {item.address:#x}")
            self.pc = target
        else:
            raise self._unknown(item)
