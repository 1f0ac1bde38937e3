"""What a system call, a fork and an exec leave in the registers, held to the host's kernel."""

from __future__ import annotations

import struct
from collections.abc import Collection

import pytest

from tests.instruments import runs
from tests.instruments.guest import Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, emulate, native

NAMES = {
    "i386": ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp"),
    "x86_64": (
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
        "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    ),
}  # fmt: skip
_CODES = (0, 3, 1, 2, 6, 7, 5, 4, *range(8, 16))
"""Register numbers in instructions, in the order of NAMES."""
STACK = {"i386": "esp", "x86_64": "rsp"}
FLAGS = 0xCD5
"""CF PF AF ZF SF DF OF: what a program can set, and a system call must leave alone."""


def set_all(guest: Program) -> None:
    """A pattern of its own in every register but the stack pointer and the result."""
    for code, name in zip(_CODES, NAMES[guest.abi], strict=False):
        if name in ("esp", "rsp", "eax", "rax"):
            continue
        if guest.abi == "i386":
            guest.raw(bytes((0xB8 + code,)) + struct.pack("<I", 0x1010101 * (code + 1)))
        else:
            prefix = 0x48 | code >> 3
            pattern = 0x101010101010101 * (code + 1)
            guest.raw(bytes((prefix, 0xB8 + (code & 7))) + struct.pack("<Q", pattern))


def save(guest: Program) -> int:
    """Every register, then the flags, into memory; where."""
    wide = guest.word == 8
    cells = at = guest.space(guest.word * (len(NAMES[guest.abi]) + 1))
    for code in _CODES[: len(NAMES[guest.abi])]:
        if wide:
            opcode = bytes((0x48 | code >> 3 << 2, 0x89, 4 | (code & 7) << 3, 0x25))
        else:
            opcode = bytes((0x89, 5 | code << 3))
        guest.raw(opcode + struct.pack("<I", at))
        at += guest.word
    guest.raw("9c58").store(at)  # pushf; pop
    return cells


def show(guest: Program, cells: int) -> None:
    guest.raw("fc").call("write", 1, cells, guest.word * (len(NAMES[guest.abi]) + 1))


def set_flags(guest: Program) -> None:
    guest.raw(b"\x68" + struct.pack("<I", 0x202 | FLAGS)).raw("9d")  # push; popf


def check(guest: Program, hot_path: str, ignore: Collection[str] = ()) -> None:
    runs.need_native(guest.abi)
    image = guest.elf()
    expected = native(image)
    outcome = emulate(image, hot_path)
    assert expected.status == outcome.status == 0
    names = (*NAMES[guest.abi], "flags")
    size = guest.word * len(names)
    assert len(outcome.output) == len(expected.output) != 0
    for start in range(0, len(outcome.output), size):
        end = start + size
        here = dict(zip(names, _words(outcome.output[start:end], guest.word), strict=True))
        there = dict(zip(names, _words(expected.output[start:end], guest.word), strict=True))
        for name in {"flags", "r11"} & here.keys():
            here[name] &= FLAGS
            there[name] &= FLAGS
        for name in ignore:
            del here[name], there[name]
        assert here == there


def _words(data: bytes, size: int) -> list[int]:
    return [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]


CALLS = {
    # served by fastpath.c, where it is there; its slow way; and Python's
    "brk": ("brk", (0,)),
    "lseek on a stream": ("lseek", (1, 0, 1)),
    "read of nothing": ("read", (0, 0, 0)),
    "an error": ("close", (99,)),
    "getuid": ("getuid", ()),
    "access of a bad address": ("access", (1, 0)),
}


@EACH_HOT_PATH
@EACH_ABI
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_changes_the_result_and_nothing_else(
    abi: str, hot_path: str, call: tuple[str, tuple[int, ...]]
) -> None:
    guest = Program(abi)
    set_all(guest)
    set_flags(guest)
    guest.call(call[0], *call[1])
    show(guest, save(guest))
    # Where the heap and the stack begin is random on the host, and who runs the tests is anybody.
    random = {STACK[abi], *(NAMES[abi][:1] if call[0] in ("brk", "getuid") else ())}
    check(guest.exit(0), hot_path, random)


@EACH_HOT_PATH
@EACH_ABI
def test_at_the_start_all_are_zero(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    show(guest, save(guest))
    check(guest.exit(0), hot_path, {STACK[abi]})


@EACH_HOT_PATH
@EACH_ABI
def test_after_fork_in_parent_and_child(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    set_all(guest)
    set_flags(guest)
    guest.call("fork")
    cells = save(guest)
    guest.load(cells).raw("fc").jump_if_zero("child").call("wait4", -1, 0, 0, 0)
    guest.label("child")
    show(guest, cells)
    check(guest.exit(0), hot_path, {STACK[abi], NAMES[abi][0]})


@EACH_HOT_PATH
@EACH_ABI
def test_vector_registers_live_through_calls_and_forks(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    source, target = guest.data(bytes(range(16))), guest.space(16)
    modrm = b"\x05" if abi == "i386" else b"\x04\x25"
    guest.raw(b"\x0f\x10" + modrm + struct.pack("<I", source))  # movups xmm0, [source]
    guest.call("getpid").call("brk", 0).call("fork").jump_if_zero("child")
    guest.call("wait4", -1, 0, 0, 0)
    guest.label("child")
    guest.raw(b"\x0f\x11" + modrm + struct.pack("<I", target))  # movups [target], xmm0
    guest.call("write", 1, target, 16).exit(0)
    assert emulate(guest, hot_path).output == bytes(range(16)) * 2
