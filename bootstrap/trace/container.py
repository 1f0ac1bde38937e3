"""SQLite files that are whole or not there, and of which any changed byte is noticed: traces.

Such a file is written beside its place, under a lock, sealed, and renamed into place. While it is
written it is FILE.partial, and says so itself: it is not sealed. A writer that was killed leaves
that; its lock goes with it, and the next one writes over it.
"""

import contextlib
import hashlib
import os
import sqlite3
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from bootstrap import host, signals
from bootstrap.core.errors import BadInput
from bootstrap.documents import typed
from bootstrap.trace.columns import LEVEL, unpacked

T = TypeVar("T")
W = TypeVar("W", bound="SealedWriter")

_BLOCK = 1 << 20
PARTIAL = ".partial"
"""Ends the name of a file that is being written."""
MAGIC = b"SQLite format 3\0"
PAGE_SIZE = 4096
SEAL_SIZE = 64
"""The one row of the first table ends the second page with a SHA-256 in hexadecimal: of the whole
file, with zeros in the place of these digits. All zeros: the writer did not come to its end."""
SEAL_AT = 2 * PAGE_SIZE - SEAL_SIZE
NOT_SEALED = b"0" * SEAL_SIZE
VERSION_AT, APPLICATION_AT = 60, 68
"""Where user_version and application_id are in the file, four bytes each, big-endian."""

SEAL_TABLE = "CREATE TABLE seal (sha256 TEXT NOT NULL)"
"""Made before all else: it must have the second page."""
BLOBS = "id INTEGER PRIMARY KEY, content BLOB NOT NULL"
"""The table `blobs` of a kind that keeps states of the machine: pages and file contents."""
MAX_BLOB = 1 << 30
"""Bytes of one blob that are read at most: a file's content."""
KEPT_BLOBS = 1 << 15
"""Blobs that are kept in memory at most; nearly all are pages."""
_AT_ONCE = 500
"""Numbers in one query; older SQLite takes at most 999."""
MOST_TABLES = 1000
"""Tables that are read of the schema of a file."""


@dataclass(frozen=True)
class Format:
    """A kind of sealed file, and what it is called in errors."""

    noun: str
    article: str
    making: str
    """What writing one is: a recording."""
    again: str
    """What to do when it is damaged."""
    application_id: int
    """application_id of the database: any other is none of this kind."""
    schema: str
    """Name and version: `bootstrap-trace/2`."""
    tables: dict[str, str]
    """Columns, by table."""

    @property
    def version(self) -> int:
        """user_version of the database."""
        return int(self.schema.rpartition("/")[2])

    def begins(self, path: str | os.PathLike[str]) -> bool:
        """Whether there is a file that begins as one, whole or not. Raises OSError."""
        try:
            with open(path, "rb") as file:
                return self.is_head(file.read(APPLICATION_AT + 4))
        except FileNotFoundError:
            return False

    def is_head(self, head: bytes) -> bool:
        """Whether these are the first bytes of one."""
        ours = self.application_id.to_bytes(4, "big")
        return head.startswith(MAGIC) and head[APPLICATION_AT:][:4] == ours


