"""Runs the seed on the host's own kernel, where that can run i386 programs."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path

SEED = Path(__file__).resolve().parents[2] / "seeds" / "x86" / "hex0-seed"

# One or two system calls a byte of source; a seed that loops must not hang the tests.
SECONDS = 60


class CannotRun(Exception):
    """The host does not run i386 Linux programs."""


def run(source: bytes) -> bytes:
    """The seed's output for ``source``.  Raises CannotRun, or AssertionError for a bad exit."""
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        seed = there / "seed"
        seed.write_bytes(SEED.read_bytes())
        seed.chmod(0o700)
        (there / "in").write_bytes(source)
        try:
            done = subprocess.run(
                [seed, "in", "out"],
                cwd=there,
                env={},
                stdin=subprocess.DEVNULL,
                timeout=SECONDS,
                check=False,
            )
        except OSError as error:
            raise CannotRun(
                f"this host cannot run i386 Linux programs: {error.strerror}"
            ) from error
        assert done.returncode == 0
        return (there / "out").read_bytes()


@functools.cache
def why_not() -> str | None:
    """Why the host cannot run the seed, or None when it can."""
    if os.name != "posix":
        return "this host is not POSIX"
    try:
        run(b"")
    except CannotRun as error:
        return str(error)
    except AssertionError:
        return "this host starts i386 programs but does not run them as Linux does"
    return None
