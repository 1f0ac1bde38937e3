"""What tests of travelling share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.timeline import checkpoints, search
from bootstrap.timeline import timeline as travel
from bootstrap.trace.store import Trace
from tests.trace import recorded


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


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of the embedded path, recorded once: to be read, with nothing put beside it."""
    found = tmp_path_factory.mktemp("embedded") / "embedded.trace"
    assert recorded.record_embedded(found, "native").report.result == "verified"
    return found


@pytest.fixture(scope="module")
def opened(place: Path) -> Iterator[Trace]:
    """It, open."""
    with trace.open(place) as found:
        yield found
