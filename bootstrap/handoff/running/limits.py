"""What a step may use: set by ``--limit NAME=N``, enforced by the engine or the host's kernel."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bootstrap.core.errors import BadInput

_NUMBER = re.compile(r"([1-9][0-9]*)([KMG]?)")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
NAMES = ("memory", "processes", "open_files", "file", "seconds")


@dataclass(frozen=True)
class Limits:
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

    def with_options(self, options: Iterable[str]) -> Limits:
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


def never_raised(kind: int, wanted: int) -> int:
    """``wanted``, or what the host allows if that is less: to raise a limit needs a capability."""
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def apply_to_this_process(limits: Limits) -> None:
    """Set the limits of the kernel; a child inherits them.  For bubblewrap, which has none."""
    for kind, value in (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file),
        (resource.RLIMIT_CORE, 0),
    ):
        if value is not None:
            least = never_raised(kind, value)
            resource.setrlimit(kind, (least, least))
