"""Programs of our own for a container: one to see whether anything runs, one that joins streams.

podman and docker read what a program writes to its output and to its errors from two pipes, each
by itself: lines would come in another order than they were written in, the last ones not last.
So in the container stands first what a shell calls ``2>&1``, and then becomes the program.
"""

from __future__ import annotations

import struct
from pathlib import Path

from bootstrap.core.errors import BadInput

PROBED = 42
"""What the first ends with."""
NAME = "probe"

_PROBE = {
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
    place.write_bytes(elf(arch, _PROBE[arch]))
    place.chmod(0o755)


PLACE = "/dev/handoff.start"
"""Where it is in the container: /dev is the engine's own, so nothing of it is in the root."""
STATUS = 127
"""What it ends with when it cannot become the program, as a shell does."""
MESSAGE = b"the program of this step cannot be started\n"

_LENGTH = len(MESSAGE)
_STARTER = {
    # pop esi (argc); pop eax (its own name); ebx = 1; ecx = 2; eax = 63 (dup2); int 0x80
    # ebx = [esp]; ecx = esp; edx = esp + 4 * esi (the environment); eax = 11 (execve); int 0x80
    # call over the message, so that it lies on the stack's top; pop ecx
    # ebx = 2; edx = its length; eax = 4 (write); int 0x80; ebx = 127; eax = 1 (exit); int 0x80
    "x86": bytes.fromhex("5e 58 bb01000000 b902000000 b83f000000 cd80")
    + bytes.fromhex("8b1c24 89e1 8d14b4 b80b000000 cd80 e8")
    + _LENGTH.to_bytes(4, "little")
    + MESSAGE
    + bytes.fromhex("59 bb02000000 ba")
    + _LENGTH.to_bytes(4, "little")
    + bytes.fromhex("b804000000 cd80 bb7f000000 b801000000 cd80"),
    # The same: rbp is argc; 33 dup2; 59 execve; 1 write; 60 exit; registers of the System V ABI.
    "amd64": bytes.fromhex("5d 58 bf01000000 be02000000 b821000000 0f05")
    + bytes.fromhex("488b3c24 4889e6 488d14ec b83b000000 0f05 e8")
    + _LENGTH.to_bytes(4, "little")
    + MESSAGE
    + bytes.fromhex("5e bf02000000 ba")
    + _LENGTH.to_bytes(4, "little")
    + bytes.fromhex("b801000000 0f05 bf7f000000 b83c000000 0f05"),
    # ld s0, 0(sp) (argc); sp += 16; a0 = 1; a1 = 2; a2 = 0; a7 = 24 (dup3); ecall
    # ld a0, 0(sp); a1 = sp; s0 <<= 3; a2 = sp + s0 (the environment); a7 = 221 (execve); ecall
    # a0 = 2; a1 = here + 32, which is after the last; a2 = length; a7 = 64 (write); ecall
    # a0 = 127; a7 = 93 (exit); ecall
    "riscv64": b"".join(
        word.to_bytes(4, "little")
        for word in (
            *(0x00013403, 0x01010113, 0x00100513, 0x00200593, 0x00000613, 0x01800893, 0x73),
            *(0x00013503, 0x00010593, 0x00341413, 0x00810633, 0x0DD00893, 0x73),
            *(0x00200513, 0x00000597, 0x02058593, 0x00000613 | _LENGTH << 20, 0x04000893, 0x73),
            *(0x07F00513, 0x05D00893, 0x73),
        )
    )
    + MESSAGE,
}


def put_starter(place: Path, arch: str) -> None:
    """Write it, whatever was there; its arguments are the path and those of the program to become.

    Raises BadInput.
    """
    try:
        place.unlink(missing_ok=True)
        place.write_bytes(elf(arch, _STARTER[arch]))
        place.chmod(0o755)
    except OSError as error:
        raise BadInput(f"{place}: cannot be written: {error.strerror}") from None
