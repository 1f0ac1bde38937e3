"""The trace file: its tables, and the numbers by which it is known. In words: docs/trace.md."""

import os

from bootstrap.trace.sealed import APPLICATION_AT, MAGIC, Format

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
    "blobs": "id INTEGER PRIMARY KEY, content BLOB NOT NULL",
}

DIGESTED = ("runs", "processes", "opens", "changes", "input", "output")
"""The tables that tell what happened; the digest is over them (digest.py)."""

FORMAT = Format(
    noun="trace",
    article="a trace",
    making="recording",
    again="record again",
    application_id=0x42547263,  # "BTrc"
    schema=SCHEMA,
    tables=TABLES,
)


def is_trace(path: str | os.PathLike[str]) -> bool:
    """Whether there is a file that begins as a trace, whole or not. Raises OSError."""
    try:
        with open(path, "rb") as file:
            head = file.read(APPLICATION_AT + 4)
    except FileNotFoundError:
        return False
    ours = FORMAT.application_id.to_bytes(4, "big")
    return head.startswith(MAGIC) and head[APPLICATION_AT:] == ours
