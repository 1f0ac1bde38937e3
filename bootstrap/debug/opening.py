"""Records a program or a source tree, for `trace record` and for sessions of live programs."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.core.abi import LinuxError
from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.core.files import Stream
from bootstrap.core.machine import RunResult
from bootstrap.instruments import Engine
from bootstrap.linux.events import Listener
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import FolderLower
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine
from bootstrap.runs.rebuild import record_rebuild
from bootstrap.signals import scratch_folder
from bootstrap.sources import Resolved
from bootstrap.trace.recorder import Recorder
from bootstrap.trace.store import header, recording

Streams = tuple[Stream, Stream, Stream]


def quiet_streams(stdin: bytes = b"") -> Streams:
    """Standard streams of a program that nobody sits before; what it prints is in the trace."""
    return Stream(io.BytesIO(stdin).read), Stream(None, len), Stream(None, len)


@contextlib.contextmanager
def temporary() -> Iterator[str]:
    """The name of a trace that is gone afterwards."""
    with scratch_folder() as folder:
        yield str(folder / "live.trace")


@dataclass(frozen=True)
class Recording:
    """What came of a program that was recorded."""

    digest: str
    ended: RunResult | None
    """None where it failed."""
    failure: GuestFailed | None = None
    probes: Mapping[str, int] = field(default_factory=dict)
    """By name, calls that failed with ENOSYS though Linux has them."""


def record_program(
    name: str,
    argv: Sequence[str],
    engine: Engine,
    root: str = ".",
    cwd: str = "/",
    env: Sequence[str] = (),
    limits: RunLimits | None = None,
    streams: Streams | None = None,
) -> Recording:
    """Run a program of the folder `root`, and record it; a guest that fails is recorded to there.

    Raises BadInput: no such folder or program.
    """
    if not Path(root).is_dir():
        raise BadInput(f"--root {root}: is not a folder")
    if not argv:
        raise BadInput("no program: name one, as in -- ./hex0 in.hex0 out")
    limits = limits or RunLimits()
    with recording(name) as writer:
        recorder = Recorder(writer)
        fs = OverlayFileSystem(FolderLower(root), limits)
        machine = LinuxMachine(fs, engine, limits, probing=True)
        attached = recorder.attach(machine, streams or quiet_streams())
        words = [os.fsencode(word) for word in argv]
        variables = [os.fsencode(variable) for variable in env]
        ended: RunResult | None = None
        failure: GuestFailed | None = None
        try:
            ended = machine.run(words[0], words, variables, os.fsencode(cwd), attached)
        except LinuxError as error:
            raise BadInput(f"{argv[0]}: cannot be executed in {root}: {error}") from None
        except GuestFailed as error:
            failure = error
        recorder.finish()
        digest = writer.finish(
            {**header("run", engine, limits, (0, 1, 2)), "arch": "", "failure": str(failure or "")}
        )
    return Recording(digest, ended, failure, machine.probes or {})


def record_sources(
    name: str,
    resolved: Resolved,
    engine: Engine,
    entry: str = "",
    limits: RunLimits | None = None,
    listeners: Sequence[Listener] = (),
    notify: Callable[[str], None] = lambda _: None,
) -> None:
    """Rebuild a source tree, as verify does, and record it; `notify` gets what verify says."""
    found = entry or next(iter(resolved.step.entries))
    notify(record_rebuild(name, resolved, found, engine, limits, listeners).report.claim)
