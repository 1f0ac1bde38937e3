"""Paths in a root that programs wrote: no link in it leads us to the host's own files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.documents import decoded
from bootstrap.handoff.checks import MAX_TEXT
from bootstrap.sources.tree import read_file


def inside(root: Path, path: str) -> Path | None:
    """The regular file that a program in the root would find at ``path``; None if there is none."""
    left = [part for part in path.split("/") if part not in ("", ".")][::-1]
    at: list[str] = []
    for _ in range(1000):
        if not left:
            place = root.joinpath(*at)
            return place if place.is_file() else None
        part = left.pop()
        if part == "..":
            at = at[:-1]
            continue
        place = root.joinpath(*at, part)
        try:
            mode = os.lstat(place).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISLNK(mode):
            at.append(part)
            continue
        target = os.readlink(place)
        if target.startswith("/"):
            at = []
        left += [part for part in target.split("/") if part not in ("", ".")][::-1]
    return None


def read_inside(root: Path, path: str) -> bytes:
    """The content of a file of the root, of at most 4 MiB.  Raises BadInput."""
    place = inside(root, path)
    if place is None:
        raise BadInput(f"/{path} in the root: there is no such file")
    return read_file(place, MAX_TEXT)


def text_inside(root: Path, path: str) -> str:
    """The same as text, UTF-8.  Raises BadInput."""
    return decoded(read_inside(root, path), f"/{path} in the root")


def require_folder(root: Path, path: str) -> Path:
    """A folder to look at or to write in, reached without any link.  Raises BadInput."""
    place = root
    for part in path.split("/"):
        place = place / part
        if place.is_symlink() or not place.is_dir():
            raise BadInput(f"/{path} in the root: a step made something else of this folder")
    return place
