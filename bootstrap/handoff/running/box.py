"""What is to be run, and what an engine is: the ways of running it share this."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bootstrap.handoff.running.limits import Limits

HOSTNAME = "bootstrap"
MOUNTED = ("dev", "proc", "sys")
"""Folders of the root in which an engine shows something of its own."""

_LEFT = ("etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "run/.containerenv")
LEFT_FOLDERS = ("run", "etc")
"""Folders in which podman and docker put files of their own."""


@dataclass(frozen=True)
class Box:
    """One program in a root: ``name`` is what the engine calls the container.

    ``arch`` is upstream's name of the program's architecture.  Beside the root an engine may put
    a file of its own, :attr:`starter`.
    """

    name: str
    root: Path
    arch: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    @property
    def starter(self) -> Path:
        """Where :mod:`.starter` is on the host, for engines that need it."""
        return self.root.with_name("start")


@dataclass(frozen=True)
class Started:
    """A box that was started: what stands for it here, whose output is the box's.

    ``first`` is a descriptor (pidfd_open(2)) of the container's first process, where the engine's
    client may end before all in the container did; -1 elsewhere.
    """

    process: subprocess.Popen[bytes]
    first: int = -1


class Engine(Protocol):
    """podman, docker or bubblewrap.  Each method may raise BadInput with the engine's own words."""

    name: str
    version: str
    notes: tuple[str, ...]
    """What a user should know of how it is used here."""

    leaves: bool
    """Whether it puts files of its own into a root (:class:`Leftovers`)."""

    def prepare(self, box: Box) -> list[str]:
        """The command line that starts the box, with all that may take long done for it."""
        ...

    def start(self, box: Box, command: list[str]) -> Started:
        """Start it, without input and in a session of its own, its output in one pipe.

        This takes no time: Ctrl-C waits for it.
        """
        ...

    def enter(self, box: Box) -> list[str]:
        """The command line for a user to go in with, without the program to start there."""
        ...

    def kill(self, box: Box) -> None:
        """End the container, whether or not it is there."""
        ...

    def finish(self, box: Box) -> None:
        """After the end: bring back into the root what the box changed, and clear away."""
        ...


def engine_text(engine: Engine) -> str:
    """Its name, its version, and what to know of it."""
    return ", ".join((f"{engine.name} {engine.version}", *engine.notes))


class Leftovers:
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
