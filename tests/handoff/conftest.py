"""A checkout of our own, a server on the loopback interface, and upstream's where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.handoff import tree
from tests.sources.conftest import server

__all__ = ["server"]

VARIABLE = "BOOTSTRAP_LIVE_BOOTSTRAP"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The small tree."""
    return tree.make(tmp_path / "lb")


@pytest.fixture(scope="session")
def upstream() -> Path:
    """A checkout of live-bootstrap, named by the environment."""
    place = os.environ.get(VARIABLE)
    if not place:
        pytest.skip(
            f"no live-bootstrap here: git clone https://github.com/fosslinux/live-bootstrap, git"
            f" checkout 984b832224ed9ea701c38e70cf703c6a2aa33243, and set {VARIABLE} to the folder"
        )
    return Path(place)
