"""The tables: complete, consistent, and what docs/syscalls.md says they are."""

from __future__ import annotations

import inspect
from itertools import chain
from pathlib import Path

import pytest

from bootstrap.core.abi import O_DIRECT, O_DIRECTORY, O_LARGEFILE, O_NOFOLLOW, O_TMPFILE, O_TRUNC
from bootstrap.core.arches import ARCHES
from bootstrap.core.syscalls import tables
from bootstrap.linux import strace_memory, strace_values, syscall_docs
from bootstrap.linux.call_tables import CALLS, KNOWN, SUPPORT, find
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.row import WORDS, call, in_two_registers, parameters

NAMES = list(NUMBERS)
ROWS = [bound.row for table in (*CALLS.values(), *KNOWN.values()) for bound in table.values()]


@pytest.mark.parametrize("abi", NAMES)
def test_every_handler_takes_the_arguments_of_its_row(abi: str) -> None:
    for bound in CALLS[abi].values():
        given = bound.end - 1
        assert given == len(parameters(bound.row.arguments)) <= 6, bound.row.name
        inspect.signature(bound.handler).bind(None, *range(given))


@pytest.mark.parametrize("abi", NAMES)
def test_numbers_are_unique_and_rows_are_reached_by_their_own(abi: str) -> None:
    numbers = NUMBERS[abi]
    assert len(set(numbers.values())) == len(numbers)
    assert not set(CALLS[abi]) & set(KNOWN[abi])
    for number, bound in chain(CALLS[abi].items(), KNOWN[abi].items()):
        assert numbers[bound.row.name] == number
        assert find(abi, number) is bound


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
    assert CALLS[abi][number].row.name == name


def test_what_an_abi_does_not_have() -> None:
    names = {abi: {bound.row.name for bound in CALLS[abi].values()} for abi in NAMES}
    assert not names["riscv32"] & {"wait4", "fstat", "newfstatat", "lseek", "fcntl", "renameat"}
    assert "renameat" not in names["riscv64"]
    for abi in ("aarch64", "riscv64", "riscv32"):
        assert not names[abi] & {"fork", "vfork", "open", "access", "unlink", "dup2", "getdents"}


def test_an_offset_in_two_registers_is_joined() -> None:
    given = in_two_registers(lambda process, fd, offset: offset)
    assert given(None, 3, 5, 1) == 5 | 1 << 32
    assert given(None, 3, 0, 1 << 31) == -1 << 63


def test_arm_has_four_open_flags_elsewhere() -> None:
    openat = CALLS["aarch64"][56]
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
        assert openat.arguments([56, 0, 0, arm, 0])[2] == generic
    openat = CALLS["riscv64"][56]
    assert openat.arguments([56, 0, 0, 0o600000, 0])[2] == O_DIRECTORY | O_NOFOLLOW


def test_every_row_says_how_far_it_goes_and_why_not_further() -> None:
    for row in ROWS:
        assert row.support in SUPPORT
        assert row.note or row.support == "full", row.name
    known = {bound.row.support for table in KNOWN.values() for bound in table.values()}
    assert known == {"probed", "refused"}


def test_every_word_is_known_to_the_table_and_used() -> None:
    used = {word for row in ROWS for word, _ in parameters(row.arguments)}
    assert used == set(WORDS)
    printed = {*strace_memory.BEFORE, *strace_memory.AFTER, *strace_values._PLAIN}
    assert printed <= used


def test_a_row_that_nobody_has_a_number_for_is_nowhere() -> None:
    row = call("no_such_call", "", lambda process: 0)
    assert tables([row], WORDS) == {arch.name: {} for arch in ARCHES}


def test_the_documentation_is_what_the_tables_say(checkout: Path) -> None:
    assert (checkout / "docs" / "syscalls.md").read_text() == syscall_docs.render(), (
        "write it again: python -m bootstrap.linux.syscall_docs > docs/syscalls.md"
    )
