"""Runs one program by itself, on files that it is given, for the one file that it has to make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bootstrap.core.abi import LinuxError
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import RegularFile
from bootstrap.core.paths import PathBase
from bootstrap.instruments import Engine
from bootstrap.linux import faults
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, LowerFolder, LowerLink, MemoryLower
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine


class NoOutput(Exception):
    """The program did not make the file; ``lines`` say why, the first one in short."""

    def __init__(self, *lines: str) -> None:
        super().__init__(lines[0])
        self.lines = lines


def run_alone(
    files: Mapping[bytes, LowerFile | LowerLink | LowerFolder],
    program: bytes,
    argv: Sequence[bytes],
    output: bytes,
    engine: Engine,
    limits: RunLimits,
) -> bytes | None:
    """The content of the guest file ``output`` after ``program``, a path in ``files``, was run.

    Nothing but ``files`` is there for it.  None where it ended well without making the file.
    Raises NoOutput for a guest that fails in any other way.
    """
    fs = OverlayFileSystem(MemoryLower(files))
    try:
        ended = LinuxMachine(fs, engine, limits).run(program, argv)
    except GuestFailed as error:
        raise NoOutput(str(error)) from error
    except LinuxError as error:
        raise NoOutput(f"it cannot be executed: {error}") from error
    if ended.fault is not None:
        raise NoOutput(*faults.describe(ended.fault))
    if ended.status:
        raise NoOutput(f"it ended with exit status {ended.status >> 8}")
    try:
        inode = fs.resolve(PathBase(fs.root, fs.root), output)
    except LinuxError:
        return None
    if not isinstance(inode, RegularFile):
        raise NoOutput("its output is no regular file")
    return inode.contents()
