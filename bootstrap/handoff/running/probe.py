"""A program of our own, of 132 bytes at most, that ends with 42: does an engine run anything?"""

from __future__ import annotations

import struct
from pathlib import Path

STATUS = 42
NAME = "probe"

_CODE = {
    # mov ebx, 42; mov eax, 1 (exit); int 0x80
    "x86": bytes.fromhex("bb2a000000 b801000000 cd80"),
    # mov edi, 42; mov eax, 60 (exit); syscall
    "amd64": bytes.fromhex("bf2a000000 b83c000000 0f05"),
    # li a0, 42; li a7, 93 (exit); ecall
    "riscv64": bytes.fromhex("1305a002 9308d005 73000000"),
}
# ELF class (1: 32 bits, 2: 64), and e_machine.
_KINDS = {"x86": (1, 3), "amd64": (2, 62), "riscv64": (2, 243)}
_ADDRESS = 0x10000


def probe_program(arch: str) -> bytes:
    """It, for upstream's name of an architecture."""
    return elf(arch, _CODE[arch])


def elf(arch: str, code: bytes) -> bytes:
    """A static ELF file (System V gABI, chapters 4 and 5) that is ``code``, begun at its start."""
    wide, machine = _KINDS[arch]
    ident = struct.pack("<4sBBBB8x", b"\x7fELF", wide, 1, 1, 0)
    if wide == 1:
        start = 52 + 32
        head = struct.pack(
            "<HHIIIIIHHHHHH", 2, machine, 1, _ADDRESS + start, 52, 0, 0, 52, 32, 1, 0, 0, 0
        )
        size = start + len(code)
        segment = struct.pack("<8I", 1, 0, _ADDRESS, _ADDRESS, size, size, 5, 4096)
    else:
        start = 64 + 56
        head = struct.pack(
            "<HHIQQQIHHHHHH", 2, machine, 1, _ADDRESS + start, 64, 0, 0, 64, 56, 1, 0, 0, 0
        )
        size = start + len(code)
        segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, 4096)
    return ident + head + segment + code


def lay_out_probe(root: Path, arch: str) -> None:
    """A root with nothing but the program in it."""
    root.mkdir(parents=True, exist_ok=True)
    place = root / NAME
    place.write_bytes(probe_program(arch))
    place.chmod(0o755)
