"""`monitor` in gdb: the debugger's own commands, in the session that gdb is at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootstrap.core.errors import BootstrapError
from bootstrap.debug.command_table import Interpreter, parse
from bootstrap.debug.session import Position
from bootstrap.debug.stops import Interrupted
from bootstrap.trace.replay import Diverged

if TYPE_CHECKING:
    from bootstrap.debug.gdb.server import Server

_GDBS_OWN = {
    "break": "gdb's `break *ADDRESS`",
    "watch": "gdb's `watch`",
    "rwatch": "gdb's `rwatch`",
    "awatch": "gdb's `awatch`",
    "delete": "gdb's `delete`",
    "cont": "gdb's `continue`",
    "reverse": "gdb's `reverse-continue`",
    "quit": "gdb's `quit` or `detach`",
    "save": "`bootstrap step`, which writes scripts",
}
_ALIASES = {
    "processes": "show tree",
    "marks": "show marks",
    "coordinates": "show here",
    "": "help",
}
FLUSH = "gdb does not know that it moved: `maintenance flush register-cache`"
DESCRIBE = (
    "gdb does not know that it is in a program for another architecture: `unset tdesc filename`"
)
_HELP = (
    "monitor COMMAND: the commands of `bootstrap step`, at the place where gdb is. After one that "
    "moves,\n`maintenance flush register-cache` makes gdb look again (`bootstrap gdb --launch` "
    "defines `bgo`,\nwhich does both). Also: monitor processes, marks, coordinates, and process N: "
    "they are about the\nprocess that moved last, or that one; monitor symbols: the symbol file of "
    "its program. Breakpoints\nand watchpoints are gdb's.\n"
)


def do(server: Server, line: str) -> str:
    """What a command answers."""
    words = line.split()
    if words[:1] == ["process"]:
        return _choose(server, words[1:])
    if words[:1] == ["symbols"]:
        return _symbols(server, words[1:])
    server.processes.select(server.moved)
    flushes = words[:1] == ["bgo"]  # the user's command of `--launch` does it by itself
    line = line.replace("bgo", "go", 1) if flushes else _ALIASES.get(line.strip(), line)
    told, moved = _told(server, line)
    if len(server.processes.places) > 1 and told:
        told.insert(0, f"process {server.moved}:")
    if moved is not None:
        after = _after(server, moved)
        told += [] if flushes and after in (FLUSH, DESCRIBE) else [after]
    return "\n".join(told)


def _choose(server: Server, words: list[str]) -> str:
    known = server.processes.places
    if len(words) == 1 and words[0].isascii() and words[0].isdigit() and int(words[0]) in known:
        server.moved = int(words[0])
    elif words:
        return f"process {' '.join(words)}: gdb knows of {', '.join(map(str, sorted(known)))}"
    return f"`monitor` is about process {server.moved}"


def _symbols(server: Server, words: list[str]) -> str:
    """The path of the symbol file of the program that a process is in, or why there is none."""
    if server.symbols is None:
        return "no symbol files are written: start `bootstrap gdb` with --symbols DIR, or --launch"
    pid = server.moved
    if words:
        known = server.processes.places
        pid = int(words[0]) if words[0].isascii() and words[0].isdigit() else -1
        if len(words) > 1 or pid not in known:
            return f"symbols {' '.join(words)}: gdb knows of {', '.join(map(str, sorted(known)))}"
    server.processes.select(pid)
    session = server.session
    session.settle()
    return str(server.symbols.of(session.trace, session.images, session.program.image))


def _told(server: Server, line: str) -> tuple[list[str], Position | None]:
    """The lines, and, where it moved, where it was before."""
    session = server.session
    try:
        command = parse(line)
        if command is None:
            return [], None
        name = command.verb.name
        if name in _GDBS_OWN:
            return [f"{name}: not here; use {_GDBS_OWN[name]}"], None
        before = session.row, session.executed
        server.may_stop = True
        session.settle()
        told = list(interpreter(server).do(command).lines)
    except Diverged as error:
        return [server.note(error)], None
    except BootstrapError as error:
        return [str(error)], None
    except Interrupted:
        return ["interrupted"], None
    finally:
        server.may_stop = False
    if name == "help":
        told.insert(0, _HELP)
    return told, before if (session.row, session.executed) != before else None


def _after(server: Server, before: Position) -> str:
    """What gdb's user has to do after a move."""
    processes, was = server.processes, server.moved
    now = processes.here()
    if now == was:
        known = processes.points[now].described
        return FLUSH if known in (None, server.session.program.abi) else DESCRIBE
    processes.places[was] = before
    processes.select(was)
    return (
        f"gdb is still at process {was}; process {now} stands there: `info threads`, then "
        "`thread` and the number of its thread"
    )


def interpreter(server: Server) -> Interpreter:
    """The one of this client, which keeps marks and searches."""
    if server.commands is None:
        server.commands = Interpreter(server.session)
    return server.commands
