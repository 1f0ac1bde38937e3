"""Looking paths up, opening and removing: against the host's own files, and what it cannot show."""

from __future__ import annotations

import contextlib
import os
import random
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrap.core import abi
from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.files import Directory, RegularFile, Symlink
from bootstrap.core.paths import FileSystem, Lookup, PathBase, plain_parts
from tests.core.calls import fails
from tests.core.guest import file_at
from tests.core.test_files import base, open_at

LINKS = {
    b"l": b"a/b", b"l-file": b"b", b"l-slash": b"b/", b"l-none": b"a/new",
    b"l-none-slash": b"a/new/", b"l-self": b"l-self", b"l-up": b"a/../a/..", b"l-dot": b"a/.",
    b"a/l-l": b"../l-none",
}  # fmt: skip
FILES = {b"a/b/c": b"content", b"a/f": b"", b"b": b"0123456789", b"e/x": b""}
NAMES = [b"a", b"b", b"c", b"e", b"f", b"x", b"new", b".", b"..", b"l-l", b"n" * 255, b"n" * 256,
         *(name for name in LINKS if b"/" not in name)]  # fmt: skip


def add_link(files: FileSystem, path: bytes, target: bytes) -> None:
    directory, _, name = path.rpartition(b"/")
    parent = files.add_directory(b"/" + directory)
    parent.put(name, Symlink(files.volume.next_ino(), target))


def sample() -> FileSystem:
    files = FileSystem()
    for path, content in FILES.items():
        files.add_file(b"/" + path, content, 0o755 if path == b"b" else 0o644)
    for path, target in LINKS.items():
        add_link(files, path, target)
    return files


def on_the_host(top: Path) -> None:
    top.chmod(0o755)
    for path, content in FILES.items():
        place = top / os.fsdecode(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(0o755 if path == b"b" else 0o644)
    for path, target in LINKS.items():
        os.symlink(target, os.fsencode(top) + b"/" + path)


def a_path(rng: random.Random) -> bytes:
    names = [
        rng.choice(NAMES[: rng.choice([9, len(NAMES)])]) for _ in range(rng.choice([1, 1, 2, 3]))
    ]
    path = b"/".join(names) + rng.choice([b"", b"", b"", b"/", b"//", b"/."])
    return rng.choice([path] * 9 + [b"", b"./" * 2047 + b"b", b"./" * 2048, b"e/new"])


def outcome(act: Callable[[], object]) -> object:
    try:
        return act()
    except LinuxError as error:
        return int(error.errno)
    except OSError as error:
        return error.errno


def inside(top: int, path: bytes) -> bool:
    """Whether a path of the host stays below `top`: what climbs out of it is not compared."""
    depth = 0
    for part in path.split(b"/"):
        depth += -1 if part == b".." else part not in (b"", b".", b"l-up")
        if depth < 0:
            return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="this host is not Linux")
