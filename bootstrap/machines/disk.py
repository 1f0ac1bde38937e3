"""A disk: the sectors of an image, which stays as it is, and what the guest wrote over them."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bootstrap.core.errors import BadInput, GuestFailed

SECTOR = 512
HEADS, PER_TRACK = 16, 63
"""Geometry for reads by cylinder, head and sector (INT 13H AH=02H): that of QEMU's small disks."""


class Disk:
    """An image of whole sectors; one that ends within a sector is filled up with zeros.

    `limit` is the most bytes that the guest may write over. Raises BadInput for what cannot be
    read, GuestFailed for what has no sector.
    """

    def __init__(self, image: Path, limit: int) -> None:
        self._limit = limit
        self._written: dict[int, bytes] = {}
        try:
            if stat.S_IFMT(image.stat().st_mode) not in (stat.S_IFREG, stat.S_IFBLK):
                raise BadInput(f"{image}: is no file")
            self._file: BinaryIO = image.open("rb")
            size = self._file.seek(0, 2)
        except OSError as error:
            raise BadInput(f"{image}: cannot be read: {error.strerror}") from None
        if size < SECTOR:
            self._file.close()
            raise GuestFailed(f"the firmware finds no boot sector: {image} has {size} bytes")
        self.sectors = -(-size // SECTOR)

    def close(self) -> None:
        """Let the image go."""
        self._file.close()

    def holds(self, first: int, count: int) -> bool:
        """Whether the disk has these sectors."""
        return first + count <= self.sectors

    def read(self, first: int, count: int) -> bytes:
        """These sectors, as they are now. Raises BadInput where the image cannot be read."""
        try:
            self._file.seek(first * SECTOR)
            data = self._file.read(count * SECTOR)
        except OSError as error:
            raise BadInput(f"{self._file.name}: cannot be read: {error.strerror}") from None
        data = data.ljust(count * SECTOR, b"\0")
        if not self._written:
            return data
        return b"".join(
            self._written.get(first + i, data[i * SECTOR : (i + 1) * SECTOR]) for i in range(count)
        )

    def write(self, first: int, data: bytes) -> None:
        """Write whole sectors over the image's. Raises GuestFailed over the limit."""
        for i in range(len(data) // SECTOR):
            self._written[first + i] = data[i * SECTOR : (i + 1) * SECTOR]
        if len(self._written) * SECTOR > self._limit:
            raise GuestFailed(
                f"limit: the guest wrote to more than {self._limit} bytes of the disk "
                "(--limit disk=BYTES raises it)"
            )

    def pieces(self) -> Iterator[bytes]:
        """All of it as it is now, in pieces."""
        for first in range(0, self.sectors, 2048):
            yield self.read(first, min(2048, self.sectors - first))
