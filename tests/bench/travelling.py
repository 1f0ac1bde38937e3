"""How quickly one gets about in a trace of the whole x86 bootstrap.

Places are drawn evenly over all instructions of all programs, from a fixed seed.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

from bootstrap import trace
from bootstrap.instruments import default_engine
from bootstrap.timeline.checkpoints import checkpoints_of, open_index
from bootstrap.timeline.timeline import Timeline
from tests.bench.single import our_environment
from tests.bench.tables import Row, megabytes, seconds
from tests.bench.timing import Failed, timed
from tests.bench.tree import ENTRY, RELEASE

PLACES = 200
SEEK_TARGET = 1.0
BACK_TARGET = 0.05
WHY_TARGET = 5.0
WHY = "x86/bin/M1:0x200"
SECONDS = 900
"""To record, to index and to travel; on a machine like the one of docs/speed.md."""


def percentile(values: Sequence[float], part: float) -> float:
    """The value that so large a part of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(len(ordered) * part * 100) // 100) - 1)]


def places(totals: dict[int, int], count: int) -> list[tuple[int, int]]:
    """Programs and instructions, each instruction as likely as any other."""
    rows = sorted(totals)
    ends = list(accumulate(totals[row] for row in rows))
    chosen = random.Random(1)
    found = []
    for _ in range(count):
        place = chosen.randrange(ends[-1])
        number = next(i for i, end in enumerate(ends) if place < end)
        found.append((rows[number], place - (ends[number - 1] if number else 0)))
    return found


def measure(say: Callable[[str], None], given: Path | None) -> list[Row]:
    """Record (or take a trace that is given), index, and go about. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = Path(folder)
        place, log = given or work / "trace", work / "log"
        env = our_environment("native")
        us = [sys.executable, "-m", "bootstrap"]
        if given is None:
            timed([*us, "trace", "record", "-o", str(place), "--release", RELEASE, "--arch", "x86",
                   "--entry", ENTRY, "--quiet"], log, env=env)  # fmt: skip
        rows = []
        if not Path(f"{place}.index").exists():
            cost = timed([*us, "trace", "index", str(place)], log, env=env)
            rows.append(
                Row("x86, whole: index", seconds(cost.wall), "", cost.peak / 1e6, " MB")
            )  # fmt: skip
            say(f"indexed in {seconds(cost.wall)}")
        cost = timed([*us, "trace", "why", str(place), WHY], log, env=env)
        if "stored    by" not in log.read_text("utf-8") or "from      " not in log.read_text():
            raise Failed(f"trace why {WHY} gave no answer")
        rows += _about(place)
        size = Path(f"{place}.index").stat().st_size
        rows.append(
            Row(f"trace why {WHY}", f"index {megabytes(size)}", "", cost.wall, " s", WHY_TARGET)
        )
        return rows


def _about(place: Path) -> list[Row]:
    with trace.open(place) as opened:
        index = open_index(opened)
        if index is None:
            raise Failed(f"{place}: has no index of its own")
        traveller = Timeline(opened, default_engine(), checkpoints=checkpoints_of(opened))
        seeks, backs = [], []
        try:
            for row, executed in places(index.totals, PLACES):
                began = time.perf_counter()
                traveller.seek(row, executed)
                seeks.append(time.perf_counter() - began)
                for _ in range(3):
                    if traveller.executed:
                        began = time.perf_counter()
                        traveller.back()
                        backs.append(time.perf_counter() - began)
        finally:
            traveller.close()
    total = sum(index.totals.values())
    return [
        Row(f"seek, p95 of {len(seeks)}", f"median {percentile(seeks, 0.5):.2f} s",
            f"{total / 1e9:.0f} G instructions", percentile(seeks, 0.95), " s", SEEK_TARGET,
            strict=True),
        Row(f"reverse step, p95 of {len(backs)}", f"median {percentile(backs, 0.5):.3f} s", "",
            percentile(backs, 0.95), " s", BACK_TARGET, strict=True),
    ]  # fmt: skip
