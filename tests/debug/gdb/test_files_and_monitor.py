"""The server's files, what /proc has, long replies, and `monitor`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bootstrap.debug import Session
from bootstrap.debug.gdb.registers import DESCRIPTIONS
from bootstrap.debug.gdb.wire import (
    frame,
    unescape,
)
from tests.cli.command import arguments, environment
from tests.debug.gdb.clients import HELLO, Script, serve, talk
from tests.debug.material import record_loop
from tests.trace.recorded import change

# -- files ----------------------------------------------------------------------------------------


def hexed(text: str) -> bytes:
    return text.encode().hex().encode()


def test_files(hex0: Session) -> None:
    seed = (hex0.file("/hex0-seed"), hex0.file("/hex0.hex0"))
    for path, content in zip(("/hex0-seed", "/hex0.hex0"), seed, strict=True):
        _, opened, first, rest, end, stat, closed, again = talk(
            hex0, b"vFile:setfs:0", b"vFile:open:%b,0,0" % hexed(path), b"vFile:pread:1,10,0",
            b"vFile:pread:1,ffff,10", b"vFile:pread:1,10,fffff", b"vFile:fstat:1", b"vFile:close:1",
            b"vFile:close:1",
        )  # fmt: skip
        assert (opened, closed, again) == (b"F1", b"F0", b"F-1,9")
        assert first.partition(b";")[2] + rest.partition(b";")[2] == content[:16384]
        assert end == b"F0;"
        assert stat.startswith(b"F40;")
        assert int.from_bytes(stat.partition(b";")[2][28:36], "big") == len(content)


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (b"open:%b,0,0" % hexed("/nothing"), b"F-1,2"),
        (b"open:%b,1,0" % hexed("/hex0-seed"), b"F-1,1e"),
        (b"open:%b,0,0" % hexed("/proc/9/maps"), b"F-1,2"),
        (b"open:zz,0,0", b"F-1,16"),
        (b"open:ff,0,0", b"F-1,16"),
        (b"open:", b"F-1,16"),
        (b"pread:7,1,0", b"F-1,9"),
        (b"pread:7", b"F-1,16"),
        (b"readlink:%b" % hexed("/proc/1/exe"), b"Fa;/hex0-seed"),
        (b"readlink:%b" % hexed("/proc/1/cwd"), b"F1;/"),
        (b"readlink:%b" % hexed("/hex0-seed"), b"F-1,16"),
        (b"setfs:0", b"F0"),
    ],
)
def test_file_requests(hex0: Session, request_: bytes, reply: bytes) -> None:
    assert talk(hex0, b"vFile:" + request_) == [reply]


def test_not_too_many_files(hex0: Session) -> None:
    replies = talk(hex0, *[b"vFile:open:%b,0,0" % hexed("/hex0-seed")] * 65)
    assert (replies[63], replies[64]) == (b"F40", b"F-1,17")


def test_what_proc_has(hex0: Session) -> None:
    def content(name: str) -> bytes:
        path = hexed(f"/proc/1/{name}")
        return talk(hex0, b"vFile:open:%b,0,0" % path, b"vFile:pread:1,ffff,0")[1].partition(b";")[
            2
        ]

    assert content("cmdline") == b"./hex0-seed\0hex0.hex0\0out\0"
    line = b"08048000-08049000 r-xp 00000000 00:00 0".ljust(73) + b"/hex0-seed\n"
    assert line in content("maps")
    assert b"Pid:\t1\nPPid:\t0\n" in content("status")
    assert content("exe") == hex0.file("/hex0-seed")


def test_the_auxiliary_vector_is_the_programs(embedded: Session) -> None:
    """Also in the middle of it, and for a child, which has its parent's."""
    embedded.go("3@500")
    ask = b"qXfer:auxv:read::0,1000"
    (middle,) = talk(embedded, ask)
    assert str(embedded.here) == "3@500"
    embedded.go("4.0@2")
    (child,) = talk(embedded, ask)
    embedded.go("4@0")
    (other,) = talk(embedded, ask)
    assert middle == child
    pairs = unescape(other)[1:]
    values = {
        int.from_bytes(pairs[at : at + 4], "little"): int.from_bytes(
            pairs[at + 4 : at + 8], "little"
        )
        for at in range(0, len(pairs), 8)
    }
    assert (values[9], values[6], values[0]) == (0x804804C, 4096, 0)  # entry, page size, the end


