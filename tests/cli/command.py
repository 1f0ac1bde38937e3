"""Runs `python -m bootstrap` as a user does, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Done:
    """A finished command."""

    status: int
    stdout: str
    stderr: str

    def one_line(self) -> str:
        """What it said on stderr, which must be one line of ours and no traceback."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        assert lines[0].startswith("bootstrap: "), self.stderr
        assert "Traceback" not in self.stderr
        return lines[0]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our own, with the checkout importable, no cache and no network but what `extra` gives."""
    wanted = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("BOOTSTRAP_", "COV"))},
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        # A proxy that nobody serves: no test of the command line may reach the network.
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "no_proxy": "",
        "BOOTSTRAP_CACHE": "/nonexistent/cache",
    }
    return {**wanted, **(extra or {})}


def arguments(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "bootstrap", *map(str, args)]


def bootstrap(
    *args: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
    timeout: float = 120,
    prefix: Sequence[str] = (),
) -> Done:
    """Run one command to its end."""
    done = subprocess.run(
        [*prefix, *arguments(*args)],
        input=stdin,
        capture_output=True,
        env=environment(env),
        cwd=cwd,
        timeout=timeout,
        check=False,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def killed(
    command: Sequence[str], number: int, after: float | None, env: Mapping[str, str], cwd: Path
) -> tuple[int, str]:
    """Run a command that is sent a signal after so many seconds, if it still runs then.

    Returns its status and what it said on stderr, which must be no traceback of a run.
    """
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env, cwd=cwd
    )
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    _, data = process.communicate(timeout=120)
    said, status = data.decode(), process.returncode
    # By the signal itself, or in Python's own words: while Python starts or ends.
    starting = "init_import_site" in said or "<frozen importlib" in said
    assert status in (0, -number, 128 + number) or starting, said
    quiet = "Traceback" not in said or (number == signal.SIGINT and status == -number)
    assert quiet or starting, said
    return status, said
