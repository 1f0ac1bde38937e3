"""Ratios, medians and the tables they are printed in."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.timing import Cost


@dataclass(frozen=True)
class Pairs:
    """One contest: what ours and the peer cost, round by round, in the same conditions."""

    ours: tuple[Cost, ...]
    peer: tuple[Cost, ...]

    def __post_init__(self) -> None:
        if not self.ours or len(self.ours) != len(self.peer):
            raise ValueError(f"{len(self.ours)} rounds of ours, {len(self.peer)} of the peer")

    @property
    def wall_ratio(self) -> float:
        """Median over the rounds of ours / peer: each round's conditions cancel out."""
        return statistics.median(a.wall / b.wall for a, b in zip(self.ours, self.peer, strict=True))

    @property
    def cpu_ratio(self) -> float:
        """The same of CPU seconds, which other work on the machine disturbs less."""
        return statistics.median(a.cpu / b.cpu for a, b in zip(self.ours, self.peer, strict=True))


def median_wall(costs: Sequence[Cost]) -> float:
    """Median of the seconds on the clock."""
    return statistics.median(cost.wall for cost in costs)


@dataclass(frozen=True)
class Row:
    """One line of the verdict: `value` is what the target is about (a ratio, MB, or seconds)."""

    what: str
    ours: str
    peer: str
    value: float
    unit: str = ""
    target: float | None = None
    aim: float | None = None
    strict: bool = False
    """Less than the target, not at most."""
    cpu: float | None = None
    """The ratio of CPU seconds, for where other work on the machine disturbed the clock."""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value < self.target if self.strict else self.value <= self.target

    def cells(self) -> list[str]:
        """What is printed, in the order of HEAD."""
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        if self.met and self.aim is not None and self.value <= self.aim:
            verdict = f"met, and the aim of {self.aim:g}"
        limit = ""
        if self.target is not None:
            limit = f"{'<' if self.strict else '≤'} {self.target:g}{self.unit}"
        shown = f"{self.value:.0f}" if self.unit == " MB" else f"{self.value:.2f}"
        cpu = "" if self.cpu is None else f"{self.cpu:.2f}"
        return [self.what, self.ours, self.peer, f"{shown}{self.unit}", cpu, limit, verdict]


HEAD = ["what", "ours", "peer", "ratio", "of CPU s", "target", "verdict"]


def seconds(value: float) -> str:
    """Seconds with about three digits."""
    return (
        f"{value:.0f} s" if value >= 100 else f"{value:.1f} s" if value >= 10 else f"{value:.2f} s"
    )


def megabytes(size: int) -> str:
    """Bytes in units of a million."""
    return f"{size / 1e6:.0f} MB"


def ratio_row(
    what: str,
    pairs: Pairs,
    peer: str,
    target: float | None = None,
    aim: float | None = None,
) -> Row:
    """The verdict on one contest, by wall time."""
    return Row(
        what,
        seconds(median_wall(pairs.ours)),
        f"{peer} {seconds(median_wall(pairs.peer))}",
        pairs.wall_ratio,
        target=target,
        aim=aim,
        cpu=pairs.cpu_ratio,
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned for readers without Markdown; the first column to the left."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * (w + 1)}{'-' if i == 0 else ':'}" for i, w in enumerate(widths)]
    return "\n".join([line(head), f"|{'|'.join(rule)}|", *(line(row) for row in rows)])
