"""The documentation builds offline without a warning; a link that leads nowhere is one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.cli.commands import COMMANDS
from tests.material.schemas import SCHEMAS

PARTS = ("docs", "bootstrap", "README.md", "mkdocs.yml")


def built(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(folder),
             "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
    )  # fmt: skip


def test_the_site(checkout: Path, tmp_path: Path) -> None:
    pytest.importorskip("material", reason="no mkdocs-material: make docs installs it")
    for part in PARTS:
        if (checkout / part).is_dir():
            shutil.copytree(
                checkout / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(checkout / part, tmp_path / part)
    done = built(tmp_path)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    site = tmp_path / "site"
    pages = {page: page.read_text("utf-8") for page in site.rglob("*.html")}
    assert len(pages) > 35
    for page, text in pages.items():
        # What a page loads is its own.
        loaded = re.findall(r'(?:src|<link[^>]*href)="(https?:[^"]+)"', text)
        assert loaded == [], page
        for picture in re.findall(r'<img[^>]*src="([^"]+)"', text):
            assert (page.parent / picture).resolve().is_file(), (page, picture)
    reference = pages[site / "reference/commands.html"]
    assert all(f"bootstrap {command.name}" in reference for command in COMMANDS)
    documents = pages[site / "reference/json.html"]
    assert all(f'id="{file.name.split(".")[0]}"' in documents for file in SCHEMAS)
    assert "Session" in pages[site / "reference/python.html"]
    index = (site / "search/search_index.json").read_text("utf-8")
    assert "hex0" in index and "quorum" in index
    # A link that leads nowhere is seen.
    with open(tmp_path / "docs/tutorial.md", "a") as page_file:
        page_file.write("\n[nowhere](trust.md#no-such-place)\n")
    done = built(tmp_path)
    assert done.returncode != 0 and "no-such-place" in done.stderr
