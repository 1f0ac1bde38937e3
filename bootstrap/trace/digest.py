"""The trace digest: over what happened, not over how or where it was recorded.

SHA-256 over lines of JSON, one for each row of the tables in DIGESTED, in order: the table's name,
then the row's cells but for its id. Versions stand there by their SHA-256, calls by the digest of
their columns (columns.CallsHash), what came in and went out by the SHA-256 of the bytes.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable

from bootstrap.trace.columns import unpacked
from bootstrap.trace.schema import DIGESTED, SCHEMA

_VERSIONS = ("image", "version", "last_version")
MAX_INPUT = 1 << 31


def trace_digest(database: sqlite3.Connection) -> str:
    """Compute it from the rows. Raises ValueError, sqlite3.Error."""
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
                if name == "id" or (table == "output" and name == "content"):
                    continue
                if name == "content":
                    plain = unpacked(cell, MAX_INPUT) if cell is not None else b""
                    cells.append(hashlib.sha256(plain).hexdigest())
                elif name in _VERSIONS and cell is not None:
                    cells.append(sha256_of(cell))
                elif isinstance(cell, bytes):
                    cells.append(cell.decode("utf-8", "surrogateescape"))
                else:
                    cells.append(cell)
            whole.update((json.dumps(cells, separators=(",", ":")) + "\n").encode())
    return whole.hexdigest()
