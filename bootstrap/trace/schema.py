"""The trace file: its tables, and the numbers by which it is known. In words: docs/trace.md."""

SCHEMA = "bootstrap-trace/2"
VERSION = 2
"""The number in SCHEMA; user_version of the database."""
APPLICATION_ID = 0x42547263
"""application_id of the database ("BTrc"): any other is no trace."""
MAGIC = b"SQLite format 3\0"
PAGE_SIZE = 4096
SEAL_SIZE = 64
"""The one row of the first table ends the second page with a SHA-256 in hexadecimal: of the whole
file, with zeros in the place of these digits. All zeros: the recording did not come to its end."""
SEAL_AT = 2 * PAGE_SIZE - SEAL_SIZE
NOT_SEALED = b"0" * SEAL_SIZE
VERSION_AT, APPLICATION_AT = 60, 68
"""Where user_version and application_id are in the file, four bytes each, big-endian."""

SEAL_TABLE = "CREATE TABLE seal (sha256 TEXT NOT NULL)"
"""Made before all else: it must have the second page."""

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
    "blobs": "id INTEGER PRIMARY KEY, content BLOB NOT NULL",
}

DIGESTED = ("runs", "processes", "opens", "changes", "input", "output")
"""The tables that tell what happened; the digest is over them (digest.py)."""
