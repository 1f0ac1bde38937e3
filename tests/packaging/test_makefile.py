"""What `make` says where it cannot set up, and that it leaves nothing half made."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


# A make above this one would lend its own settings.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


def make_with(python: Path, text: str, checkout: Path) -> subprocess.CompletedProcess[str]:
    """`make` in a folder of its own, with a stand-in for Python."""
    folder = python.parent
    for name in ("Makefile", "pyproject.toml", "setup.py"):
        shutil.copy(checkout / name, folder)
    (folder / "bootstrap").mkdir()
    shutil.copy(checkout / "bootstrap" / "__init__.py", folder / "bootstrap")
    python.write_text(f"#!/bin/sh\n{text}\n")
    python.chmod(0o755)
    return subprocess.run(
        ["make", f"PYTHON={python}"],
        cwd=folder,
        env=ENVIRONMENT,
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


@pytest.mark.parametrize(("status", "ends"), [(0, 0), (4, 0), (1, 2), (2, 2), (3, 2)])
def test_make_is_done_where_only_the_embedded_path_could_be_verified(
    tmp_path: Path, checkout: Path, status: int, ends: int
) -> None:
    """And says last what was not verified, and how to do it. Any other failure is one."""
    here = tmp_path / "a checkout"
    (here / ".venv" / "bin").mkdir(parents=True)
    (here / "bootstrap").mkdir()
    for name in ("Makefile", "pyproject.toml", "setup.py", "bootstrap/__init__.py"):
        shutil.copy(checkout / name, here / name)
    for name, text in (("python", "exit 1"), ("bootstrap", f'echo "$@"; exit {status}')):
        place = here / ".venv" / "bin" / name
        place.write_text(f"#!/bin/sh\n{text}\n")
        place.chmod(0o755)
    (here / ".venv" / "installed").touch()
    done = subprocess.run(
        ["make"], cwd=here, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == ends
    said = done.stdout.splitlines()
    assert said[0] == "verify --fallback embedded"
    if status == 4:
        assert said[1].startswith("make: verified: the embedded sources")
        assert "NOT verified: stage0-posix" in said[1]
        assert "bootstrap fetch stage0-posix --from PATH" in said[2]
    else:
        assert not any("NOT verified" in line for line in said)
