"""A loop for packets that need no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.debug import Session
from tests.debug.material import record_loop


@pytest.fixture(scope="module")
def loop_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_loop(tmp_path_factory.mktemp("loop"), "riscv64")


@pytest.fixture
def loop(loop_trace: Path) -> Iterator[Session]:
    with Session.open(str(loop_trace)) as session:
        yield session
