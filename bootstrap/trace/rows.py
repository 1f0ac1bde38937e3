"""The rows of a trace, typed: what may stand in each cell, and what rows must say together.

SQLite keeps any value in any column, and whoever edits a file can seal it again. So every row is
checked when a trace is opened, by the one mechanism for all documents (bootstrap.documents), and
references by SQLite's own foreign_key_check; blobs are checked where they are read.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, TypeVar

from bootstrap.core.abi import Errno
from bootstrap.documents import Fault, Sha256, Size, at_least, typed
from bootstrap.linux.numbers import NUMBERS
from bootstrap.trace.recorder import WORD
from bootstrap.trace.sealed import SEAL_TABLE, Format
from bootstrap.trace.text import list_raw

T = TypeVar("T")
MOST_META = 1000
_ERRNOS = frozenset(Errno)


def _result(value: int) -> None:
    if (value < 0 and -value not in _ERRNOS) or value > 1 << 31:
        raise Fault(f"is no result of a read or write: {value}")


def _abi(value: str) -> None:
    if value not in NUMBERS:
        raise Fault(f"is no ABI: {value!r}")


class Strings(tuple[bytes, ...]):
    """Arguments or environment, in JSON."""

    __slots__ = ()

    @classmethod
    def from_text(cls, text: str) -> "Strings":
        """Raises Fault."""
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


def read(database: sqlite3.Connection, table: str, cls: type[T]) -> Iterator[T]:
    """The rows of a table in the order of their numbers. Raises Fault, ValueError, sqlite3.Error.

    Numbers that do not ascend are refused: pages of a made-up database may lead in a circle.
    """
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    last = 0
    for row in database.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY {names[0]}"):
        cells: dict[str, Any] = dict(zip(names, row, strict=True))
        place = f"{table}[{row[0]}]"
        try:
            if "replaced" in cells:
                cells["replaced"] = {0: False, 1: True}.get(cells["replaced"])
            found = typed(cls, cells)
        except ValueError as fault:
            raise ValueError(f"{place}: {fault}") from None
        if names[0] != "name":
            if row[0] <= last:
                raise ValueError(f"{place}: its number does not follow {last}")
            last = row[0]
        yield found


def check_tables(database: sqlite3.Connection, form: Format) -> None:
    """Only the tables that we write, as we write them: no views, triggers or other columns.

    Raises ValueError, sqlite3.Error.
    """
    rows = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    found = dict(database.execute(rows).fetchmany(MOST_META))
    tables = {name: f"CREATE TABLE {name} ({columns})" for name, columns in form.tables.items()}
    if found != {"seal": SEAL_TABLE, **tables}:
        raise ValueError("its tables are others")


def check_references(database: sqlite3.Connection) -> None:
    """Every row that another one names is there. Raises ValueError, sqlite3.Error."""
    found = database.execute("PRAGMA foreign_key_check").fetchone()
    if found is not None:
        raise ValueError(f"{found[0]}[{found[1]}] names one of {found[2]} that is not there")


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
    for chunk in chunks:
        program = programs[chunk.process - 1]
        word, brk = WORD[program.abi], NUMBERS[program.abi]["brk"]
        if (chunk.word, chunk.brk) != (word, brk) or chunk.count > 1 << 16:
            raise ValueError(f"calls[{chunk.id}]: is of no known kind")
        if chunk.first_call != program.first_call + made[program.id] + 1:
            raise ValueError(f"calls[{chunk.id}]: does not follow the calls before it")
        made[program.id] += chunk.count
    for program in programs:
        if made[program.id] != program.calls:
            raise ValueError(f"processes[{program.id}]: has {made[program.id]} calls, not as told")
