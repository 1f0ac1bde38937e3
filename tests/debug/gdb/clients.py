"""The installed gdb on a trace, and a client in words of the protocol."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bootstrap.debug import Session
from bootstrap.debug.gdb import server
from bootstrap.debug.gdb.symbols import SCRIPT
from bootstrap.debug.gdb.wire import Gone, PacketEvent, PacketKind, PacketReader, frame
from tests.cli.command import arguments, environment

QUIET = (
    "set pagination off", "set confirm off", "set remotetimeout 60", "set width 0",
    "set startup-with-shell off", "set print address on",
)  # fmt: skip
SECONDS = 120
NO_MORE = "No more reverse-execution history."
HELLO = (
    b"qSupported:multiprocess+;fork-events+;exec-events+;swbreak+;hwbreak+;vContSupported+;"
    b"xmlRegisters=i386;qRelocInsn+"
)
"""What gdb says first."""
NATIVE = ("i386", "x86_64")


def gdb_for(abi: str) -> str:
    """A gdb that knows the architecture; skips without one."""
    names = ("gdb", "gdb-multiarch") if abi in NATIVE else ("gdb-multiarch",)
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    pytest.skip(f"neither of {', '.join(names)} is installed (Debian: gdb, gdb-multiarch)")


def run_gdb(gdb: str, tmp_path: Path, commands: Sequence[str], *more: str | Path) -> str:
    """What gdb prints for these commands, errors too."""
    script = tmp_path / "commands.gdb"
    script.write_text("".join(f"{command}\n" for command in (*QUIET, *commands)))
    done = subprocess.run(
        [gdb, "-nx", "-q", "-batch", "-x", str(script), *map(str, more)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**environment({"HOME": str(tmp_path)}), "PYTHONWARNINGS": ""}, timeout=SECONDS,
        check=False,
    )  # fmt: skip
    # As gdb says it before version 16.
    return re.sub(
        r"Reached end of recorded history; stopping\.\n[^\n]*", NO_MORE,
        done.stdout.decode("utf-8", "replace"),
    )  # fmt: skip


def launched(
    tmp_path: Path, trace: Path, place: str, commands: Sequence[str], begin: str = "",
    folder: Path | None = None,
) -> str:  # fmt: skip
    """What the gdb prints that `launch` starts; `begin`: what it does before all commands.

    It runs in `folder`, and leaves no file of its own.
    """
    gdb_for("i386")
    script, temporary = tmp_path / "more.gdb", tmp_path / "temporary"
    script.write_text("".join(f"{command}\n" for command in commands))
    temporary.mkdir()
    program = (
        "import sys\nfrom bootstrap.debug.gdb import launch\nsys.exit(launch.launch("
        "sys.argv[1], sys.argv[2], ['-nx', '-batch', '-iex', sys.argv[4], '-x', sys.argv[3]]))"
    )
    done = subprocess.run(
        [arguments()[0], "-c", program, trace, place, script, begin],
        stdin=subprocess.DEVNULL, cwd=folder, check=False, timeout=SECONDS, text=True,
        env={**environment({"HOME": str(tmp_path), "TMPDIR": str(temporary)}),
             "PYTHONWARNINGS": ""},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert (done.returncode, list(temporary.iterdir())) == (0, []), done.stdout
    return done.stdout.replace("Reached end of recorded history; stopping.", NO_MORE)


def connected(
    trace: Path,
    tmp_path: Path,
    commands: Sequence[str],
    abi: str = "i386",
    at: str = "",
    root: Path | None = None,
    symbols: Path | None = None,
) -> str:
    """The same for a gdb that has connected to a server of ours.

    `root`: of a live program; `symbols`: a new folder for the sources, which gdb then shows.
    """
    options = [*(["--at", at] if at else []), *(["--root", str(root)] if root else [])]
    begin = ["echo \\n"]
    if symbols is not None:
        options += ["--symbols", str(symbols)]
        begin = [f"source {symbols / SCRIPT}", *begin]
    server = shlex.join(arguments("gdb", "--stdio", trace, *options))
    output = run_gdb(gdb_for(abi), tmp_path, [f"target remote | {server}", *begin, *commands])
    for wrong in ("Error in sourced", "Traceback", "warning: while parsing", "Ignoring packet",
                  "Truncated register", "Protocol error", "internal-error"):  # fmt: skip
        assert wrong not in output, output
    return output


def registers_of(output: str) -> list[dict[str, int]]:
    """Every `info registers` in what gdb output: each begins with the line `registers`."""
    found: list[dict[str, int]] = []
    for line in output.splitlines():
        cells = line.split()
        if line == "registers":
            found.append({})
        elif found and len(cells) >= 2 and cells[1].startswith("0x"):
            found[-1][cells[0]] = int(cells[1], 16)
    return found


SHOW = ("echo registers\\n", "info registers")
"""Commands for `registers_of`."""
_GDBS = {"nzcv": "cpsr", "s0": "fp"}
"""What gdb calls them."""


def registers_here(session: Session) -> dict[str, int]:
    """What gdb should show where a session is."""
    return {_GDBS.get(name, name): value for name, value in session.registers()}


class Script:
    """A wire on which a client says what it was output to, and then goes."""

    def __init__(self, *chunks: bytes, meanwhile: Sequence[bytes] = ()) -> None:
        """`meanwhile`: what comes when the server looks while it runs a program."""
        self.chunks = deque(chunks)
        self.meanwhile = deque(meanwhile)
        self.sent = b""

    def receive(self, wait: bool) -> bytes | None:
        if not wait:
            return self.meanwhile.popleft() if self.meanwhile else None
        if not self.chunks:
            raise Gone
        return self.chunks.popleft()

    def send(self, data: bytes) -> None:
        self.sent += data

    @property
    def replies(self) -> list[bytes]:
        """Contents of the packets that the server sent."""
        return [e.content for e in self.events if e.kind is PacketKind.PACKET]

    @property
    def events(self) -> list[PacketEvent]:
        return list(PacketReader().feed(self.sent))


def talk(
    session: Session, *packets: bytes, meanwhile: Sequence[bytes] = (), raw: Sequence[bytes] = ()
) -> list[bytes]:
    """The replies to packets (and then to raw bytes), by a server of their own."""
    wire = Script(*map(frame, packets), *raw, meanwhile=meanwhile)
    serve(session, wire)
    return wire.replies


def serve(session: Session, wire: Script, log: Callable[[str], None] = lambda _: None) -> bool:
    """Whether the run always was the recorded one."""
    return server.serve(session, wire, log)


def may_trace() -> bool:
    """Whether a debugger may look at its child here (containers often forbid it)."""
    return os.name == "posix" and os.uname().machine == "x86_64"


def repeated(count: int, *commands: str) -> list[str]:
    """These commands so many times."""
    return [command for _ in range(count) for command in commands]


# -- the same program on this machine ----------------------------------------------------------


def natively(program: Path, tmp_path: Path, commands: list[str], *argv: str) -> str:
    """What gdb prints for them in a program that runs on this machine; skips where none can."""
    if not may_trace():
        pytest.skip("programs of x86 run natively on x86-64 Linux only")
    output = run_gdb(
        gdb_for("i386"), tmp_path, [f"cd {program.parent}", "starti", *commands, "kill"],
        "--args", program, *argv,
    )  # fmt: skip
    if "Program stopped" not in output:
        pytest.skip(f"gdb cannot run a program here: {output.strip().splitlines()[-1][:200]}")
    return output


def same(ours: dict[str, int], theirs: dict[str, int], sps: tuple[int, int]) -> bool:
    """Equal, but for addresses in the stack, which Linux puts elsewhere."""
    for name, value in ours.items():
        other = theirs[name]
        if name == "r11":
            other &= ~0x100  # TF of a debugger's step, in what syscall keeps of the flags
        stack = all(abs(v - sp) < 1 << 17 for v, sp in zip((value, other), sps, strict=True))
        if value != other and not stack:
            return False
    return True
