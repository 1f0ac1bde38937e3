"""Reads a trace. Opening checks every byte of it against its seal; nothing is ever written."""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from types import TracebackType

from bootstrap.core.errors import BadInput
from bootstrap.linux.snapshot import Snapshot
from bootstrap.trace import schema
from bootstrap.trace.blobs import Blobs
from bootstrap.trace.checkpoints import decode as decode_state
from bootstrap.trace.columns import Calls, decode, unpacked
from bootstrap.trace.digest import trace_digest
from bootstrap.trace.rows import (
    ROWS,
    Chunk,
    Meta,
    OpenRow,
    ProgramRow,
    StoredCheckpoint,
    StoredVersion,
    TraceRun,
    check_programs,
    check_references,
    check_tables,
    read,
)
from bootstrap.trace.sealed import open_sealed


class Trace:
    """An open trace. A context manager; every method raises BadInput for a damaged one."""

    def __init__(self, name: str, database: sqlite3.Connection) -> None:
        self.name = name
        self.database = database
        self.closing = contextlib.ExitStack()
        """Ended with the trace: its database, and that of an index."""
        self.closing.callback(database.close)
        self._told = ""
        self._blobs = Blobs(database)
        with self.reading():
            check_tables(database, schema.FORMAT)
            self.meta = {row.name: row.value for row in read(database, "meta", Meta)}
            rows = {table: list(read(database, table, cls)) for table, cls in ROWS.items()}
            check_references(database)
            self.runs: list[TraceRun] = rows["runs"]
            self.programs: list[ProgramRow] = rows["processes"]
            self._chunks: list[Chunk] = rows["calls"]
            self._opens: list[OpenRow] = rows["opens"]
            self._checkpoints: list[StoredCheckpoint] = rows["checkpoints"]
            self._versions: list[StoredVersion] = rows["versions"]
            check_programs(self.programs, self._chunks)

    def __enter__(self) -> "Trace":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self.closing.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """What goes wrong in the block is the trace's fault."""
        try:
            yield
        except (
            sqlite3.Error, ValueError, TypeError, LookupError, OverflowError, AttributeError,
        ) as error:  # fmt: skip
            raise BadInput(
                f"{self.name}: is no trace that this program wrote: {error}; record again"
            ) from None

    # -- what is in it --------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """The trace digest, as it is told in the header; `computed_digest` computes it."""
        return self.meta.get("digest", "")

    @property
    def seal(self) -> str:
        """The SHA-256 of the file."""
        with self.reading():
            (seal,) = self.database.execute("SELECT sha256 FROM seal").fetchone()
            return str(seal)

    def computed_digest(self) -> str:
        """The trace digest, computed from the rows."""
        with self.reading():
            return trace_digest(self.database)

    @property
    def events(self) -> int:
        """System calls of all processes."""
        return max((program.last_event for program in self.programs), default=0)

    def program(self, row: int) -> ProgramRow:
        """The program with that id."""
        return self.programs[row - 1]

    def chunks(self, process: int | None = None) -> list[Chunk]:
        """All chunks of calls, or those of one program, in order."""
        return [chunk for chunk in self._chunks if process in (None, chunk.process)]

    def calls(self, chunk: Chunk) -> Calls:
        """The calls of a chunk."""
        with self.reading():
            blobs = self.database.execute(
                "SELECT nr, a0, a1, a2, result, more FROM calls WHERE id = ?", (chunk.id,)
            ).fetchone()
            return decode(chunk.word, chunk.brk, chunk.count, blobs)

    def opens(self) -> list[OpenRow]:
        """Every file that was opened, in order."""
        return self._opens

    def hashes(self) -> dict[int, tuple[str, int]]:
        """Of every version, its SHA-256 and its size, by id."""
        return {row.id: (row.sha256, row.size) for row in self._versions}

    def checkpoints(self) -> list[StoredCheckpoint]:
        """Where the machine was kept whole, in order; `snapshot` brings one."""
        return self._checkpoints

    def snapshot(self, checkpoint: int) -> Snapshot:
        """The machine at a checkpoint."""
        with self.reading():
            (state,) = self.database.execute(
                "SELECT state FROM checkpoints WHERE id = ?", (checkpoint,)
            ).fetchone()
            return decode_state(state, self._blobs.get)

    def content(self, version: int) -> bytes:
        """The content of a version."""
        with self.reading():
            sha256, size, blob = self.database.execute(
                "SELECT sha256, size, content FROM versions WHERE id = ?", (version,)
            ).fetchone()
            data = unpacked(blob, size)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise ValueError("a file version is not what its SHA-256 says")
            return data


def open_trace(name: str | os.PathLike[str]) -> Trace:
    """Open a trace for reading.

    Raises BadInput: not there, no trace, of another schema, unfinished, or damaged: any changed
    byte is found here.
    """
    database = open_sealed(name, schema.FORMAT)
    try:
        return Trace(os.fspath(name), database)
    except BaseException:
        database.close()
        raise


__all__ = ["Chunk", "OpenRow", "ProgramRow", "StoredCheckpoint", "Trace", "TraceRun", "open_trace"]
