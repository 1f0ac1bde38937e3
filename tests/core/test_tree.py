"""Reading a folder: what is taken, what is refused, and the digest that names it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from bootstrap.core import release
from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile, Tree, read_file, read_folder


def test_a_folder_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "x86" / "bin").mkdir(parents=True)
    (tmp_path / "x86" / "a").write_bytes(b"a")
    (tmp_path / "seed").write_bytes(b"s")
    (tmp_path / "seed").chmod(0o700)
    (tmp_path / "link").symlink_to("x86/a")
    (tmp_path / "to-folder").symlink_to("x86")
    tree = read_folder(tmp_path)
    assert tree.files == {"x86/a": SourceFile(b"a"), "seed": SourceFile(b"s", executable=True)}
    assert tree.symlinks == {"link": "x86/a", "to-folder": "x86"}
    assert tree.folders == {"x86", "x86/bin"}
    tree.refuse_odd()


def test_what_git_keeps_is_left_out(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(b"")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".git").write_bytes(b"gitdir: ../.git")
    (tmp_path / ".gitignore").write_bytes(b"")
    assert [*read_folder(tmp_path).files] == [".gitignore"]


def test_the_digest_is_that_of_its_lines() -> None:
    tree = Tree("", {"b": SourceFile(b"1"), "a": SourceFile(b"2", True)}, {"c": "a"})
    lines = b""
    for mode, content, path in (
        (b"100755", b"2", b"a"),
        (b"100644", b"1", b"b"),
        (b"120000", b"a", b"c"),
    ):
        lines += b"%s %s %s\0" % (mode, hashlib.sha256(content).hexdigest().encode(), path)
    assert tree.digest == hashlib.sha256(lines).hexdigest()


@pytest.mark.parametrize(
    "changed",
    [
        Tree("", {"a": SourceFile(b"2")}),
        Tree("", {"a": SourceFile(b"1", True)}),
        Tree("", {"b": SourceFile(b"1")}),
        Tree("", {"a": SourceFile(b"1")}, {"b": "a"}),
        Tree("", {}, {"a": "1"}),
        Tree("", {}),
    ],
)
def test_the_digest_sees_content_mode_name_and_kind(changed: Tree) -> None:
    assert changed.digest != Tree("", {"a": SourceFile(b"1")}).digest


def refused(tree: Tree) -> str:
    with pytest.raises(BadInput) as caught:
        tree.refuse_odd()
    return str(caught.value)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "../..", "x/../../../y"])
def test_a_link_out_of_the_tree_is_refused(target: str) -> None:
    assert "is a link out of the tree" in refused(Tree("t", {}, {"d/link": target}))


@pytest.mark.parametrize("target", ["x", "../x", "../..", "a/../../x"])
def test_a_link_within_the_tree_is_none(target: str) -> None:
    Tree("t", {}, {"a/b/link": target}).refuse_odd()


def test_a_special_file_is_refused_and_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refused(read_folder(tmp_path)).endswith("pipe is neither file, link nor folder")


@pytest.mark.parametrize("byte", [0x80, 0xFF])
def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path, byte: int) -> None:
    (tmp_path / os.fsdecode(bytes((byte,)))).write_bytes(b"")
    tree = read_folder(tmp_path)
    assert [*tree.files] == [chr(0xDC00 + byte)]
    assert "is a name that is not UTF-8" in refused(tree)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_is_said_in_a_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match=f"{name}: cannot be read: N"):
        read_folder(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(BadInput, match="closed: cannot be read: Permission denied"):
        read_folder(tmp_path)
    (tmp_path / "closed").chmod(0o700)


def test_a_folder_that_vanishes_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    listing = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(BadInput, match="closed: cannot be read: Permission denied"):
        read_folder(tmp_path)


def test_too_large_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"12")
    monkeypatch.setattr(release, "MAX_FILES", 2)
    with pytest.raises(BadInput, match="too large for a stage0-posix tree: more than 2 files"):
        read_folder(tmp_path)
    monkeypatch.setattr(release, "MAX_FILES", 3)
    assert len(read_folder(tmp_path).files) == 3
    monkeypatch.setattr(release, "MAX_BYTES", 5)
    with pytest.raises(BadInput, match="c: has more than the 1 bytes that may be read"):
        read_folder(tmp_path)


def test_a_file_is_read_up_to_its_limit_and_nothing_else(tmp_path: Path) -> None:
    file, link, pipe = (tmp_path / name for name in ("file", "link", "pipe"))
    file.write_bytes(b"abc")
    link.symlink_to("file")
    os.mkfifo(pipe)
    assert read_file(file, 3, follow=False) == read_file(link, 3) == b"abc"
    for path, limit, follow, says in (
        (file, 2, True, "more than the 2 bytes"),
        (link, 3, False, "cannot be read: Too many levels of symbolic links"),
        (pipe, 3, False, "is not a regular file"),
    ):
        with pytest.raises(BadInput, match=says):
            read_file(path, limit, follow)


def test_no_file_of_a_tree_is_read_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One may be put in a file's place after it was looked at."""
    (tmp_path / "file").write_bytes(b"")
    followed: list[bool] = []

    def read(path: Path, limit: int, follow: bool = True) -> bytes:
        followed.append(follow)
        return b""

    monkeypatch.setattr(release, "read_file", read)
    read_folder(tmp_path)
    assert followed == [False]


@pytest.mark.parametrize(("mode", "executable"), [(0o500, True), (0o410, True), (0o401, True),
                                                  (0o622, False), (0o444, False)])  # fmt: skip
def test_any_x_bit_makes_a_program(tmp_path: Path, mode: int, executable: bool) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "file").chmod(mode)
    assert read_folder(tmp_path).files["file"].executable == executable
