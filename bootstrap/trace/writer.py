"""Writes a trace: beside its place, under a lock, and renamed into place when it is whole.

While it is written it is FILE.partial, and says so itself: it is not sealed (schema.py). A recorder
that was killed leaves that behind; its lock goes with it, and the next recorder writes over it.
"""

import contextlib
import hashlib
import os
import sqlite3
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bootstrap import host
from bootstrap.errors import BadInput
from bootstrap.kernel.snapshot import Snapshot
from bootstrap.trace import schema
from bootstrap.trace.checkpoints import encode as encode_state
from bootstrap.trace.columns import LEVEL, Calls, encode
from bootstrap.trace.digest import trace_digest
from bootstrap.trace.text import Value

_BLOCK = 1 << 20
PARTIAL = ".partial"
"""Ends the name of a trace that is being written."""


class Writer:
    """The Sink that is a file. Use `recording`, which closes it whatever happens.

    Everything here raises BadInput, naming the file and the cause, when it cannot be written.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            self._place = Path(name).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise BadInput(f"{name}: cannot be written: {error}") from None
        self._partial = self._place.with_name(self._place.name + PARTIAL)
        self._versions: dict[str, int] = {}
        self._blobs: dict[bytes, int] = {}
        self._database: sqlite3.Connection | None = None
        self._check_place()
        self._fd = self._claim()
        try:
            with self._told():
                self._database = self._begin()
        except BaseException:
            self.abandon()
            raise

    def _check_place(self) -> None:
        place = self._place
        if place.is_dir():
            raise BadInput(f"{self.name}: is a directory; name a file")
        if place.exists() and not place.is_file():
            raise BadInput(f"{self.name}: is not a regular file; a trace has to be one")
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
                        f"{partial}: another recording is being written there; "
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
        ours = head[schema.APPLICATION_AT :][:4] == schema.APPLICATION_ID.to_bytes(4, "big")
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
        if not regular or (head and not (head.startswith(schema.MAGIC) and ours)):
            raise BadInput(
                f"{self._partial}: is in the way, and is no unfinished trace; move it elsewhere"
            )

    def _begin(self) -> sqlite3.Connection:
        os.ftruncate(self._fd, 0)
        database = sqlite3.connect(self._partial, isolation_level=None, check_same_thread=False)
        for pragma in (
            f"page_size = {schema.PAGE_SIZE}",
            "journal_mode = OFF",
            "synchronous = OFF",
            "locking_mode = EXCLUSIVE",
            f"application_id = {schema.APPLICATION_ID}",
            f"user_version = {schema.VERSION}",
        ):
            database.execute(f"PRAGMA {pragma}").close()
        database.execute(schema.SEAL_TABLE)
        database.execute("INSERT INTO seal VALUES (?)", (schema.NOT_SEALED.decode(),))
        for name, columns in schema.TABLES.items():
            database.execute(f"CREATE TABLE {name} ({columns})")
        database.execute("BEGIN")
        return database

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            cause = error.strerror if isinstance(error, OSError) else str(error)
            raise BadInput(
                f"{self._partial}: cannot be written: {cause} (no room, perhaps); "
                f"nothing is left of it, and a trace that was there before is unchanged"
            ) from None

    def _execute(self, text: str, cells: tuple[Value, ...]) -> None:
        assert self._database is not None
        with self._told():
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
        with self._told():
            digest = trace_digest(database)
            for name, value in {"schema": schema.SCHEMA, "digest": digest, **meta}.items():
                database.execute("INSERT INTO meta VALUES (?, ?)", (name, value))
            database.execute("COMMIT")
            database.close()
            self._database = None
            seal(self._fd)
            os.fsync(self._fd)
            os.replace(self._partial, self._place)
            os.close(self._fd)
            self._fd = -1
            host.sync_folder(self._place.parent)
        return digest

    def abandon(self) -> None:
        """Leave nothing behind; after `finish`, nothing happens."""
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self._partial)
            os.close(self._fd)
            self._fd = -1


def file_digest(fd: int) -> bytes:
    """SHA-256 in hexadecimal of an open trace, with zeros where the seal is. Raises OSError."""
    found = hashlib.sha256()
    os.lseek(fd, 0, os.SEEK_SET)
    head = os.read(fd, _BLOCK)
    found.update(head[: schema.SEAL_AT] + schema.NOT_SEALED)
    found.update(head[schema.SEAL_AT + schema.SEAL_SIZE :])
    while block := os.read(fd, _BLOCK):
        found.update(block)
    return found.hexdigest().encode()


def seal(fd: int) -> None:
    """Write the seal into a whole, closed database. Raises OSError."""
    digest = file_digest(fd)
    os.lseek(fd, schema.SEAL_AT, os.SEEK_SET)
    if os.read(fd, schema.SEAL_SIZE) != schema.NOT_SEALED:
        raise OSError(0, "the place of the seal is not where it should be")
    os.lseek(fd, schema.SEAL_AT, os.SEEK_SET)
    os.write(fd, digest)


@contextlib.contextmanager
def recording(name: str) -> Iterator[Writer]:
    """A Writer that leaves either a whole trace or none."""
    writer = Writer(name)
    try:
        yield writer
    finally:
        writer.abandon()


__all__ = ["PARTIAL", "Writer", "file_digest", "recording", "seal"]
