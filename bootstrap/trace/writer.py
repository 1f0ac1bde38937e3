"""Writes a trace: the Sink of a recording that is a file."""

import contextlib
import zlib
from collections.abc import Callable, Iterator, Mapping

from bootstrap import signals
from bootstrap.linux.snapshot import Snapshot
from bootstrap.trace import schema
from bootstrap.trace.checkpoints import encode as encode_state
from bootstrap.trace.columns import LEVEL, Calls, encode
from bootstrap.trace.digest import trace_digest
from bootstrap.trace.sealed import SealedWriter
from bootstrap.trace.text import Value


class Writer(SealedWriter):
    """The Sink that is a file. Use `recording`, which closes it whatever happens.

    Everything here raises BadInput, naming the file and the cause, when it cannot be written.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, schema.FORMAT)
        self._versions: dict[str, int] = {}
        self._blobs: dict[bytes, int] = {}

    def _execute(self, text: str, cells: tuple[Value, ...]) -> None:
        assert self._database is not None
        with self.told():
            self._database.execute(text, cells)

    # -- the Sink -------------------------------------------------------------------------------

    def version(self, sha256: str, size: int, content: Callable[[], bytes | memoryview]) -> int:
        """See Sink."""
        known = self._versions.get(sha256)
        if known is None:
            known = self._versions[sha256] = len(self._versions) + 1
            blob = zlib.compress(content(), LEVEL)
            self._execute("INSERT INTO versions VALUES (?, ?, ?, ?)", (known, sha256, size, blob))
        return known

    def add(self, table: str, row: Mapping[str, Value]) -> None:
        """See Sink."""
        marks = ", ".join("?" * len(row))
        self._execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", (*row.values(),))

    def complete(self, table: str, row_id: int, values: Mapping[str, Value]) -> None:
        """See Sink."""
        places = ", ".join(f"{name} = ?" for name in values)
        self._execute(f"UPDATE {table} SET {places} WHERE id = ?", (*values.values(), row_id))

    def calls(
        self, process: int, first_call: int, first_event: int, calls: Calls, brk: int
    ) -> None:
        """See Sink."""
        place = (process, first_call, first_event, calls.count, calls.word, brk)
        marks = ", ".join("?" * (len(place) + 6))
        names = "process, first_call, first_event, count, word, brk, nr, a0, a1, a2, result, more"
        self._execute(
            f"INSERT INTO calls ({names}) VALUES ({marks})", (*place, *encode(calls, brk))
        )

    def checkpoint(self, row: Mapping[str, Value], snapshot: Snapshot) -> None:
        """See Sink."""
        self.add("checkpoints", {**row, "state": encode_state(snapshot, self._blob)})

    def _blob(self, content: bytes) -> int:
        known = self._blobs.get(content)
        if known is None:
            known = self._blobs[content] = len(self._blobs) + 1
            self._execute("INSERT INTO blobs VALUES (?, ?)", (known, zlib.compress(content, LEVEL)))
        return known

    # -- the end --------------------------------------------------------------------------------

    def finish(self, meta: Mapping[str, str]) -> str:
        """Seal the trace and put it into its place; answers the trace digest."""
        database = self._database
        assert database is not None
        with self.told():
            digest = trace_digest(database)
            for name, value in {"schema": schema.SCHEMA, "digest": digest, **meta}.items():
                database.execute("INSERT INTO meta VALUES (?, ?)", (name, value))
        self.put_in_place()
        return digest


@contextlib.contextmanager
def recording(name: str) -> Iterator[Writer]:
    """A Writer that leaves either a whole trace or none."""
    writer = None
    try:
        with signals.held:
            writer = Writer(name)
        yield writer
    finally:
        if writer is not None:
            writer.abandon()
