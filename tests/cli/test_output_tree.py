"""`run --output`: what Linux would have made, and each name that cannot be written by its name."""

from __future__ import annotations

import os
import shutil
import tracemalloc
from pathlib import Path

import pytest

from bootstrap import host
from bootstrap.cli.output_tree import write_tree
from bootstrap.core.abi import O_CREAT, O_RDWR
from bootstrap.core.files import Directory
from bootstrap.core.paths import PathBase
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from tests.cli.command import bootstrap
from tests.instruments.guest import CODE, Cell, Program


def fresh() -> tuple[OverlayFileSystem, PathBase]:
    fs = OverlayFileSystem(MemoryLower({b"lower/old": LowerFile(0o644, b"old")}))
    return fs, PathBase(fs.root, fs.root)


def put(
    fs: OverlayFileSystem, at: PathBase, path: bytes, content: bytes = b"x", mode: int = 0o644
) -> None:
    file = fs.open(at, path, O_CREAT | O_RDWR, mode)[0]
    file.write(content)
    file.close()


def deeper(fs: OverlayFileSystem, at: PathBase, name: bytes, mode: int) -> PathBase:
    fs.mkdir(at, name, mode)
    found = fs.resolve(at, name)
    assert isinstance(found, Directory)
    return PathBase(at.root, found)


def test_a_path_may_be_longer_than_a_call_takes(tmp_path: Path) -> None:
    fs, at = fresh()
    name = b"n" * 250
    for _ in range(300):
        at = deeper(fs, at, name, 0o750)
        put(fs, at, b"f")
    tracemalloc.start()
    assert write_tree(tmp_path, fs) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 << 20  # with a path for each file it would be 11 MB
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
        assert os.fstat(here).st_mode & 0o777 == 0o750
        assert sorted(os.listdir(here)) == ["f", os.fsdecode(name)][: len(os.listdir(here))]
        with open(os.open("f", os.O_RDONLY, dir_fd=here), "rb") as file:
            assert file.read() == b"x"
    assert os.listdir(here) == ["f"]
    os.close(here)


def test_what_linux_would_have_made(tmp_path: Path) -> None:
    fs, at = fresh()
    fs.symlink(at, b"link", b"../outside")
    fs.mkdir(at, b"empty", 0o555)
    put(fs, at, b"a\\b:\xff", b"named", 0o751)
    put(fs, at, b"lower/new", b"1" + bytes(5 << 20) + b"2")
    fs.open(at, b"lower/old", 0)[0].close()
    out = tmp_path / "out"
    assert write_tree(out, fs) == []
    assert sorted(os.listdir(os.fsencode(out))) == [b"a\\b:\xff", b"empty", b"link", b"lower"]
    assert os.readlink(out / "link") == "../outside"
    assert (out / "empty").stat().st_mode & 0o777 == 0o755  # it stays its owner's
    assert os.stat(os.path.join(os.fsencode(out), b"a\\b:\xff")).st_mode & 0o777 == 0o751
    assert os.listdir(out / "lower") == ["new"]
    found = out / "lower" / "new"
    assert found.read_bytes() == b"1" + bytes(5 << 20) + b"2"
    assert found.stat().st_blocks * 512 < 4 << 20  # its hole is one


def test_one_name_does_not_keep_the_others_from_being_written(tmp_path: Path) -> None:
    fs, at = fresh()
    for path in (b"a", b"blocked", b"z"):
        put(fs, at, path)
    inner = deeper(fs, at, b"folder", 0o755)
    put(fs, inner, b"in")
    put(fs, deeper(fs, at, b"led", 0o755), b"away")
    out, away = tmp_path / "out", tmp_path / "away"
    (out / "blocked").mkdir(parents=True)
    (out / "folder").write_text("in the way")
    away.mkdir()
    (out / "led").symlink_to(away)
    lines = write_tree(out, fs)
    assert [line.partition(":")[0] for line in lines] == ["blocked", "folder", "led"]
    assert lines[0] == "blocked: cannot be written: Is a directory"
    assert lines[1] == "folder: cannot be written, nor what is in it: Not a directory"
    assert sorted(os.listdir(out)) == ["a", "blocked", "folder", "led", "z"]
    assert os.listdir(away) == []


def test_a_message_is_short_where_a_path_is_not(tmp_path: Path) -> None:
    fs, at = fresh()
    for depth in range(50):
        at = deeper(fs, at, b"%050d" % depth, 0o755)
        (tmp_path / "/".join(f"{number:050}" for number in range(depth + 1))).mkdir()
    put(fs, at, b"blocked")
    (tmp_path / "/".join(f"{number:050}" for number in range(50)) / "blocked").mkdir()
    (line,) = write_tree(tmp_path, fs)
    assert line.startswith(".../") and line.endswith("/blocked: cannot be written: Is a directory")
    assert len(line) < 300


def test_without_openat_whole_paths_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "HAS_DIR_FD", False)
    fs, at = fresh()
    put(fs, at, b"lower/new")
    put(fs, at, b"blocked")
    (tmp_path / "blocked").mkdir()
    (line,) = write_tree(tmp_path, fs)
    assert "blocked: cannot be written" in line
    assert (tmp_path / "lower" / "new").read_bytes() == b"x"


def test_the_command_names_them_and_says_so(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    small_files = ("sh", "-c", 'ulimit -f 8; exec "$@"', "sh")
    for status, wanted in ((0, 2), (5, 5)):
        guest = Program("i386")
        cell = guest.space(8)
        guest.raw("eb00" * 40000)
        for name, size in ((b"/a\\b", 1), (b"/large", 1 << 16), (b"/small", 10)):
            guest.call("open", guest.text(name), O_CREAT | O_RDWR, 0o640).store(cell)
            guest.call("write", Cell(cell), CODE, size)
        (root / "guest").write_bytes(guest.exit(status).elf())
        (root / "guest").chmod(0o755)
        done = bootstrap("run", "--root", root, "--output", out, "--", "/guest", prefix=small_files)
        assert done.status == wanted
        lines = done.stderr.splitlines()
        assert lines[0] == "bootstrap: large: cannot be written: File too large"
        assert [line[:20] for line in lines[1:]] == (["bootstrap: --output "] if not status else [])
        assert sorted(path.name for path in out.iterdir()) == ["a\\b", "small"]
        shutil.rmtree(out)
