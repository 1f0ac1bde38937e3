"""A written file is whole or untouched, and every way to fail says what and why."""

import io
import os
import stat
from pathlib import Path

import pytest

from bootstrap.cli.output import write_text
from bootstrap.core.errors import BadInput


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_new_file_is_utf_8_and_nothing_else_stays(tmp_path: Path) -> None:
    write_text(str(tmp_path / "r.json"), "✓\n")
    assert (tmp_path / "r.json").read_bytes() == "✓\n".encode()
    assert names(tmp_path) == ["r.json"]


def test_a_new_file_obeys_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(str(tmp_path / "r"), "x")
    finally:
        assert os.umask(before) == 0o027
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o640


def test_an_old_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    place = tmp_path / "r"
    place.write_text("old and longer")
    place.chmod(0o600)
    write_text(str(place), "new")
    assert place.read_text() == "new"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_a_symlink_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_text(str(tmp_path / "link"), "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_dash_is_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_text("-", "hello\n")
    assert capsys.readouterr().out == "hello\n"
    assert names(tmp_path) == []
    out = io.StringIO()
    write_text("-", "there", stdout=out)
    assert out.getvalue() == "there"


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(str(pipe), "through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize(
    ("dest", "cause"),
    [
        ("no/such/folder/r", "No such file or directory"),
        ("file/r", "Not a directory"),
        ("folder", "is a directory"),
        ("n" * 300, "File name too long"),
        ("nul\0", "null"),
        ("loop", ""),
        ("", "is a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dest: str, cause: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(BadInput) as caught:
        write_text(dest, "x")
    assert str(caught.value).startswith(dest)
    assert cause in str(caught.value)
    assert names(tmp_path) == ["file", "folder", "loop"]
    assert (tmp_path / "file").read_text() == "kept"


FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("when", "fault"),
    [("fsync", FULL), ("replace", FULL), ("chmod", FULL), ("fsync", KeyboardInterrupt())],
)
def test_a_full_disk_or_an_interrupt_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, fault: BaseException
) -> None:
    place = tmp_path / "r"
    place.write_text("precious")

    def fails(*args: object) -> None:
        raise fault

    monkeypatch.setattr(os, when, fails)
    with pytest.raises((BadInput, KeyboardInterrupt)) as caught:
        write_text(str(place), "new")
    if fault is FULL:
        assert str(place) in str(caught.value) and "No space left on device" in str(caught.value)
    assert isinstance(caught.value, BadInput) == (fault is FULL)
    monkeypatch.undo()
    assert place.read_text() == "precious"
    assert names(tmp_path) == ["r"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the host has no /dev/full")
def test_a_full_device_is_named() -> None:
    with pytest.raises(BadInput, match=r"/dev/full: .*No space left"):
        write_text("/dev/full", "x")
    stream = open("/dev/full", "w")  # noqa: SIM115
    with pytest.raises(BadInput, match=r"standard output: .*No space left"):
        write_text("-", "x", stdout=stream)
    # What could not be written is still buffered; closing fails once more.
    with pytest.raises(OSError, match="No space left"):
        stream.close()


def test_a_reader_that_went_away_is_not_an_error_of_the_place() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        write_text("-", "x", stdout=Gone())
