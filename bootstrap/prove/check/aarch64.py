"""The instructions of the seed for AArch64 (Arm ARM, C6.2)."""

from bootstrap.prove.check.machine import Machine
from bootstrap.prove.check.values import (
    LOW,
    Refused,
    Value,
    add,
    const,
    is_zero,
    left,
    number,
    widened,
)


def _signed(number: int, bits: int) -> int:
    return number - (1 << bits) if number >> bits - 1 & 1 else number


class AArch64:
    """Executes on a `Machine`."""

    trap_size = 4
    sp = "sp"

    def __init__(self, machine: Machine) -> None:
        self.m = machine

    def result(self, value: Value) -> None:
        """After a system call."""
        self.m.registers["x0"] = value

    def _get(self, register: int, of_31: str = "") -> Value:
        """Register 31 is the stack pointer, or zero."""
        if register == 31 and not of_31:
            return const(0, self.m.mask)
        return self.m.get(of_31 if register == 31 else f"x{register}")

    def _set(self, register: int, value: Value) -> None:
        if register != 31:
            self.m.registers[f"x{register}"] = value

    def _compare(self, a: Value, b: int) -> None:
        """Flags of a - b, as the conditions ask for them."""
        less = _signed(a[1], 64) < b if a and not a[0] else None
        equal = is_zero(add(a, const(b, self.m.mask), self.m.mask, -1))
        self.m.flags = {"eq": equal, "lt": less}

    def step(self) -> None:
        """One instruction. Raises Refused."""
        m, at = self.m, self.m.pc
        word = int.from_bytes(m.image.fetch(at, 4), "little")
        to, one, two = word & 31, word >> 5 & 31, word >> 16 & 31
        short, nine = word >> 10 & 0xFFF, _signed(word >> 12 & 0x1FF, 9)
        m.pc = at + 4
        if word >> 23 in (0x125, 0x1A5) and not word >> 22 & 1 and not word >> 21 & 3:
            given = word >> 5 & 0xFFFF  # movn, movz
            self._set(to, const(~given if word >> 23 == 0x125 else given, m.mask))
        elif word >> 21 == 0x550 and one == 31 and not word >> 10 & 63:  # mov
            self._set(to, self._get(two))
        elif word >> 21 == 0x458:  # add, with a shift to the left
            self._set(
                to, add(self._get(one), left(self._get(two), word >> 10 & 63, m.mask), m.mask)
            )
        elif word >> 22 == 0x344 and 31 not in (to, one):  # sub
            self._set(to, add(self._get(one), const(short, m.mask), m.mask, -1))
        elif word >> 22 == 0x3C4 and to == 31 and one != 31:  # cmp
            self._compare(self._get(one), short)
        elif word >> 22 == 0x3E5:  # ldr x, [.., #n]
            self._set(to, m.load(add(self._get(one, "sp"), const(8 * short, m.mask), m.mask), 8))
        elif word >> 10 == 0xE5000:  # ldrb, no offset
            self._set(to, m.load(self._get(one, "sp"), 1))
        elif word >> 10 == 0xE4000:  # strb, no offset
            m.store(self._get(one, "sp"), self._get(to), 1)
        elif word >> 21 in (0x7C0, 0x7C2) and one == 31 and word >> 10 & 3 in (1, 3):
            moved = add(m.get("sp"), const(nine, m.mask), m.mask)  # str and ldr x that move sp
            place = moved if word >> 10 & 3 == 3 else m.get("sp")
            if word >> 21 == 0x7C0:
                m.store(place, self._get(to), 8)
            else:
                self._set(to, m.load(place, 8))
            m.registers["sp"] = moved
        elif word >> 24 in (0x18, 0x98):  # ldr w and ldrsw from a place near by
            value = m.load(const(at + 4 * _signed(word >> 5 & 0x7FFFF, 19), m.mask), 4)
            self._set(to, widened(value, LOW, m.mask) if word >> 24 == 0x98 else value)
        elif word >> 26 in (0x05, 0x25):  # b, bl
            if word >> 26 == 0x25:
                self._set(30, const(at + 4, m.mask))
            m.jump_if(True, at + 4 * _signed(word & 0x3FFFFFF, 26))
        elif word >> 24 == 0x54 and word & 31 in (0, 1, 10, 11):  # b.eq, ne, ge, lt
            flag = m.flags.get("eq" if word & 31 < 2 else "lt")
            taken = None if flag is None else flag == (word & 31 in (0, 11))
            m.jump_if(taken, at + 4 * _signed(word >> 5 & 0x7FFFF, 19))
        elif word == 0xD65F03C0:  # ret
            m.pc = number(m.get("x30"), f"the return at {at:#x}")
        elif word == 0xD4000001:  # svc #0
            m.pc = at
            result = m.call(*map(m.get, ("x8", "x0", "x1", "x2", "x3")))
            if not m.ended:
                m.pc = at + 4
                self.result(result)
        else:
            raise Refused(f"the checker does not know the instruction {word:08x} at {at:#x}")
