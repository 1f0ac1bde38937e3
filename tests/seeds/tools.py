"""Runs a program of seeds/x86 on given files: emulated on either hot path, and on the host."""

from __future__ import annotations

import functools
import io
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
from bootstrap.linux.hostfolder import LowerFile, LowerFolder, MemoryLower
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine

SOURCES = Path(__file__).resolve().parents[2] / "seeds" / "x86"
SEED = (SOURCES / "hex0-seed").read_bytes()

SECONDS = 60
"""A tool that loops on the host must not hang the tests."""


@dataclass(frozen=True)
class Ended:
    """How a run ended: the exit status (a signal's number, negated), all files but the programs,
    and what was written to the standard output."""

    status: int
    files: dict[str, bytes]
    stdout: bytes


Runner = Callable[..., Ended]
"""From a program, its arguments (without its own name) and the files in its folder; besides, by
keyword, other ``programs`` there by name, and the ``environment``.

There is also a folder named ``folder``.
"""


def emulated(
    engine: Engine,
    program: bytes,
    arguments: Sequence[str],
    files: Mapping[str, bytes],
    programs: Mapping[str, bytes] | None = None,
    environment: Mapping[str, str] | None = None,
    limits: RunLimits | None = None,
) -> Ended:
    """A run in the emulator."""
    fs = _filesystem(program, files, programs or {})
    written = io.BytesIO()
    silent, stdout = Stream(), Stream(write=written.write)
    ended = LinuxMachine(fs, engine, limits or RunLimits()).run(
        b"/there/tool",
        [b"./tool", *(a.encode() for a in arguments)],
        [f"{name}={value}".encode() for name, value in (environment or {}).items()],
        cwd=b"/there",
        streams=(silent, stdout, silent),
    )
    found = {}
    folder = fs.resolve(PathBase(fs.root, fs.root), b"/there")
    assert isinstance(folder, Directory)
    for name in sorted({*folder.names()} - {b"tool", *(n.encode() for n in programs or {})}):
        inode = fs.resolve(PathBase(fs.root, folder), name)
        if not isinstance(inode, Directory):
            assert isinstance(inode, RegularFile)
            found[name.decode()] = inode.contents()
    return Ended(os.waitstatus_to_exitcode(ended.status), found, written.getvalue())


def _filesystem(
    program: bytes, files: Mapping[str, bytes], programs: Mapping[str, bytes]
) -> OverlayFileSystem:
    lower: dict[bytes, LowerFile | LowerFolder] = {b"/there/folder": LowerFolder()}
    for name, data in files.items():
        lower[b"/there/" + name.encode()] = LowerFile(0o644, data)
    for name, data in {**programs, "tool": program}.items():
        lower[b"/there/" + name.encode()] = LowerFile(0o755, data)
    return OverlayFileSystem(MemoryLower(lower))


def mode_of(made: str, program: bytes, arguments: Sequence[str], files: Mapping[str, bytes]) -> int:
    """The permissions of the file ``made`` after a run."""
    fs = _filesystem(program, files, {})
    argv = [b"./tool", *(argument.encode() for argument in arguments)]
    assert LinuxMachine(fs, default_engine()).run(b"/there/tool", argv, cwd=b"/there").status == 0
    return fs.resolve(PathBase(fs.root, fs.root), b"/there/" + made.encode()).mode & 0o7777


def on_the_host(
    program: bytes,
    arguments: Sequence[str],
    files: Mapping[str, bytes],
    programs: Mapping[str, bytes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """A run on the host's kernel, in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        there = Path(name)
        executable = {**(programs or {}), "tool": program}
        for name, data in {**files, **executable}.items():
            (there / name).write_bytes(data)
            (there / name).chmod(0o700 if name in executable else 0o644)
        (there / "folder").mkdir()
        done = subprocess.run(
            ["./tool", *arguments],
            cwd=there,
            env=dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
        there_then = [f for f in there.iterdir() if f.is_file() and f.name not in executable]
        return Ended(done.returncode, {f.name: f.read_bytes() for f in there_then}, done.stdout)


@functools.cache
def why_not() -> str | None:
    """Why the host cannot run i386 Linux programs, or None when it can."""
    if os.name != "posix":
        return "this host is not POSIX"
    try:
        done = on_the_host(SEED, ["in", "out"], {"in": b"41"})
    except OSError as error:
        return f"this host cannot run i386 Linux programs: {error.strerror}"
    if (done.status, done.files.get("out")) != (0, b"A"):
        return "this host starts i386 programs but does not run them as Linux does"
    return None


ON_THE_HOST = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

_RUNNERS = [
    pytest.param(on_the_host, id="on the host", marks=ON_THE_HOST),
    pytest.param(functools.partial(emulated, default_engine()), id="emulated"),
]
EACH = pytest.mark.parametrize("run", _RUNNERS)
"""Parametrises a test's ``run`` with a Runner."""
ON_BOTH_HOT_PATHS = pytest.mark.parametrize(
    "run",
    [
        *_RUNNERS,
        pytest.param(
            functools.partial(emulated, default_engine().in_python()),
            id="emulated, Python hot path",
        ),
    ],
)
"""The same, for tests of what a tool does; tests/instruments compares the paths for all else."""
