"""What the five architectures are: values that agree with each other, and the search for clocks."""

from __future__ import annotations

import pytest

from bootstrap.core import abi
from bootstrap.core.arches import (
    AARCH64,
    AMD64,
    ARCHES,
    PAGE,
    RISCV32,
    RISCV64,
    X86,
    Arch,
    page_down,
    page_up,
    reads_counter,
)
from tests.core.guest import EACH_ARCH


def test_there_are_five_and_each_file_is_of_one() -> None:
    assert [arch.upstream for arch in ARCHES] == ["x86", "AMD64", "AArch64", "riscv64", "riscv32"]
    kinds = [(machine, arch.elf_class) for arch in ARCHES for machine in arch.elf_machines]
    assert len(set(kinds)) == len(kinds)


@EACH_ARCH
def test_sizes_agree(arch: Arch) -> None:
    assert arch.word == 4 * arch.elf_class
    assert arch.word_mask == 256**arch.word - 1
    assert arch.task_size % PAGE == 0
    assert arch.task_size <= arch.word_mask + 1
    assert arch.access_end >= arch.task_size
    assert len(arch.arguments) == len(set(arch.arguments)) == 6
    assert (arch.trap_interrupt is None) != (arch.trap_instruction is None)


def test_pages() -> None:
    assert [page_down(at) for at in (0, 1, 4095, 4096)] == [0, 0, 0, 4096]
    assert [page_up(at) for at in (0, 1, 4095, 4096)] == [0, 4096, 4096, 4096]


def test_arm_has_some_open_flags_the_other_way_round() -> None:
    """arch/arm64/include/uapi/asm/fcntl.h: O_DIRECTORY 040000, O_NOFOLLOW 0100000, O_DIRECT
    0200000, O_LARGEFILE 0400000."""
    assert AARCH64.open_flags(0o40000) == abi.O_DIRECTORY
    assert AARCH64.open_flags(0o100000) == abi.O_NOFOLLOW
    assert AARCH64.open_flags(0o200000) == abi.O_DIRECT
    assert AARCH64.open_flags(0o400000) == abi.O_LARGEFILE
    for arch in (X86, AMD64, RISCV64, RISCV32):
        assert arch.open_flags(abi.O_DIRECTORY) == abi.O_DIRECTORY
    for flags in (0, 0o40001, 0o740102):
        assert AARCH64.open_flags(AARCH64.open_flags(flags)) == flags


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("732500c0", True),  # rdcycle a0
        ("732520c0", True),  # rdinstret a0
        ("732530c0", True),  # csrr a0, hpmcounter3
        ("732500c8", True),  # csrr a0, cycleh
        ("732510c0", False),  # rdtime a0: user mode refuses it
        ("73000000", False),  # ecall
        ("13000000 732520c0", True),  # nop; rdinstret
        ("0100 732500c0", True),  # c.nop; rdcycle
        ("732500", False),  # cut short
        ("", False),
    ],
)
def test_cycle_counters_are_found(code: str, found: bool) -> None:
    assert reads_counter(bytes.fromhex(code.replace(" ", ""))) is found
