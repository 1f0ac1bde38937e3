"""Why a step stopped, in words."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from bootstrap.handoff.running.following import Ended
from bootstrap.handoff.running.limits import Limits
from bootstrap.handoff.running.state import CheckedFile

_FULL = 32 << 20
"""Bytes: a disk with less than this left counts as full."""


def why(ended: Ended, limits: Limits) -> str:
    """How a box ended that should have ended with 0."""
    if ended.over_time:
        return f"was ended after {limits.seconds} s, the --limit seconds"
    if ended.status > 128:
        with contextlib.suppress(ValueError):
            name = signal.Signals(ended.status - 128).name
            return f"ended with status {ended.status}, which says killed by {name}"
    return f"ended with status {ended.status}"


def found(row: CheckedFile) -> str:
    """What a mismatch is about, after the file's name."""
    if row.found is None:
        return f"is not there; {row.by} wants the sha256 {row.expected}"
    return f"has the sha256 {row.found}; {row.by} wants {row.expected}"


def last_line(tail: bytes) -> str:
    """Of what a step wrote so far."""
    line = tail[-400:].rstrip().rpartition(b"\n")[2]
    return line.decode("utf-8", "replace")


def full(folder: Path) -> str:
    """What to add when the disk that holds a folder is full; nothing when it is not."""
    facts = os.statvfs(folder)
    free = facts.f_bavail * facts.f_frsize
    return "" if free >= _FULL else f"; the disk of {folder} is full ({free >> 20} MB left)"
