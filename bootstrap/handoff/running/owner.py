"""Whose a box is on the host: its user's, or, when root starts it, nobody's.

Much of what a host can be changed by belongs to its root and goes by that id alone, whatever the
capabilities and namespaces (the kernel's settings do: fs/proc/proc_sysctl.c).  So root gives its
boxes an id that owns nothing else, and with it the files in their roots.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bootstrap.core.errors import BadInput

UNUSED = 2_000_000_000
"""A user and group id out of the range that nobody gives away (systemd's UIDS-GIDS.md)."""

_PLACE = "/mnt"
_REACH = f'mount --bind "$0" {_PLACE} && exec "$@"'

Ids = tuple[int, int]
"""A user's and a group's id."""


def box_ids() -> Ids | None:
    """What boxes run as on the host; None is as ourselves.

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