class SealedWriter:
    """Writes one. Raises BadInput, naming the file and the cause, when it cannot be written.

    `abandon` it whatever happens: after `put_in_place` nothing is left to abandon.
    """

    def __init__(self, name: str, form: Format) -> None:
        self.name = name
        self.format = form
        try:
            self._place = Path(name).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise BadInput(f"{name}: cannot be written: {error}") from None
        self._partial = self._place.with_name(self._place.name + PARTIAL)
        self._database: sqlite3.Connection | None = None
        self._blobs: dict[bytes, int] = {}
        """By SHA-256: the contents together may be more than a gigabyte."""
        self._check_place()
        self._fd = -1
        try:
            with signals.held:
                self._fd = self._claim()
            with self.writing():
                self._database = self._begin()
        except BaseException:
            self.abandon()
            raise

    def _check_place(self) -> None:
        place = self._place
        if place.is_dir():
            raise BadInput(f"{self.name}: is a directory; name a file")
        if place.exists() and not place.is_file():
            raise BadInput(
                f"{self.name}: is not a regular file; {self.format.article} has to be one"
            )
        if not place.parent.is_dir():
            raise BadInput(
                f"{self.name}: there is no folder {place.parent}; make it, or name another"
            )

    def _claim(self) -> int:
        """A descriptor of the partial file, locked, which is then ours alone."""
        flags = os.O_RDWR | os.O_CREAT | host.CLOEXEC | host.NOFOLLOW | host.BINARY
        partial = self._partial
        while True:
            try:
                fd = os.open(partial, flags, 0o666)
            except OSError as error:
                raise BadInput(f"{partial}: cannot be written: {error.strerror}") from None
            try:
                if not host.try_lock(fd):
                    raise BadInput(
                        f"{partial}: another {self.format.making} is being written there; "
                        "wait for its end, or name another file"
                    )
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(fd), os.stat(partial)):
                        self._check_partial(fd)
                        return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # whoever had it has renamed or removed it meanwhile

    def _check_partial(self, fd: int) -> None:
        """What a killed recorder left may be overwritten, and nothing else."""
        head = os.pread(fd, 100, 0) if hasattr(os, "pread") else os.read(fd, 100)
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
        if not regular or (head and not self.format.is_head(head)):
            raise BadInput(
                f"{self._partial}: is in the way, and is no unfinished {self.format.noun}; "
                "move it elsewhere"
            )

    def _begin(self) -> sqlite3.Connection:
        os.ftruncate(self._fd, 0)
        database = sqlite3.connect(self._partial, isolation_level=None, check_same_thread=False)
        try:
            self._make_tables(database)
        except BaseException:
            database.close()
            raise
        return database

    def _make_tables(self, database: sqlite3.Connection) -> None:
        for pragma in (
            f"page_size = {PAGE_SIZE}",
            "journal_mode = OFF",
            "synchronous = OFF",
            "locking_mode = EXCLUSIVE",
            f"application_id = {self.format.application_id}",
            f"user_version = {self.format.version}",
        ):
            database.execute(f"PRAGMA {pragma}").close()
        database.execute(SEAL_TABLE)
        database.execute("INSERT INTO seal VALUES (?)", (NOT_SEALED.decode(),))
        for name, columns in self.format.tables.items():
            database.execute(f"CREATE TABLE {name} ({columns})")
        database.execute("BEGIN")

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """What goes wrong in the block is raised as BadInput."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            cause = error.strerror if isinstance(error, OSError) else str(error)
            raise BadInput(
                f"{self._partial}: cannot be written: {cause} (no room, perhaps); "
                f"nothing is left of it, and {self.format.article} that was there before is "
                "unchanged"
            ) from None

    @property
    def database(self) -> sqlite3.Connection:
        """The database, until it is put in place or abandoned."""
        assert self._database is not None
        return self._database

    def execute(self, text: str, cells: Sequence[object] = ()) -> None:
        """Do one statement of SQL."""
        with self.writing():
            self.database.execute(text, cells)

    def insert(self, table: str, cells: Sequence[object]) -> None:
        """Add a row; `cells` in the order of the table's columns."""
        self.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(cells))})", cells)

    def blob(self, content: bytes) -> int:
        """The number of a blob in `blobs`, which is kept once."""
        digest = hashlib.sha256(content).digest()
        known = self._blobs.get(digest)
        if known is None:
            known = self._blobs[digest] = len(self._blobs) + 1
            self.insert("blobs", (known, zlib.compress(content, LEVEL)))
        return known

    def put_in_place(self) -> None:
        """Seal the file and give it its name."""
        with self.writing():
            self.database.execute("COMMIT")
            self.database.close()
            self._database = None
            seal(self._fd)
            os.fsync(self._fd)
            os.replace(self._partial, self._place)
            os.close(self._fd)
            self._fd = -1
            host.sync_folder(self._place.parent)

    def abandon(self) -> None:
        """Leave nothing; after `put_in_place`, nothing happens."""
        with signals.held:
            if self._database is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._database.close()
                self._database = None
            if self._fd >= 0:
                with contextlib.suppress(OSError):
                    os.unlink(self._partial)
                os.close(self._fd)
                self._fd = -1


@contextlib.contextmanager
def sealed(make: Callable[[str], W], name: str) -> Iterator[W]:
    """A writer, made for that name, that leaves either a whole file or none."""
    writer = None
    try:
        with signals.held:
            writer = make(name)
        yield writer
    finally:
        if writer is not None:
            writer.abandon()


def file_digest(fd: int) -> bytes:
    """SHA-256 in hexadecimal of such a file, with zeros where the seal is. Raises OSError."""
    found = hashlib.sha256()
    os.lseek(fd, 0, os.SEEK_SET)
    head = os.read(fd, _BLOCK)
    found.update(head[:SEAL_AT] + NOT_SEALED)
    found.update(head[SEAL_AT + SEAL_SIZE :])
    while block := os.read(fd, _BLOCK):
        found.update(block)
    return found.hexdigest().encode()


def seal(fd: int) -> None:
    """Write the seal into a whole, closed database. Raises OSError."""
    digest = file_digest(fd)
    os.lseek(fd, SEAL_AT, os.SEEK_SET)
    if os.read(fd, SEAL_SIZE) != NOT_SEALED:
        raise OSError(0, "the place of the seal is not where it should be")
    os.lseek(fd, SEAL_AT, os.SEEK_SET)
    os.write(fd, digest)


