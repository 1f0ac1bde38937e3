"""The hostile guests that are measured end as they should, at sizes that cost nothing."""

from __future__ import annotations

import pytest

from tests.bench.hostile import CASES, Case, cost
from tests.instruments.runs import engine_for

SIZES = {"vectors": 129}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.build.__name__)
def test_each_ends_as_it_should(case: Case) -> None:
    engine_for("native")
    assert cost(case, SIZES.get(case.build.__name__, 2), "native").peak > 0
