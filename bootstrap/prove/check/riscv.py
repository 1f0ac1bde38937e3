"""The instructions of the seeds for riscv32 and riscv64 (RISC-V unprivileged specification)."""

from bootstrap.prove.check.machine import Machine
from bootstrap.prove.check.values import Refused, Value, add, const, is_zero, left, widened

_BITS = {0: 8, 1: 16, 2: 32, 3: 64}


def _signed(number: int, bits: int) -> int:
    return number - (1 << bits) if number >> bits - 1 & 1 else number


class RiscV:
    """Executes on a `Machine`; registers are x1 to x31 by their numbers' ABI names."""

    trap_size = 4
    sp = "sp"
    names = ("zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 "
             "s11 t3 t4 t5 t6").split()  # fmt: skip

    def __init__(self, machine: Machine) -> None:
        self.m = machine

    def result(self, value: Value) -> None:
        """After a system call."""
        self.m.registers["a0"] = value

    def _get(self, register: int) -> Value:
        return self.m.get(self.names[register]) if register else const(0, self.m.mask)

    def _set(self, register: int, value: Value) -> None:
        if register:
            self.m.registers[self.names[register]] = value

    def _taken(self, kind: int, a: Value, b: Value) -> bool | None:
        """beq, bne, blt, bge."""
        sign = 1 << 8 * self.m.word - 1
        equal = is_zero(add(a, b, self.m.mask, -1))
        if kind < 2:
            return None if equal is None else equal != bool(kind)
        if kind not in (4, 5) or not a or not b or a[0] or b[0]:
            return None
        return ((a[1] ^ sign) < (b[1] ^ sign)) == (kind == 4)

    def step(self) -> None:
        """One instruction. Raises Refused."""
        m, at = self.m, self.m.pc
        word = int.from_bytes(m.image.fetch(at, 4), "little")
        op, kind, to = word & 0x7F, word >> 12 & 7, word >> 7 & 31
        one, two, upper = word >> 15 & 31, word >> 20 & 31, word >> 25
        immediate = _signed(word >> 20, 12)
        m.pc = at + 4
        wide = m.word == 8
        if op == 0x13 and kind == 0:  # addi
            self._set(to, add(self._get(one), const(immediate, m.mask), m.mask)
                      if immediate else self._get(one))  # fmt: skip
        elif op == 0x13 and kind == 1 and word >> 20 < 8 * m.word:  # slli
            self._set(to, left(self._get(one), word >> 20, m.mask))
        elif op == 0x33 and kind == 0 and upper in (0, 0x20):  # add, sub
            self._set(to, add(self._get(one), self._get(two), m.mask, -1 if upper else 1))
        elif op == 0x03 and kind in ((0, 1, 2, 3, 4, 5, 6) if wide else (0, 1, 2, 4, 5)):  # loads
            bits = _BITS[kind & 3]
            place = add(self._get(one), const(immediate, m.mask), m.mask)
            value, part = m.load(place, bits // 8), (1 << bits) - 1
            self._set(to, widened(value, part, m.mask) if kind < 4 and part < m.mask else value)
        elif op == 0x23 and kind <= (3 if wide else 2):  # stores
            place = add(self._get(one), const(_signed(upper << 5 | to, 12), m.mask), m.mask)
            m.store(place, self._get(two), _BITS[kind] // 8)
        elif op == 0x63:  # branches
            far = (upper >> 6) << 12 | (to & 1) << 11 | (upper & 63) << 5 | to & 30
            m.jump_if(self._taken(kind, self._get(one), self._get(two)), at + _signed(far, 13))
        elif op == 0x6F and to == 0:  # j
            far = (word >> 31) << 20 | word & 0xFF000 | (word >> 20 & 1) << 11 | word >> 20 & 0x7FE
            m.jump_if(True, at + _signed(far, 21))
        elif word == 0x73:  # ecall
            m.pc = at
            result = m.call(*map(m.get, ("a7", "a0", "a1", "a2", "a3")))
            if not m.ended:
                m.pc = at + 4
                self.result(result)
        else:
            raise Refused(f"the checker does not know the instruction {word:08x} at {at:#x}")
