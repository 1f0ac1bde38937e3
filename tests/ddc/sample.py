"""A small tree with a script like upstream's, whose tools are this project's own hex0 seed."""

from __future__ import annotations

from pathlib import Path

from bootstrap.core.release import SourceFile
from bootstrap.known import StepFile, find
from bootstrap.runs import build_plan
from bootstrap.sources import SourceTree

SEED = Path(__file__).resolve().parents[2] / "seeds" / "x86" / "hex0-seed"
HEX0 = (SEED.parent / "hex0.hex0").read_bytes()

WANTED = tuple(f"x86/artifact/{name}" for name in build_plan.WANTED)
SCRIPT = b"""\
# what follows is built from the seed alone
./x86/artifact/hex0 ./x86/hex0_x86.hex0 ./x86/artifact/hex1
./x86/artifact/catm ./x86/artifact/both.c ./one.c \\
    ./two.c
./x86/artifact/hex0 ./x86/hex0_x86.hex0 ./x86/artifact/M2
./x86/artifact/hex0 ./never ./reached
"""


def step() -> StepFile:
    return find("stage0-posix", "1.9.1", "x86")


def tree(script: bytes = SCRIPT, **more: bytes) -> SourceTree:
    files = {
        "bootstrap-seeds/POSIX/x86/hex0-seed": SourceFile(SEED.read_bytes(), True),
        "x86/hex0_x86.hex0": SourceFile(HEX0, False),
        "x86/kaem-minimal.hex0": SourceFile(b"41 # not a program\n", False),
        "x86/mescc-tools-mini-kaem.kaem": SourceFile(script, False),
        "one.c": SourceFile(b"one\n", False),
        "two.c": SourceFile(b"two\n", False),
        **{name: SourceFile(data, False) for name, data in more.items()},
    }
    return SourceTree("a sample", files)
