"""Compressed archives and zip files, unpacked in memory up to a limit.

gzip is RFC 1952; xz is xz-utils' `doc/xz-file-format.txt`; zstd is RFC 8878, read by Python from
3.14 on and by the package backports.zstd before, where that is installed; zip is PKWARE's APPNOTE,
its modes as Info-ZIP writes them.  What does not belong to the format is refused.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import lzma
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from bootstrap.core.errors import BadInput
from bootstrap.core.release import as_text
from bootstrap.sources.tar import Member, gunzip

GZIP, XZ, ZSTD, ZIP = b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\3\4"
_HEADER, _LATER, _UNICODE_PATH = 30, 1 << 3, 0x7075
"""Bytes of a member's own header before its name; the flag that its sizes follow the content; the
extra field (APPNOTE, 4.6.9) by which some programs name it."""
_MEMORY, _WINDOW = 256 << 20, 27
"""Bytes that xz may take, and 2 to the power of what zstd may: more than -9 and -19 ask for."""


def unpacked(data: bytes, label: str, limit: int) -> bytes:
    """What a compressed file holds; another file as it is.

    Raises BadInput when it is damaged, cut short or holds more than ``limit`` bytes.
    """
    if data.startswith(GZIP):
        return gunzip(data, label, limit)
    if data.startswith(XZ):
        with _damage(label, "xz", lzma.LZMAError):
            return _all(data, _unxz, label, limit)
    if data.startswith(ZSTD):
        zstd = _zstd(label)
        largest = {zstd.DecompressionParameter.window_log_max: _WINDOW}
        with _damage(label, "zstd", zstd.ZstdError):
            return _all(data, lambda: zstd.ZstdDecompressor(options=largest), label, limit)
    return data


class _Decompressor(Protocol):
    """Of Python's lzma and zstd: one stream of a file."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _all(data: bytes, new: Callable[[], _Decompressor], label: str, limit: int) -> bytes:
    """Streams may follow one another, and zeros them, four at a time (xz)."""
    parts = bytearray()
    while data:
        stream = new()
        parts += stream.decompress(data, limit + 1 - len(parts))
        while not stream.eof and not stream.needs_input and len(parts) <= limit:
            parts += stream.decompress(b"", limit + 1 - len(parts))
        if len(parts) > limit:
            raise BadInput(f"{label}: holds more than {limit} bytes when unpacked")
        if not stream.eof:
            raise BadInput(f"{label}: cut short: its compressed data ends too early")
        data = stream.unused_data
        if len(data) % 4 == 0 and not data.strip(b"\0"):
            break
    return bytes(parts)


def _unxz() -> _Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)


def _zstd(label: str) -> Any:
    for name in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise BadInput(
        f"{label}: is compressed by zstd, and there is nothing here to read that: pip install"
        " backports.zstd, or unpack it with zstd -d"
    )


@contextlib.contextmanager
def _damage(label: str, kind: str, error: type[Exception]) -> Iterator[None]:
    try:
        yield
    except error as damaged:
        raise BadInput(f"{label}: damaged {kind} data: {damaged}") from None


def read_zip(data: bytes, label: str, limit: int) -> Iterator[Member]:
    """The members of a zip file in the order of its directory.

    A zip file names each member twice, here and in its directory, and programs differ in which they
    read.  So a file in which the two are not the same, or that has anything between its members, is
    refused (APPNOTE, 4.3.6 to 4.3.9).

    Raises BadInput: that; damaged, encrypted, a device or fifo, more than ``limit`` bytes in all.
    """
    try:
        archive = ZipFile(io.BytesIO(data))
        ends = [0]
        for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
            if info.header_offset not in ends:
                raise BadInput(f"{label}: {info.filename!r} does not follow the member before it")
            ends = _ends(data, info)
        if archive.start_dir not in ends:
            raise BadInput(f"{label}: has something between its last member and its directory")
        for info in archive.infolist():
            where = f"{label}: the member {info.filename!r}"
            # What is packed by bzip2 or LZMA in a zip file chooses how much memory it takes.
            if info.flag_bits & 1 or info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                raise BadInput(f"{where} is encrypted, or packed by something else than deflate")
            if info.file_size > limit:
                raise BadInput(f"{label}: holds more than {limit} bytes when unpacked")
            limit -= info.file_size
            mode = info.external_attr >> 16
            kind = "folder" if info.is_dir() else "file"
            if stat.S_ISLNK(mode):
                kind = "link"
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise BadInput(f"{where} is no file, folder or link; a source tree has no others")
            with archive.open(info) as member:
                content = member.read(info.file_size + 1)
            target = as_text(content) if kind == "link" else ""
            content = content if kind == "file" else b""
            at = info.header_offset
            yield Member(kind, info.filename, bool(mode & 0o111), content, target, at)
    except (
        BadZipFile, NotImplementedError, EOFError, OSError, ValueError, zlib.error, struct.error,
    ) as error:  # fmt: skip
        raise BadInput(f"{label}: damaged, or no zip file that is understood: {error}") from None


def _ends(data: bytes, info: ZipInfo) -> list[int]:
    """Where a member may end, by its own header.

    Raises BadZipFile: it is not the one in the directory, or has a second name for some readers.
    """
    _, _, flags, method, _, _, crc, packed, size, name, extra = struct.unpack_from(
        "<4s5H3L2H", data, info.header_offset
    )
    later = flags & _LATER
    same = (flags, method) == (info.flag_bits, info.compress_type) and all(
        here == there or (later and here == 0)
        for here, there in zip(
            (crc, packed, size), (info.CRC, info.compress_size, info.file_size), strict=True
        )
    )
    if not same:
        raise BadZipFile(f"{info.filename!r} has another header in the directory")
    begin = info.header_offset + _HEADER + name
    for fields in (info.extra, data[begin : begin + extra]):
        while len(fields) >= 4:
            kind, size = struct.unpack_from("<2H", fields)
            if kind == _UNICODE_PATH:
                raise BadZipFile(f"{info.filename!r} has a second name")
            fields = fields[4 + size :]
    end = begin + extra + info.compress_size
    # CRC-32 and both sizes, of 4 or 8 bytes, perhaps with a signature before them.
    return [end + after for after in (12, 16, 20, 24)] if later else [end]
