"""`bootstrap gdb` as a command: a port, standard input and output, and the gdb that it starts."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.debug.gdb import launch
from bootstrap.debug.gdb.wire import PacketKind, PacketReader, frame
from tests.cli.command import ROOT, arguments, bootstrap, environment
from tests.debug.gdb.clients import SHOW, gdb_for, launched, registers_of, run_gdb

SECONDS = 60


@contextmanager
def listening(trace: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server on any free port of this machine; it, and the port."""
    server = subprocess.Popen(
        arguments("gdb", trace, "--listen", "127.0.0.1:0", *more), env=environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stderr is not None
        match = re.search(r"target remote 127\.0\.0\.1:(\d+)$", server.stderr.readline().strip())
        assert match is not None
        yield server, int(match[1])
    finally:
        server.kill()
        server.communicate()


class Client:
    """A client in a few words."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._reader = PacketReader()
        self._replies: list[bytes] = []

    def ask(self, packet: bytes) -> bytes:
        self.socket.sendall(frame(packet))
        while not self._replies:
            data = self.socket.recv(1 << 16)
            assert data, "the server has gone"
            self._replies += [
                e.content for e in self._reader.feed(data) if e.kind is PacketKind.PACKET
            ]
        return self._replies.pop(0)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def test_clients_come_and_go(hex0_trace: Path) -> None:
    with listening(hex0_trace) as (server, port):
        with Client(port) as client:
            assert client.ask(b"qC") == b"QC1"
            assert client.ask(b"s").startswith(b"T05")
            # One at a time: whoever else comes is sent away at once, and the first one stays.
            with socket.create_connection(("127.0.0.1", port), SECONDS) as other:
                assert other.recv(1) == b""
            assert client.ask(b"qC") == b"QC1"
            client.socket.sendall(b"$half a pack")
        with Client(port) as client:  # the first has gone in the middle of a word
            client.socket.sendall(bytes(range(256)) * 8)
            client.ask(b"qC")  # perhaps to what the noise was
            assert client.ask(b"?").startswith(b"T05")
        with Client(port) as client:
            client.socket.sendall(frame(b"c") + b"\x03")
        with Client(port) as client:
            assert client.ask(b"bc").endswith(b"replaylog:begin;")
            assert client.ask(b"D") == b"OK"
            assert client.socket.recv(1) == b"+"[:0]
        server.send_signal(signal.SIGINT)
        _, printed = server.communicate(timeout=SECONDS)
        assert server.returncode == 130
        assert "Traceback" not in printed
        assert printed.count("a client has come") == 4
        assert printed.strip().endswith("bootstrap: interrupted")


def test_ctrl_c_while_it_serves(hex0_trace: Path) -> None:
    with listening(hex0_trace) as (server, port), Client(port) as client:
        assert client.ask(b"qC") == b"QC1"
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=SECONDS)
        assert server.returncode == 130


def test_gdb_at_a_port(hex0_trace: Path, tmp_path: Path) -> None:
    gdb = gdb_for("i386")
    with listening(hex0_trace, "--once") as (server, port):
        commands = ["break *0x804806e", "continue", *SHOW, "detach"]
        printed = run_gdb(gdb, tmp_path, [f"target remote 127.0.0.1:{port}", *commands])
        assert registers_of(printed)[0]["eip"] == 0x804806E
        server.communicate(timeout=SECONDS)
        assert server.returncode == 0


def test_a_port_of_others_is_warned_of(hex0_trace: Path) -> None:
    server = subprocess.Popen(
        arguments("gdb", hex0_trace, "--listen", "0.0.0.0:0"), env=environment(),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stderr is not None
    first = server.stderr.readline()
    server.kill()
    server.communicate()
    assert "warning: 0.0.0.0 is not this machine alone" in first


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        (["--listen", "nowhere"], "name an address and a port"),
        (["--listen", "192.0.2.1:0"], "cannot be listened at"),
        (["--at", "9@0", "--listen", "127.0.0.1:0"], "has no pid 9"),
        (["--root", "/nonexistent"], "--root /nonexistent: is not a folder"),
        (["--root", ".", "--cwd", "/"], "--cwd goes with -- PROGRAM only"),
        (["--stdio", "--once"], "--once goes with --listen"),
        (["--at", "9@0", "--stdio"], "has no pid 9"),
        (["--stdio", "--env", "A=b"], "--env goes with -- PROGRAM only"),
    ],
)
def test_options_that_do_not_go(hex0_trace: Path, options: list[str], printed: str) -> None:
    done = bootstrap("gdb", hex0_trace, *options)
    assert done.status == 2
    assert printed in done.one_line()


def test_no_trace_no_program() -> None:
    assert "cannot be read" in bootstrap("gdb", "--stdio", "/nonexistent/trace").one_line()
    done = bootstrap("gdb", "--stdio", "--root", "/nonexistent", "--", "./x")
    assert (done.status, "is not a folder" in done.one_line()) == (2, True)


def test_a_live_program_keeps_off_the_line(tmp_path: Path) -> None:
    """What a recorded program prints does not get between the packets, nor does it read them."""
    from tests.instruments.guest import Program

    guest = Program("i386")
    space = guest.space(64)
    guest.call("read", 0, space, 64).call("write", 1, guest.data(b"$OK#9a"), 6).exit(0)
    (tmp_path / "guest").write_bytes(guest.elf())
    (tmp_path / "guest").chmod(0o755)
    done = subprocess.run(
        arguments("gdb", "--stdio", "--root", tmp_path, "--", "./guest"), env=environment(),
        input=frame(b"qC") + frame(b"k"), capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"+" + frame(b"QC1") + b"+")
    assert done.stderr == b"$OK#9a"


def test_the_gdb_that_is_started(hex0_trace: Path, tmp_path: Path) -> None:
    printed = launched(
        tmp_path, hex0_trace, "1@0",
        ["bgo out:0x10", "bsource", "stepi", "info registers eip", "quit"],
    )  # fmt: skip
    assert "gdb does not know" not in printed
    assert "byte at 0x10 of /out" in printed
    assert "=> 0x80480b3:" in printed
    assert re.search(r"^> hex0\.hex0:251  EB B4 ", printed, re.MULTILINE)
    assert re.search(r"eip +0x8048069", printed)


def test_ctrl_c_on_its_terminal_is_gdbs(tmp_path: Path) -> None:
    stub = tmp_path / "gdb"
    stub.write_text("#!/bin/sh\nkill -INT $PPID\nexit 7\n")
    stub.chmod(0o755)
    program = "import sys\nfrom bootstrap.debug.gdb import launch\nsys.exit(launch.launch('x'))"
    done = subprocess.run(
        [arguments()[0], "-c", program], stdin=subprocess.DEVNULL, check=False,
        env=environment({"PATH": str(tmp_path)}), capture_output=True, timeout=SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (7, b"")


def test_without_a_gdb_it_says_so(monkeypatch: pytest.MonkeyPatch, hex0_trace: Path) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(BadInput, match="apt install gdb-multiarch"):
        launch.find_gdb()
    done = bootstrap("gdb", hex0_trace, "--launch", env={"PATH": "/nonexistent"})
    assert (done.status, "no gdb is installed" in done.one_line()) == (2, True)


def test_a_gdb_that_cannot_connect_is_an_error(tmp_path: Path) -> None:
    gdb_for("i386")
    program = (
        "import sys\nfrom bootstrap.cli import main\nfrom bootstrap.debug.gdb import launch\n"
        "from bootstrap.cli import gdb\n"
        "gdb.run = lambda _: launch.launch('/nonexistent/trace', more=['-nx'])\n"
        "sys.exit(main.main(['gdb', 'x', '--launch']))"
    )
    done = subprocess.run(
        [arguments()[0], "-c", program], stdin=subprocess.DEVNULL, check=False, timeout=SECONDS,
        env=environment({"HOME": str(tmp_path)}), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    first, *_, last = [line for line in done.stderr.splitlines() if line.startswith("bootstrap: ")]
    assert first.startswith("bootstrap: /nonexistent/trace: ")
    assert "gdb could not connect" in last


def test_what_is_started_is_quoted(tmp_path: Path) -> None:
    found = launch.arguments("gdb", "a 'b.trace", "", tmp_path)
    assert found[found.index("-ex") + 1] == (
        f"target remote | sh {shlex.quote(str(tmp_path / 'server.sh'))}"
    )
    called = json.loads(shlex.split((tmp_path / "server.sh").read_text())[-1])
    assert called[1:4] == ["bootstrap.cli.main", "main", called[3]]
    assert called[3][:3] == ["gdb", "--stdio", "a 'b.trace"]


def test_nothing_of_the_current_folder_is_loaded(hex0_trace: Path, tmp_path: Path) -> None:
    """Neither gdb's own files and Python modules nor, in the server, ours."""
    gdb = gdb_for("i386")
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    home.mkdir()
    (home / ".gdbinit").write_text("echo the user's own\\n\nset auto-load safe-path /\n")
    (here / ".gdbinit").write_text("echo PLANTED\\n\n")
    for name in ("bootstrap", "json", "struct", "sqlite3", "encodings"):
        (here / f"{name}.py").write_text("import os\nos.write(2, b'PLANTED\\n')\n")
    program = "import sys\nsys.path.append(sys.argv.pop(1))\nfrom bootstrap.cli.main import main"
    done = subprocess.run(
        [arguments()[0], "-I", "-c", f"{program}\nsys.exit(main())", str(ROOT), "gdb", hex0_trace,
         "--launch"],
        stdin=subprocess.DEVNULL, check=False, timeout=SECONDS, cwd=here, text=True,
        env=environment({"HOME": str(home), "PYTHONPATH": str(here), "PYTHONHOME": str(here)}),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert (done.returncode, "the user's own" in done.stdout) == (0, True), done.stdout
    assert "PLANTED" not in done.stdout
    assert "hex0.hex0:139" in done.stdout
    # The traps do work.
    for command in ([gdb, "-q", "-batch"], [arguments()[0], "-c", "import json"]):
        trapped = subprocess.run(
            command, cwd=here, env=environment({"HOME": str(home)}), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert "PLANTED" in trapped.stdout + trapped.stderr
