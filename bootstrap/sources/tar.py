"""Reading and writing tar archives in memory, without a file system anywhere near.

The format is POSIX.1-2001 pax interchange (IEEE Std 1003.1, "pax", ustar and extended headers)
with GNU long names ('L' and 'K').  This reader exists because the standard library's gives up in
silence at a damaged header in the middle of an archive, and because an archive from the network
must not be able to name a place outside of the tree: it refuses rather than repairs.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bootstrap.core.errors import BadInput
from bootstrap.core.release import as_bytes, as_text

BLOCK = 512
_ZEROS = bytes(BLOCK)
_CARRIED = dict.fromkeys((b"0", b"\0", b"7"), "file") | {
    b"1": "hard",
    b"2": "link",
    b"5": "folder",
}
_KINDS = {b"3": "a character device", b"4": "a block device", b"6": "a fifo"}
_MAX_EXTENDED = 1 << 20
_SPARSE = "GNU.sparse"
_USED = ("path", "linkpath", "size", _SPARSE)
# What a ustar header holds: bytes of a name and of the prefix before it, and of a file.
_NAME, _PREFIX, _MAX_SIZE = 100, 155, 8**11 - 1


@dataclass(frozen=True)
class Member:
    """One member: kind is ``file``, ``link`` (symbolic), ``hard`` or ``folder``.

    ``path`` and ``target`` are as the archive has them, decoded as UTF-8 with surrogate escapes.
    """

    kind: str
    path: str
    executable: bool
    data: bytes
    target: str
    offset: int


def gunzip(data: bytes, label: str, limit: int) -> bytes:
    """Decompress a whole gzip file (RFC 1952), of one or more members, perhaps with zeros after.

    Raises BadInput when it is damaged, cut short, followed by other bytes, or when it holds more
    than ``limit`` bytes (found out without decompressing more than that).
    """
    try:
        with gzip.open(io.BytesIO(data)) as file:
            out = file.read(limit + 1)
    except EOFError:
        raise BadInput(f"{label}: cut short: its gzip data ends after {len(data)} bytes") from None
    except (OSError, zlib.error) as error:
        raise BadInput(f"{label}: damaged gzip data: {error}") from None
    if len(out) > limit:
        raise BadInput(f"{label}: holds more than {limit} bytes when unpacked")
    return out


def read_tar(raw: bytes, label: str) -> Iterator[Member]:
    """The members of a tar archive in its order.

    Raises BadInput, with the byte offset, for: a damaged or missing header, data that is cut
    short, no end-of-archive block or something after it, a device or fifo, a sparse file or any
    other kind of member.
    """
    offset = 0
    longs: dict[str, str] = {}
    everywhere: dict[str, str] = {}
    while True:
        header = raw[offset : offset + BLOCK]
        if len(header) < BLOCK:
            raise BadInput(f"{label}: cut short: no end of the archive at byte {offset}")
        if header == _ZEROS:
            if raw[offset:].strip(b"\0"):
                raise BadInput(f"{label}: more follows the end of the archive at byte {offset}")
            return
        _check_sum(header, label, offset)
        kind = header[156:157]
        extended = kind in (b"x", b"g", b"L", b"K")
        # The size of an extended header is its own; that of a file may be overridden by one.
        size = _number(header[124:136], label, offset)
        if not extended and "size" in longs:
            size = _decimal(longs["size"], label, offset)
        if kind in (b"1", b"2", b"5"):
            size = 0
        start = offset + BLOCK
        data = raw[start : start + size]
        if len(data) < size:
            raise BadInput(f"{label}: cut short: the member at byte {offset} wants {size} bytes")
        if extended:
            if size > _MAX_EXTENDED:
                raise BadInput(f"{label}: an extended header of {size} bytes at byte {offset}")
            if kind == b"g":
                everywhere.update(_records(data, label, offset))
            elif kind == b"x":
                longs.update(_records(data, label, offset))
            else:
                longs["path" if kind == b"L" else "linkpath"] = as_text(data.rstrip(b"\0"))
        else:
            yield _member(header, kind, data, {**everywhere, **longs}, label, offset)
            longs = {}
        offset = start + -(-size // BLOCK) * BLOCK


def _member(
    header: bytes, kind: bytes, data: bytes, longs: Mapping[str, str], label: str, offset: int
) -> Member:
    path = longs.get("path")
    if path is None:
        path = _field(header[0:100])
        # The prefix is POSIX's; old GNU archives keep times in those bytes.
        if header[257:263] == b"ustar\0" and header[345:346] != b"\0":
            path = f"{_field(header[345:500])}/{path}"
    target = longs.get("linkpath", _field(header[157:257]))
    where = f"{label}: the member {path!r} at byte {offset}"
    if _SPARSE in longs:
        raise BadInput(f"{where} is a sparse file, which no release has")
    if kind in _KINDS:
        raise BadInput(f"{where} is {_KINDS[kind]}; a source tree has none")
    if kind not in _CARRIED:
        raise BadInput(f"{where} is of the unknown kind {kind!r}")
    name = _CARRIED[kind]
    if name == "file" and path.endswith("/"):
        name = "folder"  # what one was before POSIX
    mode = _number(header[100:108], label, offset)
    return Member(name, path, bool(mode & 0o111), data, target, offset)


def _check_sum(header: bytes, label: str, offset: int) -> None:
    total = sum(header) - sum(header[148:156]) + 8 * 0x20
    if _number(header[148:156], label, offset) != total:
        raise BadInput(f"{label}: damaged: no tar header at byte {offset} (checksum differs)")


def _number(field: bytes, label: str, offset: int) -> int:
    """A numeric field: octal digits, or GNU's base 256 for large values (never negative here)."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if not text:
        return 0
    if any(digit not in b"01234567" for digit in text):
        raise BadInput(f"{label}: damaged: no number in the tar header at byte {offset}")
    return int(text, 8)