def open_sealed(name: str | os.PathLike[str], form: Format) -> sqlite3.Connection:
    """Open the database of one for reading.

    Raises BadInput: not there, none of this kind, of another schema, unfinished, or damaged: any
    changed byte is found here.
    """
    text = os.fspath(name)
    if text.endswith(PARTIAL):
        # Also where only the renaming was missing: what counts as a trace is what has its name.
        raise BadInput(
            f"{text}: is unfinished: a {form.making} that goes on, or did not come to its end"
        )
    try:
        fd = os.open(text, os.O_RDONLY | host.CLOEXEC | host.BINARY | host.NONBLOCK)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{text}: cannot be read: {cause}") from None
    try:
        _check(text, fd, form)
        place = Path(text).resolve().as_uri()
        return sqlite3.connect(f"{place}?mode=ro&immutable=1", uri=True, isolation_level=None)
    except OSError as error:
        raise BadInput(f"{text}: cannot be read: {error.strerror}") from None
    except sqlite3.Error as error:
        raise BadInput(f"{text}: cannot be read: {error}") from None
    finally:
        os.close(fd)


def _check(name: str, fd: int, form: Format) -> None:
    head = os.read(fd, SEAL_AT + SEAL_SIZE)
    if not head.startswith(MAGIC):
        raise BadInput(f"{name}: is no {form.noun} (it does not begin as one)")
    application = int.from_bytes(head[APPLICATION_AT:][:4], "big")
    version = int.from_bytes(head[VERSION_AT:][:4], "big")
    if application != form.application_id:
        raise BadInput(f"{name}: is an SQLite database, but no {form.noun}")
    if version != form.version:
        raise BadInput(
            f"{name}: is of schema {form.schema.rpartition('/')[0]}/{version}; this version of the "
            f"program reads {form.schema}: use the one that wrote it"
        )
    sealed = head[SEAL_AT:]
    if sealed == NOT_SEALED:
        raise BadInput(f"{name}: is unfinished: the {form.making} did not come to its end")
    if sealed != file_digest(fd):
        raise BadInput(
            f"{name}: is damaged: cut short, or changed after it was written; {form.again}"
        )


class SealedReader:
    """One that is read. A context manager; every method raises BadInput for one that is damaged, or
    that this program did not write.
    """

    def __init__(self, name: str | os.PathLike[str], form: Format) -> None:
        self.name = os.fspath(name)
        self.format = form
        self.database = open_sealed(self.name, form)
        self.closing = contextlib.ExitStack()
        """Ended with the file: its database, and what somebody opened beside it."""
        self.closing.callback(self.database.close)
        self._blobs: dict[int, bytes] = {}
        try:
            self._check_tables()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
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
        """What goes wrong in the block is the file's fault."""
        try:
            yield
        except (
            sqlite3.Error, ValueError, TypeError, LookupError, OverflowError, AttributeError,
        ) as error:  # fmt: skip
            noun = self.format.article.partition(" ")[2]
            raise BadInput(
                f"{self.name}: is no {noun} that this program wrote: {error}; {self.format.again}"
            ) from None

    def _check_tables(self) -> None:
        """Only the tables that we write, as we write them: no views, triggers or other columns."""
        with self.reading():
            rows = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
            found = dict(self.database.execute(rows).fetchmany(MOST_TABLES))
            tables = self.format.tables.items()
            wanted = {name: f"CREATE TABLE {name} ({columns})" for name, columns in tables}
            if found != {"seal": SEAL_TABLE, **wanted}:
                raise ValueError("its tables are others")

    @property
    def seal(self) -> str:
        """The SHA-256 of the file."""
        with self.reading():
            (seal,) = self.database.execute("SELECT sha256 FROM seal").fetchone()
            return str(seal)

    def rows(self, table: str, cls: type[T]) -> list[T]:
        """The rows of a table as dataclasses, whose fields are columns of it, in their order.

        Raises ValueError: numbers that do not ascend are refused too, for the pages of a made-up
        database may lead in a circle.
        """
        kinds = fields(cls)  # type: ignore[arg-type]
        names = [field.name for field in kinds]
        flags = [field.name for field in kinds if field.type is bool]
        found: list[T] = []
        last = 0
        query = f"SELECT {', '.join(names)} FROM {table} ORDER BY {names[0]}"
        for row in self.database.execute(query):
            cells: dict[str, Any] = dict(zip(names, row, strict=True))
            cells |= {name: {0: False, 1: True}.get(cells[name]) for name in flags}
            place = f"{table}[{row[0]}]"
            try:
                found.append(typed(cls, cells))
            except ValueError as fault:
                raise ValueError(f"{place}: {fault}") from None
            if names[0] != "name":
                if row[0] <= last:
                    raise ValueError(f"{place}: its number does not follow {last}")
                last = row[0]
        return found

    def blobs(self, numbers: Sequence[int]) -> list[bytes]:
        """Contents of `blobs`, in this order, many at once: a state has thousands of pages.

        What was read last is kept in memory. Raises KeyError where there is none, and ValueError.
        """
        missing = set(numbers).difference(self._blobs)
        if len(self._blobs) + len(missing) > KEPT_BLOBS:
            self._blobs.clear()
            missing = set(numbers)
        waiting = sorted(missing)
        for at in range(0, len(waiting), _AT_ONCE):
            some = waiting[at : at + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            for number, content in self.database.execute(
                f"SELECT id, content FROM blobs WHERE id IN ({marks})", some
            ):
                self._blobs[number] = unpacked(content, MAX_BLOB)
        return [self._blobs[number] for number in numbers]
