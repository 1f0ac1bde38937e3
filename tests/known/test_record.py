"""The maintainers' tool: what a strace log shows, and that its result is a step file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.known.record import files_read, main, read_sums
from bootstrap.known.schema import parse

LOG = r"""
10  execve("./seed", ["./seed", "a"], 0x7ffc /* 0 vars */) = 0
10  open("./a", O_RDONLY)    = 3
10  fork( <unfinished ...>
11  chdir("sub" <unfinished ...>
10  <... fork resumed>)               = 11
11  <... chdir resumed>)              = 0
11  open("../b\"q\303\251", O_RDONLY|O_CLOEXEC) = 4
11  openat(AT_FDCWD, "c", O_RDWR) = 4
11  open("missing", O_RDONLY) = -1 ENOENT (No such file or directory)
11  open("out", O_WRONLY|O_CREAT|O_TRUNC, 0700) = 5
11  execve("../tool", ["../tool"], 0x1 /* 0 vars */ <unfinished ...>
10  open("d", O_RDONLY <unfinished ...>
11  <... execve resumed>)             = 0
10  <... open resumed>)               = -1 EACCES (Permission denied)
11  open("/etc/passwd", O_RDONLY) = 3
11  open("../../etc/group", O_RDONLY) = 3
10  --- SIGCHLD {si_signo=SIGCHLD} ---
10  open("a/../e", O_RDONLY)    = 3
""".strip().splitlines()


def test_a_log_tells_what_was_read_and_executed_with_success() -> None:
    assert files_read(LOG) == {"seed", "a", 'b"q\xc3\xa9', "sub/c", "tool", "e"}


def _facts(root: Path) -> tuple[Path, Path]:
    tree, facts = root / "tree", root / "facts"
    seeds = [f"bootstrap-seeds/POSIX/x86/{name}" for name in ("hex0-seed", "kaem-optional-seed")]
    for path in (*seeds, "kaem.x86", "x86/kaem.run", "README", ".git/config", "sub/.git"):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(path)
    records = facts / "stage0-posix" / "1.0"
    records.mkdir(parents=True)
    (records / "x86.answers").write_text(f"{'a' * 64}  x86/bin/M1\n")
    (records / "commit.txt").write_text("c" * 40 + "\n")
    (records / "submodules.txt").write_text(f"x86 {'d' * 40}\n")
    log = root / "log"
    log.write_text(
        "".join(f'1  open("{path}", O_RDONLY) = 3\n' for path in (*seeds, "kaem.x86", "x86/bin/M1"))
    )
    return tree, facts


def _run(root: Path, tree: Path, facts: Path, *more: str) -> int:
    steps = root / "steps"
    steps.mkdir(exist_ok=True)
    return main(
        ["--release", "1.0", "--arch", "i386", "--tree", str(tree), "--facts", str(facts),
         "--reads", str(root / "log"), "--output", str(steps), *more]
    )  # fmt: skip


def test_the_result_is_a_step_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree, facts = _facts(tmp_path)
    also = tmp_path / "also"
    also.write_text("sub/later\n")
    assert _run(tmp_path, tree, facts, "--archive-sha256", "e" * 64, "--also", str(also)) == 0
    assert "3 materials, 1 answers, 0 native values" in capsys.readouterr().out
    file = tmp_path / "steps" / "stage0-posix-1.0-x86.toml"
    step = parse(file.read_text(), file.name)
    # Read but not in the clean tree: a product of the run, no material.
    assert "x86/bin/M1" not in step.materials
    assert step.materials["kaem.x86"] == hashlib.sha256(b"kaem.x86").hexdigest()
    assert step.source.sha256 == "e" * 64
    listing = (tmp_path / "steps" / "stage0-posix-1.0.files").read_text().splitlines()
    assert "README" in listing
    assert "sub/later" in listing
    assert not any(".git" in path for path in listing)


def test_a_bad_fact_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree, facts = _facts(tmp_path)
    (facts / "stage0-posix" / "1.0" / "commit.txt").unlink()
    assert _run(tmp_path, tree, facts) == 2
    assert "commit.txt: cannot be read" in capsys.readouterr().err


def test_lines_that_are_not_sha256sum_s_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "sums"
    for text in ("abc  x\n", f"{'a' * 64}  x\n{'b' * 64}  x\n"):
        file.write_text(text)
        with pytest.raises(BadInput, match="not a line of sha256sum"):
            read_sums(file)


def test_a_list_of_files_read_stands_for_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree, facts = _facts(tmp_path)
    (tmp_path / "log").write_text("")
    seeds = [f"bootstrap-seeds/POSIX/x86/{name}" for name in ("hex0-seed", "kaem-optional-seed")]
    listed = tmp_path / "listed"
    listed.write_text("".join(f"{path}\n" for path in (*seeds, "kaem.x86")))
    more = ("--read-list", str(listed), "--materials-from", "a run in the emulator")
    assert _run(tmp_path, tree, facts, *more) == 0
    text = (tmp_path / "steps" / "stage0-posix-1.0-x86.toml").read_text()
    step = parse(text, "x")
    assert set(step.materials) == {*seeds, "kaem.x86"}
    assert step.materials_from == "a run in the emulator"
    capsys.readouterr()
    listed.write_text("kaem.x86\nx86/bin/M1\n")
    assert _run(tmp_path, tree, facts, *more) == 2
    assert "the tree has no 'x86/bin/M1'" in capsys.readouterr().err
    listed.write_text("")
    assert _run(tmp_path, tree, facts, *more) == 2
    assert "no materials" in capsys.readouterr().err
