"""Linux's numbers, against those that Python was built with on a Linux host."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys

import pytest

from bootstrap.core import abi
from bootstrap.core.abi import Errno, LinuxError

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="this host is not Linux")
X86_HOST = os.uname().machine in ("x86_64", "i686") if hasattr(os, "uname") else False


@ON_LINUX
def test_errors() -> None:
    for number in Errno:
        assert getattr(errno, number.name) == number
        assert os.strerror(number) == number.text


@ON_LINUX
def test_signals() -> None:
    for name in ("SIGILL", "SIGTRAP", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGCHLD"):
        assert getattr(abi, name) == getattr(signal, name)


@ON_LINUX
@pytest.mark.skipif(not X86_HOST, reason="some flags have other values on this host")
def test_flags() -> None:
    names = [name for name in vars(abi) if name.startswith(("O_", "SEEK_", "W", "P_", "CLD_"))]
    known = {name: getattr(os, name) for name in names if hasattr(os, name)}
    # glibc gives 0 to programs of 64 bits, where the kernel implies it.
    known.pop("O_LARGEFILE", None)
    assert len(known) > 20
    assert {name: getattr(abi, name) for name in known} == known
    for name in ("S_IFLNK", "S_IFREG", "S_IFDIR", "S_IFCHR"):
        assert getattr(abi, name) == getattr(stat, name)
    assert stat.S_IFMT(0o777777) == abi.S_IFMT
    assert abi.X_OK == os.X_OK


def test_an_error_says_what_it_is() -> None:
    assert str(LinuxError(Errno.ENOENT)) == "ENOENT (No such file or directory)"
