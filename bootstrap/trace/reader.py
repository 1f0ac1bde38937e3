"""Reads a trace. Opening checks every byte of it against its seal; nothing is ever written."""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from bootstrap.abi.numbers import NUMBERS
from bootstrap.errors import BadInput
from bootstrap.kernel.snapshot import Snapshot
from bootstrap.trace import schema
from bootstrap.trace.blobs import Blobs
from bootstrap.trace.checkpoints import decode as decode_state
from bootstrap.trace.columns import Calls, decode, unpacked
from bootstrap.trace.digest import trace_digest
from bootstrap.trace.sealed import open_sealed
from bootstrap.trace.text import list_raw

_ABIS = tuple(NUMBERS)


@dataclass(frozen=True, slots=True)
class Run:
    """One start of a first process."""

    id: int
    path: str | bytes
    argv: tuple[bytes, ...]
    environment: tuple[bytes, ...]
    cwd: str | bytes
    first_event: int


@dataclass(frozen=True, slots=True)
class ProgramRow:
    """One program of one process: see docs/trace.md, `processes`."""

    id: int
    run: int
    pid: int
    ordinal: int
    parent: int | None
    abi: str
    path: str | bytes
    argv: tuple[bytes, ...]
    environment: tuple[bytes, ...]
    cwd: str | bytes
    image: int
    first_call: int
    first_event: int
    calls: int
    last_event: int
    status: int | None
    replaced: bool
    calls_sha256: str

    @property
    def label(self) -> str:
        """Coordinates for people: pid, and the exec it is where that is not its first."""
        return f"pid {self.pid}" if self.ordinal < 2 else f"pid {self.pid}, exec {self.ordinal}"

    @property
    def unfinished(self) -> bool:
        """Whether it still was there when the run failed."""
        return self.status is None and not self.replaced


@dataclass(frozen=True, slots=True)
class OpenRow:
    """One open file description, from its making to its last close."""

    id: int
    process: int
    event: int
    fd: int
    path: str | bytes
    flags: int
    file: int
    version: int | None
    last_event: int | None
    last_version: int | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Where some successive calls of one program are; `Trace.calls` brings them."""

    id: int
    process: int
    first_call: int
    first_event: int
    count: int


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """Where a program began, or (`came_back`) went on after a child."""

    id: int
    process: int
    event: int
    programs: int
    """Programs that had begun by then."""
    came_back: int


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
            self.meta = {str(n): str(v) for n, v in database.execute("SELECT * FROM meta")}
            self.runs = [
                Run(i, path, list_raw(argv), list_raw(env), cwd, first)
                for i, path, argv, env, cwd, first in database.execute(
                    "SELECT * FROM runs ORDER BY id"
                )
            ]
            self.programs = [self._program(row) for row in database.execute(
                "SELECT * FROM processes ORDER BY id"
            )]  # fmt: skip
            if [program.id for program in self.programs] != [*range(1, len(self.programs) + 1)]:
                raise ValueError("programs are missing")

    @staticmethod
    def _program(row: tuple[object, ...]) -> ProgramRow:
        cells = list(row)
        cells[7], cells[8] = list_raw(cells[7]), list_raw(cells[8])
        cells[16] = bool(cells[16])
        program = ProgramRow(*cells)  # type: ignore[arg-type]
        if program.abi not in _ABIS or not isinstance(program.calls, int):
            raise ValueError("a program is of no known kind")
        return program

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
        except (sqlite3.Error, ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
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
        text = "SELECT id, process, first_call, first_event, count FROM calls"
        with self.reading():
            if process is None:
                found = self.database.execute(f"{text} ORDER BY id")
            else:
                found = self.database.execute(f"{text} WHERE process = ? ORDER BY id", (process,))
            return [Chunk(*row) for row in found]

    def calls(self, chunk: Chunk) -> Calls:
        """The calls of a chunk."""
        with self.reading():
            word, brk, *blobs = self.database.execute(
                "SELECT word, brk, nr, a0, a1, a2, result, more FROM calls WHERE id = ?",
                (chunk.id,),
            ).fetchone()
            if word not in (4, 8) or not 0 < chunk.count <= 1 << 16:
                raise ValueError("a chunk of calls is of no known kind")
            return decode(word, brk, chunk.count, blobs)

    def opens(self) -> Iterator[OpenRow]:
        """Every file that was opened, in order."""
        with self.reading():
            for row in self.database.execute("SELECT * FROM opens ORDER BY id"):
                yield OpenRow(*row)

    def hashes(self) -> dict[int, tuple[str, int]]:
        """Of every version, its SHA-256 and its size, by id."""
        with self.reading():
            rows = self.database.execute("SELECT id, sha256, size FROM versions")
            return {i: (sha256, size) for i, sha256, size in rows}

    def checkpoints(self) -> list[CheckpointRow]:
        """Where the machine was kept whole, in order; `snapshot` brings one."""
        text = "SELECT id, process, event, programs, came_back FROM checkpoints ORDER BY id"
        with self.reading():
            return [CheckpointRow(*row) for row in self.database.execute(text)]

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


__all__ = ["CheckpointRow", "Chunk", "OpenRow", "ProgramRow", "Run", "Trace", "open_trace"]
