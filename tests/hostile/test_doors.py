"""Changed files at every door: a status of the table, one line of error, no traceback, an end."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from bootstrap.core.errors import ExitStatus
from tests.hostile.doors import Doors

FEW = 350
MANY = int(os.environ.get("FUZZ", "10000"))


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Doors:
    return Doors(tmp_path_factory.mktemp("doors"))


def _try(doors: Doors, first: int, count: int) -> Counter[tuple[str, int]]:
    ended: Counter[tuple[str, int]] = Counter()
    for number in range(first, first + count):
        try:
            ended[doors.one(number)] += 1
        except BaseException as error:
            error.add_note(f"try {number}")
            raise
    return ended


def test_some(doors: Doors) -> None:
    ended = _try(doors, 0, FEW)
    refused = {door for door, status in ended if status == ExitStatus.BAD_INPUT}
    assert refused == set(doors.doors) - {"elf"}, "a door that refuses nothing checks nothing"


@pytest.mark.fuzz
def test_many(doors: Doors) -> None:
    """Other ones; FUZZ=N says how many."""
    for (door, status), count in sorted(_try(doors, FEW, MANY).items()):
        print(f"{door:<15} status {status}  {count:6,}")
