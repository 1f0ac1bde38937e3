"""Flips a bit of a tool, and looks for a case in which the mutant does not answer as it must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import Stream
from bootstrap.instruments import Engine
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, LowerFolder, LowerLink, MemoryLower
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine
from tests.mutants.cases import Case, Results, cases, program

SECONDS, LARGE_SECONDS = 2, 20
"""Of CPU time: a hundred times what most cases take. A mutant that loops is caught, one that is
only slow is not."""

MODES = {"hex1": 0o700, "hex2": 0o700, "M0": 0o600}


def mutant(data: bytes, offset: int) -> bytes:
    """``data`` with one bit of one byte flipped; which bit follows from the offset."""
    changed = bytearray(data)
    changed[offset] ^= 1 << (offset ^ offset >> 3) % 8
    return bytes(changed)


def _in_turn(results: Results) -> Callable[[int], int]:
    """How many bytes a call that is asked for so many moves. Raises LinuxError."""
    left = list(results)

    def allowed(asked: int) -> int:
        result = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(result, Errno):
            raise LinuxError(result)
        return min(asked, result)

    return allowed


def _reading(source: bytes, results: Results) -> Stream:
    """An input that comes in parts, or fails."""
    allowed = _in_turn(results)
    rest = memoryview(source)

    def read(count: int) -> bytes:
        nonlocal rest
        count = allowed(count)
        part, rest = bytes(rest[:count]), rest[count:]
        return part

    return Stream(read=read)


def _writing(written: bytearray, results: Results) -> Stream:
    """An output that takes parts only, or fails."""
    allowed = _in_turn(results)

    def write(data: bytes) -> int:
        count = allowed(len(data))
        written.extend(data[:count])
        return count

    return Stream(write=write)


def answers(tool: bytes, mode: int, case: Case, engine: Engine) -> bool:
    """Whether a tool's status, its output and that file's mode are what the case asks for."""
    rows: dict[bytes, LowerFile | LowerLink | LowerFolder] = {
        b"/tool": LowerFile(0o755, tool),
        b"/folder": LowerFolder(),
    }
    if case.source is not None:
        rows[b"/in"] = LowerFile(0o644, case.source)
    if case.old is not None:
        rows[b"/out"] = LowerFile(0o644, case.old)
        mode = 0o644
    fs = OverlayFileSystem(MemoryLower(rows))
    written = bytearray()
    if case.reads:
        assert case.source is not None
        fs.root.take(b"in")
        fs.root.put(b"in", _reading(case.source, case.reads))
    if case.writes:
        fs.root.put(b"out", _writing(written, case.writes))
    limits = replace(
        RunLimits(),
        seconds=LARGE_SECONDS if case.large else SECONDS,
        file=64 << 20,
        files_total=64 << 20,
    )
    try:
        ended = LinuxMachine(fs, engine, limits).run(
            b"/tool", [b"./tool", *(a.encode() for a in case.arguments)]
        )
    except (GuestFailed, LinuxError):
        return False
    if ended.status != case.status << 8:
        return False
    changed = dict(fs.changed())
    if case.writes:
        return not changed and bytes(written) == case.output
    output = changed.pop(b"/out", None)
    if changed:
        return False
    if case.output is None or output is None:
        return case.output is None and output is None
    return output.contents() == case.output and output.mode & 0o7777 == mode


def survives(tool: str, offset: int, engine: Engine, large: bool = True) -> bool:
    """Whether no case tells the mutant from the tool; or, without ``large``, no small case."""
    changed = mutant(program(tool), offset)
    mode = MODES[tool]
    return all(answers(changed, mode, c, engine) for c in cases(tool) if large or not c.large)
