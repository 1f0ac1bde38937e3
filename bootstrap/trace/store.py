"""The trace file: its tables, its rows in and out, its header and its digest. In words:
docs/trace.md.

SQLite keeps any value in any column, and whoever edits a file can seal it again. So every row is
checked when a trace is opened, by the one mechanism for all documents (bootstrap.documents), and
references by SQLite's own foreign_key_check; blobs are checked where they are read.
"""

import contextlib
import hashlib
import json
import os
import re
import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

import bootstrap
from bootstrap.core.abi import O_ACCMODE, O_RDONLY, O_TRUNC, Errno
from bootstrap.documents import BadValue, Sha256, Size, at_least, typed_json
from bootstrap.instruments import Engine
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.snapshot import Snapshot
from bootstrap.trace import checkpoints
from bootstrap.trace.columns import LEVEL, WORD, Calls, Value, decode, encode, list_raw, unpacked
from bootstrap.trace.container import BLOBS, Format, SealedReader, SealedWriter, sealed

SCHEMA = "bootstrap-trace/2"

TABLES: dict[str, str] = {
    "meta": "name TEXT PRIMARY KEY, value TEXT NOT NULL",
    "versions": (
        "id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, "
        "content BLOB NOT NULL"
    ),
    "folders": "id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE",
    "tree": (
        "id INTEGER PRIMARY KEY, folder INTEGER NOT NULL REFERENCES folders, name TEXT NOT NULL, "
        "path TEXT NOT NULL, mode INTEGER NOT NULL, size INTEGER NOT NULL, target TEXT, "
        "version INTEGER REFERENCES versions"
    ),
    "runs": (
        "id INTEGER PRIMARY KEY, path TEXT NOT NULL, argv TEXT NOT NULL, "
        "environment TEXT NOT NULL, cwd TEXT NOT NULL, first_event INTEGER NOT NULL"
    ),
    "processes": (
        "id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs, pid INTEGER NOT NULL, "
        "ordinal INTEGER NOT NULL, parent INTEGER REFERENCES processes, abi TEXT NOT NULL, "
        "path TEXT NOT NULL, argv TEXT NOT NULL, environment TEXT NOT NULL, cwd TEXT NOT NULL, "
        "image INTEGER NOT NULL REFERENCES versions, first_call INTEGER NOT NULL, "
        "first_event INTEGER NOT NULL, calls INTEGER, last_event INTEGER, status INTEGER, "
        "replaced INTEGER, calls_sha256 TEXT"
    ),
    "opens": (
        "id INTEGER PRIMARY KEY, process INTEGER NOT NULL REFERENCES processes, "
        "event INTEGER NOT NULL, fd INTEGER NOT NULL, path TEXT NOT NULL, "
        "flags INTEGER NOT NULL, file INTEGER NOT NULL, version INTEGER REFERENCES versions, "
        "last_event INTEGER, last_version INTEGER REFERENCES versions"
    ),
    "changes": (
        "id INTEGER PRIMARY KEY, process INTEGER NOT NULL REFERENCES processes, "
        "event INTEGER NOT NULL, kind TEXT NOT NULL, path TEXT, file INTEGER NOT NULL, "
        "value INTEGER, target TEXT"
    ),
    "input": (
        "id INTEGER PRIMARY KEY, event INTEGER NOT NULL, result INTEGER NOT NULL, content BLOB"
    ),
    "output": (
        "id INTEGER PRIMARY KEY, event INTEGER NOT NULL, stream INTEGER NOT NULL, "
        "result INTEGER NOT NULL, sha256 TEXT NOT NULL, content BLOB NOT NULL"
    ),
    "calls": (
        "id INTEGER PRIMARY KEY, process INTEGER NOT NULL REFERENCES processes, "
        "first_call INTEGER NOT NULL, first_event INTEGER NOT NULL, count INTEGER NOT NULL, "
        "word INTEGER NOT NULL, brk INTEGER NOT NULL, nr BLOB NOT NULL, a0 BLOB NOT NULL, "
        "a1 BLOB NOT NULL, a2 BLOB NOT NULL, result BLOB NOT NULL, more BLOB NOT NULL"
    ),
    "checkpoints": (
        "id INTEGER PRIMARY KEY, process INTEGER NOT NULL REFERENCES processes, "
        "event INTEGER NOT NULL, programs INTEGER NOT NULL, came_back INTEGER NOT NULL, "
        "state BLOB NOT NULL"
    ),
    "blobs": BLOBS,
}

