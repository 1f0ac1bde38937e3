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
from bootstrap.linux.snapshot import Snapshot, TaskState
from bootstrap.trace.columns import unpacked

Put = Callable[[bytes], int]
Get = Callable[[Sequence[int]], Sequence[bytes]]
_ALWAYS = ("kind", "ino", "mode", "links", "guest_made")
MAX_STATE = 256 << 20
"""Bytes of JSON that are read at most."""
MAX_EXTENT = 64 << 30
"""Bytes of one piece of memory at most: its page flags are read before anything is known of it."""


def encode(snapshot: Snapshot, put: Put) -> bytes:
    """The snapshot, compressed."""
    document = {
        "processes": snapshot.processes,
        "syscalls": snapshot.syscalls,
        "tasks": [_task(task, put) for task in snapshot.tasks],
        "fs": {
            "last_ino": snapshot.fs.last_ino,
            "total": snapshot.fs.total,
            "made": snapshot.fs.made,
            "inodes": [_inode(inode, put) for inode in snapshot.fs.inodes],
            "files": [_plain(dataclasses.asdict(file)) for file in snapshot.fs.files],
        },
    }
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 1)


def _task(task: TaskState, put: Put) -> dict[str, object]:
    fields = {
        field.name: getattr(task, field.name)
        for field in dataclasses.fields(task)
        if field.name not in ("memory", "registers")
    }
    memory = task.memory
    extents = [
        [e.start, e.end, _flags(e.flags), [put(page) for page in e.pages]] for e in memory.extents
    ]
    brk = [memory.mapped, memory.start_brk, memory.brk_now, memory.heap_end, memory.heap_flags]
    return {
        **_plain(fields),
        "memory": [extents, *brk, memory.read_implies_exec],
        "registers": {name: raw.hex() for name, raw in task.registers.items()},
    }


def _flags(flags: bytes) -> str:
    """Page flags are mostly long runs: 16 MiB of heap that is not there."""
    return zlib.compress(flags, 1).hex()


def _inode(inode: InodeState, put: Put) -> dict[str, object]:
    default = InodeState(inode.kind, inode.ino, inode.mode, inode.links, inode.guest_made)
    document: dict[str, object] = {}
    for field in dataclasses.fields(inode):
        value = getattr(inode, field.name)
        if field.name == "content":
            if value is not None:
                document["content"] = put(value)
        elif field.name in _ALWAYS or value != getattr(default, field.name):
            document[field.name] = value
    return _plain(document)


def _plain(document: Mapping[str, object]) -> dict[str, object]:
    return {name: _text(value) for name, value in document.items()}


def _text(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, tuple | list):
        return [_text(part) for part in value]
    return value


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
    extents, *brk, implies = document["memory"]
    rows = [
        {"start": first, "end": last, "flags": _flags_back(bits, last - first), "pages": get(pages)}
        for first, last, bits, pages in extents
    ]
    names = ("mapped", "start_brk", "brk_now", "heap_end", "heap_flags")
    memory = {"extents": rows, **dict(zip(names, brk, strict=True)), "read_implies_exec": implies}
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
