"""Workers: their results, their deaths, what cannot be believed, and none that outlives us."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput, BootstrapError, GuestFailed
from bootstrap.documents import typed
from bootstrap.runs import pool
from bootstrap.runs.pool import MAX_FRAME, Died, WorkResult, WorkTask, run_each
from tests.runs.works import RAW, Quiet, worker


def run(
    names: list[str], tasks: Sequence[object], jobs: int = 1, watcher: Quiet | None = None
) -> Quiet:
    watcher = watcher or Quiet()
    run_each(worker(*names), [WorkTask("x86", task) for task in tasks], jobs, watcher)
    return watcher


def values(watcher: Quiet) -> list[object]:
    return [result.value for result in watcher.results if isinstance(result, WorkResult)]


def test_each_task_has_its_result() -> None:
    watcher = run(["doubled"], [3, 1, 2], 2)
    assert values(watcher) == [6, 2, 4]
    assert ("note", 0, "about to double 3") in watcher.heard
    for number in range(3):
        mine = [row[0] for row in watcher.heard if row[1] == number]
        assert mine == ["start", "note", "end"]


def test_one_job_is_one_after_the_other() -> None:
    watcher = run(["doubled"], [1, 2])
    assert [row[:2] for row in watcher.heard if row[0] != "note"] == [
        ("start", 0),
        ("end", 0),
        ("start", 1),
        ("end", 1),
    ]


def test_nothing_to_do() -> None:
    assert run(["doubled"], []).heard == []


def test_each_has_a_process_that_no_polite_signal_reaches() -> None:
    pids = set()
    for value in values(run(["where"], [None, None], 2)):
        pid, blocked = typed(tuple[int, tuple[int, ...]], value)
        assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= set(blocked)
        pids.add(pid)
    assert len(pids) == 2 and os.getpid() not in pids
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize(
    ("how", "exit_code", "words"),
    [
        ("signal", -11, "was ended by signal 11 (SIGSEGV)"),
        ("exit", 0, "ended with exit status 0 and without a result"),
        ("bug", 1, "ended with exit status 1 and without a result"),
    ],
)
def test_a_death_is_a_result_of_its_own_and_the_others_go_on(
    how: str, exit_code: int, words: str
) -> None:
    died, well = run(["dies"], [how, "well"]).results
    assert died == Died(exit_code) and str(died) == words
    assert well == WorkResult("well")


def test_a_death_in_the_middle_of_a_word() -> None:
    assert run(["half"], [0]).results == [Died(7)]


def test_words_for_other_deaths() -> None:
    assert "SIGKILL" in str(Died(-9)) and "memory" in str(Died(-9))
    assert str(Died(-200)) == "was ended by signal 200 (unknown)"


@pytest.mark.parametrize(("how", "kind"), [("input", BadInput), ("guest", GuestFailed)])
def test_an_error_of_a_worker_is_ours(how: str, kind: type[BootstrapError]) -> None:
    with pytest.raises(kind, match=r"own words|a limit"):
        run(["dies"], [how])


class Strict(Quiet):
    def on_note(self, number: int, note: object) -> None:
        typed(str, note)

    def on_end(self, number: int, result: object) -> None:
        if isinstance(result, WorkResult):
            typed(str, result.value)


@pytest.mark.parametrize("name", sorted(set(RAW) - {"half"}))
def test_nonsense_ends_the_run(name: str) -> None:
    with pytest.raises(GuestFailed, match=r"^x86: .* is no result .* is believed$"):
        run([name], [0], 1, Strict())


def test_a_worker_that_dies_before_its_first_word_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^x86: .* ended with exit status 9 .*first word"):
        run(["waits", "leaves"], [str(tmp_path / "pids")] * 2, 2)


@pytest.mark.parametrize(
    "names", [["mute"], ["waits", "mute"], ["dies"]], ids=["mute", "beside a good one", "stopped"]
)
def test_silence_ends_the_run(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = ["stopped"] if names == ["dies"] else [str(tmp_path / "pids")] * len(names)
    monkeypatch.setattr(pool, "SILENCE", 4)
    monkeypatch.setattr(pool, "BEAT", 0.5)
    with pytest.raises(GuestFailed, match=r"^x86: .* no sign of life for 2 seconds"):
        run(names, tasks, 2)


@pytest.mark.parametrize("way", ["there", "back"])
def test_what_is_over_the_maximum_ends_the_run(way: str) -> None:
    length = MAX_FRAME if way == "there" else MAX_FRAME // 2
    with pytest.raises(GuestFailed, match=rf"record of \d+ bytes .*at most {MAX_FRAME}"):
        run(["pair"], ["x" * length])


def test_no_interpreter_no_run() -> None:
    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(["/nonexistent/python"])

    with pytest.raises(BadInput, match="No such file or directory; try fewer --jobs"):
        run_each(start, [WorkTask("x86", 0)], 1, Quiet())


def test_an_error_ends_the_other_workers(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    class Breaking(Quiet):
        def on_note(self, number: int, note: object) -> None:
            raise BadInput("enough")

    with pytest.raises(BadInput, match="enough"):
        run(["waits"], [str(pids)] * 2, 2, Breaking())
    for pid in pids.read_text().split():
        assert ends(int(pid))


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_this_program(sent: int, tmp_path: Path, checkout: Path) -> None:
    pids = tmp_path / "pids"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.runs.works", "pool", str(pids)],
        cwd=checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert [process.stdout.readline() for _ in range(2)] == ["waiting\n"] * 2
        process.send_signal(sent)
        # The workers hold the other end of stderr: reading ends when the last one has ended.
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""
        assert process.wait() == (-sent if sent == signal.SIGKILL else 128 + sent)
    for pid in pids.read_text().split():
        assert ends(int(pid))


def ends(pid: int) -> bool:
    """Whether it has ended or does so within a minute: a process lets go of its files before."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 60)[0])
    finally:
        os.close(fd)