VERSIONS = ("image", "version", "last_version")
"""Columns whose cells are ids of `versions`."""
DIGESTED = ("runs", "processes", "opens", "changes", "input", "output")
"""The tables that say what happened; the digest is over them (`trace_digest`)."""
EDITS = "edits"
"""In `meta`, where somebody wrote into the program: what (timeline/edits.py)."""

FORMAT = Format(
    noun="trace",
    article="a trace",
    making="recording",
    again="record again",
    application_id=0x42547263,  # "BTrc"
    schema=SCHEMA,
    tables=TABLES,
)
MAX_INPUT = 1 << 31
"""Bytes that come in or go out at once, at most."""

# -- rows ------------------------------------------------------------------------------------------

_ERRNOS = frozenset(Errno)


def _result(value: int) -> None:
    if (value < 0 and -value not in _ERRNOS) or value > 1 << 31:
        raise BadValue(f"is no result of a read or write: {value}")


def _abi(value: str) -> None:
    if value not in NUMBERS:
        raise BadValue(f"is no ABI: {value!r}")


class Strings(tuple[bytes, ...]):
    """Arguments or environment, in JSON."""

    __slots__ = ()

    @classmethod
    def from_text(cls, text: str) -> "Strings":
        """Raises BadValue."""
        return cls(list_raw(text))


Path = str | bytes
"""Text where it is UTF-8."""
Count = Annotated[int, at_least(1)]
Result = Annotated[int, _result]


@dataclass(frozen=True, slots=True)
class Meta:
    """A fact about the recording."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A content that some file had."""

    id: int
    sha256: Sha256
    size: Size


@dataclass(frozen=True, slots=True)
class TreeFolder:
    """A folder of the tree that the guest looked into."""

    id: int
    path: Path


@dataclass(frozen=True, slots=True)
class TreeName:
    """A name in one."""

    id: int
    folder: int
    name: Path
    path: Path
    mode: Size
    size: Size
    target: Path | None
    version: int | None


@dataclass(frozen=True, slots=True)
class TraceRun:
    """One start of a first process."""

    id: int
    path: Path
    argv: Strings
    environment: Strings
    cwd: Path
    first_event: Size


@dataclass(frozen=True, slots=True)
class ProgramRow:
    """One program of one process: see docs/trace.md, `processes`."""

    id: int
    run: int
    pid: Count
    ordinal: Size
    parent: int | None
    abi: Annotated[str, _abi]
    path: Path
    argv: Strings
    environment: Strings
    cwd: Path
    image: int
    first_call: Size
    first_event: Size
    calls: Size
    last_event: Size
    status: Annotated[int, at_least(0)] | None
    replaced: bool
    calls_sha256: Sha256

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
    event: Size
    fd: Size
    path: Path
    flags: Size
    file: int
    version: int | None
    last_event: Size | None
    last_version: int | None

    @property
    def may_write(self) -> bool:
        """Whether the file may have another content by it."""
        return self.flags & O_ACCMODE != O_RDONLY or bool(self.flags & O_TRUNC)


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """A change of a name or a file other than a write."""

    id: int
    process: int
    event: Size
    kind: Literal["name", "unname", "mode", "truncate"]
    path: Path | None
    file: int
    value: Size | None
    target: Path | None


@dataclass(frozen=True, slots=True)
class RecordedInput:
    """A read of a standard stream."""

    id: int
    event: Size
    result: Result


