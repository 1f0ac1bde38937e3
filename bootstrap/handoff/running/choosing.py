"""Which engine: each is tried with a program of our own, and who does not run it is told why."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.handoff.running.box import Box, Engine
from bootstrap.handoff.running.bubblewrap import Bubblewrap
from bootstrap.handoff.running.docker import Docker
from bootstrap.handoff.running.engines import Podman, ask, explained
from bootstrap.handoff.running.following import run_box
from bootstrap.handoff.running.limits import Limits
from bootstrap.handoff.running.probe import NAME, STATUS, lay_out_probe

NAMES = ("auto", "podman", "docker", "bwrap")
_ORDER = ("podman", "docker", "bwrap")
_RUNTIMES = ("runc", "crun")
_INSTALL = {
    "podman": "apt-get install podman",
    "docker": "docs.docker.com/engine/install",
    "bwrap": "apt-get install bubblewrap",
}
_PROBE_SECONDS = 60


@dataclass(frozen=True)
class Choice:
    """The engine taken; ``others`` says of each that came before it why it was not."""

    engine: Engine
    others: tuple[tuple[str, str], ...]


def choose(wanted: str, arch: str, limits: Limits, folder: Path) -> Choice:
    """The engine named, or the first that works.  Raises BadInput with the reason of each.

    ``folder`` is where runs are to be: a folder of the probe's own is made there, and removed.
    """
    others: list[tuple[str, str]] = []
    for name in _ORDER if wanted == "auto" else (wanted,):
        try:
            return Choice(_one(name, arch, limits, folder), tuple(others))
        except BadInput as error:
            others.append((name, str(error)))
    if wanted != "auto":
        raise BadInput(others[0][1])
    reasons = "; ".join(reason for _, reason in others)
    raise BadInput(f"no engine can be used here: {reasons}")


def _one(name: str, arch: str, limits: Limits, folder: Path) -> Engine:
    program = shutil.which(name)
    if program is None:
        raise BadInput(f"{name}: is not installed ({_INSTALL[name]})")
    if name == "bwrap":
        return _tried(Bubblewrap(program), arch, limits, folder)
    if name == "docker":
        return _tried(Docker(program), arch, limits, folder)
    try:
        return _tried(Podman(program), arch, limits, folder)
    except BadInput as error:
        # podman's own choice of an OCI runtime may not work where another does.
        for runtime in _RUNTIMES:
            if shutil.which(runtime, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
                try:
                    engine = _tried(Podman(program, runtime), arch, limits, folder)
                except BadInput:
                    continue
                engine.notes = (*engine.notes, f"since its own choice fails ({error})")
                return engine
        raise


def _tried(engine: Engine, arch: str, limits: Limits, folder: Path) -> Engine:
    """The engine, when it ran our program.  Raises BadInput with its own words and a way out."""
    with tempfile.TemporaryDirectory(prefix=".probe.", dir=folder) as place:
        root = Path(place) / "root"
        lay_out_probe(root, arch)
        (root / "tmp").mkdir()
        box = Box(f"bootstrap-probe-{os.getpid()}", root, arch, (f"/{NAME}",), {}, limits)
        said: list[bytes] = []
        ended = run_box(engine, box, said.append, None, _PROBE_SECONDS)
    if ended.status == STATUS:
        return engine
    raise BadInput(explained(engine.name, b"".join(said).decode("utf-8", "replace")))


def kill_leftovers(name: str) -> None:
    """End a container that a run left behind which was itself killed, whatever its engine was."""
    for command in (["podman", "rm", "--force", "--time=0"], ["docker", "rm", "--force"]):
        if shutil.which(command[0]) is not None:
            ask([*command, name])
