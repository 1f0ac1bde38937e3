"""Runs that are recorded once, and sessions in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.debug import Session
from bootstrap.debug.command_table import Interpreter
from tests.debug.material import record_hex0, record_loop
from tests.trace.recorded import record_embedded


@pytest.fixture(scope="session")
def hex0_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The x86 hex0 seed on its own source."""
    return record_hex0(tmp_path_factory.mktemp("hex0"))


@pytest.fixture(scope="session")
def embedded_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources that the program carries, with kaem and its children."""
    place = tmp_path_factory.mktemp("embedded") / "embedded.trace"
    record_embedded(place, "native")
    return place


@pytest.fixture
def hex0(hex0_trace: Path) -> Iterator[Session]:
    with Session.open(str(hex0_trace)) as session:
        yield session


@pytest.fixture
def embedded(embedded_trace: Path) -> Iterator[Session]:
    with Session.open(str(embedded_trace)) as session:
        yield session


@pytest.fixture
def run(embedded: Session) -> Interpreter:
    """Commands in the embedded path."""
    saved: dict[str, str] = {}
    return Interpreter(embedded, saved.__setitem__)


@pytest.fixture(scope="session")
def loop_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop, for who needs no more."""
    return record_loop(tmp_path_factory.mktemp("loop"), "riscv64")


@pytest.fixture
def loop(loop_trace: Path) -> Iterator[Session]:
    with Session.open(str(loop_trace)) as session:
        yield session
