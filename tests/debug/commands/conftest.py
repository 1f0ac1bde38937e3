"""The embedded path, recorded once, and a session in it for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.debug.command_table import Interpreter
from bootstrap.debug.session import Session


@pytest.fixture(scope="session")
def recorded(embedded_trace: Path) -> Path:
    return embedded_trace


@pytest.fixture
def run(recorded: Path) -> Iterator[Interpreter]:
    saved: dict[str, str] = {}
    with Session.open(str(recorded)) as session:
        yield Interpreter(session, saved.__setitem__)
