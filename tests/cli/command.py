"""Runs `bootstrap` as a user does: in a process of its own or, far quicker, in this one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema

from bootstrap.cli.main import main

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


class _Stream(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8", write_through=True)

    @property
    def said(self) -> str:
        data: bytes = self.buffer.getvalue()  # type: ignore[attr-defined]
        return data.decode()


def inside(
    *args: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Done:
    """Run one command in this process: where it needs no descriptors and no signals of its own."""
    out, err = _Stream(), _Stream()
    with (
        mock.patch.dict(os.environ, environment(env), clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.chdir(cwd or Path.cwd()),
    ):
        try:
            status = main([str(argument) for argument in args])
        except SystemExit as error:  # argparse, of what was typed
            status = int(error.code or 0)
    return Done(status, out.said, err.said)


def report_of(text: str) -> Any:
    """A JSON report, checked against the schema."""
    data = json.loads(text)
    schema = json.loads((ROOT / "docs" / "report.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(data)
    return data


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
