"""Runs the seed in the emulator."""

from __future__ import annotations

from pathlib import Path

from bootstrap.core.files import RegularFile
from bootstrap.core.paths import PathBase
from bootstrap.instruments import Engine
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.machine import Machine

SEED = Path(__file__).resolve().parents[2] / "seeds" / "x86" / "hex0-seed"


def run(source: bytes, engine: Engine) -> bytes:
    """The seed's output for ``source``."""
    files = {b"/seed": LowerFile(0o755, SEED.read_bytes()), b"/in": LowerFile(0o644, source)}
    fs = OverlayFileSystem(MemoryLower(files))
    ended = Machine(fs, engine).run(b"/seed", [b"seed", b"in", b"out"])
    assert (ended.status, ended.fault) == (0, None)
    output = fs.resolve(PathBase(fs.root, fs.root), b"/out")
    assert isinstance(output, RegularFile)
    assert output.mode & 0o7777 == 0o700
    return output.contents()
