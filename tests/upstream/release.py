"""The release of stage0-posix that most tests look at."""

from __future__ import annotations

import pytest

from bootstrap.sources import Cache, SourceTree

RELEASE = "1.9.1"


def from_cache() -> SourceTree:
    """The release, from the cache; a test that asks for it where it is not there is skipped."""
    found = Cache().load(RELEASE)
    if found is None:
        pytest.skip(
            f"stage0-posix {RELEASE} is not in the cache; provide it with: "
            "bootstrap fetch stage0-posix --from PATH"
        )
    return found
