"""Records guests, and the embedded path, into traces; and changes what is in one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import Stream
from bootstrap.known import all_steps
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine
from bootstrap.runs.rebuild import Rebuilt, record_rebuild
from bootstrap.sources import Resolved, check_materials, embedded_source
from bootstrap.trace import container
from bootstrap.trace.container import seal
from bootstrap.trace.recorder import Recorder
from bootstrap.trace.store import Writer, header, recording, trace_digest
from tests.instruments.guest import Program, R, W, X
from tests.instruments.runs import engine_for

O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND = 0, 1, 2, 0o100, 0o1000, 0o2000


def record(
    guest: Program | bytes,
    place: Path,
    hot_path: str = "native",
    files: Mapping[bytes, bytes] | None = None,
    argv: Sequence[bytes] = (b"/guest", b"an argument", b"\xff"),
    stdin: Sequence[bytes] = (),
    limits: RunLimits | None = None,
    recorder_of: type[Recorder] = Recorder,
) -> str:
    """Record a guest, which may fail; the trace digest."""
    with recording(str(place)) as writer:
        recorder = recorder_of(writer)
        return finish(guest, writer, recorder, hot_path, files, argv, stdin, limits)


def finish(
    guest: Program | bytes,
    writer: Writer,
    recorder: Recorder,
    hot_path: str = "native",
    files: Mapping[bytes, bytes] | None = None,
    argv: Sequence[bytes] = (b"/guest",),
    stdin: Sequence[bytes] = (),
    limits: RunLimits | None = None,
) -> str:
    """Run a guest to its end and finish its trace."""
    limits, engine = limits or RunLimits(), engine_for(hot_path)
    lower = {path: LowerFile(0o755, data) for path, data in (files or {}).items()}
    image = guest if isinstance(guest, bytes) else guest.elf()
    lower[b"/guest"] = LowerFile(0o755, image)
    fs = OverlayFileSystem(MemoryLower(lower), limits)
    rest = list(stdin)
    machine = LinuxMachine(fs, engine, limits)
    streams = recorder.attach(
        machine,
        (Stream(lambda _n: rest.pop(0) if rest else b""), Stream(None, len), Stream(None, len)),
    )
    failure = ""
    try:
        machine.run(b"/guest", argv, (b"NAME=value",), streams=streams)
    except GuestFailed as error:
        failure = str(error)
    recorder.finish()
    return writer.finish({**header("run", engine, limits, (0, 1, 2)), "failure": failure})


def embedded() -> Resolved:
    """The sources that the program carries."""
    step = next(s for s in all_steps() if (s.name, s.arch) == ("embedded", "x86"))
    tree = embedded_source(step)
    return Resolved(tree, step, check_materials(tree, step))


def record_embedded(place: Path, hot_path: str) -> Rebuilt:
    """Record the embedded path."""
    resolved = embedded()
    return record_rebuild(
        str(place), resolved, next(iter(resolved.step.entries)), engine_for(hot_path)
    )


def busy(abi: str) -> Program:
    """Forks, executes, reads, writes, renames, removes: all that a trace tells of."""
    guest = Program(abi)
    name, other, link = guest.text(b"/made"), guest.text(b"/moved"), guest.text(b"/link")
    folder, source = guest.text(b"/folder"), guest.text(b"/source")
    space, status = guest.space(64), guest.space(8)
    guest.call("mkdir", folder, 0o755)
    guest.call("open", source, O_RDONLY, 0)
    for _ in range(3):
        guest.call("read", 3, space, 1)
    guest.call("lseek", 3, 0, 0).call("read", 3, space, 40)
    guest.call("open", name, O_RDWR | O_CREAT | O_TRUNC, 0o644)
    guest.call("write", 4, space, 5).call("brk", 0)
    guest.call("fork").jump_if_zero("child")
    guest.call("wait4", -1, status, 0, 0).call("write", 1, status, 4)
    guest.call("chmod", name, 0o600).call("rename", name, other)
    guest.call("symlink", other, link).call("unlink", other).call("close", 4)
    guest.call("read", 0, space, 8).call("write", 1, space, 8)
    guest.call("getpid").call("dup2", 3, 9).call("open", guest.text(b"/none"), 0, 0)
    guest.exit(0)
    guest.label("child")
    guest.call("write", 4, space, 3).call("close", 4)
    path = guest.text(b"/second")
    guest.call("execve", path, guest.words(path, 0), guest.words(0)).exit(9)
    return guest


def second(abi: str) -> Program:
    """What `busy` executes."""
    guest = Program(abi)
    return guest.call("write", 1, guest.data(b"second\n"), 7).exit(4)


def busy_files(abi: str) -> dict[bytes, bytes]:
    return {b"/second": second(abi).elf(), b"/source": b"the source of it all\n" * 2}


def changing(abi: str) -> bytes:
    """A loop whose code changes: far off, just ahead in the same block, and by a REP."""
    guest = Program(abi)
    counter, source = guest.words(150), guest.data(b"\x01\x02\x03\x04")
    guest.label("again")
    guest.raw("bf" + "00000000").raw("be" + source.to_bytes(4, "little").hex())  # edi, esi
    edi = len(guest.code) - 9
    guest.raw("b904000000f3a4")  # mov ecx, 4; rep movsb: into the mov of f
    size = 7 if abi == "i386" else 8
    guest.poke(guest.here + size + 1, 0x33)  # the byte that comes next
    guest.raw("b011").raw("00c3")  # mov al, 0x11; add bl, al
    guest.call_near("f")
    guest.decrement(counter).jump_if_not_zero("again")
    guest.call("write", 1, source, 4).exit(3)
    guest.label("f")
    guest.code[edi : edi + 4] = (guest.here + 1).to_bytes(4, "little")
    guest.raw("b800000000" + "01c2" + "c3")  # mov eax, ...; add edx, eax; ret
    return guest.elf(code_flags=R | W | X)


def change(place: Path, *statements: str, digest: bool = True) -> None:
    """Change a trace and make it look whole again; with `digest`, the trace digest too."""
    with place.open("r+b") as file:
        file.seek(container.SEAL_AT)
        file.write(container.NOT_SEALED)
    database = sqlite3.connect(place, isolation_level=None)
    for statement in statements:
        assert database.execute(statement).rowcount in (1, -1)  # -1: not one that changes rows
    if digest:
        told = (trace_digest(database),)
        database.execute("UPDATE meta SET value = ? WHERE name = 'digest'", told)
    database.close()
    fd = os.open(place, os.O_RDWR)
    seal(fd)
    os.close(fd)
