"""What is wrong with the input is said in one line, with the right exit status."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.cli.output import check_places
from tests.cli.command import bootstrap, inside

EMBEDDED = ("verify", "--release", "embedded")

USAGE = """
verify --limit nonsense | --limit nonsense: not NAME=NUMBER
verify --limit =5 | --limit =5: not NAME=NUMBER
verify --limit seconds | --limit seconds: not NAME=NUMBER
verify --limit seconds= | --limit seconds=: not NAME=NUMBER
verify --limit seconds=-1 | --limit seconds=-1: -1 is no number
verify --limit seconds=1.5 | --limit seconds=1.5: 1.5 is no number
verify --limit no_such=1 | --limit no_such=1: not NAME=NUMBER
verify --limit memory=12Q | --limit memory=12Q: 12Q is no number
verify --limit memory= | --limit memory=: not NAME=NUMBER
verify --limit memory=9999999999999999999 | is no number: digits (at most 18)
verify --limit memory=K | --limit memory=K: K is no number
verify --arch pdp11 | unknown architecture 'pdp11'; known: x86, AMD64
verify --arch= | unknown architecture ''
verify --arch armv7l | armv7l
verify --arch x86, | --arch x86,: give either all, or names with commas between them
verify --arch x86,all | give either all, or names with commas between them
verify --arch x86,i386 | names x86 twice
verify --arch x86,vax | unknown architecture 'vax'
verify --release 0.0.1 | 0.0.1 is not in the catalogue
verify --release= | stage0-posix  is not in the catalogue
verify --release= --arch all | stage0-posix  is not in the catalogue
fetch stage0-posix --release= | stage0-posix  is not in the catalogue
verify --source /no/such/place | /no/such/place
verify --source /dev/null | /dev/null
verify --source . | is no stage0-posix that is known
verify --json - --junit - | cannot both have standard output
verify --output /dev/null | --output /dev/null: is a file
verify --output /proc/nowhere | --output /proc/nowhere: cannot be used
verify --output /proc/a/b | --output /proc/a/b: cannot be used
verify --output . | --output .: is not empty
verify --json /no/such/folder/file | /no/such/folder/file: there is no folder /no/such/folder
run --json - -- x | --json -: standard output is the guest's; name a file
verify --json / | /: is a directory
verify --json= | '' names no file
verify --output= | --output '': names no folder
verify --source= | '' names no source
verify --json /proc/report | /proc/report: cannot be written
verify --junit /no/such/folder/file | /no/such/folder/file: there is no folder
verify --junit / | /: is a directory
verify --junit= | '' names no file
verify --junit /proc/report | /proc/report: cannot be written
verify --fetched . | --fetched goes with --release stagex-stage0 only
verify --release stagex-stage0 --arch all | stagex-stage0 is for x86 only
verify --arch all --fallback embedded | --fallback goes with one architecture
verify --source . --fallback embedded | and without --source
verify --release embedded --entry kaem-optional-seed | no entry kaem-optional-seed
trace record -o t --arch all | --arch all: a trace is of one architecture
trace record -o t --recheck -- ./any | --recheck goes with a bootstrap only
verify --memo m --memo-check some --release embedded | --memo-check some: give a number, or all
verify --memo m --memo-check 9999999999999999999 --release embedded | give a number, or all
verify --memo m --memo-size 1Q --release embedded | --memo-size 1Q: 1Q is no number
verify --memo= --release embedded | --memo '': name a file of its own
verify --memo m --json ./m --release embedded | --memo m: name a file of its own
verify --memo-check all --release embedded | --memo-check goes with --memo FILE
verify --memo-owner 0 --release embedded | --memo-owner goes with --memo FILE
verify --memo m --limit instructions=9 --release embedded | --memo goes with no limit
verify --arch all --memo m | --memo goes with one architecture
verify --arch all --fail-fast | --fail-fast goes with one architecture
trace record -o t --jobs 2 -- ./any | --jobs goes with a bootstrap only
trace record -o t --cwd /x | --root, --cwd and --env go with -- PROGRAM only
trace record -o t --json ./t | --json ./t: is where the trace goes
trace why t x86/bin/M1 | name a file and an offset in it
trace where t x86/M0 | name a source and a line of it
trace hot t --top 0 | --top 0: at least 1
trace export t --format dot -o x --pid 3 | --pid: dot shows all processes together
trace export t --format tenet -o x | name a program with --pid N, or a place with --from PLACE
trace export t --format strace -o x --count 3 | --count goes with --format tenet only
trace export t --format tenet -o x --pid 1 --most 0 | --most 0: at least 1
step --json - | --json goes with --script
step t --limit seconds=1 --script /dev/null | --limit goes with a run to record
step --root . --script /dev/null | --root goes with -- PROGRAM only
step t --source . --script /dev/null | --source goes without a trace or a program only
step a b --script /dev/null | a b: only one trace
step --script /dev/null a -- b | a and a program after --
step --script /dev/null -- | no program after --
gdb t --once --stdio | --once goes with --listen
gdb t --symbols x --launch | --symbols goes with --listen or --stdio
prove f --states 0 | --states 0: must be 1 or more
seeds show f --lines -1 | --lines -1: must be 0 (all) or more
seeds check - --hex0 - | cannot both be standard input
handoff sources --distfiles d --jobs 0 | --jobs 0: give a number from 1
handoff plan --graph dot --json - | --graph and --json - both write to standard output
handoff plan --stagex --arch amd64 | are for --live-bootstrap, not for --stagex
oci export -o x --report r | --report and --products go together
oci export -o x --report r --products p --jobs 2 | --arch and --jobs go with a verify
oci export -o x --arch all | --arch all: this is for one architecture
oci export -o x --release stagex-stage0 | so nothing of it can be verified
verify --release embedded --json - --html - | --json - and --html - cannot both
diff . . --json - --html - | cannot both have standard output
diff . . --html /no/such/folder/x | there is no folder
oci export -o x --json - --junit - | only one output can have standard output
quorum --init --json - | --init only writes a policy
ddc --source /nonexistent | /nonexistent
"""


@pytest.mark.parametrize("row", USAGE.strip().splitlines())
def test_usage(row: str, tmp_path: Path) -> None:
    """Before anything is run, and nothing is left of it."""
    words, _, said = row.partition(" | ")
    (tmp_path / "README").write_text("nothing else")
    done = inside(*words.split(), cwd=tmp_path, env={"BOOTSTRAP_CACHE": str(tmp_path / "none")})
    assert (done.status, done.stdout) == (2, ""), done.stderr
    assert said in done.one_line()
    assert os.listdir(tmp_path) == ["README"]


ARGPARSE = """
 | name a command: verify, ddc,
