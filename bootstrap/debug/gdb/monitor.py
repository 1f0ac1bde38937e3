"""`monitor` in gdb: the debugger's own commands, in the session that gdb is at."""

from __future__ import annotations

from bootstrap.core.errors import BadInput, BootstrapError
from bootstrap.debug.command_table import parse
from bootstrap.debug.gdb.client import Client
from bootstrap.debug.session import Position
from bootstrap.debug.stops import Interrupted
from bootstrap.trace.compare import Diverged

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


def do(client: Client, line: str) -> str:
    """The text that comes of a command."""
    words = line.split()
    try:
        if words[:1] == ["process"]:
            client.moved = _known(client, words)
            return f"`monitor` is about process {client.moved}"
        if words[:1] == ["symbols"]:
            return _symbols(client, words)
    except BadInput as error:
        return str(error)
    client.select(client.moved)
    flushes = words[:1] == ["bgo"]  # the user's command of `--launch` does it by itself
    line = line.replace("bgo", "go", 1) if flushes else _ALIASES.get(line.strip(), line)
    lines, moved = _lines(client, line)
    if len(client.processes) > 1 and lines:
        lines.insert(0, f"process {client.moved}:")
    if moved is not None:
        after = _after(client, moved)
        lines += [] if flushes and after in (FLUSH, DESCRIBE) else [after]
    return "\n".join(lines)


def _known(client: Client, words: list[str]) -> int:
    """The process that is named after a word, or the one that moved last. Raises BadInput."""
    pid = client.moved
    if len(words) > 1:
        pid = int(words[1]) if words[1].isascii() and words[1].isdigit() else -1
        if len(words) > 2 or pid not in client.processes:
            known = ", ".join(map(str, sorted(client.processes)))
            raise BadInput(f"{' '.join(words)}: gdb knows of {known}")
    return pid


def _symbols(client: Client, words: list[str]) -> str:
    """The path of the symbol file of the program that a process is in, or why there is none."""
    if client.symbols is None:
        return "no symbol files are written: start `bootstrap gdb` with --symbols DIR, or --launch"
    session = client.select(_known(client, words))
    session.settle()
    return str(client.symbols.of(session.trace, session.images, session.program.image))


def _lines(client: Client, line: str) -> tuple[list[str], Position | None]:
    """The lines, and, where it moved, where it was before."""
    session = client.select(client.moved)
    try:
        command = parse(line)
        if command is None:
            return [], None
        name = command.verb.name
        if name in _GDBS_OWN:
            return [f"{name}: not here; use {_GDBS_OWN[name]}"], None
        before = session.position
        client.may_stop = True
        session.settle()
        lines = list(client.commands.do(command).lines)
    except Diverged as error:
        return [client.note(error)], None
    except BootstrapError as error:
        return [str(error)], None
    except Interrupted:
        return ["interrupted"], None
    finally:
        client.may_stop = False
    if name == "help":
        lines.insert(0, _HELP)
    return lines, before if session.position != before else None


def _after(client: Client, before: Position) -> str:
    """What gdb's user has to do after a move."""
    was = client.moved
    now = client.now_at()
    if now == was:
        known = client.processes[now].described
        return FLUSH if known in (None, client.select(now).program.abi) else DESCRIBE
    client.processes[was].place = before
    client.select(was)
    return (
        f"gdb is still at process {was}; process {now} stands there: `info threads`, then "
        "`thread` and the number of its thread"
    )
