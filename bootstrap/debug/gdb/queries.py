"""gdb's questions: `q` packets (documentation: "General Query Packets")."""

from __future__ import annotations

from bootstrap.debug.gdb import monitor
from bootstrap.debug.gdb.client import Client, NoProcess
from bootstrap.debug.gdb.guest_files import auxv
from bootstrap.debug.gdb.packets import PACKET_SIZE, escape, span
from bootstrap.trace.columns import shown
from bootstrap.trace.views import command

ALWAYS = (
    b"PacketSize=%x" % PACKET_SIZE,
    b"QStartNoAckMode+",
    b"vContSupported+",
    b"ReverseStep+",
    b"ReverseContinue+",
    b"binary-upload+",
    b"qXfer:features:read+",
    b"qXfer:auxv:read+",
    b"qXfer:exec-file:read+",
    b"qXfer:libraries-svr4:read+",
    b"qXfer:osdata:read+",
    b"QCatchSyscalls+",
)
IF_WANTED = (b"multiprocess+", b"swbreak+", b"hwbreak+")
EVENTS = (b"fork-events+", b"exec-events+")
"""These need process numbers in thread ids."""


def supported(client: Client, offered: bytes) -> bytes:
    """`qSupported`: what both can do."""
    theirs = frozenset(offered.removeprefix(b":").split(b";"))
    wanted = [name for name in IF_WANTED if name in theirs]
    if b"multiprocess+" in wanted:
        wanted += [name for name in EVENTS if name in theirs]
    client.features = frozenset(wanted)
    return b";".join((*ALWAYS, *wanted))


def transfer(client: Client, rest: bytes) -> bytes:
    """`qXfer:OBJECT:read:ANNEX:OFFSET,LENGTH`. Raises ValueError."""
    what, how, annex, part = rest.split(b":")
    if how != b"read":
        return b"" if what not in _OBJECTS else b"E.only to be read"
    if what not in _OBJECTS:
        return b""
    found = _OBJECTS[what](client, annex)
    if found is None:
        return b"E00"
    offset, size = span(part)
    size = min(size, PACKET_SIZE // 2 - 8)
    piece = found[offset : offset + size]
    return (b"m" if offset + len(piece) < len(found) else b"l") + escape(piece)


def _features(client: Client, annex: bytes) -> bytes | None:
    if annex != b"target.xml":
        return None
    client.points[client.general].described = client.here().program.abi
    return client.description().xml.encode()


def _exec_file(client: Client, annex: bytes) -> bytes | None:
    if annex:
        pid = int(annex, 16)
        if pid not in client.places:
            return None
        return shown(client.select(pid).program.path).encode()
    return shown(client.here().program.path).encode()


def _libraries(_client: Client, _annex: bytes) -> bytes | None:
    return b'<library-list-svr4 version="1.0"/>'  # every program is static


def _osdata(client: Client, annex: bytes) -> bytes | None:
    """For `info os processes`: every process of the run, and which of them gdb knows."""
    if annex == b"":
        rows = [{"Type": "processes", "Description": "All processes of the recorded run"}]
        return _table("types", rows)
    if annex != b"processes":
        return None
    rows = [
        {"pid": str(pid), "command": command(program), "met": "yes" if known else "no"}
        for pid, program in client.all()
        for known in (pid in client.places,)
    ]
    return _table("processes", rows)


def _table(name: str, rows: list[dict[str, str]]) -> bytes:
    lines = ['<?xml version="1.0"?>', '<!DOCTYPE target SYSTEM "osdata.dtd">']
    lines.append(f'<osdata type="{name}">')
    for row in rows:
        cells = "".join(f'<column name="{k}">{_xml(v)}</column>' for k, v in row.items())
        lines.append(f"<item>{cells}</item>")
    return "\n".join([*lines, "</osdata>", ""]).encode("ascii")


def _xml(text: str) -> str:
    plain = "".join(c if " " <= c <= "~" else "?" for c in text)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_OBJECTS = {
    b"features": _features,
    b"auxv": lambda client, _annex: auxv(client.here()),
    b"exec-file": _exec_file,
    b"libraries-svr4": _libraries,
    b"osdata": _osdata,
}


def threads(client: Client, _rest: bytes) -> bytes:
    """`qfThreadInfo`: all in the first reply; `qsThreadInfo` has the end of them."""
    known = client.places if client.multiprocess else (client.general,)
    return b"m" + b",".join(client.thread(pid) for pid in sorted(known)) if known else b"l"


def thread_info(client: Client, rest: bytes) -> bytes:
    """`qThreadExtraInfo,THREAD`: a line about a process. Raises ValueError, NoProcess."""
    pid = client.pid_of(rest)
    if pid is None:
        raise NoProcess
    session = client.select(pid)
    text = f"{command(session.program)[:60]}, at {session.here}"
    return text.encode("utf-8", "backslashreplace").hex().encode()


def monitor_command(client: Client, rest: bytes) -> bytes:
    """`qRcmd,HEX`: the user's `monitor`. Raises ValueError."""
    line = bytes.fromhex(rest.decode("ascii")).decode("utf-8", "backslashreplace")
    text = monitor.do(client, line)
    return (text + "\n").encode("utf-8", "backslashreplace").hex().encode() if text else b"OK"
