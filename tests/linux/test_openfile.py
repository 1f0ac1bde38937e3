"""Open file descriptions: bytes in and out, offsets, sharing, what stays when names go."""

import ctypes
import hashlib
import random

import pytest

from bootstrap.core.abi import (
    O_APPEND,
    O_CREAT,
    O_LARGEFILE,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    SEEK_CUR,
    SEEK_DATA,
    SEEK_END,
    SEEK_HOLE,
    SEEK_SET,
    Errno,
    LinuxError,
)
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import OpenFile, Stream
from bootstrap.core.paths import PathBase
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.inode import LazyFile
from bootstrap.linux.limits import Limits
from tests.linux.expect import entries, fails


def make(
    content: bytes = b"", limits: Limits | None = None, flags: int = O_RDWR
) -> tuple[OverlayFileSystem, OpenFile]:
    fs = OverlayFileSystem(MemoryLower({b"f": LowerFile(0o644, content)}), limits)
    return fs, fs.open(PathBase(fs.root, fs.root), b"f", flags)[0]


def regular(file: OpenFile) -> LazyFile:
    assert isinstance(file.inode, LazyFile)
    return file.inode


def test_one_byte_at_a_time() -> None:
    content = random.Random(1).randbytes(5000)
    _, source = make(content)
    _, target = make()
    while byte := source.read(1):
        assert type(byte) is bytes and len(byte) == 1
        assert target.write(byte) == 1
    assert source.read(1) == b""
    assert source.offset == target.offset == 5000
    assert regular(target).contents() == content
    assert regular(target).version == 5000


def test_bytes_beyond_the_size_are_zero_and_never_seen() -> None:
    _, file = make(b"abcdef")
    inode = regular(file)
    inode.truncate(2)
    assert file.read(100) == b"ab"
    assert bytes(inode.data).rstrip(b"\0") == b"ab"
    inode.truncate(5)
    assert inode.contents() == b"ab\0\0\0"
    file.seek(8, SEEK_SET)
    assert file.write(b"z") == 1
    assert inode.contents() == b"ab\0\0\0\0\0\0z"
    assert len(inode.data) >= inode.size
    assert not any(inode.data[inode.size :])


def test_growing_replaces_the_buffer_that_native_code_may_hold() -> None:
    _, file = make(b"abc")
    inode = regular(file)
    held = inode.data
    pointer = (ctypes.c_char * len(held)).from_buffer(held)  # forbids resizing
    file.write(b"A")
    assert inode.data is held
    file.seek(0, SEEK_END)
    file.write(b"defgh")
    assert inode.data is not held
    assert inode.contents() == b"Abcdefgh"
    inode.truncate(1)
    inode.truncate(0)
    assert bytes(pointer) == b"Abc"


def test_what_native_code_writes_counts() -> None:
    _, file = make()
    inode = regular(file)
    file.write(b"a")
    before = inode.sha256()
    inode.data[1] = ord("b")
    inode.size, inode.version = 2, inode.version + 1
    assert inode.contents() == b"ab"
    assert inode.sha256() == hashlib.sha256(b"ab").hexdigest() != before


def test_the_hash_is_computed_once_for_each_content(monkeypatch: pytest.MonkeyPatch) -> None:
    _, file = make(b"abc")
    inode = regular(file)
    first = inode.sha256()
    assert first == hashlib.sha256(b"abc").hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "sha256", None)
        assert inode.sha256() == first
    file.write(b"x")
    assert inode.sha256() == hashlib.sha256(b"xbc").hexdigest()


def test_append_writes_at_the_end_wherever_the_offset_is() -> None:
    _, file = make(b"abc", flags=O_RDWR | O_APPEND)
    assert file.offset == 0
    assert file.write(b"d") == 1
    assert file.offset == 4
    file.seek(1, SEEK_SET)
    assert file.write(b"") == 0
    assert file.offset == 1
    file.write(b"e" * 2000)
    assert regular(file).contents() == b"abcd" + b"e" * 2000


def test_access_modes() -> None:
    _, reading = make(b"abc", flags=O_RDONLY)
    with fails(Errno.EBADF):
        reading.write(b"x")
    _, writing = make(b"abc", flags=O_WRONLY)
    with fails(Errno.EBADF):
        writing.read(1)
    _, neither = make(b"abc", flags=3)
    assert (neither.readable, neither.writable) == (False, False)


def test_creation_flags_are_not_kept() -> None:
    _, file = make(b"abc", flags=O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_LARGEFILE)
    assert file.flags == O_RDWR | O_APPEND | O_LARGEFILE


