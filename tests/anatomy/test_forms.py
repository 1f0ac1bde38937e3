"""Each form of file, made here byte by byte; no upstream seed is needed."""

from __future__ import annotations

import struct

import pytest

from bootstrap.anatomy import dissect
from bootstrap.anatomy.claims import Anatomy
from bootstrap.anatomy.text import render

BASE = 0x10000


def elf32(machine: int, code: bytes, entry: int = 84, size: int | None = None) -> bytes:
    """A 32-bit ELF file of one segment."""
    size = 84 + len(code) if size is None else size
    header = b"\x7fELF\x01\x01\x01" + bytes(9) + struct.pack(
        "<HHIIIIIHHHHHH", 2, machine, 1, BASE + entry, 52, 0, 0, 52, 32, 1, 0, 0, 0)  # fmt: skip
    return header + struct.pack("<8I", 1, 0, BASE, BASE, size, size, 5, 4096) + code


def elf64(machine: int, code: bytes) -> bytes:
    """A 64-bit ELF file of one segment."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, BASE + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)  # fmt: skip
    size = 120 + len(code)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 4096) + code


def read(data: bytes) -> Anatomy:
    return dissect(data, ask_lief=False)


def rows(anatomy: Anatomy) -> dict[int, tuple[str, str]]:
    return {part.start: (part.claim.kind, part.claim.name) for part in anatomy.parts}


def test_code_and_data_are_told_apart_by_the_flow() -> None:
    # jmp over "text\0" to: mov ecx, text; mov eax, 1; int 0x80; then two bytes that nothing reaches
    code = bytes.fromhex("eb05") + b"text\0" + b"\xb9" + struct.pack("<I", BASE + 86)
    code += bytes.fromhex("b801000000cd80 9090")
    found = rows(read(elf32(3, code)))
    assert found[84] == ("code", "jmp 0x1005b")
    assert found[86] == ("string", "'text'")
    assert found[91][0] == found[96][0] == found[101][0] == "code"
    assert found[103] == ("unreached", "nop")


def test_an_instruction_inside_a_header_field_shows_both_readings() -> None:
    # The entry is in e_flags (0x24), which Linux does not read: jmp to the code after the headers.
    data = bytearray(elf32(3, bytes.fromhex("b801000000cd80"), entry=0x24))
    data[0x24:0x26] = bytes([0xEB, 84 - 0x26])
    anatomy = read(bytes(data))
    part = next(part for part in anatomy.parts if part.start == 0x24)
    assert part.claim.name == "ELF e_flags"
    assert [claim.name for claim in part.also] == ["jmp 0x10054"]
    assert anatomy.shared() == 2
    assert "also     jmp 0x10054" in "\n".join(render(anatomy))


def test_one_byte_in_two_instructions() -> None:
    # jmp +1 lands inside the next instruction: b8 (b0 01 cd 80) and (b0 01) (cd 80)
    code = bytes.fromhex("31c0 7401 b8 b001cd80 ebfe")
    anatomy = read(elf32(3, code))
    also = [claim.name for part in anatomy.parts for claim in part.also]
    assert also == ["mov al, 1", "int 0x80"]


@pytest.mark.parametrize(
    ("machine", "code", "names"),
    [
        # addi a7, zero, 93; ecall; and a compressed c.nop that nothing reaches
        (243, "9308d005 73000000 0100", ["addi a7, zero, 0x5d", "ecall", "c.nop"]),
        # c.j +4 over c.nop to: c.li a7, 0; addi a7, zero, 93; ecall
        (243, "11a0 0100 8148 9308d005 73000000",
         ["c.j 4 (to 0x1007c)", "c.nop", "c.li a7, 0", "addi a7, zero, 0x5d", "ecall"]),
        (183, "a80b80d2 010000d4", ["mov x8, #0x5d", "svc #0"]),
        (62, "b83c000000 0f05", ["mov eax, 0x3c", "syscall"]),
    ],
)  # fmt: skip
def test_every_architecture(machine: int, code: str, names: list[str]) -> None:
    anatomy = read(elf64(machine, bytes.fromhex(code)))
    parts = [part for part in anatomy.parts if part.claim.kind != "header"]
    assert [part.claim.name for part in parts] == names
    ends = [part for part in parts if "exit: the program ends" in part.claim.meaning]
    assert len(ends) == 1


def test_a_literal_pool_and_what_it_points_to() -> None:
    # ldr x1, .+16; mov x8, #93; svc #0; nop; then the address of the text after it
    code = bytes.fromhex("81000058 a80b80d2 010000d4 1f2003d5")
    code += struct.pack("<Q", BASE + 144) + b"hello\0"
    parts = {part.start: part for part in read(elf64(183, code)).parts}
    assert parts[136].claim.value == f"{BASE + 144:#x}, a pointer to byte 0x90"
    assert parts[144].claim.name == "'hello'"
    assert parts[132].claim.kind == "unreached"


@pytest.mark.parametrize(
    ("data", "fact"),
    [
        (b"\x7fELF", "it ends after 4 bytes"),
        (b"\x7fELF\x07\x01" + bytes(60), "EI_CLASS is 7"),
        (b"\x7fELF\x01\x09" + bytes(60), "EI_DATA is 9"),
        (b"\x7fELF\x01\x01" + bytes(20), "ends inside the ELF header"),
        (elf32(3, b"\x90")[:60], "the file ends inside segment header 0"),
        (elf32(99, b"\x90"), "not disassembled here"),
        (elf32(3, b"\x90", entry=0x5000), "is not in what is loaded"),
        (elf32(3, b"\xc3", size=0xFFFFFFF0), "p_filesz says 4294967280 bytes"),
        (b"MZ" + bytes(100), "no PE signature"),
        (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0" + bytes(40), "not 0x20b"),
        (b"\x01\x02\x03", "no ELF or PE file"),
    ],
)
def test_what_is_broken_is_told(data: bytes, fact: str) -> None:
    anatomy = read(data)
    text = "\n".join((*anatomy.facts, *anatomy.limits))
    assert fact in text


TINY = (
    b"\x7fELF"
    + struct.pack("<IIIHHIII", 1, 0, 0x10000, 2, 3, 0x10020, 0x10020, 4)
    + (bytes.fromhex("b32a 31c0 40 cd80 909090") + struct.pack("<HH", 32, 1) + bytes(6))
)
"""52 bytes that Linux runs: the program header begins at byte 4. Made here: with_lief.py imports
this module, and must not load the engine."""


@pytest.mark.parametrize(
    ("data", "fact"),
    [
        (TINY, "EI_CLASS is 1 and EI_DATA 0: read as e_machine 3 asks for"),
        (b"\x7fELF\0" + elf32(3, b"\xcd\x80")[5:], "EI_CLASS is 0 and EI_DATA 1"),
        (elf32(6, b"\xcd\x80"), "ELF, 32-bit little-endian; x86, 32-bit"),
        (b"\x7fELF\1\2" + elf64(62, b"\x0f\x05")[6:], "EI_CLASS is 1 and EI_DATA 2"),
    ],
)
def test_what_linux_does_not_read_does_not_hide_the_code(data: bytes, fact: str) -> None:
    anatomy = read(data)
    assert anatomy.format == "ELF"
    assert fact in "\n".join(anatomy.facts)
    assert "system call" in "\n".join(render(anatomy))


def test_absurd_headers_are_bounded() -> None:
    data = bytearray(elf32(3, b"\xc3"))
    struct.pack_into("<H", data, 0x2C, 0xFFFF)  # e_phnum
    struct.pack_into("<IHHH", data, 0x20, 0x34, 0, 0, 0)
    struct.pack_into("<HHH", data, 0x2E, 40, 0xFFFF, 0)  # e_shentsize, e_shnum
    anatomy = read(bytes(data) + bytes(5000))
    assert sum(anatomy.totals().values()) == anatomy.size
    assert len(anatomy.parts) < 10_000


def test_overlapping_tables_of_names_are_bounded() -> None:
    data = bytearray(elf32(3, b"\xc3") + bytes(100_000))
    struct.pack_into("<I", data, 0x20, 0x100)  # e_shoff
    struct.pack_into("<HHH", data, 0x2E, 40, 1000, 0)
    for index in range(1000):  # each table of names or symbols is the whole file
        struct.pack_into("<10I", data, 0x100 + 40 * index, 0, 2 + index % 2, 0, 0, 0, len(data),
                         0, 0, 0, 16)  # fmt: skip
    anatomy = read(bytes(data))
    assert sum(anatomy.totals().values()) == anatomy.size
    assert "too many" in "\n".join(anatomy.facts)


def test_a_long_text_is_read_in_one_pass() -> None:
    anatomy = read(b"a line of text\n" * 20_000)
    assert anatomy.totals() == {"string": 300_000}


def test_a_boot_sector() -> None:
    code = bytes.fromhex("ea057c0000 b40e cd10 ebfe")
    data = code + bytes(510 - len(code)) + b"\x55\xaa" + bytes(512)
    anatomy = read(data)
    found = rows(anatomy)
    assert anatomy.format == "boot sector"
    assert found[0] == ("code", "ljmp 0:0x7c05")
    assert found[5] == ("code", "mov ah, 0xe")
    assert found[510] == ("header", "boot signature")
    assert found[512] == ("padding", "512 x 0x00")
    assert "does not load the 512 bytes" in "\n".join(anatomy.facts)


def test_a_hex0_source() -> None:
    data = b"# head\n7F 45 ; magic\n\n4c 46"
    anatomy = read(data)
    assert anatomy.format == "hex0 source"
    assert [part.claim.name for part in anatomy.parts] == ["line 1", "line 2", "line 3", "line 4"]
    assert "assemble to 4 bytes" in anatomy.facts[0]


@pytest.mark.parametrize("data", [b"# only a comment\n", b"41 42 xyz\n", b"plain text"])
def test_other_text_is_no_source(data: bytes) -> None:
    assert read(data).format == "unknown"


def test_a_knight_image_is_bytes() -> None:
    anatomy = dissect(b"\xe0\x00-+\x00\x01ABCD", knight=True)
    assert anatomy.totals() == {"data": 10}
    assert "not instructions" in anatomy.limits[0]
