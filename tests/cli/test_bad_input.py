"""What is wrong with the input is said in one line, with the right exit status."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootstrap.cli.commands import parser
from bootstrap.cli.main import main
from bootstrap.cli.output import check_places
from bootstrap.cli.verify import run as run_verify
from bootstrap.core.errors import BadInput
from tests.cli.command import Done, bootstrap, environment
from tests.instruments.guest import CODE, DATA, Load, Program, R, W, X, elf
from tests.instruments.test_loader import field, headers_size

GOOD = Program("i386").exit(0).elf()

BAD_PROGRAMS = {
    "empty": b"",
    "text": b"hello\n",
    "truncated in the header": GOOD[:40],
    "truncated in the program headers": GOOD[: headers_size("i386") - 1],
    "of another machine": field("i386", GOOD, "e_machine", 8),
    "with a huge header": field("i386", GOOD, "e_phnum", 0xFFFF),
    "with headers beyond its end": field("i386", GOOD, "e_phoff", 1 << 30),
    "a core dump": field("i386", GOOD, "e_type", 4),
    "a script without an interpreter": b"#!/no/such/interpreter\n",
}


@pytest.fixture
def inside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Done]:
    """Runs a command in this process: quicker, for what is refused before anything runs."""
    for name, value in environment({"BOOTSTRAP_CACHE": str(tmp_path / "none")}).items():
        monkeypatch.setenv(name, value)

    def run_inside(*args: str | Path) -> Done:
        status = main([str(arg) for arg in args])
        said = capsys.readouterr()
        return Done(status, said.out, said.err)

    return run_inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def put(root: Path, data: bytes, mode: int = 0o755) -> None:
    (root / "guest").write_bytes(data)
    (root / "guest").chmod(mode)


def run(root: Path, *options: str, program: str = "/guest") -> Done:
    return bootstrap("run", "--root", root, *options, "--", program)


@pytest.mark.parametrize("data", BAD_PROGRAMS.values(), ids=BAD_PROGRAMS)
def test_a_file_that_is_no_program(root: Path, data: bytes) -> None:
    put(root, data)
    done = run(root)
    assert (done.status, done.stdout) == (2, "")
    line = done.one_line()
    assert "/guest: cannot be executed in" in line
    assert "ENOEXEC" in line or "ENOENT" in line


def test_programs_that_cannot_be_started(root: Path) -> None:
    put(root, GOOD, mode=0o644)
    (root / "folder").mkdir()
    for program, errno in {
        "/guest": "EACCES",
        "/folder": "EACCES",
        "/missing": "ENOENT",
        "/guest/inside": "ENOTDIR",
        "/" + "n" * 300: "ENAMETOOLONG",
    }.items():
        done = run(root, program=program)
        assert done.status == 2
        assert errno in done.one_line()


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        ([Load(CODE, b"12345678", R | X, memory_size=4)], "larger in the file"),
        ([Load(0xFFFFF000, b"1", R | X)], "outside the address space"),
    ],
)
def test_a_program_that_linux_would_kill_at_once(
    root: Path, segments: list[Load], said: str
) -> None:
    put(root, elf("i386", CODE, segments))
    done = run(root)
    assert done.status == 128 + 11
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_program_with_huge_memory(root: Path) -> None:
    code = bytes(Program("i386").exit(0).code)
    put(root, elf("i386", CODE, [Load(CODE, code, R | X), Load(DATA, b"", R | W, 0x70000000)]))
    done = run(root)
    assert done.status == 3
    assert "--limit memory" in done.one_line()


def test_a_program_of_another_kind_is_refused_by_name(root: Path) -> None:
    code = bytes(Program("x86_64").exit(0).code)
    put(root, elf("x86_64", CODE, [Load(CODE, code, R | X)], kind=3))
    done = run(root)
    assert done.status == 3
    assert "position-independent" in done.one_line()


@pytest.mark.parametrize("limit", [
    "nonsense", "=5", "seconds", "seconds=", "seconds=-1", "seconds=1.5", "no_such=1",
    "memory=12Q", "memory=", "memory=K",
])  # fmt: skip
def test_limits_that_are_none(inside: Callable[..., Done], limit: str) -> None:
    done = inside("verify", "--limit", limit)
    assert done.status == 2
    assert f"--limit {limit}: not NAME=NUMBER" in done.one_line()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--arch", "pdp11"), "unknown architecture 'pdp11'; known: x86, AMD64"),
        (("--arch", ""), "unknown architecture ''"),
        (("--arch", "armv7l"), "armv7l"),
        (("--release", "0.0.1"), "0.0.1 is not in the catalogue"),
        (("--source", "/no/such/place"), "/no/such/place"),
        (("--source", "/dev/null"), "/dev/null"),
        (("--json", "-", "--junit", "-"), "cannot both"),
        (("--output", "/dev/null"), "--output /dev/null: is a file"),
        (("--output", "/proc/nowhere"), "--output /proc/nowhere: cannot be used"),
        (("--json", "/no/such/folder/file"), "/no/such/folder/file"),
        (("--json", "/"), "is a directory"),
        (("--arch", "amd64"), "cannot be reached"),
        # Several architectures do not hide why, nor does what stands in for nothing.
        (("--arch", "x86,AMD64"), "cannot be reached"),
        (("--arch", "all"), "cannot be reached"),
        (("--arch", "amd64", "--fallback", "embedded"), "cannot be reached"),
        (("--arch", "all", "--fallback", "embedded"), "--fallback goes with one architecture"),
        (("--source", ".", "--fallback", "embedded"), "and without --source"),
    ],
)
def test_options_of_verify(inside: Callable[..., Done], args: tuple[str, ...], said: str) -> None:
    done = inside("verify", "--quiet", *args)
    assert done.status == 2
    assert said in done.one_line()


def test_an_entry_that_is_none() -> None:
    done = bootstrap("verify", "--release", "embedded", "--entry", "back-door")
    assert done.status == 2
    assert "invalid choice: 'back-door'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_embedded_sources_have_one_entry() -> None:
    done = bootstrap("verify", "--release", "embedded", "--entry", "kaem-optional-seed")
    assert done.status == 2
    assert "no entry kaem-optional-seed" in done.one_line()


def test_folders_of_run(root: Path) -> None:
    put(root, GOOD)
    done = bootstrap("run", "--root", root / "missing", "--", "/guest")
    assert (done.status, "is not a folder" in done.one_line()) == (2, True)
    for cwd in ("/missing", "/guest"):
        done = run(root, "--cwd", cwd)
        assert done.status == 2
        done.one_line()


def test_a_source_without_the_materials(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("nothing else")
    done = bootstrap("verify", "--source", tmp_path)
    assert done.status == 2
    assert "is no stage0-posix that is known" in done.one_line()


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    archive = tmp_path / "release.tar.gz"
    for data in (b"", b"not an archive", b"\x1f\x8b" + bytes(20)):
        archive.write_bytes(data)
        done = bootstrap("verify", "--release", "embedded", "--source", archive)
        assert done.status == 2
        assert "release.tar.gz" in done.one_line()


def test_no_network_and_no_cache_says_what_to_do(tmp_path: Path) -> None:
    env = {"BOOTSTRAP_CACHE": str(tmp_path / "cache")}
    for args in (("verify", "--release", "1.9.1"), ("fetch", "stage0-posix")):
        done = bootstrap(*args, env=env)
        assert done.status == 2
        line = done.one_line()
        assert "https://github.com/oriansj/stage0-posix" in line
        assert "bootstrap fetch stage0-posix --release 1.9.1 --from PATH" in line
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("manifest", [b"", b"{}", b"[]", b"\xff", b'{"schema": 1}', b"{" * 100_000])
def test_a_damaged_cache_is_named_and_not_used(
    inside: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, manifest: bytes
) -> None:
    folder = tmp_path / "stage0-posix" / "1.9.1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(manifest)
    monkeypatch.setenv("BOOTSTRAP_CACHE", str(tmp_path))
    done = inside("verify")
    assert done.status == 2
    line = done.one_line()
    assert "manifest.json is damaged" in line
    assert "--force" in line
    assert (folder / "manifest.json").read_bytes() == manifest


def test_a_hot_path_that_is_none() -> None:
    done = bootstrap("verify", "--release", "embedded", env={"BOOTSTRAP_HOT_PATH": "lukewarm"})
    assert done.status == 2
    assert "choose auto, native or python" in done.one_line()


def test_an_output_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep me")
    done = bootstrap("verify", "--release", "embedded", "--output", tmp_path)
    assert done.status == 2
    assert "is not empty" in done.one_line()
    assert os.listdir(tmp_path) == ["precious"]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A tiny file system with no room left: its tests are marked `root`, who can mount it."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = shutil.which("mount")
    assert mount is not None
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=16k,nr_inodes=100", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    with open(folder / "filler", "wb") as filler:
        try:
            while True:
                filler.write(bytes(4096))
                filler.flush()
        except OSError:
            return


@pytest.mark.root
def test_a_full_disk(full_disk: Path) -> None:
    report = full_disk / "report.json"
    report.write_text("what was there before")
    (full_disk / "out").mkdir()
    try:
        fill(full_disk)
    except OSError:
        pass
    for args in (
        ("--json", report),
        ("--junit", report),
        ("--output", full_disk / "out"),
    ):
        done = bootstrap("verify", "--release", "embedded", "--quiet", *args)
        assert done.status == 2
        line = done.one_line()
        assert "cannot be written" in line
        assert "No space left" in line
        assert report.read_text() == "what was there before"
        assert sorted(os.listdir(full_disk)) == ["filler", "out", "report.json"]
        assert os.listdir(full_disk / "out") == []


@pytest.mark.root
def test_a_read_only_disk(full_disk: Path) -> None:
    report = full_disk / "report.json"
    report.write_text("what was there before")
    subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], check=True)
    for args in (("--json", report), ("--output", full_disk / "new")):
        done = bootstrap("verify", "--release", "embedded", "--quiet", *args)
        assert done.status == 2
        assert "Read-only file system" in done.one_line()
        assert report.read_text() == "what was there before"


def full_device() -> Path:
    device = Path("/dev/full")
    if not device.is_char_device():
        pytest.skip("this host has no /dev/full")
    return device


@pytest.mark.parametrize("args", [("--quiet",), ("--json", "-")])
def test_standard_output_that_is_full(args: tuple[str, ...]) -> None:
    shell = f'exec "$@" > {full_device()}'
    verify = ("verify", "--release", "embedded")
    done = bootstrap(*verify, *args, prefix=("sh", "-c", shell, "sh"))
    assert done.status == 2
    said = "bootstrap: standard output: cannot be written: No space left on device"
    assert done.stderr.splitlines()[-1] == said
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed(tmp_path: Path, closed: str) -> None:
    report = tmp_path / "report.json"
    done = bootstrap(
        "verify",
        "--release",
        "embedded",
        "--json",
        report,
        prefix=("sh", "-c", f'exec "$@" {closed}', "sh"),
    )
    assert done.status == 0
    assert "Traceback" not in done.stderr
    assert report.read_text().endswith("}\n")


def test_a_reader_that_goes_away() -> None:
    done = bootstrap(
        "verify", "--release", "embedded", "--json", "-", prefix=("sh", "-c", '"$@" | true', "sh")
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("shell", "call", "result"),
    [
        ("</dev/null", ("read", 0), 0),
        (">/dev/full", ("write", 1), -28),
        # Of a closed stream we make an empty one.
        ("<&- >&-", ("read", 0), 0),
        ("<&- >&-", ("write", 1), 1),
    ],
)
def test_a_guest_sees_what_became_of_its_streams(
    root: Path, shell: str, call: tuple[str, int], result: int
) -> None:
    full_device()
    guest = Program("i386")
    put(root, guest.call(*call, guest.text(b"x"), 1).exit_with_result().elf())
    done = bootstrap(
        "run", "--root", root, "--", "/guest", prefix=("sh", "-c", f'exec "$@" {shell}', "sh")
    )
    assert (done.status, done.stderr) == (result & 0xFF, "")


def test_it_runs_from_any_folder(tmp_path: Path) -> None:
    assert bootstrap("verify", "--release", "embedded", "--quiet", cwd=tmp_path).status == 0


@pytest.mark.parametrize("option", ["--json", "--junit"])
def test_a_report_that_could_not_be_written_is_told_before_the_run(
    option: str, tmp_path: Path
) -> None:
    """Not after the minutes that a whole bootstrap takes."""
    for place, cause in (
        (tmp_path, "is a directory"),
        (tmp_path / "no" / "r", "there is no folder"),
        ("", "'' names no file"),
    ):
        with pytest.raises(BadInput, match=cause):
            run_verify(parser().parse_args(["verify", option, str(place)]))


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "--json", "x", "--junit", "./x"),
        ("verify", "--json", "x", "--output", "x"),
        ("verify", "--arch", "x86,AMD64", "--json", "x", "--junit", "x"),
        ("attest", "--run", "--json", "x", "-o", "x"),
        ("attest", "--run", "--junit", "x", "-o", "x"),
        ("oci", "export", "-o", "image", "--json", "x", "--report-to", "x"),
        ("oci", "export", "-o", "image", "--junit", "image"),
    ],
)
def test_no_output_takes_the_place_of_another(
    inside: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is named for two outputs" in inside(*words).one_line()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "words", [("verify",), ("verify", "--arch", "all"), ("fetch", "stage0-posix")]
)
def test_no_release_is_not_the_newest(inside: Callable[..., Done], words: list[str]) -> None:
    """A variable that is unset in a script."""
    done = inside(*words, "--release", "")
    assert done.status == 2
    assert "stage0-posix  is not in the catalogue" in done.one_line()


def test_devices_take_two_outputs() -> None:
    check_places("/dev/null", "/dev/null", "-", "-", None, None)
