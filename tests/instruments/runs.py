"""Runs guest programs: emulated on either hot path, and natively where the host can."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import signal
import subprocess
import sys
import tempfile
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
from tests.instruments.guest import ABIS, Program

HOT_PATHS = ("native", "python")
EACH_ABI = pytest.mark.parametrize("abi", ABIS)
EACH_HOT_PATH = pytest.mark.parametrize("hot_path", HOT_PATHS)
_ADDR_NO_RANDOMIZE = 0x0040000


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    status: int
    """Exit status, or 128 and the number of the signal."""
    output: bytes

    def words(self, size: int) -> list[int]:
        """The output as signed words of `size` bytes."""
        assert len(self.output) % size == 0
        return [
            int.from_bytes(self.output[at : at + size], "little", signed=True)
            for at in range(0, len(self.output), size)
        ]


@dataclass(frozen=True)
class Emulated(Outcome):
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


def status_of(wait_status: int) -> int:
    """A wait status as a shell tells it."""
    number = wait_status & 0x7F
    return 128 + number if number else wait_status >> 8


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
    fs_limits = limits
    fs = OverlayFileSystem(MemoryLower(lower), fs_limits)
    output = bytearray()
    rest = [stdin]

    def read(count: int) -> bytes:
        chunk, rest[0] = rest[0][:count], rest[0][count:]
        return chunk

    def write(data: bytes) -> int:
        output.extend(data)
        return len(data)

    machine = LinuxMachine(fs, engine_for(hot_path), limits, listeners)
    streams = (Stream(read), Stream(None, write), Stream(None, write))
    ended = machine.run(path, argv, envp, streams=streams)
    assert ended.fault is None or isinstance(ended.fault, Faulted)
    return Emulated(
        status_of(ended.status), bytes(output), ended.fault, machine, fs, ended.fault_program
    )


class NotHere(Exception):
    """The host cannot run the program natively."""


def _prepare() -> None:
    import ctypes

    ctypes.CDLL(None).personality(_ADDR_NO_RANDOMIZE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, resource.RLIM_INFINITY))


def native(
    image: bytes | Program,
    argv: Sequence[bytes] = (b"./guest",),
    envp: Mapping[bytes, bytes] | None = None,
    files: Mapping[bytes, bytes] | None = None,
) -> Outcome:
    """Run one guest on the host, in a folder of its own, without address randomisation.

    Raises OSError with execve's errno.
    """
    if isinstance(image, Program):
        image = image.elf()
    with tempfile.TemporaryDirectory() as folder:
        for path, data in {b"guest": image, **(files or {})}.items():
            place = Path(folder, os.fsdecode(path.lstrip(b"/")))
            place.write_bytes(data)
            place.chmod(0o755)
        done = subprocess.run(
            argv,
            executable="./guest",
            cwd=folder,
            env=envp or {},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            preexec_fn=_prepare,
            timeout=30,
            check=False,
        )
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return Outcome(status, done.stdout)


@functools.cache
def why_not_native(abi: str) -> str | None:
    """Why guests of this ABI cannot be run on the host; None where they can."""
    if sys.platform != "linux":
        return f"this host is {sys.platform}, not Linux"
    try:
        outcome = native(Program(abi).exit(7))
    except (OSError, subprocess.SubprocessError) as error:
        return f"this host does not run {abi} programs: {error}"
    return None if outcome.status == 7 else f"this host runs {abi} programs, but not rightly"


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


def handled_by_binfmt(image: bytes) -> bool:
    """Whether the host starts an interpreter of its own for such a file (proc(5), binfmt_misc)."""
    registered = Path("/proc/sys/fs/binfmt_misc")
    with contextlib.suppress(OSError):
        for entry in registered.iterdir():
            lines = entry.read_text("ascii", "replace").splitlines()
            fields = dict(line.split(" ", 1) for line in lines if " " in line)
            magic = bytes.fromhex(fields.get("magic", ""))
            mask = bytes.fromhex(fields.get("mask", "ff" * len(magic)))
            start = int(fields.get("offset", "0").strip() or 0)
            part = image[start : start + len(magic)]
            masked = bytes(a & b for a, b in zip(part, mask, strict=False))
            if magic and lines[0] == "enabled" and masked == magic:
                return True
    return False


def need_native(abi: str) -> None:
    """Skip, in words, where the host cannot run guests of this ABI."""
    reason = why_not_native(abi)
    if reason is not None:
        pytest.skip(reason)


def signalled(number: signal.Signals) -> int:
    """The exit status, as a shell tells it, of a program that a signal ended."""
    return 128 + number
