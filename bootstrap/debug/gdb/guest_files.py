"""The files of the guest for gdb: programs, what /proc has, and all that the guest sees.

gdb's File-I/O (documentation: "Host I/O Packets"). Read only: a recording cannot be written to.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence

from bootstrap.core.errors import BadInput
from bootstrap.debug.gdb.client import Client
from bootstrap.debug.gdb.wire import PACKET_SIZE, escape, number, text_of
from bootstrap.debug.session import Session
from bootstrap.timeline.state import Area, stack_words
from bootstrap.trace.columns import WORD, as_raw, shown

ENOENT, EBADF, EACCES, EINVAL, EROFS, ENFILE = 2, 9, 13, 22, 30, 23
"""gdb's own numbers ("Errno Values"), which are Linux's here."""
MOST_OPEN = 64
_PROC = re.compile(r"/proc/(\d{1,9})/(?:task/\d{1,9}/)?(\w+)", re.ASCII)
_FLAGS = 0x3
"""The access mode in open's flags; 0: to read."""
_S_IFREG = 0o100000


class FileError(Exception):
    """The reply is its number."""

    def __init__(self, errno: int) -> None:
        super().__init__(errno)
        self.errno = errno


def file_packet(client: Client, rest: bytes) -> bytes:
    """The reply to `vFile:` and what follows it; empty for what is not known."""
    name, _, arguments = rest.partition(b":")
    handler = _REQUESTS.get(name)
    if handler is None:
        return b""
    client.here()
    try:
        return handler(client, arguments)
    except FileError as error:
        return b"F-1,%x" % error.errno
    except (ValueError, IndexError, UnicodeDecodeError):
        return b"F-1,%x" % EINVAL


def _setfs(_client: Client, rest: bytes) -> bytes:
    number(rest)  # all processes see one tree
    return b"F0"


def _opens(client: Client, rest: bytes) -> bytes:
    path, flags, _mode = rest.split(b",")
    if number(flags) & _FLAGS:
        raise FileError(EROFS)
    if len(client.open) >= MOST_OPEN:
        raise FileError(ENFILE)
    content = _content(client, text_of(path))
    fd = next(n for n in range(1, MOST_OPEN + 1) if n not in client.open)
    client.open[fd] = content
    return b"F%x" % fd


def _of(client: Client, raw: bytes) -> bytes:
    content = client.open.get(number(raw))
    if content is None:
        raise FileError(EBADF)
    return content


def _pread(client: Client, rest: bytes) -> bytes:
    fd, count, offset = rest.split(b",")
    at = number(offset)
    return _attached(_of(client, fd)[at : at + number(count)])


def _fstat(client: Client, rest: bytes) -> bytes:
    size = len(_of(client, rest))
    # struct stat of File-I/O: big-endian; device, inode, mode, links, owner, group, rdev,
    # size, block size, blocks, three times.
    stat = struct.pack(
        ">7I3Q3I", 0, 0, _S_IFREG | 0o555, 1, 0, 0, 0, size, 4096, (size + 511) // 512, 0, 0, 0
    )
    return _attached(stat)


def _close(client: Client, rest: bytes) -> bytes:
    _of(client, rest)
    del client.open[number(rest)]
    return b"F0"


def _readlink(client: Client, rest: bytes) -> bytes:
    match = _PROC.fullmatch(text_of(rest))
    if match is None or match[2] not in _LINKS:
        raise FileError(EINVAL)
    return _attached(_LINKS[match[2]](_at(client, int(match[1]))))


def _at(client: Client, pid: int) -> Session:
    try:
        return client.select(pid)
    except KeyError:
        raise FileError(ENOENT) from None


def _content(client: Client, path: str) -> bytes:
    match = _PROC.fullmatch(path)
    if match is not None:
        return _proc(_at(client, int(match[1])), match[2])
    session = client.here()
    # First programs: what runs is there, even if the guest has removed its file since.
    for program in (session.program, *session.trace.programs):
        if shown(program.path) == path:
            return session.trace.content(program.image)
    try:
        return session.file(path)
    except BadInput:
        raise FileError(ENOENT) from None


def _proc(session: Session, name: str) -> bytes:
    if name not in _FILES:
        raise FileError(ENOENT)
    return _FILES[name](session)


def _words(words: Sequence[bytes]) -> bytes:
    return b"".join(word + b"\0" for word in words)


def _comm(session: Session) -> bytes:
    path = as_raw(session.program.path)
    return path.rpartition(b"/")[2][:15]  # TASK_COMM_LEN, with its zero


def _status(session: Session) -> bytes:
    program = session.program
    parent = session.trace.program(program.parent).pid if program.parent else 0
    rest = (
        f"State:\tt (tracing stop)\nTgid:\t{program.pid}\nPid:\t{program.pid}\n"
        f"PPid:\t{parent}\nThreads:\t1\n"
    )
    return b"Name:\t%b\n%b" % (_comm(session), rest.encode())


_LINKS: dict[str, Callable[[Session], bytes]] = {
    "exe": lambda session: shown(session.program.path).encode(),
    "cwd": lambda session: session.at.process.files.getcwd(session.at.process.base),
    "root": lambda _session: b"/",
}
"""What links of /proc/PID lead to."""
_FILES: dict[str, Callable[[Session], bytes]] = {
    "cmdline": lambda session: _words(session.program.argv),
    "environ": lambda session: _words(session.program.environment),
    "auxv": lambda session: auxv(session),
    "comm": lambda session: _comm(session) + b"\n",
    "exe": lambda session: session.trace.content(session.program.image),
    "maps": lambda session: "".join(_map_line(session, a) for a in session.maps()).encode(),
    "status": _status,
}
"""What its files have in them."""
_REQUESTS: dict[bytes, Callable[[Client, bytes], bytes]] = {
    b"setfs": _setfs,
    b"open": _opens,
    b"pread": _pread,
    b"fstat": _fstat,
    b"close": _close,
    b"readlink": _readlink,
}


def _map_line(session: Session, area: Area) -> str:
    """As Linux writes it (fs/proc/task_mmu.c): the name is in column 73. No inode is known."""
    name, offset = f"[{area.what}]" if area.what in ("stack", "heap") else "", 0
    if area.what == session.image.name:
        name, offset = area.what.replace("\n", "\\012"), session.image.offset(area.start) or 0
    line = f"{area.start:08x}-{area.end:08x} {area.rights}p {offset:08x} 00:00 0 "
    return f"{line:73}{name}\n" if name else f"{line}\n"


def auxv(session: Session) -> bytes:
    """The auxiliary vector, as it stands above the environment where the program starts."""
    session.settle()
    place = session.position
    row = session.program
    while row.ordinal == 0 and row.parent is not None:
        row = session.trace.program(row.parent)  # a child has its parent's
    try:
        session.at.seek(row.id, 0)
        word = WORD[row.abi]
        ((sp, argc),) = stack_words(session.at, 1)
        at = sp + word * (argc + 2)
        memory = session.at.process.memory
        while any(memory.read_upto(at, word)):
            at += word
        at += word
        end = at
        while any(memory.read_upto(end, word)):
            end += 2 * word
        return memory.read_upto(at, end + 2 * word - at)
    finally:
        session.at.seek(*place)


def _attached(content: bytes) -> bytes:
    """A reply with content: as much of it as goes into a packet."""
    room = PACKET_SIZE - 64
    raw = escape(content[:room])
    while len(raw) > room:
        content = content[: len(content) // 2]
        raw = escape(content)
    return b"F%x;" % len(content[:room]) + raw
