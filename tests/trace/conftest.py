"""What tests of traces share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.trace.store import Trace
from tests.trace import recorded


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of a guest that does everything, to be read: pid 1 makes calls and forks pid 2, which
    executes another program."""
    place = tmp_path_factory.mktemp("whole") / "t"
    files = recorded.busy_files("i386")
    recorded.record(recorded.busy("i386"), place, files=files, stdin=[b"12345678"])
    return place


@pytest.fixture(scope="module")
def opened(whole: Path) -> Iterator[Trace]:
    """It, open."""
    with trace.open(whole) as found:
        yield found
