"""One verified run of the embedded sources, as a user has it, for every test that looks at one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.command import Done, bootstrap


@dataclass(frozen=True)
class Verified:
    """What was said, and the folder with r.json, r.xml and the products in out/."""

    done: Done
    folder: Path


@pytest.fixture(scope="session")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Verified:
    """By the fast path."""
    return _verified(tmp_path_factory.mktemp("verified"))


@pytest.fixture(scope="session")
def rechecked_here(tmp_path_factory: pytest.TempPathFactory) -> Verified:
    """By the fast path, and by the core alone."""
    return _verified(tmp_path_factory.mktemp("rechecked"), "--recheck")


def _verified(folder: Path, *more: str) -> Verified:
    outputs = ("--json", "r.json", "--junit", "r.xml", "--output", "new/out")
    done = bootstrap("verify", "--release", "embedded", *outputs, *more, cwd=folder)
    assert done.status == 0, done.stderr
    return Verified(done, folder)
