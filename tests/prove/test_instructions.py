"""Each instruction that the checker follows does in Unicorn what it does there: drawn by lot."""

from __future__ import annotations

import inspect
import operator
import random
import struct
import sys
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import Any

import pytest
from unicorn import (
    UC_ARCH_ARM64,
    UC_ARCH_RISCV,
    UC_ARCH_X86,
    UC_MODE_32,
    UC_MODE_64,
    UC_MODE_ARM,
    UC_MODE_RISCV32,
    UC_MODE_RISCV64,
    Uc,
    UcError,
    arm64_const,
    riscv_const,
    x86_const,
)

from bootstrap.core.arches import ARCHES
from bootstrap.prove import check
from bootstrap.prove.walk import NotProven

CODE, STACK, AT = 0x600000, 0x7FFF0000, 0x600800
NAMES = {arch: {n: n for n in one.names} for arch, one in check.CONVENTIONS.items()}
RISCV = {name: f"x{n}" for n, name in enumerate(check.CONVENTIONS["riscv64"].names) if n}
ARM = [*(f"x{n}" for n in range(31)), "sp"]
CPUS: dict[str, tuple[int, int, Any, str, dict[str, str]]] = {
    "x86": (UC_ARCH_X86, UC_MODE_32, x86_const, "UC_X86_REG_", NAMES["x86"]),
    "AMD64": (UC_ARCH_X86, UC_MODE_64, x86_const, "UC_X86_REG_", NAMES["AMD64"]),
    "AArch64": (UC_ARCH_ARM64, UC_MODE_ARM, arm64_const, "UC_ARM64_REG_", {n: n for n in ARM}),
    "riscv64": (UC_ARCH_RISCV, UC_MODE_RISCV64, riscv_const, "UC_RISCV_REG_", RISCV),
    "riscv32": (UC_ARCH_RISCV, UC_MODE_RISCV32, riscv_const, "UC_RISCV_REG_", RISCV),
}
PC = {"x86": "EIP", "AMD64": "RIP"}
OPCODES = bytes.fromhex("0104 0f24 2c31 3c66 8385 8889 8ac1 c7f7 ff99 c3e8 eb6a 7273 7475 7c7d")
OPCODES += OPCODES + b"\x85\xc1\xf7" * 8  # of which few are followed
OPCODES += bytes((*range(0x40, 0x60), *range(0x90, 0x98), *range(0xB0, 0xC0)))
WORDS = {  # what is fixed in an instruction, and what may be anything
    "AArch64": [
        (0x92800000, 0x001FFFFF), (0xD2800000, 0x001FFFFF), (0xAA0003E0, 0x001F001F),
        (0x8B000000, 0x001FFFFF), (0xD1000000, 0x003FFFFF), (0xF100001F, 0x003FFFE0),
        (0x39400000, 0x003FFFFF), (0xF9400000, 0x003FFFFF), (0x39000000, 0x003FFFFF),
        (0xF80003E0, 0x001FFC1F), (0xF84003E0, 0x001FFC1F), (0x18000000, 0x0000FFFF),
        (0x98000000, 0x0000FFFF), (0x14000000, 0x03FFFFFF), (0x94000000, 0x03FFFFFF),
        (0x54000000, 0x00FFFFEB), (0xD65F03C0, 0),
    ],
    "riscv": [
        (0x13, 0xFFFF8F80), (0x1013, 0x03FF8F80), (0x13, 0xFFFFFF80), (0x33, 0x41FF8F80),
        (0x03, 0xFFFFFF80), (0x10003, 0x03C07F80), (0x23, 0xFFFFFF80), (0x63, 0xFFFFFF80),
        (0x6F, 0xFFFFF000),
    ],
}  # fmt: skip


def drawn(arch: str, draw: random.Random, opcodes: bytes = OPCODES) -> bytes:
    """An instruction, or something like one."""
    if arch in PC:
        rex = b""
        if arch == "AMD64" and draw.random() < 0.5:
            rex = bytes((0x40 | draw.choice([8, 8, 13, draw.randrange(16)]),))
        opcode, register = draw.choice(opcodes), draw.randrange(8)
        more = {0x0F: b"\xb6", 0x66: bytes((0xB8 | register,))}.get(opcode, b"")
        both = {0xC1: 0xE0, 0xF7: 0xD8, 0x31: 0xC0 | register << 3, 0x85: 0xC0 | register << 3}
        place = bytes((register << 3 | 5,)) if arch == "x86" else b"\x04\x25"
        form = draw.choice([
            bytes((0xC0 | draw.randrange(64),)), bytes((both.get(opcode, 0xC0) | register,)), b"",
            place + (CODE + draw.randrange(0x100, 0x700)).to_bytes(4, "little"),
        ])  # fmt: skip
        small = bytes((draw.randrange(32),)) if draw.random() < 0.5 else b""
        return rex + bytes((opcode,)) + more + form + small + draw.randbytes(6)
    fixed, free = draw.choice(WORDS[arch if arch == "AArch64" else "riscv"])
    return (fixed | draw.getrandbits(32) & free).to_bytes(4, "little")


