"""Ratios, medians and tables: what the bench says must follow from what it measured."""

from __future__ import annotations

import pytest

from tests.bench.tables import HEAD, Pairs, Row, median_wall, megabytes, ratio_row, seconds, table
from tests.bench.timing import Cost


def costs(*walls: float) -> tuple[Cost, ...]:
    return tuple(Cost(wall, wall / 2, 1000) for wall in walls)


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    # The second round met a busy machine, on both sides.
    pairs = Pairs(costs(1.0, 30.0, 1.2), costs(2.0, 40.0, 2.0))
    assert pairs.wall_ratio == pytest.approx(0.6)
    assert pairs.cpu_ratio == pytest.approx(0.6)


def test_a_ratio_of_medians_would_be_another() -> None:
    pairs = Pairs(costs(1.0, 9.0, 10.0), costs(1.0, 1.0, 100.0))
    assert pairs.wall_ratio == pytest.approx(1.0)
    assert median_wall(pairs.ours) == 9.0


@pytest.mark.parametrize("ours, peer", [((), ()), ((1.0,), ()), ((1.0,), (1.0, 2.0))])
def test_rounds_come_in_pairs(ours: tuple[float, ...], peer: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="rounds"):
        Pairs(costs(*ours), costs(*peer))


@pytest.mark.parametrize(
    "ours, verdict",
    [(0.5, "met, and the aim of 0.65"), (0.7, "met"), (0.8, "met"), (0.81, "MISSED")],
)
def test_a_verdict(ours: float, verdict: str) -> None:
    row = ratio_row("x86", Pairs(costs(ours), costs(1.0)), "qemu-i386", 0.8, 0.65)
    cells = row.cells()
    assert cells[0] == "x86"
    assert cells[2] == "qemu-i386 1.00 s"
    assert cells[3:] == [f"{ours:.2f}", f"{ours:.2f}", "≤ 0.8", verdict]


def test_no_verdict_without_a_target() -> None:
    row = ratio_row("AMD64", Pairs(costs(3.0), costs(1.0)), "native")
    assert row.met is None
    assert row.cells()[3:] == ["3.00", "3.00", "", ""]


def test_a_strict_target_is_not_met_by_reaching_it() -> None:
    assert Row("peak", "600 MB", "", 600.0, " MB", 600.0, strict=True).met is False
    row = Row("peak", "599 MB", "", 599.4, " MB", 600.0, strict=True)
    assert row.met is True
    assert row.cells()[3:] == ["599 MB", "", "< 600 MB", "met"]


@pytest.mark.parametrize(
    "value, shown", [(0.123, "0.12 s"), (9.87, "9.87 s"), (12.34, "12.3 s"), (170.6, "171 s")]
)
def test_seconds(value: float, shown: str) -> None:
    assert seconds(value) == shown


def test_megabytes_are_millions() -> None:
    assert megabytes(312_400_000) == "312 MB"


def test_a_table_is_aligned_markdown() -> None:
    assert table(["what", "s"], [["a", "1"], ["longer", "100"]]).splitlines() == [
        "| what   |   s |",
        "|--------|----:|",
        "| a      |   1 |",
        "| longer | 100 |",
    ]


def test_a_row_fits_the_head() -> None:
    assert len(ratio_row("a", Pairs(costs(1.0), costs(1.0)), "b").cells()) == len(HEAD)
