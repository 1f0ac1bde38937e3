"""The few forms of instructions that seeds contain; any other is refused.

Sources: Intel SDM volume 2; Arm ARM, C6.2; the RISC-V unprivileged specification. Each function
executes one instruction, and raises Refused.
"""

from bootstrap.prove.check.seed import (
    LOW,
    Refused,
    SeedMachine,
    Value,
    is_zero,
    low,
    number,
    sign_of,
)

_X86 = "ax cx dx bx sp bp si di".split()
_RISCV = ("zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 "
          "t3 t4 t5 t6").split()  # fmt: skip


def _signed(number: int, bits: int) -> int:
    return number - (1 << bits) if number >> bits - 1 & 1 else number


def _unknown(code: str, at: int) -> Refused:
    return Refused(f"the checker does not know the instruction {code} at {at:#x}")


class X86:
    """x86, and AMD64, where registers have 64 bits."""

    def __init__(self, m: SeedMachine) -> None:
        self.m, self.wide = m, m.word == 8
        self.names = [("r" if self.wide else "e") + name for name in _X86]

    def _set(self, register: int, value: Value, mask: int = LOW) -> None:
        """Of 64 bits, 32 clear the rest; fewer leave it."""
        name = self.names[register]
        if mask < LOW:
            old = self.m.registers.get(name)
            known = old and value and not old[0] and not value[0]
            value = ("", old[1] & ~mask | value[1] & mask) if known and old and value else None
        self.m.registers[name] = value

    def _get(self, register: int, mask: int = LOW) -> Value:
        return low(self.m.registers.get(self.names[register]), mask, self.m.mask)

    def _constant(self, size: int) -> int:
        return _signed(self.m.fetch(size), 8 * size)

    def _sum(self, a: Value, b: Value, sign: int = 1, mask: int = LOW) -> Value:
        """a + b or a - b, and the flags."""
        value, carry = self.m.add(a, b, sign, mask), None
        if a and b and not a[0] and not b[0]:
            carry = not 0 <= a[1] + sign * b[1] <= mask
        return self._flag(value, carry, None, mask)

    def _flag(self, value: Value, carry: bool | None, over: bool | None, mask: int = LOW) -> Value:
        self.m.flags = {"z": is_zero(value), "s": sign_of(value, mask), "c": carry, "o": over}
        return value

    def _taken(self, code: int) -> bool | None:
        """Of the conditions 2 b, 3 ae, 4 e, 5 ne, 12 l, 13 ge."""
        f = self.m.flags.get
        less = None if f("s") is None or f("o") is None else f("s") != f("o")
        value = {1: f("c"), 2: f("z"), 6: less}.get(code >> 1)
        return None if value is None else value != bool(code & 1)

    def step(self) -> None:
        m, at, names, sp = self.m, self.m.pc, self.names, self.m.arch.sp
        op = m.fetch(1)
        reg = op & 7
        two = op in (0x01, 0x0F, 0x31, 0x66, 0x85, 0x89, 0x8A, 0xC1, 0xCD, 0xF7, 0xFF)
        more = m.fetch(1) if two else 0
        form, second, first = more & 0xC0, more >> 3 & 7, more & 7
        both = form == 0xC0
        if (0x40 <= op < 0x50 and not self.wide) or (op == 0xFF and both and second < 2):
            reg, down = (reg, op & 8) if op < 0x50 else (first, second)  # inc, dec
            carry = m.flags.get("c")
            self._set(reg, self._sum(self._get(reg), ("", 1), -1 if down else 1))
            m.flags["c"] = carry
        elif op >> 3 == 10 or op == 0x6A:  # push
            value = m.registers.get(names[reg]) if op != 0x6A else m.const(self._constant(1))
            m.registers[sp] = m.add(m.registers.get(sp), m.const(-m.word))
            m.store(m.registers[sp], value, m.word)
        elif op >> 3 == 11:  # pop
            value = m.load(m.registers.get(sp), m.word)
            m.registers[sp] = m.add(m.registers.get(sp), m.const(m.word))
            m.registers[names[reg]] = value
        elif op >> 4 == 7 or op == 0xEB:
            distance = self._constant(1)
            m.jump_if(op == 0xEB or self._taken(op & 15), m.pc + distance)
        elif 0x90 < op < 0x98:  # xchg with eax
            old = self._get(0)
            self._set(0, self._get(reg))
            self._set(reg, old)
        elif op == 0x99:  # cdq
            sign = sign_of(self._get(0), LOW)
            self._set(2, None if sign is None else ("", LOW if sign else 0))
        elif 0xB0 <= op < 0xB4:  # mov
            self._set(reg, ("", m.fetch(1)), 0xFF)
        elif op == 0x66 and more >> 3 == 23:
            self._set(first, ("", m.fetch(2)), 0xFFFF)
        elif op in (0x04, 0x2C, 0x3C):  # add, sub, cmp al
            value = self._sum(self._get(0, 0xFF), ("", m.fetch(1)), 1 if op == 0x04 else -1, 0xFF)
            if op != 0x3C:
                self._set(0, value, 0xFF)
        elif op == 0x24:  # and al
            mask, al = m.fetch(1), self._get(0, 0xFF)
            self._set(0, self._flag(al and ("", al[1] & mask), False, False, 0xFF), 0xFF)
        elif op == 0x31 and both and second == first:  # xor with itself
            self._set(first, self._flag(("", 0), False, False))
        elif op == 0x85 and both and second == first:  # test with itself
            self._flag(self._get(first), False, False)
        elif op == 0x01 and both:  # add
            self._set(first, self._sum(self._get(first), self._get(second)))
        elif op == 0x89 and both:  # mov
            self._set(first, self._get(second))
        elif op == 0x89 and form == 0 and first not in (4, 5):
            m.store(m.registers.get(names[first]), self._get(second), 4)
        elif op == 0x8A and form == 0 and first not in (4, 5) and second < 4:
            self._set(second, m.load(m.registers.get(names[first]), 1), 0xFF)
        elif op == 0xC1 and both and second == 4:  # shl
            self._set(first, m.left(self._get(first), m.fetch(1) & 31, LOW))
            m.flags = {}
        elif op == 0xF7 and both and second == 3:  # neg; of 1 to 2**31 - 1 and back, for open's
            value = self._get(first)
            if value in (("out", 0), ("-out", 0)):
                value = ("-out" if value == ("out", 0) else "out"), 0
                self._set(first, self._flag(value, True, False))
            else:
                self._set(first, self._sum(("", 0), value, -1))
        elif (op, more) == ((0x0F, 0x05) if self.wide else (0xCD, 0x80)):
            m.trap(at)
        else:
            raise _unknown(f"{op:02x}", at)


