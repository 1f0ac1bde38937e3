"""What a container is, what it may use, and what engines leave in its root; and what keeps a step
from its host where the engine alone does not: ids, keyring and limits.

Much of what a host can be changed by belongs to its root and goes by that id alone, whatever the
capabilities and namespaces (the kernel's settings do: fs/proc/proc_sysctl.c).  So root gives its
containers an id that owns nothing else, and with it the files in their roots.

The session keyring (session-keyring(7)) goes from process to process, also into other namespaces:
what possesses it reads, changes and throws away the keys in it.  podman and docker give each
container another; bubblewrap passes the caller's on to what it starts.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import stat
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.linux.limits import with_options
from bootstrap.linux.numbers import NUMBERS

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


# -- confinement ----------------------------------------------------------------------------------


UNUSED = 2_000_000_000
"""A user and group id out of the range that nobody gives away (systemd's UIDS-GIDS.md)."""

_PLACE = "/mnt"
_REACH = f'mount --bind "$0" {_PLACE} && exec "$@"'

Ids = tuple[int, int]
"""A user's and a group's id."""


def container_ids() -> Ids | None:
    """What containers run as on the host; None is as ourselves.

    Raises BadInput for a root that has no other id to give away.
    """
    if os.geteuid() != 0:
        return None
    return _id("uid"), _id("gid")


def _id(kind: str) -> int:
    """UNUSED, or in a user namespace without it the last id there (user_namespaces(7))."""
    table = Path(f"/proc/self/{kind}_map").read_text(encoding="ascii")
    ranges = [tuple(map(int, line.split())) for line in table.splitlines()]
    if any(first <= UNUSED < first + count for first, _, count in ranges):
        return UNUSED
    last = max((first + count - 1 for first, _, count in ranges), default=0)
    if last == 0:
        raise BadInput(
            f"this root is alone in its user namespace: there is no other {kind} to run steps as;"
            " start it as an ordinary user"
        )
    return last


def give(root: Path, ids: Ids | None) -> None:
    """Let everything in a root belong to ``ids``, with the modes as they are.

    Raises BadInput when the host does not let us.
    """
    if ids is None:
        return
    try:
        _give(root, ids)
        for at, folders, files in os.walk(root):
            for name in (*folders, *files):
                _give(Path(at, name), ids)
    except OSError as error:
        raise BadInput(
            f"{os.fsdecode(error.filename or root)}: cannot be given to user {ids[0]}, whom steps"
            f" run as: {error.strerror}; take a --work folder on another file system"
        ) from None


def _give(place: Path, ids: Ids) -> None:
    found = os.lstat(place)
    if (found.st_uid, found.st_gid) != ids:
        os.chown(place, *ids, follow_symlinks=False)
        # A new owner takes set-user-id bits away (chown(2)).
        if stat.S_ISREG(found.st_mode) and found.st_mode & (stat.S_ISUID | stat.S_ISGID):
            place.chmod(stat.S_IMODE(found.st_mode))


def in_reach(root: Path, ids: Ids | None) -> tuple[list[str], Path]:
    """How a command line begins that is to see the root, and where that is then.

    The folders above it may be closed to ``ids``: it gets another place, in mounts of its own.
    """
    if ids is None:
        return [], root
    return ["unshare", "--mount", "sh", "-c", _REACH, str(root)], Path(_PLACE)


# -- the session keyring ---------------------------------------------------------------------------

_JOIN_SESSION_KEYRING = 1
"""KEYCTL_JOIN_SESSION_KEYRING of linux/keyctl.h; without a name, a new one."""
_ABIS = {
    ("x86_64", 8): "x86_64",
    ("x86_64", 4): "i386",
    ("i686", 4): "i386",
    ("aarch64", 8): "aarch64",
    ("riscv64", 8): "riscv64",
}
"""(machine, bytes of a pointer) -> how this process calls the kernel."""


def leave_session_keyring() -> None:
    """Go on with a new session keyring, which is empty.  Raises OSError where that is not possible.

    Without keys in the kernel (ENOSYS), or where a container's filter lets nobody use them (EPERM),
    there are none to leave.
    """
    machine, width = os.uname().machine, struct.calcsize("P")
    abi = _ABIS.get((machine, width))
    if abi is None:
        raise OSError(errno.EOPNOTSUPP, f"no keyctl is known for {machine}")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(NUMBERS[abi]["keyctl"], _JOIN_SESSION_KEYRING, None) == -1:
        cause = ctypes.get_errno()
        if cause not in (errno.ENOSYS, errno.EPERM):
            raise OSError(cause, os.strerror(cause))


def run_without() -> None:
    """Become the command line in sys.argv[1:]."""
    leave_session_keyring()
    os.execvp(sys.argv[1], sys.argv[1:])


# -- limits ----------------------------------------------------------------------------------------


def never_raised(kind: int, wanted: int) -> int:
    """``wanted``, or what the host allows if that is less: to raise a limit needs a capability."""
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def apply_to_this_process(limits: ContainerLimits) -> None:
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
