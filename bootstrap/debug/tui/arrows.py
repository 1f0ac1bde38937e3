"""Arrows from jumps to where they lead, beside the lines of a disassembly."""

from __future__ import annotations

from collections.abc import Sequence

LANES = 3
"""Arrows that may run beside one another."""


def arrows(lines: Sequence[tuple[int, int | None]], pc: int) -> list[str]:
    """For each line (address, where it leads), LANES + 1 cells.

    What leads out of the lines is `^` (to lower addresses) or `v`. The jump at pc comes first;
    then the short ones; what finds no free lane has only its own sign.
    """
    index = {addr: i for i, (addr, _) in enumerate(lines)}
    cells = [[" "] * (LANES + 1) for _ in lines]
    jumps = []
    for i, (addr, target) in enumerate(lines):
        if target is None:
            continue
        if target in index:
            jumps.append((addr != pc, abs(index[target] - i), i, index[target]))
        elif lines:
            cells[i][LANES] = "^" if target < lines[0][0] else "v"
    taken: list[list[tuple[int, int]]] = [[] for _ in range(LANES)]
    for _, _, source, target in sorted(jumps):
        low, high = min(source, target), max(source, target)
        lane = next(
            (n for n in range(LANES - 1, -1, -1)
             if all(high < a or b < low for a, b in taken[n])), None,
        )  # fmt: skip
        if lane is None:
            cells[source][LANES] = "^" if target < source else "v"
            continue
        taken[lane].append((low, high))
        for row in range(low, high + 1):
            if cells[row][lane] == " ":
                cells[row][lane] = ":"
        for column in range(lane + 1, LANES):
            for row in (source, target):
                if cells[row][column] == " ":
                    cells[row][column] = "-"
        cells[source][lane] = cells[target][lane] = "+"
        cells[target][LANES] = ">"
        if cells[source][LANES] == " ":
            cells[source][LANES] = "-"
    return ["".join(row) for row in cells]
