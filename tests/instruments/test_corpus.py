"""The guests of tests/core, with the same expectations, on the CPUs of instruments.

The core's Cpu is the specification; each test function below is one of tests/core's own, whose
guests run on InstrumentedCpu ("python") and on FastCpu ("native") instead, in the core's machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from bootstrap.core import elf
from bootstrap.core.arches import Arch
from bootstrap.core.cpu import Cpu, OnTrap
from bootstrap.core.files import OpenFile
from bootstrap.core.machine import Machine
from bootstrap.core.memory import AddressSpace
from bootstrap.core.process import Process
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
from tests.instruments.runs import HOT_PATHS, engine_for

CORPUS = (test_changing_code, test_cpu, test_exec, test_limits, test_native,
          test_processes, test_user_mode)  # fmt: skip


def instrumented(
    hot_path: str, files: Mapping[int, OpenFile], arch: Arch, space: AddressSpace, trap: OnTrap
) -> Cpu:
    hot = engine_for(hot_path).hot
    if hot is None:
        return InstrumentedCpu(arch, space, trap)
    assert isinstance(space, memory.VirtualMemory)
    return FastCpu(hot, files, None, arch, space, trap)


@pytest.fixture(params=HOT_PATHS, autouse=True)
def other_cpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "mov ds, 0x2b" in request.node.name:
        pytest.skip("Linux allows it, and so do these CPUs: test_user_mode.py")

    class OtherCpus(Machine):
        def new_cpu(self, process: Process, on_trap: OnTrap) -> Cpu:
            open_files, space = process.fds.files, process.memory
            return instrumented(request.param, open_files, process.arch, space, on_trap)

    image = partial(elf.load, new_memory=memory.VirtualMemory)
    monkeypatch.setattr(guest, "MACHINE", OtherCpus)
    # Some tests make a CPU of their own.
    monkeypatch.setattr(test_cpu, "Cpu", partial(instrumented, request.param, {}))
    for module in (test_cpu, elf):
        monkeypatch.setattr(module, "load", image)


def cases_of(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, function in vars(module).items():
        if name.startswith("test_") and function.__module__ == module.__name__:
            yield f"{module.__name__.rpartition('.')[2]}_{name[5:]}", function


globals().update(test for module in CORPUS for test in cases_of(module))
