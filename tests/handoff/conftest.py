"""A checkout of our own, a server on the loopback interface, and upstream's where it is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.sources import Cache, checkout_at
from bootstrap.sources.checkouts import ADDRESSES, LIVE_BOOTSTRAP, STAGEX_TREE, load_checkout
from tests.handoff import tree
from tests.sources.conftest import server

__all__ = ["server"]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The small tree."""
    return tree.make(tmp_path / "lb")


@pytest.fixture(scope="session")
def upstream() -> Iterator[Path]:
    """live-bootstrap from the cache, at the commit of 2026-02-14, laid out."""
    yield from cached(LIVE_BOOTSTRAP, "984b832224ed9ea701c38e70cf703c6a2aa33243")


@pytest.fixture(scope="session")
def stagex() -> Iterator[Path]:
    """StageX 2026.03.0 from the cache, laid out."""
    yield from cached(STAGEX_TREE, "e8b3a381c01126b04f6ef7ee62394197ec135a46")


def cached(name: str, commit: str) -> Iterator[Path]:
    """A checkout; a test that asks for one that is not in the cache is skipped."""
    if load_checkout(name, commit, Cache()) is None:
        pytest.skip(
            f"{name} {commit} is not in the cache; provide it with: git clone {ADDRESSES[name]},"
            f" git checkout {commit}, bootstrap fetch {name} --from DIR"
        )
    with checkout_at(commit, name, Cache()) as (folder, _):
        yield folder
