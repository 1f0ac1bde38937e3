"""Order, numbers, listing, preparing and products: what holds for the whole tree."""

import pytest

from bootstrap.core.abi import O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, Errno
from bootstrap.core.files import Directory
from bootstrap.core.paths import PathBase
from bootstrap.linux.filesystem import OverlayFileSystem, absolute
from bootstrap.linux.hostfolder import LowerFile, LowerFolder, LowerLink, MemoryLower
from bootstrap.linux.inode import nlink
from tests.linux.expect import entries, fails

Files = dict[bytes, LowerFile | LowerLink | LowerFolder]

FILES: Files = {
    b"z": LowerFile(0o644, b"z"),
    b"a": LowerFile(0o644, b"a"),
    b"M": LowerFile(0o755, b"M"),
    b"d/x": LowerFile(0o644, b"x"),
    b"d/y": LowerFile(0o644, b"y"),
    b"d/e/w": LowerFile(0o644, b"w"),
    b"l": LowerLink(b"d"),
}


def make(files: Files | None = None) -> tuple[OverlayFileSystem, PathBase]:
    fs = OverlayFileSystem(MemoryLower({**FILES, **(files or {})}))
    return fs, PathBase(fs.root, fs.root)


def products(fs: OverlayFileSystem) -> list[tuple[bytes, bytes]]:
    return [(path, file.contents()) for path, file in fs.changed()]


def test_numbers_follow_the_order_of_looking() -> None:
    def numbers(order: list[bytes]) -> list[int]:
        fs, at = make(dict(reversed(list(FILES.items()))))
        return [fs.resolve(at, path, follow=False).ino for path in order]

    assert numbers([b"z", b"d/x", b"a", b"z"]) == [2, 4, 5, 2]
    assert numbers([b"a", b"z", b"d/e/w", b"d/e"]) == [2, 3, 6, 5]


def test_listing_is_sorted_and_tells_where_to_go_on() -> None:
    fs, at = make()
    folder = fs.open(at, b"/", O_RDONLY | O_DIRECTORY)[0]
    found = entries(folder)
    assert [name for _, _, name, _ in found] == [b".", b"..", b"M", b"a", b"d", b"l", b"z"]
    assert [kind for _, _, _, kind in found] == [4, 4, 8, 8, 4, 10, 8]
    assert found[0][0] == found[1][0] == fs.root.ino
    for index, (_, cookie, _, _) in enumerate(found):
        folder.seek(cookie, 0)
        assert entries(folder) == found[index + 1 :]
    for ino, _, name, _ in found[2:]:
        assert fs.resolve(at, name, follow=False).ino == ino


def test_reading_and_removing_in_turn_misses_nothing() -> None:
    fs, at = make({b"d/%d" % i: LowerFile(0o644, b"") for i in range(50)})
    folder = fs.open(at, b"d", O_RDONLY)[0]
    removed = 0
    while part := list(entries(folder))[:7]:
        folder.offset = part[-1][1]
        for _, _, name, kind in part:
            if kind == 8:
                fs.unlink(at, b"d/" + name)
                removed += 1
    assert removed == 52
    fs.open(at, b"d/late", O_CREAT | O_RDWR, 0o644)
    assert list(entries(folder)) == []
    folder.seek(0, 0)
    assert [name for _, _, name, _ in entries(folder)] == [b".", b"..", b"e", b"late"]


def test_listing_a_removed_directory() -> None:
    fs, at = make({b"empty": LowerFolder()})
    folder = fs.open(at, b"empty", O_RDONLY)[0]
    fs.rmdir(at, b"empty")
    with fails(Errno.ENOENT):
        entries(folder)
    assert nlink(folder.inode) == 0


def test_limits_of_names_and_paths() -> None:
    fs, at = make()
    fs.mkdir(at, b"n" * 255, 0o755)
    with fails(Errno.ENAMETOOLONG):
        fs.mkdir(at, b"n" * 256, 0o755)
    assert fs.resolve(at, b"./" * 2047 + b"a").ino
    with fails(Errno.ENAMETOOLONG):
        fs.resolve(at, b"./" * 2047 + b"aa")
    with fails(Errno.ENAMETOOLONG):
        fs.symlink(at, b"s", b"t" * 4096)
    fs.symlink(at, b"s", b"t" * 4095)


def test_deep_directories_have_no_path_but_work() -> None:
    fs, at = make()
    for _ in range(3000):
        fs.mkdir(at, b"deep", 0o755)
        inode = fs.resolve(at, b"deep")
        assert isinstance(inode, Directory)
        at = PathBase(fs.root, inode)
    assert fs.getcwd(at) == b"/deep" * 3000
    fs.open(at, b"f", O_CREAT | O_RDWR, 0o644)
    assert [path for path, _ in fs.changed()] == [b"/deep" * 3000 + b"/f"]


