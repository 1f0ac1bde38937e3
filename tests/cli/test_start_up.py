"""What a command loads before it works: a verdict needs no database, screen or network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """\
import sys
from bootstrap.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as end:
    status = end.code
print(*sys.modules, file=sys.stderr)
sys.exit(status)
"""
_NEVER = {"sqlite3", "textual", "rich", "ssl", "http.client", "urllib.request"}
_HEAVY = {"unicorn", "capstone", "bootstrap.report", "bootstrap.known"}


def loaded_by(*words: str | Path) -> set[str]:
    """The modules that are loaded at the end of a command."""
    command = [sys.executable, "-c", _SCRIPT, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "never"),
    [
        (("--help",), _NEVER | _HEAVY),
        (("verify", "--help"), _NEVER | _HEAVY),
        (("verify", "--release", "embedded", "--quiet"), _NEVER | {"bootstrap.trace.store"}),
    ],
)
def test_no_database_screen_or_network_is_loaded(words: tuple[str, ...], never: set[str]) -> None:
    loaded = loaded_by(*words)
    assert "bootstrap.cli.commands" in loaded
    assert not loaded & never


def test_a_trace_is_a_database(tmp_path: Path) -> None:
    """What the check above looks for is seen where it is."""
    words = ("trace", "record", "--release", "embedded", "--quiet", "-o", tmp_path / "trace")
    assert {"sqlite3", "bootstrap.trace.store"} <= loaded_by(*words)
