"""What touches the host: the few things that Linux, macOS and Windows do differently, and the start
of an interpreter of our own."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import site
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.core.errors import BadInput

if TYPE_CHECKING:
    from subprocess import Popen

    Process = Popen[bytes]

CLOEXEC = getattr(os, "O_CLOEXEC", 0)
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
NONBLOCK = getattr(os, "O_NONBLOCK", 0)
NOCTTY = getattr(os, "O_NOCTTY", 0)
DIRECTORY = getattr(os, "O_DIRECTORY", 0)
BINARY = getattr(os, "O_BINARY", 0)
"""open(2) flags; 0 where the host has none such."""

HAS_DIR_FD = os.open in os.supports_dir_fd and os.listdir in os.supports_fd
"""Whether a folder can be walked by descriptors, so that nobody can swap it meanwhile."""


def lock(fd: int, shared: bool) -> None:
    """Wait for a lock on an open file; the host lets go of it when the file is closed.

    Windows knows no shared locks: readers hold each other off there. Raises OSError.
    """
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(fd, msvcrt.LK_LOCK, 1)
    else:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def try_lock(fd: int) -> bool:
    """Lock an open file for oneself, if nobody else has; as `lock`. Raises OSError."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` last, where the host does not do so by itself. Raises OSError."""
    if sys.platform == "win32":
        return
    fd = os.open(folder, os.O_RDONLY | DIRECTORY | CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


DEPENDENCIES = ("unicorn", "capstone", "platformdirs")
"""What an interpreter of ours imports beside the standard library and this package."""
_HANDED_OVER = ("LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT")


def own_command(
    module: str, function: str, *arguments: str, imports: Sequence[str] | None = None
) -> list[str]:
    """The command that calls a function of ours, with `sys.argv`, in an interpreter of its own.

    Every interpreter that we start is started by this command, in `own_environment`. It is isolated
    (`bootstrap.isolated` says how): what lies in the current folder or in a tree, or where
    PYTHONPATH leads, is not imported. Raises BadInput where a dependency of ours is from there.
    """
    package = os.path.dirname(os.path.abspath(__file__))
    folders = {"bootstrap": os.path.dirname(package), **_dependencies(imports or DEPENDENCIES)}
    what = json.dumps([folders, module, function, arguments])
    utf8 = f"utf8={sys.flags.utf8_mode}"
    return [sys.executable, "-I", "-S", "-X", utf8, os.path.join(package, "isolated.py"), what]


def own_environment() -> dict[str, str]:
    """The whole environment of an interpreter of ours.

    What our own code reads (BOOTSTRAP_*); how names are encoded, as here (LANG, LC_*); where
    temporary files go; what Windows cannot do without (SYSTEMROOT); and where a Python that is a
    shared library finds itself (LD_LIBRARY_PATH, ld.so(8), of which an empty or relative folder
    would be the current one). Nothing else: PYTHON* never.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _HANDED_OVER or name.startswith("BOOTSTRAP_")
    }
    libraries = os.environ.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":")
    libraries = [folder for folder in libraries if os.path.isabs(folder)]
    return kept | ({"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {})


def start(
    module: str, function: str, *arguments: str, imports: Sequence[str] | None = None
) -> Process:
    """Start `own_command`, its standard input and output on pipes. Raises BadInput, OSError."""
    from subprocess import PIPE, Popen

    command = own_command(module, function, *arguments, imports=imports)
    return Popen(command, stdin=PIPE, stdout=PIPE, env=own_environment())


def packages_of(name: str) -> list[str]:
    """What a distribution and all that it depends on can be imported by; none if not installed."""
    from importlib import metadata

    wanted: set[str] = set()
    todo = [name]
    while todo:
        one = _distribution(todo.pop())
        with suppress(metadata.PackageNotFoundError):
            needs = [] if one in wanted else metadata.requires(one) or []
            wanted.add(one)
            todo += [need for need in needs if "extra ==" not in need]
    owners = metadata.packages_distributions()
    return sorted(name for name, of in owners.items() if wanted & {*map(_distribution, of)})


def _distribution(requirement: str) -> str:
    """The name at the beginning of a requirement, as PEP 503 compares names."""
    name = re.match(r"[A-Za-z0-9._-]*", requirement)
    return re.sub(r"[-_.]+", "-", name[0] if name else "").lower()


def _dependencies(imports: Sequence[str]) -> dict[str, str]:
    """The folder that each dependency is loaded from here: a venv's, the user's, the system's."""
    sites = [*site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        sites.append(site.getusersitepackages())
    named = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    foreign: set[str] = set()
    for folder in ("", *named.split(os.pathsep)):
        with suppress(FileNotFoundError):  # the current folder was removed
            foreign.add(os.path.realpath(folder))
    foreign -= {os.path.realpath(folder) for folder in sites}
    found: dict[str, str] = {}
    for name in imports:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue  # whoever imports it says so
        file = Path(os.path.abspath(spec.origin))
        place = file.parent.parent if spec.submodule_search_locations else file.parent
        if os.path.realpath(place) in foreign:
            raise BadInput(
                f"{name} is loaded from {place}, the current folder or one that PYTHONPATH names, "
                "from where no process of ours imports anything; install it with pip"
            )
        found[name] = str(place)
    return found
