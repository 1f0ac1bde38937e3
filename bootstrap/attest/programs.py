"""Starts ssh-keygen and gpg: the one place of this room that starts a host program."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootstrap.core.errors import BadInput

SSH_KEYGEN = "ssh-keygen"
GPG = "gpg"
_PACKAGES = {SSH_KEYGEN: "OpenSSH (openssh-client), 8.2 or later", GPG: "GnuPG (gnupg), 2.2"}
# Windows programs do not start without these.
_NEEDED = ("PATH", "SYSTEMROOT", "TEMP", "TMP")


@dataclass(frozen=True)
class Ended:
    """A program that ran to its end."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def last_words(self) -> str:
        """The last line that it said, for a message."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else f"it ended with status {self.status}"


def find(program: str) -> str:
    """Where a program is.  Raises BadInput when it is not installed."""
    place = shutil.which(program)
    if place is None:
        raise BadInput(f"{program} is not installed; it comes with {_PACKAGES[program]}")
    return place


def run(
    program: str,
    arguments: Sequence[str],
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    show_stderr: bool = False,
) -> Ended:
    """Run a program to its end.  Raises BadInput when it is not installed.

    With `show_stderr` it speaks to the user itself (`touch the key`); else what it says is kept.
    """
    place = find(program)
    try:
        done = subprocess.run(
            [place, *arguments],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=None if show_stderr else subprocess.PIPE,
            env=None if environment is None else dict(environment),
            check=False,
        )
    except OSError as error:
        raise BadInput(f"{place}: cannot be started: {error.strerror}") from None
    stderr = (done.stderr or b"").decode("utf-8", "replace")
    return Ended(done.returncode, done.stdout, stderr)


def closed_environment(home: Path) -> dict[str, str]:
    """An environment in which nothing of the user's is found: no keys, agents, configuration."""
    kept = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    return {**kept, "HOME": str(home), "GNUPGHOME": str(home), "LC_ALL": "C"}
