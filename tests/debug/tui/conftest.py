"""The embedded path, recorded once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def recorded(embedded_trace: Path) -> Path:
    return embedded_trace
