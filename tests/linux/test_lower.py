"""The read-only tree below: normalised, lazy, never written, and no way out of it."""

import os
import socket
from pathlib import Path

import pytest

from bootstrap import host
from bootstrap.core.abi import O_CREAT, O_RDONLY, O_RDWR, O_WRONLY, S_IFMT, Errno
from bootstrap.core.errors import BadInput
from bootstrap.core.files import Directory, RegularFile, Symlink
from bootstrap.core.paths import PathBase
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.flags import S_IFIFO, S_IFSOCK
from bootstrap.linux.hostfolder import FolderLower, LowerFile, LowerFolder, LowerLink, MemoryLower
from bootstrap.linux.inode import nlink
from tests.linux.expect import fails


def mounted(root: Path) -> tuple[OverlayFileSystem, PathBase]:
    fs = OverlayFileSystem(FolderLower(root))
    return fs, PathBase(fs.root, fs.root)


def content(fs: OverlayFileSystem, at: PathBase, path: bytes) -> bytes:
    inode = fs.resolve(at, path)
    assert isinstance(inode, RegularFile)
    return inode.contents()


@pytest.fixture(params=["by descriptors", "by paths"])
def root(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `root`, and beside it a secret that no guest may see."""
    if request.param == "by paths":
        monkeypatch.setattr(host, "HAS_DIR_FD", False)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root" / "d").mkdir(parents=True)
    (tmp_path / "root" / "d" / "f").write_text("inside")
    return tmp_path / "root"


def test_modes_are_normalised(root: Path) -> None:
    (root / "d").chmod(0o700)
    (root / "d" / "f").chmod(0o664)
    (root / "run").write_text("")
    (root / "run").chmod(0o4610)
    fs, at = mounted(root)
    modes = {path: fs.resolve(at, path).mode & 0o7777 for path in (b"/", b"d", b"d/f", b"run")}
    assert modes == {b"/": 0o755, b"d": 0o755, b"d/f": 0o644, b"run": 0o755}


def test_what_the_guest_does_never_reaches_the_host(root: Path) -> None:
    before = sorted(str(path) for path in root.parent.rglob("*"))
    fs, at = mounted(root)
    file = fs.open(at, b"d/f", O_RDWR)[0]
    file.write(b"OUT")
    fs.open(at, b"new", O_CREAT | O_WRONLY, 0o600)[0].write(b"x")
    fs.rename(fs.parent(at, b"d"), fs.parent(at, b"e"))
    fs.mkdir(at, b"d", 0o755)
    fs.resolve(at, b"e/f").mode = 0o100777
    assert content(fs, at, b"e/f") == b"OUTide"
    fs.unlink(at, b"e/f")
    assert sorted(str(path) for path in root.parent.rglob("*")) == before
    assert (root / "d" / "f").read_text() == "inside"
    assert (root / "d" / "f").stat().st_mode & 0o777 != 0o777


@pytest.mark.parametrize(
    "path",
    [b"../secret", b"/../secret", b"d/../../secret", b"/d/../../../../../secret", b"..//../secret"],
)
def test_dots_stop_at_the_root(root: Path, path: bytes) -> None:
    fs, at = mounted(root)
    with fails(Errno.ENOENT):
        fs.resolve(at, path)
    with fails(Errno.ENOENT):
        folder = fs.open(at, b"d", O_RDONLY)[0].inode
        assert isinstance(folder, Directory)
        fs.open(PathBase(fs.root, folder), path, O_RDONLY)


def test_links_resolve_inside_the_root_only(root: Path) -> None:
    (root / "absolute").symlink_to(root.parent / "secret")
    (root / "up").symlink_to("../secret")
    (root / "folder").symlink_to("..")
    (root / "inside").symlink_to("/d/f")
    fs, at = mounted(root)
    for path in (b"absolute", b"up", b"folder/secret", b"folder/../../secret"):
        assert isinstance(fs.resolve(at, path.split(b"/")[0], follow=False), Symlink)
        with fails(Errno.ENOENT):
            fs.open(at, path, O_RDONLY)
    assert fs.readlink(at, b"absolute") == os.fsencode(root.parent / "secret")
    assert content(fs, at, b"inside") == b"inside"
    assert fs.resolve(at, b"folder") is fs.root


def test_link_loops(root: Path) -> None:
    (root / "x").symlink_to("y")
    (root / "y").symlink_to("x")
    fs, at = mounted(root)
    with fails(Errno.ELOOP):
        fs.resolve(at, b"x")
    with fails(Errno.ELOOP):
        fs.open(at, b"y/z", O_CREAT | O_RDWR, 0o644)


def test_a_file_swapped_for_a_link_is_not_followed(root: Path) -> None:
    fs, at = mounted(root)
    fs.resolve(at, b"d/f")
    (root / "d" / "f").unlink()
    (root / "d" / "f").symlink_to(root.parent / "secret")
    with pytest.raises(BadInput, match=r"root: the file d/f cannot be read: .*; make it readable"):
        fs.open(at, b"d/f", O_RDONLY)


def test_a_folder_swapped_for_a_link_is_not_followed(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "f").write_text("secret")
    fs, at = mounted(root)
    fs.resolve(at, b"d/f")
    (root / "d").rename(root / "away")
    (root / "d").symlink_to(outside)
    with pytest.raises(BadInput, match="the file d/f cannot be read"):
        fs.open(at, b"d/f", O_RDONLY)
    fresh = FolderLower(root)
    with pytest.raises(BadInput, match="the folder d cannot be read"):
        fresh.list(b"/d")


@pytest.mark.parametrize(
    "path", [b"/../secret", b"/d/../../secret", b"/./d", b"//d", b"d/", b"a\0"]
)
def test_a_lower_tree_takes_only_plain_paths(root: Path, path: bytes) -> None:
    for lower in (FolderLower(root), MemoryLower({})):
        with pytest.raises(ValueError, match="not a plain guest path"):
            lower.load(path)


def test_special_files_are_told_and_never_opened(root: Path) -> None:
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(root)  # a socket's path must be short
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
        fs, at = mounted(root)
        assert fs.resolve(at, b"fifo").mode & S_IFMT == S_IFIFO
        assert fs.resolve(at, b"socket").mode & S_IFMT == S_IFSOCK
        for path in (b"fifo", b"socket"):
            for flags in (O_RDONLY, O_WRONLY, O_RDWR | O_CREAT):
                with fails(Errno.ENXIO):
                    fs.open(at, path, flags)
            with fails(Errno.EINVAL):
                fs.truncate(at, path, 0)
            fs.unlink(at, path)
    assert (root / "fifo").exists()


def test_an_unreadable_file_is_named(root: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every file; see the tests of vanished files")
    (root / "d" / "f").chmod(0)
    fs, at = mounted(root)
    with pytest.raises(BadInput, match="the file d/f cannot be read: Permission denied; make it"):
        fs.open(at, b"d/f", O_RDONLY)


def test_a_refused_file_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fs, at = mounted(root)
    fs.resolve(at, b"d/f")
    real = os.open

    def refuse(path: bytes, flags: int, **rest: int) -> int:
        if os.path.basename(path) == b"f":
            raise PermissionError(13, "Permission denied")
        return real(path, flags, **rest)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BadInput, match="the file d/f cannot be read: Permission denied; make it"):
        fs.open(at, b"d/f", O_RDONLY)


def test_a_vanished_folder_and_a_file_are_no_root(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("none", "file"):
        with pytest.raises(BadInput, match=f"{name}: the folder . cannot be read"):
            FolderLower(tmp_path / name)


def test_a_file_that_changes_during_the_run_is_noticed(root: Path) -> None:
    fs, at = mounted(root)
    fs.resolve(at, b"d/f")
    (root / "d" / "f").write_text("longer than before")
    with pytest.raises(BadInput, match="/d/f: had 6 bytes and now has 18"):
        fs.open(at, b"d/f", O_RDONLY)


def test_only_what_is_needed_is_read(root: Path) -> None:
    class Counting(FolderLower):
        calls: list[bytes]

        def load(self, guest_path: bytes) -> bytes:
            self.calls.append(guest_path)
            return super().load(guest_path)

    lower = Counting(root)
    lower.calls = []
    fs = OverlayFileSystem(lower)
    at = PathBase(fs.root, fs.root)
    found = fs.resolve(at, b"d/f")
    assert isinstance(found, RegularFile) and found.size == 6
    assert list(fs.changed()) == []
    assert lower.calls == []
    fs.open(at, b"d/f", O_RDONLY)
    fs.open(at, b"d/f", O_RDONLY)
    assert lower.calls == [b"/d/f"]


def test_the_root_may_be_reached_through_a_link(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    fs, at = mounted(root.parent / "link")
    assert content(fs, at, b"d/f") == b"inside"


def test_memory_implies_folders() -> None:
    lower = MemoryLower(
        {
            b"a/b/c": LowerFile(0o700, b"c"),
            b"/a/e": LowerFolder(),
            b"a/e/f": LowerLink(b"../b/c"),
            b"g": LowerFolder(),
        }
    )
    fs = OverlayFileSystem(lower)
    at = PathBase(fs.root, fs.root)
    assert content(fs, at, b"a/e/f") == b"c"
    assert fs.resolve(at, b"a/e/f").mode == 0o100755
    assert nlink(fs.resolve(at, b"a")) == 4
    assert fs.root.names() == [b"a", b"g"]


@pytest.mark.parametrize("path", [b"a/b", b"/a", b"a/../c", b"", b"a//c"])
def test_memory_refuses_what_is_no_tree(path: bytes) -> None:
    with pytest.raises(ValueError):
        MemoryLower({b"a": LowerFile(0o644, b""), path: LowerFile(0o644, b"")})
