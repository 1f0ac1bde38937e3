"""Which panes a terminal has room for, and where: the others fold away."""

from __future__ import annotations

from typing import NamedTuple

PANES = ("source", "code", "regs", "memory", "stack", "input", "output", "calls", "tree")
"""In the order in which Tab goes through them; `time` is always there, below."""
TITLES = {
    "source": "source", "code": "code", "regs": "registers", "memory": "memory", "stack": "stack",
    "input": "input", "output": "output", "calls": "system calls", "tree": "processes",
    "time": "time",
}  # fmt: skip
WIDE = 120
"""Columns from which there are two columns of panes."""
TALL = 34
"""Rows from which the time line and the links have a row more."""
LEAST = 40, 10
"""Columns and rows below which nothing can be shown."""


class Rect(NamedTuple):
    """Where a pane is, in cells; its title is the first row."""

    x: int
    y: int
    width: int
    height: int


def rows_below(height: int) -> tuple[int, int]:
    """Rows of the time line, and for what belongs together."""
    return (2, 4) if height >= TALL else (1, 2)


def body_height(height: int) -> int:
    """Rows that the panes have: without the head, time line, links, and the status row."""
    return height - 2 - sum(rows_below(height))


def parts(width: int, height: int, focus: str, zoomed: bool) -> dict[str, Rect]:
    """All that is shown: the panes, and the rows above and below them."""
    if width < LEAST[0] or height < LEAST[1]:
        return {"status": Rect(0, 0, width, 1)}
    time, links = rows_below(height)
    return arrange(width, height, focus, zoomed) | {
        "head": Rect(0, 0, width, 1), "time": Rect(0, height - 1 - links - time, width, time),
        "links": Rect(0, height - 1 - links, width, links),
        "status": Rect(0, height - 1, width, 1),
    }  # fmt: skip


def arrange(width: int, height: int, focus: str, zoomed: bool = False) -> dict[str, Rect]:
    """The panes that are shown. The one in focus always is; zoomed, it is alone."""
    rows = body_height(height)
    if focus not in PANES:
        focus = "source"
    if zoomed:
        return {focus: Rect(0, 1, width, rows)}
    if width >= WIDE and rows >= 16:
        left = width * 52 // 100
        top = max(6, rows * 9 // 20)
        found = {
            "source": Rect(0, 1, left, top),
            "code": Rect(0, 1 + top, left, rows - top),
        }
        bands = [("regs",), ("memory",), ("stack", "tree"), ("input",), ("output",), ("calls",)]
        return found | _bands(bands, focus, left + 1, 1, width - left - 1, rows)
    source = max(4, rows * 7 // 20)
    code = max(4, rows * 7 // 20)
    found = {
        "source": Rect(0, 1, width, source),
        "code": Rect(0, 1 + source, width, code),
    }
    y, rest = 1 + source + code, rows - source - code
    if rest < 3:
        return {"code" if focus == "code" else focus: Rect(0, 1, width, rows)}
    pairs = [("regs", "output"), ("memory", "calls"), ("input", "stack"), ("tree",)]
    return found | _bands(pairs, focus, 0, y, width, rest)


HEIGHTS = {"regs": 6, "memory": 8, "stack": 9, "tree": 9, "input": 8, "output": 8, "calls": 9}
"""Rows that a pane likes to have, the title one of them."""
SMALLEST = 5


def _bands(
    bands: list[tuple[str, ...]], focus: str, x: int, y: int, width: int, rows: int
) -> dict[str, Rect]:
    """As many bands as there is room for, from the first on, and the one in focus."""
    shown: list[tuple[str, ...]] = []
    for band in bands:
        if (len(shown) + 1) * SMALLEST <= rows or not shown:
            shown.append(band)
    if focus in {name for band in bands for name in band} - {n for band in shown for n in band}:
        # It takes the place of the one that is shown last; the registers stay beside it.
        band = next(band for band in bands if focus in band)
        shown[-1] = ("regs", focus) if shown[-1][0] == "regs" else band
    wanted = [max(HEIGHTS[name] for name in band) for band in shown]
    spare = rows - sum(wanted)
    heights = list(wanted)
    while spare:
        index = None
        if spare < 0:  # the registers keep their rows as long as others have some
            least = [HEIGHTS["regs"] if "regs" in band else 4 for band in shown]
            index = max(range(len(heights)), key=lambda i: (heights[i] > least[i], heights[i]))
        if index is None:
            # More room goes to what scrolls, the last first.
            index = min(range(len(heights)), key=lambda i: (shown[i] == ("regs",), heights[i]))
        heights[index] += -1 if spare < 0 else 1
        spare += 1 if spare < 0 else -1
    found: dict[str, Rect] = {}
    for band, height in zip(shown, heights, strict=True):
        each = 36 if band[0] == "regs" and len(band) == 2 and width < 100 else width // len(band)
        for index, name in enumerate(band):
            last = index == len(band) - 1
            found[name] = Rect(x + index * each, y, width - index * each if last else each, height)
        y += height
    return found
