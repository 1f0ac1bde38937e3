"""Time slices change nothing in the guest, however many there are and wherever they fall."""

from __future__ import annotations

import pytest

from bootstrap.linux import machine
from bootstrap.linux.events import Event, Listener, Tick
from tests.instruments.guest import Cell, Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, Emulated, emulate

O_RDONLY, O_WRONLY_CREAT_TRUNC = 0, 0o1101
INPUT = bytes(range(256)) * 24


def copier(abi: str) -> Program:
    """Copies /in to /out byte by byte, with calls that fastpath.c serves and calls it does not.

    Every result is checked; a call that is lost shows in the exit status or in the output.
    """
    guest = Program(abi)
    source, target = guest.text(b"/in"), guest.text(b"/out")
    buffer, heap, pid = guest.space(8), guest.space(8), guest.space(8)
    guest.call("open", source, O_RDONLY).call("open", target, O_WRONLY_CREAT_TRUNC, 0o644)
    guest.call("getpid").store(pid)
    guest.call("brk", 0).store(heap)
    guest.label("next")
    guest.call("read", 3, buffer, 1).jump_if_zero("done").jump_if_negative("wrong")
    guest.call("write", 4, buffer, 1).raw("83f801").raw("0f84").raw(b"\5\0\0\0").jmp("wrong")
    guest.call("getppid").jump_if_not_zero("wrong")
    guest.call("lseek", 4, 0, 1).jump_if_negative("wrong")
    guest.call("brk", Cell(heap)).store(heap).jump_if_zero("wrong")
    guest.jmp("next")
    guest.label("done").call("write", 1, pid, guest.word).exit(5)
    guest.label("wrong").exit(66)
    return guest


def forker(abi: str, count: int = 40) -> Program:
    """Forks `count` times, each child with an exit status of its own, and adds them up."""
    guest = Program(abi)
    left, status = guest.words(count), guest.space(8)
    guest.label("next")
    guest.call("fork").jump_if_zero("child")
    guest.call("wait4", -1, status, 0, 0).jump_if_negative("wrong")
    guest.call("write", 1, status, 4)
    guest.decrement(left).jump_if_not_zero("next").exit(0)
    guest.label("child").load(left).exit_with_result()
    guest.label("wrong").exit(66)
    return guest


def run(program: Program, hot_path: str, listeners: list[Listener]) -> Emulated:
    return emulate(program, hot_path, files={b"/in": INPUT}, listeners=listeners)


@EACH_HOT_PATH
@EACH_ABI
def test_calls_are_neither_lost_nor_made_twice(
    abi: str, hot_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "TICK", 0.0001)
    heard: list[Event] = []
    outcome = run(copier(abi), hot_path, [heard.append])
    assert any(isinstance(event, Tick) for event in heard)
    assert outcome.status == 5
    assert outcome.files == {b"/out": INPUT}
    # open, open, getpid, brk; five calls a byte; the last read, write, exit.
    assert outcome.counts == (1, 4 + 5 * len(INPUT) + 3)


@EACH_HOT_PATH
@EACH_ABI
def test_forks_between_slices(abi: str, hot_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "TICK", 0.0001)
    outcome = run(forker(abi), hot_path, [])
    assert outcome.status == 0
    assert outcome.words(4) == [code << 8 for code in range(40, 0, -1)]
    assert outcome.counts == (41, 40 * 4 + 1)


@EACH_ABI
def test_both_hot_paths_give_the_same(abi: str) -> None:
    first, second = (run(copier(abi), hot_path, []) for hot_path in ("native", "python"))
    assert (first.status, first.output, first.files) == (
        second.status, second.output, second.files
    )  # fmt: skip
    assert first.counts == second.counts