@dataclass(frozen=True, slots=True)
class RecordedOutput:
    """What was written to one."""

    id: int
    event: Size
    stream: Literal[0, 1, 2]
    result: Result
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Chunk:
    """Where some successive calls of one program are; `Trace.calls` brings them."""

    id: int
    process: int
    first_call: Count
    first_event: Count
    count: Count
    word: Literal[4, 8]
    brk: Size


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """Where a program began, or (`came_back`) went on after a child."""

    id: int
    process: int
    event: Size
    programs: Count
    """Programs that had begun by then."""
    came_back: Literal[0, 1]


ROWS: Mapping[str, type[Any]] = {
    "versions": StoredVersion,
    "folders": TreeFolder,
    "tree": TreeName,
    "runs": TraceRun,
    "processes": ProgramRow,
    "opens": OpenRow,
    "changes": RecordedChange,
    "input": RecordedInput,
    "output": RecordedOutput,
    "calls": Chunk,
    "checkpoints": StoredCheckpoint,
}


def check_programs(programs: list[ProgramRow], chunks: list[Chunk]) -> None:
    """That programs and their calls are those of one run, in order. Raises ValueError."""
    events = sum(program.calls for program in programs)
    seen: set[tuple[int, int, int]] = set()
    for number, program in enumerate(programs, 1):
        place = f"processes[{number}]"
        if program.id != number:
            raise ValueError(f"{place}: is missing")
        if program.parent is not None and not 0 < program.parent < number:
            raise ValueError(f"{place}: began before the program that it came from")
        before = None if program.parent is None else programs[program.parent - 1]
        if before is None:
            fits = program.ordinal == 1
        elif program.ordinal:
            fits = (before.run, before.pid, before.ordinal + 1) == (
                program.run, program.pid, program.ordinal,
            )  # fmt: skip
        else:
            fits = before.run == program.run and before.pid != program.pid
        if not fits or (program.run, program.pid, program.ordinal) in seen:
            raise ValueError(f"{place}: does not follow from the program that it came from")
        seen.add((program.run, program.pid, program.ordinal))
        if not program.first_event <= program.last_event <= events:
            raise ValueError(f"{place}: its events are none of the run's")
    made = dict.fromkeys(range(1, len(programs) + 1), 0)
    passed = 0
    for chunk in chunks:
        program = programs[chunk.process - 1]
        word, brk = WORD[program.abi], NUMBERS[program.abi]["brk"]
        if (chunk.word, chunk.brk) != (word, brk) or chunk.count > 1 << 16:
            raise ValueError(f"calls[{chunk.id}]: is of no known kind")
        if chunk.first_call != program.first_call + made[program.id] + 1:
            raise ValueError(f"calls[{chunk.id}]: does not follow the calls before it")
        if chunk.first_event != passed + 1:
            raise ValueError(f"calls[{chunk.id}]: does not follow event {passed}")
        made[program.id] += chunk.count
        passed += chunk.count
    for program in programs:
        if made[program.id] != program.calls:
            raise ValueError(
                f"processes[{program.id}]: has {made[program.id]} calls, not as it says"
            )


# -- the header ------------------------------------------------------------------------------------

INTERRUPTED = "interrupted while it ran"
"""The failure of a run that somebody ended."""
_CUT = re.compile(
    rf"limit: .* \(pid \d+\) (ran for more than|executed \d+ instructions)|{INTERRUPTED}", re.DOTALL
)
"""As linux/machine.py writes it."""


def header(kind: str, engine: Engine, limits: RunLimits, streams: Sequence[int]) -> dict[str, str]:
    """The rows of `meta` that every trace has. `streams`: the first descriptor of the one that
    each of the three standard ones is."""
    about = engine.describe()
    return {
        "kind": kind,
        "tool": f"bootstrap {bootstrap.__version__}",
        "engine": f"{about['name']} {about['version']}",
        "hot_path": about["hot_path"],
        "limits": json.dumps(asdict(limits)),
        "streams": json.dumps(list(streams)),
    }


