"""Starts the installed gdb, connected to a server of ours by a pipe."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bootstrap import host
from bootstrap.core.errors import BadInput
from bootstrap.debug.gdb.symbols import SCRIPT
from bootstrap.signals import scratch_folder

GDBS = ("gdb-multiarch", "gdb")
COMMANDS = """\
define bsymbols
end
document bsymbols
Take the symbols and the sources of the program where gdb is: a gdb without Python does not.
end
define bgo
  monitor bgo $arg0
  unset tdesc filename
  maintenance flush dcache
  bsymbols
  x/i $pc
end
document bgo
Go to a place of the recorded run: bgo PLACE, as `monitor go PLACE`, and look again.
end
define bsource
  monitor show source
end
document bsource
The annotated source that the present instruction was assembled from, and the lines around it.
end
"""


_NOT_CONNECTED = 119
"""Status of a gdb that has no process when it has been sent to its server; gdb itself goes on."""
_CONNECTED = f"""\
if $_thread == 0
  quit {_NOT_CONNECTED}
end
"""


def find_gdb() -> str:
    """The path of one that is installed; one for all architectures first. Raises BadInput."""
    for name in GDBS:
        found = shutil.which(name)
        if found is not None:
            return found
    raise BadInput(
        "no gdb is installed (Debian: apt install gdb-multiarch); without --launch, any gdb can "
        "come to the port that is listened at"
    )


def arguments(
    gdb: str,
    trace: str,
    place: str,
    folder: Path,
    more: Sequence[str] = (),
    root: str | None = None,
) -> list[str]:
    """How to start it; what it connects to is this program with --stdio. Writes into `folder`.

    Nothing of the current folder is loaded: no .gdbinit there and nothing else that gdb finds by
    itself (`set auto-load off`; the user's own ~/.gdbinit is read). Raises BadInput.
    """
    server = ["gdb", "--stdio", trace]
    if place:
        server += ["--at", place]
    if root is not None:
        server += ["--root", root]
    symbols = str(folder / "programs")
    command = host.own_command("bootstrap.cli.main", "main", *server, "--symbols", symbols)
    environment = [f"{name}={value}" for name, value in host.own_environment().items()]
    start = f"exec {shlex.join(['env', '-i', *environment, *command])}\n"
    for name, text in (
        ("commands.gdb", COMMANDS), ("connected.gdb", _CONNECTED), ("server.sh", start)
    ):  # fmt: skip
        (folder / name).write_bytes(os.fsencode(text))
    target = f"target remote | sh {shlex.quote(str(folder / 'server.sh'))}"
    return [
        gdb, "-q", "-iex", "set auto-load off", "-iex", "set remotetimeout 60",
        "-x", str(folder / "commands.gdb"), "-ex", target, "-x", str(folder / "connected.gdb"),
        "-x", os.path.join(symbols, SCRIPT), *more,
    ]  # fmt: skip


def launch(trace: str, place: str = "", more: Sequence[str] = (), root: str | None = None) -> int:
    """Start it, and wait for its end: its exit status. Raises BadInput, as when it cannot connect.

    `root`: where the program can be run again, if it can.
    """
    gdb = find_gdb()
    # gdb has a Python of its own, which would import from where these lead.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    with scratch_folder() as folder:
        command = arguments(gdb, trace, place, folder, more, root)
        # On a terminal Ctrl-C comes to us too; it is gdb's. Not SIG_IGN, which gdb would inherit.
        before = signal.signal(signal.SIGINT, lambda _signal, _frame: None)
        try:
            status = subprocess.run(command, check=False, env=environment).returncode
        finally:
            signal.signal(signal.SIGINT, before)
    if status == _NOT_CONNECTED:
        raise BadInput("gdb could not connect to its server: what went wrong stands above")
    return status
