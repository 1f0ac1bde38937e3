"""Starts the installed gdb, connected to a server of ours by a pipe."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bootstrap.errors import BadInput

GDBS = ("gdb-multiarch", "gdb")
COMMANDS = """\
define bgo
  monitor bgo $arg0
  maintenance flush register-cache
  maintenance flush dcache
  x/i $pc
end
document bgo
Go to a place of the recorded run: bgo PLACE, as `monitor go PLACE`, and look again.
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
) -> list[str]:
    """How to start it: what it connects to is this program with --stdio."""
    server = [sys.executable, "-m", "bootstrap", "gdb", "--stdio", trace]
    if place:
        server += ["--at", place]
    if root is not None:
        server += ["--root", root]
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
        return subprocess.run(
            arguments(gdb, trace, place, str(script), more, root), check=False
        ).returncode


__all__ = ["COMMANDS", "arguments", "find_gdb", "launch"]
