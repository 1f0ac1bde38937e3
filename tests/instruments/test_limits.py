"""Limits end a run with a message that names them, exactly and on both hot paths alike."""

from __future__ import annotations

import gc
import itertools
import time
import tracemalloc
from collections.abc import Callable

import pytest

from bootstrap.core.errors import GuestFailed
from bootstrap.linux import machine
from bootstrap.linux.limits import Limits
from tests.instruments.guest import Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, emulate


def looping(abi: str) -> Program:
    return Program(abi).label("again").jmp("again")


def fork_bomb(abi: str) -> Program:
    return Program(abi).label("again").call("fork").jmp("again")


def wide_fork_bomb(abi: str) -> Program:
    """One child after another, none of them waited for."""
    guest = Program(abi).label("again").call("fork").jump_if_not_zero("again")
    return guest.exit(0)


def executing_itself(abi: str) -> Program:
    guest = Program(abi)
    name = guest.text(b"/guest")
    return guest.call("execve", name, 0, 0).exit(9)


def straight(abi: str, count: int) -> Program:
    """`count` instructions: NOPs, then exit's two moves and its trap."""
    return Program(abi).raw("90" * (count - 3)).exit(0)


@EACH_HOT_PATH
@EACH_ABI
@pytest.mark.parametrize("count", [4, 100, 5000])
def test_the_instruction_limit_is_exact(abi: str, hot_path: str, count: int) -> None:
    guest = straight(abi, count).elf()
    assert emulate(guest, hot_path, limits=Limits(instructions=count)).status == 0
    with pytest.raises(GuestFailed, match=f"executed {count - 1} instructions.*--limit instr"):
        emulate(guest, hot_path, limits=Limits(instructions=count - 1))


@EACH_HOT_PATH
@EACH_ABI
def test_the_same_instructions_are_counted_with_calls_between_them(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    buffer = guest.space(16)
    for _ in range(50):
        guest.call("brk", 0).call("getpid").call("read", 0, buffer, 1).call("lseek", 0, 0, 1)
    guest.exit(0)
    # Each call is a move per register and the trap.
    count = 50 * (3 + 2 + 5 + 5) + 3
    image = guest.elf()
    assert emulate(image, hot_path, limits=Limits(instructions=count)).status == 0
    with pytest.raises(GuestFailed, match=f"executed {count - 1} instructions"):
        emulate(image, hot_path, limits=Limits(instructions=count - 1))


@EACH_HOT_PATH
@EACH_ABI
def test_a_loop_comes_to_the_instruction_limit(abi: str, hot_path: str) -> None:
    with pytest.raises(GuestFailed, match=r"/guest .pid 1. executed 20000 instructions"):
        emulate(looping(abi), hot_path, limits=Limits(instructions=20_000))


@EACH_HOT_PATH
@EACH_ABI
def test_each_process_has_instructions_of_its_own(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    guest.call("fork").jump_if_zero("child").call("wait4", -1, 0, 0, 0)
    guest.label("child").raw("90" * 900).exit(0)
    assert emulate(guest, hot_path, limits=Limits(instructions=1000)).status == 0


@EACH_HOT_PATH
@EACH_ABI
def test_execve_does_not_begin_anew(abi: str, hot_path: str) -> None:
    with pytest.raises(GuestFailed, match=r"executed 100 instructions"):
        emulate(executing_itself(abi), hot_path, limits=Limits(instructions=100))


class FakeClock:
    """CPU seconds that go on by `step` each time they are read."""

    def __init__(self, step: float) -> None:
        self._times = itertools.count(0.0, step)

    def __call__(self) -> float:
        return next(self._times)


@EACH_HOT_PATH
@EACH_ABI
@pytest.mark.parametrize("program", [looping, executing_itself])
def test_the_seconds_limit(
    abi: str, hot_path: str, program: Callable[[str], Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "TICK", 0.001)
    monkeypatch.setattr(time, "process_time", FakeClock(0.5))
    with pytest.raises(GuestFailed, match=r"ran for more than 5 CPU seconds.*--limit seconds"):
        emulate(program(abi), hot_path, limits=Limits(seconds=5))


@EACH_ABI
def test_a_parent_is_not_charged_for_its_children(
    abi: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = Program(abi)
    for _ in range(8):
        guest.call("fork").jump_if_zero("child").call("wait4", -1, 0, 0, 0)
    guest.label("child").exit(0)
    image = guest.elf()
    # One second for each stretch of one process: 9 for the parent, 1 for each child.
    monkeypatch.setattr(time, "process_time", FakeClock(1))
    monkeypatch.setattr(machine, "TICK", 1000)
    assert emulate(image, limits=Limits(seconds=9)).counts[0] == 9
    with pytest.raises(GuestFailed, match=r"pid 1. ran for more than 7"):
        emulate(image, limits=Limits(seconds=7))


@EACH_HOT_PATH
@EACH_ABI
def test_a_fork_bomb_comes_to_the_nesting_limit(abi: str, hot_path: str) -> None:
    with pytest.raises(GuestFailed, match=r"limit: 20 processes alive at once.*--limit nesting"):
        emulate(fork_bomb(abi), hot_path, limits=Limits(nesting=20))


@EACH_HOT_PATH
@EACH_ABI
def test_a_wide_fork_bomb_comes_to_the_process_limit(abi: str, hot_path: str) -> None:
    with pytest.raises(GuestFailed, match=r"limit: 60 processes.*--limit processes"):
        emulate(wide_fork_bomb(abi), hot_path, limits=Limits(processes=60))


def test_processes_that_ended_take_no_memory() -> None:
    # Without Python's collector of cycles, which runs when it likes.
    gc.collect()
    gc.disable()

    def peak(processes: int) -> int:
        tracemalloc.start()
        with pytest.raises(GuestFailed, match=r"processes"):
            emulate(wide_fork_bomb("i386"), limits=Limits(processes=processes))
        (_, most) = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    try:
        peak(10)
        assert peak(60) < peak(10) + 60_000
    finally:
        gc.enable()


@EACH_HOT_PATH
@EACH_ABI
def test_the_memory_limits(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    start = guest.space(8)
    step = "05" if abi == "i386" else "4805"
    guest.call("brk", 0).store(start).label("more")
    guest.load(start).raw(step + "00001000").store(start)  # 1 MiB more
    image = guest.raw("89c3" if abi == "i386" else "4889c7").call("brk").jmp("more").elf()
    limits = Limits(memory=24 << 20)
    with pytest.raises(GuestFailed, match=r"limit: the process asked for .*--limit memory"):
        emulate(image, hot_path, limits=limits)
    with pytest.raises(GuestFailed, match=r"limit: all processes together.*--limit memory_total"):
        emulate(image, hot_path, limits=Limits(memory_total=24 << 20))


@EACH_HOT_PATH
@EACH_ABI
def test_an_unknown_call_stops_the_run_and_is_named(abi: str, hot_path: str) -> None:
    guest = Program(abi).call(9999, 1, 2, 3).exit(0)
    with pytest.raises(GuestFailed) as caught:
        emulate(guest, hot_path)
    text = str(caught.value)
    for part in ("system call 9999 (unknown)", "(0x1, 0x2, 0x3, ", "/guest, pid 1", "pc 0x400"):
        assert part in text, text
