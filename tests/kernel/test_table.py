"""The tables: complete, consistent, and what docs/syscalls.md says they are."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from bootstrap.abi import i386, x86_64
from bootstrap.kernel import row as rows
from bootstrap.kernel import syscall_docs
from bootstrap.kernel.row import Arg, Kind, Row, Support
from bootstrap.kernel.table import I386_ROWS, X86_64_ROWS, number_names, table_for

NUMBERS = {"i386": i386.NUMBERS, "x86_64": x86_64.NUMBERS}
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
    assert set(I386_ROWS) <= set(i386.NUMBERS)
    assert set(X86_64_ROWS) <= set(x86_64.NUMBERS)


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
        "write it again: python -m bootstrap.kernel.syscall_docs > docs/syscalls.md"
    )
