"""`python -m tests.fuzz 5000` runs so many random programs on this machine's kernel and emulated.

Each difference is printed once, with the fewest calls that show it; `--replay FILE` runs such a
list again. Status 1: something differed.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.fuzz import compare
from tests.fuzz.guest import Step
from tests.fuzz.programs import REPORTING, Program

CALLS = 64
Ways = Sequence[Callable[..., compare.Outcome]]


def show(abi: str, steps: Sequence[Step], where: str) -> str:
    """What `--replay` reads."""
    return "\n".join([f"# {abi}: Linux | emulated", f"# {where}", *map(repr, steps)]) + "\n"


def read(text: str) -> tuple[str, list[Step]]:
    """What `show` wrote. Raises ValueError."""
    found = re.match(r"# (\w+):", text)
    if found is None:
        raise ValueError("the first line names no architecture")
    return found[1], [ast.literal_eval(line) for line in text.splitlines() if line[:1] == "("]


def sort_of(where: str) -> str:
    """What is told once: a difference but for its numbers."""
    return re.sub(r"0x[0-9a-f]+|'[^']*'", "N", where)


def smallest(abi: str, steps: Sequence[Step], ways: Ways, name: str) -> str:
    """The fewest steps that show the same difference, for `--replay`; empty if there is none."""
    where = compare.difference(abi, steps, ways)
    if not where:
        return ""
    sort = sort_of(where)
    # What keeps the report apart stays: without it, the program's own output is taken for one.
    head = list(steps[: len(REPORTING)])

    def same(few: Sequence[Step]) -> bool:
        return sort_of(compare.difference(abi, [*head, *few], ways)) == sort

    least = [*head, *compare.fewest(steps[len(head) :], same)]
    return show(abi, least, f"{compare.difference(abi, least, ways)} ({name})")


def explore(abi: str, seed: str, first: int, count: int) -> Iterator[str]:
    """Each difference once, as `smallest` gives it."""
    ways = [compare.natively, *compare.emulations()]
    found: set[str] = set()
    for number in range(first, first + count):
        steps = Program(abi, f"{seed} {number}").steps(CALLS)
        sort = sort_of(compare.difference(abi, steps, ways))
        if sort and sort not in found:
            found.add(sort)
            yield smallest(abi, steps, ways, f"seed {seed}, program {number}")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=200, help="programs of each ABI")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--first", type=int, default=0, help="number of the first program")
    parser.add_argument("--abi", action="append", choices=compare.NATIVE)
    parser.add_argument("--replay", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    differ = 0
    if options.replay:
        abi, steps = read(options.replay.read_text())
        where = compare.difference(abi, steps, [compare.natively, *compare.emulations()])
        print(where or "no difference")
        return 1 if where else 0
    for abi in options.abi or compare.NATIVE:
        reason = compare.why_not_natively(abi)
        if reason is not None:
            print(f"{abi}: not compared: {reason}")
            return 4
        began = time.monotonic()
        found = 0
        for text in explore(abi, options.seed, options.first, options.count):
            print(text, flush=True)
            found += 1
        differ += found
        seconds = time.monotonic() - began
        print(f"{abi}: {options.count} programs, {found} differences, {seconds:.0f} s")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