class AArch64:
    """Register 31 is the stack pointer, or zero."""

    def __init__(self, m: SeedMachine) -> None:
        self.m = m

    def _get(self, register: int, of_31: str = "") -> Value:
        if register == 31 and not of_31:
            return "", 0
        return self.m.registers.get(of_31 if register == 31 else f"x{register}")

    def _set(self, register: int, value: Value) -> None:
        if register != 31:
            self.m.registers[f"x{register}"] = value

    def step(self) -> None:
        m, at = self.m, self.m.pc
        word = m.fetch(4)
        to, one, two = word & 31, word >> 5 & 31, word >> 16 & 31
        short, nine = word >> 10 & 0xFFF, _signed(word >> 12 & 0x1FF, 9)
        near = at + 4 * _signed(word >> 5 & 0x7FFFF, 19)
        if word >> 23 in (0x125, 0x1A5) and not word >> 21 & 3:  # movn, movz
            given = word >> 5 & 0xFFFF
            self._set(to, m.const(~given if word >> 23 == 0x125 else given))
        elif word >> 21 == 0x550 and one == 31 and not word >> 10 & 63:  # mov
            self._set(to, self._get(two))
        elif word >> 21 == 0x458:  # add, with a shift to the left
            self._set(to, m.add(self._get(one), m.left(self._get(two), word >> 10 & 63)))
        elif word >> 22 == 0x344 and 31 not in (to, one):  # sub
            self._set(to, m.add(self._get(one), ("", short), -1))
        elif word >> 22 == 0x3C4 and to == 31 and one != 31:  # cmp
            a = self._get(one)
            less = _signed(a[1], 64) < short if a and not a[0] else None
            m.flags = {"eq": is_zero(m.add(a, ("", short), -1)), "lt": less}
        elif word >> 22 == 0x3E5:  # ldr x, [.., #n]
            self._set(to, m.load(m.add(self._get(one, "sp"), ("", 8 * short)), 8))
        elif word >> 10 == 0xE5000:  # ldrb, no offset
            self._set(to, m.load(self._get(one, "sp"), 1))
        elif word >> 10 == 0xE4000:  # strb, no offset
            m.store(self._get(one, "sp"), self._get(to), 1)
        elif word >> 21 in (0x7C0, 0x7C2) and one == 31 and word >> 10 & 3 in (1, 3):
            old = m.registers.get("sp")  # str and ldr x that move sp
            moved = m.add(old, m.const(nine))
            place = moved if word >> 10 & 3 == 3 else old
            if word >> 21 == 0x7C0:
                m.store(place, self._get(to), 8)
            else:
                self._set(to, m.load(place, 8))
            m.registers["sp"] = moved
        elif word >> 24 in (0x18, 0x98):  # ldr w and ldrsw from a place near by
            value = m.load(m.const(near), 4)
            self._set(to, m.widened(value, LOW) if word >> 24 == 0x98 else value)
        elif word >> 26 in (0x05, 0x25):  # b, bl
            if word >> 26 == 0x25:
                self._set(30, m.const(at + 4))
            m.jump_if(True, at + 4 * _signed(word & 0x3FFFFFF, 26))
        elif word >> 24 == 0x54 and word & 31 in (0, 1, 10, 11):  # b.eq, ne, ge, lt
            flag = m.flags.get("eq" if word & 31 < 2 else "lt")
            m.jump_if(None if flag is None else flag == (word & 31 in (0, 11)), near)
        elif word == 0xD65F03C0:  # ret
            m.pc = number(m.registers.get("x30"), f"the return at {at:#x}")
        elif word == 0xD4000001:  # svc #0
            m.trap(at)
        else:
            raise _unknown(f"{word:08x}", at)