def test_reading_a_directory() -> None:
    fs, _ = make()
    file = fs.open(PathBase(fs.root, fs.root), b"/", O_RDONLY)[0]
    with fails(Errno.EISDIR):
        file.read(1)
    with fails(Errno.EBADF):
        file.write(b"x")
    with fails(Errno.EINVAL):
        file.seek(0, SEEK_END)
    with fails(Errno.ENOTDIR):
        entries(make()[1])


def test_seeking() -> None:
    _, file = make(b"abc")
    assert file.seek(2, SEEK_SET) == 2
    assert file.seek(-1, SEEK_CUR) == 1
    assert file.seek(-3, SEEK_END) == 0
    assert file.seek(2, SEEK_DATA) == 2
    assert file.seek(0, SEEK_HOLE) == 3
    for offset, whence in ((3, SEEK_DATA), (-1, SEEK_DATA), (3, SEEK_HOLE)):
        with fails(Errno.ENXIO):
            file.seek(offset, whence)
    for offset, whence in ((-1, SEEK_SET), (-4, SEEK_CUR), (0, 5), (1 << 63, SEEK_SET)):
        with fails(Errno.EINVAL):
            file.seek(offset, whence)
    assert file.offset == 3
    assert file.seek((1 << 63) - 1, SEEK_SET) == (1 << 63) - 1
    assert file.read(1) == file.read(10) == b""


def test_without_largefile_nothing_is_written_past_two_gib() -> None:
    _, file = make(limits=Limits(file=1 << 40))
    file.seek((1 << 31) - 1, SEEK_SET)
    with fails(Errno.EFBIG):
        file.write(b"x")
    assert regular(file).size == 0


def test_streams() -> None:
    taken: list[bytes] = []
    parts = [b"a", b""]

    def take(data: bytes) -> int:
        taken.append(data)
        return len(data)

    source = OpenFile(Stream(read=lambda count: parts.pop(0)), O_RDONLY)
    target = OpenFile(Stream(write=take), O_WRONLY)
    assert (source.read(5), source.read(5)) == (b"a", b"")
    assert target.write(b"xyz") == 3
    assert taken == [b"xyz"]
    with fails(Errno.ESPIPE):
        source.seek(0, SEEK_CUR)
    with fails(Errno.EIO):
        OpenFile(Stream(), O_RDWR).read(1)
    with fails(Errno.EIO):
        OpenFile(Stream(), O_RDWR).write(b"x")


def test_shared_by_fork_and_freed_with_the_last() -> None:
    fs, file = make(b"abc")
    file.refs += 1
    file.close()
    fs.unlink(PathBase(fs.root, fs.root), b"f")
    assert file.read(3) == b"abc"
    file.close()
    assert file.refs == 0
    assert len(regular(file).data) == 0


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


def test_a_larger_file_than_allowed_ends_the_run() -> None:
    fs, file = make(limits=Limits(file=3000))
    assert file.write(bytes(2999)) == 2999
    assert file.write(b"x") == 1
    assert len(regular(file).data) <= 3000  # native code stops there too
    for act in (
        lambda: file.write(b"x"),
        lambda: regular(file).truncate(3001),
        lambda: regular(file).write_at(1 << 62, b"x"),
        lambda: fs.truncate(PathBase(fs.root, fs.root), b"f", 1 << 62),
    ):
        with pytest.raises(GuestFailed, match=r"/f.*over the limit of 3000 .*--limit file="):
            act()
    assert regular(file).size == 3000


def test_more_bytes_in_all_than_allowed_end_the_run() -> None:
    fs = OverlayFileSystem(MemoryLower({}), Limits(files_total=10_000))
    at = PathBase(fs.root, fs.root)
    files = [fs.open(at, b"f%d" % i, O_RDWR | O_CREAT, 0o644)[0] for i in range(3)]
    files[0].write(bytes(4000))
    files[1].write(bytes(4000))
    with pytest.raises(GuestFailed, match="--limit files_total="):
        files[2].write(bytes(4000))
    regular(files[0]).truncate(0)
    assert files[2].write(bytes(4000)) == 4000
    assert fs.volume.meter.files <= 10_000


def test_more_files_than_allowed_end_the_run() -> None:
    fs = OverlayFileSystem(MemoryLower({b"old": LowerFile(0o644, b"")}), Limits(inodes=2))
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


def test_errors_say_what_they_are() -> None:
    assert str(LinuxError(Errno.ENOENT)) == "ENOENT (No such file or directory)"
