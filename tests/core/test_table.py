"""The table: numbers of Linux, arguments as C converts them, and what may not stand in it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.core import abi
from bootstrap.core.arches import AARCH64, AMD64, ARCHES, RISCV32, RISCV64, X86, Arch
from bootstrap.core.syscalls import CALLS, ROWS, WORDS, Syscall, signed, tables
from tests.core.guest import EACH_ARCH, number_of

HEADERS = {
    X86.name: "/usr/include/x86_64-linux-gnu/asm/unistd_32.h",
    AMD64.name: "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    RISCV64.name: "/usr/include/asm-generic/unistd.h",
    AARCH64.name: "/usr/include/asm-generic/unistd.h",
}
"""Where Debian has the kernel's numbers (linux-libc-dev)."""


def test_there_are_22_calls_and_three_numbers_without_one() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == 25
    assert [name for name in set(names) if names.count(name) > 1] == ["clone"]
    assert [name for name in names if name.startswith("syscall_")] == [
        "syscall_0x402", "syscall_0x403", "syscall_0x406",
    ]  # fmt: skip
    assert [row.name for row in ROWS if row.support != "full"] == [
        row.name for row in ROWS if row.note and not row.name.startswith("syscall_")
    ]


@pytest.mark.parametrize("arch", [X86, AMD64, AARCH64, RISCV64], ids=lambda arch: arch.name)
def test_numbers_are_those_of_the_hosts_headers(arch: Arch) -> None:
    header = Path(HEADERS[arch.name])
    if not header.exists():
        pytest.skip(f"no {header} here: the kernel's headers are not installed")
    found = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    ours = {call.row.name: number for number, call in CALLS[arch.name].items()}
    compared = {name: number for name, number in ours.items() if not name.startswith("syscall_")}
    assert {name: int(found[name]) for name in compared} == compared


@EACH_ARCH
def test_each_architecture_can_start_wait_read_and_end(arch: Arch) -> None:
    for names in (["exit"], ["execve"], ["fork", "clone"], ["wait4", "waitid"], ["read"], ["write"],
                  ["open", "openat"], ["close"], ["lseek", "_llseek"], ["brk"], ["chdir"],
                  ["unlink", "unlinkat"], ["chmod", "fchmodat"],
                  ["access", "faccessat"]):  # fmt: skip
        assert any(number_of(arch, name) is not None for name in names), names
    # riscv32 came after the year 2038 was thought of: no call that counts seconds in 32 bits.
    assert (number_of(arch, "wait4") is None) == (arch is RISCV32)


@pytest.mark.parametrize(
    ("value", "bits", "result"),
    [(0, 32, 0), (0x7FFFFFFF, 32, 0x7FFFFFFF), (0x80000000, 32, -(1 << 31)), (1 << 32, 32, 0),
     ((1 << 64) - 1, 64, -1), ((1 << 64) - 1, 32, -1)],
)  # fmt: skip
def test_signed(value: int, bits: int, result: int) -> None:
    assert signed(value, bits) == result


def arguments(arch: Arch, word: str, register: int) -> int:
    row = Syscall("test", dict.fromkeys(arch.call_tables[:1], 5), f"ptr a, {word} b", int)
    values = tables([row])[arch.name][5].arguments((5, 7, register, 1, 2, 3, 4))
    assert len(values) == 2
    assert values[0] == 7
    return values[1]


@EACH_ARCH
def test_registers_become_arguments_as_c_converts_them(arch: Arch) -> None:
    high = arch.word_mask & ~0xFFFFFFFF
    ones = arch.word_mask
    for value in (0, 1, 0x7FFFFFFF):
        assert {arguments(arch, word, value) for word in ("fd", "mode", "size", "offset")} == {
            value
        }
        assert arguments(arch, "int", high | value) == value
        assert arguments(arch, "mode", high | value) == value
    assert arguments(arch, "fd", ones) == -1
    assert arguments(arch, "fd", 0x80000000) == -(1 << 31)
    assert arguments(arch, "mode", ones) == 0xFFFFFFFF
    assert arguments(arch, "path", ones) == ones
    assert arguments(arch, "offset", ones) == -1
    assert arguments(arch, "offset", 0x80000000) == (0x80000000 if arch.word == 8 else -(1 << 31))
    assert arguments(arch, "open_flags", high | 0o1102) == 0o1102
    swapped = arguments(arch, "open_flags", high | 0o40000)
    assert swapped == (abi.O_DIRECTORY if arch is AARCH64 else 0o40000)


def test_arguments_before_those_of_the_call() -> None:
    row = Syscall("test", {"i386": 5}, "fd a", lambda process, *numbers: sum(numbers), (80, 900))
    call = tables([row])["i386"][5]
    assert call.handler(None, *call.arguments((5, 1, 2))) == 981


def test_two_rows_with_one_number_are_refused() -> None:
    row = ROWS[0]
    with pytest.raises(ValueError, match="other and exit have one number"):
        tables([row, replace(row, name="other")])
    with pytest.raises(KeyError, match="nonsense"):
        tables([replace(row, arguments="nonsense status")])
    assert all(
        word in WORDS for row in ROWS for word in row.arguments.replace(",", " ").split()[::2]
    )
    assert set(CALLS) == {arch.name for arch in ARCHES}
