"""What tests of timelines share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.sources import SourceTree
from bootstrap.timeline import checkpoints, search
from bootstrap.timeline import timeline as travel
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.store import Trace
from tests.instruments.runs import engine_for
from tests.timeline.walking import World
from tests.trace import recorded

ARCHES = ("AMD64", "AArch64", "riscv64", "riscv32")
SOURCE = b"# seven bytes\n48 65 6c 6C ; and more\n6f 0A\n\n00 ff 7F\n" * 4
ARGV = (b"/guest", b"/in", b"/out")
"""As the seeds are started."""


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


@pytest.fixture
def traveller(opened: Trace) -> Iterator[Timeline]:
    """In it."""
    found = Timeline(opened, engine_for("native"))
    yield found
    found.close()


@pytest.fixture(scope="session")
def seeds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], World]]:
    """By architecture, the release's hex0 seed on a short source."""
    worlds: dict[str, World] = {}

    def of(arch: str) -> World:
        if arch not in worlds:
            release: SourceTree = request.getfixturevalue("release")
            image = release.files[f"bootstrap-seeds/POSIX/{arch}/hex0-seed"].data
            place = tmp_path_factory.mktemp("seed") / "t"
            recorded.record(image, place, files={b"/in": SOURCE}, argv=ARGV)
            worlds[arch] = World(trace.open(place))
            assert worlds[arch].trace.programs[0].status == 0
        return worlds[arch]

    yield of
    for one in worlds.values():
        one.trace.close()
