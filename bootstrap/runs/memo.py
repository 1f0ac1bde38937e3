"""A memo: results of units that earlier runs made, in one SQLite file, for `verify --memo`.

What is taken from it is taken as from a worker: only where all that the unit observed is so
(`bootstrap.runs.units`). That it was run as it says is believed, so a run that takes anything from
a memo is not verified (`with-memo`), but for what was run again and compared.

A row is found by where the unit began, the limits and the code that ran it, and has a checksum. One
that fails is dropped and counted. A memo that cannot be written to is left as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sqlite3
import stat
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import bootstrap
from bootstrap import signals
from bootstrap.core.errors import BadInput
from bootstrap.documents import BadValue, encode, typed_json
from bootstrap.instruments import default_engine
from bootstrap.linux.limits import RunLimits
from bootstrap.report.model import MemoUse
from bootstrap.runs.opinions import engine_code
from bootstrap.runs.pool import MAX_FRAME
from bootstrap.runs.units import UnitResult, UnitStart

SIZE = 256 << 20
"""Bytes that a memo may take, by default."""
_ALL = 1 << 40
_LOOK = 0.2
"""Seconds between two looks at signals, where another process holds the memo."""
_LATEST = 1 << 35
"""A time in seconds since 1970 that no row has."""
_TABLE = """CREATE TABLE units (key text, seen text, sha256 text, made integer,
 maker text, content blob, primary key (key, seen))"""


@cache
def code_digest() -> str:
    """Of all code that comes into a unit's result: this package, its library, and Unicorn's."""
    code = engine_code("core", "linux", "instruments", "runs")
    text = json.dumps([code, dict(default_engine().describe())], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Memo:
    """An open memo. `use` says what became of it."""

    def __init__(self, place: Path, size: int = SIZE, check: int | None = 0,
                 owner: int | None = None) -> None:  # fmt: skip
        """`check` so many units by running them again, None: all; `owner`: whose memo it may be
        beside our own. Raises BadInput: of another user, writable for others, no memo."""
        self._size, self._check = min(size, sys.maxsize), _ALL if check is None else check
        uid = os.getuid() if hasattr(os, "getuid") else 0
        # What another left beside it, SQLite would write into it (https://sqlite.org/lockingv3.html,
        # "hot journal"), and in such a folder at any time.
        for end in ("", "-journal", "-wal", "-shm"):
            _require_own(place.with_name(place.name + end), uid, owner)
        with suppress(OSError):
            above = place.parent.stat()
            if hasattr(os, "getuid") and (
                above.st_mode & 0o002 or above.st_uid not in (0, uid, owner)
            ):
                raise BadInput(
                    f"{place}: others may write to its folder, and so to it; "
                    "put it into a folder of your own"
                )
        self.use = MemoUse(place.name, uid, bootstrap.__version__, code_digest())
        self._maker = f"{uid} {bootstrap.__version__}"
        self._lost = False
        self._patience = 10.0
        """Seconds for which another process may hold it."""
        before = os.umask(0o077) if not place.exists() else None
        try:
            self._db = sqlite3.connect(place, timeout=_LOOK, isolation_level=None)
            self._change(_TABLE.replace("TABLE", "TABLE IF NOT EXISTS"))
            # A view or a trigger could do anything, for any time.
            schema = self._query("select sql from sqlite_master where sql is not null")
            if not schema:  # it cannot be written to
                self._db.close()
                self._db = sqlite3.connect(":memory:", isolation_level=None)
                self._db.execute(_TABLE)
            elif schema != [(_TABLE,)]:
                raise BadInput(f"{place}: is no memo: it has another table than that of a memo")
            query = "select count(distinct key) from units where key glob ?"
            [(rows,)] = self._query(query, f"{code_digest()}*")
        except sqlite3.Error as error:
            raise BadInput(
                f"{place}: is no memo, or cannot be opened: {error}; name another, or remove it"
            ) from None
        finally:
            if before is not None:
                os.umask(before)
        self._picked = set(random.sample(range(rows), min(self._check, rows)))

    def close(self) -> None:
        """Let go of it."""
        self._db.close()

    def count(self, **more: int) -> None:
        """So many more of these."""
        self.use = replace(self.use, **{n: getattr(self.use, n) + m for n, m in more.items()})

    def is_checked(self) -> bool:
        """Whether the next unit that is found is to be run again: so many as asked for, drawn; or
        all, also what another run has put into the memo meanwhile."""
        return self._check == _ALL or self.use.believed in self._picked

    def has(self, start: UnitStart, limits: RunLimits) -> bool:
        """Whether there is any result of a unit that begins so."""
        return bool(self._rows(start, limits, "1"))

    def results(self, start: UnitStart, limits: RunLimits) -> Iterator[UnitResult]:
        """Those of units that began so, the newest first."""
        columns, key = "content, sha256, made, maker", _key(start, limits)
        for content, sha256, made, maker in self._rows(start, limits, columns):
            try:
                if _checksum(key, made, maker, content) != sha256 or not 0 <= made < _LATEST:
                    raise BadValue("is another")
                result = _unpacked(content)
                if result.start != start:
                    raise BadValue("is another unit")
            except (BadValue, TypeError, zlib.error):
                self.count(dropped=1)
                self._change("delete from units where key = ? and sha256 is ?", key, sha256)
                continue
            if self.use.oldest is None or made < self.use.oldest:
                self.use = replace(self.use, oldest=made)
            if maker not in self.use.makers:
                self.use = replace(self.use, makers=tuple(sorted({*self.use.makers, maker})))
            yield result

    def _rows(self, start: UnitStart, limits: RunLimits, what: str) -> list[Any]:
        """Of a unit. What cannot be read is not there."""
        query = f"select {what} from units where key = ? order by made desc limit 8"
        try:
            return self._query(query, _key(start, limits))
        except sqlite3.Error:
            self.count(dropped=1)
            return []

    def add(self, result: UnitResult, limits: RunLimits) -> None:
        """Have a result in it; the oldest go where it becomes too large."""
        content, made, key = _packed(result), int(time.time()), _key(result.start, limits)
        seen = hashlib.sha256(json.dumps(encode(result.observations)).encode()).hexdigest()
        self._change("insert or replace into units values (?, ?, ?, ?, ?, ?)",
                     key, seen, _checksum(key, made, self._maker, content), made, self._maker,
                     content)  # fmt: skip
        self._change(
            "delete from units where (key, seen) in (select key, seen from (select key, seen, "
            "sum(length(content)) over (order by made desc, key, seen) as total from units) "
            "where total > ?)", self._size)  # fmt: skip

    def _change(self, query: str, *values: object) -> None:
        """Nothing more is written once the disk is full, or the memo is broken."""
        if not self._lost:
            try:
                self._query(query, *values)
            except sqlite3.Error:
                self._lost = True
                self.count(lost=1)

    def _query(self, query: str, *values: object) -> list[Any]:
        """What it gives. Raises sqlite3.Error; KeyboardInterrupt, while another process holds it,
        which is waited for once."""
        end = time.monotonic() + self._patience
        while True:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() > end:
                    self._patience = 0.0
                    raise
                signals.check()


def _require_own(place: Path, uid: int, owner: int | None) -> None:
    """Raise BadInput for a file of another user, or one that others may write to."""
    with suppress(FileNotFoundError):
        found = place.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise BadInput(f"{place}: is no file")
        if hasattr(os, "getuid") and found.st_uid not in (uid, owner):
            raise BadInput(
                f"{place}: belongs to user {found.st_uid}, and what is in it would be "
                f"believed; --memo-owner {found.st_uid} asks for that by name"
            )
        if found.st_mode & 0o022:
            raise BadInput(f"{place}: others may write to it; chmod go-w {place}")


def _key(start: UnitStart, limits: RunLimits) -> str:
    plain = json.dumps([encode(start), encode(limits)])
    return code_digest() + hashlib.sha256(plain.encode()).hexdigest()


def _checksum(key: str, made: object, maker: object, content: object) -> str:
    """Of a row, so that none is of another unit, code, time or maker. Raises TypeError."""
    if not (isinstance(made, int) and isinstance(maker, str) and isinstance(content, bytes)):
        raise TypeError
    head = json.dumps([key, made, maker])
    return hashlib.sha256(head.encode() + content).hexdigest()


def _packed(result: UnitResult) -> bytes:
    return zlib.compress(json.dumps(encode(result)).encode(), 1)


def _unpacked(content: bytes) -> UnitResult:
    """Of no more than a worker may say. Raises BadValue, zlib.error."""
    data = zlib.decompressobj().decompress(content, MAX_FRAME)
    return typed_json(UnitResult, data, limit=MAX_FRAME)
