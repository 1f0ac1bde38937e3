"""A process for handlers to act on, without a CPU: real memory, descriptors and files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.arches import AMD64, Arch
from bootstrap.core.errors import Limits, Meter
from bootstrap.core.files import OpenFile, Stream
from bootstrap.core.memory import MAPPED, READ, WRITE, AddressSpace
from bootstrap.core.paths import FileSystem, PathBase
from bootstrap.core.process import FdTable, Process
from bootstrap.core.syscalls import CALLS
from tests.core.guest import number_of

BUFFER = 0x10000
"""Two pages; the one after them is not mapped."""
END = BUFFER + 0x2000
BAD = 16


@contextmanager
def fails(errno: Errno) -> Iterator[None]:
    """The block raises LinuxError with this errno."""
    with pytest.raises(LinuxError) as caught:
        yield
    assert caught.value.errno is errno


def small(limits: Limits) -> FileSystem:
    """A small file system."""
    files = FileSystem(limits)
    files.add_file(b"/f", b"hello, world\n")
    files.add_file(b"/d/inner", b"inner", 0o755)
    return files


def make(
    arch: Arch = AMD64,
    limits: Limits | None = None,
    new_files: Callable[[Limits], FileSystem] = small,
    new_memory: type[AddressSpace] = AddressSpace,
    new_process: type[Process] = Process,
) -> Process:
    """A process at the root of its files, standard streams open."""
    limits = limits or Limits()
    memory = new_memory(arch, Meter(limits))
    memory.map(BUFFER, END, READ | WRITE | MAPPED)
    memory.set_brk_start(0x100000)
    files = new_files(limits)
    fds = FdTable(limits.open_files)
    chunks = [b"typed ", b"in"]

    def read(count: int) -> bytes:
        return chunks.pop(0)[:count] if chunks else b""

    for fd, flags in enumerate((0, 1, 1)):
        fds.put(fd, OpenFile(Stream(read, len), flags))
    base = PathBase(files.root, files.root)
    quiet = lambda kind, **fields: None  # noqa: E731
    return new_process(1, 0, arch, memory, fds, files, base, 0o022, quiet)


def call(process: Process, name: str, *args: int) -> Any:
    """What a handler returns, its arguments given as registers; -errno for a LinuxError."""
    number = number_of(process.arch, name)
    assert number is not None
    bound = CALLS[process.arch.name][number]
    registers = [number, *(arg & process.arch.word_mask for arg in args), *[0] * (6 - len(args))]
    try:
        return bound.handler(process, *bound.arguments(tuple(registers)))
    except LinuxError as error:
        return -error.errno


def put(process: Process, text: bytes, guest_addr: int = BUFFER) -> int:
    """Store a C string, for a path argument; returns its address."""
    process.memory.write(guest_addr, text + b"\0")
    return guest_addr
