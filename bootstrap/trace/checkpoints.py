"""A snapshot of the machine as JSON, its pages and file contents in blobs beside it.

Bytes that are text of the guest (paths, arguments) are written as Latin-1, one character for a
byte. What a blob is, its owner knows: `put` takes content and gives a number; `get` takes numbers
and gives the contents in their order.
"""

import dataclasses
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bootstrap.documents import json_value, typed
from bootstrap.linux.files_snapshot import InodeState
from bootstrap.linux.snapshot import ExtentState, MemoryState, Snapshot
from bootstrap.trace.columns import unpacked

Put = Callable[[bytes], int]
Get = Callable[[Sequence[int]], Sequence[bytes]]
_ALWAYS = ("kind", "ino", "mode", "links", "guest_made")
"""The first fields of an InodeState; of the others, what is not as usual is written."""
_INODE, _MEMORY = ([field.name for field in dataclasses.fields(cls)]
                   for cls in (InodeState, MemoryState))  # fmt: skip
MAX_STATE = 256 << 20
"""Bytes of JSON that are read at most."""
MAX_EXTENT = 64 << 30
"""Bytes of one piece of memory at most: its page flags are read before anything is known of it."""


def encode(snapshot: Snapshot, put: Put) -> bytes:
    """The snapshot, compressed."""
    document = _plain(snapshot, put)
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 1)


def _plain(value: Any, put: Put) -> Any:
    """A value of the snapshot as one of JSON."""
    match value:
        case int() | str() | None:
            return value
        case bytes():
            return value.decode("latin-1")
        case tuple() | list():
            return [_plain(part, put) for part in value]
        case Mapping():  # registers
            return {name: raw.hex() for name, raw in value.items()}
        case ExtentState():
            # Page flags are mostly long runs: 16 MiB of heap that is not there.
            flags = zlib.compress(value.flags, 1).hex()
            return [value.start, value.end, flags, [put(page) for page in value.pages]]
        case MemoryState():
            return [_plain(getattr(value, name), put) for name in _MEMORY]
        case InodeState():
            content = {} if value.content is None else {"content": put(value.content)}
            default = InodeState(*(getattr(value, name) for name in _ALWAYS))
            cells = {name: getattr(value, name) for name in _INODE if name != "content"}
            return content | {
                name: _plain(cell, put)
                for name, cell in cells.items()
                if name in _ALWAYS or cell != getattr(default, name)
            }
    return {f.name: _plain(getattr(value, f.name), put) for f in dataclasses.fields(value)}


# -- and back. What is malformed raises ValueError, KeyError, TypeError, AttributeError or
# IndexError. Here bytes are only made of what stands for them; types are checked by `typed` ------


def decode(raw: bytes, get: Get) -> Snapshot:
    """What `encode` made."""
    document = json_value(unpacked(raw, MAX_STATE), MAX_STATE)
    fs = document["fs"]
    tasks = [_task_back(task, get) for task in document["tasks"]]
    inodes = [_inode_back(inode, get) for inode in fs["inodes"]]
    files = [
        {**f, "names": None if f["names"] is None else list(map(_raw, f["names"]))}
        for f in fs["files"]
    ]
    return typed(
        Snapshot, {**document, "tasks": tasks, "fs": {**fs, "inodes": inodes, "files": files}}
    )


def _raw(text: str) -> bytes:
    return text.encode("latin-1")


def _task_back(document: dict[str, Any], get: Get) -> dict[str, Any]:
    memory = dict(zip(_MEMORY, document["memory"], strict=True))
    memory["extents"] = [
        {"start": first, "end": last, "flags": _flags_back(bits, last - first), "pages": get(pages)}
        for first, last, bits, pages in memory["extents"]
    ]
    argv = list(map(_raw, document["argv"]))
    return {**document, "memory": memory, "exe_path": _raw(document["exe_path"]), "argv": argv}


def _flags_back(bits: str, size: int) -> bytes:
    if not 0 < size <= MAX_EXTENT:
        raise ValueError(f"memory of {size} bytes")
    return unpacked(bytes.fromhex(bits), size >> 12)


def _inode_back(document: dict[str, Any], get: Get) -> dict[str, Any]:
    cells = dict(document)
    for name in ("origin", "target", "lower_path"):
        if name in cells:
            cells[name] = _raw(cells[name])
    if "content" in cells:
        (cells["content"],) = get([cells["content"]])
    cells["children"] = [[_raw(name), ino] for name, ino in document.get("children", ())]
    cells["pending"] = [
        [_raw(name), [mode, size, _raw(target), _raw(path)]]
        for name, (mode, size, target, path) in document.get("pending", ())
    ]
    return cells
