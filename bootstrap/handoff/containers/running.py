"""Runs a container to its end, ends it when it has to be ended, and tries which engine does."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.handoff.containers.container import (
    Container,
    ContainerLimits,
    Started,
    without_mount_points,
)
from bootstrap.handoff.containers.engines import (
    Bubblewrap,
    ContainerEngine,
    Docker,
    Podman,
    ask,
    explained,
)
from bootstrap.handoff.containers.programs import NAME, PROBED, lay_out_probe
from bootstrap.signals import held, scratch_folder

_CHUNK = 1 << 16
_TICK = 0.2
_PATIENCE = 60.0


@dataclass(frozen=True)
class ContainerEnd:
    """How a container ended.

    ``status`` is its exit status, 128 + N when signal N ended it or its engine; ``over_time`` says
    that its time was up.
    """

    status: int
    seconds: float
    over_time: bool = False


def run_container(
    engine: ContainerEngine,
    container: Container,
    on_output: Callable[[bytes], object],
    on_tick: Callable[[float], object] | None = None,
    seconds: float | None = None,
) -> ContainerEnd:
    """Run it, in the foreground and without input; ``on_output`` gets what it writes, as it comes.

    Ctrl-C, and whatever ``on_output`` raises, ends the container at once and goes on from here.
    Raises BadInput when the engine cannot be started, or the container cannot be ended.
    """
    clearing = without_mount_points(container.root) if engine.leaves else contextlib.nullcontext()
    with clearing:
        command = engine.prepare(container)
        begun = time.monotonic()
        started = None
        over_time = False
        try:
            with held:
                started = engine.start(container, command)
            process = started.process
            over_time = _follow(process, on_output, on_tick, begun, seconds)
            if over_time:
                _end(engine, container, started)
                _read_rest(process, on_output)
        finally:
            if started is not None:
                with held, started:
                    _end(engine, container, started)
        status = process.returncode
        passed = time.monotonic() - begun
        engine.finish(container)
        return ContainerEnd(status if status >= 0 else 128 - status, passed, over_time)


def _follow(
    process: subprocess.Popen[bytes],
    on_output: Callable[[bytes], object],
    on_tick: Callable[[float], object] | None,
    started: float,
    seconds: float | None,
) -> bool:
    """Read it to the end of its output and its own; True when its time was up before."""
    assert process.stdout is not None

    def is_over() -> bool:
        passed = time.monotonic() - started
        if on_tick is not None:
            on_tick(passed)
        return seconds is not None and passed > seconds

    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if is_over():
                return True
            if selector.select(_TICK):
                data = os.read(process.stdout.fileno(), _CHUNK)
                if not data:
                    break
                on_output(data)
    while process.poll() is None:
        if is_over():
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_TICK)
    return False


def _read_rest(process: subprocess.Popen[bytes], on_output: Callable[[bytes], object]) -> None:
    """What is in the pipe of a process that has ended."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(0) and (data := os.read(process.stdout.fileno(), _CHUNK)):
            on_output(data)


def _end(engine: ContainerEngine, container: Container, started: Started) -> None:
    """Kill the container if need be, and what stands for it here; come back when all are gone.

    Nobody in the container can write any more then.  Raises BadInput when they are not gone.
    """
    process = started.process
    if process.poll() is None:
        try:
            engine.kill(container)
            if started.first == -1:
                # It ends by itself now, when it has passed on what the container wrote.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if started.first == -1:
        return
    # With it goes all that a step left in the container. bubblewrap's client ends a little before
    # its namespace, whose first process ends last of all (pid_namespaces(7)).
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(started.first, signal.SIGKILL)
    with selectors.DefaultSelector() as selector:
        selector.register(started.first, selectors.EVENT_READ)
        if not selector.select(_PATIENCE):
            raise BadInput(
                f"the container {container.name} was ended, and {_PATIENCE:.0f} s later has not;"
                " when it has, --resume goes on"
            )


# -- which engine ----------------------------------------------------------------------------------

_ENGINES: dict[str, Callable[[str], ContainerEngine]] = {
    "podman": Podman,
    "docker": Docker,
    "bwrap": Bubblewrap,
}
_RUNTIMES = ("runc", "crun")
_INSTALL = {
    "podman": "apt-get install podman",
    "docker": "docs.docker.com/engine/install",
    "bwrap": "apt-get install bubblewrap",
}
_PROBE_SECONDS = 60


@dataclass(frozen=True)
class EngineChoice:
    """The engine taken; ``others`` says of each that came before it why it was not."""

    engine: ContainerEngine
    others: tuple[tuple[str, str], ...]


def choose(wanted: str, arch: str, limits: ContainerLimits, folder: Path) -> EngineChoice:
    """The engine named, or the first that works.  Raises BadInput with the reason of each.

    ``folder`` is where runs are to be: a folder of the probe's own is made there, and removed.
    """
    others: list[tuple[str, str]] = []
    for name in _ENGINES if wanted == "auto" else (wanted,):
        try:
            return EngineChoice(_one(name, arch, limits, folder), tuple(others))
        except BadInput as error:
            others.append((name, str(error)))
    if wanted != "auto":
        raise BadInput(others[0][1])
    reasons = "; ".join(reason for _, reason in others)
    raise BadInput(f"no engine can be used here: {reasons}")


def _one(name: str, arch: str, limits: ContainerLimits, folder: Path) -> ContainerEngine:
    program = shutil.which(name)
    if program is None:
        raise BadInput(f"{name}: is not installed ({_INSTALL[name]})")
    try:
        return _tried(_ENGINES[name](program), arch, limits, folder)
    except BadInput as error:
        # podman's own choice of an OCI runtime may not work where another does.
        for runtime in _RUNTIMES if name == "podman" else ():
            if shutil.which(runtime, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
                with contextlib.suppress(BadInput):
                    engine = Podman(program, "--runtime", runtime)
                    _tried(engine, arch, limits, folder)
                    since = f"since its own choice fails ({error})"
                    engine.notes = (f"with the OCI runtime {runtime}", since)
                    return engine
        raise


def _tried(
    engine: ContainerEngine, arch: str, limits: ContainerLimits, folder: Path
) -> ContainerEngine:
    """The engine, when it ran our program.  Raises BadInput with its own words and a way out."""
    with scratch_folder(".probe.", folder) as place:
        root = place / "root"
        lay_out_probe(root, arch)
        (root / "tmp").mkdir()
        container = Container(
            f"bootstrap-probe-{os.getpid()}", root, arch, (f"/{NAME}",), {}, limits
        )
        said: list[bytes] = []
        ended = run_container(engine, container, said.append, None, _PROBE_SECONDS)
    if ended.status == PROBED:
        return engine
    raise BadInput(explained(engine.name, b"".join(said).decode("utf-8", "replace")))


def kill_leftovers(name: str) -> None:
    """End a container that a run left behind which was itself killed, whatever its engine was."""
    for command in (["podman", "rm", "--force", "--time=0"], ["docker", "rm", "--force"]):
        if shutil.which(command[0]) is not None:
            ask([*command, name])