def probing_in(meta: Mapping[str, str]) -> bool:
    """Whether calls that C libraries only probe failed with ENOSYS: in a program's run, but never
    in a bootstrap's. Raises KeyError."""
    return meta["kind"] == "run"


# -- the digest ------------------------------------------------------------------------------------


def trace_digest(database: sqlite3.Connection) -> str:
    """The trace digest, over what happened, not over how or where it was recorded.

    SHA-256 over lines of JSON, one for each row of the tables in DIGESTED, in order: the table's
    name, then the row's cells but for its id. Versions stand there by their SHA-256, calls by the
    digest of their columns (columns.CallsHash), what came in and went out by the SHA-256 of the
    bytes. Raises ValueError, sqlite3.Error.
    """
    sha256_of: Callable[[int], str] = dict(
        database.execute("SELECT id, sha256 FROM versions")
    ).__getitem__
    whole = hashlib.sha256(f"{SCHEMA}\n".encode())
    for table in DIGESTED:
        rows = database.execute(f"SELECT * FROM {table} ORDER BY id")
        names = [column[0] for column in rows.description]
        for row in rows:
            cells: list[object] = [table]
            for name, cell in zip(names, row, strict=True):
                if name == "id":
                    continue
                if name == "content":
                    plain = unpacked(cell, MAX_INPUT) if cell is not None else b""
                    sha256 = hashlib.sha256(plain).hexdigest()
                    if table == "input":
                        cells.append(sha256)
                    elif sha256 != cells[-1]:  # the column before
                        raise ValueError("what came out is not what its SHA-256 says")
                elif name in VERSIONS and cell is not None:
                    cells.append(sha256_of(cell))
                elif isinstance(cell, bytes):
                    cells.append(cell.decode("utf-8", "surrogateescape"))
                else:
                    cells.append(cell)
            whole.update((json.dumps(cells, separators=(",", ":")) + "\n").encode())
    return whole.hexdigest()


# -- writing ---------------------------------------------------------------------------------------


