"""AArch64 and RISC-V without a compiler: refused instructions, registers, time slices (all ABIs).

The instructions are written out as words; what they are in assembly stands beside them.
"""

from __future__ import annotations

import struct

import pytest

from bootstrap.core.arches import ARCHES
from bootstrap.core.machine import RunResult
from bootstrap.linux import machine as machines
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.machine import LinuxMachine
from tests.instruments.runs import EACH_HOT_PATH, engine_for

BASE = 0x10000
CODE = 0x100
"""Offset of the code in the file."""
CELL = 0x800
"""Offset of a word that holds its own address."""
BY_NAME = {abi.name: abi for abi in ARCHES}
SIGILL, SIGTRAP = 4, 5


def program(abi_name: str, code: bytes) -> bytes:
    """An ELF file of one segment that may do everything, as those of stage0 are."""
    abi = BY_NAME[abi_name]
    machine = abi.elf_machines[0]
    ident = b"\x7fELF" + bytes([abi.elf_class, 1, 1, 3]) + bytes(8)
    if abi.word == 8:
        rest = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, BASE + CODE, 64, 0, 0, 64, 56,
                           1, 0, 0, 0)  # fmt: skip
        header = struct.pack("<IIQQQQQQ", 1, 7, 0, BASE, BASE, 0x1000, 0x1000, 0x1000)
    else:
        rest = struct.pack("<HHIIIIIHHHHHH", 2, machine, 1, BASE + CODE, 52, 0, 0, 52, 32,
                           1, 0, 0, 0)  # fmt: skip
        header = struct.pack("<IIIIIIII", 1, 0, BASE, BASE, 0x1000, 0x1000, 7, 0x1000)
    image = bytearray(0x1000)
    image[: len(ident + rest + header)] = ident + rest + header
    image[CODE : CODE + len(code)] = code
    image[CELL : CELL + 8] = (BASE + CELL).to_bytes(8, "little")
    return bytes(image)


def run(abi_name: str, code: bytes, hot_path: str) -> RunResult:
    """Run that code to its end."""
    fs = OverlayFileSystem(MemoryLower({b"/guest": LowerFile(0o755, program(abi_name, code))}))
    return LinuxMachine(fs, engine_for(hot_path)).run(b"/guest", [b"/guest"])


def words(*values: int) -> bytes:
    """Instructions of four bytes."""
    return struct.pack(f"<{len(values)}I", *values)


def exit_with(abi_name: str, status: int) -> bytes:
    """_exit(2)."""
    if abi_name == "aarch64":  # mov x0, #status; mov x8, #93; svc #0
        return words(0xD2800000 | status << 5, 0xD2800BA8, 0xD4000001)
    return words(0x00000513 | status << 20, 0x05D00893, 0x00000073)  # li a0; li a7, 93; ecall


# getpid, then exit with the sum of the argument registers that it must leave alone: 1 + ... + 5,
# and of the one with the number, which it must leave alone too.
ARGUMENTS = {
    "aarch64": words(
        *(0xD2800000 | n << 5 | n for n in range(1, 6)),  # mov xN, #N
        0xD2801588, 0xD4000001,  # mov x8, #172; svc #0
        0x8B020021, 0x8B030021, 0x8B040021, 0x8B050021,  # add x1, x1, x2 ...
        0x8B080020,  # add x0, x1, x8
        0xD2800BA8, 0xD4000001,
    ),
    "riscv": words(
        *(0x00000013 | n << 20 | (10 + n) << 7 for n in range(1, 6)),  # li aN, N
        0x0AC00893, 0x00000073,  # li a7, 172; ecall
        0x00C585B3, 0x00D585B3, 0x00E585B3, 0x00F585B3,  # add a1, a1, a2 ...
        0x01158533,  # add a0, a1, a7
        0x05D00893, 0x00000073,
    ),
}  # fmt: skip


@EACH_HOT_PATH
@pytest.mark.parametrize("abi", ["aarch64", "riscv64", "riscv32"])
def test_a_system_call_leaves_its_arguments_alone(abi: str, hot_path: str) -> None:
    code = ARGUMENTS.get(abi) or ARGUMENTS["riscv"]
    assert run(abi, code, hot_path).status == (172 + 15) << 8


# 400 times: 3000 times a load through its own result, or on x86 an addition in memory; getppid.
# Either goes wrong when it is done twice. Exits with 1 if it did, or if getppid was not 0.
ONCE = {
    "i386": "be90010000bfb80b0000830500080100014f75f6b840000000cd8085c075114e75e331db813d0008010080"
    "5713007405bb01000000b801000000cd80",
    "x86_64": "41bc90010000bbb80b00008304250008010001ffcb75f4b86e0000000f0585c0751441ffcc75df31ff81"
    "3c2500080100805713007405bf01000000b83c0000000f05",
    # ldr x0, [x0]
    "aarch64": "130081d23300a0f2143280d2097781d2e00313aa000040f91f0013eb41010054290500f161ff"
    "ff54a81580d2010000d4a00000b5940600f1a1feff54000080d202000014200080d2a80b80d2010000d4"
    "",
    # lw a0, 0(a0)
    "riscv": "b719010093890980130a00199302007d9382823e1385090003250500631435039382f2ffe398"
    "02fe9308d00a73000000631a0500130afaffe31a0afc130500006f008000130510009308d00573000000"
    "",
}


@EACH_HOT_PATH
@pytest.mark.parametrize("abi", list(BY_NAME))
def test_no_access_to_memory_is_done_twice(
    abi: str, hot_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "TICK", 0.0002)
    code = bytes.fromhex(ONCE.get(abi) or ONCE["riscv"])
    assert run(abi, code, hot_path).status == 0
