"""What tests of travelling share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bootstrap.timeline import checkpoints, search
from bootstrap.timeline import timeline as travel


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """The numbers that say when states are kept are small, so that short programs meet them all:
    states are kept often, and few of them; long ways begin soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(travel, "FINE", (700, 50))
        patch.setattr(travel, "FAR", 1_500)
        patch.setattr(travel, "SLICE", 300)
        patch.setattr(checkpoints, "KEPT", 12)
        patch.setattr(search, "TRAIL", 32)
        yield
