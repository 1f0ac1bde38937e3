"""stage0 on the knight: the ROMs of https://github.com/oriansj/stage0, each built by those before.

As its makefile does it: hex0 builds hex1, that hex2, that M0, and so on, up to a C compiler, a Lisp
and a Forth. What must come of it stands in the repository's test/SHA256SUMS.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file
from bootstrap.languages import hex0
from bootstrap.machines.knight import Knight, KnightLimits

SEED = "hex0-seed"
SEED_PATH = "seed/NATIVE/knight/hex0-seed"
"""In a checkout of stage0 with its submodule."""
SEED_SHA256 = "13b45134a88c1c6db349cb40f82269cee9edfce71ac644dc0e137bad053bf5ce"
"""The 250 bytes that are published; stage1_assembler-0 is the same again."""
SUMS = "test/SHA256SUMS"
_DEFS = "High_level_prototypes/defs"
_K = 1024


@dataclass(frozen=True)
class RomStep:
    """A ROM that reads tape 1 and writes tape 2; tape 1 is these files, one after the other."""

    output: str
    rom: str
    tape: tuple[str, ...]
    memory: int
    """KiB, as the makefile has it: a ROM finds its stack by it."""


def _assembled(output: str, source: str, memory: int, macro: str = "M0-compact", first: int = 9
               ) -> list[RomStep]:  # fmt: skip
    """Macros expanded, then assembled."""
    return [
        RomStep(f"{output}.hex2", macro, (_DEFS, source), first),
        RomStep(output, "stage1_assembler-2", (f"{output}.hex2",), memory),
    ]


STEPS = (
    RomStep("stage0_monitor", SEED, ("stage0/stage0_monitor.hex0",), 16),
    RomStep("stage1_assembler-0", SEED, ("stage1/stage1_assembler-0.hex0",), 16),
    RomStep("DEHEX", "stage1_assembler-0", ("stage1/dehex.hex0",), 16),
    RomStep("stage1_assembler-1", "stage1_assembler-0", ("stage1/stage1_assembler-1.hex0",), 16),
    RomStep("stage1_assembler-2", "stage1_assembler-1", ("stage1/stage1_assembler-2.hex1",), 16),
    RomStep("SET", "stage1_assembler-2", ("stage1/SET.hex2",), 16),
    RomStep("M0", "stage1_assembler-2", ("stage1/M0-macro.hex2",), 48),
    *_assembled("M0-compact", "stage1/M0-macro-compact.s", 5, "M0", 64),
    *_assembled("CAT", "stage1/CAT.s", 48, "M0", 48),
    *_assembled("lisp", "stage2/lisp.s", 48),
    *_assembled("cc_x86", "stage2/cc_x86.s", 32),
    *_assembled("forth", "stage2/forth.s", 12),
)


@dataclass(frozen=True)
class Rom:
    """What came of a step."""

    name: str
    data: bytes
    instructions: int
    expected: str | None
    """The SHA-256 that test/SHA256SUMS has; None for what is in between."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def matches(self) -> bool:
        return self.sha256 == self.expected


def sums(text: bytes) -> dict[str, str]:
    """test/SHA256SUMS: ROM -> SHA-256. Raises BadInput."""
    found = {}
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        match = re.fullmatch(r"([0-9a-f]{64})  roms/(\S+)", line)
        if match is None:
            raise BadInput(f"{SUMS}:{number}: is no `sha256  roms/NAME`")
        found[match[2]] = match[1]
    return found


def seed_of(folder: Path, files: Mapping[str, bytes]) -> bytes:
    """The seed, from a checkout's submodule; without it, assembled from its source by our model.

    Raises BadInput, for a seed of another hash too.
    """
    source = "stage1/stage1_assembler-0.hex0"
    if source not in files:
        raise BadInput(f"{folder}: is no checkout of stage0: there is no {source}")
    if (folder / SEED_PATH).is_file():
        found = read_file(folder / SEED_PATH, 1 << 16)
    else:
        # The same program as the ROM stage1_assembler-0.
        found = bytes(hex0.assemble(files[source], source).output)
    if hashlib.sha256(found).hexdigest() != SEED_SHA256:
        raise BadInput(f"stage0: the knight's hex0 seed is not {SEED_SHA256}")
    return found


def build(
    files: Mapping[str, bytes],
    seed: bytes,
    limits: KnightLimits,
    notify: Callable[[str], object],
    last: str | None = None,
) -> Iterator[Rom]:
    """Build every ROM of a checkout's files; with ``last``, that one and what it needs.

    Raises BadInput, GuestFailed, KeyboardInterrupt.
    """
    wanted = {step.output for step in STEPS} if last is None else {last}
    for step in reversed(STEPS):
        if step.output in wanted:
            wanted.update((step.rom, *step.tape))
    steps = [step for step in STEPS if step.output in wanted]
    missing = {name for step in steps for name in step.tape if "/" in name} | {SUMS}
    missing -= set(files)
    if missing:
        raise BadInput(f"stage0: there is no {sorted(missing)[0]}")
    expected, made = sums(files[SUMS]), {SEED: seed}
    for step in steps:
        notify(step.output)
        tape = b"".join(made[name] if name in made else files[name] for name in step.tape)
        knight = Knight(made[step.rom], tape, limits=limits.with_memory(step.memory * _K))
        made[step.output] = knight.run()
        yield Rom(step.output, made[step.output], knight.executed, expected.get(step.output))
