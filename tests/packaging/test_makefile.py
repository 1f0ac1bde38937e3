"""What `make` says where it cannot set up, and that it leaves nothing half made."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


def make_with(python: Path, text: str, checkout: Path) -> subprocess.CompletedProcess[str]:
    """`make` in a folder of its own, with a stand-in for Python."""
    folder = python.parent
    for name in ("Makefile", "pyproject.toml", "setup.py"):
        shutil.copy(checkout / name, folder)
    (folder / "bootstrap").mkdir()
    shutil.copy(checkout / "bootstrap" / "__init__.py", folder / "bootstrap")
    python.write_text(f"#!/bin/sh\n{text}\n")
    python.chmod(0o755)
    # A make above this one would lend its own settings.
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        ["make", f"PYTHON={python}"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_old_python_is_named_with_the_way_out(tmp_path: Path, checkout: Path) -> None:
    python = tmp_path / "python-old"
    done = make_with(python, '[ "$1" = --version ] && echo Python 3.9.2 || exit 1', checkout)
    assert done.returncode != 0
    assert f"'{python}' is not Python 3.11 or later (it says: Python 3.9.2)" in done.stdout
    assert "make PYTHON=" in done.stdout
    assert not (tmp_path / ".venv").exists()


def test_a_python_without_venv_is_named_and_nothing_is_left(tmp_path: Path, checkout: Path) -> None:
    python = tmp_path / "python-bare"
    # As Debian's python3 without python3-venv: the folder is begun, then ensurepip is missing.
    half = "mkdir -p .venv/bin; touch .venv/bin/python; exit 1"
    done = make_with(python, f'[ "$1" = -m ] && {{ {half}; }}; exit 0', checkout)
    assert done.returncode != 0
    assert "install python3-venv first" in done.stdout
    assert not (tmp_path / ".venv").exists()
