"""What a container is, what it may use, and what engines leave in its root."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.linux.limits import with_options

HOSTNAME = "bootstrap"
MOUNTED = ("dev", "proc", "sys")
"""Folders of the root in which an engine shows something of its own."""

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
        """Changed by NAME=N each, as everywhere.  Raises BadInput for what is none, and for 0."""
        changed = with_options(self, list(options))
        for name in NAMES:
            if getattr(changed, name) == 0:
                raise BadInput(f"--limit {name}=0: a container needs some; give a number from 1")
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


_LEFT = ("etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "run/.containerenv")
LEFT_FOLDERS = ("run", "etc")
"""Folders in which podman and docker put files of their own."""


@contextlib.contextmanager
def without_mount_points(root: Path) -> Iterator[None]:
    """Take away what podman and docker leave in a root meanwhile: the files that they mount over.

    Only what was not there before, is empty, and has one of the names known; so that a root is
    the same whichever engine ran in it.
    """
    before = {name for name in (*_LEFT, *LEFT_FOLDERS) if os.path.lexists(root / name)}
    try:
        yield
    finally:
        for name in _LEFT:
            place = root / name
            # A step may have made a link of the folder, to files that are the host's.
            if name in before or place.parent.is_symlink():
                continue
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found = os.lstat(place)
                is_link = stat.S_ISLNK(found.st_mode) and os.readlink(place) == "/proc/mounts"
                if is_link or (stat.S_ISREG(found.st_mode) and found.st_size == 0):
                    place.unlink()
        for name in LEFT_FOLDERS:
            if name not in before and not (root / name).is_symlink():
                with contextlib.suppress(OSError):
                    (root / name).rmdir()
