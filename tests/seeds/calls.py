"""Meddles with the system calls of an emulated tool, and reads what they made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.files import OpenFile
from bootstrap.core.paths import PathBase
from bootstrap.instruments import default_engine
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.machine import Machine
from tests.seeds import tools


def with_failing(
    call: str,
    results: Sequence[int | Errno],
    program: bytes,
    arguments: Sequence[str],
    files: Mapping[str, bytes],
) -> tools.Ended:
    """A run whose ``call`` (read or write) is cut to so many bytes, or fails, as ``results`` say
    in turn; the last of them goes on for ever."""
    real = getattr(OpenFile, call)
    left = list(results)

    def instead(self: OpenFile, given: int | bytes) -> bytes | int:
        result = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(result, Errno):
            raise LinuxError(result)
        if result == 0:
            return 0
        answer: bytes | int = real(
            self, min(given, result) if isinstance(given, int) else given[:result]
        )
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenFile, call, instead)
        # The native hot path reads and writes without asking OpenFile.
        return tools.emulated(default_engine().in_python(), program, arguments, files)


def mode_of(made: str, program: bytes, arguments: Sequence[str], files: Mapping[str, bytes]) -> int:
    """The permissions of the file ``made`` after a run."""
    lower = {b"/" + name.encode(): LowerFile(0o644, data) for name, data in files.items()}
    fs = OverlayFileSystem(MemoryLower({**lower, b"/tool": LowerFile(0o755, program)}))
    argv = [b"./tool", *(argument.encode() for argument in arguments)]
    assert Machine(fs, default_engine()).run(b"/tool", argv).status == 0
    return fs.resolve(PathBase(fs.root, fs.root), b"/" + made.encode()).mode & 0o7777
