"""A process of its own that asks LIEF too: LIEF and Unicorn may not meet, also not in a test.

    python -m tests.anatomy.with_lief ROUNDS

Takes apart every seed at hand, and ROUNDS changed or cut ones, and prints what LIEF said as JSON.
The changes come from a fixed seed of the random generator, so that a failure can be repeated.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter

from bootstrap.anatomy import dissect
from bootstrap.anatomy.claims import Anatomy
from tests.anatomy import material
from tests.anatomy.test_forms import elf32


def lief_says(anatomy: Anatomy) -> str:
    said = [opinion.verdict for opinion in anatomy.opinions if "LIEF" in opinion.reader]
    return said[0] if said else "nothing"


def changed(data: bytes, chance: random.Random) -> bytes:
    copy = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        copy[chance.randrange(min(len(copy), 400))] = chance.randrange(256)
    return bytes(copy[: chance.randrange(1, len(copy) + 1)] if chance.random() < 0.5 else copy)


def main() -> None:
    seeds = {}
    for sha256, seed in material.names().items():
        anatomy = dissect(material.seeds()[sha256], seed.arch == "knight")
        seeds[sha256] = {"format": anatomy.format, "lief": lief_says(anatomy)}
    chance = random.Random(1)
    small = [data for _, data in sorted(material.seeds().items()) if len(data) < 2000]
    verdicts: Counter[str] = Counter()
    for _ in range(int(sys.argv[1])):
        anatomy = dissect(changed(chance.choice(small), chance))
        assert sum(anatomy.totals().values()) == anatomy.size
        verdicts[lief_says(anatomy)] += 1
    odd = bytearray(elf32(3, b"\xc3"))
    odd[0x4D] = 0x0F  # the second byte of p_flags
    flags = [
        (item.field, item.ours, item.theirs)
        for opinion in dissect(bytes(odd)).opinions
        for item in opinion.differences
    ]
    unicorn = any(name.partition(".")[0] == "unicorn" for name in sys.modules)
    json.dump({"seeds": seeds, "changed": verdicts, "flags": flags, "unicorn": unicorn}, sys.stdout)


if __name__ == "__main__":
    main()
