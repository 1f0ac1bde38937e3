"""What a file of the tree below adds to the core's: a size that is set, a hash that outlives it.

The core's own tests of open files run here too, on the overlay.
"""

import ctypes
import hashlib

import pytest

from bootstrap.core.abi import O_CREAT, O_RDWR, SEEK_SET, Errno
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import OpenFile
from bootstrap.core.paths import PathBase
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.inode import LazyFile
from bootstrap.linux.limits import RunLimits
from tests.core import test_files
from tests.core.test_files import (  # noqa: F401
    test_a_directory_is_not_read,
    test_a_larger_file_than_allowed_ends_the_run,
    test_access_modes,
    test_append_writes_at_the_end_wherever_the_offset_is,
    test_bytes_beyond_the_size_are_zero_and_never_seen,
    test_creation_flags_are_not_kept,
    test_growing_replaces_the_buffer_that_native_code_may_hold,
    test_large_files_are_as_small_ones,
    test_more_bytes_in_all_than_allowed_end_the_run,
    test_numbers_are_never_given_twice,
    test_one_byte_at_a_time,
    test_seeking,
    test_shared_by_fork_and_freed_with_the_last,
    test_the_hash_is_that_of_the_present_content,
    test_what_is_gone_no_longer_counts,
    test_without_largefile_nothing_is_written_past_two_gib,
)
from tests.linux.expect import entries, fails


@pytest.fixture(autouse=True)
def on_the_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    def overlay(limits: RunLimits | None = None) -> OverlayFileSystem:
        return OverlayFileSystem(MemoryLower({}), limits)

    monkeypatch.setattr(test_files, "FileSystem", overlay)


def make(
    content: bytes = b"", limits: RunLimits | None = None, flags: int = O_RDWR
) -> tuple[OverlayFileSystem, OpenFile]:
    fs = OverlayFileSystem(MemoryLower({b"f": LowerFile(0o644, content)}), limits)
    return fs, fs.open(PathBase(fs.root, fs.root), b"f", flags)[0]


def regular(file: OpenFile) -> LazyFile:
    assert isinstance(file.inode, LazyFile)
    return file.inode


def test_a_size_that_is_set() -> None:
    _, file = make(b"abcdef")
    inode = regular(file)
    pointer = (ctypes.c_char * len(inode.data)).from_buffer(inode.data)  # forbids resizing
    inode.truncate(2)
    assert file.read(100) == b"ab"
    assert bytes(inode.data).rstrip(b"\0") == b"ab"
    inode.truncate(5)
    assert inode.contents() == b"ab\0\0\0"
    file.seek(8, SEEK_SET)
    assert file.write(b"z") == 1
    assert inode.contents() == b"ab\0\0\0\0\0\0z"
    inode.truncate(1)
    inode.truncate(0)
    assert bytes(pointer).rstrip(b"\0") == b"ab"


def test_the_hash_is_computed_once_for_each_content(monkeypatch: pytest.MonkeyPatch) -> None:
    _, file = make()
    inode = regular(file)
    file.write(b"abc")
    first = inode.sha256()
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "sha256", None)
        assert inode.sha256() == first
    file.write(b"x")
    assert inode.sha256() == hashlib.sha256(b"abcx").hexdigest()


def test_what_native_code_writes_counts() -> None:
    _, file = make()
    inode = regular(file)
    file.write(b"a")
    before = inode.sha256()
    inode.data[1] = ord("b")
    inode.size, inode.version = 2, inode.version + 1
    assert inode.contents() == b"ab"
    assert inode.sha256() == hashlib.sha256(b"ab").hexdigest() != before


def test_only_directories_are_listed() -> None:
    with fails(Errno.ENOTDIR):
        entries(make()[1])


def test_a_file_that_is_gone_keeps_its_size_and_hash() -> None:
    fs = OverlayFileSystem(MemoryLower({}))
    at = PathBase(fs.root, fs.root)
    file = fs.open(at, b"f", O_RDWR | O_CREAT, 0o644)[0]
    file.write(b"abc")
    fs.unlink(at, b"f")
    assert (fs.volume.meter.inodes, fs.volume.meter.files > 0) == (1, True)
    file.close()
    assert (fs.volume.meter.inodes, fs.volume.meter.files) == (0, 0)
    assert regular(file).size == 3
    assert regular(file).sha256() == hashlib.sha256(b"abc").hexdigest()


def test_a_larger_size_than_allowed_ends_the_run() -> None:
    fs, file = make(b"x" * 3000, limits=RunLimits(file=3000, files_total=10_000))
    for act in (
        lambda: regular(file).truncate(3001),
        lambda: fs.truncate(PathBase(fs.root, fs.root), b"f", 1 << 62),
    ):
        with pytest.raises(GuestFailed, match=r"/f.*over the limit of 3000 .*--limit file="):
            act()
    assert regular(file).size == 3000
    regular(file).truncate(0)
    assert fs.volume.meter.files == 0


def test_more_files_than_allowed_end_the_run() -> None:
    fs = OverlayFileSystem(MemoryLower({b"old": LowerFile(0o644, b"")}), RunLimits(inodes=2))
    at = PathBase(fs.root, fs.root)
    fs.mkdir(at, b"d", 0o755)
    fs.symlink(at, b"s", b"d")
    for act in (
        lambda: fs.mkdir(at, b"e", 0o755),
        lambda: fs.symlink(at, b"t", b"d"),
        lambda: fs.open(at, b"f", O_RDWR | O_CREAT, 0o644)[0],
    ):
        with pytest.raises(GuestFailed, match="--limit inodes="):
            act()
    fs.unlink(at, b"old")
    fs.rmdir(at, b"d")
    fs.mkdir(at, b"e", 0o755)