-v | name a command: verify, ddc,
seeds | name a command: list, identify, show, check
no-such-command | unknown command 'no-such-command'; choose from verify, ddc,
verfy | unknown command 'verfy'; did you mean verify?
ver | unknown command 'ver'; did you mean verify?
trace rec | bootstrap trace: unknown command 'rec'; did you mean record?
help verfy | did you mean verify?
verify --no-such-option | bootstrap verify: unrecognized option --no-such-option
verify --rel embedded --qui | unrecognized option --rel; did you mean --release?
verify --qui | unrecognized option --qui; did you mean --quiet?
verify -x | unrecognized option -x
diff a b c | bootstrap diff: one argument too many: c
verify --release embedded --entry back-door | unknown value 'back-door'; choose from
verify --entry hex0-sed | unknown value 'hex0-sed'; did you mean hex0-seed?
verify --arch all --jobs 0 | --jobs: must be 1 or more
verify --arch all --jobs -1 | --jobs: must be 1 or more
verify --arch all --jobs two | --jobs: invalid number value: 'two'
quorum --policy p --at 2026-13-01 | --at: invalid day, as in 2026-11-23 value: '2026-13-01'
trace hot t --top many | --top: invalid int value: 'many'
attest --run --report r | --report: not allowed with argument --run
gdb --stdio --launch | --launch: not allowed with argument --stdio
oci export | the following arguments are required: -o/--output
handoff run --work w | the following arguments are required: --distfiles
"""


@pytest.mark.parametrize("row", ARGPARSE.strip("\n").splitlines())
def test_what_the_parser_refuses(row: str) -> None:
    words, _, said = row.partition(" | ")
    done = inside(*words.split())
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: bootstrap")
    assert said in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "verify --json x --junit ./x",
        "verify --json x --output x",
        "verify --arch x86,AMD64 --json x --junit x",
        "attest --run --json x -o x",
        "attest --run --junit x -o x",
        "oci export -o image --json x --report-to x",
        "oci export -o image --junit image",
    ],
)
def test_no_output_takes_the_place_of_another(words: str, tmp_path: Path) -> None:
    assert "is named for two outputs" in inside(*words.split(), cwd=tmp_path).one_line()
    assert os.listdir(tmp_path) == []


def test_devices_take_two_outputs() -> None:
    check_places("/dev/null", "/dev/null", "-", "-", None, None)


@pytest.mark.parametrize("data", [b"", b"not an archive", b"\x1f\x8b" + bytes(20)])
def test_an_archive_that_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "release.tar.gz").write_bytes(data)
    done = inside(*EMBEDDED, "--source", tmp_path / "release.tar.gz")
    assert (done.status, "release.tar.gz" in done.one_line()) == (2, True)


@pytest.mark.parametrize("manifest", [b"", b"{}", b"[]", b"\xff", b'{"schema": 1}', b"{" * 100_000])
def test_a_damaged_cache_is_named_and_not_used(tmp_path: Path, manifest: bytes) -> None:
    folder = tmp_path / "stage0-posix" / "1.9.1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(manifest)
    done = inside("verify", env={"BOOTSTRAP_CACHE": str(tmp_path)})
    line = done.one_line()
    assert (done.status, "manifest.json is damaged" in line, "--force" in line) == (2, True, True)
    assert (folder / "manifest.json").read_bytes() == manifest


def test_a_hot_path_that_is_none() -> None:
    done = inside(*EMBEDDED, env={"BOOTSTRAP_HOT_PATH": "lukewarm"})
    assert (done.status, "choose auto, native or python" in done.one_line()) == (2, True)


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
        (folder / "report.json").write_text("what was there before")
        (folder / "out").mkdir()
        yield folder
        assert (folder / "report.json").read_text() == "what was there before"
        assert sorted(set(os.listdir(folder)) - {"filler"}) == ["out", "report.json"]
        assert os.listdir(folder / "out") == []
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.root
@pytest.mark.parametrize("option", ["--json", "--junit", "--output"])
@pytest.mark.parametrize("why", ["No space left", "Read-only file system"])
def test_a_disk_that_takes_nothing(full_disk: Path, option: str, why: str) -> None:
    if why.startswith("No space"):
        with pytest.raises(OSError), (full_disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], check=True)
    place = full_disk / ("out" if option == "--output" else "report.json")
    done = inside(*EMBEDDED, "--quiet", option, place)
    line = done.one_line()
    assert (done.status, why in line) == (2, True)
    assert "cannot be written" in line or "cannot be used" in line


@pytest.mark.parametrize("args", [
    (*EMBEDDED, "--quiet"), (*EMBEDDED, "--json", "-"),
    ("--help",), ("--version",), ("help", "trace", "why"),
])  # fmt: skip
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_is_full(args: tuple[str, ...], unbuffered: str) -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("this host has no /dev/full")
    full = f'export PYTHONUNBUFFERED={unbuffered}; exec "$@" > /dev/full'
    done = bootstrap(*args, prefix=("sh", "-c", full, "sh"))
    assert done.status == 2
    said = "bootstrap: standard output: cannot be written: No space left on device"
    assert done.stderr.splitlines()[-1] == said
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed(tmp_path: Path, closed: str) -> None:
    report = tmp_path / "report.json"
    prefix = ("sh", "-c", f'exec "$@" {closed}', "sh")
    done = bootstrap(*EMBEDDED, "--json", report, prefix=prefix)
    assert (done.status, "Traceback" in done.stderr) == (0, False)
    assert report.read_text().endswith("}\n")


def test_a_reader_that_goes_away() -> None:
    done = bootstrap(*EMBEDDED, "--json", "-", prefix=("sh", "-c", '"$@" | true', "sh"))
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "identify FILE --json LINK",
        "verify --source FILE --html FILE",
        "attest --report FILE --sign none -o FILE",
        "confirm --baseline FILE --markdown FILE",
        "quorum --policy x FILE --json FILE",
        "diff FILE LINK --html FILE",
    ],
)
def test_what_is_read_is_not_written_over(words: str, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("mine")
    (tmp_path / "link").symlink_to(place)
    words = words.replace("FILE", str(place)).replace("LINK", str(tmp_path / "link"))
    done = inside(*words.split())
    assert done.status == 2 and done.one_line().endswith("is read by this command; name another "
                                                         "file to write")  # fmt: skip
    assert place.read_text() == "mine" and (tmp_path / "link").is_symlink()
