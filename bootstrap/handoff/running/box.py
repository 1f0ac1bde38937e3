"""What is to be run, and what an engine is: the ways of running it share this."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bootstrap.handoff.running.limits import Limits

HOSTNAME = "bootstrap"
MOUNTED = ("dev", "proc", "sys")
"""Folders of the root in which an engine shows something of its own."""

_LEFT = ("etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "run/.containerenv")
_LEFT_FOLDERS = ("run", "etc")


@dataclass(frozen=True)
class Box:
    """One program in a root: ``name`` is what the engine calls the container."""

    name: str
    root: Path
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


class Engine(Protocol):
    """podman, docker or bubblewrap.  Each method may raise BadInput with the engine's own words."""

    name: str
    version: str
    notes: tuple[str, ...]
    """What a user should know of how it is used here."""

    leaves: bool
    """Whether it puts files of its own into a root (:class:`Leftovers`)."""

    def prepare(self, box: Box) -> list[str]:
        """Make ready; the command line that runs the box in the foreground, to its end."""
        ...

    def enter(self, box: Box) -> list[str]:
        """The command line for a user to go in with, without the program to start there."""
        ...

    def limits_of_child(self, box: Box) -> Limits | None:
        """Limits that the command has to be started with, where the engine has none itself."""
        ...

    def kill(self, box: Box) -> None:
        """End the container, whether or not it is there."""
        ...

    def finish(self, box: Box) -> None:
        """After the end: bring back into the root what the box changed, and clear away."""
        ...


class Leftovers:
    """Takes away what podman and docker leave in a root: the files that they mount over.

    Only what was not there before, is empty, and has one of the names known; so that a root is
    the same whichever engine ran in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.before = {name for name in (*_LEFT, *_LEFT_FOLDERS) if os.path.lexists(root / name)}

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
        for name in _LEFT_FOLDERS:
            if name not in self.before and not (self.root / name).is_symlink():
                with contextlib.suppress(OSError):
                    (self.root / name).rmdir()
