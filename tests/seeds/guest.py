"""Runs the seed in the emulator."""

from __future__ import annotations

from pathlib import Path

from bootstrap.instruments import Engine
from bootstrap.linux.filesystem import FileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.inode import RegularFile
from bootstrap.linux.machine import Machine
from bootstrap.linux.paths import At

SEED = Path(__file__).resolve().parents[2] / "seeds" / "x86" / "hex0-seed"


def run(source: bytes, engine: Engine) -> bytes:
    """The seed's output for ``source``."""
    files = {b"/seed": LowerFile(0o755, SEED.read_bytes()), b"/in": LowerFile(0o644, source)}
    fs = FileSystem(MemoryLower(files))
    ended = Machine(fs, engine).run(b"/seed", [b"seed", b"in", b"out"])
    assert (ended.status, ended.fault) == (0, None)
    output = fs.resolve(At(fs.root, fs.root), b"/out")
    assert isinstance(output, RegularFile)
    assert output.mode & 0o7777 == 0o700
    return output.contents()
