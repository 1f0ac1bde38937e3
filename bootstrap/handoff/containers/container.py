"""What a container is, what it may use, and what an engine of containers has to do."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from bootstrap.core.errors import BadInput

HOSTNAME = "bootstrap"
MOUNTED = ("dev", "proc", "sys")
"""Folders of the root in which an engine shows something of its own."""

_NUMBER = re.compile(r"([1-9][0-9]*)([KMG]?)")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
NAMES = ("memory", "processes", "open_files", "file", "seconds")


@dataclass(frozen=True)
class ContainerLimits:
    """None is no limit of ours.

    ``memory`` is in bytes: of the container with podman and docker, of each process (its address
    space) with bubblewrap.  ``file`` is the size of a file in bytes; ``seconds`` is the time that
    one step may take, by the clock.
    """

    memory: int | None = None
    processes: int | None = None
    open_files: int | None = None
    file: int | None = None
    seconds: int | None = None

    def with_options(self, options: Iterable[str]) -> ContainerLimits:
        """Changed by NAME=N each.  Raises BadInput for what is none."""
        changed = self
        for option in options:
            name, _, text = option.partition("=")
            match = _NUMBER.fullmatch(text)
            if name not in NAMES or match is None:
                raise BadInput(
                    f"--limit {option}: give NAME=N, with NAME one of {', '.join(NAMES)} and N a"
                    " number from 1 (K, M, G are powers of 1024)"
                )
            changed = replace(changed, **{name: int(match[1]) * _UNITS[match[2]]})
        return changed


@dataclass(frozen=True)
class Container:
    """One program in a root: ``name`` is what the engine calls the container.

    ``arch`` is upstream's name of the program's architecture.  Beside the root an engine may put
    a file of its own, :attr:`starter`.
    """

    name: str
    root: Path
    arch: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: ContainerLimits = field(default_factory=ContainerLimits)

    @property
    def starter(self) -> Path:
        """Where :mod:`.starter` is on the host, for engines that need it."""
        return self.root.with_name("start")


@dataclass(frozen=True)
class Started:
    """A container that was started: what stands for it here, whose output is the container's.

    ``first`` is a descriptor (pidfd_open(2)) of the container's first process, where the engine's
    client may end before all in the container did; -1 elsewhere.
    """

    process: subprocess.Popen[bytes]
    first: int = -1

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        """Close what it has open here."""
        if self.process.stdout is not None:
            self.process.stdout.close()
        if self.first != -1:
            os.close(self.first)


class ContainerEngine(Protocol):
    """podman, docker or bubblewrap.  Each method may raise BadInput with the engine's own words."""

    name: str
    version: str
    notes: tuple[str, ...]
    """What a user should know of how it is used here."""

    leaves: bool
    """Whether it puts files of its own into a root (:class:`MountPoints`)."""

    def prepare(self, container: Container) -> list[str]:
        """The command line that starts the container, with all that may take long done for it."""
        ...

    def start(self, container: Container, command: list[str]) -> Started:
        """Start it, without input and in a session of its own, its output in one pipe.

        This takes no time: Ctrl-C waits for it.
        """
        ...

    def enter(self, container: Container) -> list[str]:
        """The command line for a user to go in with, without the program to start there."""
        ...

    def kill(self, container: Container) -> None:
        """End the container, whether or not it is there."""
        ...

    def finish(self, container: Container) -> None:
        """After the end: bring back into the root what the container changed, and clear away."""
        ...


def engine_text(engine: ContainerEngine) -> str:
    """Its name, its version, and what to know of it."""
    return ", ".join((f"{engine.name} {engine.version}", *engine.notes))


_LEFT = ("etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "run/.containerenv")
LEFT_FOLDERS = ("run", "etc")
"""Folders in which podman and docker put files of their own."""


class MountPoints:
    """Takes away what podman and docker leave in a root: the files that they mount over.

    Only what was not there before, is empty, and has one of the names known; so that a root is
    the same whichever engine ran in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.before = {name for name in (*_LEFT, *LEFT_FOLDERS) if os.path.lexists(root / name)}

    def clear(self) -> None:
        """After the container's end."""
        for name in _LEFT:
            place = self.root / name
            # A step may have made a link of the folder, to files that are the host's.
            if name in self.before or place.parent.is_symlink():
                continue
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found = os.lstat(place)
                is_link = stat.S_ISLNK(found.st_mode) and os.readlink(place) == "/proc/mounts"
                if is_link or (stat.S_ISREG(found.st_mode) and found.st_size == 0):
                    place.unlink()
        for name in LEFT_FOLDERS:
            if name not in self.before and not (self.root / name).is_symlink():
                with contextlib.suppress(OSError):
                    (self.root / name).rmdir()
