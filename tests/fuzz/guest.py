"""A guest program that is a table of system calls, for every ABI, and what it tells of itself.

Its code is a loop: it loads number and six arguments from the next row, makes the call, and stores
the result where the number was. The last rows write the table, and the memory that the calls have
worked on, to a descriptor that no other row uses.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from bootstrap.core.arches import ARCHES, PAGE
from bootstrap.linux.numbers import NUMBERS

BY_NAME = {abi.name: abi for abi in ARCHES}
CODE, DATA = 0x40_0000, 0x80_0000
_TEXTS = DATA + 0x1_0000
SCRATCH = DATA + 0x3_F000
"""Where calls may store what is not compared, such as the times of a file."""
HEAP = DATA + 0x4_0000
"""Where the heap begins."""
ARENA = 0x1000_0000
ARENA_PAGES = 16
REPORT = 1000
"""The descriptor that results are written to."""

Value = int | bytes | list[tuple[int, int]]
"""An argument: a number, the address of a C string, or that of an array of struct iovec."""
Step = tuple[str, *tuple[Value, ...]]
"""A call's name and its arguments."""


def step(name: str, *values: Value) -> Step:
    """One call."""
    return (name, *values)


_LOOPS = {
    # mov esp, DATA; loop: pop each argument register; int 0x80; mov [esp - 28], eax; jmp loop
    "i386": bytes.fromhex("bc00008000 585b595a5e5f5d cd80 894424e4 ebf1"),
    # the same with rsp; syscall; mov [rsp - 56], rax
    "x86_64": bytes.fromhex("bc00008000 585f5e5a415a41584159 0f05 48894424c8 ebed"),
    # movz x19, #0x80, lsl #16; loop: ldr x8, [x19]; ldp x0, x1, [x19, #8]; ldp x2, x3, [x19, #24];
    # ldp x4, x5, [x19, #40]; svc #0; str x0, [x19], #56; b loop
    "aarch64": struct.pack(
        "<8I", 0xD2A01013, 0xF9400268, 0xA9408660, 0xA9418E62, 0xA9429664, 0xD4000001, 0xF8038660,
        0x17FFFFFA,
    ),
}  # fmt: skip


def _riscv(word: int) -> bytes:
    """lui s0, DATA >> 12; loop: l a7, a0 ... a5 from (s0); ecall; s a0, (s0); addi s0; j loop."""
    width = 3 if word == 8 else 2
    loads = [
        (at * word) << 20 | 8 << 15 | width << 12 | register << 7 | 0x03
        for at, register in enumerate((17, *range(10, 16)))
    ]
    store = 10 << 20 | 8 << 15 | width << 12 | 0x23
    back = 0xFD9FF06F  # jal x0, -40
    return struct.pack("<12I", 0x00800437, *loads, 0x73, store, 7 * word << 20 | 0x40413, back)


def loop(abi: str) -> bytes:
    """The program's code."""
    return _LOOPS[abi] if abi in _LOOPS else _riscv(BY_NAME[abi].word)


def _elf(abi: str, data: bytes) -> bytes:
    """Code that may be executed and data that may be written, each from a page of the file on."""
    about = BY_NAME[abi]
    wide = about.word == 8
    ehdr, phdr = (64, 56) if wide else (52, 32)
    entry = CODE + 0x200
    ident = b"\x7fELF" + bytes([about.elf_class, 1, 1]) + bytes(9)
    header = ident + struct.pack(
        "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH",
        2, about.elf_machines[0], 1, entry, ehdr, 0, 0, ehdr, phdr, 3, 0, 0, 0,
    )  # fmt: skip
    for kind, flags, offset, vaddr, in_file, in_memory in (
        (1, 5, 0, CODE, PAGE, PAGE),
        (1, 6, PAGE, DATA, len(data), HEAP - DATA),
        (0x6474E551, 6, 0, 0, 0, 0),  # PT_GNU_STACK
    ):
        if wide:
            sizes = (offset, vaddr, vaddr, in_file, in_memory, PAGE)
            header += struct.pack("<IIQQQQQQ", kind, flags, *sizes)
        else:
            row = (kind, offset, vaddr, vaddr, in_file, in_memory, flags, PAGE)
            header += struct.pack("<IIIIIIII", *row)
    code = (header.ljust(entry - CODE, b"\0") + loop(abi)).ljust(PAGE, b"\0")
    return code + data


def _dumps(abi: str, rows: int) -> list[Step]:
    word = BY_NAME[abi].word
    pages = [*(ARENA + n * PAGE for n in range(-1, ARENA_PAGES + 2))]
    pages += [HEAP + n * PAGE for n in range(18)]
    dumps: list[Step] = [("write", REPORT, page, PAGE) for page in pages]
    size = (rows + len(dumps)) * 7 * word
    return [*dumps, ("brk", 0), ("write", REPORT, DATA, size + 7 * word), ("exit", 0)]


def build(abi: str, steps: Sequence[Step]) -> bytes:
    """The ELF file of a program that makes these calls and then writes what came of them."""
    rows = [*steps, *_dumps(abi, len(steps))]
    about, numbers = BY_NAME[abi], NUMBERS[abi]
    code = "Q" if about.word == 8 else "I"
    texts = bytearray()

    def placed(value: Value) -> int:
        if isinstance(value, int):
            return value & about.word_mask
        at = _TEXTS + len(texts)
        if isinstance(value, bytes):
            texts.extend(value + b"\0")
        else:
            for pair in value:
                texts.extend(struct.pack(f"<2{code}", *(part & about.word_mask for part in pair)))
        texts.extend(bytes(-len(texts) % 16))
        return at

    table = bytearray()
    for name, *values in rows:
        number = numbers[name] if name in numbers else numbers[f"{name}64"]  # riscv32: fcntl64
        words = [number, *map(placed, values)]
        table += struct.pack(f"<7{code}", *words, *[0] * (7 - len(words)))
    assert len(table) <= _TEXTS - DATA and len(texts) <= SCRATCH - _TEXTS
    return _elf(abi, bytes(table).ljust(_TEXTS - DATA, b"\0") + bytes(texts))


def told(abi: str, steps: Sequence[Step], output: bytes) -> tuple[list[int], bytes]:
    """The result of each step, signed, and all other bytes that the program wrote.

    Raises ValueError for a program that came to no end of its own.
    """
    word = BY_NAME[abi].word
    count = len(steps) + len(_dumps(abi, len(steps))) - 2
    size = count * 7 * word
    if len(output) < size:
        raise ValueError("the program did not come to its end")
    rows = struct.iter_unpack("<7q" if word == 8 else "<7i", output[-size:])
    return [row[0] for row in rows][:count], output[:-size]


FILES: Mapping[bytes, bytes] = {
    b"p": bytes((at * 7 + at // 251) % 251 for at in range(3 * PAGE + 5)),
    b"f": b"hello, world\n",
    b"t": b"#!./f\n",
    b"empty": b"",
}
"""What a program finds beside itself."""
