"""Two builds in two folders, under other umasks and at other times, are the same bit for bit."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SDIST = "import setuptools.build_meta as b; b.build_sdist('dist')"
BOTH = f"{SDIST}; b.build_wheel('dist')"
SKIP = shutil.ignore_patterns(
    "__pycache__", "_*.so", ".venv*", ".git", "build", "dist", "*.egg-info", ".*_cache",
    ".hypothesis", "site",
)  # fmt: skip


def built(source: Path, folder: Path, umask: int, epoch: str, build: str = BOTH) -> dict[str, str]:
    """Name -> SHA-256 of what is built of a copy."""
    was = os.umask(umask)
    try:
        shutil.copytree(source, folder, ignore=SKIP, copy_function=shutil.copyfile)
        for path in folder.rglob("*"):
            os.utime(path, (umask, umask))
        environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", build], cwd=folder, env=environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
    finally:
        os.umask(was)
    assert done.returncode == 0, done.stderr
    files = sorted((folder / "dist").iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_the_same_files_give_the_same_bytes(checkout: Path, tmp_path: Path) -> None:
    pytest.importorskip("setuptools", "74.1", "building needs setuptools 74.1")
    pytest.importorskip("shtab")
    first = built(checkout, tmp_path / "a", 0o022, "1764460800")
    second = built(checkout, tmp_path / "another folder", 0o077, "1764460800")
    assert len(first) == 2 and first == second
    (later,) = built(checkout, tmp_path / "later", 0o022, "1764460802", SDIST).items()
    assert later not in first.items() and later[0] in first
    # The wheel of the sdist is the wheel of the checkout: nothing that it needs is left out.
    (packed,) = (tmp_path / "a/dist").glob("*.tar.gz")
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xzf", packed, "-C", tmp_path / "out"], check=True)
    (unpacked,) = (tmp_path / "out").iterdir()
    of_sdist = built(unpacked, tmp_path / "of sdist", 0o022, "1764460800")
    (wheel,) = (name for name in first if name.endswith(".whl"))
    assert of_sdist[wheel] == first[wheel]
