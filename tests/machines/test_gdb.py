"""gdb on the bare machine: the installed one, and a client in words of the protocol."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bootstrap.debug.gdb.wire import PacketKind, PacketReader, frame
from tests.debug.gdb.clients import gdb_for, run_gdb
from tests.machines import sectors

FOREVER = sectors.sector(sectors.START + b"\xeb\xfe")
AT_FOREVER = 0x7C00 + len(sectors.START)


@contextlib.contextmanager
def waiting(
    folder: Path, image: bytes, *options: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`bootstrap pc --gdb`, and its port."""
    file = folder / "disk.img"
    file.write_bytes(image)
    command = [
        sys.executable, "-m", "bootstrap", "pc", str(file), "--gdb", "0", "--limit", "memory=64M",
        *options,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as machine:
        assert machine.stderr is not None
        try:
            said = machine.stderr.readline()
            assert b"waiting for gdb: target remote 127.0.0.1:" in said
            yield machine, int(said.rsplit(b":", 1)[1])
        finally:
            machine.kill()


class Client:
    """Packets, no acknowledgements."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._reader, self._found = PacketReader(), list[bytes]()
        assert self.ask(b"QStartNoAckMode") == b"OK"

    def ask(self, packet: bytes) -> bytes:
        self.socket.sendall(frame(packet))
        return self.reply()

    def reply(self) -> bytes:
        while not self._found:
            data = self.socket.recv(4096)
            assert data, "gone"
            events = self._reader.feed(data)
            self._found += [e.content for e in events if e.kind is PacketKind.PACKET]
        return self._found.pop(0)

    def eip(self) -> int:
        return int.from_bytes(bytes.fromhex(self.ask(b"p8").decode()), "little")


@contextlib.contextmanager
def client(folder: Path, image: bytes) -> Iterator[tuple[subprocess.Popen[bytes], Client]]:
    with waiting(folder, image) as (machine, port):
        one = Client(port)
        with one.socket:
            yield machine, one


def with_gdb(folder: Path, image: bytes, commands: Sequence[str]) -> tuple[str, bytes, bytes, int]:
    """What gdb prints, what the machine prints, what is said of it, and the exit status."""
    with waiting(folder, image) as (machine, port):
        remote = f"target remote 127.0.0.1:{port}"
        shown = run_gdb(gdb_for("i386"), folder, ["set architecture i8086", remote, *commands])
        out, said = machine.communicate(timeout=60)
        return shown, out, said, machine.returncode


def test_from_real_mode_to_protected_mode(tmp_path: Path) -> None:
    shown, out, said, status = with_gdb(
        tmp_path, sectors.modes(),
        ["info registers eip edx esp", "x/2i $pc", "stepi", "stepi", "x/i $pc",
         "break *0x7c12", "continue", "info registers eip", "stepi 4", "set architecture i386",
         "x/i $pc", "stepi", "info registers eax cs", "delete", "continue"],
    )  # fmt: skip
    assert "=> 0x7c00:\txor    %ax,%ax" in shown
    assert "=> 0x7c04:\tmov    %ax,%es" in shown
    assert "Breakpoint 1, 0x00007c12" in shown
    assert "=> 0x7c1f:\tmov    $0x10,%eax" in shown
    values = {line.split()[0]: line.split()[1] for line in shown.splitlines() if " 0x" in line}
    assert (values["edx"], values["esp"]) == ("0x80", "0x7c00")
    assert (values["eax"], values["cs"]) == ("0x10", "0x8")
    assert "exited normally" in shown
    assert (out, status) == (b"PM  ", 0)
    assert said == b"bootstrap: the machine rebooted\n"


def test_what_gdb_writes_is_what_the_guest_reads(tmp_path: Path) -> None:
    """Into data, into the code just ahead, and into the program counter."""
    image = sectors.prints(b"Hello\r\n")
    text = 0x7C00 + image.index(b"Hello")
    shown, out, _, status = with_gdb(
        tmp_path, image,
        [f"set var *(char*){text:#x} = 'J'", "stepi",
         # mov ds, ax becomes inc ax; nop: the engine had the old one already.
         "set var *(short*)0x7c02 = (short)0x9040", "stepi", "p $eax", "stepi",
         "set $pc = 0x7c00", "stepi", "p/x $pc", "p $eax", "set $ebx = 0xfedc1234", "p/x $ebx",
         "set var *(short*)0x7c02 = (short)0xd88e", "continue"],
    )  # fmt: skip
    assert [line for line in shown.splitlines() if line.startswith("$")] == [
        "$1 = 1", "$2 = 0x7c02", "$3 = 0", "$4 = 0xfedc1234",
    ]  # fmt: skip
    assert (out, status) == (b"Jello\r\n  ", 0)


def test_where_the_machine_fails_gdb_still_sees_it(tmp_path: Path) -> None:
    image = sectors.sector(sectors.START + bytes.fromhex("bb3412 b408 cd13"))
    shown, _, said, status = with_gdb(tmp_path, image, ["continue", "p/x $ebx", "continue"])
    assert "received signal SIGSEGV" in shown
    assert "$1 = 0x1234" in shown
    assert b"int 13h ah=08h al=00h: this firmware does not have it" in said
    assert status == 3


def test_ctrl_c_and_detach_and_kill(tmp_path: Path) -> None:
    with client(tmp_path, FOREVER) as (machine, gdb):
        gdb.socket.sendall(frame(b"c") + b"\x03")
        assert gdb.reply() == b"S02"
        assert gdb.eip() == AT_FOREVER
        assert gdb.ask(b"Z0,%x,1" % AT_FOREVER) == b"OK"
        assert gdb.ask(b"c") == b"S05"
        assert gdb.ask(b"z0,%x,1" % AT_FOREVER) == b"OK"
        gdb.socket.sendall(frame(b"k"))
        assert machine.wait(60) == 0
        assert machine.stderr is not None
        assert machine.stderr.read() == b"bootstrap: the machine was ended by gdb\n"
    with client(tmp_path, FOREVER) as (machine, gdb):
        machine.send_signal(signal.SIGINT)
        assert machine.wait(60) == 130
    for how in (b"D", b""):
        with client(tmp_path, sectors.prints(b"on\r\n")) as (machine, gdb):
            assert gdb.ask(b"Z0,7c02,1") == b"OK"
            assert gdb.ask(b"c") == b"S05"
            if how:
                assert gdb.ask(how) == b"OK"
            else:
                gdb.socket.close()
            out, said = machine.communicate(timeout=60)
            assert (out, machine.returncode) == (b"on\r\n  ", 0)
            assert b"; the machine goes on" in said or b"; it goes on" in said


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with client(tmp_path, FOREVER) as (_, gdb):
        assert gdb.ask(b"m7c00,2") == b"31c0"
        assert gdb.ask(b"mffffffffff,2") == b"E14"
        assert gdb.ask(b"M3fffffc,4:00000000") == b"OK"
        assert gdb.ask(b"M3ffffff,4:00000000") == b"E14"
        for bad in (
            b"m7c00",
            b"mx,1",
            b"M7c00,2:00",
            b"p99",
            b"P1",
            b"P30=00000000",
            b"P8=00",
            b"Z0,7c00",
        ):
            assert gdb.ask(bad).startswith(b"E"), bad
        assert gdb.ask(b"c7c00").startswith(b"E.")
        assert gdb.ask(b"Z2,7c00,1") == b""
        for unknown in (b"vMustReplyEmpty", b"C05", b"G00"):
            assert gdb.ask(unknown) == b""
        whole = gdb.ask(b"qXfer:features:read:target.xml:0,2000")
        assert whole.startswith(b"l<?xml")
        assert b"i386.core" in whole
        assert b"<architecture>" not in whole
        assert len(gdb.ask(b"g")) == 2 * (16 * 4 + 8 * 10 + 8 * 4)


@pytest.mark.parametrize("address", ["here", "127.0.0.1:99999"])
def test_an_address_that_is_none(tmp_path: Path, address: str) -> None:
    (tmp_path / "disk.img").write_bytes(FOREVER)
    command = [
        sys.executable,
        "-m",
        "bootstrap",
        "pc",
        str(tmp_path / "disk.img"),
        "--gdb",
        address,
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"bootstrap: --gdb " + address.encode())