def test_products_are_what_the_guest_made_wrote_or_put_there() -> None:
    fs, at = make()
    fs.resolve(at, b"d/x")
    fs.resolve(at, b"a").mode = 0o100755
    assert products(fs) == []
    fs.open(at, b"d/new", O_CREAT | O_RDWR, 0o644)
    fs.open(at, b"z", O_WRONLY)[0].write(b"Z")
    fs.open(at, b"d/y", O_WRONLY | O_TRUNC)
    fs.link(fs.resolve(at, b"M"), at, b"M2")
    fs.rename(fs.parent(at, b"d/x"), fs.parent(at, b"B"))
    assert products(fs) == [
        (b"/B", b"x"),
        (b"/M2", b"M"),
        (b"/d/new", b""),
        (b"/d/y", b""),
        (b"/z", b"Z"),
    ]


def test_products_of_a_renamed_folder_nobody_looked_into() -> None:
    fs, at = make()
    fs.rename(fs.parent(at, b"d"), fs.parent(at, b"c"))
    assert [path for path, _ in fs.changed()] == [b"/c/e/w", b"/c/x", b"/c/y"]
    fs.rename(fs.parent(at, b"c"), fs.parent(at, b"d"))
    assert products(fs) == []


def test_products_are_sorted_by_path() -> None:
    fs, at = make({b"p": LowerFolder()})
    for path in (b"p/z", b"p-", b"p0"):
        fs.open(at, path, O_CREAT | O_RDWR, 0o644)
    assert [path for path, _ in fs.changed()] == [b"/p-", b"/p/z", b"/p0"]


def test_what_is_prepared_is_no_product() -> None:
    fs, at = make()
    fs.add_file(b"/x86/bin/tool", b"tool", 0o755)
    fs.add_file(b"/a", b"replaced")
    fs.add_directory(b"/d/e/empty")
    assert fs.resolve(at, b"x86/bin/tool").mode == 0o100755
    assert products(fs) == []
    assert fs.volume.meter.inodes == 0
    fs.open(at, b"a", O_WRONLY)[0].write(b"R")
    assert products(fs) == [(b"/a", b"Replaced")]
    for path in (b"/", b"d", b"a/b", b"l/b", b"../b"):
        with pytest.raises(ValueError):
            fs.add_file(path, b"")


def test_absolute_names_for_records() -> None:
    fs, at = make()
    d = fs.resolve(at, b"d")
    assert isinstance(d, Directory)
    there = PathBase(fs.root, d)
    assert absolute(there, b"x") == b"/d/x"
    assert absolute(there, b"../l/./new") == b"/d/new"
    assert absolute(there, b"../l") == b"/l"
    assert absolute(there, b"e/..") == b"/d"
    assert absolute(there, b"/") == b"/"
    assert absolute(there, b"none/../x") == b"/d/x"
    assert absolute(PathBase(d, d), b"/../x") == b"/x"


def test_names_in_removed_directories_for_records() -> None:
    fs, at = make({b"empty": LowerFolder()})
    gone = fs.resolve(at, b"empty")
    assert isinstance(gone, Directory)
    fs.rmdir(at, b"empty")
    with fails(Errno.ENOENT):
        fs.getcwd(PathBase(fs.root, gone))
    assert absolute(PathBase(fs.root, gone), b"x") == b"/(deleted)/x"
    assert absolute(PathBase(fs.root, gone), b"../a") == b"/a"
    assert absolute(PathBase(gone, gone), b"/") == b"/(deleted)"


def test_a_current_directory_outside_the_root() -> None:
    fs, at = make()
    d, e = fs.resolve(at, b"d"), fs.resolve(at, b"d/e")
    assert isinstance(d, Directory) and isinstance(e, Directory)
    outside = PathBase(e, d)
    assert fs.getcwd(outside) == b"(unreachable)/d"
    assert fs.resolve(outside, b"..") is fs.root
    assert fs.resolve(outside, b"/..") is e
    assert fs.getcwd(PathBase(e, e)) == b"/"
    with fails(Errno.ENOENT):
        fs.resolve(PathBase(d, d), b"../a")


def test_mknod_makes_regular_files_only() -> None:
    fs, at = make()
    fs.mknod(at, b"n", 0o640)
    assert fs.resolve(at, b"n").mode == 0o100640
    with fails(Errno.EPERM):
        fs.mknod(at, b"p", 0o010644)
