"""`bootstrap run`: what it says and writes, and what is no program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bootstrap.core.arches import X86
from tests.cli.command import Done, bootstrap, inside
from tests.core.test_elf import field
from tests.instruments.guest import CODE, DATA, Load, Program, R, W, X, elf
from tests.material.schemas import require

GOOD = Program("i386").exit(0).elf()
EXITS = bytes(Program("i386").exit(0).code)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def put(root: Path, data: bytes, mode: int = 0o755) -> None:
    (root / "guest").write_bytes(data)
    (root / "guest").chmod(mode)


def run(root: Path, *options: str | Path, program: str = "/guest") -> Done:
    return inside("run", "--root", root, *options, "--", program)


BAD_PROGRAMS = {
    "empty": b"",
    "text": b"hello\n",
    "truncated in the header": GOOD[:40],
    "truncated in the program headers": GOOD[: 52 + 2 * 32 - 1],
    "of another machine": field(X86, GOOD, "e_machine", 8),
    "with a huge header": field(X86, GOOD, "e_phnum", 0xFFFF),
    "with headers beyond its end": field(X86, GOOD, "e_phoff", 1 << 30),
    "a core dump": field(X86, GOOD, "e_type", 4),
    "a script without an interpreter": b"#!/no/such/interpreter\n",
}


@pytest.mark.parametrize("data", BAD_PROGRAMS.values(), ids=BAD_PROGRAMS)
def test_a_file_that_is_no_program(root: Path, data: bytes) -> None:
    put(root, data)
    done = run(root)
    assert (done.status, done.stdout) == (2, "")
    line = done.one_line()
    assert "/guest: cannot be executed in" in line
    assert "ENOEXEC" in line or "ENOENT" in line


@pytest.mark.parametrize(
    ("program", "errno"),
    [
        ("/guest", "EACCES"),
        ("/folder", "EACCES"),
        ("/missing", "ENOENT"),
        ("/guest/inside", "ENOTDIR"),
        ("/" + "n" * 300, "ENAMETOOLONG"),
    ],
)
def test_a_program_that_cannot_be_started(root: Path, program: str, errno: str) -> None:
    put(root, GOOD, mode=0o644)
    (root / "folder").mkdir()
    done = run(root, program=program)
    assert (done.status, errno in done.one_line()) == (2, True)


@pytest.mark.parametrize(
    ("abi", "segments", "kind", "status", "said"),
    [
        ("i386", [Load(CODE, b"12345678", R | X, memory_size=4)], 2, 139, "larger in the file"),
        ("i386", [Load(0xFFFFF000, b"1", R | X)], 2, 139, "outside the address space"),
        ("i386", [Load(CODE, EXITS, R | X), Load(DATA, b"", R | W, 0x70000000)], 2, 3,
         "--limit memory"),
        ("x86_64", [Load(CODE, bytes(Program("x86_64").exit(0).code), R | X)], 3, 3,
         "position-independent"),
    ],
)  # fmt: skip
def test_a_program_that_does_not_get_far(
    root: Path, abi: str, segments: list[Load], kind: int, status: int, said: str
) -> None:
    put(root, elf(abi, CODE, segments, kind=kind))
    done = run(root)
    assert (done.status, said in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr


def test_folders_of_run(root: Path) -> None:
    put(root, GOOD)
    assert "is not a folder" in run(root / "missing").one_line()
    for cwd in ("/missing", "/guest"):
        done = run(root, "--cwd", cwd)
        assert (done.status, bool(done.one_line())) == (2, True)


@pytest.mark.parametrize(
    ("status", "program"),
    [
        (0, Program("i386").exit(0)),
        (42, Program("x86_64").exit(42)),
        (128 + 11, Program("i386").raw("f4").exit(0)),
        (3, Program("x86_64").call(9999).exit(0)),
    ],
)
def test_exit_statuses(root: Path, status: int, program: Program) -> None:
    put(root, program.elf())
    end = root / "end.json"
    assert run(root, "--json", end).status == status
    if status == 3:
        assert not end.exists()
    else:
        found = require(end.read_text())
        assert found["ended"] == ("signal 11" if status > 128 else f"exit {status}")
        assert found["counts"] == {"status": status}


def test_it_changes_nothing_but_the_output_folder(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (root / "old").write_bytes(b"old")
    guest = Program("i386")
    for name in (b"/old", b"/new"):
        guest.call("open", guest.text(name), 0o1101, 0o640)
        guest.call("write", 3, guest.text(b"changed"), 7).call("close", 3)
    put(root, guest.exit(0).elf())
    before = {path.name: path.read_bytes() for path in root.iterdir()}
    assert run(root, "--output", out).status == 0
    assert {path.name: path.read_bytes() for path in root.iterdir()} == before
    made = {path.name: path.read_bytes() for path in out.iterdir()}
    assert made == {"old": b"changed", "new": b"changed"}
    assert (out / "new").stat().st_mode & 0o777 == 0o640


def test_strace_goes_to_standard_error(root: Path) -> None:
    guest = Program("x86_64")
    put(root, guest.call("write", 1, guest.text(b"hi\n"), 3).exit(5).elf())
    done = bootstrap("run", "--root", root, "--strace", "--", "/guest")
    assert (done.status, done.stdout) == (5, "hi\n")
    lines = [re.sub(r" +", " ", line) for line in done.stderr.splitlines()]
    assert '[pid 1] write(1, "hi\\n", 3) = 3' in lines
    assert "[pid 1] exit(5) = ?" in lines


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
    guest = Program("i386")
    put(root, guest.call(*call, guest.text(b"x"), 1).exit_with_result().elf())
    prefix = ("sh", "-c", f'exec "$@" {shell}', "sh")
    done = bootstrap("run", "--root", root, "--", "/guest", prefix=prefix)
    assert (done.status, done.stderr) == (result & 0xFF, "")
