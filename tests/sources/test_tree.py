"""Trees from folders, and the tree digest."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.sources import open_source
from bootstrap.sources.tree import read_archive, to_tar
from tests.sources import sample


def test_a_folder_and_its_archive_are_the_same_tree(tmp_path: Path) -> None:
    folder = open_source(sample.make_folder(tmp_path / "a"))
    (tmp_path / "a.tar.gz").write_bytes(sample.make_archive())
    archive = open_source(tmp_path / "a.tar.gz")
    assert (folder.kind, archive.kind) == ("folder", "archive")
    assert folder.digest == archive.digest
    assert folder.files == archive.files
    assert archive.archive_sha256 == sample.sha256(sample.make_archive())


def test_what_git_keeps_for_itself_is_left_out(tmp_path: Path) -> None:
    root = sample.make_folder(tmp_path / "t")
    before = open_source(root).digest
    (root / ".git" / "objects").mkdir(parents=True)
    (root / ".git" / "HEAD").write_text("x")
    (root / "x86" / ".git").write_text("gitdir: ../.git/modules/x86\n")
    (root / "x86" / "empty").mkdir()
    assert open_source(root).digest == before
    (root / ".gitignore").write_text("x")
    assert open_source(root).digest != before


def test_links_and_special_files_are_seen_but_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sample.make_folder(tmp_path / "t")
    (root / "out").symlink_to("/etc/passwd")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(root)
        listener.bind("sock")
        tree = open_source(root)
    assert tree.symlinks == {"out": "/etc/passwd", "loop": str(root)}
    assert tree.special == ("pipe", "sock")
    assert set(tree.files) == set(sample.FILES)


def test_a_folder_may_be_deeper_than_python_recurses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sample.make_folder(tmp_path / "t")
    deep = "d/" * 1500
    fd = os.open(root, os.O_RDONLY)
    for _ in range(1500):  # one by one: the whole path may be longer than a system call takes
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    try:
        assert deep[:-1] in open_source(root).folders
    finally:
        os.removedirs(root / deep)  # what clears up after tests does recurse


def test_names_that_are_no_utf8_survive(tmp_path: Path) -> None:
    root = sample.make_folder(tmp_path / "t")
    with open(os.fsencode(root) + b"/\xff\xe9", "wb") as file:
        file.write(b"x")
    tree = open_source(root)
    assert tree.files["\udcff\udce9"].data == b"x"
    assert read_archive(to_tar(tree, "top"), "t").digest == tree.digest


def test_the_same_tree_gives_the_same_archive(tmp_path: Path) -> None:
    a = open_source(sample.make_folder(tmp_path / "a"))
    b = open_source(sample.make_folder(tmp_path / "b", dict(reversed(sample.FILES.items()))))
    assert to_tar(a, "t") == to_tar(b, "t")


def test_what_cannot_be_a_source_is_named(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    for path, says in (
        (tmp_path / "none", "cannot be read: No such file"),
        (fifo, "is neither a folder nor an archive file"),
        (Path("/dev/zero"), "is neither a folder nor an archive file"),
        (Path("a\0b"), "cannot be read"),
    ):
        with pytest.raises(BadInput) as caught:
            open_source(path)
        assert says in str(caught.value)


def test_a_tree_that_is_too_large_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sample.make_folder(tmp_path / "t")
    monkeypatch.setattr("bootstrap.core.release.MAX_FILES", 3)
    with pytest.raises(BadInput, match="too large for a stage0-posix tree: more than 3 files"):
        open_source(root)
    monkeypatch.setattr("bootstrap.core.release.MAX_FILES", 100)
    monkeypatch.setattr("bootstrap.core.release.MAX_BYTES", 9)
    with pytest.raises(BadInput, match=r"more than the \d bytes"):
        open_source(root)


def test_an_archive_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bootstrap.sources.tree.MAX_ARCHIVE", 10)
    (tmp_path / "a.tar.gz").write_bytes(sample.make_archive())
    with pytest.raises(BadInput, match="more than the 10 bytes"):
        open_source(tmp_path / "a.tar.gz")


def test_what_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = sample.make_folder(tmp_path / "t")
    real = os.open

    def denied(path: Path, flags: int) -> int:
        if path.name == "README":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags)

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(BadInput, match="README: cannot be read: Permission denied"):
        open_source(root)
