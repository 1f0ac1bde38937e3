"""The instructions of the seeds for x86 and AMD64 (Intel SDM volume 2); any other is refused."""

from bootstrap.prove.check.machine import Machine
from bootstrap.prove.check.values import (
    LOW,
    Refused,
    Value,
    add,
    const,
    is_zero,
    left,
    low,
    sign_of,
)

_NAMES = "ax cx dx bx sp bp si di".split()


class X86:
    """Executes on a `Machine`."""

    trap_size = 2

    def __init__(self, machine: Machine) -> None:
        self.m, self.wide = machine, machine.word == 8
        self.names = [("r" if self.wide else "e") + name for name in _NAMES]
        self.sp = self.names[4]

    def result(self, value: Value) -> None:
        """After a system call, of which `syscall` overwrites rcx and r11 too."""
        self.m.registers[self.names[0]] = value
        if self.wide:
            self.m.registers["rcx"] = None

    def _set(self, register: int, value: Value, mask: int) -> None:
        """Of 64 bits, 32 clear the rest; fewer leave it."""
        name = self.names[register]
        if mask < LOW:
            old = self.m.get(name)
            known = old and value and not old[0] and not value[0]
            value = ("", old[1] & ~mask | value[1] & mask) if known and old and value else None
        self.m.registers[name] = value

    def _get(self, register: int, mask: int = LOW) -> Value:
        return low(self.m.get(self.names[register]), mask, self.m.mask)

    def _signed(self, size: int) -> int:
        self.m.pc += size
        return int.from_bytes(self.m.image.fetch(self.m.pc - size, size), "little", signed=True)

    def _sum(self, a: Value, b: Value, mask: int, sign: int) -> Value:
        """a + b or a - b, and the flags."""
        value, carry = add(a, b, mask, sign), None
        if a and b and not a[0] and not b[0]:
            carry = not 0 <= a[1] + sign * b[1] <= mask
        self._flag(value, mask, carry, None)
        return value

    def _flag(self, value: Value, mask: int, carry: bool | None, over: bool | None) -> None:
        self.m.flags = {"z": is_zero(value), "s": sign_of(value, mask), "c": carry, "o": over}

    def _taken(self, code: int) -> bool | None:
        """Of the conditions 2 b, 3 ae, 4 e, 5 ne, 12 l, 13 ge."""
        f = self.m.flags.get
        less = None if f("s") is None or f("o") is None else f("s") != f("o")
        value = {1: f("c"), 2: f("z"), 6: less}.get(code >> 1)
        return None if value is None else value != bool(code & 1)

    def step(self) -> None:
        """One instruction. Raises Refused."""
        m, at = self.m, self.m.pc
        op = self._signed(1) & 0xFF
        reg = op & 7
        two = op in (0x01, 0x0F, 0x31, 0x66, 0x85, 0x89, 0x8A, 0xC1, 0xCD, 0xF7, 0xFF)
        more = self._signed(1) & 0xFF if two else 0
        form, second, first = more & 0xC0, more >> 3 & 7, more & 7
        both = form == 0xC0
        if (0x40 <= op < 0x50 and not self.wide) or (op == 0xFF and both and second < 2):
            reg, down = (reg, op & 8) if op < 0x50 else (first, second)
            carry = m.flags.get("c")
            self._set(reg, self._sum(self._get(reg), const(1, LOW), LOW, -1 if down else 1), LOW)
            m.flags["c"] = carry
        elif op >> 3 == 10 or op == 0x6A:  # push
            value = m.get(self.names[reg]) if op != 0x6A else const(self._signed(1), m.mask)
            m.registers[self.sp] = add(m.get(self.sp), const(-m.word, m.mask), m.mask)
            m.store(m.get(self.sp), value, m.word)
        elif op >> 3 == 11:  # pop
            value = m.load(m.get(self.sp), m.word)
            m.registers[self.sp] = add(m.get(self.sp), const(m.word, m.mask), m.mask)
            m.registers[self.names[reg]] = value
        elif op >> 4 == 7 or op == 0xEB:
            distance = self._signed(1)
            m.jump_if(op == 0xEB or self._taken(op & 15), m.pc + distance)
        elif 0x90 < op < 0x98:  # xchg with eax
            old = self._get(0)
            self._set(0, self._get(reg), LOW)
            self._set(reg, old, LOW)
        elif op == 0x99:  # cdq
            sign = sign_of(self._get(0), LOW)
            self._set(2, None if sign is None else const(-sign, LOW), LOW)
        elif 0xB0 <= op < 0xB4:
            self._set(reg, const(self._signed(1), 0xFF), 0xFF)
        elif op == 0x66 and more >> 3 == 23:
            self._set(first, const(self._signed(2), 0xFFFF), 0xFFFF)
        elif op in (0x04, 0x2C, 0x3C):  # add, sub, cmp al
            sum_ = self._sum(self._get(0, 0xFF), const(self._signed(1), 0xFF), 0xFF,
                             1 if op == 0x04 else -1)  # fmt: skip
            if op != 0x3C:
                self._set(0, sum_, 0xFF)
        elif op == 0x24:  # and al
            mask, al = self._signed(1) & 0xFF, self._get(0, 0xFF)
            al = al and ("", al[1] & mask)
            self._flag(al, 0xFF, False, False)
            self._set(0, al, 0xFF)
        elif op == 0x31 and both and second == first:  # xor with itself
            self._flag(const(0, LOW), LOW, False, False)
            self._set(first, const(0, LOW), LOW)
        elif op == 0x85 and both and second == first:  # test with itself
            self._flag(self._get(first), LOW, False, False)
        elif op == 0x01 and both:
            self._set(first, self._sum(self._get(first), self._get(second), LOW, 1), LOW)
        elif op == 0x89 and both:
            self._set(first, self._get(second), LOW)
        elif (
            op in (0x89, 0x8A) and form == 0 and first not in (4, 5) and (op == 0x89 or second < 4)
        ):
            place = m.get(self.names[first])
            if op == 0x89:
                m.store(place, self._get(second), 4)
            else:
                self._set(second, m.load(place, 1), 0xFF)
        elif op == 0xC1 and both and second == 4:
            self._set(first, left(self._get(first), self._signed(1) & 31, LOW), LOW)
            m.flags = {}
        elif op == 0xF7 and both and second == 3:  # neg; of 1 to 2**31 - 1 and back, for open's
            value = self._get(first)
            if value in (("out", 0), ("-out", 0)):
                value = ("-out" if value == ("out", 0) else "out"), 0
                self._flag(value, LOW, True, False)
            else:
                value = self._sum(const(0, LOW), value, LOW, -1)
            self._set(first, value, LOW)
        elif (op, more) == ((0x0F, 0x05) if self.wide else (0xCD, 0x80)):
            m.pc = at
            names = ("rdi", "rsi", "rdx") if self.wide else ("ebx", "ecx", "edx")
            result = m.call(m.get(self.names[0]), *map(m.get, names))
            if not m.ended:
                m.pc = at + 2
                self.result(result)
        else:
            raise Refused(f"the checker does not know the instruction {op:02x} at {at:#x}")
