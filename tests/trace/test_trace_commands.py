"""`bootstrap trace` as a user has it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from bootstrap import trace
from tests.cli.command import arguments, bootstrap, environment
from tests.instruments.guest import Program
from tests.trace import recorded

READY = b"ready\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the busy guest and its files."""
    folder = tmp_path / "root"
    folder.mkdir()
    files = {b"/guest": recorded.busy("i386").elf(), **recorded.busy_files("i386")}
    for path, data in files.items():
        place = folder / os.fsdecode(path).lstrip("/")
        place.write_bytes(data)
        place.chmod(0o755)
    return folder


def test_a_program_and_everything_about_it(root: Path, tmp_path: Path) -> None:
    place = tmp_path / "t"
    done = bootstrap(
        "trace", "record", "-o", place, "--root", root, "--env", "A=b", "--", "/guest", "-x",
        stdin=b"12345678",
    )  # fmt: skip
    assert (done.status, done.stdout[:7]) == (0, "second\n"), done.stderr
    with trace.open(place) as opened:
        digest = opened.digest
    assert done.stderr == f"bootstrap: recorded in {place}: trace digest {digest}\n"
    for path in sorted(root.iterdir()):
        path.unlink()
    done = bootstrap("trace", "check", place)
    assert (done.status, done.stderr) == (0, "") and digest in done.stdout
    assert digest in bootstrap("trace", "info", place).stdout
    assert "\n    2 /second  [" in bootstrap("trace", "tree", place).stdout
    assert "written by pid 1 (guest)" in bootstrap("trace", "files", place).stdout
    dot = bootstrap("trace", "files", "--graph", "dot", place).stdout
    assert dot.startswith("digraph trace {\n") and dot.endswith("}\n")
    mermaid = bootstrap("trace", "files", "--graph", "mermaid", place).stdout
    assert mermaid.startswith("flowchart LR\n")
    log = bootstrap("trace", "log", place, "--call", "execve", "--pid", "2").stdout
    assert log == '[pid     2] execve("/second", ["/second"], [/* 0 vars */]) = 0\n'
    done = bootstrap("trace", "log", place, "--call", "nonsense")
    assert "no system call nonsense" in done.one_line()


def test_the_embedded_bootstrap(tmp_path: Path) -> None:
    place = tmp_path / "t"
    done = bootstrap("trace", "record", "--release", "embedded", "--quiet", "-o", place)
    assert (done.status, done.stderr) == (0, "")
    assert "Embedded sources only" in done.stdout
    assert bootstrap("trace", "check", place).status == 0


def test_a_divergence_is_one_exit_status(tmp_path: Path) -> None:
    place = tmp_path / "t"
    recorded.record(Program("i386").exit(3), place)
    recorded.change(place, "UPDATE processes SET status = 0")
    done = bootstrap("trace", "check", place)
    assert done.status == 1
    assert done.stdout.splitlines() == [
        "diverged: program 1, pid 1 (/guest), event 1",
        "  recorded: status 0",
        "  now:      status 768",
    ]


@pytest.mark.parametrize("command", ["check", "info", "tree", "files", "log"])
def test_no_trace(command: str, tmp_path: Path) -> None:
    place = tmp_path / "t"
    place.write_bytes(b"x" * 10_000)
    done = bootstrap("trace", command, place)
    assert (done.status, done.stdout) == (2, "")
    assert "is no trace" in done.one_line()


@pytest.mark.parametrize(
    "args, told",
    [
        (("--arch", "all"), "a trace is of one architecture"),
        (("--cwd", "/x"), "go with -- PROGRAM only"),
        (("--json", "-", "--", "/guest"), "--json goes with a bootstrap only"),
        (("--arch", "AMD64", "--", "/guest"), "--arch goes with a bootstrap only"),
        (("--jobs", "2", "--", "/guest"), "--jobs goes with a bootstrap only"),
        (("--json", "./t"), "is where the trace goes"),
        (("--root", "/nonexistent", "--", "/guest"), "is not a folder"),
        (("--", "/nonexistent"), "cannot be executed"),
    ],
)
def test_options_that_do_not_go_together(args: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = bootstrap("trace", "record", "-o", tmp_path / "t", *args, cwd=tmp_path)
    assert done.status == 2
    assert told in done.one_line()
    assert not list(tmp_path.iterdir())


def test_no_answer_is_written_over_a_trace(tmp_path: Path) -> None:
    """Neither over the one that is read, nor over another."""
    place, other = tmp_path / "t", tmp_path / "other"
    for one in (place, other):
        recorded.record(Program("i386").exit(0), one)
    before = {path: path.read_bytes() for path in (place, other)}
    link = tmp_path / "link"
    link.symlink_to(place)
    for command, option, dest in (
        (("trace", "export", place, "--format", "strace"), "-o", place),
        (("trace", "show", place, "1@0"), "--json", other),
        (("trace", "export", place, "--format", "dot"), "-o", link),
        (("diff", place, other), "--json", other),
    ):
        done = bootstrap(*command, option, dest)
        assert done.status == 2
        assert done.one_line() == f"bootstrap: {dest}: is a trace; name another file"
    assert {path: path.read_bytes() for path in before} == before


def test_disk_full(tmp_path: Path) -> None:
    place = tmp_path / "t"
    place.write_text("what was there before")
    # Blocks of 512 bytes: less than the trace needs.
    prefix = ("sh", "-c", 'ulimit -f 100; exec "$@"', "sh")
    done = bootstrap(
        "trace", "record", "--release", "embedded", "--quiet", "-o", place, prefix=prefix
    )
    assert done.status == 2
    assert "cannot be written" in done.one_line()
    assert place.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [place]


def test_ctrl_c(tmp_path: Path) -> None:
    guest = Program("i386")
    guest.call("write", 1, guest.data(READY), len(READY))
    guest.label("again").call("getpid").call("brk", 0).jmp("again")
    (tmp_path / "guest").write_bytes(guest.elf())
    (tmp_path / "guest").chmod(0o755)
    with subprocess.Popen(
        arguments("trace", "record", "-o", tmp_path / "t", "--root", tmp_path, "--", "/guest"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            assert os.read(process.stdout.fileno(), len(READY)) == READY
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == b"bootstrap: interrupted\n"
            assert process.wait(timeout=60) == 130
        finally:
            process.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["guest"]
