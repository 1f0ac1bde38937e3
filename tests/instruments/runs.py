"""Runs guest programs: emulated on either hot path, and natively where the host can."""

from __future__ import annotations

import contextlib
import functools
import io
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootstrap.core.files import Stream
from bootstrap.instruments import Engine, default_engine
from bootstrap.linux.events import Faulted, Listener
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine
from tests.core import guest
from tests.core.guest import Native, shell_status
from tests.instruments.guest import ABIS, ARCHES, Program

HOT_PATHS = ("native", "python")
EACH_ABI = pytest.mark.parametrize("abi", ABIS)
EACH_HOT_PATH = pytest.mark.parametrize("hot_path", HOT_PATHS)


@dataclass(frozen=True)
class Emulated(Native):
    """What is known beyond that of an emulated run."""

    fault: Faulted | None
    machine: LinuxMachine
    fs: OverlayFileSystem
    fault_program: str

    @property
    def files(self) -> dict[bytes, bytes]:
        """What the guest wrote."""
        return {path: file.contents() for path, file in self.fs.changed()}

    @property
    def counts(self) -> tuple[int, int]:
        """Processes and system calls."""
        return self.machine.processes, self.machine.ended_calls


@functools.cache
def _default() -> Engine:
    return default_engine()


def engine_for(hot_path: str) -> Engine:
    """The engine on the named hot path; skips where the native one was not built."""
    engine = _default()
    if hot_path == "python":
        return engine.in_python()
    if engine.describe()["hot_path"] != "native":
        pytest.skip(f"no native hot path: {engine.describe()['hot_path_reason']}")
    return engine


def emulate(
    image: bytes | Program,
    hot_path: str = "native",
    argv: Sequence[bytes] = (b"/guest",),
    envp: Sequence[bytes] = (),
    files: Mapping[bytes, bytes] | None = None,
    limits: RunLimits | None = None,
    listeners: Sequence[Listener] = (),
    stdin: bytes = b"",
    path: bytes = b"/guest",
) -> Emulated:
    """Run one guest as /guest; other `files` are given with their content, all executable.

    `path` is another name for it, as execve gets it. Raises what LinuxMachine.run raises.
    """
    if isinstance(image, Program):
        image = image.elf()
    limits = limits or RunLimits()
    lower = {path: LowerFile(0o755, data) for path, data in (files or {}).items()}
    lower[b"/guest"] = LowerFile(0o755, image)
    fs = OverlayFileSystem(MemoryLower(lower), limits)
    output = io.BytesIO()
    machine = LinuxMachine(fs, engine_for(hot_path), limits, listeners)
    read, write = io.BytesIO(stdin).read, output.write
    streams = (Stream(read), Stream(None, write), Stream(None, write))
    ended = machine.run(path, argv, envp, streams=streams)
    assert ended.fault is None or isinstance(ended.fault, Faulted)
    return Emulated(
        shell_status(ended.status), output.getvalue(), ended.fault, machine, fs, ended.fault_program
    )


def native(
    image: bytes | Program,
    argv: Sequence[bytes] = (b"./guest",),
    envp: Mapping[bytes, bytes] | None = None,
    files: Mapping[bytes, bytes] | None = None,
) -> Native:
    """See tests/core/guest.py."""
    return guest.native(image, files, argv, envp)


def why_not_native(abi: str) -> str | None:
    """Why guests of this ABI cannot be run on the host; None where they can."""
    return guest.why_not_native(ARCHES[abi])


def _cpu_says(wanted: str) -> str:
    """A line of the first CPU in /proc/cpuinfo (proc(5)); "" where the host does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == wanted:
                return value.strip()
    return ""


def cpu_maker() -> str:
    """The host's `vendor_id`."""
    return _cpu_says("vendor_id")


def cpu_flags() -> list[str]:
    """What the host's CPU can, on x86."""
    return _cpu_says("flags").split()


def need_native(abi: str) -> None:
    """Skip, in words, where the host cannot run guests of this ABI."""
    guest.need_native(ARCHES[abi])


def signalled(number: signal.Signals) -> int:
    """The exit status, as a shell tells it, of a program that a signal ended."""
    return 128 + number
