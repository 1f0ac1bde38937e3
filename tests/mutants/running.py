"""Flips a bit of a tool, and looks for a case in which the mutant does not answer as it must."""

from __future__ import annotations

from dataclasses import replace

from bootstrap.abi.errno import LinuxError
from bootstrap.engine import Engine
from bootstrap.errors import GuestFailed
from bootstrap.kernel.limits import Limits
from bootstrap.kernel.machine import Machine
from bootstrap.vfs.filesystem import FileSystem
from bootstrap.vfs.inode import RegularFile
from bootstrap.vfs.lower import LowerFile, LowerFolder, LowerLink, MemoryLower
from tests.mutants.cases import Case, cases, program

LIMITS = replace(Limits(), seconds=2, file=64 << 20, files_total=64 << 20)
"""The slowest case takes a tenth of a second; a mutant that loops is caught after two."""

MODES = {"hex1": 0o700, "hex2": 0o700, "M0": 0o600}


def mutant(data: bytes, offset: int) -> bytes:
    """``data`` with one bit of one byte flipped; which bit follows from the offset."""
    changed = bytearray(data)
    changed[offset] ^= 1 << (offset ^ offset >> 3) % 8
    return bytes(changed)


def answers(tool: bytes, mode: int, case: Case, engine: Engine) -> bool:
    """Whether a tool's status, its output and that file's mode are what the case asks for."""
    rows: dict[bytes, LowerFile | LowerLink | LowerFolder] = {
        b"/tool": LowerFile(0o755, tool),
        b"/folder": LowerFolder(),
    }
    if case.source is not None:
        rows[b"/in"] = LowerFile(0o644, case.source)
    fs = FileSystem(MemoryLower(rows))
    try:
        ended = Machine(fs, engine, LIMITS).run(
            b"/tool", [b"./tool", *(a.encode() for a in case.arguments)]
        )
    except (GuestFailed, LinuxError):
        return False
    changed = dict(fs.changed())
    output = changed.pop(b"/out", None)
    if changed or ended.status != case.status << 8:
        return False
    if case.output is None or output is None:
        return case.output is None and output is None
    return (
        isinstance(output, RegularFile)
        and output.contents() == case.output
        and output.mode & 0o777 == mode
    )


def survives(tool: str, offset: int, engine: Engine) -> bool:
    """Whether no case tells the mutant from the tool."""
    changed = mutant(program(tool), offset)
    mode = MODES[tool]
    return all(answers(changed, mode, case, engine) for case in cases(tool))
