"""Our side of the single processes, in a process of its own: `python -m tests.bench.guest ...`.

`prepare ARCH FOLDER` runs the first half of the bootstrap (up to kaem, phases 0 to 11), checks it,
lays the tree and all products out in FOLDER, and prints the chosen processes as JSON.
`serve FOLDER` reads one process as JSON per line, runs it on the tree of FOLDER, and answers with
what it cost and the sha256 of what it wrote. What is timed is what a process costs inside a
bootstrap: from execve(2) to exit(2); the start of Python is not in it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bootstrap.core.files import Stream
from bootstrap.instruments import Engine, default_engine
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import Lower
from bootstrap.linux.machine import LinuxMachine
from bootstrap.sources import open_source
from bootstrap.sources.tree import as_lower, lay_out
from bootstrap.trace.lineage import ProcessRecord
from bootstrap.trace.provenance import Provenance
from tests.bench.timing import Failed
from tests.bench.tree import ENTRY_BY_HAND, first_half, release, view

TOOLS = ("hex2-0", "M0", "cc", "M2", "M1", "hex2")


def prepare(arch: str, folder: Path) -> list[dict[str, Any]]:
    """Run the first half of the bootstrap into `folder`; the processes to measure, as JSON.

    Raises Failed when a product is not what it should be.
    """
    resolved = release(arch)
    tree = view(resolved, ENTRY_BY_HAND)
    fs = OverlayFileSystem(as_lower(tree))
    provenance = Provenance()
    machine = LinuxMachine(fs, default_engine(), listeners=[provenance])
    for command in first_half(resolved.step):
        argv = [word.encode() for word in command]
        if machine.run(argv[0], argv, streams=_streams()).status:
            raise Failed(f"{command[0]} failed in our own kernel; see `bootstrap verify`")
    provenance.finish()
    lay_out(tree, folder)
    known = {value.path: value.sha256 for value in resolved.step.known()}
    for path, file in fs.changed():
        name = path.decode().lstrip("/")
        if known.get(name, file.sha256()) != file.sha256():
            raise Failed(f"{name} came out wrong; see `bootstrap verify`")
        (folder / name).write_bytes(file.contents())
        (folder / name).chmod(file.mode & 0o777)
    return [_described(record, tool) for tool, record in chosen(provenance.records)]


def chosen(records: Sequence[ProcessRecord]) -> Iterator[tuple[str, ProcessRecord]]:
    """For each tool, the process with the middle amount of input."""
    for tool in TOOLS:
        runs = [r for r in records if _is(r, tool) and r.writes and r.status == 0]
        if not runs:
            raise Failed(f"the bootstrap ran no {tool}")
        yield tool, sorted(runs, key=lambda r: sum(read.size for read in r.reads))[len(runs) // 2]


def _is(record: ProcessRecord, tool: str) -> bool:
    name = record.exe_path.rsplit("/", 1)[-1]
    return name.startswith("cc_") if tool == "cc" else name == tool


def _described(record: ProcessRecord, tool: str) -> dict[str, Any]:
    return {
        "tool": record.exe_path.rsplit("/", 1)[-1] if tool == "cc" else tool,
        "argv": list(record.argv),
        "input": sum(read.size for read in record.reads),
        "writes": {write.path: write.sha256 for write in record.writes},
    }


def _streams() -> tuple[Stream, Stream, Stream]:
    return (
        Stream(lambda _count: b""),
        Stream(None, lambda data: len(data)),
        Stream(None, lambda data: len(data)),
    )


def run_once(lower: Lower, engine: Engine, argv: Sequence[str]) -> dict[str, Any]:
    """Run one process on a fresh file system; `wall` and `cpu` seconds, and what it wrote."""
    fs = OverlayFileSystem(lower)
    machine = LinuxMachine(fs, engine)
    raw = [word.encode() for word in argv]
    cpu, wall = time.process_time(), time.monotonic()
    ended = machine.run(raw[0], raw, streams=_streams())
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    wrote = {path.decode(): file.sha256() for path, file in fs.changed()}
    return {"status": ended.status, "wall": wall, "cpu": cpu, "peak": 0, "wrote": wrote}


def serve(folder: Path) -> None:
    """Answer requests until standard input ends."""
    lower = as_lower(open_source(folder))
    engine = default_engine()
    for line in sys.stdin:
        print(json.dumps(run_once(lower, engine, json.loads(line)["argv"])), flush=True)


def main(what: str, *words: str) -> None:
    if what == "prepare":
        print(json.dumps(prepare(words[0], Path(words[1]))))
    else:
        serve(Path(words[0]))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Failed as error:
        sys.exit(str(error))