@pytest.mark.parametrize("seed", range(20))
def test_as_on_the_host(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    on_the_host(tmp_path)
    files = sample()
    at = base(files)
    top = os.open(tmp_path, os.O_RDONLY)
    compared = 0
    for _ in range(120):
        path = a_path(rng)
        if not inside(top, path) or b"\0" in path:
            continue
        action = rng.choice(["open", "open", "open", "unlink", "resolve", "resolve", "chmod"])
        flags = rng.choice([0, 1, 2]) | sum({
            rng.choice([0, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_DIRECTORY, os.O_NOFOLLOW])
            for _ in range(3)
        })  # fmt: skip
        if flags & os.O_CREAT and flags & os.O_DIRECTORY:
            continue  # both together are an error only since Linux 6.4

        def ours(path: bytes = path, action: str = action, flags: int = flags) -> object:
            if action == "open":
                file, _ = files.open(at, path, flags | abi.O_LARGEFILE, 0o644)
                content = (
                    file.read(100)
                    if file.readable and isinstance(file.inode, RegularFile)
                    else None
                )
                file.close()
                return content
            if action == "unlink":
                files.unlink(at, path)
                return None
            inode = files.resolve(at, path)
            if action == "chmod":
                inode.mode = 0o040755 if isinstance(inode, Directory) else 0o100600
            return inode.mode, inode.size if isinstance(inode, RegularFile) else None

        def theirs(path: bytes = path, action: str = action, flags: int = flags) -> object:
            if action == "open":
                fd = os.open(path, flags, 0o644, dir_fd=top)
                try:
                    with contextlib.suppress(IsADirectoryError, OSError):
                        return os.read(fd, 100)
                    return None
                finally:
                    os.close(fd)
            if action == "unlink":
                os.unlink(path, dir_fd=top)
                return None
            info = os.stat(path, dir_fd=top)
            if action == "chmod":
                os.chmod(path, 0o755 if stat.S_ISDIR(info.st_mode) else 0o600, dir_fd=top)
                info = os.stat(path, dir_fd=top)
            size = info.st_size if stat.S_ISREG(info.st_mode) else None
            return info.st_mode, size

        with_umask = os.umask(0)
        expected = outcome(theirs)
        os.umask(with_umask)
        assert outcome(ours) == expected, (action, path, oct(flags))
        compared += 1
    os.close(top)
    assert compared > 60


def test_nothing_is_above_the_root() -> None:
    files = sample()
    inner = files.add_directory(b"/a/b")
    jail = PathBase(files.add_directory(b"/a"), inner)
    assert files.resolve(jail, b"/") is jail.root
    assert files.resolve(jail, b"../../../..") is jail.root
    assert files.resolve(jail, b"/../f") is file_at(files, b"/a/f")
    with fails(Errno.ENOENT):
        files.resolve(jail, b"/../b/x")


def test_links_are_counted_over_one_whole_look_up() -> None:
    files = FileSystem()
    files.add_file(b"/end", b"")
    for number in range(41):
        add_link(files, b"l%d" % number, b"end" if number == 0 else b"l%d" % (number - 1))
    assert files.resolve(base(files), b"l39") is file_at(files, b"/end")
    with fails(Errno.ELOOP):
        files.resolve(base(files), b"l40")
    with fails(Errno.ELOOP):
        open_at(files, b"l40", abi.O_RDONLY)
    lookup = Lookup(base(files))
    for _ in range(40):
        lookup.count_link()
    with fails(Errno.ELOOP):
        lookup.count_link()


def test_a_name_that_is_removed_while_it_is_open() -> None:
    files = sample()
    file = open_at(files, b"b", abi.O_RDWR)
    files.unlink(base(files), b"b")
    assert file_at(files, b"/b") is None
    again = open_at(files, b"b", abi.O_RDWR | abi.O_CREAT)
    again.write(b"new")
    assert (file.read(10), file_at(files, b"/b")) == (b"0123456789", again.inode)


def test_what_is_run_is_not_opened_for_writing() -> None:
    files = sample()
    program = file_at(files, b"/b")
    assert program is not None
    program.runners = 1
    for flags in (1, 2, abi.O_TRUNC, abi.O_RDWR | abi.O_CREAT, abi.O_WRONLY | abi.O_TRUNC):
        with fails(Errno.ETXTBSY):
            open_at(files, b"b", flags)
    assert open_at(files, b"b", abi.O_RDONLY).read(3) == b"012"


def test_a_large_file_needs_o_largefile() -> None:
    files = sample()
    program = file_at(files, b"/b")
    assert program is not None
    program.size = abi.MAX_NON_LFS + 1
    with fails(Errno.EOVERFLOW):
        open_at(files, b"b", abi.O_RDONLY)
    open_at(files, b"b", abi.O_RDONLY | abi.O_LARGEFILE)


def test_in_a_directory_without_a_name_there_is_nothing() -> None:
    files = sample()
    gone = files.add_directory(b"/e")
    gone.removed = True
    with fails(Errno.ENOENT):
        files.resolve(PathBase(files.root, gone), b"x")


def test_laying_out_refuses_what_is_no_plain_path() -> None:
    files = sample()
    for path in (
        b"",
        b"a",
        b"//a",
        b"/a/",
        b"/a//b",
        b"/./a",
        b"/../a",
        b"/a\0",
        b"/" + b"n" * 256,
    ):
        with pytest.raises(ValueError, match=r"name for a file|absolute path"):
            plain_parts(path)
        with pytest.raises(ValueError, match=r"name for a file|absolute path"):
            files.add_file(path, b"")
    assert plain_parts(b"/") == ()
    for path in (b"/", b"/a", b"/b", b"/l"):
        with pytest.raises(ValueError, match="is there already"):
            files.add_file(path, b"")
    for path in (b"/b/x", b"/l/x"):
        with pytest.raises(ValueError, match="is no directory"):
            files.add_file(path, b"")


def test_reading_a_tree_follows_no_link() -> None:
    files = sample()
    assert file_at(files, b"/a/f") is not None
    for path in (b"/l-file", b"/l/c", b"/l-dot/f", b"/a", b"/none", b"/b/x"):
        assert file_at(files, path) is None


def test_a_path_for_a_message_is_cut_short() -> None:
    files = FileSystem()
    deep = files.add_directory(b"/d" * 100)
    assert files.path_of(files.add_directory(b"/x/y")) == b"/x/y"
    assert files.path_of(files.root) == b"/"
    assert files.path_of(files.root, b"f") == b"/f"
    assert files.path_of(deep, b"f") == b".../" + b"d/" * 31 + b"f"


@pytest.mark.parametrize("path", [b"/", b"//", b"..", b"a/.."])
def test_the_root_is_neither_made_nor_removed(path: bytes) -> None:
    """As Linux has it: open(2) and unlink(2), EISDIR."""
    files = sample()
    with fails(Errno.EISDIR):
        open_at(files, path, abi.O_CREAT)
    with fails(Errno.EISDIR):
        files.unlink(base(files), path)
