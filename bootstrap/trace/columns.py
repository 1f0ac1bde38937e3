"""What stands in the cells of a trace: calls in columns, paths, lists of strings.

Calls are kept in chunks, coded and compressed. The columns are those of instruments.callbuffer, as
little-endian words. In those of brk, the most frequent call whose arguments all differ, the first
argument is kept as its difference from that of the brk before it in the chunk, and the result as
its difference from the argument: both modulo the word. Then zlib.
"""

import hashlib
import json
import sys
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from bootstrap.core.arches import ARCHES
from bootstrap.documents import typed_json
from bootstrap.instruments.callbuffer import COLUMNS

LEVEL = 6
WORD = {abi.name: abi.word for abi in ARCHES}
"""Bytes in a word of each ABI."""
_WORDS = {4: "I", 8: "Q"}

More = tuple[int, int, int]
"""index of the call in its chunk, number of the argument (3, 4, 5), its value"""


@dataclass(frozen=True, slots=True)
class Calls:
    """Some successive calls of one process, as bytes: one for each of COLUMNS."""

    word: int
    columns: tuple[bytes, ...]
    more: tuple[More, ...] = ()

    @property
    def count(self) -> int:
        return len(self.columns[0]) // 4

    def values(self, column: int) -> "array[int]":
        """A column as numbers."""
        return words(self.columns[column], self.word if column else 4)

    def arguments(self, index: int, wanted: int) -> list[int]:
        """The first `wanted` arguments of a call."""
        found = [self.values(c)[index] for c in range(1, 1 + min(wanted, 3))]
        found += [0] * (wanted - len(found))
        for at, which, value in self.more:
            if at == index and which < wanted:
                found[which] = value
        return found


class CallsHash:
    """A digest over the calls of one program: the same whatever chunks they come in.

    SHA-256 of the digests, one after the other, of each of COLUMNS and of the list of `more`, a
    line of JSON each, whose indexes count from the program's first call.
    """

    def __init__(self) -> None:
        self._hashes = [hashlib.sha256() for _ in (*COLUMNS, "more")]

    def update(self, calls: Calls, before: int) -> None:
        """The next calls; the program made so many before them."""
        for one, column in zip(self._hashes, calls.columns, strict=False):
            one.update(column)
        for index, which, value in calls.more:
            self._hashes[-1].update(f"[{before + index},{which},{value}]\n".encode())

    def hexdigest(self) -> str:
        return hashlib.sha256(b"".join(one.digest() for one in self._hashes)).hexdigest()


def words(data: bytes, word: int) -> "array[int]":
    """Little-endian words as an array."""
    found = array(_WORDS[word])
    assert found.itemsize == word
    found.frombytes(data)
    if sys.byteorder == "big":
        found.byteswap()
    return found


def as_bytes(values: "array[int]") -> bytes:
    """The reverse of `words`."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def encode(calls: Calls, brk: int) -> tuple[bytes, ...]:
    """The blobs of a chunk: COLUMNS, then `more`."""
    columns = list(calls.columns)
    where = [i for i, nr in enumerate(calls.values(0)) if nr == brk]
    if where:
        mask = (1 << 8 * calls.word) - 1
        first, result = calls.values(1), calls.values(4)
        before = 0
        for i in where:
            wanted = first[i]
            result[i] = (result[i] - wanted) & mask
            first[i] = (wanted - before) & mask
            before = wanted
        columns[1], columns[4] = as_bytes(first), as_bytes(result)
    more = json.dumps(calls.more, separators=(",", ":")).encode() if calls.more else b""
    return tuple(zlib.compress(column, LEVEL) for column in (*columns, more))


def decode(word: int, brk: int, count: int, blobs: Sequence[bytes]) -> Calls:
    """The reverse. Raises ValueError for what `encode` never makes."""
    limits = (4 * count, *(4 * [word * count]))
    columns = [unpacked(blob, size) for blob, size in zip(blobs, limits, strict=False)]
    if any(len(c) != size for c, size in zip(columns, limits, strict=True)):
        raise ValueError("a column is shorter than its chunk")
    more = unpacked(blobs[len(COLUMNS)], 200 * count)
    where = [i for i, nr in enumerate(words(columns[0], 4)) if nr == brk]
    if where:
        mask = (1 << 8 * word) - 1
        first, result = words(columns[1], word), words(columns[4], word)
        before = 0
        for i in where:
            before = first[i] = (first[i] + before) & mask
            result[i] = (result[i] + before) & mask
        columns[1], columns[4] = as_bytes(first), as_bytes(result)
    rows = typed_json(tuple[More, ...], more) if more else ()
    if not all(0 <= i < count and 3 <= w <= 5 and 0 <= v < 1 << 8 * word for i, w, v in rows):
        raise ValueError("a fourth or later argument is none")
    return Calls(word, tuple(columns), rows)


def unpacked(blob: bytes, limit: int) -> bytes:
    """What zlib made of at most `limit` bytes. Raises ValueError."""
    try:
        machine = zlib.decompressobj()
        data = machine.decompress(blob, limit + 1)
        whole = machine.eof and not machine.unused_data
    except zlib.error as error:
        raise ValueError(f"a blob cannot be decompressed: {error}") from None
    if len(data) > limit or not whole:
        raise ValueError("a blob is not of the size it should be")
    return data


# -- paths and strings -----------------------------------------------------------------------------

Value = int | str | bytes | None
"""What a cell holds."""


def as_text(raw: bytes) -> str | bytes:
    """A guest path as a cell: text where it is UTF-8, else a blob."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def as_raw(cell: object) -> bytes:
    """The reverse. Raises ValueError for any other cell."""
    if isinstance(cell, str):
        return cell.encode("utf-8", "surrogatepass")
    if isinstance(cell, bytes):
        return cell
    raise ValueError("a path is neither text nor a blob")


def list_text(strings: Sequence[bytes]) -> str:
    """Arguments as a JSON array; a byte that is not UTF-8 becomes one of \\udc80 to \\udcff."""
    return json.dumps([s.decode("utf-8", "surrogateescape") for s in strings])


def list_raw(text: str) -> tuple[bytes, ...]:
    """The reverse. Raises Fault."""
    found = typed_json(tuple[str, ...], text)
    return tuple(s.encode("utf-8", "surrogateescape") for s in found)


def shown(cell: object) -> str:
    """A path for people."""
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "backslashreplace")
    return str(cell).encode("utf-8", "backslashreplace").decode()