def differences(
    arch: str, count: int, step: Callable[[Any], object] = lambda machine: machine.step()
) -> tuple[int, list[str]]:
    """How many of ``count`` the checker follows, and where it does otherwise than Unicorn."""
    family, mode, consts, prefix, names = CPUS[arch]
    draw, cpu, convention = random.Random(arch), Uc(family, mode), check.CONVENTIONS[arch]
    mask = (1 << 8 * convention.word) - 1
    sp = STACK << 16 if convention.word == 8 else STACK
    cpu.mem_map(CODE, 0x1000)
    cpu.mem_map(sp - 0x1000, 0x2000)
    ids = {ours: getattr(consts, prefix + theirs.upper()) for ours, theirs in names.items()}
    pc = getattr(consts, prefix + PC.get(arch, "PC"))
    edges = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, mask, mask >> 1]
    followed, found = 0, []
    for _ in range(count):
        code, stack, text = (
            bytearray(draw.randbytes(0x1000)),
            bytearray(draw.randbytes(512)),
            drawn(arch, draw),
        )
        code[AT - CODE : AT - CODE + len(text)] = text
        image = check.SeedImage.__new__(check.SeedImage)
        image.arch, image.addr, image.bytes, image.entry = convention, CODE, bytes(code), AT
        image.readable = image.writable = True
        image.executed, image.stored, image.constant = set(), set(), set()
        machine = check.MACHINES[arch](image)
        at_start = {name: draw.choice(edges) for name in names}
        for name in draw.sample(sorted(names), len(names) // 2):  # of which many are addresses
            at_start[name] = CODE + draw.randrange(16, 0x7F0) // 4 * 4
        at_start[convention.sp] = sp
        machine.registers = {name: ("", value & mask) for name, value in at_start.items()}
        machine.registers[convention.sp] = ("sp", 0)
        machine.put(("sp", -256), ("", int.from_bytes(stack, "little")), 512)
        out = draw.choice([1, 2, 0x80, 0x7FFFFFFF])
        symbols = {"": 0, "sp": sp, "in": mask - 1, "out": out, "-out": (1 << 32) - out}
        for name in draw.sample(sorted(names.keys() - {convention.sp}), len(names) // 3):
            symbol = draw.choice(["in", "out", "-out"])
            machine.registers[name], at_start[name] = (symbol, 0), symbols[symbol]
        for offset in draw.sample(range(0, 64, 8), 6):
            symbol = draw.choice(["in", "out", "-out"])
            machine.put(("sp", offset), (symbol, 0), convention.word)
            held = symbols[symbol].to_bytes(convention.word, "little")
            stack[256 + offset : 256 + offset + len(held)] = held
        zero, carry, less = (draw.random() < 0.5 for _ in range(3))
        machine.flags = {"zero": zero, "carry": carry, "less": less}
        try:
            step(machine)
        except check.Refused:
            continue
        followed += 1
        cpu.mem_write(CODE, bytes(code))
        cpu.mem_write(sp - 256, bytes(stack))
        cpu.ctl_remove_cache(CODE, CODE + 0x1000)
        for name, number in ids.items():
            cpu.reg_write(number, at_start[name] & mask)
        if arch in PC:
            cpu.reg_write(x86_const.UC_X86_REG_EFLAGS, 2 | carry | zero << 6 | less << 7)
        elif arch == "AArch64":
            cpu.reg_write(
                arm64_const.UC_ARM64_REG_NZCV, less << 31 | zero << 30 | (not carry) << 29
            )
        try:
            cpu.emu_start(AT, 0, count=1)
        except UcError as error:
            if "FETCH" not in str(error):  # where it jumps to is compared below
                found.append(f"{text.hex()}: {error}")
                continue
        due: dict[str, int | bool | None] = {"pc": machine.pc} | {
            name: value and symbols[value[0]] + value[1] & mask
            for name, value in machine.registers.items()
        }
        for (base, at), byte in machine.memory.items():
            if isinstance(byte, tuple):
                symbol, plus = byte[0] or ("", 0)
                byte = (symbols[symbol] + plus & mask) >> 8 * byte[1] & 0xFF
            due[hex((sp if base else 0) + at)] = byte
        is_now: dict[str, int | bool] = {"pc": cpu.reg_read(pc)}
        is_now |= {name: cpu.reg_read(number) & mask for name, number in ids.items()}
        is_now |= {name: cpu.mem_read(int(name, 16), 1)[0] for name in due if name[:2] == "0x"}
        if not arch.startswith("riscv"):  # which has no flags
            due |= machine.flags
            is_now |= flags(cpu, arch)
        wrong = [name for name, value in due.items() if value not in (None, is_now[name])]
        found += [f"{text.hex()}: {name} is {is_now[name]}, not {due[name]}" for name in wrong]
    return followed, found


def flags(cpu: Uc, arch: str) -> dict[str, bool]:
    if arch == "AArch64":
        bits = cpu.reg_read(arm64_const.UC_ARM64_REG_NZCV) >> 28
        return {"zero": bool(bits & 4), "carry": not bits & 2, "less": bool(bits >> 3 ^ bits & 1)}
    bits = cpu.reg_read(x86_const.UC_X86_REG_EFLAGS)
    return {"zero": bool(bits & 64), "carry": bool(bits & 1),
            "less": bool((bits >> 7 ^ bits >> 11) & 1)}  # fmt: skip


@pytest.mark.parametrize("machine", [check.X86, check.AArch64, check.RiscV])
def test_it_does_what_unicorn_does(machine: type[check.SeedMachine]) -> None:
    """Each line that is there for an instruction is reached by one that is compared."""
    codes = [one.__code__ for one in vars(machine).values() if isinstance(one, FunctionType)]
    covered: set[int] = set()

    def step(one: Any) -> None:
        lines: set[int] = set()

        def trace(frame: FrameType, _event: str, _argument: object) -> Any:
            lines.add(frame.f_lineno)
            return trace if frame.f_code in codes else None

        sys.settrace(trace)
        try:
            one.step()
        finally:
            sys.settrace(None)
        covered.update(lines)

    for arch in (arch for arch, one in check.MACHINES.items() if one is machine):
        followed, found = differences(arch, 2000, step)
        assert not found and followed > 300
    source = inspect.getsource(check).splitlines()
    lines = {line for code in codes for *_, line in code.co_lines() if line}
    missed = [source[line - 1].strip() for line in sorted(lines - covered)]
    assert all(text.startswith(("elif ", "self.trap(at)", "raise ")) for text in missed), missed


def test_a_checker_that_reads_one_otherwise_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "signed", lambda number, mask: number)
    assert differences("x86", 500)[1]


# The same of hex1's, where what is not known is a symbol, and a number is put in its place at last.

MORE = bytes.fromhex(
    "00 02 03 05 28 29 2a 2b 2d 30 33 38 39 3a 3b 3d 80 81 84 8b 8d 8d 8d a8 a9 c0 c6"
)


def elf(arch: str, code: bytes) -> bytes:
    """A program at 0x600000, to be read, written and executed; its headers are in ``code``."""
    wide = arch == "AMD64"
    head = struct.pack("<4sBBB9xHHI", b"\x7fELF", 1 + wide, 1, 1, 2, 62 if wide else 3, 1)
    start = 64 if wide else 52
    head += struct.pack("<QQQI" if wide else "<IIII", AT, start, 0, 0)
    head += struct.pack("<6H", start, 56 if wide else 32, 1, 0, 0, 0)
    size = len(code)
    if wide:
        head += struct.pack("<IIQQQQQQ", 1, 7, 0, CODE, CODE, size, size, 1)
    else:
        head += struct.pack("<IIIIIIII", 1, 0, CODE, CODE, size, size, 7, 1)
    return head + code[len(head) :]


def compared(arch: str, draw: random.Random) -> bytes:
    """Two instructions: a comparison of registers, and a jump that hangs on it."""
    rex = bytes((0x40 | draw.randrange(16),)) if arch == "AMD64" and draw.random() < 0.5 else b""
    operation, jump = draw.choice(b"\x31\x38\x39\x84\x85"), draw.choice(b"\x74\x75\x7c")
    return rex + bytes((operation, 0xC0 | draw.randrange(64), jump, draw.randrange(256)))


def symbolic_differences(arch: str, count: int) -> tuple[int, list[str]]:
    """As `differences`, of the machine that z3 has."""
    z3 = pytest.importorskip("z3", reason="z3-solver is not installed")
    from bootstrap.prove.symbolic import SymbolicMachine

    family, mode, consts, prefix, names = CPUS[arch]
    (abi,) = (one for one in ARCHES if one.upstream == arch)
    draw, cpu, bits = random.Random(arch), Uc(family, mode), 8 * abi.word
    cpu.mem_map(CODE, 0x1000)
    cpu.mem_map(STACK - 0x1000, 0x2000)
    ids = {ours: getattr(consts, prefix + theirs.upper()) for ours, theirs in names.items()}
    edges = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << bits) - 1]
    followed, found = 0, []
    for _ in range(count):
        steps = draw.choice((1, 1, 1, 2))
        text = drawn(arch, draw, OPCODES + MORE) if steps == 1 else compared(arch, draw)
        code, stack = bytearray(draw.randbytes(0x1000)), draw.randbytes(512)
        code[AT - CODE : AT - CODE + len(text)] = text
        program = elf(arch, bytes(code))
        machine = SymbolicMachine(program, abi)
        at_start = {
            name: draw.choice([*edges, CODE + draw.randrange(0x100, 0x700)]) & (1 << bits) - 1
            for name in names
        } | {machine.sp: STACK}
        known = [(machine.stack, z3.BitVecVal(STACK, bits))]
        for name in names.keys() - {machine.sp}:
            machine.registers[name] = at_start[name]
            if draw.random() < 0.3:
                machine.registers[name] = z3.BitVec(name, bits)
                known.append((machine.registers[name], z3.BitVecVal(at_start[name], bits)))
        machine.memory = {("sp", n - 256): byte for n, byte in enumerate(stack)}
        cpu.mem_write(CODE, program)
        cpu.mem_write(STACK - 256, stack)
        cpu.ctl_remove_cache(CODE, CODE + 0x1000)
        for name, number in ids.items():
            cpu.reg_write(number, at_start[name])
        try:
            machine.run(steps)
            continue  # a system call
        except NotProven as error:
            if f"no system call in {steps} instructions" not in str(error):
                continue
        followed += 1
        try:
            cpu.emu_start(AT, 0, count=steps)
        except UcError as error:
            if "FETCH" not in str(error):
                continue  # undocumented forms, which Unicorn does not have
        due = {"pc": machine.pc & (1 << bits) - 1, **machine.registers}
        due |= {hex((STACK if base else 0) + at): b for (base, at), b in machine.memory.items()}
        is_now = {"pc": cpu.reg_read(getattr(consts, prefix + PC[arch]))}
        is_now |= {name: cpu.reg_read(number) for name, number in ids.items()}
        is_now |= {name: cpu.mem_read(int(name, 16), 1)[0] for name in due if name[:2] == "0x"}
        for name, value in due.items():
            if not isinstance(value, int):
                value = z3.simplify(z3.substitute(value, *known)).as_long()
            if value != is_now[name]:
                found.append(f"{text.hex()}: {name} is {is_now[name]:#x}, not {value:#x}")
    return followed, found


@pytest.mark.parametrize("arch", PC)
def test_hex1s_instructions_do_what_unicorn_does(
    arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    symbolic = pytest.importorskip("bootstrap.prove.symbolic", reason="z3-solver is not installed")
    step, names = symbolic.SymbolicMachine._step, set()

    def named(machine: Any, item: Any) -> None:
        step(machine, item)
        names.add(item.mnemonic)

    monkeypatch.setattr(symbolic.SymbolicMachine, "_step", named)
    followed, found = symbolic_differences(arch, 900)
    assert not found and followed > 200
    due = "add call cmp je jl jmp jne lea mov movzx not pop push ret shl sub test xor"
    assert names == {*due.split(), *(["movabs"] if arch == "AMD64" else [])}


def test_a_machine_of_hex1_that_does_otherwise_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    symbolic = pytest.importorskip("bootstrap.prove.symbolic", reason="z3-solver is not installed")
    monkeypatch.setitem(symbolic._TWO, "sub", operator.add)
    assert symbolic_differences("x86", 200)[1]
