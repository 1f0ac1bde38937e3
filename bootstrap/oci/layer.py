"""A layer's tar file and its gzip form, whose bytes follow from the files alone.

What zlib makes of the same content depends on its version and its make, and with it the digest of
an image.  So the content is stored in blocks as it is (RFC 1951, 3.2.4), which leaves nothing to
choose; the header says no name, no time and no system (RFC 1952, 2.3).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from bootstrap.core.errors import BadInput
from bootstrap.sources.tar import Member, write_tar

_HEADER = bytes.fromhex("1f8b 08 00 00000000 00 ff")
_BLOCK = 0xFFFF
"""What one stored block can hold."""


def pack(files: Mapping[str, tuple[bytes, bool]]) -> bytes:
    """A tar file of these: path -> content, and whether it is a program.

    Paths are relative and ``/``-separated; they come in the order of their bytes, every folder once
    before what is in it.  Raises BadInput when a path or a file is too long for the format.
    """
    folders = {path[:at] for path in files for at, c in enumerate(path) if c == "/"}
    members = {folder: Member("folder", f"{folder}/", False, b"", "", 0) for folder in folders}
    for path, (data, program) in files.items():
        if path in folders:
            raise BadInput(f"{path}: is a file, and a folder of another file")
        members[path] = Member("file", path, program, data, "", 0)
    paths = sorted(members, key=lambda path: path.encode("utf-8", "surrogateescape"))
    return write_tar((members[path] for path in paths), extended=False)


def gzip_stored(data: bytes) -> bytes:
    """The file: 5 bytes for every 65,535 longer than the content, and 18."""
    out = bytearray(_HEADER)
    for at in range(0, len(data) or 1, _BLOCK):
        block = data[at : at + _BLOCK]
        last = at + _BLOCK >= len(data)
        out += struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block
    out += struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
    return bytes(out)
