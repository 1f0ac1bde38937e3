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

from bootstrap.kernel.snapshot import ExtentState, MemoryState, Snapshot, TaskState
from bootstrap.trace.columns import unpacked
from bootstrap.vfs.lower import LowerEntry
from bootstrap.vfs.snapshot import FsState, InodeState, OpenState

Put = Callable[[bytes], int]
Get = Callable[[Sequence[int]], Sequence[bytes]]
_ALWAYS = ("kind", "ino", "mode", "links", "guest_made")
MAX_STATE = 256 << 20
"""Bytes of JSON that are read at most."""


def encode(snapshot: Snapshot, put: Put) -> bytes:
    """The snapshot, compressed."""
    told = {
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
    return zlib.compress(json.dumps(told, separators=(",", ":")).encode(), 1)


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
    told: dict[str, object] = {}
    for field in dataclasses.fields(inode):
        value = getattr(inode, field.name)
        if field.name == "content":
            if value is not None:
                told["content"] = put(value)
        elif field.name in _ALWAYS or value != getattr(default, field.name):
            told[field.name] = value
    return _plain(told)


def _plain(told: Mapping[str, object]) -> dict[str, object]:
    return {name: _text(value) for name, value in told.items()}


def _text(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, tuple | list):
        return [_text(part) for part in value]
    return value


# -- and back. What is malformed raises ValueError, KeyError, TypeError or IndexError ------------


def decode(raw: bytes, get: Get) -> Snapshot:
    """What `encode` made."""
    told = json.loads(unpacked(raw, MAX_STATE))
    fs = told["fs"]
    return Snapshot(
        int(told["processes"]),
        int(told["syscalls"]),
        tuple(_task_back(task, get) for task in told["tasks"]),
        FsState(
            int(fs["last_ino"]),
            int(fs["total"]),
            int(fs["made"]),
            tuple(_inode_back(inode, get) for inode in fs["inodes"]),
            tuple(_file_back(file) for file in fs["files"]),
        ),
    )


def _raw(text: str) -> bytes:
    return text.encode("latin-1")


def _task_back(told: dict[str, Any], get: Get) -> TaskState:
    cells = dict(told)
    extents, mapped, start, now, end, flags, implies = told["memory"]
    cells["memory"] = MemoryState(
        tuple(
            ExtentState(
                int(first),
                int(last),
                unpacked(bytes.fromhex(bits), (int(last) - int(first)) >> 12),
                tuple(get(pages)),
            )
            for first, last, bits, pages in extents
        ),
        int(mapped),
        int(start),
        int(now),
        int(end),
        int(flags),
        bool(implies),
    )
    registers = told["registers"]
    cells["registers"] = {name: bytes.fromhex(value) for name, value in registers.items()}
    cells["exe_path"] = _raw(str(told["exe_path"]))
    cells["argv"] = tuple(_raw(part) for part in told["argv"])
    cells["zombies"] = tuple((pid, status) for pid, status in told["zombies"])
    cells["fds"] = tuple((fd, which, bool(c)) for fd, which, c in told["fds"])
    return TaskState(**cells)


def _inode_back(told: dict[str, Any], get: Get) -> InodeState:
    cells = dict(told)
    for name in ("origin", "target", "lower_path"):
        if name in cells:
            cells[name] = _raw(str(cells[name]))
    if "content" in cells:
        (cells["content"],) = get([int(str(cells["content"]))])
    if "children" in cells:
        cells["children"] = tuple((_raw(n), ino) for n, ino in told["children"])
    if "pending" in cells:
        cells["pending"] = tuple(
            (_raw(name), LowerEntry(mode, size, _raw(target), _raw(path)))
            for name, (mode, size, target, path) in told["pending"]
        )
    return InodeState(**cells)


def _file_back(told: dict[str, Any]) -> OpenState:
    names = told["names"]
    cells = dict(told)
    cells["names"] = None if names is None else tuple(_raw(n) for n in names)
    return OpenState(**cells)


__all__ = ["Get", "Put", "decode", "encode"]
