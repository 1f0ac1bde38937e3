"""A tar archive whose bytes follow from its files alone: POSIX ustar, nothing left to choose.

Written here in place of ``tarfile``, whose headers have changed between versions of Python, because
the digest of an image must not depend on who makes it.  Times are 0, owner and group are 0 and
have no name, files come in the order of their paths' bytes, every folder is there once before what
is in it.  The format: POSIX.1-2017, pax, "ustar Interchange Format".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bootstrap.core.errors import BadInput

BLOCK = 512
FOLDER_MODE = 0o755
_NAME = 100
_PREFIX = 155
_MAX_SIZE = 8**11 - 1


@dataclass(frozen=True)
class Entry:
    """A file to be packed: its content, and its permission bits."""

    data: bytes
    mode: int


def pack(files: Mapping[str, Entry]) -> bytes:
    """The archive.  Paths are relative and ``/``-separated.

    Raises BadInput when a path or a file is too long for the format.
    """
    folders = {
        path[:at].encode("utf-8", "surrogateescape")
        for path in files
        for at, c in enumerate(path)
        if c == "/"
    }
    rows: dict[bytes, Entry | None] = dict.fromkeys(folders)
    for path, entry in files.items():
        name = path.encode("utf-8", "surrogateescape")
        if name in folders:
            raise BadInput(f"{path}: is a file, and a folder of another file")
        rows[name] = entry
    out = bytearray()
    for name in sorted(rows):
        row = rows[name]
        if row is None:
            out += _header(name + b"/", FOLDER_MODE, 0, b"5")
        else:
            out += _header(name, row.mode, len(row.data), b"0") + row.data
            out += bytes(-len(row.data) % BLOCK)
    return bytes(out + bytes(2 * BLOCK))


def _header(name: bytes, mode: int, size: int, kind: bytes) -> bytes:
    if size > _MAX_SIZE:
        raise BadInput(f"{name.decode('utf-8', 'replace')}: {size} bytes do not go into a tar file")
    prefix, short = _split(name)
    fields = (
        short.ljust(_NAME, b"\0"),
        b"%07o\0" % mode,
        b"%07o\0" % 0,  # owner
        b"%07o\0" % 0,  # group
        b"%011o\0" % size,
        b"%011o\0" % 0,  # time
        b" " * 8,  # the checksum, counted as spaces
        kind,
        bytes(100),  # target of a link
        b"ustar\00000",
        bytes(64),  # names of owner and group
        bytes(16),  # device numbers, which only devices have
        prefix.ljust(_PREFIX, b"\0"),
        bytes(12),
    )
    header = b"".join(fields)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Prefix and name: the shortest prefix with which the rest fits."""
    if len(name) <= _NAME:
        return b"", name
    at = name.find(b"/", len(name) - _NAME - 1, len(name) - 1)
    if at < 1 or at > _PREFIX:
        raise BadInput(f"{name.decode('utf-8', 'replace')}: is too long a path for a tar file")
    return name[:at], name[at + 1 :]
