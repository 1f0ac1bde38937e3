"""The stopwatch: what it measures, and that nothing outlives it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.timing import Cost, Failed, Running, parse, timed

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="the stopwatch needs pidfd_open(2), Linux 5.3"
)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "log"


def test_it_tells_what_a_command_cost(log: Path) -> None:
    cost = timed([sys.executable, "-I", "-S", "-c", "print('said')"], log)
    assert cost.wall > 0
    assert cost.cpu > 0
    assert cost.peak > 1_000_000
    assert log.read_text() == "said\n"


def test_the_folder_and_the_environment_are_the_commands(log: Path, tmp_path: Path) -> None:
    say = "import os; print(os.getcwd(), os.environ['A'], sorted(os.environ))"
    timed([sys.executable, "-I", "-S", "-c", say], log, cwd=tmp_path, env={"A": "b"})
    said = log.read_text().split()
    assert said[:2] == [str(tmp_path), "b"]


def test_a_failure_is_said_with_the_last_words(log: Path) -> None:
    with pytest.raises(Failed, match=r"(?s)wait status 768.*\n    the reason"):
        timed(["/bin/sh", "-c", "echo the reason >&2; exit 3"], log)


def test_a_command_that_is_none(log: Path, tmp_path: Path) -> None:
    with pytest.raises(Failed, match="cannot be executed: No such file"):
        timed([str(tmp_path / "none")], log)


def test_nothing_outlives_the_block(tmp_path: Path) -> None:
    # A fifo that the command and its child hold open: its reader sees the end when both are gone.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"exec 9>{fifo}; echo there >&9; sleep 1000 & sleep 1000"
    with Running(["/bin/sh", "-c", script], tmp_path / "log"):
        end = fifo.open("rb")
        assert end.readline() == b"there\n"
    with end:
        assert end.read() == b""


def test_a_line_of_the_stopwatch() -> None:
    line = '{"status": 0, "wall": 2.5, "cpu": 2.0, "peak": 4096}'
    assert parse(line, "x", (0,)) == Cost(2.5, 2.0, 4096)


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"error": "Exec format error"}', "x: cannot be executed: Exec format error"),
        ('{"status": 11, "wall": 1, "cpu": 1, "peak": 1}', "x: ended with wait status 11"),
    ],
)
def test_a_bad_line_of_the_stopwatch(line: str, message: str) -> None:
    with pytest.raises(Failed, match=message):
        parse(line, "x", (0,))
