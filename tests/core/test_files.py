"""Open file descriptions and inodes: bytes in and out, offsets, sharing, what is counted."""

from __future__ import annotations

import ctypes
import hashlib
import random
from collections.abc import Callable

import pytest

from bootstrap.core import abi
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
)
from bootstrap.core.errors import GuestFailed, Limits
from bootstrap.core.files import Directory, OpenFile, RegularFile, Stream
from bootstrap.core.paths import FileSystem, PathBase
from tests.core.calls import fails


def base(files: FileSystem) -> PathBase:
    return PathBase(files.root, files.root)


def open_at(files: FileSystem, path: bytes, flags: int, mode: int = 0o644) -> OpenFile:
    return files.open(base(files), path, flags, mode)[0]


def make(
    content: bytes = b"", limits: Limits | None = None, flags: int = O_RDWR
) -> tuple[FileSystem, OpenFile]:
    files = FileSystem(limits)
    files.add_file(b"/f", content)
    return files, open_at(files, b"f", flags)


def regular(file: OpenFile) -> RegularFile:
    assert isinstance(file.inode, RegularFile)
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
    _, file = make(b"ab")
    inode = regular(file)
    assert file.read(100) == b"ab"
    file.seek(8, SEEK_SET)
    assert file.write(b"z") == 1
    assert inode.contents() == b"ab\0\0\0\0\0\0z"
    assert len(inode.data) >= inode.size
    assert not any(inode.data[inode.size :])
    inode.empty()
    assert (inode.size, inode.contents()) == (0, b"")


def test_large_files_are_as_small_ones() -> None:
    _, file = make(b"start")
    inode = regular(file)
    file.seek(3 << 20, SEEK_SET)
    file.write(b"end")
    assert inode.size == (3 << 20) + 3
    assert inode.read_at(0, 7) == b"start\0\0"
    assert inode.contents().strip(b"\0") == b"start" + bytes((3 << 20) - 5) + b"end"
    file.seek(0, SEEK_END)
    file.write(b"x" * (4 << 20))
    assert inode.read_at(3 << 20, 5) == b"endxx"


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
    inode.empty()
    assert bytes(pointer) == b"Abc"


def test_the_hash_is_that_of_the_present_content() -> None:
    _, file = make(b"abc")
    assert regular(file).sha256() == hashlib.sha256(b"abc").hexdigest()
    file.write(b"x")
    assert regular(file).sha256() == hashlib.sha256(b"xbc").hexdigest()


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


def test_a_directory_is_not_read() -> None:
    files, _ = make()
    file = open_at(files, b"/", O_RDONLY)
    with fails(Errno.EISDIR):
        file.read(1)
    with fails(Errno.EBADF):
        file.write(b"x")
    with fails(Errno.EINVAL):
        file.seek(0, SEEK_END)


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
    assert file.seek(abi.MAX_OFFSET, SEEK_SET) == (1 << 63) - 1
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
    files, file = make(b"abc")
    file.refs += 1
    file.close()
    files.unlink(base(files), b"f")
    assert file.read(3) == b"abc"
    file.close()
    assert len(regular(file).data) == 0


def test_what_is_gone_no_longer_counts() -> None:
    files = FileSystem()
    meter = files.volume.meter
    file = open_at(files, b"f", O_RDWR | O_CREAT)
    file.write(b"abc")
    files.unlink(base(files), b"f")
    assert (meter.inodes, meter.files > 0) == (1, True)
    file.close()
    assert (meter.inodes, meter.files) == (0, 0)


def test_a_larger_file_than_allowed_ends_the_run() -> None:
    _, file = make(limits=Limits(file=3000))
    assert file.write(bytes(2999)) == 2999
    assert file.write(b"x") == 1
    assert len(regular(file).data) <= 3000  # native code stops there too
    acts: list[Callable[[], object]] = [
        lambda: file.write(b"x"),
        lambda: file.room(1),
    ]
    for act in acts:
        with pytest.raises(GuestFailed, match=r"/f.*over the limit of 3000 .*--limit file="):
            act()
    assert regular(file).size == 3000


def test_more_bytes_in_all_than_allowed_end_the_run() -> None:
    files = FileSystem(Limits(files_total=10_000))
    opened = [open_at(files, b"f%d" % i, O_RDWR | O_CREAT) for i in range(3)]
    opened[0].write(bytes(4000))
    opened[1].write(bytes(4000))
    with pytest.raises(GuestFailed, match="--limit files_total="):
        opened[2].write(bytes(4000))
    regular(opened[0]).empty()
    assert opened[2].write(bytes(4000)) == 4000
    assert files.volume.meter.files <= 10_000


def test_more_files_than_allowed_end_the_run() -> None:
    files = FileSystem(Limits(inodes=2))
    files.add_file(b"/old", b"")  # what is laid out does not count
    for name in (b"a", b"b"):
        open_at(files, name, O_RDWR | O_CREAT).close()
    with pytest.raises(GuestFailed, match=r"/c .*--limit inodes="):
        open_at(files, b"c", O_RDWR | O_CREAT)
    files.unlink(base(files), b"old")
    with pytest.raises(GuestFailed, match="--limit inodes="):
        open_at(files, b"c", O_RDWR | O_CREAT)
    files.unlink(base(files), b"a")
    open_at(files, b"c", O_RDWR | O_CREAT)


def test_numbers_are_never_given_twice() -> None:
    files = FileSystem()
    first = open_at(files, b"n", O_CREAT | O_RDWR)
    files.unlink(base(files), b"n")
    first.close()
    assert open_at(files, b"n", O_CREAT | O_RDWR).inode.ino > first.inode.ino


def test_a_directory_may_be_of_a_class_that_fills_itself() -> None:
    asked = []

    class Lazy(Directory):
        def lookup(self, name: bytes) -> RegularFile | None:
            asked.append(name)
            return RegularFile(volume, 0o100644, name, b"found")

    files = FileSystem()
    volume = files.volume
    files = FileSystem(volume=volume, root=Lazy(volume, 0o40755, None))
    assert open_at(files, b"/anything", O_RDONLY).read(9) == b"found"
    assert asked == [b"anything"]
