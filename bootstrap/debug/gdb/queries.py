"""gdb's questions: `q` packets (documentation: "General Query Packets")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootstrap.debug.gdb import monitor
from bootstrap.debug.gdb.files import auxv
from bootstrap.debug.gdb.packets import PACKET_SIZE, escape, span
from bootstrap.trace.text import shown
from bootstrap.trace.views import command

if TYPE_CHECKING:
    from bootstrap.debug.gdb.server import Server

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


def answer(server: Server, rest: bytes) -> bytes:
    """The reply to what follows `q`."""
    if rest.startswith(b"Supported"):
        return _supported(server, rest.partition(b":")[2])
    if rest.startswith(b"Xfer:"):
        return _transfer(server, rest[5:])
    if rest.startswith(b"Rcmd,"):
        return _monitor(server, bytes.fromhex(rest[5:].decode("ascii")))
    if rest.startswith(b"ThreadExtraInfo,"):
        return _extra(server, rest.partition(b",")[2])
    if rest == b"C":
        return b"QC" + server.thread(server.general)
    if rest == b"fThreadInfo":
        known = server.processes.places if server.multiprocess else (server.general,)
        return b"m" + b",".join(server.thread(pid) for pid in sorted(known)) if known else b"l"
    if rest == b"sThreadInfo":
        return b"l"
    if rest.partition(b":")[0] == b"Attached":
        return b"1"
    if rest.startswith(b"Symbol:"):
        return b"OK"
    return b""


def _supported(server: Server, offered: bytes) -> bytes:
    theirs = frozenset(offered.split(b";"))
    wanted = [name for name in IF_WANTED if name in theirs]
    if b"multiprocess+" in wanted:
        wanted += [name for name in EVENTS if name in theirs]
    server.features = frozenset(wanted)
    return b";".join((*ALWAYS, *wanted))


def _transfer(server: Server, rest: bytes) -> bytes:
    what, how, annex, part = rest.split(b":")
    if how != b"read":
        return b"" if what not in _OBJECTS else b"E.only to be read"
    if what not in _OBJECTS:
        return b""
    found = _OBJECTS[what](server, annex)
    if found is None:
        return b"E00"
    offset, size = span(part)
    size = min(size, PACKET_SIZE // 2 - 8)
    piece = found[offset : offset + size]
    return (b"m" if offset + len(piece) < len(found) else b"l") + escape(piece)


def _features(server: Server, annex: bytes) -> bytes | None:
    if annex != b"target.xml":
        return None
    server.processes.points[server.general].described = server.here().program.abi
    return server.description().xml.encode()


def _exec_file(server: Server, annex: bytes) -> bytes | None:
    if annex:
        pid = int(annex, 16)
        if pid not in server.processes.places:
            return None
        server.processes.select(pid)
        return shown(server.session.program.path).encode()
    return shown(server.here().program.path).encode()


def _libraries(_server: Server, _annex: bytes) -> bytes | None:
    return b'<library-list-svr4 version="1.0"/>'  # every program is static


def _osdata(server: Server, annex: bytes) -> bytes | None:
    """For `info os processes`: every process of the run, and which of them gdb has met."""
    if annex == b"":
        rows = [{"Type": "processes", "Description": "All processes of the recorded run"}]
        return _table("types", rows)
    if annex != b"processes":
        return None
    rows = [
        {"pid": str(pid), "command": command(program), "met": "yes" if known else "no"}
        for pid, program in server.processes.all()
        for known in (pid in server.processes.places,)
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
    b"auxv": lambda server, _annex: auxv(server.here()),
    b"exec-file": _exec_file,
    b"libraries-svr4": _libraries,
    b"osdata": _osdata,
}


def _extra(server: Server, raw: bytes) -> bytes:
    pid = server.pid_of(raw)
    if pid is None:
        return b"E.no such process"
    server.processes.select(pid)
    session = server.session
    told = f"{command(session.program)[:60]}, at {session.here}"
    return told.encode("utf-8", "backslashreplace").hex().encode()


def _monitor(server: Server, line: bytes) -> bytes:
    told = monitor.do(server, line.decode("utf-8", "backslashreplace"))
    return (told + "\n").encode("utf-8", "backslashreplace").hex().encode() if told else b"OK"
