"""Skips without the release; starts the long runs first, so that they run side by side."""

from __future__ import annotations

import pytest

from bootstrap.sources import SourceTree


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The whole bootstraps before all else: what runs last must not be what takes longest."""
    first = ("test_whole.py", "test_other_releases.py")
    items.sort(key=lambda i: first.index(i.path.name) if i.path.name in first else len(first))


@pytest.fixture(scope="session")
def tree(release: SourceTree) -> SourceTree:
    """The release, from the cache."""
    return release
