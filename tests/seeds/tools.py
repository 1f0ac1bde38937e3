"""Runs a tool of seeds/x86 on given files: emulated on either hot path, and on the host."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootstrap.core.files import Directory, RegularFile, Stream
from bootstrap.core.paths import PathBase
from bootstrap.instruments import Engine, default_engine
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.machine import Machine
from tests.seeds import host

SOURCES = Path(__file__).resolve().parents[2] / "seeds" / "x86"

SECONDS = 60
"""A tool that loops on the host must not hang the tests."""


@dataclass(frozen=True)
class Ended:
    """How a run ended: the exit status (a signal's number, negated), all files but the tool itself,
    and what was written to the standard output."""

    status: int
    files: dict[str, bytes]
    stdout: bytes


Runner = Callable[[bytes, Sequence[str], Mapping[str, bytes]], Ended]
"""From a program, its arguments (without its own name) and the files in its folder."""


def emulated(
    engine: Engine, program: bytes, arguments: Sequence[str], files: Mapping[str, bytes]
) -> Ended:
    """A run in the emulator."""
    lower = {b"/" + name.encode(): LowerFile(0o644, data) for name, data in files.items()}
    lower[b"/tool"] = LowerFile(0o755, program)
    fs = OverlayFileSystem(MemoryLower(lower))
    written = bytearray()

    def write(data: bytes) -> int:
        written.extend(data)
        return len(data)

    silent, stdout = Stream(), Stream(write=write)
    ended = Machine(fs, engine).run(
        b"/tool", [b"./tool", *(a.encode() for a in arguments)], streams=(silent, stdout, silent)
    )
    there = {}
    for name in fs.root.names():
        inode = fs.resolve(PathBase(fs.root, fs.root), b"/" + name)
        if name != b"tool" and not isinstance(inode, Directory):
            assert isinstance(inode, RegularFile)
            there[name.decode()] = inode.contents()
    return Ended(os.waitstatus_to_exitcode(ended.status), there, bytes(written))


def on_the_host(program: bytes, arguments: Sequence[str], files: Mapping[str, bytes]) -> Ended:
    """A run on the host's kernel, in a folder of its own, without environment."""
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        for name, data in files.items():
            (there / name).write_bytes(data)
        tool = there / "tool"
        tool.write_bytes(program)
        tool.chmod(0o700)
        done = subprocess.run(
            ["./tool", *arguments],
            cwd=there,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
        tool.unlink()
        files_then = {f.name: f.read_bytes() for f in there.iterdir()}
        return Ended(done.returncode, files_then, done.stdout)


def _on(engine: Engine) -> Runner:
    def run(program: bytes, arguments: Sequence[str], files: Mapping[str, bytes]) -> Ended:
        return emulated(engine, program, arguments, files)

    return run


_WHY_NOT = host.why_not()

EACH = pytest.mark.parametrize(
    "run",
    [
        pytest.param(
            on_the_host,
            id="on the host",
            marks=pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT)),
        ),
        pytest.param(_on(default_engine()), id="emulated"),
        pytest.param(_on(default_engine().in_python()), id="emulated, Python hot path"),
    ],
)
"""Parametrises a test's ``run`` with a Runner."""