def _decimal(text: str, label: str, offset: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise BadInput(f"{label}: damaged: size {text[:30]!r} in the header before byte {offset}")
    return int(text)


def _records(data: bytes, label: str, offset: int) -> dict[str, str]:
    """The records ``length key=value newline`` of a pax extended header, of keys that count here.

    Any others could be a million, which each member then would carry.
    """
    records: dict[str, str] = {}
    at = 0
    while at < len(data):
        digits, space, _ = data[at : at + 12].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        record = data[at : at + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if len(record) < length or not equals or record[-1:] != b"\n":
            raise BadInput(f"{label}: damaged: bad extended header at byte {offset}")
        name = _SPARSE if key.startswith(_SPARSE.encode()) else as_text(key)
        if name in _USED:
            records[name] = as_text(value)
        at += length
    return records


def _field(field: bytes) -> str:
    return as_text(field.split(b"\0", 1)[0])


def write_tar(members: Iterable[Member], extended: bool = True) -> bytes:
    """An archive with the given members; the same members give the same bytes.

    Written here in place of ``tarfile``, whose headers have changed between versions of Python: no
    digest may depend on who makes an archive.  Owner and group are 0 and have no name, times are 0,
    modes 0755 or 0644.  What does not fit a ustar header gets a pax extended header; where that is
    not allowed, and for a file that is too large, it raises BadInput.
    """
    out = bytearray()
    for member in members:
        path, target = as_bytes(member.path), as_bytes(member.target)
        parts = _split(path)
        if parts is None and not extended:
            raise BadInput(f"{path.decode('utf-8', 'replace')}: is too long a path for a tar file")
        longs = [(b"path", path, parts), (b"linkpath", target, len(target) <= _NAME)]
        records = b"".join(_record(key, text) for key, text, fits in longs if not fits)
        if records:
            out += _header(b"x", (b"", b"PaxHeaders/" + path[:80]), len(records), 0o644, b"")
            out += records + bytes(-len(records) % BLOCK)
        kind = {"file": b"0", "link": b"2", "folder": b"5"}[member.kind]
        mode = 0o755 if member.executable or member.kind == "folder" else 0o644
        out += _header(kind, parts or (b"", path[:_NAME]), len(member.data), mode, target[:_NAME])
        out += member.data + bytes(-len(member.data) % BLOCK)
    return bytes(out + 2 * _ZEROS)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Prefix and name, the shortest prefix with which the rest fits; None where none does."""
    if len(name) <= _NAME:
        return b"", name
    at = name.find(b"/", len(name) - _NAME - 1, len(name) - 1)
    return None if at < 1 or at > _PREFIX else (name[:at], name[at + 1 :])


def _record(key: bytes, value: bytes) -> bytes:
    # The length counts its own digits.
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _header(kind: bytes, path: tuple[bytes, bytes], size: int, mode: int, target: bytes) -> bytes:
    """POSIX.1-2017, pax, "ustar Interchange Format": no names of owners, no device numbers."""
    prefix, name = path
    if size > _MAX_SIZE:
        raise BadInput(f"{name.decode('utf-8', 'replace')}: {size} bytes do not go into a tar file")
    head = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(_NAME, b"\0"), mode, 0, 0, size, 0)
    tail = kind + target.ljust(100, b"\0") + b"ustar\00000" + bytes(80) + prefix
    whole = (head + b" " * 8 + tail).ljust(BLOCK, b"\0")
    return whole[:148] + b"%06o\0 " % sum(whole) + whole[156:]
