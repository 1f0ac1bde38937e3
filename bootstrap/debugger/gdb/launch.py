"""Starts the installed gdb, connected to a server of ours by a pipe."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bootstrap.debugger.gdb.symbols import SCRIPT
from bootstrap.errors import BadInput

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
    script: str,
    more: Sequence[str] = (),
    root: str | None = None,
    symbols: str | None = None,
) -> list[str]:
    """How to start it: what it connects to is this program with --stdio."""
    server = [sys.executable, "-m", "bootstrap", "gdb", "--stdio", trace]
    if place:
        server += ["--at", place]
    if root is not None:
        server += ["--root", root]
    if symbols is not None:
        server += ["--symbols", symbols]
        more = ("-x", os.path.join(symbols, SCRIPT), *more)
    target = "target remote | " + shlex.join(server)
    return [gdb, "-q", "-iex", "set remotetimeout 60", "-x", script, "-ex", target, *more]


def launch(trace: str, place: str = "", more: Sequence[str] = (), root: str | None = None) -> int:
    """Start it, and wait for its end: its exit status. Raises BadInput.

    `root`: where the program can be run again, if it can.
    """
    gdb = find_gdb()
    with tempfile.TemporaryDirectory(prefix="bootstrap-") as folder:
        script = Path(folder) / "commands.gdb"
        script.write_text(COMMANDS, encoding="utf-8")
        symbols = str(Path(folder) / "programs")
        command = arguments(gdb, trace, place, str(script), more, root, symbols)
        # On a terminal Ctrl-C comes to us too; it is gdb's. Not SIG_IGN, which gdb would inherit.
        before = signal.signal(signal.SIGINT, lambda _signal, _frame: None)
        try:
            return subprocess.run(command, check=False).returncode
        finally:
            signal.signal(signal.SIGINT, before)


__all__ = ["COMMANDS", "arguments", "find_gdb", "launch"]
