"""Workers: their results in order, their deaths named, and none that outlives its work."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import pytest

from bootstrap.errors import BadInput, GuestFailed
from bootstrap.parallel import Died, run_each
from tests.parallel import works
from tests.parallel.works import Numbers, Quiet


def test_results_come_in_the_order_of_the_tasks() -> None:
    watcher = Quiet()
    assert run_each(works.doubled, [3, 1, 2], 2, watcher) == [6, 2, 4]
    assert {told[:2] for told in watcher.told} == {
        (what, number) for what in ("start", "note", "end") for number in range(3)
    }
    assert ("note", 0, "about to double 3") in watcher.told
    for number in range(3):
        mine = [told[0] for told in watcher.told if told[1] == number]
        assert mine == ["start", "note", "end"]


def test_one_job_is_one_after_the_other() -> None:
    watcher = Quiet()
    assert run_each(works.doubled, [1, 2], 1, watcher) == [2, 4]
    assert [told[:2] for told in watcher.told if told[0] != "note"] == [
        ("start", 0),
        ("end", 0),
        ("start", 1),
        ("end", 1),
    ]


def test_nothing_to_do() -> None:
    assert run_each(works.doubled, [], 3, Quiet()) == []


def test_each_has_a_process_that_ctrl_c_does_not_reach() -> None:
    results = run_each(works.where, [None, None], 2, Quiet())
    pids = set()
    for result in results:
        assert not isinstance(result, Died)
        pid, reachable = result
        assert not reachable
        pids.add(pid)
    assert len(pids) == 2 and os.getpid() not in pids
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_read_only_mappings_pass_both_ways_and_large_values_too() -> None:
    numbers = Numbers(MappingProxyType({"a": 1}))
    with pytest.raises((TypeError, pickle.PicklingError)):
        pickle.dumps(numbers)
    task = (numbers, bytes(3 << 20))
    (result,) = run_each(works.same, [task], 1, Quiet())
    assert result == task


@pytest.mark.parametrize(
    ("how", "exit_code", "words"),
    [
        ("signal", -11, "was ended by signal 11 (SIGSEGV)"),
        ("exit", 0, "ended with exit status 0 and without a result"),
        ("half", 7, "ended with exit status 7 and without a result"),
        ("bug", 1, "ended with exit status 1 and without a result"),
    ],
)
def test_a_death_is_a_result_of_its_own_and_the_others_go_on(
    how: str, exit_code: int, words: str
) -> None:
    died, well = run_each(works.end_badly, [how, "well"], 1, Quiet())
    assert died == Died(exit_code)
    assert str(died) == words
    assert well == "well"


def test_words_for_other_deaths() -> None:
    assert "SIGKILL" in str(Died(-9)) and "memory" in str(Died(-9))
    assert str(Died(-200)) == "was ended by signal 200 (unknown)"


@pytest.mark.parametrize(("how", "kind"), [("input", BadInput), ("guest", GuestFailed)])
def test_an_error_of_a_worker_is_ours(how: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"own words|a limit"):
        run_each(works.end_badly, [how], 1, Quiet())


def test_an_error_ends_the_other_workers(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    class Breaking(Quiet):
        def on_note(self, number: int, note: object) -> None:
            raise BadInput("enough")

    with pytest.raises(BadInput, match="enough"):
        run_each(works.wait_for_ever, [str(pids)] * 2, 2, Breaking())
    for pid in pids.read_text().split():
        assert not alive(int(pid))


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_this_program(sent: int, tmp_path: Path, checkout: Path) -> None:
    pids = tmp_path / "pids"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.parallel.works", str(pids)],
        cwd=checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert [process.stdout.readline() for _ in range(2)] == ["waiting\n"] * 2
        process.send_signal(sent)
        # The workers hold the other end of our pipes: reading ends when the last one has ended.
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""
        assert process.wait() == (130 if sent == signal.SIGINT else -sent)
    for pid in pids.read_text().split():
        assert not alive(int(pid))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"
