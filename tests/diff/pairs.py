"""Makes pairs of traces that differ in one thing, and compares them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootstrap import trace
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import Stream
from bootstrap.core.release import SourceFile
from bootstrap.diff.comparison import FirstByte
from bootstrap.diff.traces import TraceDiff, diff
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine
from bootstrap.runs.rebuild import record_rebuild
from bootstrap.sources import Resolved, check_materials
from bootstrap.timeline.timeline import PastEnd, Timeline
from bootstrap.trace.recorder import Recorder
from bootstrap.trace.store import Trace, header, recording
from tests.instruments.guest import Program
from tests.instruments.runs import engine_for
from tests.trace import recorded

STEPS_COMPARED = 20_000
"""Instructions that are compared one by one at most."""


@dataclass(frozen=True)
class Run:
    """What a guest is run with."""

    guest: Program
    files: Mapping[bytes, bytes] | None = None
    argv: Sequence[bytes] = (b"/guest",)
    environment: Sequence[bytes] = (b"NAME=value",)
    stdin: Sequence[bytes] = ()
    limits: RunLimits | None = None
    hot_path: str = "native"
    cwd: bytes = b"/"

    def record(self, place: Path) -> Path:
        """Record it; the place."""
        limits, engine = self.limits or RunLimits(), engine_for(self.hot_path)
        lower = {path: LowerFile(0o755, data) for path, data in (self.files or {}).items()}
        lower[b"/guest"] = LowerFile(0o755, self.guest.elf())
        lower[b"/folder/there"] = LowerFile(0o644, b"")
        fs = OverlayFileSystem(MemoryLower(lower), limits)
        rest = list(self.stdin)
        with recording(str(place)) as writer:
            recorder = Recorder(writer)
            machine = LinuxMachine(fs, engine, limits)
            streams = recorder.attach(
                machine,
                (
                    Stream(lambda _n: rest.pop(0) if rest else b""),
                    Stream(None, len),
                    Stream(None, len),
                ),
            )
            failure = ""
            try:
                machine.run(
                    b"/guest", self.argv, tuple(self.environment), self.cwd, streams=streams
                )
            except GuestFailed as error:
                failure = str(error)
            recorder.finish()
            writer.finish({**header("run", engine, limits, (0, 1, 2)), "failure": failure})
        return place


@contextlib.contextmanager
def _quietly() -> Iterator[object]:
    yield lambda _row, _executed: None


@contextlib.contextmanager
def compared(a: Path, b: Path, hot_path: str = "native") -> Iterator[TraceDiff]:
    """The difference of two traces, which stay open."""
    with trace.open(a) as one, trace.open(b) as other:
        yield diff(one, other, engine_for(hot_path), _quietly)  # type: ignore[arg-type]


@contextlib.contextmanager
def recorded_pair(folder: Path, one: Run, other: Run) -> Iterator[TraceDiff]:
    """The difference of two runs, which are recorded as `a` and `b` in the folder."""
    with compared(one.record(folder / "a"), other.record(folder / "b")) as found:
        yield found


def first_of(found: TraceDiff) -> str:
    """The file in which they differ first."""
    assert found.first is not None and found.first.file is not None
    return found.first.file.path


def first_byte_of(found: TraceDiff) -> FirstByte:
    """And the byte of it."""
    assert found.first is not None and found.first.file is not None
    assert found.first.file.first_difference is not None
    return found.first.file.first_difference


def flipped(data: bytes, offset: int, mask: int = 1) -> bytes:
    """One byte of it changed."""
    return data[:offset] + bytes((data[offset] ^ mask,)) + data[offset + 1 :]


def embedded_with(place: Path, **files: bytes) -> Path:
    """Record the embedded path with other contents of some of its files; `hex0_hex0` is hex0.hex0,
    `hex0__seed` is hex0-seed."""
    resolved = recorded.embedded()
    changed = dict(resolved.tree.files)
    for name, data in files.items():
        path = name.replace("__", "-").replace("_", ".")
        changed[path] = SourceFile(data, changed[path].executable)
    tree = resolved.tree.but(files=changed)
    made = Resolved(tree, resolved.step, check_materials(tree, resolved.step))
    record_rebuild(str(place), made, next(iter(made.step.entries)), engine_for("native"))
    return place


def source(name: str) -> bytes:
    """A file of the embedded sources."""
    return recorded.embedded().tree.files[name].data


def one_by_one(a: Trace, b: Trace, row_a: int, row_b: int, start: int = 0) -> int | None:
    """The oracle: step both machines and compare registers each time.

    The number of the first instruction after which they differ; -1 where they differ before the
    first; None where none does as long as both go on.
    """
    at = [Timeline(t, engine_for("native")) for t in (a, b)]
    try:
        for traveller, row in zip(at, (row_a, row_b), strict=True):
            traveller.seek(row, start)
        for executed in range(start, start + STEPS_COMPARED):
            one, other = (t.registers() for t in at)
            if one != other:
                return executed - 1
            ended = 0
            for traveller in at:
                try:
                    traveller.step()
                except (PastEnd, GuestFailed):
                    ended += 1
            if ended:
                statuses = [
                    t.trace.program(r).status for t, r in zip(at, (row_a, row_b), strict=True)
                ]
                return executed if ended == 1 or statuses[0] != statuses[1] else None
        raise AssertionError("the oracle went too far")
    finally:
        for traveller in at:
            traveller.close()


def executed_of(coordinate: str) -> int:
    """N of PID@N."""
    return int(coordinate.rpartition("@")[2])


def swapped(found: TraceDiff) -> tuple[object, ...]:
    """Where it parts, with sides that do not count."""
    first, call, instruction = found.first, found.call, found.instruction
    return (
        found.equal,
        None if first is None else first.event,
        None if first is None or first.file is None else first.file.path,
        None if first is None or first.file is None or first.file.first_difference is None
        else first.file.first_difference.offset,
        None if call is None else min(one.event for _, one in call.calls.sides),
        None if instruction is None else instruction.a.coordinate,
        sorted(left.path for left, _ in found.left),
        found.at_end,
    )  # fmt: skip
