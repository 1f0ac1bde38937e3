"""The program that makes two streams one: run on this machine, without a container."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.handoff.containers.programs import MESSAGE, STATUS, put_starter


@pytest.fixture(params=["x86", "amd64", "riscv64"])
def starter(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The command that runs it here; skips where nothing can."""
    place = tmp_path / "start"
    put_starter(place, request.param)
    if request.param == "riscv64":
        qemu = shutil.which("qemu-riscv64-static")
        if qemu is None:
            pytest.skip("no qemu-riscv64-static here: apt-get install qemu-user-static")
        return [qemu, str(place)]
    if platform.machine() != "x86_64":
        pytest.skip(f"this machine is {platform.machine()}")
    try:
        subprocess.run([place], check=False, capture_output=True)
    except OSError as error:
        pytest.skip(f"the kernel runs no programs for {request.param}: {error}")
    return [str(place)]


def test_two_streams_become_one(starter: list[str]) -> None:
    """Its arguments and its environment are the program's, which takes its place."""
    script = 'echo "$0" "$1" "$2"; echo err >&2; echo "$ONE" "$TWO"; exit 7'
    done = subprocess.run(
        [*starter, "/bin/sh", "-c", script, "zero", "one two", ""],
        env={"ONE": "1", "TWO": "2"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (7, b"")
    assert done.stdout == b"zero one two \nerr\n1 2\n"


def test_a_program_that_is_not_there(starter: list[str]) -> None:
    for words in (["/nowhere/program", "x"], []):
        done = subprocess.run([*starter, *words], stdout=subprocess.PIPE, check=False)
        assert (done.returncode, done.stdout) == (STATUS, MESSAGE)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="start: cannot be written: No such file"):
        put_starter(tmp_path / "none/start", "amd64")
    os.symlink("elsewhere", tmp_path / "start")
    put_starter(tmp_path / "start", "amd64")
    assert not (tmp_path / "start").is_symlink() and not (tmp_path / "elsewhere").exists()
