"""Where the bench goes in a trace, and what it makes of what it measured there."""

from __future__ import annotations

from tests.bench.travelling import percentile, places


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 201)]
    assert percentile(values, 0.95) == 190
    assert percentile(values, 0.5) == 100
    assert percentile([7.0], 0.95) == 7


def test_each_instruction_is_as_likely_as_any_other() -> None:
    found = places({1: 10, 2: 0, 3: 990}, 2000)
    assert found == places({1: 10, 2: 0, 3: 990}, 2000)
    assert {row for row, _ in found} == {1, 3}
    assert 5 <= sum(row == 1 for row, _ in found) <= 50
    assert all(0 <= executed < (10 if row == 1 else 990) for row, executed in found)
