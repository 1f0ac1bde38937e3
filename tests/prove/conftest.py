"""The x86 seed is walked once for all tests, by the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bootstrap.cli.main import main
from bootstrap.prove import proving
from bootstrap.prove.proving import Proof
from tests.prove.material import X86


class Proven(NamedTuple):
    """What `bootstrap prove` found, said and wrote."""

    status: int
    proof: Proof
    out: list[str]
    folder: Path


@pytest.fixture(scope="session")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proven]:
    """Of the x86 seed."""