def test_long_replies_come_in_pieces(loop: Session) -> None:
    whole = DESCRIPTIONS["riscv64"].xml.encode()
    found, offset, more = b"", 0, b"m"
    while more == b"m":
        (reply,) = talk(loop, b"qXfer:features:read:target.xml:%x,200" % offset)
        more, piece = reply[:1], unescape(reply[1:])
        found += piece
        offset += len(piece)
    assert found == whole
    assert talk(loop, b"qXfer:features:read:target.xml:fffff,200") == [b"l"]


# -- monitor --------------------------------------------------------------------------------------


def monitor(line: str) -> bytes:
    return b"qRcmd," + line.encode().hex().encode()


def output(reply: bytes) -> str:
    return bytes.fromhex(reply.decode()).decode()


def test_monitor_is_about_the_process_that_moved_last(embedded: Session) -> None:
    embedded.go("3@0")
    replies = talk(
        embedded, HELLO, b"c", b"Hgp4.4", monitor("show here"), monitor("process 4"),
        monitor("show here"), monitor("go 4@7"), monitor("go 5@0"), monitor("show here"),
        b"qfThreadInfo", monitor("process 9"), monitor("break 0x8048054"), monitor("help"),
        monitor("marks"), monitor("nonsense"), monitor("# nothing"),
    )  # fmt: skip
    texts = [output(reply) for reply in replies if not reply.startswith((b"T", b"m", b"O", b"P"))]
    assert "process 3:\n3@" in texts[0]
    assert texts[1] == "`monitor` is about process 4\n"
    assert "process 4:\n4.0@0" in texts[2]
    assert "gdb does not know that it moved" in texts[3]
    assert "gdb is still at process 4; process 5 stands there" in texts[4]
    assert "4@7" in texts[5]
    assert b"mp3.3,p4.4,p5.5" in replies
    assert "process 9: gdb knows of 3, 4, 5" in texts[6]
    assert "break: not here; use gdb's `break *ADDRESS`" in texts[7]
    assert "process N: they are about" in texts[8].replace("\n", " ") and "no marks" in texts[9]
    assert "there is no command nonsense" in texts[10]
    assert replies[-1] == b"OK"


def test_what_a_thread_is(embedded: Session) -> None:
    *_, extra = talk(embedded, HELLO, monitor("go 5.0@0"), b"qThreadExtraInfo,p5.5")
    assert output(extra) == "./kaem tools.kaem, at 5.0@0"


def test_a_run_that_is_not_the_recorded_one_is_said(tmp_path: Path) -> None:
    trace = record_loop(tmp_path, "aarch64")
    change(trace, "UPDATE processes SET status = 256 WHERE id = 1")
    with Session.open(str(trace)) as session:
        said: list[str] = []
        wire = Script(frame(b"s"), frame(b"c"), frame(monitor("end")), frame(b"?"))
        recorded = serve(session, wire, said.append)
        step, cont, end, after = wire.replies
        assert step.startswith(b"T05")
        assert cont.startswith(b"E.diverged: pid 1 (/loop)")
        assert output(end).startswith("diverged: pid 1 (/loop)")
        assert after.startswith(b"T05")
        assert not recorded
        assert said[1:3] == ["  recorded: status 256", "  now:      status 1792"]
    for more in ([], ["--at", "50%"]):
        done = subprocess.run(
            arguments("gdb", "--stdio", trace, *more), input=frame(b"c"), env=environment(),
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        # Met while the client waits, or already on the way to where it begins.
        assert b": pid 1 (/loop)" in done.stderr and b"recorded" in done.stderr
        assert b"Traceback" not in done.stderr
