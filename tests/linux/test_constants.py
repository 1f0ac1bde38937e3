"""The ABI's numbers, held against the host's own headers as Python's standard library has them."""

import errno
import fcntl
import os
import platform
import stat
import sys

import pytest

from bootstrap.core import abi
from bootstrap.core.abi import Errno, LinuxError
from bootstrap.linux import flags

linux = pytest.mark.skipif(sys.platform != "linux", reason="the host's numbers are not Linux's")
x86 = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "i686"), reason="the host's O_ flags are not x86's"
)

TABLES = {
    name: table
    for name, table in sorted(vars(flags).items())
    if name.isupper() and isinstance(table, tuple) and isinstance(table[0][1], str)
}


@linux
def test_errno_has_the_hosts_numbers() -> None:
    assert {error.name: int(error) for error in Errno} == {
        error.name: getattr(errno, error.name) for error in Errno
    }


@linux
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the texts are glibc's")
def test_errno_texts_are_those_of_strace() -> None:
    assert {error: error.text for error in Errno} == {e: os.strerror(e) for e in Errno}


def test_linux_error_carries_its_number() -> None:
    error = LinuxError(Errno.ELOOP)
    assert error.errno is Errno.ELOOP
    assert str(error) == "ELOOP (Too many levels of symbolic links)"


@linux
@x86
def test_flags_have_the_hosts_numbers() -> None:
    compared = 0
    for name, value in {**vars(abi), **vars(flags)}.items():
        for module in (os, stat, fcntl):
            there = getattr(module, name, None)
            # A 64-bit C library tells O_LARGEFILE as 0.
            if isinstance(value, int) and isinstance(there, int) and name != "O_LARGEFILE":
                assert value == there, name
                compared += 1
    assert compared > 50


@pytest.mark.parametrize("table", TABLES)
def test_tables_name_their_values(table: str) -> None:
    for value, name in TABLES[table]:
        plain = name.removeprefix("__")
        known = getattr(flags, plain, getattr(abi, plain, value))
        assert known == value, name
    names = [name for _, name in TABLES[table]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("table", ["OPEN_FLAGS", "MAP_FLAGS", "CLONE_FLAGS", "WAIT_OPTIONS"])
def test_flags_that_hold_others_come_first(table: str) -> None:
    values = [value for value, _ in TABLES[table]]
    for index, value in enumerate(values):
        assert not any(earlier & value == earlier for earlier in values[:index])
