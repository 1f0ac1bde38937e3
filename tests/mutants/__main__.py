"""The mutation run: every byte of our hex1, hex2 and M0, one bit flipped, against all cases.

    python -m tests.mutants [--every N] [hex1|hex2|M0 ...]

Prints each survivor with its byte, and how many were caught. docs/mutants.md explains the
survivors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bootstrap.instruments import default_engine
from tests.mutants.cases import TOOLS, cases, program
from tests.mutants.running import MODES, answers, mutant, survives


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth byte")
    parser.add_argument("tool", nargs="*", choices=[*TOOLS, []], help="default: all three")
    args = parser.parse_args(argv)
    engine = default_engine()
    for tool in args.tool or TOOLS:
        whole = program(tool)
        wrong = [c for c in cases(tool) if not answers(whole, MODES[tool], c, engine)]
        if wrong:
            print(f"{tool}: the tool itself does not answer as it must: {wrong[0]}")
            return 1
        offsets = range(0, len(whole), args.every)
        alive = []
        for done, offset in enumerate(offsets):
            if sys.stderr.isatty():
                print(f"\r{tool}: {done} of {len(offsets)}", end="", file=sys.stderr)
            if survives(tool, offset, engine):
                alive.append(offset)
                became = mutant(whole, offset)[offset]
                print(
                    f"{tool} +{offset:#05x}: {whole[offset]:02x} -> {became:02x} survives",
                    flush=True,
                )
        print(
            f"{tool}: {len(offsets)} mutants, {len(offsets) - len(alive)} caught by "
            f"{len(cases(tool))} cases, {len(alive)} survive"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
