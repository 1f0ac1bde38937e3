"""The guests of tests/core, with the same expectations, on the CPUs of instruments.

The core's Cpu is the specification; each test function below is one of tests/core's own, whose
guests run on InstrumentedCpu ("python") and on FastCpu ("native") instead, in the core's machine.
Each guest runs on the core's own Cpu too, and is compared call for call: process, number,
arguments, result, in order; and so are what was emitted, output, end, and every file.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from bootstrap.core import elf, verdict
from bootstrap.core.abi import LinuxError
from bootstrap.core.arches import X86, Arch
from bootstrap.core.cpu import Cpu, OnTrap
from bootstrap.core.errors import GuestFailed, Limits
from bootstrap.core.files import OpenFile
from bootstrap.core.machine import NUMBER, Machine, RunningProcess, RunResult
from bootstrap.core.memory import AddressSpace
from bootstrap.core.paths import FileSystem
from bootstrap.core.process import Process
from bootstrap.core.release import visible_tree
from bootstrap.instruments.callbuffer import CallBuffer
from bootstrap.instruments.fastpath import FastCpu
from bootstrap.instruments.instrumented import InstrumentedCpu
from bootstrap.linux import memory
from tests.core import (
    guest,
    test_changing_code,
    test_cpu,
    test_exec,
    test_limits,
    test_native,
    test_processes,
    test_user_mode,
)
from tests.core.guest import Ran
from tests.core.made_up import made_up
from tests.instruments.runs import HOT_PATHS, engine_for

CORPUS = (test_changing_code, test_cpu, test_exec, test_limits, test_native,
          test_processes, test_user_mode)  # fmt: skip


def instrumented(
    hot_path: str,
    files: Mapping[int, OpenFile],
    arch: Arch,
    space: AddressSpace,
    trap: OnTrap,
    log: CallBuffer | None = None,
) -> Cpu:
    hot = engine_for(hot_path).hot
    if hot is None:
        return InstrumentedCpu(arch, space, trap)
    assert isinstance(space, memory.VirtualMemory)
    return FastCpu(hot, files, log, arch, space, trap)


class CoreCpus(Machine):
    """The core's machine, and a list of what happened in it."""

    def __init__(self, files: FileSystem, limits: Limits | None = None) -> None:
        super().__init__(files, limits)
        self.happened: list[tuple[object, ...]] = []
        self.log = CallBuffer(self._take)
        self._pid = 0
        self._registers: Sequence[int] = ()

    def _take(self) -> None:
        numbers, *others = self.log.columns()
        words = "I" if self.log.word == 4 else "Q"
        calls = zip(array("I", numbers), *(array(words, column) for column in others), strict=True)
        self.happened += [(self._pid, *call) for call in calls]
        self.happened += [(self._pid, "more", *more) for more in self.log.more]

    def emit(self, pid: int, event: str, **details: object) -> None:
        if event == "Resumed":  # the log holds calls of one process
            self.log.hand_over()
            self._pid = pid
            self.log.use_word(self.running[-1].process.arch.word if self.running else 8)
        else:
            self.happened.append((pid, event))

    def _trap(self, task: RunningProcess, registers: Sequence[int]) -> int | None:
        self._registers = registers
        result = super()._trap(task, registers)
        if result is not None:
            self._note(task, result)
        return result

    def _ended(self, task: RunningProcess, result: int | None) -> None:
        super()._ended(task, result)
        self._note(task, result or 0)

    def _note(self, task: RunningProcess, result: int) -> None:
        call = task.calls[self._registers[0] & NUMBER]
        self.log.append(self._registers, call.end - 1, result)


ALONE = guest.run


def noted(made: list[CoreCpus], kind: type[CoreCpus], *args: Any, **more: Any) -> CoreCpus:
    made.append(kind(*args, **more))
    return made[-1]


