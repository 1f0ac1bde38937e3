"""Reads the blobs of a trace or of its index, many at once: a kept state has thousands of pages."""

import sqlite3
from collections.abc import Sequence

from bootstrap.trace.columns import unpacked

MAX_BLOB = 1 << 30
"""Bytes of one blob that are read at most: a file's content."""
KEPT = 1 << 15
"""Blobs that are kept in memory at most; nearly all are pages."""
_AT_ONCE = 500
"""Numbers in one query; older SQLite takes at most 999."""


class Blobs:
    """Those of one file. What was read last is kept in memory."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._known: dict[int, bytes] = {}

    def get(self, numbers: Sequence[int]) -> list[bytes]:
        """Their contents, in this order. Raises KeyError where there is none, and ValueError."""
        missing = set(numbers).difference(self._known)
        if len(self._known) + len(missing) > KEPT:
            self._known.clear()
            missing = set(numbers)
        waiting = sorted(missing)
        for at in range(0, len(waiting), _AT_ONCE):
            some = waiting[at : at + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            for number, content in self._database.execute(
                f"SELECT id, content FROM blobs WHERE id IN ({marks})", some
            ):
                self._known[number] = unpacked(content, MAX_BLOB)
        return [self._known[number] for number in numbers]