class RiscV:
    """Of 32 and 64 bits."""

    def __init__(self, m: SeedMachine) -> None:
        self.m = m

    def _get(self, register: int) -> Value:
        return self.m.registers.get(_RISCV[register]) if register else ("", 0)

    def _set(self, register: int, value: Value) -> None:
        if register:
            self.m.registers[_RISCV[register]] = value

    def _taken(self, kind: int, a: Value, b: Value) -> bool | None:
        """beq, bne, blt, bge."""
        bits = 8 * self.m.word
        if kind < 2:
            equal = is_zero(self.m.add(a, b, -1))
            return None if equal is None else equal != bool(kind)
        if kind not in (4, 5) or not a or not b or a[0] or b[0]:
            return None
        return (_signed(a[1], bits) < _signed(b[1], bits)) == (kind == 4)

    def step(self) -> None:
        m, at = self.m, self.m.pc
        word = m.fetch(4)
        op, kind, to = word & 0x7F, word >> 12 & 7, word >> 7 & 31
        one, two, upper = word >> 15 & 31, word >> 20 & 31, word >> 25
        immediate, wide, bits = _signed(word >> 20, 12), m.word == 8, 8 << (kind & 3)
        if op == 0x13 and kind == 0:  # addi
            value = self._get(one)
            self._set(to, m.add(value, m.const(immediate)) if immediate else value)
        elif op == 0x13 and kind == 1 and word >> 20 < 8 * m.word:  # slli
            self._set(to, m.left(self._get(one), word >> 20))
        elif op == 0x33 and kind == 0 and upper in (0, 0x20):  # add, sub
            self._set(to, m.add(self._get(one), self._get(two), -1 if upper else 1))
        elif op == 0x03 and kind in ((0, 1, 2, 3, 4, 5, 6) if wide else (0, 1, 2, 4, 5)):  # loads
            value = m.load(m.add(self._get(one), m.const(immediate)), bits // 8)
            signed = kind < 4 and bits < 8 * m.word
            self._set(to, m.widened(value, (1 << bits) - 1) if signed else value)
        elif op == 0x23 and kind <= (3 if wide else 2):  # stores
            place = m.add(self._get(one), m.const(_signed(upper << 5 | to, 12)))
            m.store(place, self._get(two), bits // 8)
        elif op == 0x63:  # branches
            far = (upper >> 6) << 12 | (to & 1) << 11 | (upper & 63) << 5 | to & 30
            m.jump_if(self._taken(kind, self._get(one), self._get(two)), at + _signed(far, 13))
        elif op == 0x6F and to == 0:  # j
            far = (word >> 31) << 20 | word & 0xFF000 | (word >> 20 & 1) << 11 | word >> 20 & 0x7FE
            m.jump_if(True, at + _signed(far, 21))
        elif word == 0x73:  # ecall
            m.trap(at)
        else:
            raise _unknown(f"{word:08x}", at)