class Writer(SealedWriter):
    """The Sink that is a file. Use `recording`, which closes it whatever happens.

    Everything here raises BadInput, naming the file and the cause, when it cannot be written.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, FORMAT)
        self._versions: dict[str, int] = {}

    # -- the Sink -------------------------------------------------------------------------------

    def version(self, sha256: str, size: int, content: Callable[[], bytes | memoryview]) -> int:
        """See Sink."""
        known = self._versions.get(sha256)
        if known is None:
            known = self._versions[sha256] = len(self._versions) + 1
            blob = zlib.compress(content(), LEVEL)
            self.insert("versions", (known, sha256, size, blob))
        return known

    def add(self, table: str, row: Mapping[str, Value]) -> None:
        """See Sink."""
        marks = ", ".join("?" * len(row))
        self.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", (*row.values(),))

    def complete(self, table: str, row_id: int, values: Mapping[str, Value]) -> None:
        """See Sink."""
        places = ", ".join(f"{name} = ?" for name in values)
        self.execute(f"UPDATE {table} SET {places} WHERE id = ?", (*values.values(), row_id))

    def calls(
        self, process: int, first_call: int, first_event: int, calls: Calls, brk: int
    ) -> None:
        """See Sink."""
        place = (process, first_call, first_event, calls.count, calls.word, brk)
        marks = ", ".join("?" * (len(place) + 6))
        names = "process, first_call, first_event, count, word, brk, nr, a0, a1, a2, result, more"
        self.execute(f"INSERT INTO calls ({names}) VALUES ({marks})", (*place, *encode(calls, brk)))

    def checkpoint(self, row: Mapping[str, Value], snapshot: Snapshot) -> None:
        """See Sink."""
        self.add("checkpoints", {**row, "state": checkpoints.encode(snapshot, self.blob)})

    # -- the end --------------------------------------------------------------------------------

    def finish(self, meta: Mapping[str, str]) -> str:
        """Seal the trace and put it into its place; the trace digest."""
        with self.writing():
            digest = trace_digest(self.database)
        for cells in {"schema": SCHEMA, "digest": digest, **meta}.items():
            self.insert("meta", cells)
        self.put_in_place()
        return digest


def recording(name: str) -> contextlib.AbstractContextManager[Writer]:
    """A Writer that leaves either a whole trace or none."""
    return sealed(Writer, name)


# -- reading ---------------------------------------------------------------------------------------


class Trace(SealedReader):
    """An open trace: opening it checks every byte against its seal, and nothing is ever written.

    A context manager; every method raises BadInput for a damaged one.
    """

    def __init__(self, name: str | os.PathLike[str]) -> None:
        super().__init__(name, FORMAT)
        try:
            with self.reading():
                self.meta = {row.name: row.value for row in self.rows("meta", Meta)}
                rows = {table: self.rows(table, cls) for table, cls in ROWS.items()}
                lost = self.database.execute("PRAGMA foreign_key_check").fetchone()
                if lost is not None:
                    raise ValueError(
                        f"{lost[0]}[{lost[1]}] names one of {lost[2]} that is not there"
                    )
                self.runs: list[TraceRun] = rows["runs"]
                self.programs: list[ProgramRow] = rows["processes"]
                self._opens: list[OpenRow] = rows["opens"]
                self._checkpoints: list[StoredCheckpoint] = rows["checkpoints"]
                self._hashes = {row.id: (row.sha256, row.size) for row in rows["versions"]}
                self._chunks: list[Chunk] = rows["calls"]
                check_programs(self.programs, self._chunks)
        except BaseException:
            self.close()
            raise

    # -- its header --------------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """The trace digest, as it stands in the header; `computed_digest` computes it."""
        return self.meta.get("digest", "")

    def computed_digest(self) -> str:
        """The trace digest, computed from the rows."""
        with self.reading():
            return trace_digest(self.database)

    @property
    def limits(self) -> RunLimits:
        """The limits of the recorded run."""
        with self.reading():
            found = typed_json(Mapping[str, Size], self.meta["limits"])  # type: ignore[type-abstract]
            if set(found) != {field.name for field in fields(RunLimits)}:
                raise ValueError("its limits are others than this program has")
            return RunLimits(**found)

    @property
    def streams(self) -> tuple[int, int, int]:
        """The first descriptor of the one that each of the three standard streams is."""
        with self.reading():
            found = typed_json(tuple[int, int, int], self.meta["streams"])
            if found not in ((0, 1, 1), (0, 1, 2)):
                raise ValueError("its streams are none")
            return found

    @property
    def probing(self) -> bool:
        """Whether calls that C libraries only probe failed with ENOSYS."""
        with self.reading():
            return probing_in(self.meta)

    @property
    def was_cut(self) -> bool:
        """Whether a limit of time or of instructions, or somebody, ended the run between two
        calls."""
        return _CUT.match(self.meta.get("failure", "")) is not None

    # -- what is in it -----------------------------------------------------------------------------

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
        return self._hashes

    def checkpoints(self) -> list[StoredCheckpoint]:
        """Where the machine was kept whole, in order; `snapshot` reads one."""
        return self._checkpoints

    def snapshot(self, checkpoint: int) -> Snapshot:
        """The machine at a checkpoint."""
        with self.reading():
            (state,) = self.database.execute(
                "SELECT state FROM checkpoints WHERE id = ?", (checkpoint,)
            ).fetchone()
            return checkpoints.decode(state, self.blobs)

    def content(self, version: int) -> bytes:
        """The content of a version."""
        with self.reading():
            sha256, size, blob = self.database.execute(
                "SELECT sha256, size, content FROM versions WHERE id = ?", (version,)
            ).fetchone()
            data = unpacked(blob, size)
            if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
                raise ValueError("a file version is not what its SHA-256 and its size say")
            return data
