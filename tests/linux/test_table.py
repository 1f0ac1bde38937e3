"""The tables: complete, consistent, and what docs/syscalls.md says they are."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from bootstrap.core.abi import O_DIRECT, O_DIRECTORY, O_LARGEFILE, O_NOFOLLOW, O_TMPFILE, O_TRUNC
from bootstrap.linux import numbers_i386, numbers_x86_64, syscall_docs
from bootstrap.linux import row as rows
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.row import Arg, Kind, Row, Support
from bootstrap.linux.rows import COMMON, word_rows
from bootstrap.linux.rows_generic import AARCH64_ROWS, RISCV32_ROWS, RISCV64_ROWS
from bootstrap.linux.structs import WORD_32, WORD_64
from bootstrap.linux.table import I386_ROWS, X86_64_ROWS, number_names, table_for

NAMES = list(NUMBERS)


@pytest.mark.parametrize("abi", NAMES)
def test_every_handler_takes_the_arguments_of_its_row(abi: str) -> None:
    for row in table_for(abi).values():
        if row.handler is not None:
            parameters = list(inspect.signature(row.handler).parameters)
            assert parameters[0] == "proc", row.name
            assert len(parameters) == 1 + len(row.args), row.name
        assert len(row.args) <= 6, row.name


@pytest.mark.parametrize("abi", NAMES)
def test_numbers_are_unique_and_rows_are_reached_by_their_own(abi: str) -> None:
    numbers = NUMBERS[abi]
    assert len(set(numbers.values())) == len(numbers)
    assert number_names(abi) == {number: name for name, number in numbers.items()}
    for number, row in table_for(abi).items():
        assert numbers[row.name] == number


def test_no_row_is_without_a_number_everywhere() -> None:
    assert set(I386_ROWS) <= set(numbers_i386.NUMBERS)
    assert set(X86_64_ROWS) <= set(numbers_x86_64.NUMBERS)
    for abi, table, word in (
        ("aarch64", AARCH64_ROWS, WORD_64),
        ("riscv64", RISCV64_ROWS, WORD_64),
        ("riscv32", RISCV32_ROWS, WORD_32),
    ):
        shared = {**COMMON, **word_rows(word)}
        own = {name for name, row in table.items() if name not in shared}
        assert own <= set(NUMBERS[abi]), abi


@pytest.mark.parametrize(
    ("abi", "name", "number"),
    [
        ("i386", "exit", 1),
        ("i386", "waitpid", 7),
        ("i386", "brk", 45),
        ("i386", "olduname", 109),
        ("i386", "getegid32", 202),
        ("i386", "fstatat64", 300),
        ("x86_64", "read", 0),
        ("x86_64", "execve", 59),
        ("x86_64", "newfstatat", 262),
        ("aarch64", "renameat", 38),
        ("aarch64", "openat", 56),
        ("riscv64", "wait4", 260),
        ("riscv64", "renameat2", 276),
        ("riscv32", "_llseek", 62),
        ("riscv32", "waitid", 95),
        ("riscv32", "mmap2", 222),
        ("riscv32", "statx", 291),
    ],
)
def test_well_known_numbers(abi: str, name: str, number: int) -> None:
    assert table_for(abi)[number].name == name


def test_registers_become_arguments_as_c_converts_them() -> None:
    kinds = (Kind.FD, Kind.UINT, Kind.SIZE, Kind.OFF64, Kind.OFF32)
    row = Row("test", tuple(Arg(kind, kind.label) for kind in kinds), lambda proc: 0)
    all_ones = (1 << 64) - 1
    assert row.arguments([all_ones] * 6) == [-1, 0xFFFFFFFF, all_ones, -1, -1]
    low_ones = 0xFFFFFFFF
    assert row.arguments([low_ones] * 6) == [-1, low_ones, low_ones, low_ones, -1]
    assert row.arguments([0x1_8000_0000, 7, 7, 7, 7, 7])[0] == -(1 << 31)


def test_what_an_abi_does_not_have() -> None:
    names = {abi: {row.name for row in table_for(abi).values()} for abi in NAMES}
    assert not names["riscv32"] & {"wait4", "fstat", "newfstatat", "lseek", "fcntl", "renameat"}
    assert "renameat" not in names["riscv64"]
    for abi in ("aarch64", "riscv64", "riscv32"):
        assert not names[abi] & {"fork", "vfork", "open", "access", "unlink", "dup2", "getdents"}


def test_arm_has_four_open_flags_elsewhere() -> None:
    row = {row.name: row for row in table_for("aarch64").values()}["openat"]
    for arm, generic in (
        (0o40000, O_DIRECTORY),
        (0o100000, O_NOFOLLOW),
        (0o200000, O_DIRECT),
        (0o400000, O_LARGEFILE),
        (0o20040000, O_TMPFILE),
        (0o140001, O_DIRECTORY | O_NOFOLLOW | 1),
        (O_TRUNC, O_TRUNC),
        (0xFFFFFFFF_00004000, O_DIRECTORY),
    ):
        assert row.arguments([0, 0, arm, 0])[2] == generic
    row = {row.name: row for row in table_for("riscv64").values()}["openat"]
    assert row.arguments([0, 0, 0o600000, 0])[2] == O_DIRECTORY | O_NOFOLLOW


def test_a_row_without_a_handler_is_refused_and_says_why() -> None:
    with pytest.raises(ValueError, match="refused"):
        Row("test", (), None)
    with pytest.raises(ValueError, match="refused"):
        Row("test", (), lambda proc: 0, Support.REFUSED, "why")
    with pytest.raises(ValueError, match="says why"):
        Row("test", (), lambda proc: 0, Support.PARTIAL)


def test_every_kind_has_its_own_label() -> None:
    assert len({kind.label for kind in Kind}) == len(list(Kind))
    assert {kind.width for kind in Kind} <= set(rows.Width)


def test_the_documentation_is_what_the_tables_say(checkout: Path) -> None:
    assert (checkout / "docs" / "syscalls.md").read_text() == syscall_docs.render(), (
        "write it again: python -m bootstrap.linux.syscall_docs > docs/syscalls.md"
    )
