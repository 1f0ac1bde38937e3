"""What a guest costs the host: by what it was allowed, and checked before it is taken."""

from __future__ import annotations

import mmap
import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.core import syscalls
from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.core.files import Buffer, OpenFile, Stream, new_buffer
from bootstrap.core.paths import PathBase
from bootstrap.core.process import FdTable
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LARGE, FolderLower
from bootstrap.linux.inode import LazyFile, moved, wipe
from bootstrap.linux.limits import RunLimits
from tests.instruments.guest import Cell, Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, emulate

O_RDONLY, O_RDWR, O_CREAT, O_APPEND, O_LARGEFILE = 0, 2, 0o100, 0o2000, 0o100000
MIB = 1 << 20
PIECE = 1 << 16


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few bytes are many pieces."""
    monkeypatch.setattr(syscalls, "PIECE", PIECE)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """So many bytes of Python's memory: what is gathered is there, a guest's own memory is not."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size


def mapping(guest: Program, size: int) -> int:
    """A cell that holds the address of so much fresh memory."""
    cell = guest.space(8)
    mmap = "mmap2" if guest.abi == "i386" else "mmap"
    guest.call(mmap, 0, size, 3, 0x22, -1, 0).store(cell)
    return cell


@EACH_HOT_PATH
@EACH_ABI
def test_a_vector_is_not_gathered_to_find_that_it_is_too_much(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    guest.call("open", guest.text(b"/f"), O_RDWR | O_CREAT, 0o600)
    guest.call("mmap2" if abi == "i386" else "mmap", 0x1000_0000, 2 * MIB, 3, 0x32, -1, 0)
    vector = guest.words(*[0x1000_0000, 2 * MIB] * 64)
    guest.call("writev", 3, vector, 64).exit(0)
    with at_most(8 * MIB), pytest.raises(GuestFailed, match=r"grow to 134217728 bytes.*limit"):
        emulate(guest, hot_path, limits=RunLimits(file=64 * MIB))


@EACH_HOT_PATH
@EACH_ABI
@pytest.mark.parametrize("call", ["read", "readv"])
def test_large_reads_and_writes_go_in_pieces(abi: str, hot_path: str, call: str) -> None:
    size = 64 * PIECE + 5
    guest = Program(abi)
    memory = mapping(guest, size)
    guest.call("open", guest.text(b"/f"), O_RDWR | O_CREAT | O_APPEND, 0o600)
    vector = guest.words(0, size)
    guest.load(memory).store(vector)
    if call == "read":
        guest.call_and_report("write", 3, Cell(memory), size).call("lseek", 3, 0, 0)
        guest.call_and_report("read", 3, Cell(memory), size)
    else:
        guest.call_and_report("writev", 3, vector, 1).call("lseek", 3, 0, 0)
        guest.call_and_report("readv", 3, vector, 1)
    guest.exit(0)
    with at_most(2 * MIB):
        outcome = emulate(guest, hot_path)
    assert outcome.words(guest.word) == [size, size]
    assert outcome.fs.resolve(PathBase(outcome.fs.root, outcome.fs.root), b"/f").size == size  # type: ignore[attr-defined]


@EACH_HOT_PATH
def test_pieces_end_where_the_guests_memory_ends(hot_path: str) -> None:
    """As one read and one write do: the bytes before the bad page count."""
    size = 2 * PIECE
    guest = Program("x86_64")
    guest.call("mmap", 0x1000_0000, size, 3, 0x32, -1, 0)
    guest.call("open", guest.text(b"/f"), O_RDWR | O_CREAT, 0o600)
    guest.call_and_report("write", 3, 0x1000_0000 + 7, 2 * size)
    guest.call("lseek", 3, 1, 0)
    guest.call_and_report("read", 3, 0x1000_0000 + 4096, size)
    guest.call_and_report("lseek", 3, 0, 1)
    guest.call_and_report("pread64", 3, 0x1000_0000 + 4096, size, 0)
    guest.call_and_report("pwrite64", 3, 0x1000_0000 + 7, 2 * size, 5)
    guest.call_and_report("read", 3, 0x5000_0000, size)
    guest.call_and_report("write", 3, 0x5000_0000, size)
    guest.exit(0)
    outcome = emulate(guest, hot_path)
    assert outcome.words(8) == [
        size - 7, size - 4096, size - 4095, size - 4096, size - 7, -14, -14,
    ]  # fmt: skip
    assert len(outcome.files[b"/f"]) == size - 2


def test_a_stream_that_takes_less_ends_a_write() -> None:
    taken: list[int] = []

    def write(data: bytes) -> int:
        taken.append(len(data))
        return min(len(data), PIECE - (len(taken) == 2))

    file = OpenFile(Stream(None, write), 1)
    memory = b"x" * (3 * PIECE)

    class Memory:
        def reachable(self, at: int, size: int, need: int) -> int:
            return size

        def read(self, at: int, size: int) -> bytes:
            return memory[:size]

    class Process:
        memory = Memory()

    got = syscalls.write_pieces(Process(), file, 0, len(memory))  # type: ignore[arg-type]
    assert (got, taken) == (2 * PIECE - 1, [PIECE] * 2)


def root_with(tmp_path: Path, size: int) -> tuple[OverlayFileSystem, PathBase]:
    """A root whose file `f` has a 7 in its middle, and is a hole but for that."""
    with (tmp_path / "f").open("wb") as file:
        file.truncate(size)
        file.seek(size // 2)
        file.write(b"\7")
    fs = OverlayFileSystem(FolderLower(tmp_path), RunLimits())
    return fs, PathBase(fs.root, fs.root)


def regular(file: OpenFile) -> LazyFile:
    assert isinstance(file.inode, LazyFile)
    return file.inode


def test_of_a_large_file_only_what_is_read_is_held(tmp_path: Path) -> None:
    size = 3 << 30
    fs, at = root_with(tmp_path, size)
    with at_most(MIB):
        file = fs.open(at, b"f", O_RDWR | O_LARGEFILE)[0]
        file.seek(size // 2, 0)
        assert file.read(1) == b"\7"
        assert file.read(3) == bytes(3)
        file.seek(-2, 2)
        assert file.read(10) == bytes(2)
        assert file.read(1) == b""
        assert regular(file).pending and not regular(file).data
        assert list(fs.changed()) == []
        with pytest.raises(GuestFailed, match="limit"):
            file.write(b"x")
    file.inode.truncate(5)  # type: ignore[attr-defined]
    file.seek(1, 0)
    file.write(b"x")
    assert [(path, found.contents()) for path, found in fs.changed()] == [(b"/f", b"\0x\0\0\0")]


def test_a_large_file_that_is_written_to_counts(tmp_path: Path) -> None:
    fs, at = root_with(tmp_path, 4 * MIB)
    file = fs.open(at, b"f", O_RDWR)[0]
    file.seek(2 * MIB - 1, 0)
    file.write(b"x")
    assert fs.volume.meter.files == 4 * MIB
    again = fs.open(at, b"f", O_RDONLY)[0]
    again.seek(2 * MIB - 2, 0)
    assert again.read(4) == b"\0x\7\0"
    assert (tmp_path / "f").read_bytes().count(b"x") == 0


def test_many_files_are_held_up_to_a_sum(tmp_path: Path) -> None:
    for number in range(70):
        (tmp_path / str(number)).write_bytes(b"%02d" % number + bytes(LARGE - 3))
    fs = OverlayFileSystem(FolderLower(tmp_path))
    at = PathBase(fs.root, fs.root)
    files = [fs.open(at, b"%d" % number, O_RDONLY)[0] for number in range(70)]
    assert [int(file.read(2)) for file in files] == list(range(70))
    held = [not regular(file).pending for file in files]
    assert held == [True] * 64 + [False] * 6


@pytest.mark.parametrize("size", [4 * MIB, 4 * MIB + 1])
def test_a_large_file_that_changes_is_noticed(tmp_path: Path, size: int) -> None:
    fs, at = root_with(tmp_path, 4 * MIB)
    file = fs.open(at, b"f", O_RDONLY)[0]
    assert file.read(1) == b"\0"
    with (tmp_path / "f").open("r+b") as changed:
        changed.truncate(size)
        changed.write(b"y")
    os.utime(tmp_path / "f", ns=(0, 1))
    file.seek(MIB, 0)
    with pytest.raises(BadInput, match="f: the source changed during the run"):
        file.read(1)


def test_what_a_file_leaves_when_it_grows_is_given_back() -> None:
    old = new_buffer(4 * MIB)
    old[: 4 * MIB] = bytes(range(256)) * (4 * MIB // 256)
    new = moved(old, 3 * MIB + 5, 8 * MIB)
    assert new[: 3 * MIB + 6] == bytes(range(256)) * (3 * MIB // 256) + b"\0\1\2\3\4\0"
    assert not any(old[: 3 * MIB + 5])


PAGES = MIB + 3 * 4096
"""A new_buffer of pages, which can be given back."""


@settings(max_examples=30, deadline=None)
@given(st.integers(0, PAGES), st.integers(0, PAGES), st.booleans())
def test_wiping_is_exact(start: int, end: int, large: bool) -> None:
    data: Buffer = new_buffer(PAGES) if large else bytearray(PAGES)
    data[:] = b"x" * PAGES
    start, end = sorted((start, end))
    wipe(data, start, end)
    with memoryview(data) as there:
        assert there == b"x" * start + bytes(end - start) + b"x" * (PAGES - end)


@given(st.lists(st.integers(0, 6)))
def test_the_lowest_free_descriptor_is_found(closing: list[int]) -> None:
    fds = FdTable(100)
    there: set[int] = set()
    for number in closing:
        if number in there and number % 2:
            fds.close(number)
            there.remove(number)
        lowest = min(set(range(100)) - there)
        assert fds.lowest_free() == lowest
        fds.put(lowest, OpenFile(Stream(), 0))
        there.add(lowest)
        above = min(set(range(number, 100)) - there)
        assert fds.lowest_free(number) == above


def test_more_memory_than_the_host_has_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(GuestFailed, match=r"the host has no .* \(Cannot allocate memory\)"):
        emulate(Program("i386").exit(0), limits=RunLimits())