def on_both(fast: type[CoreCpus], true: Callable[..., Ran]) -> Callable[..., Ran]:
    """`true` on the core's CPUs and on others, which must do the same."""

    def run(*args: Any, **more: Any) -> Ran:
        ends: list[tuple[object, ...]] = []
        for kind in (CoreCpus, fast):
            machines: list[CoreCpus] = []

            def new(
                *args: Any,
                kind: type[CoreCpus] = kind,
                made: list[CoreCpus] = machines,
                **more: Any,
            ) -> CoreCpus:
                made.append(kind(*args, **more))
                return made[0]

            failure = None
            try:
                ran = true(*args, **more, new_machine=partial(noted, machines, kind))
            except (GuestFailed, LinuxError) as error:
                failure = error
            (machine,) = machines
            machine.log.hand_over()
            files = dict(verdict._regular_files(machine.files.root))
            # Which call it was is counted by who counts what FastCpu served.
            end: tuple[object, ...] = (re.sub(r"system call \d+,", "", str(failure)),)
            if failure is None:
                end = (ran.result.status, ran.result.fault_pid, ran.output)
            ends.append((machine.happened, files, end))
        assert ends[0] == ends[1]
        if failure is not None:
            raise failure
        return ran

    return run


@pytest.fixture(params=HOT_PATHS, autouse=True)
def other_cpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[CoreCpus]:
    if "mov ds, 0x2b" in request.node.name:
        pytest.skip("Linux allows it, and so do these CPUs: test_user_mode.py")

    class OtherCpus(CoreCpus):
        def new_cpu(self, process: Process, on_trap: OnTrap) -> Cpu:
            open_files, space, log = process.fds.files, process.memory, self.log
            return instrumented(request.param, open_files, process.arch, space, on_trap, log)

    image = partial(elf.load, new_memory=memory.VirtualMemory)
    compared = on_both(OtherCpus, ALONE)
    if "take_no_memory" in request.node.name:  # a list of what happened does
        compared = partial(ALONE, new_machine=OtherCpus)
    for module in (guest, *CORPUS):
        if hasattr(module, "run"):
            monkeypatch.setattr(module, "run", compared)
    # Some tests make a CPU of their own.
    monkeypatch.setattr(test_cpu, "Cpu", partial(instrumented, request.param, {}))
    for module in (test_cpu, elf):
        monkeypatch.setattr(module, "load", image)
    return OtherCpus


def test_our_own_path_call_for_call(
    other_cpus: type[CoreCpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that read and write byte by byte, most of it in fastpath.c."""
    one = made_up()
    release = one.release()
    tree = visible_tree(one.tree(), release, release.entry(None))
    ends = []
    for kind in (CoreCpus, other_cpus):
        machines: list[CoreCpus] = []
        monkeypatch.setattr(verdict, "Machine", partial(noted, machines, kind))
        outcome = verdict.run_in_core(tree, release.entry(None))
        machines[0].log.hand_over()
        ends.append((machines[0].happened, outcome))
    assert ends[0] == ends[1]
    assert outcome.failure is None and len(ends[0][0]) > 60_000


@pytest.mark.parametrize("lie", ["number", "result", "file"])
def test_a_cpu_that_does_something_else_is_seen(lie: str) -> None:
    class Lying(CoreCpus):
        def _note(self, task: RunningProcess, result: int) -> None:
            if lie == "number":
                self._registers = (self._registers[0] ^ 1, *self._registers[1:])
            super()._note(task, result + (lie == "result"))

        def _end(self, *args: Any) -> RunResult | None:
            if lie == "file":
                self.files.add_file(b"/more", b"")
            return super()._end(*args)

    with pytest.raises(AssertionError):
        on_both(Lying, ALONE)(guest.Program(X86).call("getpid").exit(0))


def cases_of(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, function in vars(module).items():
        if name.startswith("test_") and function.__module__ == module.__name__:
            yield f"{module.__name__.rpartition('.')[2]}_{name[5:]}", function


globals().update(test for module in CORPUS for test in cases_of(module))
