"""Limits end a run with a message that names them, exactly and on both hot paths alike."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from bootstrap.core.errors import GuestFailed
from bootstrap.linux import machine
from bootstrap.linux.limits import RunLimits
from tests.instruments.guest import Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, emulate


def looping(abi: str) -> Program:
    return Program(abi).label("again").jmp("again")


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
    assert emulate(guest, hot_path, limits=RunLimits(instructions=count)).status == 0
    with pytest.raises(GuestFailed, match=f"executed {count - 1} instructions.*--limit instr"):
        emulate(guest, hot_path, limits=RunLimits(instructions=count - 1))


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
    assert emulate(image, hot_path, limits=RunLimits(instructions=count)).status == 0
    with pytest.raises(GuestFailed, match=f"executed {count - 1} instructions"):
        emulate(image, hot_path, limits=RunLimits(instructions=count - 1))


@EACH_HOT_PATH
@EACH_ABI
def test_a_loop_comes_to_the_instruction_limit(abi: str, hot_path: str) -> None:
    with pytest.raises(GuestFailed, match=r"/guest .pid 1. executed 20000 instructions"):
        emulate(looping(abi), hot_path, limits=RunLimits(instructions=20_000))


@EACH_HOT_PATH
@EACH_ABI
def test_each_process_has_instructions_of_its_own(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    guest.call("fork").jump_if_zero("child").call("wait4", -1, 0, 0, 0)
    guest.label("child").raw("90" * 900).exit(0)
    assert emulate(guest, hot_path, limits=RunLimits(instructions=1000)).status == 0


@EACH_HOT_PATH
@EACH_ABI
def test_execve_does_not_begin_anew(abi: str, hot_path: str) -> None:
    with pytest.raises(GuestFailed, match=r"executed 100 instructions"):
        emulate(executing_itself(abi), hot_path, limits=RunLimits(instructions=100))


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
        emulate(program(abi), hot_path, limits=RunLimits(seconds=5))


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
    assert emulate(image, limits=RunLimits(seconds=9)).counts[0] == 9
    with pytest.raises(GuestFailed, match=r"pid 1. ran for more than 7"):
        emulate(image, limits=RunLimits(seconds=7))
